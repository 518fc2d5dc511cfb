//! The `..._over_time` functions (contract 3.11).
#![expect(
    clippy::missing_errors_doc,
    reason = "the signature is that of RangeFn; these never fail"
)]

use std::ops::Range;
use std::sync::Arc;

use model::FloatHistogram;

use super::notes::{self, Operation};
use super::rate::ms_to_s;
use super::window::{Notes, Output, PIECE, Window};
use crate::histogram::IncompatibleSchemas;
use crate::histogram::arithmetic::{HistogramMean, HistogramSum, Outcome};
use crate::quantile::{quantile, quantile_of_many};
use crate::sum::{Mean, Sum, Variance};

/// The floats of a window for a function that ignores histograms: `None` without floats, and an
/// info where there are both.
fn floats<'a>(w: &Window<'a>, notes: &mut Notes<'_>) -> Option<&'a [f64]> {
    if w.values.is_empty() {
        return None;
    }
    if !w.histograms.is_empty() {
        notes.info(notes::ignored_histograms(notes.metric_name));
    }
    Some(w.values)
}

fn of_floats(
    w: &Window<'_>,
    notes: &mut Notes<'_>,
    f: impl FnOnce(&[f64], &mut Notes<'_>) -> f64,
) -> Output {
    floats(w, notes).map_or(Output::Nothing, |values| Output::Float(f(values, notes)))
}

/// Whether floats and histograms are mixed, which is then said.
fn is_mixed(w: &Window<'_>, notes: &mut Notes<'_>) -> bool {
    let mixed = !w.values.is_empty() && !w.histograms.is_empty();
    if mixed {
        notes.warn(notes::mixed_floats_histograms(notes.metric_name));
    }
    mixed
}

/// The answer of a sum or mean of histograms, and what is to be said about it.
fn of_histograms(
    result: Result<Option<(FloatHistogram, Outcome)>, IncompatibleSchemas>,
    notes: &mut Notes<'_>,
) -> Output {
    let Ok(result) = result else {
        notes.warn(notes::mixed_bucket_schemas(notes.metric_name));
        return Output::Nothing;
    };
    let Some((h, outcome)) = result else { return Output::Nothing };
    if outcome.conflicting_resets {
        notes.warn(notes::conflicting_resets(Operation::Aggregation));
    }
    if outcome.mismatched_bounds {
        notes.info(notes::mismatched_bounds(Operation::Aggregation));
    }
    Output::Histogram(Arc::new(h))
}

/// `sum_over_time(m)`
pub fn sum_over_time(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    if is_mixed(w, notes) {
        return Ok(Output::Nothing);
    }
    if w.values.is_empty() {
        let mut sum = HistogramSum::default();
        let mixed = w.histograms.iter().try_for_each(|h| sum.add(&h.1));
        return Ok(of_histograms(mixed.map(|()| sum.finish()), notes));
    }
    let mut sum = Sum::default();
    notes.pieces(w.values).for_each(|piece| sum.extend(piece));
    Ok(Output::Float(sum.finite_total()))
}

/// `avg_over_time(m)`
pub fn avg_over_time(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    if is_mixed(w, notes) {
        return Ok(Output::Nothing);
    }
    if w.values.is_empty() {
        let mut mean = HistogramMean::default();
        let mixed = w.histograms.iter().try_for_each(|h| mean.add(&h.1));
        return Ok(of_histograms(mixed.map(|()| mean.finish()), notes));
    }
    let mut mean = Mean::default();
    notes.pieces(w.values).for_each(|piece| mean.extend(piece));
    Ok(Output::Float(mean.value()))
}

/// `count_over_time(m)`
pub fn count_over_time(w: &Window<'_>, _: &[f64], _: &mut Notes<'_>) -> Result<Output, String> {
    #[expect(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
    Ok(match w.values.len() + w.histograms.len() {
        0 => Output::Nothing,
        n => Output::Float(n as f64),
    })
}

/// `present_over_time(m)`
pub fn present_over_time(w: &Window<'_>, _: &[f64], _: &mut Notes<'_>) -> Result<Output, String> {
    let empty = w.values.is_empty() && w.histograms.is_empty();
    Ok(if empty { Output::Nothing } else { Output::Float(1.0) })
}

/// The index of the best value; `better(new, best)` says when `new` takes its place. NaN is the
/// best only of nothing but NaN.
fn best(values: &[f64], better: impl Fn(f64, f64) -> bool) -> usize {
    best_from(0, values, 0..values.len(), better)
}

/// The better of the value at `at` and those at `places`.
#[inline]
fn best_from(
    mut at: usize,
    values: &[f64],
    places: Range<usize>,
    better: impl Fn(f64, f64) -> bool,
) -> usize {
    for (i, v) in places.clone().zip(&values[places]) {
        if better(*v, values[at]) || values[at].is_nan() {
            at = i;
        }
    }
    at
}

/// As [`best`], with polls.
fn best_of_many(values: &[f64], notes: &mut Notes<'_>, better: impl Fn(f64, f64) -> bool) -> usize {
    let (mut at, mut from) = (0, 0);
    for piece in notes.pieces(values) {
        at = best_from(at, values, from..from + piece.len(), &better);
        from += piece.len();
    }
    at
}

/// The least of `values`, which are not empty.
pub fn min(values: &[f64]) -> f64 {
    values[best(values, |new, best| new < best)]
}

/// The greatest of `values`, which are not empty.
pub fn max(values: &[f64]) -> f64 {
    values[best(values, |new, best| new > best)]
}

/// `min_over_time(m)`
pub fn min_over_time(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    Ok(of_floats(w, notes, |v, notes| v[best_of_many(v, notes, |new, best| new < best)]))
}

/// `max_over_time(m)`
pub fn max_over_time(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    Ok(of_floats(w, notes, |v, notes| v[best_of_many(v, notes, |new, best| new > best)]))
}

/// `ts_of_min_over_time(m)`: seconds; the last of equal values.
pub fn ts_of_min(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    Ok(of_floats(w, notes, |v, notes| {
        ms_to_s(w.times[best_of_many(v, notes, |new, best| new <= best)])
    }))
}

/// `ts_of_max_over_time(m)`: seconds; the last of equal values.
pub fn ts_of_max(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    Ok(of_floats(w, notes, |v, notes| {
        ms_to_s(w.times[best_of_many(v, notes, |new, best| new >= best)])
    }))
}

/// `ts_of_first_over_time(m)`: seconds.
pub fn ts_of_first(w: &Window<'_>, _: &[f64], _: &mut Notes<'_>) -> Result<Output, String> {
    let (float, histogram) = (w.times.first().copied(), w.histograms.first().map(|h| h.0));
    let first = float.into_iter().chain(histogram).min();
    Ok(first.map_or(Output::Nothing, |ms| Output::Float(ms_to_s(ms))))
}

/// `ts_of_last_over_time(m)`: seconds.
pub fn ts_of_last(w: &Window<'_>, _: &[f64], _: &mut Notes<'_>) -> Result<Output, String> {
    let (float, histogram) = (w.times.last().copied(), w.histograms.last().map(|h| h.0));
    let last = float.max(histogram);
    Ok(last.map_or(Output::Nothing, |ms| Output::Float(ms_to_s(ms))))
}

/// `first_over_time(m)`: of either kind; a histogram where both have the same time.
pub fn first_over_time(w: &Window<'_>, _: &[f64], _: &mut Notes<'_>) -> Result<Output, String> {
    Ok(match (w.times.first(), w.histograms.first()) {
        (None, None) => Output::Nothing,
        (Some(t), Some((h_ms, h))) if h_ms <= t => Output::Histogram(h.clone()),
        (None, Some((_, h))) => Output::Histogram(h.clone()),
        (Some(_), _) => Output::Float(w.values[0]),
    })
}

/// `last_over_time(m)`: of either kind; a histogram where both have the same time.
pub fn last_over_time(w: &Window<'_>, _: &[f64], _: &mut Notes<'_>) -> Result<Output, String> {
    Ok(match (w.times.last(), w.histograms.last()) {
        (None, None) => Output::Nothing,
        (Some(t), Some((h_ms, h))) if h_ms >= t => Output::Histogram(h.clone()),
        (None, Some((_, h))) => Output::Histogram(h.clone()),
        (Some(_), _) => Output::Float(w.values[w.values.len() - 1]),
    })
}

fn variance(values: &[f64], notes: &mut Notes<'_>) -> f64 {
    let mut variance = Variance::default();
    notes.pieces(values).for_each(|piece| variance.extend(piece));
    variance.value()
}

/// `stdvar_over_time(m)`
pub fn stdvar_over_time(
    w: &Window<'_>,
    _: &[f64],
    notes: &mut Notes<'_>,
) -> Result<Output, String> {
    Ok(of_floats(w, notes, variance))
}

/// `stddev_over_time(m)`
pub fn stddev_over_time(
    w: &Window<'_>,
    _: &[f64],
    notes: &mut Notes<'_>,
) -> Result<Output, String> {
    Ok(of_floats(w, notes, |v, notes| variance(v, notes).sqrt()))
}

/// `quantile_over_time(q, m)`
pub fn quantile_over_time(
    w: &Window<'_>,
    args: &[f64],
    notes: &mut Notes<'_>,
) -> Result<Output, String> {
    let q = args[0];
    if !w.values.is_empty() && !(0.0..=1.0).contains(&q) {
        notes.warn(notes::invalid_quantile(q));
    }
    Ok(of_floats(w, notes, |v, notes| quantile_of(q, v, |v| v, notes)))
}

/// The quantile of `map` of each of `values`; a long list is not sorted.
fn quantile_of(q: f64, values: &[f64], map: impl Fn(f64) -> f64, notes: &mut Notes<'_>) -> f64 {
    if values.len() > PIECE {
        return quantile_of_many(q, values, map, &mut || notes.poll());
    }
    quantile(q, &mut values.iter().map(|v| map(*v)).collect::<Vec<f64>>())
}

/// `mad_over_time(m)`: the median distance from the median; NaN where any value is.
pub fn mad_over_time(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    Ok(of_floats(w, notes, |v, notes| {
        if notes.pieces(v).any(|piece| piece.iter().any(|v| v.is_nan())) {
            return f64::NAN;
        }
        let median = quantile_of(0.5, v, |v| v, notes);
        quantile_of(0.5, v, |v| (v - median).abs(), notes)
    }))
}
