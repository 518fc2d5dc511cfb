//! Series that became equal: one row where they share no step, an error where they do.

use hashbrown::HashMap;
use model::Labels;

use super::{Operator, Row, Rows, State, state::Held};
use crate::engine::QueryError;

/// The error of two samples with one label set at one step.
pub(crate) fn same_labelset() -> QueryError {
    QueryError::execution("vector cannot contain metrics with the same labelset")
}

/// What happens to rows with equal labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Equal {
    /// They become one row unless they share a step.
    Join,
    /// They are an error, whatever their steps.
    Refuse,
}

/// Reads all rows of `source` and joins those with equal labels.
pub(crate) struct Merge<'q> {
    source: Option<Rows<'q>>,
    equal: Equal,
    rows: std::vec::IntoIter<Row>,
    held: Held,
}

impl<'q> Merge<'q> {
    pub(crate) fn new(source: Rows<'q>, equal: Equal) -> Self {
        Self { source: Some(source), equal, rows: Vec::new().into_iter(), held: Held::default() }
    }
}

impl<'q> Merge<'q> {
    fn read(&mut self, mut source: Rows<'q>, state: &mut State) -> Result<Vec<Row>, QueryError> {
        let mut rows = Vec::new();
        while let Some(row) = source.next(state)? {
            state.hold_row(&mut self.held, &row)?;
            rows.push(row);
        }
        Ok(rows)
    }
}

impl Operator for Merge<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        if let Some(source) = self.source.take() {
            let rows = self.read(source, state)?;
            self.rows = merge(rows, self.equal)?.into_iter();
        }
        let row = self.rows.next();
        if row.is_none() {
            state.release(&mut self.held);
        }
        Ok(row)
    }
}

/// Joins rows with equal labels; the first of them keeps its place.
///
/// # Errors
/// [`same_labelset`].
pub(crate) fn merge(rows: Vec<Row>, equal: Equal) -> Result<Vec<Row>, QueryError> {
    let mut place: HashMap<Labels, usize> = HashMap::with_capacity(rows.len());
    let mut out: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        match place.entry(row.labels.clone()) {
            hashbrown::hash_map::Entry::Vacant(entry) => {
                entry.insert(out.len());
                out.push(row);
            }
            hashbrown::hash_map::Entry::Occupied(entry) => {
                let first = &mut out[*entry.get()];
                if equal == Equal::Refuse || first.occupied().intersects(&row.occupied()) {
                    return Err(same_labelset());
                }
                // As in Prometheus, where the series is made by its first sample.
                if row.first_step() < first.first_step() {
                    first.drop_name = row.drop_name;
                }
                first.absorb(row);
            }
        }
    }
    Ok(out)
}
