//! The step functions: what the owner's maintenance threads call. Each does a bounded piece of
//! work, if there is any, and says whether it did.

use std::io;
use std::sync::atomic::Ordering;

use super::delete::tombstones_edit;
use super::stats::Counters;
use super::{Db, Maintenance};
use crate::append::AppendError;
use crate::block::BlockError;
use crate::checkpoint::CheckpointWriter;
use crate::fs::Fs;
use crate::head::open::OpenChunk;
use crate::manifest::{Edit, ManifestError};
use crate::wal::WalError;
use crate::wal::record::{HistogramRow, Record};

/// A checkpoint that is longer is worth to be written anew where most of its series are gone.
const MANY_GONE_BYTES: u64 = 1 << 20;
/// A flush for want of memory leaves this much, ms: scrapes that are still on their way are in order then.
const NEWEST_MS: i64 = 60_000;

/// Names or histograms in one record of a checkpoint: a frame takes 16 KiB of each.
pub(super) const CHECKPOINT_BIG_ROWS: usize = 4096;

/// Why a step failed; what it had written is removed or ignored, and the next call tries again.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The log.
    #[error("write-ahead log: {0}")]
    Wal(#[from] WalError),
    /// A block.
    #[error("{0}")]
    Block(#[from] BlockError),
    /// The manifest.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// Reading back what is to be written.
    #[error("{0}")]
    Read(#[from] model::ReadError),
    /// The disk has no room for what is to be written.
    #[error("{needed} bytes of disk needed, {free} free")]
    NoSpace {
        /// What it takes, and what must stay free.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// A compaction made more or fewer samples than it should; its inputs stay.
    #[error(
        "{samples_in} samples in, {samples_out} out, {duplicates} duplicates, {deleted} deleted"
    )]
    Lost {
        /// Samples of the inputs.
        samples_in: u64,
        /// Samples of the outputs.
        samples_out: u64,
        /// Samples that another one beat.
        duplicates: u64,
        /// Samples that tombstones took.
        deleted: u64,
    },
}

impl Db {
    /// Makes what was written so far durable: the `periodic` mode calls it at its interval.
    ///
    /// # Errors
    /// [`AppendError::Wal`].
    pub fn sync_wal(&self) -> Result<(), AppendError> {
        self.wal.sync().map_err(|e| AppendError::Wal(e.to_string()))
    }

    /// After a failed log: tries to write what is unsynced to a new segment.
    ///
    /// # Errors
    /// [`AppendError::Wal`] while the disk still refuses.
    pub fn recover_wal_step(&self) -> Result<(), AppendError> {
        self.wal.try_recover().map_err(|e| AppendError::Wal(e.to_string()))?;
        self.head.apply(u16::MAX, self.visible_seq(self.options.wal_mode));
        if self.unseen_deletions.lock().is_empty() {
            return Ok(());
        }
        let shown = self.show_deletions(&mut self.maintenance());
        shown.map_err(|e| AppendError::Wal(e.to_string()))
    }

    /// Flushes what is due: late samples by size or age, in-order ones by size or, once the head spans one
    /// and a half block ranges, by time. Returns whether a block was written.
    ///
    /// # Errors
    /// [`StepError`].
    pub fn flush_step(&self) -> Result<bool, StepError> {
        if self.is_short_of_disk() {
            return Ok(false);
        }
        let mut maintenance = self.maintenance();
        let flushed = self
            .flush_due(&mut maintenance)
            .inspect_err(|_| self.counters.flushes_failed.add(1))?;
        if flushed {
            self.write_checkpoint(&mut maintenance, Keep::Series)?;
        }
        Ok(flushed)
    }

    fn flush_due(&self, maintenance: &mut Maintenance) -> Result<bool, StepError> {
        let pressed = self.is_pressed();
        let buffers = self.head.late_buffers();
        let late: u64 = buffers.iter().map(|b| b.heap_bytes()).sum();
        let oldest = buffers.iter().map(|b| b.bounds().0).min().unwrap_or(i64::MAX);
        drop(buffers);
        let range = self.options.block_range_ms;
        let retained_from = self.retained_from_ms.load(Ordering::Relaxed);
        // For retention to take. Not at every step: each flush makes a block.
        let outlived = retained_from.saturating_sub(range / 8);
        let mut flushed = false;
        if late > self.options.max_late_bytes
            || pressed && late > 1 << 20
            || late > 0 && oldest < outlived
            || self.late_is_old(maintenance, late > 0)
        {
            flushed |= self.flush_late(maintenance)?;
        }
        let (mint, maxt) = self.head.bounds();
        if mint <= maxt {
            // Not all that series take besides: a flush frees that of idle ones only, and every step would
            // write a block.
            let bytes = self.head.chunk_bytes();
            let series_bytes = self.head.num_series() * size_of::<OpenChunk>() as u64;
            // A block should be worth its file also where memory is short.
            let worth = (self.options.memory.limit() / 16).min(64 << 20);
            // Where series are refused a block may be small: those that ended go with it, and that is most
            // of what they take. But at most one a minute: those that go on would make one at each step.
            let newest = maxt.saturating_sub(NEWEST_MS);
            let since = newest.saturating_sub(self.views.load().boundary);
            let refuses = self.head.refused_series()
                && bytes + series_bytes > worth / 16
                && since >= NEWEST_MS;
            let due = if bytes > self.options.max_head_bytes || pressed && bytes > worth || refuses
            {
                Some(newest)
            } else if maxt.saturating_sub(mint) > range + range / 2 {
                Some((maxt - range / 2).div_euclid(range) * range)
            } else if mint < outlived {
                Some(retained_from.min(maxt.saturating_add(1)))
            } else {
                None
            };
            if let Some(boundary) = due.filter(|b| *b > self.views.load().boundary) {
                flushed |= self.flush_below(maintenance, boundary)?;
            }
        }
        Ok(flushed)
    }

    /// Whether there are late samples that were there so long ago that they are due. Without it a few
    /// of them would be in the log, and be replayed at every start, for ever.
    fn late_is_old(&self, maintenance: &mut Maintenance, is_some: bool) -> bool {
        let now = self.options.clock.now_ms();
        // A clock that was set back begins anew.
        let since = maintenance.late_since_ms.filter(|since| is_some && *since <= now);
        maintenance.late_since_ms = is_some.then(|| since.unwrap_or(now));
        since.is_some_and(|since| now - since >= self.options.max_late_age_ms)
    }

    /// Forgets what queries decoded of blocks, and lets go of the files' pages: the first thing to do
    /// where memory is short.
    pub fn drop_caches(&self) {
        for block in &self.views.load().blocks {
            block.drop_caches();
        }
    }

    /// Whether it is time to give memory back early (reliability contract, section 5).
    fn is_pressed(&self) -> bool {
        self.options.memory.used_percent() >= 70
    }

    /// Flushes everything now, the newest samples too. Returns whether a block was written.
    ///
    /// # Errors
    /// [`StepError`].
    pub fn flush_all(&self) -> Result<bool, StepError> {
        let mut maintenance = self.maintenance();
        let flushed = self.flush_everything(&mut maintenance)?;
        self.write_checkpoint(&mut maintenance, Keep::Series)?;
        Ok(flushed)
    }

    pub(super) fn flush_everything(
        &self,
        maintenance: &mut Maintenance,
    ) -> Result<bool, StepError> {
        // The second time for what came after a buffer that an earlier attempt left frozen.
        let mut late = self.flush_late(maintenance)?;
        late |= self.flush_late(maintenance)?;
        let (mint, maxt) = self.head.bounds();
        let in_order = mint <= maxt && self.flush_below(maintenance, maxt.saturating_add(1))?;
        Ok(late || in_order)
    }

    /// Writes a checkpoint when the log behind the last one is long, or when most of the series that it has
    /// left the head: a start would bring them back. Returns whether it did.
    ///
    /// # Errors
    /// [`StepError`].
    pub fn checkpoint_step(&self) -> Result<bool, StepError> {
        if self.shorten_log()? {
            return Ok(true);
        }
        let mut maintenance = self.maintenance();
        if maintenance.checkpoint_bytes > MANY_GONE_BYTES
            && self.head.num_series() < maintenance.checkpoint_series / 2
        {
            self.write_checkpoint(&mut maintenance, Keep::Series)?;
            return Ok(true);
        }
        let (log, least) = (self.wal.size_bytes(), self.options.checkpoint_wal_bytes);
        if log <= least.min(self.options.max_wal_bytes) {
            return Ok(false);
        }
        if log <= (maintenance.checkpoint_bytes / 2).min(self.options.max_wal_bytes) {
            return Ok(false);
        }
        self.write_checkpoint(&mut maintenance, Keep::Series)?;
        Ok(true)
    }

    /// Frees memory that flushes retired, once no query reads it. Returns whether it did.
    pub fn gc_step(&self) -> bool {
        let mut maintenance = self.maintenance();
        if !self.views.old_ones_are_gone() {
            return false;
        }
        let slots = std::mem::take(&mut maintenance.dropped_slots);
        self.head.free_slots(&slots);
        if !maintenance.retired_chunks {
            return !slots.is_empty();
        }
        let view = self.views.load();
        // A series that was idle for a block range is gone. Where memory is short, one that has
        // nothing left in the head is made again when it goes on.
        let patience = if self.is_pressed() { 0 } else { self.options.block_range_ms };
        let retained_from = self.retained_from_ms.load(Ordering::Relaxed);
        let idle = view.boundary.saturating_sub(patience).max(retained_from.min(view.boundary));
        maintenance.dropped_slots = self.head.collect_garbage(view.boundary, idle);
        self.counters.series_removed.add(maintenance.dropped_slots.len());
        maintenance.retired_chunks = false;
        // Queries that found the dropped series hold this view or an older one.
        self.republish();
        true
    }

    /// Ends the database: what is in memory goes to blocks, the log is left empty. Appends that
    /// run are waited for, later ones fail.
    ///
    /// # Errors
    /// [`StepError`]; everything acknowledged is then still in the log.
    pub fn close(&self) -> Result<(), StepError> {
        *self.closed.write() = true;
        let mut maintenance = self.maintenance();
        // Rows that wait since a failed commit count, too.
        self.settle(&mut maintenance, self.wal.last_seq())?;
        self.flush_everything(&mut maintenance)?;
        self.write_checkpoint(&mut maintenance, Keep::Names)?;
        Ok(self.wal.close()?)
    }

    /// Cuts the log and writes what the head holds now, so that the segments before the cut can
    /// go.
    pub(super) fn write_checkpoint(
        &self,
        maintenance: &mut Maintenance,
        keep: Keep,
    ) -> Result<(), StepError> {
        let result = self.try_checkpoint(maintenance, keep);
        let Counters { checkpoints, checkpoints_failed, .. } = &self.counters;
        let counter = if result.is_ok() { checkpoints } else { checkpoints_failed };
        counter.add(1);
        result
    }

    fn try_checkpoint(&self, maintenance: &mut Maintenance, keep: Keep) -> Result<(), StepError> {
        // What was enqueued before the cut is durable now, and its rows wait in stripes that are
        // locked until they do: applying takes each lock, so it finds them.
        let place = self.wal.cut()?;
        let (segment, seq) = (u64::from(place.segment.0), place.seq - 1);
        self.head.apply(u16::MAX, self.wal.durable_seq());
        // The records of deletions before the cut go with the log: from here on the manifest has them.
        self.show_deletions(maintenance)?;

        let dir = self.dir.join("wal");
        let mut writer = CheckpointWriter::create(&*self.fs, &dir, segment, seq)?;
        if keep == Keep::Series {
            self.checkpoint_series(&mut writer)?;
        }
        self.checkpoint_names(&mut writer)?;
        // It may hold rows and newest times of records behind the cut. Were it durable before
        // them, a power cut could leave half a batch, or a series that takes a lost row for known.
        self.wal.sync()?;
        maintenance.checkpoint_bytes = writer.finish()?;
        maintenance.checkpoint_series = self.head.num_series();
        self.counters.checkpoint_bytes_written.add(maintenance.checkpoint_bytes);
        let (add_tombstones, remove_tombstones) = tombstones_edit(maintenance, &self.views.load());
        maintenance.manifest.append(&Edit {
            checkpoint: Some(segment),
            add_tombstones,
            remove_tombstones,
            max_series_ref: Some(self.head.next_ref()),
            ..self.edit()
        })?;
        self.wal.remove_before(place.segment)?;
        if let Some(damaged) = maintenance.damaged_checkpoint {
            self.keep_checkpoint(damaged)?;
            maintenance.damaged_checkpoint = None;
        }
        remove_other_checkpoints(&*self.fs, &dir, segment)?;
        Ok(())
    }

    /// Moves a damaged checkpoint to the quarantine, if it is not there yet.
    fn keep_checkpoint(&self, segment: u64) -> io::Result<()> {
        let from = crate::checkpoint::path(&self.dir.join("wal"), segment);
        let aside = self.dir.join(crate::quarantine::DIR);
        if self.fs.exists(&from)? {
            self.fs.rename(&from, &aside.join(format!("{segment:010}.ckpt")))?;
            self.fs.sync_dir(&aside)?;
        }
        Ok(())
    }

    fn checkpoint_series(&self, writer: &mut CheckpointWriter<'_>) -> io::Result<()> {
        let boundary = self.views.load().boundary;
        // Before the series: those that these rows name are there by now, and only maintenance drops
        // them. What is made and written from here on is in the log behind the cut.
        for buffer in self.head.late_buffers() {
            let mut record = Record::default();
            for (series, t, value) in buffer.iter() {
                record.push_late(series, t, value);
                if record.late.refs.len() == 1 << 16
                    || record.histograms.len() == CHECKPOINT_BIG_ROWS
                {
                    writer.record(&std::mem::take(&mut record))?;
                }
            }
            if !record.is_empty() {
                writer.record(&record)?;
            }
        }
        // Floats and histograms of a series together: of what comes later replay takes only rows that are
        // newer than both.
        let mut histograms = Vec::new();
        let mut run = 0;
        while self.head.export_run(run, &mut |series, store, slot, index| {
            writer.series(series, store, (slot, index), boundary);
            histograms.extend(series.histograms_from(boundary));
        }) {
            writer.write_full_frame()?;
            if histograms.len() >= CHECKPOINT_BIG_ROWS {
                write_histograms(writer, &std::mem::take(&mut histograms))?;
            }
            run += 1;
        }
        write_histograms(writer, &histograms)
    }
}

fn write_histograms(writer: &mut CheckpointWriter<'_>, rows: &[HistogramRow]) -> io::Result<()> {
    for rows in rows.chunks(CHECKPOINT_BIG_ROWS) {
        writer.record(&Record { histograms: rows.to_vec(), ..Record::default() })?;
    }
    Ok(())
}

/// What a checkpoint keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// All series: records behind it may name them.
    Series,
    /// Metadata and database names: nothing comes behind it.
    Names,
}

fn remove_other_checkpoints(fs: &dyn Fs, dir: &std::path::Path, keep: u64) -> io::Result<()> {
    let keep = crate::checkpoint::path(dir, keep);
    for entry in fs.read_dir(dir)? {
        let path = dir.join(&entry.name);
        if path != keep && crate::checkpoint::is_one(&entry.name) {
            fs.remove_file(&path)?;
        }
    }
    fs.sync_dir(dir)
}
