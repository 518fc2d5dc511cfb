//! `rate`, `increase` and `delta` of native histograms.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use super::{Extent, Kind, seconds, start};
use crate::functions::notes::{self, Operation};
use crate::functions::window::{Notes, Output, Window};
use crate::histogram::arithmetic::{Outcome, difference, product, sum};
use crate::histogram::buckets::{compact, reduce_resolution};
use crate::histogram::compare::detect_reset;
use crate::histogram::{IncompatibleSchemas, is_custom};

/// One of these functions over a window of histograms alone.
pub(super) fn extrapolated(w: &Window<'_>, notes: &mut Notes<'_>, kind: Kind) -> Output {
    let (Some((first_ms, first)), Some((last_ms, _))) = (w.histograms.first(), w.histograms.last())
    else {
        return Output::Nothing;
    };
    let starts = if kind.is_counter() { w.starts.histograms } else { &[] };
    let zero_ms = start::zero_ms(starts, *first_ms, w.start_ms);
    let samples = (*first_ms, *last_ms, w.histograms.len());
    let Some(extent) = Extent::of(zero_ms, samples, (w.start_ms, w.end_ms)) else {
        return Output::Nothing;
    };
    let rise = match w.histograms {
        // A single sample has an extent only where it is known to have risen from zero.
        [_] => Ok(FloatHistogram { hint: CounterResetHint::Gauge, ..FloatHistogram::clone(first) }),
        samples => {
            let rise = rise(samples, starts, notes, kind);
            if zero_ms.is_some() { rise.and_then(|rise| plus(&rise, first, notes)) } else { rise }
        }
    };
    let Ok(rise) = rise else {
        notes.warn(notes::mixed_bucket_schemas(notes.metric_name));
        return Output::Nothing;
    };
    let per_seconds = kind.is_rate().then(|| seconds(w.end_ms - w.start_ms));
    let factor = extent.factor(kind.zero_at(first.count, rise.count), per_seconds);
    Output::Histogram(Arc::new(product(&rise, factor)))
}

/// Says what happened to custom bounds.
pub(super) fn note_bounds(outcome: Outcome, operation: Operation, notes: &mut Notes<'_>) {
    if outcome.mismatched_bounds {
        notes.info(notes::mismatched_bounds(operation));
    }
}

fn plus(
    a: &FloatHistogram,
    b: &FloatHistogram,
    notes: &mut Notes<'_>,
) -> Result<FloatHistogram, IncompatibleSchemas> {
    let (sum, outcome) = sum(a, b)?;
    note_bounds(outcome, Operation::Addition, notes);
    Ok(sum)
}

/// The last histogram less the first, with the resets of a counter made good: those that `starts`
/// tell, which may be empty, and those that show.
fn rise(
    samples: &[(i64, Arc<FloatHistogram>)],
    starts: &[i64],
    notes: &mut Notes<'_>,
    kind: Kind,
) -> Result<FloatHistogram, IncompatibleSchemas> {
    let (first, last) = (&*samples[0].1, &*samples[samples.len() - 1].1);
    let is_gauge = |h: &FloatHistogram| h.hint == CounterResetHint::Gauge;
    if kind.is_counter() && samples.iter().any(|s| is_gauge(&s.1)) {
        notes.warn(notes::not_a_counter(notes.metric_name));
    }
    // After a reset the first histogram counts as empty, and its layout does not matter.
    let second = &*samples[1].1;
    let began_anew = |i: usize| {
        let [before, now] = [i - 1, i].map(|i| start::stamp(starts, i, samples[i].0));
        start::is_reset(before, now)
    };
    let start = if kind.is_counter() && (began_anew(1) || detect_reset(second, first)) {
        empty_like(second)
    } else {
        first.clone()
    };
    let mut schema = start.schema.min(last.schema);
    if is_custom(last) != is_custom(&start) {
        return Err(IncompatibleSchemas);
    }
    if kind.is_counter() {
        for (_, h) in &samples[1..samples.len() - 1] {
            if is_custom(h) != is_custom(&start) {
                return Err(IncompatibleSchemas);
            }
            schema = schema.min(h.schema);
        }
    }
    let (mut rise, outcome) = difference(&reduce_resolution(last, schema), &start)?;
    note_bounds(outcome, Operation::Subtraction, notes);
    if kind.is_counter() {
        start::note_overlap(samples.iter().map(|s| s.0), starts, notes);
        let mut before = &start;
        for (i, (_, h)) in samples.iter().enumerate().skip(1) {
            if began_anew(i) || detect_reset(h, before) {
                rise = plus(&rise, before, notes)?;
            }
            before = h;
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        notes.warn(notes::not_a_gauge(notes.metric_name));
    }
    rise.hint = CounterResetHint::Gauge;
    compact(&mut rise);
    Ok(rise)
}

/// A histogram without observations that can be subtracted from `h`.
fn empty_like(h: &FloatHistogram) -> FloatHistogram {
    FloatHistogram {
        hint: CounterResetHint::Unknown,
        schema: h.schema,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 0.0,
        sum: 0.0,
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        positive_buckets: Vec::new(),
        negative_buckets: Vec::new(),
        custom_values: h.custom_values.clone(),
    }
}
