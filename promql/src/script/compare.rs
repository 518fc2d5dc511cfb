//! Whether a result is the expected one (contract 4.4).

use std::sync::Arc;

use hashbrown::HashMap;
use model::{CounterResetHint, FloatHistogram, Labels};

use super::command::{name, timed};
use super::series::{Item, SeriesLine};
use crate::engine::{MatrixSeries, SampleValue, VectorSample};
use crate::histogram::arithmetic::compacted;
use crate::histogram::{compare, print};
use crate::number::format_f;
use crate::quantile::almost_equal;

/// How far a float may be off, relatively.
const EPSILON: f64 = 1e-6;

/// Checks an instant vector; with `ordered` the order counts too.
pub(super) fn vector(
    want: &[SeriesLine],
    got: &[VectorSample],
    ordered: bool,
) -> Result<(), String> {
    let mut places: HashMap<&Labels, usize> = HashMap::new();
    for (i, sample) in got.iter().enumerate() {
        if places.insert(&sample.labels, i).is_some() {
            return Err(format!("{} is twice in the result", name(&sample.labels)));
        }
    }
    for (i, line) in want.iter().enumerate() {
        let Some(at) = places.remove(&line.labels) else {
            return Err(format!("expected {} in the result, got {}", line.labels, list(got)));
        };
        if ordered && at != i {
            return Err(format!("expected {} at place {i}, it is at {at}", line.labels));
        }
        let [Some(item)] = line.values.as_slice() else {
            return Err(format!("expected one value for {}", line.labels));
        };
        let got = match &got[at].value {
            SampleValue::Float(v) => Got::Float(*v),
            SampleValue::Histogram(h) => Got::Histogram(h),
        };
        same(item, got).map_err(|e| format!("{}: {e}", line.labels))?;
    }
    match places.keys().next() {
        Some(labels) => Err(format!("unexpected {} in the result", name(labels))),
        None => Ok(()),
    }
}

fn list(got: &[VectorSample]) -> String {
    let names: Vec<String> = got.iter().map(|s| s.labels.to_string()).collect();
    format!("[{}]", names.join(" "))
}

/// Checks a matrix whose points are at `start_ms`, `start_ms + step_ms` and so on.
pub(super) fn matrix(
    want: &[SeriesLine],
    got: &[MatrixSeries],
    start_ms: i64,
    step_ms: i64,
) -> Result<(), String> {
    if !got.windows(2).all(|w| w[0].labels < w[1].labels) {
        return Err("the result is not sorted by labels".to_owned());
    }
    let mut rest: HashMap<&Labels, &MatrixSeries> = got.iter().map(|s| (&s.labels, s)).collect();
    for line in want {
        let points: Vec<(i64, &Item)> = timed(line, start_ms, step_ms).collect();
        if points.is_empty() {
            continue;
        }
        let series = rest.remove(&line.labels).ok_or_else(|| {
            let names: Vec<String> = got.iter().map(|s| s.labels.to_string()).collect();
            format!("expected {} in the result, got [{}]", line.labels, names.join(" "))
        })?;
        points_of(series, &points).map_err(|e| format!("{}: {e}", line.labels))?;
    }
    match rest.keys().next() {
        Some(labels) => Err(format!("unexpected {} in the result", name(labels))),
        None => Ok(()),
    }
}

fn points_of(series: &MatrixSeries, want: &[(i64, &Item)]) -> Result<(), String> {
    let mut got: Vec<(i64, Got<'_>)> = series
        .floats
        .iter()
        .map(|(t, v)| (*t, Got::Float(*v)))
        .chain(series.histograms.iter().map(|(t, h)| (*t, Got::Histogram(h))))
        .collect();
    got.sort_by_key(|(t, _)| *t);
    for (i, (t_ms, item)) in want.iter().enumerate() {
        match got.get(i) {
            Some((t, got)) if t == t_ms => same(item, *got).map_err(|e| format!("@{t_ms}: {e}"))?,
            Some((t, _)) => {
                return Err(format!("expected a point at {t_ms} ms, got one at {t} ms"));
            }
            None => return Err(format!("expected a point at {t_ms} ms, got none")),
        }
    }
    match got.get(want.len()) {
        Some((t, _)) => Err(format!("unexpected point at {t} ms")),
        None => Ok(()),
    }
}

#[derive(Clone, Copy)]
enum Got<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

/// Checks a scalar.
pub(super) fn scalar(want: f64, got: f64) -> Result<(), String> {
    if almost_equal(want, got, EPSILON) {
        Ok(())
    } else {
        Err(format!("expected {}, got {}", format_f(want), format_f(got)))
    }
}

fn same(want: &Item, got: Got<'_>) -> Result<(), String> {
    match (want, got) {
        (Item::Float(want), Got::Float(got)) => scalar(*want, got),
        (Item::Histogram(want), Got::Histogram(got)) => {
            let hint = want.hint == CounterResetHint::Unknown || want.hint == got.hint;
            let (compact_want, compact_got) = (compacted(want), compacted(got));
            if hint && compare::almost_equals(&compact_want, &compact_got, EPSILON) {
                return Ok(());
            }
            let (want, got) = (print::to_test_expression(want), print::to_test_expression(got));
            Err(format!("expected {want}, got {got}"))
        }
        (Item::Float(want), Got::Histogram(got)) => {
            let got = print::to_test_expression(got);
            Err(format!("expected {}, got histogram {got}", format_f(*want)))
        }
        (Item::Histogram(want), Got::Float(got)) => {
            let want = print::to_test_expression(want);
            Err(format!("expected histogram {want}, got {}", format_f(got)))
        }
    }
}
