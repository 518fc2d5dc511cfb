//! The instant selector with `smoothed`: between two samples, the line from one to the other.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use super::range::{RangeSource, SeriesView, Stored, TimedHistogram};
use super::series::Series;
use super::windows::{Reach, Windows};
use super::{Operator, Query, References, Row, Rows, State, selector};
use crate::annotations::Place;
use crate::ast::{NodeId, VectorSelector};
use crate::engine::QueryError;
use crate::functions::notes;
use crate::functions::rate::extended;
use crate::histogram::compare::detect_reset;
use crate::histogram::{IncompatibleSchemas, arithmetic};

struct Smoothed {
    source: Stored,
    references: References,
    reach: Reach,
    floats: Windows,
    histograms: Windows,
    place: Place,
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
    Ok(Box::new(Smoothed {
        source: Stored::new(Series::whole(set)),
        references,
        reach,
        floats: Windows::default(),
        histograms: Windows::default(),
        place: query.place(id, id),
    }))
}

impl Smoothed {
    /// Puts the value of each step into `row`.
    fn fill(&mut self, row: &mut Row, state: &mut State) {
        let SeriesView { times, values, histograms, column, .. } = self.source.series();
        let (references, reach) = (&self.references, self.reach);
        self.floats.update(|i| times[i], times.len(), column.generation, references, reach);
        let h = histograms;
        self.histograms.update(|i| h[i].0, h.len(), None, references, reach);
        for step in 0..references.steps.count {
            let t_ms = references.at(step);
            let floats = self.floats.range(step);
            let histograms = &histograms[self.histograms.range(step)];
            if histograms.is_empty() {
                let (times, values) = (&times[floats.clone()], &values[floats]);
                if let Some(v) = extended::smoothed_at(times, values, t_ms) {
                    row.set_float(step, v);
                }
                continue;
            }
            let name = row.labels.metric_name();
            if !floats.is_empty() {
                state.annotations.warn(notes::mixed_floats_histograms(name), self.place);
                continue;
            }
            match histogram_at(histograms, t_ms) {
                Ok(Some(h)) => row.set_histogram(step, h),
                Ok(None) => {}
                Err(IncompatibleSchemas) => {
                    state.annotations.warn(notes::mixed_bucket_schemas(name), self.place);
                }
            }
        }
    }
}

/// The histogram at `t_ms`, as `extended::smoothed_at` finds a float.
fn histogram_at(
    histograms: &[TimedHistogram],
    t_ms: i64,
) -> Result<Option<Arc<FloatHistogram>>, IncompatibleSchemas> {
    let after = histograms.partition_point(|(t, _)| *t <= t_ms);
    let Some((before_ms, before)) = after.checked_sub(1).map(|i| &histograms[i]) else {
        return Ok(None);
    };
    let Some((after_ms, after)) = histograms.get(after).filter(|_| *before_ms < t_ms) else {
        return Ok(Some(Arc::clone(before)));
    };
    #[expect(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
    let share = (t_ms - before_ms) as f64 / (after_ms - before_ms) as f64;
    let (difference, _) = arithmetic::difference(after, before)?;
    let counter = after.hint != CounterResetHint::Gauge;
    Ok(Some(Arc::new(if counter && detect_reset(after, before) {
        // The counter rose from zero.
        arithmetic::product(after, share)
    } else {
        arithmetic::sum(before, &arithmetic::product(&difference, share))?.0
    })))
}

impl Operator for Smoothed {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        while let Some((labels, drop_name)) = self.source.next(state)? {
            let mut row = state.row(labels, drop_name, self.references.steps.count);
            self.fill(&mut row, state);
            if row.any() {
                return Ok(Some(row));
            }
            state.recycle(row);
        }
        Ok(None)
    }
}
