//! The instant selector: for each step the newest sample within the lookback.

use std::sync::Arc;

use model::{
    CounterResetHint, FloatHistogram, Selection, SelectionHints, SeriesBuf, SeriesSet,
    UNKNOWN_START, is_stale,
};

use super::kept::{Kept, Times};
use super::per_series::{PerSeries, RowMaker};
use super::series::Series;
use super::state::Held;
use super::{Bits, Query, References, Row, Rows, State, Steps};
use crate::ast::{Expr, NodeId, VectorSelector};
use crate::engine::QueryError;
use crate::histogram::compare::detect_reset;

/// What of the sample becomes the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Emit {
    /// Its value.
    Value,
    /// Its own time in seconds.
    Time,
    /// The same of an info series, which has no histograms.
    InfoTime,
    /// When its counting began, in seconds, 0 where that is not known.
    Start,
}

/// No sample within the lookback.
const NONE: u32 = u32::MAX;

/// The selector: the operator is [`PerSeries`] over this.
pub(crate) struct Instant {
    series: Series,
    references: References,
    lookback_ms: i64,
    emit: Emit,
    /// Tell resets by comparing neighbours, as Prometheus does where only counts and sums are
    /// asked for.
    detect_resets: bool,
}

/// The operator of an instant selector.
pub(crate) type InstantSelector = PerSeries<Instant>;

/// What one thread needs.
#[derive(Default)]
pub(crate) struct Lane {
    buf: SeriesBuf,
    /// The lookups of columns of times, which hold for every series that shares them.
    look_ups: Kept<LookUp>,
    held: Held,
}

/// Where each step finds its sample in a column of times.
#[derive(Debug, Default)]
pub(crate) struct LookUp {
    /// Index into the column, or [`NONE`].
    index: Vec<u32>,
    found: Bits,
}

/// The operator of selector `id`.
pub(crate) fn build<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    steps: Steps,
    emit: Emit,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let Expr::Vector(selector) = query.ast.expr(id) else {
        unreachable!("the caller has seen a selector")
    };
    let facts = query.plan.node(id);
    let references = References::new(steps, facts.at_ms, facts.offset_ms);
    if selector.smoothed {
        return super::smoothed::build(query, id, selector, references, state);
    }
    let lookback_ms = query.lookback_ms;
    let span =
        (references.first().saturating_sub(lookback_ms).saturating_add(1), references.last());
    let set = select(query, id, selector, span, 0, state)?;
    let series = match emit {
        Emit::InfoTime => Series::whole(set),
        Emit::Value | Emit::Time | Emit::Start => Series::of_selector(query, id, set),
    };
    let detect_resets = facts.counts_only;
    let selector = Instant { series, references, lookback_ms, emit, detect_resets };
    Ok(Box::new(PerSeries::new(selector)))
}

/// Asks storage for the series of `selector` with samples in `span`, both ends included.
pub(crate) fn select(
    query: &Query<'_>,
    id: NodeId,
    selector: &VectorSelector,
    span: (i64, i64),
    range_ms: i64,
    state: &mut State,
) -> Result<Box<dyn SeriesSet>, QueryError> {
    let above = query.plan.above(id);
    let selection = Selection {
        matchers: selector.matchers.clone(),
        mint: span.0,
        maxt: span.1,
        hints: SelectionHints {
            step_ms: query.step_ms,
            range_ms,
            function: above.map_or_else(String::new, |a| query.function_of(a).to_owned()),
            ..query.grouping_of(above)
        },
        interrupt: Arc::clone(&query.interrupt),
    };
    let set = query.queryable.select(&selection)?;
    state.selected(&*set)?;
    state.storage_warnings.extend(set.warnings());
    Ok(match &mut state.trace {
        None => set,
        Some(trace) => trace.selected(id, set),
    })
}

impl Query<'_> {
    /// What the node is called in hints: the function or aggregation.
    fn function_of(&self, id: NodeId) -> &str {
        match self.ast.expr(id) {
            Expr::Call { function, .. } => function.name,
            Expr::Aggregate(a) => a.op.as_str(),
            _ => "",
        }
    }

    fn grouping_of(&self, id: Option<NodeId>) -> SelectionHints {
        match id.map(|id| self.ast.expr(id)) {
            Some(Expr::Aggregate(a)) => SelectionHints {
                grouping: a.grouping.clone(),
                by: !a.without,
                ..SelectionHints::default()
            },
            _ => SelectionHints::default(),
        }
    }
}

impl LookUp {
    /// Finds each step's sample among `times`: two pointers.
    fn find(&mut self, references: &References, lookback_ms: i64, times: &[i64]) {
        let steps = references.steps.count;
        self.index.clear();
        self.found.reset(steps);
        let mut after = 0;
        for step in 0..steps {
            let (t, oldest) = bounds(references, step, lookback_ms);
            after += times[after..].partition_point_near(|time| *time <= t);
            let hit = after > 0 && times[after - 1] > oldest;
            if hit {
                self.found.set(step);
            }
            self.index.push(if hit { u32::try_from(after - 1).unwrap_or(NONE) } else { NONE });
        }
    }
}

impl Instant {
    /// The selector of info series.
    pub(crate) fn of_info(
        set: Box<dyn SeriesSet>,
        references: References,
        lookback_ms: i64,
    ) -> InstantSelector {
        let (series, emit) = (Series::whole(set), Emit::InfoTime);
        PerSeries::new(Self { series, references, lookback_ms, emit, detect_resets: false })
    }

    /// The floats of the series, stale markers left out.
    fn fill_floats(&self, buf: &SeriesBuf, look_up: &LookUp, row: &mut Row) {
        let values = buf.values();
        row.present.copy_from(&look_up.found);
        let full = row.present.is_full();
        let mut stale = false;
        for (out, i) in row.floats.iter_mut().zip(&look_up.index) {
            // A step without a sample reads any value; it is not marked as present.
            let v = if full || *i != NONE { values[*i as usize] } else { 0.0 };
            stale |= is_stale(v);
            *out = v;
        }
        if stale {
            for step in 0..row.steps() {
                if row.present.get(step) && is_stale(row.floats[step]) {
                    row.present.clear(step);
                }
            }
        }
        if self.emit != Emit::Value {
            for step in look_up.found.iter() {
                let i = look_up.index[step] as usize;
                row.floats[step] = seconds(match self.emit {
                    Emit::Start => start_of(buf.starts(), i),
                    _ => buf.times()[i],
                });
            }
        }
    }

    /// Puts histograms where they are the newest sample.
    fn fill_histograms(
        &self,
        buf: &SeriesBuf,
        look_up: &LookUp,
        row: &mut Row,
    ) -> Result<(), QueryError> {
        let histograms = buf.histograms();
        let floats = buf.times();
        // A histogram is converted once for all the steps that see it.
        let mut converted: Option<(usize, Arc<FloatHistogram>)> = None;
        let mut after = 0;
        for step in 0..row.steps() {
            let (t, oldest) = bounds(&self.references, step, self.lookback_ms);
            while histograms.get(after).is_some_and(|(time, _)| *time <= t) {
                after += 1;
            }
            let Some((time, value)) = after.checked_sub(1).map(|at| &histograms[at]) else {
                continue;
            };
            let float_time = match look_up.index[step] {
                NONE => i64::MIN,
                i => floats[i as usize],
            };
            if *time <= oldest || *time < float_time {
                continue;
            }
            row.clear(step);
            if value.is_stale() {
                continue;
            }
            match self.emit {
                Emit::Value => {}
                Emit::Time => {
                    row.set_float(step, seconds(*time));
                    continue;
                }
                Emit::Start => {
                    let start_ms = start_of(buf.histogram_starts(), after - 1);
                    row.set_float(step, seconds(start_ms));
                    continue;
                }
                Emit::InfoTime => {
                    return Err(QueryError::Execution(format!(
                        "this should be an info metric, with float samples: {}",
                        row.labels
                    )));
                }
            }
            let h = match &converted {
                Some((at, h)) if *at == after => Arc::clone(h),
                _ if self.detect_resets => {
                    let before = after.checked_sub(2).map(|at| histograms[at].1.to_float());
                    with_reset_hint(value.to_float(), before.as_deref())
                }
                _ => value.to_float(),
            };
            converted = Some((after, Arc::clone(&h)));
            row.set_histogram(step, h);
        }
        Ok(())
    }
}

/// `h` with the hint that the sample before it tells, where it has none of its own.
pub(crate) fn with_reset_hint(
    h: Arc<FloatHistogram>,
    before: Option<&FloatHistogram>,
) -> Arc<FloatHistogram> {
    let (CounterResetHint::Unknown, Some(before)) = (h.hint, before) else { return h };
    let reset = detect_reset(&h, before);
    let hint = if reset { CounterResetHint::Reset } else { CounterResetHint::NotReset };
    Arc::new(FloatHistogram { hint, ..(*h).clone() })
}

/// Counts what the steps looked at.
fn count(row: &Row, state: &mut State) {
    if row.is_float() && !state.looked.is_per_step() {
        // Which step does not matter.
        state.looked_at(0, row.present.count() as u64);
        return;
    }
    for step in row.present.iter() {
        state.looked_at(step, 1);
    }
    for (step, h) in row.histograms.iter().enumerate() {
        if let Some(h) = h {
            state.looked_at(step, super::row::histogram_samples(h));
        }
    }
}

/// Newest and, exclusive, oldest time that a step sees.
fn bounds(references: &References, step: usize, lookback_ms: i64) -> (i64, i64) {
    let t = references.at(step);
    (t, t.saturating_sub(lookback_ms))
}

/// The start time of sample `i`; a list of nothing knows of none.
fn start_of(starts: &[i64], i: usize) -> i64 {
    starts.get(i).copied().unwrap_or(UNKNOWN_START)
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
pub(crate) fn seconds(t_ms: i64) -> f64 {
    t_ms as f64 / 1e3
}

/// A search that expects its answer near the front.
pub(crate) trait PartitionPointNear<T> {
    /// As `partition_point`, in the logarithm of the answer.
    fn partition_point_near(&self, pred: impl FnMut(&T) -> bool) -> usize;
}

impl<T> PartitionPointNear<T> for [T] {
    fn partition_point_near(&self, mut pred: impl FnMut(&T) -> bool) -> usize {
        let (mut low, mut width) = (0, 1);
        while low + width <= self.len() && pred(&self[low + width - 1]) {
            low += width;
            width *= 2;
        }
        let high = (low + width - 1).min(self.len());
        low + self[low..high].partition_point(pred)
    }
}

/// Bytes of a look-up a step.
const LOOK_UP_BYTES: usize = 5;

impl RowMaker for Instant {
    type Lane = Lane;

    fn series(&self) -> &Series {
        &self.series
    }

    fn steps(&self) -> usize {
        self.references.steps.count
    }

    fn row(&self, i: usize, lane: &mut Lane, state: &mut State) -> Result<Option<Row>, QueryError> {
        self.series.read(i, &mut lane.buf)?;
        let buf = &lane.buf;
        let num_samples = (buf.values().len() + buf.histograms().len()) as u64;
        if num_samples == 0 {
            return Ok(None);
        }
        let (steps, bytes) = (self.steps(), self.steps() * LOOK_UP_BYTES);
        state.read(num_samples, buf, Some(&self.references));
        let held = buf.heap_bytes() + lane.look_ups.len() * bytes;
        state.hold_exactly(&mut lane.held, num_samples, held as u64)?;
        let (look_up, is_new) = lane.look_ups.of(Times::of(buf), bytes);
        if is_new {
            look_up.find(&self.references, self.lookback_ms, buf.times());
        }
        let mut row = state.row(self.series.labels(i)?, false, steps);
        self.fill_floats(buf, look_up, &mut row);
        if !buf.histograms().is_empty() {
            self.fill_histograms(buf, look_up, &mut row)?;
        }
        if row.any() {
            count(&row, state);
            return Ok(Some(row));
        }
        state.recycle(row);
        Ok(None)
    }

    fn release(&self, lane: &mut Lane, state: &mut State) {
        state.release(&mut lane.held);
    }
}
