//! `sort` and its like: the order of an instant answer. Where there are several steps the answer
//! is ordered by labels anyway.

use std::cmp::Ordering;

use super::call::Call;
use super::state::Held;
use super::{Operator, Row, Rows, State};
use crate::engine::QueryError;
use crate::functions::sort;

/// By what rows are ordered.
enum By<'q> {
    /// The float; rows without one are left out.
    Value { descending: bool },
    /// The values of these labels, in natural order.
    Labels { names: Vec<&'q str>, descending: bool },
}

/// Reads all rows and yields them in order.
struct Sort<'q> {
    source: Option<Rows<'q>>,
    by: By<'q>,
    rows: std::vec::IntoIter<Row>,
    held: Held,
}

/// The operator of the sorting function `name`.
pub(crate) fn build<'q>(
    call: &Call<'q>,
    name: &str,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let source = call.rows(0, state)?;
    let by_label = name.starts_with("sort_by_label");
    if call.steps.count > 1 {
        state.annotations.warn(sort::INEFFECTIVE, call.query.place(call.id, call.id));
        return Ok(if by_label { source } else { Box::new(Floats(source)) });
    }
    let descending = name.ends_with("_desc");
    let by = if by_label {
        By::Labels { names: (1..call.args.len()).map(|i| call.text(i)).collect(), descending }
    } else {
        By::Value { descending }
    };
    Ok(Box::new(Sort {
        source: Some(source),
        by,
        rows: Vec::new().into_iter(),
        held: Held::default(),
    }))
}

/// What has a value to sort by: over a range nothing is sorted, but histograms are left out as ever.
struct Floats<'q>(Rows<'q>);

impl Operator for Floats<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        while let Some(mut row) = self.0.next(state)? {
            row.histograms.clear();
            if row.present.any() {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

impl By<'_> {
    fn compare(&self, a: &Row, b: &Row) -> Ordering {
        match self {
            Self::Value { descending: false } => sort::ascending(&a.floats[0], &b.floats[0]),
            Self::Value { descending: true } => sort::descending(&a.floats[0], &b.floats[0]),
            Self::Labels { names, descending } => {
                let order = sort::by_labels(names, &a.labels, &b.labels);
                if *descending { order.reverse() } else { order }
            }
        }
    }
}

impl Operator for Sort<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        if let Some(mut source) = self.source.take() {
            let mut rows = Vec::new();
            while let Some(row) = source.next(state)? {
                if matches!(self.by, By::Value { .. }) && !row.present.any() {
                    continue;
                }
                state.hold_row(&mut self.held, &row)?;
                rows.push(row);
            }
            rows.sort_by(|a, b| self.by.compare(a, b));
            self.rows = rows.into_iter();
        }
        let row = self.rows.next();
        if row.is_none() {
            state.release(&mut self.held);
        }
        Ok(row)
    }
}
