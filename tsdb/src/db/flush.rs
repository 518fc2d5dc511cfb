//! From head to block.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use model::{Accountant, Labels, SeriesBuf};

use super::delete::tombstones_edit;
use super::steps::StepError;
use super::{Db, Maintenance};
use crate::block::writer::DEFAULT_BUFFER_BYTES;
use crate::block::{Block, BlockId, BlockMeta, BlockSource, BlockWriter};
use crate::head::late::{LateBuffer, LateValue};
use crate::head::read::{SeriesSnapshot, read_late};
use crate::manifest::Edit;
use crate::quarantine::Quarantined;
use crate::tombstones::Mask;
use crate::wal::WalMode;
use crate::wal::record::SeriesRef;

/// Least memory for writing a block.
const MIN_BUFFER_BYTES: usize = 512 << 10;

fn buffer_bytes(memory: &Accountant) -> usize {
    let share = usize::try_from(memory.limit() / 64).unwrap_or(usize::MAX);
    share.clamp(MIN_BUFFER_BYTES, DEFAULT_BUFFER_BYTES)
}

/// What reading series after series reuses.
#[derive(Debug, Default)]
pub(super) struct InOrderReader {
    buf: SeriesBuf,
    snapshot: SeriesSnapshot,
}

impl Db {
    /// Writes the in-order samples below `boundary` to a block and publishes it. Returns whether
    /// there were any.
    pub(super) fn flush_below(
        &self,
        maintenance: &mut Maintenance,
        boundary: i64,
    ) -> Result<bool, StepError> {
        let from = self.views.load().boundary;
        // An earlier attempt may have raised the boundary and failed behind that.
        let boundary = boundary.max(self.head.boundary());
        let seq = self.head.raise_boundary(boundary, || self.wal.last_seq());
        self.settle(maintenance, seq)?;
        let mut reader = InOrderReader::default();
        let source = BlockSource::Flush;
        let block = self.write_block(&self.dir, source, seq, |slot, series, labels, writer| {
            self.add_in_order(slot, series, from..boundary, &mut reader, labels, writer)
        })?;
        maintenance.manifest.append(&Edit {
            boundary: Some(boundary),
            add: block.iter().map(|b| b.id()).collect(),
            max_series_ref: Some(self.head.next_ref()),
            ..self.edit()
        })?;
        let flushed = block.is_some();
        self.publish(boundary, block);
        maintenance.retired_chunks = true;
        Ok(flushed)
    }

    /// Writes the late samples so far to a block and publishes it. Returns whether there were any.
    pub(super) fn flush_late(&self, maintenance: &mut Maintenance) -> Result<bool, StepError> {
        // A buffer that an earlier attempt froze and could not write goes first.
        let (seq, frozen) = match self.head.frozen_late() {
            Some(frozen) => frozen,
            None if self.head.late_buffers().iter().all(|b| b.is_empty()) => return Ok(false),
            None => self.head.freeze_late(|| self.wal.last_seq()),
        };
        self.settle(maintenance, seq)?;
        let block = self.write_late_block(&self.dir, seq, &[frozen])?;
        maintenance.manifest.append(&Edit {
            late_seq: Some(seq),
            add: block.iter().map(|b| b.id()).collect(),
            max_series_ref: Some(self.head.next_ref()),
            ..self.edit()
        })?;
        let flushed = block.is_some();
        self.publish(self.views.load().boundary, block);
        self.head.drop_frozen_late();
        maintenance.late_since_ms = None;
        maintenance.retired_chunks = true;
        Ok(flushed)
    }

    /// Adds the in-order samples of a series in `times` to a block.
    pub(super) fn add_in_order(
        &self,
        slot: u32,
        series: SeriesRef,
        times: Range<i64>,
        InOrderReader { buf, snapshot }: &mut InOrderReader,
        labels: &mut dyn FnMut() -> Labels,
        writer: &mut BlockWriter,
    ) -> Result<(), StepError> {
        let (mint, maxt) = (times.start, times.end - 1);
        self.head.snapshot(slot, series, (mint, maxt), snapshot);
        buf.begin();
        let read = snapshot.read(mint, maxt, buf);
        buf.end();
        read?;
        if !buf.times().is_empty() || !buf.histograms().is_empty() {
            let encoded = snapshot.encoded(mint, maxt);
            let (times, values) = (buf.times(), buf.values());
            writer.add_encoded_series(&labels(), times, values, encoded, buf.histograms())?;
        }
        Ok(())
    }

    /// Writes the samples of `buffers`, oldest first, to a block in `parent`.
    pub(super) fn write_late_block(
        &self,
        parent: &Path,
        seq: u64,
        buffers: &[Arc<LateBuffer>],
    ) -> Result<Option<Arc<Block>>, StepError> {
        self.write_block(parent, BlockSource::Late, seq, |_, series, labels, writer| {
            let (mut times, mut values, mut histograms) = (Vec::new(), Vec::new(), Vec::new());
            for (t, value) in read_late(buffers, series, i64::MIN, i64::MAX) {
                match value {
                    LateValue::Float(bits) => {
                        times.push(t);
                        values.push(f64::from_bits(bits));
                    }
                    LateValue::Histogram(h) => histograms.push((t, h)),
                }
            }
            if !times.is_empty() || !histograms.is_empty() {
                writer.add_series(&labels(), &times, &values, &histograms)?;
            }
            Ok(())
        })
    }

    /// Waits until everything logged up to `seq` is durable and visible.
    pub(super) fn settle(&self, maintenance: &mut Maintenance, seq: u64) -> Result<(), StepError> {
        self.wal.commit(seq, WalMode::EveryWrite)?;
        self.head.apply(u16::MAX, self.visible_seq(self.options.wal_mode));
        self.show_deletions(maintenance)
    }

    /// Writes a block in `parent` of what `add` adds for each live series, in label order, and makes its
    /// directory durable under its name. `None` where nothing was added.
    pub(super) fn write_block(
        &self,
        parent: &Path,
        source: BlockSource,
        last_seq: u64,
        mut add: impl FnMut(
            u32,
            SeriesRef,
            &mut dyn FnMut() -> Labels,
            &mut BlockWriter,
        ) -> Result<(), StepError>,
    ) -> Result<Option<Arc<Block>>, StepError> {
        let slots = {
            let index = self.head.index();
            index.in_order(index.all())
        };
        let id = self.new_block_id();
        let meta = BlockMeta {
            late_seq: if source == BlockSource::Late { last_seq } else { 0 },
            last_seq,
            level: 1,
            source,
            ..BlockMeta::new(id)
        };
        let buffers = self.buffer_bytes();
        let mut writer = BlockWriter::with_buffers(Arc::clone(&self.fs), parent, meta, buffers)?;
        for slot in slots {
            // Only maintenance drops series, and this is maintenance: the slot is still theirs.
            let series = self.head.index().series(slot);
            add(slot, series, &mut || self.head.index().labels(slot), &mut writer)?;
        }
        if writer.num_series() == 0 {
            return Ok(None);
        }
        writer.finish()?;
        let block = Block::open(&*self.fs, &parent.join(id.to_string()))?;
        self.counters.flush_bytes_written.add(block.disk_bytes());
        Ok(Some(block))
    }

    /// Memory for writing a block: a share of the budget.
    pub(super) fn buffer_bytes(&self) -> usize {
        buffer_bytes(&self.options.memory)
    }

    /// Memory that a flush and a compaction beside it take, less what series are charged for it. Who owns
    /// databases charges it once for all whose steps follow one another, and for good: a flush for want of
    /// memory must not begin with a charge that refuses writes.
    pub fn upkeep_bytes(memory: &Accountant) -> u64 {
        2 * buffer_bytes(memory) as u64
    }

    fn publish(&self, boundary: i64, block: Option<Arc<Block>>) {
        self.counters.flushes.add(u64::from(block.is_some()));
        let view = self.views.load();
        let mut blocks = view.blocks.clone();
        // No tombstone is newer than its rows, or what it takes was removed from them before.
        blocks.extend(block);
        self.views.publish(view.with(boundary, blocks));
    }

    /// Replaces the view with an equal one, so that those who hold it now can be told from those
    /// who come later.
    pub(super) fn republish(&self) {
        let view = self.views.load();
        self.views.publish(view.with(view.boundary, view.blocks.clone()));
    }

    /// Puts `add` in the place of `remove` in the manifest and in the view; the directories of
    /// `remove` may then go. From then on answers say that the samples of `lost` are missing.
    pub(super) fn replace_blocks(
        &self,
        maintenance: &mut Maintenance,
        add: &[Arc<Block>],
        remove: &[BlockId],
        lost: Option<Quarantined>,
    ) -> Result<(), StepError> {
        let view = self.views.load();
        let stay = view.blocks.iter().filter(|b| !remove.contains(&b.id()));
        let mut next = view.with(view.boundary, stay.chain(add).cloned().collect());
        // What was deleted while they were written is in them.
        for block in add {
            if let Some(mask) = Mask::of(block, &next.tombstones, None)? {
                next.masks.insert(block.id(), mask);
            }
        }
        next.drop_idle_tombstones();
        let (add_tombstones, remove_tombstones) = tombstones_edit(maintenance, &next);
        maintenance.manifest.append(&Edit {
            add: add.iter().map(|b| b.id()).collect(),
            remove: remove.to_vec(),
            add_tombstones,
            remove_tombstones,
            ..self.edit()
        })?;
        next.missing = view.missing.iter().cloned().chain(lost).collect();
        self.views.publish(next);
        Ok(())
    }
}
