//! Functions that compare neighbours: `irate` and `idelta` the last two samples of a window,
//! `changes` and `resets` all of them.
#![expect(
    clippy::missing_errors_doc,
    reason = "the signature is that of RangeFn; these never fail"
)]

use std::cmp::Ordering;
use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use super::start::{self, Stamp};
use super::{ms_to_s, native};
use crate::functions::notes::{self, Operation};
use crate::functions::window::{Notes, Output, Window};
use crate::histogram::arithmetic::{difference, quotient};
use crate::histogram::buckets::compact;
use crate::histogram::compare::{detect_reset, equals};

/// A sample of either kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timed<'a> {
    pub(super) stamp: Stamp,
    value: Value<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

/// The samples of a window by time, a float before a histogram of the same time.
pub(super) fn by_time<'a>(w: &Window<'a>) -> impl Iterator<Item = Timed<'a>> {
    let starts = w.starts;
    let mut floats = w.times.iter().zip(w.values).enumerate().peekable();
    let mut histograms = w.histograms.iter().enumerate().peekable();
    std::iter::from_fn(move || {
        let order = match (floats.peek(), histograms.peek()) {
            (Some((_, f)), Some((_, h))) => f.0.cmp(&h.0),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        if order == Ordering::Greater {
            histograms.next().map(|(i, (t, h))| Timed {
                stamp: start::stamp(starts.histograms, i, *t),
                value: Value::Histogram(h),
            })
        } else {
            floats.next().map(|(i, (t, v))| Timed {
                stamp: start::stamp(starts.floats, i, *t),
                value: Value::Float(*v),
            })
        }
    })
}

/// The last two samples of a window.
fn last_two<'a>(w: &Window<'a>) -> Option<[Timed<'a>; 2]> {
    let tail = |len: usize| len.saturating_sub(2);
    let (from, from_histogram) = (tail(w.times.len()), tail(w.histograms.len()));
    let tail = Window {
        times: &w.times[from..],
        values: &w.values[from..],
        histograms: &w.histograms[from_histogram..],
        starts: w.starts.of(from..w.times.len(), from_histogram..w.histograms.len()),
        ..*w
    };
    let mut samples = by_time(&tail);
    let mut two = [samples.next()?, samples.next()?];
    for sample in samples {
        two = [two[1], sample];
    }
    Some(two)
}

fn instant(w: &Window<'_>, notes: &mut Notes<'_>, is_rate: bool) -> Output {
    let Some([before, last]) = last_two(w) else { return Output::Nothing };
    if last.stamp.t_ms == before.stamp.t_ms {
        return Output::Nothing;
    }
    let elapsed = ms_to_s(last.stamp.t_ms - before.stamp.t_ms);
    let began_anew = is_rate && start::is_reset(before.stamp, last.stamp);
    match (before.value, last.value) {
        (Value::Float(before), Value::Float(last)) => {
            let reset = began_anew || is_rate && last < before;
            let rise = if reset { last } else { last - before };
            Output::Float(if is_rate { rise / elapsed } else { rise })
        }
        (Value::Histogram(before), Value::Histogram(last)) => {
            let Some(rise) = instant_histogram(before, last, notes, (is_rate, began_anew)) else {
                return Output::Nothing;
            };
            Output::Histogram(Arc::new(if is_rate { quotient(&rise, elapsed) } else { rise }))
        }
        _ => {
            notes.warn(notes::mixed_floats_histograms(notes.metric_name));
            Output::Nothing
        }
    }
}

fn instant_histogram(
    before: &FloatHistogram,
    last: &FloatHistogram,
    notes: &mut Notes<'_>,
    (is_rate, began_anew): (bool, bool),
) -> Option<FloatHistogram> {
    let gauges = [before, last].map(|h| h.hint == CounterResetHint::Gauge);
    if is_rate && gauges.contains(&true) {
        notes.warn(notes::not_a_counter(notes.metric_name));
    }
    if !is_rate && gauges.contains(&false) {
        notes.warn(notes::not_a_gauge(notes.metric_name));
    }
    let mut rise = if began_anew || is_rate && detect_reset(last, before) {
        last.clone()
    } else {
        let Ok((rise, outcome)) = difference(last, before) else {
            notes.warn(notes::mixed_bucket_schemas(notes.metric_name));
            return None;
        };
        native::note_bounds(outcome, Operation::Subtraction, notes);
        rise
    };
    rise.hint = CounterResetHint::Gauge;
    compact(&mut rise);
    Some(rise)
}

/// `irate(m)`
pub fn irate(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    Ok(instant(w, notes, true))
}

/// `idelta(m)`
pub fn idelta(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    Ok(instant(w, notes, false))
}

/// How many neighbours `differ`, of samples that begin with `first`.
pub(super) fn count_pairs<'a>(
    mut samples: impl Iterator<Item = Timed<'a>>,
    differ: fn(Timed<'_>, Timed<'_>) -> bool,
    notes: &mut Notes<'_>,
) -> Output {
    let Some(mut before) = samples.next() else { return Output::Nothing };
    let mut count = 0.0;
    for (i, now) in samples.enumerate() {
        if !notes.goes_on(i) {
            break;
        }
        if differ(before, now) {
            count += 1.0;
        }
        before = now;
    }
    Output::Float(count)
}

/// Whether a counter was reset between two samples; a change of kind is one.
pub(super) fn is_reset(before: Timed<'_>, now: Timed<'_>) -> bool {
    start::is_reset(before.stamp, now.stamp)
        || match (before.value, now.value) {
            (Value::Float(before), Value::Float(now)) => now < before,
            (Value::Histogram(before), Value::Histogram(now)) => detect_reset(now, before),
            _ => true,
        }
}

/// Whether two samples differ; one NaN is as another.
#[expect(clippy::float_cmp, reason = "any difference counts")]
pub(super) fn is_change(before: Timed<'_>, now: Timed<'_>) -> bool {
    match (before.value, now.value) {
        (Value::Float(before), Value::Float(now)) => {
            now != before && !(now.is_nan() && before.is_nan())
        }
        (Value::Histogram(before), Value::Histogram(now)) => !equals(now, before),
        _ => true,
    }
}

/// `resets(m)`
pub fn resets(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    Ok(count_pairs(by_time(w), is_reset, notes))
}

/// `changes(m)`
pub fn changes(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    Ok(count_pairs(by_time(w), is_change, notes))
}
