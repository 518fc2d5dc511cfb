//! The instant selector with `smoothed`: between two samples, the line from one to the other.

use super::range::{RangeSource, Stored};
use super::windows::{Reach, Windows};
use super::{Operator, Query, References, Row, Rows, State, selector};
use crate::ast::{NodeId, VectorSelector};
use crate::engine::QueryError;
use crate::functions::rate::extended;

struct Smoothed {
    source: Stored,
    references: References,
    reach: Reach,
    windows: Windows,
}

/// The operator of the smoothed selector `id`.
pub(crate) fn build<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    selector: &VectorSelector,
    references: References,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let reach = Reach { before_ms: query.lookback_ms, after_ms: query.lookback_ms };
    let span = reach.span(&references);
    let set = selector::select(query, id, selector, span, 0, state)?;
    let source = Stored::new(set);
    Ok(Box::new(Smoothed { source, references, reach, windows: Windows::default() }))
}

impl Operator for Smoothed {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        while let Some((labels, drop_name)) = self.source.next(state)? {
            let s = self.source.series();
            let (references, times) = (&self.references, s.times);
            self.windows.update(|i| times[i], times.len(), s.generation, references, self.reach);
            let mut row = state.row(labels, drop_name, references.steps.count);
            for step in 0..references.steps.count {
                let window = self.windows.range(step);
                let (times, values) = (&times[window.clone()], &s.values[window]);
                if let Some(v) = extended::smoothed_at(times, values, references.at(step)) {
                    row.set_float(step, v);
                }
            }
            if row.any() {
                return Ok(Some(row));
            }
            state.recycle(row);
        }
        Ok(None)
    }
}
