//! Rows that are made of one series each, without a look at the others: selectors, and range
//! functions over them. Big selections are made on several threads and handed on in the order of
//! the series, so that every operator above sees what it would see with one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::series::Series;
use super::state::Held;
use super::{Operator, Row, State};
use crate::engine::QueryError;
use crate::executor::Task;

/// Series that are read before it is decided how to go on.
const PROBE: usize = 32;
/// Samples that must be left to be worth more than one thread: a millisecond of work.
const MIN_SAMPLES: u64 = 1 << 19;
/// Samples that a thread reads between two meetings: fewer cost more waking than working.
const BATCH_SAMPLES: u64 = 1 << 18;
/// Bytes of rows that a thread makes between two meetings.
const BATCH_BYTES: usize = 1 << 20;
/// Parts of a thread's share, so that nobody waits long for the slowest.
const PARTS: usize = 4;

/// Makes the row of a series.
pub(crate) trait RowMaker: Send + Sync + 'static {
    /// What a thread needs to make rows: buffers, and what it learns from the series before.
    type Lane: Default + Send + 'static;

    fn series(&self) -> &Series;

    /// Steps of a row.
    fn steps(&self) -> usize;

    /// The row of series `i`; `None` where it has no value.
    fn row(
        &self,
        i: usize,
        lane: &mut Self::Lane,
        state: &mut State,
    ) -> Result<Option<Row>, QueryError>;

    /// Gives back what the lane holds of the budget.
    fn release(&self, lane: &mut Self::Lane, state: &mut State);
}

/// The operator.
pub(crate) struct PerSeries<M: RowMaker> {
    maker: Arc<M>,
    next: usize,
    lane: M::Lane,
    /// Samples of the first series.
    probed: u64,
    others: Option<Others<M>>,
    ready: VecDeque<Row>,
    held: Held,
}

/// The other lanes, between two meetings.
struct Others<M: RowMaker> {
    lanes: Vec<Lane<M>>,
    /// Series of a meeting.
    batch: usize,
}

struct Lane<M: RowMaker> {
    buffers: M::Lane,
    state: State,
    /// Rows made, by the place of their part.
    made: Vec<(usize, Vec<Row>)>,
    error: Option<(usize, QueryError)>,
}

/// The series of a meeting.
struct Batch<M: RowMaker> {
    maker: Arc<M>,
    lanes: Vec<Mutex<Option<Lane<M>>>>,
    to: usize,
    part: usize,
    /// First series that nobody has taken.
    next: AtomicUsize,
}

impl<M: RowMaker> PerSeries<M> {
    pub(crate) fn new(maker: M) -> Self {
        Self {
            maker: Arc::new(maker),
            next: 0,
            lane: M::Lane::default(),
            probed: 0,
            others: None,
            ready: VecDeque::new(),
            held: Held::default(),
        }
    }

    /// Decides after the first series whether the rest is worth several threads.
    fn plan(&mut self, state: &mut State) -> Result<(), QueryError> {
        let width = state.executor().width();
        let left = (self.maker.series().len() - self.next) as u64;
        let per_series = (self.probed / PROBE as u64).max(1);
        if width < 2 || per_series.saturating_mul(left) < MIN_SAMPLES {
            return Ok(());
        }
        let by_samples = usize::try_from(BATCH_SAMPLES / per_series).unwrap_or(usize::MAX);
        let row_bytes = self.maker.steps() * 8 + size_of::<Row>();
        let share = by_samples.min(BATCH_BYTES / row_bytes).max(PARTS);
        let batch = share * width;
        state.hold(&mut self.held, 0, (batch * row_bytes) as u64)?;
        state.keep_spare(batch);
        let lane = |_| Lane {
            buffers: M::Lane::default(),
            state: state.fork(),
            made: Vec::new(),
            error: None,
        };
        self.others = Some(Others { lanes: (0..width).map(lane).collect(), batch });
        Ok(())
    }

    /// Makes the rows of the next series on all threads.
    fn meet(&mut self, mut others: Others<M>, state: &mut State) -> Result<(), QueryError> {
        let width = others.lanes.len();
        let to = self.maker.series().len().min(self.next + others.batch);
        let share = (to - self.next).div_ceil(width);
        for lane in &mut others.lanes {
            state.lend_spare(&mut lane.state, share);
        }
        let batch = Arc::new(Batch {
            maker: Arc::clone(&self.maker),
            lanes: others.lanes.into_iter().map(|lane| Mutex::new(Some(lane))).collect(),
            to,
            part: share.div_ceil(PARTS).max(1),
            next: AtomicUsize::new(self.next),
        });
        let shared = Arc::clone(&batch);
        let task: Task = Arc::new(move |lane| shared.work(lane));
        state.executor().run(width, task);
        self.next = to;
        let back = batch.lanes.iter().filter_map(|lane| {
            // A panic in a lane has been passed on by the executor.
            lane.lock().unwrap_or_else(PoisonError::into_inner).take()
        });
        others.lanes = back.collect();
        self.gather(&mut others, state)?;
        self.others = Some(others);
        Ok(())
    }

    fn gather(&mut self, others: &mut Others<M>, state: &mut State) -> Result<(), QueryError> {
        let mut made = Vec::new();
        let mut error: Option<(usize, QueryError)> = None;
        for lane in &mut others.lanes {
            state.absorb(&mut lane.state);
            made.append(&mut lane.made);
            if let Some((at, e)) = lane.error.take()
                && error.as_ref().is_none_or(|(first, _)| at < *first)
            {
                error = Some((at, e));
            }
        }
        if let Some((_, e)) = error {
            return Err(e);
        }
        made.sort_unstable_by_key(|(at, _)| *at);
        self.ready.extend(made.into_iter().flat_map(|(_, rows)| rows));
        Ok(())
    }
}

impl<M: RowMaker> Batch<M> {
    /// Takes parts of the series until there are none, or one has an error: parts are taken in order, so
    /// the first error of all is always among those that are found.
    fn work(&self, lane: usize) {
        let mut place = self.lanes[lane].lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lane) = &mut *place else { return };
        loop {
            let from = self.next.fetch_add(self.part, Ordering::Relaxed);
            if from >= self.to {
                return;
            }
            let mut rows = Vec::new();
            for i in from..self.to.min(from + self.part) {
                let row = lane.state.poll();
                match row.and_then(|()| self.maker.row(i, &mut lane.buffers, &mut lane.state)) {
                    Ok(row) => rows.extend(row),
                    Err(e) => {
                        lane.error = Some((i, e));
                        // Nobody needs what comes behind.
                        self.next.store(self.to, Ordering::Relaxed);
                        return;
                    }
                }
            }
            lane.made.push((from, rows));
        }
    }
}

impl<M: RowMaker> Operator for PerSeries<M> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        let len = self.maker.series().len();
        if self.next == 0 && len > 0 {
            self.maker.series().prepare(&mut self.held, state)?;
        }
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Ok(Some(row));
            }
            if self.next == len {
                break;
            }
            if self.next == PROBE && self.others.is_none() {
                self.plan(state)?;
            }
            if let Some(others) = self.others.take() {
                self.meet(others, state)?;
                continue;
            }
            let i = self.next;
            self.next += 1;
            state.poll()?;
            let before = state.stats.samples_read;
            let row = self.maker.row(i, &mut self.lane, state)?;
            self.probed += state.stats.samples_read - before;
            if row.is_some() {
                return Ok(row);
            }
        }
        if let Some(others) = self.others.take() {
            for mut lane in others.lanes {
                self.maker.release(&mut lane.buffers, state);
            }
        }
        self.maker.release(&mut self.lane, state);
        state.release(&mut self.held);
        Ok(None)
    }
}
