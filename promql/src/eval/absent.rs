//! `absent` and `absent_over_time`: one row where there is nothing else.

use model::{Labels, Need};

use super::range::RangeVector;
use super::windows::Windows;
use super::{Bits, Operator, Query, Row, Rows, State, Steps};
use crate::ast::{Expr, NodeId};
use crate::engine::QueryError;
use crate::functions::label;

/// What must have no sample.
enum Input<'q> {
    Vector(Rows<'q>),
    Range(RangeVector<'q>),
}

/// Yields one row, of the steps at which the input has nothing.
pub(crate) struct Absent<'q> {
    input: Option<Input<'q>>,
    labels: Labels,
    steps: usize,
}

pub(crate) fn build<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let input = Input::Vector(super::build(query, id, steps, state)?);
    Ok(Box::new(Absent { input: Some(input), labels: labels(query, id), steps: steps.count }))
}

pub(crate) fn build_over_time<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let input = Input::Range(super::range::build(query, id, steps, Need::COUNT, state)?);
    Ok(Box::new(Absent { input: Some(input), labels: labels(query, id), steps: steps.count }))
}

/// The labels that the selector pins to one value; `{}` where `id` is no selector.
fn labels(query: &Query<'_>, id: NodeId) -> Labels {
    let mut id = query.unwrapped(id);
    if let Expr::Matrix { selector, .. } = query.ast.expr(id) {
        id = *selector;
    }
    let Expr::Vector(selector) = query.ast.expr(id) else { return Labels::empty() };
    label::absent(&selector.matchers)
}

impl Input<'_> {
    /// Adds the steps that have a sample to `seen`.
    fn mark(&mut self, seen: &mut Bits, state: &mut State) -> Result<(), QueryError> {
        match self {
            Self::Vector(rows) => {
                while let Some(row) = rows.next(state)? {
                    seen.union(&row.occupied());
                    state.recycle(row);
                }
            }
            Self::Range(vector) => {
                let RangeVector { source, references, reach, .. } = vector;
                let source = source.as_mut();
                let (mut floats, mut histograms) = (Windows::default(), Windows::default());
                while source.next(state)?.is_some() {
                    let s = source.series();
                    let anew = floats.update(
                        |i| s.times[i],
                        s.times.len(),
                        s.column.generation,
                        references,
                        *reach,
                    );
                    if anew {
                        mark(&floats, seen);
                    }
                    let h = s.histograms;
                    if !h.is_empty() {
                        histograms.update(|i| h[i].0, h.len(), None, references, *reach);
                        mark(&histograms, seen);
                    }
                }
            }
        }
        Ok(())
    }
}

fn mark(windows: &Windows, seen: &mut Bits) {
    for (step, (low, high)) in windows.bounds().iter().enumerate() {
        if low < high {
            seen.set(step);
        }
    }
}

impl Operator for Absent<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        let Some(mut input) = self.input.take() else { return Ok(None) };
        let mut seen = Bits::empty(self.steps);
        input.mark(&mut seen, state)?;
        let mut row = state.row(self.labels.clone(), false, self.steps);
        row.floats.fill(1.0);
        row.present.fill();
        row.present.subtract(&seen);
        Ok(row.any().then_some(row))
    }
}
