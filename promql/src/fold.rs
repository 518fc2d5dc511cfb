//! The folds of the aggregations (contract 3.8): a group's answer, to which samples are added in
//! series order. The rows hold a whole range query of one group, a place per step.

use crate::sum::{Mean, Sum, Welford, add};

/// Which steps of a row have a sample: one bit each, the first step in the lowest bit.
pub type Present = [u64];

/// Whether step `i` is present.
#[inline]
pub fn is_present(present: &Present, i: usize) -> bool {
    present[i / 64] >> (i % 64) & 1 == 1
}

/// Calls `f` with each present step below `len`, ascending.
#[inline]
fn for_each_present(present: &Present, len: usize, mut f: impl FnMut(usize)) {
    for (word, bits) in present.iter().enumerate() {
        let base = word * 64;
        if *bits == u64::MAX && base + 64 <= len {
            (base..base + 64).for_each(&mut f);
            continue;
        }
        let mut bits = *bits;
        while bits != 0 {
            let i = base + bits.trailing_zeros() as usize;
            if i >= len {
                return;
            }
            f(i);
            bits &= bits - 1;
        }
    }
}

/// The better of two numbers for `min`: a number wins over NaN.
#[inline]
pub fn min(best: f64, x: f64) -> f64 {
    if best > x || best.is_nan() { x } else { best }
}

/// The better of two numbers for `max`: a number wins over NaN.
#[inline]
pub fn max(best: f64, x: f64) -> f64 {
    if best < x || best.is_nan() { x } else { best }
}

/// `sum` over the steps of a row.
#[derive(Debug, Clone, Default)]
pub struct SumRow {
    sums: Vec<f64>,
    lost: Vec<f64>,
}

impl SumRow {
    /// A row of `len` steps.
    pub fn new(len: usize) -> Self {
        Self { sums: vec![0.0; len], lost: vec![0.0; len] }
    }

    /// Adds the present values of a series.
    pub fn add(&mut self, values: &[f64], present: &Present) {
        let len = self.sums.len();
        if present.iter().map(|w| w.count_ones() as usize).sum::<usize>() == len {
            // No step is missing: one pass without a branch.
            for ((sum, lost), x) in self.sums.iter_mut().zip(&mut self.lost).zip(values) {
                (*sum, *lost) = add(*x, *sum, *lost);
            }
            return;
        }
        for_each_present(present, len, |i| {
            (self.sums[i], self.lost[i]) = add(values[i], self.sums[i], self.lost[i]);
        });
    }

    /// The sum at step `i`.
    pub fn value(&self, i: usize) -> f64 {
        Sum { sum: self.sums[i], lost: self.lost[i] }.total()
    }
}

/// A row of any fold that takes one number at a time.
#[derive(Debug, Clone)]
pub struct Row<F> {
    steps: Vec<F>,
}

/// A fold of numbers.
pub trait Fold: Default + Clone {
    /// Takes `x` in.
    fn add(&mut self, x: f64);
    /// The answer; what it is of nothing has no meaning.
    fn value(&self) -> f64;
}

impl<F: Fold> Row<F> {
    /// A row of `len` steps.
    pub fn new(len: usize) -> Self {
        Self { steps: vec![F::default(); len] }
    }

    /// Adds the present values of a series.
    pub fn add(&mut self, values: &[f64], present: &Present) {
        let len = self.steps.len();
        for_each_present(present, len, |i| self.steps[i].add(values[i]));
    }

    /// The answer at step `i`.
    pub fn value(&self, i: usize) -> f64 {
        self.steps[i].value()
    }
}

/// `sum`
impl Fold for Sum {
    fn add(&mut self, x: f64) {
        Self::add(self, x);
    }

    fn value(&self) -> f64 {
        self.total()
    }
}

/// `avg`
impl Fold for Mean {
    fn add(&mut self, x: f64) {
        Self::add(self, x);
    }

    fn value(&self) -> f64 {
        Self::value(self)
    }
}

/// `stdvar`; `stddev` is its square root.
impl Fold for Welford {
    fn add(&mut self, x: f64) {
        Self::add(self, x);
    }

    fn value(&self) -> f64 {
        self.variance()
    }
}

/// `min`
#[derive(Debug, Clone, Copy)]
pub struct Min(f64);

impl Default for Min {
    fn default() -> Self {
        Self(f64::NAN)
    }
}

impl Fold for Min {
    fn add(&mut self, x: f64) {
        self.0 = min(self.0, x);
    }

    fn value(&self) -> f64 {
        self.0
    }
}

/// `max`
#[derive(Debug, Clone, Copy)]
pub struct Max(f64);

impl Default for Max {
    fn default() -> Self {
        Self(f64::NAN)
    }
}

impl Fold for Max {
    fn add(&mut self, x: f64) {
        self.0 = max(self.0, x);
    }

    fn value(&self) -> f64 {
        self.0
    }
}

/// `count`
#[derive(Debug, Clone, Copy, Default)]
pub struct Count(f64);

impl Fold for Count {
    fn add(&mut self, _: f64) {
        self.0 += 1.0;
    }

    fn value(&self) -> f64 {
        self.0
    }
}

/// `group`
#[derive(Debug, Clone, Copy, Default)]
pub struct Group;

impl Fold for Group {
    fn add(&mut self, _: f64) {}

    fn value(&self) -> f64 {
        1.0
    }
}

/// Whether `x` belongs before `y` in `topk`, or with `descending` false in `bottomk`: NaN loses
/// against every number.
pub fn ranks_before(x: f64, y: f64, descending: bool) -> bool {
    if descending {
        x > y || (y.is_nan() && !x.is_nan())
    } else {
        x < y || (y.is_nan() && !x.is_nan())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn bits(present: &[bool]) -> Vec<u64> {
        let mut out = vec![0; present.len().div_ceil(64)];
        for (i, p) in present.iter().enumerate() {
            out[i / 64] |= u64::from(*p) << (i % 64);
        }
        out
    }

    #[test]
    fn nan_is_the_least_wanted() {
        assert!(min(f64::NAN, f64::NAN).is_nan());
        assert!(
            [min(f64::NAN, 8.0), min(8.0, f64::NAN), max(f64::NAN, 8.0), max(8.0, f64::NAN)]
                .iter()
                .all(|v| (v - 8.0).abs() < 1e-9)
        );
        assert!(ranks_before(1.0, f64::NAN, true) && ranks_before(1.0, f64::NAN, false));
        assert!(!ranks_before(f64::NAN, 1.0, true) && !ranks_before(f64::NAN, f64::NAN, false));
    }

    proptest! {
        /// A row gives what its steps give one by one, whatever is missing.
        #[test]
        fn rows_equal_their_steps(
            series in vec((vec(-1e300_f64..1e300, 130), vec(any::<bool>(), 130), any::<bool>()), 0..5),
        ) {
            let mut sums = SumRow::new(130);
            let mut means = Row::<Mean>::new(130);
            let mut least = Row::<Min>::new(130);
            let mut steps = vec![(Sum::default(), Mean::default(), Min::default()); 130];
            for (values, present, full) in &series {
                let present: Vec<bool> = present.iter().map(|p| *p || *full).collect();
                let packed = bits(&present);
                sums.add(values, &packed);
                means.add(values, &packed);
                least.add(values, &packed);
                for i in (0..130).filter(|i| present[*i]) {
                    prop_assert!(is_present(&packed, i));
                    steps[i].0.add(values[i]);
                    steps[i].1.add(values[i]);
                    Fold::add(&mut steps[i].2, values[i]);
                }
            }
            for (i, (sum, mean, min)) in steps.iter().enumerate() {
                prop_assert_eq!(sums.value(i).to_bits(), sum.total().to_bits());
                prop_assert_eq!(means.value(i).to_bits(), mean.value().to_bits());
                prop_assert_eq!(least.value(i).to_bits(), min.value().to_bits());
            }
        }
    }
}
