//! The steps that change the set of blocks: compaction and retention.
//!
//! A compaction reads and writes without the flush lock, which it takes only to put its outputs in
//! the place of its inputs; so it stops neither flushes nor checkpoints. What a flush adds
//! meanwhile cannot make the plan wrong: a new late block beats everything, and a new in-order one
//! holds no time that an in-order input holds. What retention takes away meanwhile voids it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use model::{Account, Interrupt, Interrupted, ReadError};
use parking_lot::Mutex;

use super::Db;
use super::stats::Counter;
use super::steps::StepError;
use crate::block::{Block, BlockError, BlockId, directory};
use crate::compact::write::{self, Job};
use crate::compact::{Candidate, Plan, Rules, plan};
use crate::quarantine::{self, Quarantined};
use crate::retention;
use crate::sabotage::{self, Sabotage};

/// Memory of an input while it is read: pages, columns and samples of one series.
const INPUT_BYTES: u64 = 4 << 20;
/// Memory of a series of the output beside the buffers: a posting, and the number of a symbol.
const OUTPUT_SERIES_BYTES: u64 = 12;
/// Pause after the first failure; each further one doubles it.
const FIRST_PAUSE_MS: u64 = 10_000;
/// Longest pause.
const MAX_PAUSE_MS: u64 = 600_000;

/// What compactions keep.
#[derive(Debug)]
pub(super) struct Compaction {
    /// One compaction at a time; locked before the flush lock.
    pub(super) state: Mutex<State>,
    stopped: AtomicBool,
    max_range_ms: AtomicI64,
    cold_before_ms: AtomicI64,
}

impl Compaction {
    pub(super) fn new(max_range_ms: i64) -> Self {
        Self {
            state: Mutex::default(),
            stopped: AtomicBool::new(false),
            max_range_ms: AtomicI64::new(max_range_ms),
            cold_before_ms: AtomicI64::new(i64::MIN),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Blocks of which something may be on disk, and that the manifest should not name.
    leftovers: Vec<BlockId>,
    /// Failures since the last success, and when the last one was.
    failures: u32,
    failed_at_ms: u64,
}

impl State {
    /// Whether it is too early to try again. A clock that was set back does not make it longer.
    fn rests(&self, now_ms: u64) -> bool {
        let doublings = self.failures.saturating_sub(1).min(16);
        let pause = (FIRST_PAUSE_MS << doublings).min(MAX_PAUSE_MS);
        self.failures > 0 && now_ms.checked_sub(self.failed_at_ms).is_some_and(|t| t < pause)
    }
}

/// Ends a compaction when the database is closed.
struct Stop<'a>(&'a Db);

impl Interrupt for Stop<'_> {
    fn check(&self) -> Result<(), Interrupted> {
        if self.0.may_compact() { Ok(()) } else { Err(Interrupted::Canceled) }
    }
}

impl Db {
    /// Carries out one piece of compaction, if there is any to do. Returns whether it did.
    ///
    /// After a failure it rests for a while, longer each time. A damaged input is moved to
    /// quarantine, see [`Db::quarantined_blocks`]. [`Db::close`] and [`Db::stop_compaction`] end it
    /// early.
    ///
    /// # Errors
    /// [`StepError`]; the inputs then stay as they are.
    pub fn compact_step(&self) -> Result<bool, StepError> {
        let mut state = self.compaction.state.lock();
        let now_ms = self.options.clock.now_ms();
        if !self.may_compact() || state.rests(now_ms) {
            return Ok(false);
        }
        let result = self.compact(&mut state, now_ms);
        match &result {
            Ok(_) => state.failures = 0,
            Err(StepError::Read(ReadError::Interrupted(_))) => return Ok(false),
            Err(_) => {
                self.counters.compactions_failed.add(1);
                state.failures = state.failures.saturating_add(1);
                state.failed_at_ms = now_ms;
            }
        }
        result
    }

    /// Ends a running compaction soon, and lets none begin any more: for an owner that is about to
    /// wait for its maintenance threads.
    pub fn stop_compaction(&self) {
        self.compaction.stopped.store(true, Ordering::Release);
    }

    /// From here on compaction makes no block longer than this, ms.
    pub fn set_max_compacted_range_ms(&self, ms: i64) {
        self.compaction.max_range_ms.store(ms, Ordering::Relaxed);
    }

    /// From here on compaction compresses blocks that end before this time (ms) a second time, those that
    /// are there included; `i64::MIN` for none.
    pub fn set_cold_before_ms(&self, ms: i64) {
        self.compaction.cold_before_ms.store(ms, Ordering::Relaxed);
    }

    /// The oldest block that is to become cold.
    fn cold_due(&self) -> Option<BlockId> {
        let before = self.compaction.cold_before_ms.load(Ordering::Relaxed);
        let view = self.views.load();
        let metas = view.blocks.iter().map(|b| b.meta());
        let due = metas.filter(|meta| meta.maxt < before && !meta.is_cold());
        due.min_by_key(|meta| (meta.maxt, meta.id)).map(|meta| meta.id)
    }

    /// Blocks whose samples are missing from answers, because they are damaged or gone.
    pub fn quarantined_blocks(&self) -> Arc<[Quarantined]> {
        Arc::clone(&self.views.load().missing)
    }

    /// Drops blocks that end before `min_time_ms`, but for those that beat a block that stays.
    /// Returns how many. What the head has of that age goes to a block with the next flushes, and series
    /// that have nothing newer leave it.
    ///
    /// # Errors
    /// [`StepError`].
    pub fn retention_step(&self, min_time_ms: i64) -> Result<usize, StepError> {
        self.retained_from_ms.store(min_time_ms, Ordering::Relaxed);
        self.drop_blocks(&self.counters.time_retentions, |blocks| {
            if sabotage::is(Sabotage::RetentionBySampleTime) {
                let now = i64::try_from(self.options.clock.now_ms()).unwrap_or(i64::MAX);
                let newest = blocks.iter().map(|b| b.maxt).max().unwrap_or(now);
                return retention::by_time(blocks, min_time_ms.saturating_add(newest - now));
            }
            retention::by_time(blocks, min_time_ms)
        })
    }

    /// Drops `chosen`, which [`retention::by_size`] chose, but for blocks that may not go any more.
    /// Returns how many.
    ///
    /// # Errors
    /// [`StepError`].
    pub fn retention_size_step(&self, chosen: &[BlockId]) -> Result<usize, StepError> {
        self.drop_blocks(&self.counters.size_retentions, |blocks| retention::still(blocks, chosen))
    }

    fn drop_blocks(
        &self,
        counter: &Counter,
        choose: impl Fn(&[Candidate]) -> Vec<BlockId>,
    ) -> Result<usize, StepError> {
        let mut maintenance = self.maintenance();
        let gone = choose(&self.candidates());
        if !gone.is_empty() {
            self.replace_blocks(&mut maintenance, &[], &gone, None)?;
            counter.add(1);
        }
        for id in &gone {
            directory::delete(&*self.fs, &self.dir, *id)?;
        }
        Ok(gone.len())
    }

    pub(super) fn may_compact(&self) -> bool {
        !*self.closed.read()
            && !self.compaction.stopped.load(Ordering::Acquire)
            && !self.is_short_of_disk()
    }

    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let view = self.views.load();
        view.blocks.iter().map(|b| Candidate::new(b.meta(), b.disk_bytes())).collect()
    }

    fn compact(&self, state: &mut State, now_ms: u64) -> Result<bool, StepError> {
        self.remove_leftovers(state)?;
        let options = &self.options;
        let rules = Rules::new(
            options.block_range_ms,
            self.compaction.max_range_ms.load(Ordering::Relaxed),
            options.max_block_bytes,
        );
        // The view is not held while blocks are written: it would keep retired memory alive.
        let (blocks, boundary) = (self.candidates(), self.views.load().boundary);
        let next = plan(&blocks, boundary, &rules, now_ms);
        let alone = || self.purge_due().or_else(|| self.cold_due());
        let Some(plan) = next.or_else(|| alone().map(|id| Plan::Merge(vec![id]))) else {
            return Ok(false);
        };
        self.carry_out(state, &plan, &blocks)
    }

    /// Makes the blocks of `plan` and puts them in the place of its inputs.
    pub(super) fn carry_out(
        &self,
        state: &mut State,
        plan: &Plan,
        blocks: &[Candidate],
    ) -> Result<bool, StepError> {
        let options = &self.options;
        let inputs = plan.inputs();
        let inputs_bytes =
            blocks.iter().filter(|b| inputs.contains(&b.id)).map(|b| b.bytes).sum::<u64>();
        self.check_space(inputs_bytes)?;
        let view = self.views.load();
        let metas = view.blocks.iter().map(|b| b.meta()).filter(|m| inputs.contains(&m.id));
        let series = metas.map(|m| m.num_series).sum::<u64>();
        drop(view);
        let bytes = inputs.len() as u64 * INPUT_BYTES + series * OUTPUT_SERIES_BYTES;
        let charge = options.memory.charge(Account::Compaction, bytes);
        let charge = charge.map_err(ReadError::from)?;
        let written = self.write_blocks(plan);
        drop(charge);
        match written {
            Ok(outputs) => {
                self.counters.compaction_bytes_read.add(inputs_bytes);
                self.publish_compaction(state, inputs, &outputs)
            }
            Err(error) => self.quarantine_damaged(inputs, error),
        }
    }

    fn write_blocks(&self, plan: &Plan) -> Result<Vec<Arc<Block>>, StepError> {
        // What is deleted from here on is masked in the outputs when they are published.
        let masks = self.views.load().masks.clone();
        let job = Job {
            fs: &self.fs,
            dir: &self.dir,
            inputs: plan.inputs(),
            masks: &masks,
            interrupt: &Stop(self),
            cold_before_ms: self.compaction.cold_before_ms.load(Ordering::Relaxed),
            buffer_bytes: self.buffer_bytes(),
            new_id: &|| self.new_block_id(),
        };
        write::run(&job, plan)
    }

    /// Reliability contract R12: outputs are hardly ever larger than the inputs, and what must stay free
    /// stays free.
    fn check_space(&self, inputs_bytes: u64) -> Result<(), StepError> {
        let free = self.fs.space(&self.dir)?.free;
        let needed = inputs_bytes
            .saturating_add(inputs_bytes / 10)
            .saturating_add(self.floor_bytes.load(Ordering::Relaxed));
        if free < needed { Err(StepError::NoSpace { needed, free }) } else { Ok(()) }
    }

    /// Puts the outputs in the place of the inputs, unless these are gone by now or the database is
    /// being closed. Returns whether it did.
    fn publish_compaction(
        &self,
        state: &mut State,
        inputs: &[BlockId],
        outputs: &[Arc<Block>],
    ) -> Result<bool, StepError> {
        let mut maintenance = self.maintenance();
        let view = self.views.load();
        let is_live = |id: &BlockId| view.blocks.iter().any(|b| b.id() == *id);
        if sabotage::is(Sabotage::ParentDeletedFirst) {
            for id in inputs {
                directory::delete(&*self.fs, &self.dir, *id)?;
            }
        }
        let published = if self.may_compact() && inputs.iter().all(is_live) {
            self.replace_blocks(&mut maintenance, outputs, inputs, None).map(|()| true)
        } else {
            Ok(false)
        };
        drop(view);
        drop(maintenance);
        // Written is written, published or not.
        self.counters.compaction_bytes_written.add(outputs.iter().map(|b| b.disk_bytes()).sum());
        match &published {
            Ok(true) => {
                self.counters.compactions.add(1);
                state.leftovers.extend(inputs);
            }
            // After a failed write the manifest may name either: it is written anew before these go.
            Ok(false) | Err(_) => state.leftovers.extend(outputs.iter().map(|b| b.id())),
        }
        if let (Ok(_), Err(error)) = (&published, self.delete_leftovers(state)) {
            // The compaction is done all the same, and the next one tries again.
            tracing::warn!(%error, "compacted blocks could not be deleted");
        }
        published
    }

    /// Removes what earlier compactions could not remove.
    pub(super) fn remove_leftovers(&self, state: &mut State) -> Result<(), StepError> {
        if state.leftovers.is_empty() {
            return Ok(());
        }
        self.maintenance().manifest.append(&self.edit())?;
        self.delete_leftovers(state)
    }

    fn delete_leftovers(&self, state: &mut State) -> Result<(), StepError> {
        while let Some(id) = state.leftovers.last() {
            directory::delete_rest(&*self.fs, &self.dir, *id)?;
            state.leftovers.pop();
        }
        Ok(())
    }

    /// After a compaction failed with `error`: takes its damaged inputs out of the way, so that it does
    /// not fail for ever.
    fn quarantine_damaged(&self, inputs: &[BlockId], error: StepError) -> Result<bool, StepError> {
        let is_damage = matches!(
            error,
            StepError::Read(ReadError::Corrupt(_)) | StepError::Block(BlockError::Corrupt { .. })
        );
        let mut found = false;
        for id in inputs.iter().filter(|_| is_damage) {
            let view = self.views.load();
            let Some(block) = view.blocks.iter().find(|b| b.id() == *id) else { continue };
            if let Err(why @ BlockError::Corrupt { .. }) = block.verify() {
                self.quarantine(block, &why)?;
                found = true;
            }
        }
        if found {
            self.counters.compactions_failed.add(1);
            Ok(true)
        } else {
            Err(error)
        }
    }

    pub(super) fn quarantine(&self, block: &Block, why: &BlockError) -> Result<(), StepError> {
        let id = block.id();
        let mut maintenance = self.maintenance();
        if !self.views.load().blocks.iter().any(|b| b.id() == id) {
            return Ok(());
        }
        tracing::error!(block = %id, %why, "damaged block moved to quarantine");
        // Moved first: a crash in between must not leave a block that looks superfluous. Who reads it
        // has its files open.
        directory::quarantine(&*self.fs, &self.dir, id, &self.dir.join(quarantine::DIR))?;
        let (mint, maxt) = (block.meta().mint, block.meta().maxt);
        self.replace_blocks(&mut maintenance, &[], &[id], Some(Quarantined { id, mint, maxt }))
    }
}
