//! `rate`, `increase`, `delta` with extrapolation, `irate`, `idelta`, `resets` and `changes`
//! (contract 3.11).
#![expect(
    clippy::missing_errors_doc,
    reason = "the signature is that of RangeFn; these never fail"
)]

pub mod extended;
mod native;
mod pairs;
mod row;
mod start;

use super::notes;
use super::window::{Notes, Output, Window};

pub use pairs::{changes, idelta, irate, resets};
pub use row::{Kind, RowPlan, find_resets};

/// A duration in seconds as Go's `Duration.Seconds` gives it: whole seconds and the rest apart.
pub fn seconds(ms: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
    let (whole, nanos) = ((ms / 1000) as f64, (ms % 1000 * 1_000_000) as f64);
    whole + nanos / 1e9
}

/// Milliseconds in seconds, by one division.
#[expect(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
pub(super) fn ms_to_s(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// Where the samples of a window lie in it: all that extrapolation needs beside the values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    sampled: f64,
    to_start: f64,
    to_end: f64,
}

impl Extent {
    /// `first_ms` and `last_ms` are the times of the first and last of `count` samples, `count`
    /// at least two.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
    pub(super) fn new(
        (first_ms, last_ms, count): (i64, i64, usize),
        (start_ms, end_ms): (i64, i64),
    ) -> Self {
        let sampled = ms_to_s(last_ms - first_ms);
        let average = sampled / (count - 1) as f64;
        let threshold = average * 1.1;
        let reach = |distance: f64| if distance >= threshold { average / 2.0 } else { distance };
        Self {
            sampled,
            to_start: reach(ms_to_s(first_ms - start_ms)),
            to_end: reach(ms_to_s(end_ms - last_ms)),
        }
    }

    /// Of a counter that is known to have been zero at `zero_ms`: there is nothing to extrapolate
    /// to at the start, and after a single sample nothing at the end.
    fn from_zero(
        zero_ms: i64,
        (first_ms, last_ms, count): (i64, i64, usize),
        bounds: (i64, i64),
    ) -> Self {
        let to_end = match count {
            1 => 0.0,
            _ => Self::new((first_ms, last_ms, count), bounds).to_end,
        };
        Self { sampled: ms_to_s(last_ms - zero_ms), to_start: 0.0, to_end }
    }

    /// Of a window whose first sample's counting began at `zero_ms`, where that is known; `None`
    /// where a single sample has nothing to be compared with.
    pub(super) fn of(
        zero_ms: Option<i64>,
        samples: (i64, i64, usize),
        bounds: (i64, i64),
    ) -> Option<Self> {
        match zero_ms {
            Some(zero_ms) => Some(Self::from_zero(zero_ms, samples, bounds)),
            None => (samples.2 > 1).then(|| Self::new(samples, bounds)),
        }
    }

    /// What the difference is to be multiplied with. `zero_at` is the share of the sampled time
    /// before which a counter would have been negative.
    pub(super) fn factor(&self, zero_at: Option<f64>, per_seconds: Option<f64>) -> f64 {
        let mut to_start = self.to_start;
        if let Some(share) = zero_at {
            let to_zero = self.sampled * share;
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        let factor = if self.sampled == 0.0 {
            1.0
        } else {
            (self.sampled + to_start + self.to_end) / self.sampled
        };
        per_seconds.map_or(factor, |s| factor / s)
    }
}

/// The rise of `values` from first to last with the falls of a counter made good.
fn increase_of(values: &[f64], notes: &mut Notes<'_>) -> f64 {
    let mut result = values[values.len() - 1] - values[0];
    for (i, pair) in values.windows(2).enumerate() {
        if !notes.goes_on(i) {
            break;
        }
        if pair[1] < pair[0] {
            result += pair[0];
        }
    }
    result
}

/// As [`increase_of`] where start times may say that a counter was reset and yet did not fall.
fn increase_with_starts(w: &Window<'_>, notes: &mut Notes<'_>) -> f64 {
    let (values, starts) = (w.values, w.starts.floats);
    let mut result = values[values.len() - 1] - values[0];
    for i in 1..values.len() {
        if !notes.goes_on(i) {
            break;
        }
        let [before, now] = [i - 1, i].map(|i| start::stamp(starts, i, w.times[i]));
        if values[i] < values[i - 1] || start::is_reset(before, now) {
            result += values[i - 1];
        }
    }
    result
}

fn extrapolated(w: &Window<'_>, notes: &mut Notes<'_>, kind: Kind) -> Output {
    if !w.histograms.is_empty() {
        if w.values.is_empty() {
            return native::extrapolated(w, notes, kind);
        }
        notes.warn(notes::mixed_floats_histograms(notes.metric_name));
        return Output::Nothing;
    }
    let (Some(&first_ms), Some(&last_ms)) = (w.times.first(), w.times.last()) else {
        return Output::Nothing;
    };
    let (first, last) = (w.values[0], w.values[w.values.len() - 1]);
    let starts = if kind.is_counter() { w.starts.floats } else { &[] };
    let zero_ms = start::zero_ms(starts, first_ms, w.start_ms);
    let samples = (first_ms, last_ms, w.times.len());
    let Some(extent) = Extent::of(zero_ms, samples, (w.start_ms, w.end_ms)) else {
        return Output::Nothing;
    };
    let mut rise = if !kind.is_counter() {
        last - first
    } else if starts.is_empty() {
        increase_of(w.values, notes)
    } else {
        start::note_overlap(w.times.iter().copied(), starts, notes);
        increase_with_starts(w, notes)
    };
    if zero_ms.is_some() {
        rise += first;
    }
    let per_seconds = kind.is_rate().then(|| seconds(w.end_ms - w.start_ms));
    Output::Float(rise * extent.factor(kind.zero_at(first, rise), per_seconds))
}

/// `rate(m)`
pub fn rate(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    Ok(extrapolated(w, notes, Kind::Rate))
}

/// `increase(m)`
pub fn increase(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    Ok(extrapolated(w, notes, Kind::Increase))
}

/// `delta(m)`
pub fn delta(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    Ok(extrapolated(w, notes, Kind::Delta))
}
