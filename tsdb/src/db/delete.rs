//! Deleting series, and what of it a start has to bring back.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use model::{Interrupt, ReadError, SeriesBuf, SeriesSet as _};
use roaring::RoaringBitmap;

use super::steps::StepError;
use super::{Db, Maintenance, refused};
use crate::append::AppendError;
use crate::block::{Block, BlockError};
use crate::head::delete::select;
use crate::head::replay::Replayer;
use crate::query::SharedSource;
use crate::query::block_source::BlockSource;
use crate::query::head_source::HeadSource;
use crate::query::masked_source::{self, MaskedSource};
use crate::query::set::MergedSet;
use crate::tombstones::{
    self, Deletion, MAX_TOMBSTONE_BYTES, MAX_TOMBSTONES, Mask, Masks, Tombstone,
};
use crate::view::View;
use crate::wal::WalMode;
use crate::wal::record::Record;

/// What a delete takes, as queries see it: a value that a later one overwrote is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeleteReport {
    /// Series with a sample that goes.
    pub series: u64,
    /// Samples that go.
    pub samples: u64,
}

/// Why nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The request cannot be carried out as it is.
    #[error("{0}")]
    Invalid(&'static str),
    /// It selects too many series; ask for fewer at a time.
    #[error("the selectors match {found} series, limit {limit} for a delete")]
    TooManySeries {
        /// Series selected.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// Too many deletes wait to be carried out.
    #[error("{} tombstones wait for a clean-up, limit {MAX_TOMBSTONES}", .0)]
    TooManyTombstones(usize),
    /// What would be deleted could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The log: nothing is known about the outcome, and a retry is safe.
    #[error("{0}")]
    Log(#[from] AppendError),
    /// What was logged could not be shown; it is, at the latest, after a restart.
    #[error("{0}")]
    Show(#[from] StepError),
}

impl Db {
    /// Counts what [`Db::delete`] would take, and changes nothing.
    ///
    /// # Errors
    /// [`DeleteError`].
    pub fn count_deletable(
        &self,
        what: &Deletion,
        max_series: u64,
        interrupt: &Arc<dyn Interrupt>,
    ) -> Result<DeleteReport, DeleteError> {
        if let Some(fault) = what.fault() {
            return Err(DeleteError::Invalid(fault));
        }
        let sources = self.doomed(what)?;
        let times = (what.mint, what.maxt);
        let set = MergedSet::new(sources, times, self.options.seed, Arc::clone(interrupt))?;
        if set.len() as u64 > max_series {
            let found = set.len() as u64;
            return Err(DeleteError::TooManySeries { found, limit: max_series });
        }
        let (mut report, mut buf) = (DeleteReport::default(), SeriesBuf::new());
        for i in 0..set.len() {
            set.read(i, &mut buf)?;
            let samples = (buf.times().len() + buf.histograms().len()) as u64;
            report.series += u64::from(samples > 0);
            report.samples += samples;
        }
        Ok(report)
    }

    /// Deletes the samples that were logged so far of the series and times in `what`. When it
    /// returns `Ok`, no query sees them any more, whatever happens; rows that are written afterwards
    /// stay.
    ///
    /// # Errors
    /// [`DeleteError`].
    pub fn delete(
        &self,
        what: &Deletion,
        max_series: u64,
        interrupt: &Arc<dyn Interrupt>,
    ) -> Result<DeleteReport, DeleteError> {
        // Without a lock: it reads all that goes. Rows that come meanwhile may go uncounted.
        let report = self.count_deletable(what, max_series, interrupt)?;
        // No flush, checkpoint or change of blocks from here on; closing waits.
        let mut maintenance = self.maintenance();
        let closed = self.closed.read();
        if *closed {
            return Err(AppendError::Closed.into());
        }
        if report.samples == 0 {
            return Ok(report);
        }
        let known = &self.views.load().tombstones;
        let bytes = known.iter().map(|t| t.what.num_bytes()).sum::<usize>() + what.num_bytes();
        if known.len() >= MAX_TOMBSTONES || bytes > MAX_TOMBSTONE_BYTES {
            return Err(DeleteError::TooManyTombstones(known.len()));
        }
        let mut payload = Vec::new();
        Record { deletions: vec![what.clone()], ..Record::default() }.encode(&mut payload);
        let reservation = self.wal.reserve(payload.len()).map_err(|e| refused(&e))?;
        let seq = self.head.pend_deletion(what, || {
            let seq = self.wal.enqueue(reservation, payload);
            let tombstone = Arc::new(Tombstone { seq, what: what.clone() });
            self.unseen_deletions.lock().push(tombstone);
            seq
        });
        self.wal.commit(seq, WalMode::EveryWrite).map_err(|e| refused(&e))?;
        self.head.apply(u16::MAX, self.visible_seq(WalMode::EveryWrite));
        self.head.account();
        // Series of which nothing is left leave the head.
        maintenance.retired_chunks = true;
        self.show_deletions(&mut maintenance)?;
        self.counters.deleted_samples.add(report.samples);
        tracing::info!(
            selector = %what, mint = what.mint, maxt = what.maxt,
            series = report.series, samples = report.samples, "deleted"
        );
        Ok(report)
    }

    /// The tombstones that wait to be carried out in blocks.
    pub fn tombstones(&self) -> Vec<Arc<Tombstone>> {
        self.views.load().tombstones.clone()
    }

    /// What holds the series of `what`.
    fn doomed(&self, what: &Deletion) -> Result<Vec<SharedSource>, ReadError> {
        // In this order, as queries do.
        let late = self.head.late_buffers();
        let view = self.views.load();
        let mut sources: Vec<SharedSource> = Vec::new();
        for block in view.blocks.iter().filter(|b| b.meta().overlaps(what.mint, what.maxt)) {
            let mut selected = RoaringBitmap::new();
            for matchers in &what.selectors {
                selected |= block.select(matchers)?;
            }
            sources.push(match view.mask(block.id()) {
                None => Arc::new(BlockSource::of(Arc::clone(block), selected)),
                Some(mask) => {
                    selected -= masked_source::hidden(block, mask, what.mint, what.maxt);
                    let source = BlockSource::of(Arc::clone(block), selected);
                    Arc::new(MaskedSource::of(source, Arc::clone(mask)))
                }
            });
        }
        let selected = select(&self.head.index(), what);
        let boundary = view.boundary;
        sources.push(Arc::new(HeadSource::of(&self.head, &selected, boundary, late, view)));
        Ok(sources)
    }

    /// Puts the deletions that are durable in front of the blocks, and into the manifest.
    pub(super) fn show_deletions(&self, maintenance: &mut Maintenance) -> Result<(), StepError> {
        let durable = self.wal.durable_seq();
        let new: Vec<Arc<Tombstone>> = {
            let unseen = self.unseen_deletions.lock();
            unseen.iter().filter(|t| t.seq <= durable).cloned().collect()
        };
        let Some(last) = new.last().map(|t| t.seq) else { return Ok(()) };
        let view = self.views.load();
        let mut next = view.with(view.boundary, view.blocks.clone());
        for tombstone in new {
            tombstones::insert(&mut next.tombstones, tombstone);
        }
        for block in &next.blocks {
            let before = view.mask(block.id());
            match Mask::of(block, &next.tombstones, before)? {
                Some(mask) => next.masks.insert(block.id(), mask),
                None => next.masks.remove(&block.id()),
            };
        }
        next.drop_idle_tombstones();
        let (add_tombstones, remove_tombstones) = tombstones_edit(maintenance, &next);
        self.views.publish(next);
        self.unseen_deletions.lock().retain(|t| t.seq > last);
        if add_tombstones.is_empty() && remove_tombstones.is_empty() {
            return Ok(());
        }
        // The log has them until the next checkpoint, which writes this again.
        let edit = crate::manifest::Edit { add_tombstones, remove_tombstones, ..self.edit() };
        if let Err(error) = maintenance.manifest.append(&edit) {
            tracing::warn!(%error, "tombstones could not be written to the manifest");
        }
        Ok(())
    }
}

/// What the manifest has to be told of the tombstones of `view`.
pub(super) fn tombstones_edit(
    maintenance: &Maintenance,
    view: &View,
) -> (Vec<Arc<Tombstone>>, Vec<u64>) {
    let known = &maintenance.manifest.state().tombstones;
    let add = view.tombstones.iter().filter(|t| !known.contains_key(&t.seq)).cloned().collect();
    let is_idle = |seq: &&u64| view.tombstones.iter().all(|t| t.seq != **seq);
    (add, known.keys().filter(is_idle).copied().collect())
}

/// The deletions that a start comes by: those of the manifest, and those of the log.
#[derive(Debug)]
pub(super) struct Deletions {
    all: Vec<Arc<Tombstone>>,
    /// Those that the head has not come to, by sequence number.
    ahead: BTreeMap<u64, Arc<Tombstone>>,
}

impl Deletions {
    pub(super) fn new(known: &BTreeMap<u64, Arc<Tombstone>>) -> Self {
        Self { all: known.values().cloned().collect(), ahead: known.clone() }
    }

    /// The checkpoint was written behind the records up to `seq`.
    pub(super) fn skip_to(&mut self, seq: u64) {
        self.ahead.retain(|s, _| *s > seq);
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.all.last().map_or(0, |t| t.seq)
    }

    /// Applies what comes before the rows of the record `seq`, and its deletions. The manifest stands in
    /// for a record that was lost.
    pub(super) fn replay(&mut self, seq: u64, record: &Record, replayer: &mut Replayer<'_>) {
        while let Some(first) = self.ahead.first_entry().filter(|e| *e.key() < seq) {
            replayer.delete(&first.remove().what);
        }
        self.ahead.remove(&seq);
        for what in &record.deletions {
            replayer.delete(what);
            let tombstone = Arc::new(Tombstone { seq, what: what.clone() });
            self.all.retain(|t| t.seq != seq);
            tombstones::insert(&mut self.all, tombstone);
        }
    }

    /// The log is at its end.
    pub(super) fn end(&mut self, replayer: &mut Replayer<'_>) {
        for tombstone in std::mem::take(&mut self.ahead).into_values() {
            replayer.delete(&tombstone.what);
        }
    }

    /// The first view. A block whose index cannot be read is handed to `leave_out`: it would show what
    /// is deleted.
    pub(super) fn view(
        self,
        boundary: i64,
        blocks: Vec<Arc<Block>>,
        leave_out: &mut dyn FnMut(&Block, BlockError) -> io::Result<()>,
    ) -> io::Result<View> {
        let mut masks = Masks::new();
        let mut readable = Vec::with_capacity(blocks.len());
        for block in blocks {
            match Mask::of(&block, &self.all, None) {
                Ok(mask) => {
                    masks.extend(mask.map(|mask| (block.id(), mask)));
                    readable.push(block);
                }
                Err(why) => leave_out(&block, why)?,
            }
        }
        let tombstones = self.all;
        let missing = Arc::default();
        Ok(View { boundary, blocks: readable, missing, tombstones, masks, keeps_tombstones: false })
    }
}
