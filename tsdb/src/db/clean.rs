//! Carrying out tombstones: blocks are written anew without what is deleted from them.

use std::sync::Arc;

use super::Db;
use super::steps::{Keep, StepError};
use crate::block::{Block, BlockId};
use crate::compact::Plan;
use crate::tombstones::Mask;

/// A block with more tombstones is written anew, whatever they take: each costs reads a little.
const MAX_ENTRIES: usize = 64;
/// One in so many samples must be masked for the others to be worth writing anew. Retention by rules
/// masks a block bit by bit: it is then written a few times in all.
const WORTH_ONE_IN: u64 = 4;

impl Db {
    /// Writes every block anew of which something is deleted, and the head's part of the log: nothing
    /// deleted is on disk afterwards. Returns how many blocks it rewrote. A running compaction is
    /// waited for; [`Db::close`] and [`Db::stop_compaction`] end this one.
    ///
    /// # Errors
    /// [`StepError`]; what was not carried out stays masked.
    pub fn clean_tombstones(&self) -> Result<usize, StepError> {
        let mut state = self.compaction.state.lock();
        self.remove_leftovers(&mut state)?;
        let mut done = 0;
        let mut rest: Vec<BlockId> = self.views.load().masks.keys().copied().collect();
        rest.sort_unstable();
        for id in rest {
            // Retention may have taken it meanwhile.
            let is_masked = self.views.load().masks.contains_key(&id);
            if is_masked && self.may_compact() {
                let plan = Plan::Merge(vec![id]);
                done += usize::from(self.carry_out(&mut state, &plan, &self.candidates())?);
            }
        }
        drop(state);
        self.gc_step();
        let mut maintenance = self.maintenance();
        if self.may_compact() {
            self.write_checkpoint(&mut maintenance, Keep::Series)?;
        }
        Ok(done)
    }

    /// A block that is worth writing anew for what is deleted from it.
    pub(super) fn purge_due(&self) -> Option<BlockId> {
        let view = self.views.load();
        let due = view.blocks.iter().filter(|b| view.mask(b.id()).is_some_and(|m| is_due(b, m)));
        due.map(|b| b.id()).min()
    }
}

/// Judged by series and by how much of the block's time is masked: counting samples would read it.
fn is_due(block: &Arc<Block>, mask: &Mask) -> bool {
    let meta = block.meta();
    let masked: u64 = mask
        .entries()
        .iter()
        .map(|e| {
            let what = &e.tombstone.what;
            let (first, last) = (what.mint.max(meta.mint), what.maxt.min(meta.maxt));
            let part = (u128::from(last.abs_diff(first)) + 1) * u128::from(e.series.len());
            // In millionths of a series over all of the block's time.
            let all = u128::from(meta.maxt.abs_diff(meta.mint)) + 1;
            u64::try_from(part * 1_000_000 / all).unwrap_or(u64::MAX)
        })
        .fold(0, u64::saturating_add);
    mask.entries().len() > MAX_ENTRIES
        || masked.saturating_mul(WORTH_ONE_IN) >= meta.num_series.saturating_mul(1_000_000)
}
