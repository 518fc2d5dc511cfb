//! Aggregations that need one accumulator a group and step: the operator.

use std::sync::Arc;

use model::FloatHistogram;

use super::Input;
use super::accumulator::{Accumulator, Histograms};
use super::group::Groups;
use crate::annotations::Place;
use crate::engine::QueryError;
use crate::eval::state::Held;
use crate::eval::{Bits, Operator, Row, State};
use crate::functions::notes::{self, Operation};
use crate::histogram::IncompatibleSchemas;
use crate::histogram::arithmetic::{self, HistogramMean};

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
    place: Place,
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
            place: Place::default(),
            held: Held::default(),
        }
    }

    fn fold_all(&mut self, mut input: Input<'q>, state: &mut State) -> Result<(), QueryError> {
        let mut folded: Vec<Folded<A>> = Vec::new();
        while let Some(row) = input.source.next(state)? {
            self.fold_row(row, &mut folded, &input, state)?;
        }
        self.place = input.place;
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
        finish_histograms(&mut group, &mut row, self.place, state);
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
                state.annotations.info(text, input.place);
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
                    state.annotations.warn(text, input.place);
                }
            }
        }
    }
    Ok(())
}

/// Takes the steps at which floats and histograms met out of the group, and turns what is left of
/// the histograms into `row`.
fn finish_histograms<A>(group: &mut Folded<A>, row: &mut Row, place: Place, state: &mut State) {
    for (step, slot) in std::mem::take(&mut group.histograms).into_iter().enumerate() {
        let Some(sum) = slot else { continue };
        if group.seen.get(step) {
            let text = "encountered a mix of histograms and floats for aggregation";
            state.annotations.warn(text, place);
            group.seen.clear(step);
            continue;
        }
        let finished = match sum {
            HistogramSum::Sum(sum) => sum.finish(),
            HistogramSum::Mean(mean) => mean.finish(),
            HistogramSum::Mixed => None,
        };
        if let Some((h, outcome)) = finished {
            state.annotations.histogram_outcome(outcome, Operation::Aggregation, place);
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
