//! The quantile of a list of numbers (contract 3.7), and approximate equality (contract 3.7, 4.4).

mod select;

use std::cmp::Ordering;

pub use select::quantile_of_many;

/// The `q`-quantile of `values`, which are sorted by this, NaN lowest. NaN where there is nothing
/// or `q` is NaN; infinite where `q` is outside `[0, 1]`.
pub fn quantile(q: f64, values: &mut [f64]) -> f64 {
    let (low, high, weight) = match ranks(q, values.len()) {
        Ok(ranks) => ranks,
        Err(answer) => return answer,
    };
    values.sort_unstable_by(nan_first);
    values[low] * (1.0 - weight) + values[high] * weight
}

/// The places in the sorted list that the `q`-quantile of `len` values lies between, and the weight of
/// the second one; or the quantile, where it does not depend on the values.
fn ranks(q: f64, len: usize) -> Result<(usize, usize, f64), f64> {
    if len == 0 || q.is_nan() {
        return Err(f64::NAN);
    }
    if q < 0.0 {
        return Err(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return Err(f64::INFINITY);
    }
    #[expect(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
    let last = (len - 1) as f64;
    let rank = q * last;
    let low = rank.floor().max(0.0);
    let high = last.min(low + 1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "ranks are between zero and the length"
    )]
    Ok((low as usize, high as usize, rank - rank.floor()))
}

/// Ascending, NaN before every number.
pub fn nan_first(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// Ascending, NaN after every number: the order of `sort()`.
pub fn nan_last(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Whether `a` and `b` are equal up to the relative difference `epsilon`, by the rule that
/// Prometheus uses in its tests and for the precision of bucket counts. A stale marker equals only
/// a stale marker, another NaN every NaN but that.
pub fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    if model::is_stale(a) || model::is_stale(b) {
        return model::is_stale(a) && model::is_stale(b);
    }
    if a.is_nan() && b.is_nan() {
        return true;
    }
    #[expect(clippy::float_cmp, reason = "equal infinities have no difference")]
    if a == b {
        return true;
    }
    let size = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return difference < epsilon * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < epsilon
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::float_cmp,
        clippy::cast_precision_loss,
        reason = "golden values, compared to the bit"
    )]
    use super::*;
    use proptest::{collection::vec, prelude::*};

    #[test]
    fn quantiles_interpolate_between_ranks() {
        assert_eq!(quantile(0.25, &mut [7.0, 1.0]), 2.5);
        assert_eq!(quantile(0.5, &mut [1.0, 3.0, f64::NAN, 4.0, 2.0]), 2.0);
        assert_eq!(quantile(1.0, &mut [1.0, 3.0]), 3.0);
        assert_eq!(quantile(-0.1, &mut [1.0]), f64::NEG_INFINITY);
        assert_eq!(quantile(1.1, &mut [1.0]), f64::INFINITY);
        assert!(quantile(f64::NAN, &mut [1.0]).is_nan());
        assert!(quantile(0.5, &mut []).is_nan());
    }

    #[test]
    fn almost_equal_judges_the_special_values() {
        let stale = model::stale_nan();
        for (a, b, want) in [
            (stale, stale, true),
            (stale, f64::NAN, false),
            (f64::NAN, f64::NAN, true),
            (f64::NAN, 1.0, false),
            (f64::INFINITY, f64::INFINITY, true),
            (f64::INFINITY, f64::NEG_INFINITY, false),
            (f64::INFINITY, 1.0, false),
            (0.0, -0.0, true),
            (0.0, 1e-300, false),
            (1.0, 1.0 + 1e-7, true),
            (1.0, 1.0 + 1e-5, false),
            (f64::MAX, f64::MAX * 0.999_999_999, true),
        ] {
            assert_eq!(almost_equal(a, b, 1e-6), want, "{a} {b}");
            assert_eq!(almost_equal(b, a, 1e-6), want, "{b} {a}");
        }
    }

    proptest! {
        /// A quantile of numbers without NaN lies between its neighbours in the sorted list.
        #[test]
        fn a_quantile_lies_between_its_neighbours(
            mut values in vec(-1e9_f64..1e9, 1..30), q in 0.0_f64..=1.0,
        ) {
            let got = quantile(q, &mut values);
            prop_assert!(values.is_sorted());
            let below = values.iter().filter(|v| **v < got - 1e-3).count() as f64;
            let above = values.iter().filter(|v| **v > got + 1e-3).count() as f64;
            let n = values.len() as f64 - 1.0;
            prop_assert!(below <= (q * n).ceil() + 0.5 && above <= ((1.0 - q) * n).ceil() + 0.5);
        }
    }
}
