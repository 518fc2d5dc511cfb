//! Functions and operators that change one row at a time.

use super::merge::{Equal, Merge};
use super::{Operator, Query, Row, Rows, State, Steps};
use crate::ast::NodeId;
use crate::engine::QueryError;
use crate::histogram::arithmetic;

/// What is done to each row.
pub(crate) type Change<'q> = Box<dyn FnMut(&mut Row, &mut State) -> Result<(), QueryError> + 'q>;

/// Changes each row of a source; rows without a value left are dropped.
pub(crate) struct Map<'q> {
    source: Rows<'q>,
    change: Change<'q>,
}

impl<'q> Map<'q> {
    pub(crate) fn boxed(
        source: Rows<'q>,
        change: impl FnMut(&mut Row, &mut State) -> Result<(), QueryError> + 'q,
    ) -> Rows<'q> {
        Box::new(Self { source, change: Box::new(change) })
    }
}

impl Operator for Map<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        while let Some(mut row) = self.source.next(state)? {
            (self.change)(&mut row, state)?;
            if row.any() {
                return Ok(Some(row));
            }
            state.recycle(row);
        }
        Ok(None)
    }
}

/// Applies `change`, which drops the metric name, to the vector expression `id`.
pub(crate) fn nameless<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    steps: Steps,
    state: &mut State,
    mut change: impl FnMut(&mut Row, &mut State) -> Result<(), QueryError> + 'q,
) -> Result<Rows<'q>, QueryError> {
    let source = super::build(query, id, steps, state)?;
    let map = Map::boxed(source, move |row, state| {
        query.drop_name(row);
        change(row, state)
    });
    Ok(query.merged(map, id))
}

/// Applies `f` to the floats; histograms have no answer.
pub(crate) fn floats<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    steps: Steps,
    state: &mut State,
    f: impl Fn(f64, usize) -> f64 + 'q,
) -> Result<Rows<'q>, QueryError> {
    nameless(query, id, steps, state, move |row, _| {
        row.histograms.clear();
        for (step, v) in row.floats.iter_mut().enumerate() {
            *v = f(*v, step);
        }
        Ok(())
    })
}

impl<'q> Query<'q> {
    /// Joins rows that dropping the names of expression `id` may have made equal.
    pub(crate) fn merged(&self, rows: Rows<'q>, id: NodeId) -> Rows<'q> {
        if self.options.delayed_name_removal || self.plan.node(id).one_name {
            rows
        } else {
            Box::new(Merge::new(rows, Equal::Join))
        }
    }
}

/// `+v` and `-v`.
pub(crate) fn build_unary<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    negative: bool,
    steps: Steps,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    if !negative {
        return super::build(query, id, steps, state);
    }
    nameless(query, id, steps, state, |row, _| {
        row.floats.iter_mut().for_each(|v| *v = -*v);
        for h in row.histograms.iter_mut().flatten() {
            *h = std::sync::Arc::new(arithmetic::product(h, -1.0));
        }
        Ok(())
    })
}
