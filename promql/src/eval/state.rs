//! What operators change while they run: annotations, budgets, statistics and spare rows.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Account, Accountant, Charge, Estimate, Interrupt, Labels, SeriesBuf, SeriesSet};

use super::looked::Looked;
use super::trace::Trace;
use super::{References, Row};
use crate::annotations::Annotations;
use crate::engine::{EngineOptions, QueryContext, QueryError, QueryStats};
use crate::executor::Executor;

/// Rows kept for reuse where one thread makes them; more than an operator chain has in flight is of
/// no use.
const SPARE_ROWS: usize = 16;

/// Samples of work between two polls of the interrupt: a few hundred microseconds.
const POLL_EVERY: u64 = 1 << 17;

/// `0..len` in parts small enough for a poll between any two.
pub(crate) fn parts(len: usize) -> impl Iterator<Item = Range<usize>> {
    let step = usize::try_from(POLL_EVERY).unwrap_or(usize::MAX);
    (0..len).step_by(step).map(move |from| from..len.min(from + step))
}

/// The mutable side of an evaluation.
pub(crate) struct State {
    pub(crate) annotations: Annotations,
    pub(crate) storage_warnings: Vec<String>,
    pub(crate) stats: QueryStats,
    /// What steps looked at; a subquery is not a step.
    pub(crate) looked: Looked,
    /// Whether what is evaluated is a subquery, whose samples only count once a step looks at them.
    in_subquery: bool,
    /// Only where somebody asked for it: it costs two clock readings a row and operator.
    pub(crate) trace: Option<Trace>,
    pub(crate) interrupt: Arc<dyn Interrupt>,
    executor: Arc<dyn Executor>,
    memory: Accountant,
    budget: Arc<Budget>,
    max_series: u64,
    /// What the selectors so far are estimated to read, and the most samples and bytes of that.
    cost: Estimate,
    max_read: (u64, u64),
    /// Operators are only built, to see what they select.
    dry: bool,
    /// Work since the last poll.
    work: u64,
    spare: Vec<Row>,
    max_spare: usize,
}

/// What all threads of a query hold together.
struct Budget {
    held: Mutex<HeldByAll>,
    max_bytes: u64,
    max_samples: u64,
}

struct HeldByAll {
    charge: Charge,
    /// Bytes of the charge that [`State::keep`] holds.
    kept: u64,
    samples: u64,
    peak_samples: u64,
    peak_bytes: u64,
}

impl Budget {
    fn lock(&self) -> MutexGuard<'_, HeldByAll> {
        // Every change is made in one piece.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grow(&self, samples: u64, bytes: u64) -> Result<(), QueryError> {
        let mut held = self.lock();
        if held.samples.saturating_add(samples) > self.max_samples {
            return Err(QueryError::TooManySamples);
        }
        let wanted = (held.charge.bytes() - held.kept).saturating_add(bytes);
        if wanted > self.max_bytes {
            return Err(QueryError::TooManyBytes { wanted, limit: self.max_bytes });
        }
        held.charge.grow(bytes).map_err(QueryError::OverBudget)?;
        held.samples += samples;
        held.peak_samples = held.peak_samples.max(held.samples);
        held.peak_bytes = held.peak_bytes.max(wanted);
        Ok(())
    }

    fn shrink(&self, samples: u64, bytes: u64) {
        let mut held = self.lock();
        held.samples -= samples;
        let left = held.charge.bytes() - bytes;
        held.charge.set_always(left);
    }
}

/// Samples and bytes that a buffer holds; give it back with [`State::release`].
#[derive(Debug, Default)]
pub(crate) struct Held {
    samples: u64,
    bytes: u64,
}

impl State {
    pub(crate) fn new(context: &QueryContext, options: &EngineOptions) -> Result<Self, QueryError> {
        let charge = context.memory.charge(Account::Queries, 0).map_err(QueryError::OverBudget)?;
        let held = HeldByAll { charge, kept: 0, samples: 0, peak_samples: 0, peak_bytes: 0 };
        let budget = Budget {
            held: Mutex::new(held),
            max_bytes: context.max_bytes,
            max_samples: options.max_samples,
        };
        Ok(Self {
            annotations: Annotations::new(),
            storage_warnings: Vec::new(),
            stats: QueryStats::default(),
            looked: Looked::default(),
            in_subquery: false,
            trace: None,
            interrupt: Arc::clone(&context.interrupt),
            executor: Arc::clone(&context.executor),
            memory: context.memory.clone(),
            budget: Arc::new(budget),
            max_series: options.max_series,
            cost: Estimate::default(),
            max_read: (options.max_read_samples, options.max_read_bytes),
            dry: false,
            work: 0,
            spare: Vec::new(),
            max_spare: SPARE_ROWS,
        })
    }

    /// The state of another thread of the same query: the budget is shared, what it notes is
    /// [absorbed](State::absorb).
    pub(crate) fn fork(&self) -> Self {
        Self {
            annotations: Annotations::new(),
            storage_warnings: Vec::new(),
            stats: QueryStats::default(),
            looked: self.looked.fresh(),
            in_subquery: self.in_subquery,
            trace: None,
            interrupt: Arc::clone(&self.interrupt),
            executor: Arc::clone(&self.executor),
            memory: self.memory.clone(),
            budget: Arc::clone(&self.budget),
            max_series: self.max_series,
            cost: self.cost,
            max_read: self.max_read,
            dry: false,
            work: 0,
            spare: Vec::new(),
            max_spare: usize::MAX,
        }
    }

    /// Takes over what a forked state has noted.
    pub(crate) fn absorb(&mut self, other: &mut Self) {
        self.annotations.merge(std::mem::take(&mut other.annotations));
        let stats = std::mem::take(&mut other.stats);
        self.stats.samples_read += stats.samples_read;
        self.stats.samples_left_out += stats.samples_left_out;
        let fresh = self.looked.fresh();
        self.looked.absorb(&std::mem::replace(&mut other.looked, fresh));
    }

    /// Counts samples that step `step` looked at.
    pub(crate) fn looked_at(&mut self, step: usize, samples: u64) {
        if !self.in_subquery {
            self.looked.look(step, samples);
        }
    }

    /// Counts the samples of `buf`, as many as `samples`, that were read for the steps of
    /// `references`; without these for the first step.
    pub(crate) fn read(&mut self, samples: u64, buf: &SeriesBuf, references: Option<&References>) {
        self.stats.samples_read += samples;
        if self.looked.is_per_step() {
            match references {
                Some(references) if !self.in_subquery => self.looked.read(buf, references),
                _ => self.looked.read_at[0] += samples,
            }
        }
    }

    /// Whether samples count, from now on those of a subquery or no more; what was before.
    pub(crate) fn enter_subquery(&mut self, inside: bool) -> bool {
        std::mem::replace(&mut self.in_subquery, inside)
    }

    /// Who runs parts of the query.
    pub(crate) fn executor(&self) -> Arc<dyn Executor> {
        Arc::clone(&self.executor)
    }

    /// Charges bytes that the query could do without: up to a quarter of what it may hold, beside that,
    /// and of what the process has left. Whether there was room; give them back with
    /// [`State::give_up`].
    pub(crate) fn keep(&mut self, bytes: u64) -> bool {
        let mut held = self.budget.lock();
        let most = (self.budget.max_bytes / 4).min((self.memory.left() + held.kept) / 4);
        let fits = held.kept + bytes <= most && held.charge.grow(bytes).is_ok();
        if fits {
            held.kept += bytes;
            held.peak_bytes = held.peak_bytes.max(held.charge.bytes());
        }
        fits
    }

    /// Gives back what was kept.
    pub(crate) fn give_up(&mut self, bytes: u64) {
        self.budget.shrink(0, bytes);
        self.budget.lock().kept -= bytes;
    }

    /// What the query cost.
    pub(crate) fn stats(&self) -> QueryStats {
        let held = self.budget.lock();
        QueryStats {
            peak_samples: held.peak_samples,
            peak_bytes: held.peak_bytes,
            queryable_samples: self.looked.queryable,
            ..self.stats
        }
    }

    /// Whether operators are only built, to see what they select.
    pub(crate) fn is_dry(&self) -> bool {
        self.dry || self.trace.as_ref().is_some_and(|trace| trace.dry)
    }

    /// From now on operators are only built.
    pub(crate) fn dry_out(&mut self) {
        self.dry = true;
    }

    /// Says that about `samples` samples of work were done, and polls the interrupt when due.
    pub(crate) fn worked(&mut self, samples: u64) -> Result<(), QueryError> {
        self.work += samples;
        if self.work >= POLL_EVERY {
            self.work = 0;
            self.interrupt.check()?;
        }
        Ok(())
    }

    /// Polls the interrupt: once a series.
    pub(crate) fn poll(&mut self) -> Result<(), QueryError> {
        self.work = 0;
        Ok(self.interrupt.check()?)
    }

    /// Counts selected series, and refuses what would read too much.
    pub(crate) fn selected(&mut self, set: &dyn SeriesSet) -> Result<(), QueryError> {
        self.stats.num_series += set.len() as u64;
        if self.stats.num_series > self.max_series {
            let (series, limit) = (self.stats.num_series, self.max_series);
            return Err(QueryError::TooManySeries { series, limit });
        }
        // Half the limit, because a few series stand for all: near it they are all looked at.
        let (samples, bytes) = self.max_read;
        if self.trace.as_ref().is_some_and(|trace| trace.dry) {
            // Whoever asks what a query costs is told.
            return Ok(());
        }
        let before = self.cost;
        self.cost = before.plus(set.rough_estimate());
        if self.cost.num_samples > samples / 2 || self.cost.chunk_bytes > bytes / 2 {
            self.cost = before.plus(set.estimate());
        }
        let refuse = |limit, unit| QueryError::TooCostly { estimate: self.cost, limit, unit };
        if self.cost.num_samples > samples {
            return Err(refuse(samples, "samples"));
        }
        if self.cost.chunk_bytes > bytes {
            return Err(refuse(bytes, "bytes"));
        }
        Ok(())
    }

    /// Charges `samples` and `bytes` in addition to what `held` holds.
    pub(crate) fn hold(
        &mut self,
        held: &mut Held,
        samples: u64,
        bytes: u64,
    ) -> Result<(), QueryError> {
        if samples > 0 || bytes > 0 {
            self.budget.grow(samples, bytes)?;
            held.samples += samples;
            held.bytes += bytes;
        }
        Ok(())
    }

    /// Charges a row that is kept in a buffer.
    pub(crate) fn hold_row(&mut self, held: &mut Held, row: &Row) -> Result<(), QueryError> {
        self.hold(held, row.samples(), row.heap_bytes())
    }

    /// Makes `held` hold exactly `samples` and `bytes`.
    pub(crate) fn hold_exactly(
        &mut self,
        held: &mut Held,
        samples: u64,
        bytes: u64,
    ) -> Result<(), QueryError> {
        let more_samples = samples.saturating_sub(held.samples);
        let more_bytes = bytes.saturating_sub(held.bytes);
        self.hold(held, more_samples, more_bytes)?;
        let (fewer_samples, fewer_bytes) = (held.samples - samples, held.bytes - bytes);
        if fewer_samples > 0 || fewer_bytes > 0 {
            self.budget.shrink(fewer_samples, fewer_bytes);
        }
        *held = Held { samples, bytes };
        Ok(())
    }

    /// Charges `more` bytes in place of up to `fewer` that `held` holds: those of a thing, and of what it
    /// was made of.
    pub(crate) fn exchange(
        &mut self,
        held: &mut Held,
        fewer: u64,
        more: u64,
    ) -> Result<(), QueryError> {
        self.hold(held, 0, more)?;
        let fewer = fewer.min(held.bytes);
        self.budget.shrink(0, fewer);
        held.bytes -= fewer;
        Ok(())
    }

    /// Gives back what a buffer held.
    pub(crate) fn release(&mut self, held: &mut Held) {
        let held = std::mem::take(held);
        self.budget.shrink(held.samples, held.bytes);
    }

    /// A row without values; from the spare ones where there is one.
    pub(crate) fn row(&mut self, labels: Labels, drop_name: bool, steps: usize) -> Row {
        let mut row = self.spare.pop().unwrap_or_default();
        row.labels = labels;
        row.drop_name = drop_name;
        // The old floats stay where nothing is present.
        row.floats.resize(steps, 0.0);
        row.present.reset(steps);
        row.histograms.clear();
        row
    }

    /// Takes back a row that nobody needs any more.
    pub(crate) fn recycle(&mut self, row: Row) {
        if self.spare.len() < self.max_spare {
            self.spare.push(row);
        }
    }

    /// Keeps up to `rows` rows for reuse.
    pub(crate) fn keep_spare(&mut self, rows: usize) {
        self.max_spare = self.max_spare.max(rows);
    }

    /// Gives `other` spare rows until it has `rows`.
    pub(crate) fn lend_spare(&mut self, other: &mut Self, rows: usize) {
        let wanted = rows.saturating_sub(other.spare.len()).min(self.spare.len());
        let from = self.spare.len() - wanted;
        other.spare.extend(self.spare.drain(from..));
    }
}
