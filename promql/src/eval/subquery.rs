//! The subquery: an expression evaluated at steps of its own, whose results are the samples of a
//! range.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Labels};

use super::kept::Times;
use super::range::{RangeSource, SeriesView, TimedHistogram};
use super::state::Held;
use super::{Query, References, Row, Rows, State, Steps};
use crate::ast::{self, ValueType};
use crate::engine::QueryError;
use crate::functions::window::Starts;
use crate::plan::NodePlan;

/// The series of a subquery; the current row is the samples of the current series.
pub(crate) struct Subquery<'q> {
    /// `None` where the range holds no step.
    inner: Option<Rows<'q>>,
    row: Row,
    /// The times of all inner steps.
    step_times: Vec<i64>,
    /// The samples of a row with gaps or histograms.
    times: Vec<i64>,
    values: Vec<f64>,
    histograms: Vec<TimedHistogram>,
    /// The row has a float at every step, so that it is used as it lies.
    dense: bool,
    /// The row in the budget of the query.
    held: Held,
}

/// The steps of a subquery: the multiples of its step in `(first - range, last]`.
fn inner_steps(references: &References, facts: &NodePlan) -> Steps {
    let before = references.first().saturating_sub(facts.range_ms);
    let start = before.div_euclid(facts.step_ms).saturating_add(1).saturating_mul(facts.step_ms);
    Steps::new(start, references.last(), facts.step_ms)
}

pub(crate) fn build<'q>(
    query: &'q Query<'q>,
    subquery: &'q ast::Subquery,
    facts: &NodePlan,
    references: &References,
    state: &mut State,
) -> Result<Subquery<'q>, QueryError> {
    let steps = inner_steps(references, facts);
    if steps.count as u64 > query.options.max_subquery_points {
        let (steps, limit) = (steps.count as u64, query.options.max_subquery_points);
        return Err(QueryError::TooManySteps { steps, limit });
    }
    let inner = if steps.count == 0 {
        None
    } else if query.plan.node(subquery.expr).ty == ValueType::Scalar {
        unreachable!("the type checker lets a subquery only over vectors")
    } else {
        Some(super::build(query, subquery.expr, steps, state)?)
    };
    Ok(Subquery {
        inner,
        row: Row::default(),
        step_times: (0..steps.count).map(|step| steps.at(step)).collect(),
        times: Vec::new(),
        values: Vec::new(),
        histograms: Vec::new(),
        dense: false,
        held: Held::default(),
    })
}

/// Between the results of a subquery nothing is known about resets.
fn without_reset_hint(h: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    match h.hint {
        CounterResetHint::Unknown | CounterResetHint::Gauge => Arc::clone(h),
        CounterResetHint::Reset | CounterResetHint::NotReset => {
            Arc::new(FloatHistogram { hint: CounterResetHint::Unknown, ..(**h).clone() })
        }
    }
}

impl RangeSource for Subquery<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<(Labels, bool)>, QueryError> {
        let Some(inner) = &mut self.inner else { return Ok(None) };
        let outside = state.enter_subquery(true);
        let row = inner.next(state);
        state.enter_subquery(outside);
        let Some(row) = row? else {
            state.release(&mut self.held);
            return Ok(None);
        };
        state.poll()?;
        state.hold_exactly(&mut self.held, row.samples(), row.heap_bytes())?;
        state.recycle(std::mem::replace(&mut self.row, row));
        let row = &self.row;
        self.histograms.clear();
        self.dense = row.is_float() && row.present.is_full();
        if !self.dense {
            self.times.clear();
            self.values.clear();
            for step in row.present.iter() {
                self.times.push(self.step_times[step]);
                self.values.push(row.floats[step]);
            }
            for (step, h) in row.histograms.iter().enumerate() {
                if let Some(h) = h {
                    self.histograms.push((self.step_times[step], without_reset_hint(h)));
                }
            }
        }
        Ok(Some((row.labels.clone(), row.drop_name)))
    }

    fn series(&self) -> SeriesView<'_> {
        if self.dense {
            SeriesView {
                times: &self.step_times,
                values: &self.row.floats,
                histograms: &[],
                starts: Starts::default(),
                stand_ins: &[],
                column: Times { slot: None, generation: Some(0) },
            }
        } else {
            let Self { times, values, histograms, .. } = self;
            let starts = Starts::default();
            SeriesView {
                times,
                values,
                histograms,
                starts,
                stand_ins: &[],
                column: Times::default(),
            }
        }
    }
}
