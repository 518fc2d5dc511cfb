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

use super::notes;
use super::window::{Notes, Output, Window};

pub use pairs::{changes, idelta, irate, resets};
pub use row::{Kind, RowPlan};

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
fn increase_of(values: &[f64]) -> f64 {
    let mut result = values[values.len() - 1] - values[0];
    for pair in values.windows(2) {
        if pair[1] < pair[0] {
            result += pair[0];
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
    let (&[first_ms, .., last_ms], &[first, .., last]) = (w.times, w.values) else {
        return Output::Nothing;
    };
    let extent = Extent::new((first_ms, last_ms, w.times.len()), (w.start_ms, w.end_ms));
    let rise = if kind.is_counter() { increase_of(w.values) } else { last - first };
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
