//! A part that is the same at every step: evaluated once, copied to all.

use super::looked::Looked;
use super::{Cell, Operator, Row, Rows, State, Steps};
use crate::engine::QueryError;

/// Repeats rows of one step over `steps`.
pub(crate) struct Repeat<'q> {
    once: Rows<'q>,
    steps: Steps,
}

impl<'q> Repeat<'q> {
    pub(crate) fn new(once: Rows<'q>, steps: Steps) -> Self {
        Self { once, steps }
    }
}

impl Operator for Repeat<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        let once = Looked::new(state.looked.is_per_step().then_some(1));
        let before = std::mem::replace(&mut state.looked, once);
        let row = self.once.next(state);
        let once = std::mem::replace(&mut state.looked, before);
        state.looked.absorb_once(&once, self.steps.count);
        let Some(row) = row? else { return Ok(None) };
        let mut out = state.row(row.labels.clone(), row.drop_name, self.steps.count);
        match row.cell(0) {
            Cell::Absent => {}
            Cell::Float(v) => {
                out.floats.fill(v);
                out.present.fill();
            }
            Cell::Histogram(h) => out.histograms.resize(self.steps.count, Some(h.clone())),
        }
        state.recycle(row);
        Ok(Some(out))
    }
}
