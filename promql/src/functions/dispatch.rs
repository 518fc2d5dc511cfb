//! From a function's name to what computes it, to be asked once per query.

use model::Need;

use super::rate::Kind;
use super::rate::extended::{self, Modifier};
use super::window::{Notes, Output, Window};
use super::{math, over_time, rate, regression, time};
use crate::elementary;

/// Computes one window. The numbers are the scalar arguments in the order of the text, the range
/// left out.
pub type RangeFn = fn(&Window<'_>, &[f64], &mut Notes<'_>) -> Result<Output, String>;

/// A function of a range vector.
#[derive(Debug, Clone, Copy)]
pub struct RangeKernel {
    /// Computes one window.
    pub eval: RangeFn,
    /// Whether the result keeps the metric name: `first_over_time` and `last_over_time`.
    pub keeps_name: bool,
    /// What of a window of floats without start times the function looks at.
    pub needs: Need,
}

/// The kernel of the range function `name`; `None` for every other function, and for
/// `absent_over_time`, which needs all series at once.
pub fn range_kernel(name: &str) -> Option<RangeKernel> {
    let eval: RangeFn = match name {
        "avg_over_time" => over_time::avg_over_time,
        "changes" => rate::changes,
        "count_over_time" => over_time::count_over_time,
        "delta" => rate::delta,
        "deriv" => regression::deriv,
        "double_exponential_smoothing" => regression::double_exponential_smoothing,
        "first_over_time" => over_time::first_over_time,
        "idelta" => rate::idelta,
        "increase" => rate::increase,
        "irate" => rate::irate,
        "last_over_time" => over_time::last_over_time,
        "mad_over_time" => over_time::mad_over_time,
        "max_over_time" => over_time::max_over_time,
        "min_over_time" => over_time::min_over_time,
        "predict_linear" => regression::predict_linear,
        "present_over_time" => over_time::present_over_time,
        "quantile_over_time" => over_time::quantile_over_time,
        "rate" => rate::rate,
        "resets" => rate::resets,
        "stddev_over_time" => over_time::stddev_over_time,
        "stdvar_over_time" => over_time::stdvar_over_time,
        "sum_over_time" => over_time::sum_over_time,
        "ts_of_first_over_time" => over_time::ts_of_first,
        "ts_of_last_over_time" => over_time::ts_of_last,
        "ts_of_max_over_time" => over_time::ts_of_max,
        "ts_of_min_over_time" => over_time::ts_of_min,
        _ => return None,
    };
    let keeps_name = matches!(name, "first_over_time" | "last_over_time");
    Some(RangeKernel { eval, keeps_name, needs: needs(name) })
}

/// What function `name` looks at. Sums are not here: their bits depend on each sample and its place.
fn needs(name: &str) -> Need {
    let edges = |first, last| Need::Edges { first, last };
    match name {
        "increase" | "rate" | "resets" => Need::Falls,
        "count_over_time" | "present_over_time" => Need::COUNT,
        "delta" => edges(1, 1),
        "first_over_time" | "ts_of_first_over_time" => edges(1, 0),
        "last_over_time" | "ts_of_last_over_time" => edges(0, 1),
        "idelta" | "irate" => edges(0, 2),
        "max_over_time" => Need::Greatest,
        "min_over_time" => Need::Least,
        _ => Need::All,
    }
}

/// The kernel of `name` over a range that is `anchored` or `smoothed`; its window has the samples
/// that the modifier reads beyond the bounds. `None` where [`Modifier::refusal`] is the error.
pub fn extended_kernel(name: &str, modifier: Modifier) -> Option<RangeKernel> {
    use Kind::{Delta, Increase, Rate};
    use Modifier::{Anchored, Smoothed};
    let eval: RangeFn = match (name, modifier) {
        ("rate", Anchored) => |w, _, n| Ok(extended::rate(w, n, Rate, Anchored)),
        ("rate", Smoothed) => |w, _, n| Ok(extended::rate(w, n, Rate, Smoothed)),
        ("increase", Anchored) => |w, _, n| Ok(extended::rate(w, n, Increase, Anchored)),
        ("increase", Smoothed) => |w, _, n| Ok(extended::rate(w, n, Increase, Smoothed)),
        ("delta", Anchored) => |w, _, n| Ok(extended::rate(w, n, Delta, Anchored)),
        ("delta", Smoothed) => |w, _, n| Ok(extended::rate(w, n, Delta, Smoothed)),
        ("changes", Anchored) => |w, _, n| Ok(extended::changes(w, n)),
        ("resets", Anchored) => |w, _, n| Ok(extended::resets(w, n)),
        _ => return None,
    };
    Some(RangeKernel { eval, keeps_name: false, needs: Need::All })
}

/// The function `name` of one float, calendar functions included; histograms have no answer.
/// `round` and the clamps, which take arguments, are in [`math`].
pub fn element_kernel(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => elementary::acos,
        "acosh" => elementary::acosh,
        "asin" => elementary::asin,
        "asinh" => elementary::asinh,
        "atan" => elementary::atan,
        "atanh" => elementary::atanh,
        "ceil" => f64::ceil,
        "cos" => elementary::cos,
        "cosh" => elementary::cosh,
        "day_of_month" => time::day_of_month,
        "day_of_week" => time::day_of_week,
        "day_of_year" => time::day_of_year,
        "days_in_month" => time::days_in_month,
        "deg" => math::deg,
        "exp" => elementary::exp,
        "floor" => f64::floor,
        "hour" => time::hour,
        "ln" => elementary::ln,
        "log10" => elementary::log10,
        "log2" => elementary::log2,
        "minute" => time::minute,
        "month" => time::month,
        "rad" => math::rad,
        "sgn" => math::sgn,
        "sin" => elementary::sin,
        "sinh" => elementary::sinh,
        "sqrt" => f64::sqrt,
        "tan" => elementary::tan,
        "tanh" => elementary::tanh,
        "year" => time::year,
        _ => return None,
    })
}
