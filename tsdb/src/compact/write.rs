//! Makes the blocks of a plan.

use std::path::Path;
use std::sync::Arc;

use model::{Interrupt, ReadError};

use super::merge::merge_into;
use super::plan::{Plan, Window};
use crate::block::meta::{COLD_FORMAT, FORMAT};
use crate::block::{Block, BlockId, BlockMeta, BlockSource, BlockWriter, Deleted, directory};
use crate::db::StepError;
use crate::fs::Fs;
use crate::sabotage::{self, Sabotage};
use crate::tombstones::Masks;

/// What a compaction works with.
pub(crate) struct Job<'a> {
    /// The disk.
    pub(crate) fs: &'a Arc<dyn Fs>,
    /// Where blocks live.
    pub(crate) dir: &'a Path,
    /// The inputs of the plan.
    pub(crate) inputs: &'a [BlockId],
    /// What is deleted from them.
    pub(crate) masks: &'a Masks,
    /// Ends the work early.
    pub(crate) interrupt: &'a dyn Interrupt,
    /// Memory for what a block's writer holds until its end.
    pub(crate) buffer_bytes: usize,
    /// Whether outputs that end before this time are compressed a second time, ms.
    pub(crate) cold_before_ms: i64,
    /// Makes an id.
    pub(crate) new_id: &'a dyn Fn() -> BlockId,
}

/// Carries out `plan` and returns the outputs, opened. They are durable under their names, but
/// count only once the manifest names them.
///
/// # Errors
/// [`StepError`]; nothing is left behind then, as far as the disk lets it be removed.
pub(crate) fn run(job: &Job<'_>, plan: &Plan) -> Result<Vec<Arc<Block>>, StepError> {
    // Opened anew, so that what is decoded here does not displace what queries have in their caches.
    let open = |id: &BlockId| Block::open(&**job.fs, &job.dir.join(id.to_string()));
    let inputs = job.inputs.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let whole = [Window { mint: i64::MIN, maxt: i64::MAX }];
    let windows = match plan {
        Plan::Merge(_) => &whole[..],
        Plan::Split(_, windows) => windows,
    };
    let mut made = Vec::new();
    let written = write(job, &inputs, windows, &mut made)
        .and_then(|()| Ok(made.iter().map(open).collect::<Result<Vec<_>, _>>()?));
    if written.is_err() {
        for id in made {
            // What cannot be removed now is not named by the manifest and goes at the next start.
            let _ = directory::delete(&**job.fs, job.dir, id);
        }
    }
    written
}

fn write(
    job: &Job<'_>,
    inputs: &[Arc<Block>],
    windows: &[Window],
    made: &mut Vec<BlockId>,
) -> Result<(), StepError> {
    let count = |meta: &BlockMeta| meta.num_samples + meta.num_histograms;
    let samples_in = inputs.iter().map(|b| count(b.meta())).sum::<u64>();
    let (mut samples_out, mut duplicates, mut deleted) = (0, 0, 0);
    for window in windows {
        job.interrupt.check().map_err(ReadError::from)?;
        let id = (job.new_id)();
        let newest = inputs.iter().map(|b| b.meta().maxt).max().unwrap_or(i64::MAX);
        let is_cold = newest.min(window.maxt) < job.cold_before_ms;
        let format = if is_cold { COLD_FORMAT } else { FORMAT };
        let meta = BlockMeta { format, ..meta(id, inputs, job.masks) };
        let mut writer =
            BlockWriter::with_buffers(Arc::clone(job.fs), job.dir, meta, job.buffer_bytes)?;
        let lost = sabotage::is(Sabotage::TombstoneLost).then(Masks::new);
        let masks = lost.as_ref().unwrap_or(job.masks);
        let losses = merge_into(inputs, masks, *window, &mut writer, job.interrupt)?;
        duplicates += losses.duplicates;
        deleted += losses.deleted.iter().map(|(_, n)| n).sum::<u64>();
        writer.note_deleted(losses.deleted.iter().filter(|(_, n)| *n > 0).map(|(t, n)| Deleted {
            selector: t.what.to_string(),
            mint: t.what.mint,
            maxt: t.what.maxt,
            num_samples: *n,
        }));
        if writer.num_series() == 0 {
            continue;
        }
        // Named before it is published: a failure behind the rename must remove it too.
        made.push(id);
        samples_out += count(&writer.finish()?);
    }
    if samples_in == samples_out + duplicates + deleted {
        Ok(())
    } else {
        Err(StepError::Lost { samples_in, samples_out, duplicates, deleted })
    }
}

/// The meta of an output.
fn meta(id: BlockId, inputs: &[Arc<Block>], masks: &Masks) -> BlockMeta {
    let metas = || inputs.iter().map(|b| b.meta());
    let mut deleted: Vec<Deleted> = Vec::new();
    for one in metas().flat_map(|m| &m.deleted) {
        if !deleted.contains(one) {
            deleted.push(one.clone());
        }
    }
    let carried_out = inputs.iter().filter_map(|b| masks.get(&b.id())).map(|mask| mask.seq()).max();
    let before = metas().map(|m| m.deleted_seq).max().unwrap_or(0);
    // 0 is "not known", and what is not known of one input is not known of all.
    let first_seq = metas().map(|m| m.first_seq).min().unwrap_or(0);
    BlockMeta {
        late_seq: metas().map(|m| m.late_seq).max().unwrap_or(0),
        first_seq,
        last_seq: metas().map(|m| m.last_seq).max().unwrap_or(0),
        deleted_seq: before.max(carried_out.unwrap_or(0)),
        level: metas().map(|m| m.level).max().unwrap_or(0).saturating_add(1),
        parents: metas().map(|m| m.id).collect(),
        source: BlockSource::Compaction,
        deleted,
        ..BlockMeta::new(id)
    }
}
