//! Aggregations that need one accumulator a group and step.

use std::sync::Arc;

use model::FloatHistogram;

use super::Input;
use super::group::Groups;
use crate::ast::Pos;
use crate::engine::QueryError;
use crate::eval::state::Held;
use crate::eval::{Bits, Operator, Row, State};
use crate::functions::notes::{self, Operation};
use crate::histogram::IncompatibleSchemas;
use crate::histogram::arithmetic::{self, HistogramMean};
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

/// One group of a fold.
#[derive(Default)]
struct Folded<A> {
    floats: A,
    seen: Bits,
    drop_name: bool,
    /// Sums of histograms, one a step; empty until there is one.
    histograms: Vec<Option<HistogramSum>>,
}

/// The histograms of one group at one step.
enum HistogramSum {
    Sum(arithmetic::HistogramSum),
    Mean(HistogramMean),
    /// Exponential and custom buckets met: there is no result.
    Mixed,
}

impl HistogramSum {
    fn new(kind: Histograms) -> Self {
        if kind == Histograms::Mean {
            Self::Mean(HistogramMean::default())
        } else {
            Self::Sum(arithmetic::HistogramSum::default())
        }
    }

    fn add(&mut self, h: &FloatHistogram) -> Result<(), IncompatibleSchemas> {
        match self {
            Self::Sum(sum) => sum.add(h),
            Self::Mean(mean) => mean.add(h),
            Self::Mixed => Ok(()),
        }
    }
}

/// The operator of a fold.
pub(super) struct Fold<'q, A> {
    input: Option<Input<'q>>,
    groups: Groups<'q>,
    folded: std::vec::IntoIter<Folded<A>>,
    next: usize,
    /// The place of the aggregated expression.
    pos: Pos,
    held: Held,
}

impl<'q, A: Accumulator> Fold<'q, A> {
    pub(super) fn new(input: Input<'q>) -> Self {
        let groups = Groups::new(input.aggregate);
        Self {
            input: Some(input),
            groups,
            folded: Vec::new().into_iter(),
            next: 0,
            pos: Pos::default(),
            held: Held::default(),
        }
    }

    fn fold_all(&mut self, mut input: Input<'q>, state: &mut State) -> Result<(), QueryError> {
        let mut folded: Vec<Folded<A>> = Vec::new();
        while let Some(row) = input.source.next(state)? {
            self.fold_row(row, &mut folded, &input, state)?;
        }
        self.pos = input.pos;
        self.folded = folded.into_iter();
        Ok(())
    }

    fn fold_row(
        &mut self,
        mut row: Row,
        folded: &mut Vec<Folded<A>>,
        input: &Input<'q>,
        state: &mut State,
    ) -> Result<(), QueryError> {
        let at = self.groups.of(&row.labels);
        if at == folded.len() {
            let group = Folded {
                floats: A::with_steps(input.steps),
                seen: Bits::empty(input.steps),
                drop_name: false,
                histograms: Vec::new(),
            };
            let bytes = group.floats.bytes() + group.seen.heap_bytes();
            let bytes = bytes as u64 + self.groups.bytes(at);
            state.hold(&mut self.held, input.steps as u64, bytes)?;
            folded.push(group);
        }
        let group = &mut folded[at];
        group.drop_name |= row.drop_name;
        if !row.is_float() {
            fold_histograms(group, &mut row, input, &mut self.held, state)?;
        }
        group.floats.fold(&row.floats, &row.present);
        group.seen.union(&row.present);
        state.worked(row.steps() as u64)?;
        state.recycle(row);
        Ok(())
    }

    /// The row of one group; `None` where nothing is left of it.
    fn finish(&mut self, mut group: Folded<A>, state: &mut State) -> Option<Row> {
        let labels = self.groups.labels(self.next).clone();
        self.next += 1;
        let mut row = state.row(labels, group.drop_name, group.seen.len());
        finish_histograms(&mut group, &mut row, self.pos, state);
        row.present = group.seen;
        for step in row.present.iter() {
            row.floats[step] = group.floats.value(step);
        }
        row.any().then_some(row)
    }
}

/// Folds the histograms of `row`, or turns them into floats where they count as such.
fn fold_histograms<A: Accumulator>(
    group: &mut Folded<A>,
    row: &mut Row,
    input: &Input<'_>,
    held: &mut Held,
    state: &mut State,
) -> Result<(), QueryError> {
    let histograms = std::mem::take(&mut row.histograms);
    for (step, h) in histograms.iter().enumerate().filter_map(|(i, h)| Some((i, h.as_ref()?))) {
        match A::HISTOGRAMS {
            Histograms::Ignore => {
                let text = format!("ignored histogram in {} aggregation", A::NAME);
                state.annotations.info(text, input.pos);
            }
            Histograms::Count => row.set_float(step, 0.0),
            Histograms::Sum | Histograms::Mean => {
                if group.histograms.is_empty() {
                    group.histograms.resize_with(input.steps, || None);
                    let bytes = input.steps * size_of::<Option<HistogramSum>>();
                    state.hold(held, 0, bytes as u64)?;
                }
                let slot = &mut group.histograms[step];
                if slot.is_none() {
                    let samples = crate::histogram::samples(h) as u64;
                    state.hold(held, samples, samples * 16)?;
                }
                let sum = slot.get_or_insert_with(|| HistogramSum::new(A::HISTOGRAMS));
                if sum.add(h).is_err() {
                    *sum = HistogramSum::Mixed;
                    let text = notes::mixed_bucket_schemas(row.labels.metric_name());
                    state.annotations.warn(text, input.pos);
                }
            }
        }
    }
    Ok(())
}

/// Takes the steps at which floats and histograms met out of the group, and turns what is left of
/// the histograms into `row`.
fn finish_histograms<A>(group: &mut Folded<A>, row: &mut Row, pos: Pos, state: &mut State) {
    for (step, slot) in std::mem::take(&mut group.histograms).into_iter().enumerate() {
        let Some(sum) = slot else { continue };
        if group.seen.get(step) {
            let text = "encountered a mix of histograms and floats for aggregation";
            state.annotations.warn(text, pos);
            group.seen.clear(step);
            continue;
        }
        let finished = match sum {
            HistogramSum::Sum(sum) => sum.finish(),
            HistogramSum::Mean(mean) => mean.finish(),
            HistogramSum::Mixed => None,
        };
        if let Some((h, outcome)) = finished {
            state.annotations.histogram_outcome(outcome, Operation::Aggregation, pos);
            row.set_histogram(step, Arc::new(h));
        }
    }
}

impl<A: Accumulator> Operator for Fold<'_, A> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        if let Some(input) = self.input.take() {
            self.fold_all(input, state)?;
        }
        while let Some(group) = self.folded.next() {
            if let Some(row) = self.finish(group, state) {
                return Ok(Some(row));
            }
        }
        state.release(&mut self.held);
        Ok(None)
    }
}
