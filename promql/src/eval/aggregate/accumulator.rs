//! The accumulators of the folds (contract 3.8): a group's answer at each step, to which samples
//! are added in series order.

use crate::eval::Bits;
use crate::sum;

/// How one aggregation folds the floats of a row into the steps of its group.
pub(super) trait Accumulator: Default {
    /// What the group keeps: room for `steps` steps.
    fn with_steps(steps: usize) -> Self;

    /// Takes in `values` where `present`.
    fn fold(&mut self, values: &[f64], present: &Bits);

    /// The result at a step that has been seen.
    fn value(&self, step: usize) -> f64;

    /// Bytes held.
    fn bytes(&self) -> usize;

    /// What the operator does with histograms.
    const HISTOGRAMS: Histograms;

    /// The operator's name in annotations.
    const NAME: &'static str;
}

/// What an aggregation does with histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Histograms {
    /// Adds them up.
    Sum,
    /// Adds them up and divides.
    Mean,
    /// Counts them as it counts floats.
    Count,
    /// Leaves them out and says so.
    Ignore,
}

/// Calls `f` for each step in `present`, without a test a step where that is all of them.
#[inline]
fn each(values: &[f64], present: &Bits, mut f: impl FnMut(usize, f64)) {
    if present.is_full() {
        for (step, v) in values.iter().enumerate() {
            f(step, *v);
        }
    } else {
        for step in present.iter() {
            f(step, values[step]);
        }
    }
}

/// `sum`
#[derive(Default)]
pub(super) struct Total {
    sums: Vec<f64>,
    lost: Vec<f64>,
}

impl Accumulator for Total {
    const HISTOGRAMS: Histograms = Histograms::Sum;
    const NAME: &'static str = "sum";

    fn with_steps(steps: usize) -> Self {
        // Minus zero is what added to any number, itself included, gives that number.
        Self { sums: vec![-0.0; steps], lost: vec![0.0; steps] }
    }

    fn fold(&mut self, values: &[f64], present: &Bits) {
        if present.is_full() {
            // Plain slices of one length: the loop the compiler turns into vector code.
            let pairs = self.sums.iter_mut().zip(&mut self.lost);
            for ((sum, lost), v) in pairs.zip(values) {
                (*sum, *lost) = sum::add(*v, *sum, *lost);
            }
            return;
        }
        for step in present.iter() {
            let (sum, lost) = (&mut self.sums[step], &mut self.lost[step]);
            (*sum, *lost) = sum::add(values[step], *sum, *lost);
        }
    }

    fn value(&self, step: usize) -> f64 {
        self.sums[step] + self.lost[step]
    }

    fn bytes(&self) -> usize {
        self.sums.len() * 16
    }
}

/// `avg`
#[derive(Default)]
pub(super) struct Average(Vec<sum::Mean>);

impl Accumulator for Average {
    const HISTOGRAMS: Histograms = Histograms::Mean;
    const NAME: &'static str = "avg";

    fn with_steps(steps: usize) -> Self {
        Self(vec![sum::Mean::default(); steps])
    }

    fn fold(&mut self, values: &[f64], present: &Bits) {
        each(values, present, |step, v| self.0[step].add(v));
    }

    fn value(&self, step: usize) -> f64 {
        self.0[step].value()
    }

    fn bytes(&self) -> usize {
        size_of_val(self.0.as_slice())
    }
}

/// `count`; histograms count too.
#[derive(Default)]
pub(super) struct Count(Vec<f64>);

impl Accumulator for Count {
    const HISTOGRAMS: Histograms = Histograms::Count;
    const NAME: &'static str = "count";

    fn with_steps(steps: usize) -> Self {
        Self(vec![0.0; steps])
    }

    fn fold(&mut self, values: &[f64], present: &Bits) {
        each(values, present, |step, _| self.0[step] += 1.0);
    }

    fn value(&self, step: usize) -> f64 {
        self.0[step]
    }

    fn bytes(&self) -> usize {
        self.0.len() * 8
    }
}

/// `group`: 1 where there is anything.
#[derive(Default)]
pub(super) struct Group;

impl Accumulator for Group {
    const HISTOGRAMS: Histograms = Histograms::Count;
    const NAME: &'static str = "group";

    fn with_steps(_: usize) -> Self {
        Self
    }

    fn fold(&mut self, _: &[f64], _: &Bits) {}

    fn value(&self, _: usize) -> f64 {
        1.0
    }

    fn bytes(&self) -> usize {
        0
    }
}

/// A fold that keeps one of the values: any number is better than NaN.
macro_rules! extremum {
    ($doc:literal, $name:ident, $text:literal, $better:tt) => {
        #[doc = $doc]
        #[derive(Default)]
        pub(super) struct $name(Vec<f64>);

        impl Accumulator for $name {
            const HISTOGRAMS: Histograms = Histograms::Ignore;
            const NAME: &'static str = $text;

            fn with_steps(steps: usize) -> Self {
                // NaN gives way to everything, so that the first value needs no test.
                Self(vec![f64::NAN; steps])
            }

            fn fold(&mut self, values: &[f64], present: &Bits) {
                each(values, present, |step, v| {
                    let best = &mut self.0[step];
                    if v $better *best || best.is_nan() {
                        *best = v;
                    }
                });
            }

            fn value(&self, step: usize) -> f64 {
                self.0[step]
            }

            fn bytes(&self) -> usize {
                self.0.len() * 8
            }
        }
    };
}

extremum!("`min`", Min, "min", <);
extremum!("`max`", Max, "max", >);

/// `stdvar`
#[derive(Default)]
pub(super) struct Stdvar(Vec<sum::Welford>);

impl Accumulator for Stdvar {
    const HISTOGRAMS: Histograms = Histograms::Ignore;
    const NAME: &'static str = "stdvar";

    fn with_steps(steps: usize) -> Self {
        Self(vec![sum::Welford::default(); steps])
    }

    fn fold(&mut self, values: &[f64], present: &Bits) {
        each(values, present, |step, v| self.0[step].add(v));
    }

    fn value(&self, step: usize) -> f64 {
        self.0[step].variance()
    }

    fn bytes(&self) -> usize {
        size_of_val(self.0.as_slice())
    }
}

/// `stddev`
#[derive(Default)]
pub(super) struct Stddev(Stdvar);

impl Accumulator for Stddev {
    const HISTOGRAMS: Histograms = Histograms::Ignore;
    const NAME: &'static str = "stddev";

    fn with_steps(steps: usize) -> Self {
        Self(Stdvar::with_steps(steps))
    }

    fn fold(&mut self, values: &[f64], present: &Bits) {
        self.0.fold(values, present);
    }

    fn value(&self, step: usize) -> f64 {
        self.0.value(step).sqrt()
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn folded<A: Accumulator>(steps: usize, rows: &[(Vec<f64>, Bits)]) -> A {
        let mut all = A::with_steps(steps);
        for (values, present) in rows {
            all.fold(values, present);
        }
        all
    }

    /// The fold over whole rows gives what one step by itself does, bit by bit.
    fn agrees_with_its_steps<A: Accumulator>(steps: usize, rows: &[(Vec<f64>, Bits)]) -> bool {
        let all = folded::<A>(steps, rows);
        (0..steps).all(|step| {
            let mut one = A::with_steps(1);
            let mut full = Bits::empty(1);
            full.fill();
            let present = rows.iter().filter(|(_, present)| present.get(step));
            present.for_each(|(values, _)| one.fold(&values[step..=step], &full));
            all.value(step).to_bits() == one.value(0).to_bits()
        })
    }

    #[test]
    fn any_number_is_better_than_nan() {
        let mut full = Bits::empty(1);
        full.fill();
        let of = |values: [f64; 2]| values.map(|v| (vec![v], full.clone()));
        for (values, min, max) in
            [([f64::NAN, 8.0], 8.0, 8.0), ([8.0, f64::NAN], 8.0, 8.0), ([1.0, 2.0], 1.0, 2.0)]
        {
            let got =
                [folded::<Min>(1, &of(values)).value(0), folded::<Max>(1, &of(values)).value(0)];
            assert_eq!(got.map(f64::to_bits), [min, max].map(f64::to_bits));
        }
        assert!(folded::<Min>(1, &of([f64::NAN; 2])).value(0).is_nan());
    }

    proptest! {
        #[test]
        fn rows_equal_their_steps(
            series in vec((vec(-1e300_f64..1e300, 70), vec(any::<bool>(), 70), any::<bool>()), 0..5),
        ) {
            let rows: Vec<(Vec<f64>, Bits)> = series
                .into_iter()
                .map(|(values, mask, full)| {
                    let mut present = Bits::empty(values.len());
                    (0..mask.len()).filter(|i| full || mask[*i]).for_each(|i| present.set(i));
                    (values, present)
                })
                .collect();
            prop_assert!(agrees_with_its_steps::<Total>(70, &rows));
            prop_assert!(agrees_with_its_steps::<Average>(70, &rows));
            prop_assert!(agrees_with_its_steps::<Min>(70, &rows));
            prop_assert!(agrees_with_its_steps::<Max>(70, &rows));
            prop_assert!(agrees_with_its_steps::<Stddev>(70, &rows));
            prop_assert!(agrees_with_its_steps::<Count>(70, &rows));
        }
    }
}
