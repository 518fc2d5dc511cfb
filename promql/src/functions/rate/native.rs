//! `rate`, `increase` and `delta` of native histograms.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use super::{Extent, Kind, seconds};
use crate::functions::notes::{self, Operation};
use crate::functions::window::{Notes, Output, Window};
use crate::histogram::arithmetic::{Outcome, difference, product, sum};
use crate::histogram::buckets::{compact, reduce_resolution};
use crate::histogram::compare::detect_reset;
use crate::histogram::{IncompatibleSchemas, is_custom};

/// One of these functions over a window of histograms alone.
pub(super) fn extrapolated(w: &Window<'_>, notes: &mut Notes<'_>, kind: Kind) -> Output {
    let [(first_ms, first), .., (last_ms, _)] = w.histograms else { return Output::Nothing };
    let Ok(rise) = rise(w.histograms, notes, kind) else {
        notes.warn(notes::mixed_bucket_schemas(notes.metric_name));
        return Output::Nothing;
    };
    let samples = (*first_ms, *last_ms, w.histograms.len());
    let extent = Extent::new(samples, (w.start_ms, w.end_ms));
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

/// The last histogram less the first, with the resets of a counter made good.
fn rise(
    samples: &[(i64, Arc<FloatHistogram>)],
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
    let start = if kind.is_counter() && detect_reset(second, first) {
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
        let mut before = &start;
        for (_, h) in &samples[1..] {
            if detect_reset(h, before) {
                let (corrected, outcome) = sum(&rise, before)?;
                rise = corrected;
                note_bounds(outcome, Operation::Addition, notes);
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
