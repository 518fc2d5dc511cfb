//! `deriv`, `predict_linear` and `double_exponential_smoothing` (contract 3.11).
#![expect(
    clippy::missing_errors_doc,
    reason = "the signature is that of RangeFn; one says how it fails"
)]

use super::notes;
use super::window::{Notes, Output, Window};
use crate::number;
use crate::sum::Sum;

/// Whether the window has the two floats that a trend needs. Histograms beside floats are said to
/// be ignored.
fn has_trend(w: &Window<'_>, notes: &mut Notes<'_>) -> bool {
    if !w.values.is_empty() && !w.histograms.is_empty() {
        notes.info(notes::ignored_histograms(notes.metric_name));
    }
    w.values.len() >= 2
}

/// Slope per second, and value at `origin_ms`, of the least-squares line through the samples.
fn linear_regression(
    times: &[i64],
    values: &[f64],
    origin_ms: i64,
    notes: &mut Notes<'_>,
) -> (f64, f64) {
    #[expect(clippy::float_cmp, reason = "only a line without any change has no slope")]
    let constant = notes.pieces(values).all(|piece| piece.iter().all(|v| *v == values[0]));
    if constant {
        let y = values[0];
        return if y.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, y) };
    }
    let (mut n, mut xs, mut ys) = (0.0, Sum::default(), Sum::default());
    let (mut xys, mut x2s) = (Sum::default(), Sum::default());
    for (i, (t, y)) in times.iter().zip(values).enumerate() {
        if !notes.goes_on(i) {
            break;
        }
        n += 1.0;
        #[expect(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
        let x = (t - origin_ms) as f64 / 1e3;
        xs.add(x);
        ys.add(*y);
        xys.add(x * y);
        x2s.add(x * x);
    }
    let (sum_x, sum_y) = (xs.total(), ys.total());
    let covariance = xys.total() - sum_x * sum_y / n;
    let variance = x2s.total() - sum_x * sum_x / n;
    let slope = covariance / variance;
    (slope, sum_y / n - slope * sum_x / n)
}

/// `deriv(m)`
pub fn deriv(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    if !has_trend(w, notes) {
        return Ok(Output::Nothing);
    }
    // Relative to the first sample, because large times would eat the precision.
    let (slope, _) = linear_regression(w.times, w.values, w.times[0], notes);
    Ok(Output::Float(slope))
}

/// `predict_linear(m, seconds)`: relative to the evaluation time.
pub fn predict_linear(
    w: &Window<'_>,
    args: &[f64],
    notes: &mut Notes<'_>,
) -> Result<Output, String> {
    if !has_trend(w, notes) {
        return Ok(Output::Nothing);
    }
    let (slope, intercept) = linear_regression(w.times, w.values, w.step_ms, notes);
    Ok(Output::Float(slope * args[0] + intercept))
}

/// `double_exponential_smoothing(m, smoothing factor, trend factor)`
///
/// # Errors
/// Where a factor is not between zero and one.
pub fn double_exponential_smoothing(
    w: &Window<'_>,
    args: &[f64],
    notes: &mut Notes<'_>,
) -> Result<Output, String> {
    let (smoothing, trend) = (args[0], args[1]);
    for (v, name, short) in [(smoothing, "smoothing", "sf"), (trend, "trend", "tf")] {
        if v <= 0.0 || v >= 1.0 {
            return Err(format!(
                "invalid {name} factor. Expected: 0 < {short} < 1, got: {}",
                number::format_f6(v)
            ));
        }
    }
    if !has_trend(w, notes) {
        return Ok(Output::Nothing);
    }
    let (mut before, mut level) = (0.0, w.values[0]);
    let mut slope = w.values[1] - w.values[0];
    for (i, v) in w.values.iter().enumerate().skip(1) {
        if !notes.goes_on(i) {
            break;
        }
        let scaled = smoothing * v;
        if i > 1 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let carried = (1.0 - smoothing) * (level + slope);
        (before, level) = (level, scaled + carried);
    }
    Ok(Output::Float(level))
}
