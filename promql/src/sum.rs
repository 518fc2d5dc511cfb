//! Sums, means and variances with the rounding of Prometheus (contract 3.7): every operation in
//! this order, because the last bit of a sum is visible in an answer.

/// A sum with the running compensation of Neumaier.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sum {
    /// The sum as plain addition gives it.
    pub sum: f64,
    /// What rounding has lost so far.
    pub lost: f64,
}

impl Sum {
    /// Adds `x`.
    #[inline]
    pub fn add(&mut self, x: f64) {
        (self.sum, self.lost) = add(x, self.sum, self.lost);
    }

    /// Adds `values`.
    #[inline]
    pub fn extend(&mut self, values: &[f64]) {
        // In registers.
        let mut s = *self;
        for v in values {
            s.add(*v);
        }
        *self = s;
    }

    /// The compensated sum.
    #[inline]
    pub fn total(self) -> f64 {
        self.sum + self.lost
    }

    /// The compensated sum, unless it overflowed.
    #[inline]
    pub fn finite_total(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.total() }
    }
}

/// `sum + x` and the new compensation; an infinite sum has none.
#[inline]
#[must_use]
pub fn add(x: f64, sum: f64, lost: f64) -> (f64, f64) {
    let t = sum + x;
    let error = if sum.abs() >= x.abs() { (sum - t) + x } else { (x - t) + sum };
    (t, if t.is_infinite() { 0.0 } else { lost + error })
}

/// The sum of `values`: compensated, unless it overflowed.
#[inline]
pub fn sum(values: &[f64]) -> f64 {
    let mut s = Sum::default();
    s.extend(values);
    s.finite_total()
}

/// An arithmetic mean: a compensated sum until that overflows, and from there on a running mean.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Mean {
    /// Sum, or mean once `incremental`.
    acc: Sum,
    count: f64,
    incremental: bool,
}

impl Mean {
    /// Takes `x` in.
    #[inline]
    pub fn add(&mut self, x: f64) {
        if self.count == 0.0 {
            (self.count, self.acc.sum) = (1.0, x);
            return;
        }
        self.count += 1.0;
        if !self.incremental {
            let (sum, lost) = add(x, self.acc.sum, self.acc.lost);
            if !sum.is_infinite() {
                self.acc = Sum { sum, lost };
                return;
            }
            self.incremental = true;
            self.acc.sum /= self.count - 1.0;
            self.acc.lost /= self.count - 1.0;
        }
        let q = (self.count - 1.0) / self.count;
        (self.acc.sum, self.acc.lost) = add(x / self.count, q * self.acc.sum, q * self.acc.lost);
    }

    /// Takes `values` in.
    #[inline]
    pub fn extend(&mut self, values: &[f64]) {
        let mut mean = *self;
        for v in values {
            mean.add(*v);
        }
        *self = mean;
    }

    /// How many numbers were taken in.
    pub const fn count(&self) -> f64 {
        self.count
    }

    /// The mean; NaN of nothing.
    #[inline]
    pub fn value(&self) -> f64 {
        if self.incremental {
            self.acc.sum + self.acc.lost
        } else {
            self.acc.sum / self.count + self.acc.lost / self.count
        }
    }
}

/// The mean of `values`.
#[inline]
pub fn mean(values: &[f64]) -> f64 {
    let mut mean = Mean::default();
    mean.extend(values);
    mean.value()
}

/// The population variance by Welford's method with compensated sums: what `stdvar_over_time` answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Variance {
    mean: Sum,
    squares: Sum,
    count: f64,
}

impl Variance {
    /// Takes `values` in.
    #[inline]
    pub fn extend(&mut self, values: &[f64]) {
        let Self { mut mean, mut squares, mut count } = *self;
        for v in values {
            count += 1.0;
            let delta = v - mean.total();
            mean.add(delta / count);
            squares.add(delta * (v - mean.total()));
        }
        *self = Self { mean, squares, count };
    }

    /// The variance; NaN of nothing.
    #[inline]
    pub fn value(&self) -> f64 {
        self.squares.total() / self.count
    }
}

/// The [`Variance`] of `values`.
pub fn variance(values: &[f64]) -> f64 {
    let mut variance = Variance::default();
    variance.extend(values);
    variance.value()
}

/// The population variance by Welford's method in plain arithmetic: what the aggregations `stdvar`
/// and `stddev` compute.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Welford {
    mean: f64,
    squares: f64,
    count: f64,
}

impl Welford {
    /// Takes `x` in. Where the first number is not finite the variance stays NaN.
    #[inline]
    pub fn add(&mut self, x: f64) {
        if self.count == 0.0 {
            let squares = if x.is_finite() { 0.0 } else { f64::NAN };
            *self = Self { mean: x, squares, count: 1.0 };
            return;
        }
        self.count += 1.0;
        let delta = x - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (x - self.mean);
    }

    /// How many numbers were taken in.
    pub const fn count(&self) -> f64 {
        self.count
    }

    /// The variance; NaN of nothing.
    #[inline]
    pub fn variance(&self) -> f64 {
        self.squares / self.count
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unreadable_literal,
        clippy::float_cmp,
        reason = "golden values, compared to the bit"
    )]
    use super::*;
    use proptest::{collection::vec, prelude::*};

    #[test]
    fn sums_keep_what_plain_addition_loses() {
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum(&[1e308, 1e308, -1e308]), f64::INFINITY);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(sum(&[]), 0.0);
    }

    #[test]
    fn a_mean_survives_the_overflow_of_its_sum() {
        assert_eq!(mean(&[1e308, 1e308, -1e308]), 3.333333333333333e307);
        assert_eq!(mean(&[7.0, 7.0, 8.0, 8.0, 1.0]), 6.2);
        assert_eq!(mean(&[f64::INFINITY]), f64::INFINITY);
        assert_eq!(mean(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(mean(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(mean(&[1.0, f64::NAN]).is_nan());
        assert!(mean(&[]).is_nan());
    }

    #[test]
    fn variances_follow_the_reference() {
        assert_eq!(variance(&[7.0, 7.0, 8.0, 8.0, 1.0]), 6.960000000000001);
        let mut w = Welford::default();
        for v in [1.0, 7.0] {
            w.add(v);
        }
        assert_eq!(w.variance().sqrt(), 3.0);
        let mut w = Welford::default();
        for v in [f64::INFINITY, 1.0] {
            w.add(v);
        }
        assert!(w.variance().is_nan());
        assert!(variance(&[]).is_nan());
    }

    proptest! {
        /// Integers sum exactly in any order, so the compensation must vanish.
        #[test]
        fn integers_sum_exactly(values in vec(-1_000_000_i64..1_000_000, 0..50)) {
            #[expect(clippy::cast_precision_loss, reason = "small integers are exact")]
            let floats: Vec<f64> = values.iter().map(|v| *v as f64).collect();
            #[expect(clippy::cast_precision_loss, reason = "small integers are exact")]
            let want = values.iter().sum::<i64>() as f64;
            prop_assert_eq!(sum(&floats), want);
        }

        #[test]
        fn a_mean_lies_between_its_extremes(values in vec(-1e308_f64..1e308, 1..20)) {
            let m = mean(&values);
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let slack = (low.abs() + high.abs()) * 1e-15;
            prop_assert!(m >= low - slack && m <= high + slack, "{m} {low} {high}");
        }
    }
}
