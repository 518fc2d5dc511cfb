//! From head to block.

use std::sync::Arc;

use model::{Labels, SeriesBuf};

use super::steps::StepError;
use super::{Db, Maintenance};
use crate::block::{Block, BlockId, BlockMeta, BlockSource, BlockWriter};
use crate::head::late::{LateBuffer, LateValue};
use crate::head::read::{SeriesSnapshot, read_late};
use crate::manifest::Edit;
use crate::quarantine::Quarantined;
use crate::view::View;
use crate::wal::WalMode;
use crate::wal::record::SeriesRef;

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
        self.settle(seq)?;
        let (mut buf, mut snapshot) = (SeriesBuf::new(), SeriesSnapshot::default());
        let block = self.write_block(BlockSource::Flush, seq, |slot, series, labels, writer| {
            self.head.snapshot(slot, series, (from, boundary - 1), &mut snapshot);
            buf.begin();
            let read = snapshot.read(from, boundary - 1, &mut buf);
            buf.end();
            read?;
            if !buf.times().is_empty() || !buf.histograms().is_empty() {
                writer.add_series(&labels(), buf.times(), buf.values(), buf.histograms())?;
            }
            Ok(())
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
        self.settle(seq)?;
        let block = self.write_late_block(seq, &frozen)?;
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

    fn write_late_block(
        &self,
        seq: u64,
        frozen: &Arc<LateBuffer>,
    ) -> Result<Option<Arc<Block>>, StepError> {
        let buffers = [Arc::clone(frozen)];
        self.write_block(BlockSource::Late, seq, |_, series, labels, writer| {
            let (mut times, mut values, mut histograms) = (Vec::new(), Vec::new(), Vec::new());
            for (t, value) in read_late(&buffers, series, i64::MIN, i64::MAX) {
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
    pub(super) fn settle(&self, seq: u64) -> Result<(), StepError> {
        self.wal.commit(seq, WalMode::EveryWrite)?;
        self.head.apply(u16::MAX, self.visible_seq(self.options.wal_mode));
        Ok(())
    }

    /// Writes a block of what `add` adds for each live series, in label order, and makes its
    /// directory durable under its name. `None` where nothing was added.
    fn write_block(
        &self,
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
            let order = index.in_order(index.all());
            order.into_iter().map(|s| (s, index.series(s))).collect::<Vec<_>>()
        };
        let id = self.new_block_id();
        let meta = BlockMeta {
            late_seq: if source == BlockSource::Late { last_seq } else { 0 },
            last_seq,
            level: 1,
            source,
            ..BlockMeta::new(id)
        };
        let mut writer = BlockWriter::create(Arc::clone(&self.fs), &self.dir, meta)?;
        for (slot, series) in slots {
            // Only maintenance drops series, and this is maintenance: the slot is still theirs.
            add(slot, series, &mut || self.head.index().labels(slot), &mut writer)?;
        }
        if writer.num_series() == 0 {
            return Ok(None);
        }
        writer.finish()?;
        let block = Block::open(&*self.fs, &self.dir.join(id.to_string()))?;
        self.counters.flush_bytes_written.add(block.disk_bytes());
        Ok(Some(block))
    }

    fn publish(&self, boundary: i64, block: Option<Arc<Block>>) {
        self.counters.flushes.add(u64::from(block.is_some()));
        let view = self.views.load();
        let blocks = view.blocks.iter().cloned().chain(block).collect();
        self.views.publish(View { boundary, blocks, missing: Arc::clone(&view.missing) });
    }

    /// Replaces the view with an equal one, so that those who hold it now can be told from those
    /// who come later.
    pub(super) fn republish(&self) {
        let view = self.views.load();
        let (blocks, missing) = (view.blocks.clone(), Arc::clone(&view.missing));
        self.views.publish(View { boundary: view.boundary, blocks, missing });
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
        maintenance.manifest.append(&Edit {
            add: add.iter().map(|b| b.id()).collect(),
            remove: remove.to_vec(),
            ..self.edit()
        })?;
        let view = self.views.load();
        let stay = view.blocks.iter().filter(|b| !remove.contains(&b.id()));
        let blocks = stay.chain(add).cloned().collect();
        let missing = view.missing.iter().cloned().chain(lost).collect();
        self.views.publish(View { boundary: view.boundary, blocks, missing });
        Ok(())
    }
}
