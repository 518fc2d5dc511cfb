//! What operators change while they run: annotations, budgets, statistics and spare rows.

use std::sync::Arc;

use model::{Account, Charge, Interrupt, Labels};

use super::Row;
use super::trace::Trace;
use crate::annotations::Annotations;
use crate::engine::{EngineOptions, QueryContext, QueryError, QueryStats};

/// Rows kept for reuse; more than an operator chain has in flight is of no use.
const SPARE_ROWS: usize = 16;

/// Samples of work between two polls of the interrupt: a few hundred microseconds.
const POLL_EVERY: u64 = 1 << 17;

/// The mutable side of an evaluation.
pub(crate) struct State {
    pub(crate) annotations: Annotations,
    pub(crate) storage_warnings: Vec<String>,
    pub(crate) stats: QueryStats,
    /// Only where somebody asked for it: it costs two clock readings a row and operator.
    pub(crate) trace: Option<Trace>,
    interrupt: Arc<dyn Interrupt>,
    charge: Charge,
    max_bytes: u64,
    samples: u64,
    max_samples: u64,
    max_series: u64,
    /// Work since the last poll.
    work: u64,
    spare: Vec<Row>,
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
        Ok(Self {
            annotations: Annotations::new(),
            storage_warnings: Vec::new(),
            stats: QueryStats::default(),
            trace: None,
            interrupt: Arc::clone(&context.interrupt),
            charge,
            max_bytes: context.max_bytes,
            samples: 0,
            max_samples: options.max_samples,
            max_series: options.max_series,
            work: 0,
            spare: Vec::new(),
        })
    }

    /// Whether operators are only built, to see what they select.
    pub(crate) fn is_dry(&self) -> bool {
        self.trace.as_ref().is_some_and(|trace| trace.dry)
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

    /// Counts selected series.
    pub(crate) fn selected(&mut self, num_series: usize) -> Result<(), QueryError> {
        self.stats.num_series += num_series as u64;
        if self.stats.num_series > self.max_series {
            return Err(QueryError::Execution(format!(
                "query selects {} series, limit {}",
                self.stats.num_series, self.max_series
            )));
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
        if self.samples + samples > self.max_samples {
            return Err(QueryError::TooManySamples);
        }
        let wanted = self.charge.bytes() + bytes;
        if wanted > self.max_bytes {
            return Err(QueryError::TooManyBytes { wanted, limit: self.max_bytes });
        }
        self.charge.grow(bytes).map_err(QueryError::OverBudget)?;
        self.samples += samples;
        held.samples += samples;
        held.bytes += bytes;
        self.stats.peak_samples = self.stats.peak_samples.max(self.samples);
        self.stats.peak_bytes = self.stats.peak_bytes.max(wanted);
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
        self.samples -= held.samples - samples;
        self.charge.set_always(self.charge.bytes() - (held.bytes - bytes));
        *held = Held { samples, bytes };
        Ok(())
    }

    /// Gives back what a buffer held.
    pub(crate) fn release(&mut self, held: &mut Held) {
        let held = std::mem::take(held);
        self.samples -= held.samples;
        self.charge.set_always(self.charge.bytes() - held.bytes);
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
        if self.spare.len() < SPARE_ROWS {
            self.spare.push(row);
        }
    }
}
