//! The series of a selector, with as much of their labels as anybody asks for.

use std::sync::OnceLock;

use model::{LabelFilter, Labels, NAME_LABEL, SeriesBuf, SeriesGroups, SeriesSet, Wanted};

use super::state::Held;
use super::{Query, State};
use crate::ast::{Expr, NodeId};
use crate::engine::QueryError;

/// Fewer series are not worth the classes.
const MIN_SERIES: usize = 32;

/// What storage selected. Where an aggregation is all that sees the labels, series of one group
/// share one label set, and the labels of the others are never made.
pub(crate) struct Series {
    set: Box<dyn SeriesSet>,
    filter: Option<LabelFilter>,
    groups: OnceLock<SeriesGroups>,
}

impl Series {
    /// With all labels.
    pub(crate) fn whole(set: Box<dyn SeriesSet>) -> Self {
        Self { set, filter: None, groups: OnceLock::new() }
    }

    /// With the labels that are needed above the selector `id`.
    pub(crate) fn of_selector(query: &Query<'_>, id: NodeId, set: Box<dyn SeriesSet>) -> Self {
        let above = query.plan.node(id).labels_for.map(|above| query.ast.expr(above));
        let filter = match above {
            Some(Expr::Aggregate(a)) if set.len() >= MIN_SERIES => Some(if a.without {
                let names = a.grouping.iter().filter(|name| *name != NAME_LABEL);
                LabelFilter::without(names)
            } else {
                // The name is for annotations; mostly the selector gives it to all series.
                LabelFilter::only(a.grouping.iter().map(String::as_str).chain([NAME_LABEL]))
            }),
            _ => None,
        };
        Self { set, filter, groups: OnceLock::new() }
    }

    /// Makes the classes, if any are wanted; before the first [`Series::labels`].
    pub(crate) fn prepare(&self, held: &mut Held, state: &mut State) -> Result<(), QueryError> {
        if let (Some(filter), None) = (&self.filter, self.groups.get()) {
            let groups = self.set.groups(filter)?;
            state.hold(held, 0, groups.heap_bytes() as u64)?;
            // Only the operator that owns this prepares it.
            let _ = self.groups.set(groups);
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }

    pub(crate) fn read(&self, i: usize, buf: &mut SeriesBuf) -> Result<(), QueryError> {
        Ok(self.set.read(i, buf)?)
    }

    /// As [`Series::read`] for a reader that needs no more than `wanted`.
    pub(crate) fn read_wanted(
        &self,
        i: usize,
        wanted: &Wanted,
        buf: &mut SeriesBuf,
    ) -> Result<(), QueryError> {
        Ok(self.set.read_wanted(i, wanted, buf)?)
    }

    /// The labels of series `i` as far as they are needed.
    pub(crate) fn labels(&self, i: usize) -> Result<Labels, QueryError> {
        match self.groups.get() {
            Some(groups) => Ok(groups.labels_of(i).clone()),
            None => Ok(self.set.labels(i)?),
        }
    }

    /// Whether series share label sets, so that what is made of one can be kept.
    pub(crate) fn share_labels(&self) -> bool {
        self.filter.is_some()
    }
}
