//! A block of which something is deleted, as a source.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Estimate, Labels, Matcher, ReadError, SeriesBuf, Wanted};

use super::Source;
use super::block_source::BlockSource;
use super::coded::Coded;
use crate::block::Block;
use crate::tombstones::Mask;
use crate::tombstones::mask::is_inside;

/// The series of a block that pass some matchers, without what is masked.
pub struct MaskedSource {
    source: BlockSource,
    mask: Arc<Mask>,
    /// Samples left out so far, by the number of the mask's entry; the first that takes a sample counts
    /// it.
    dropped: Vec<AtomicU64>,
}

impl MaskedSource {
    /// Selects for a read of `[mint, maxt]`; series of which nothing is left in it are left out.
    ///
    /// # Errors
    /// [`ReadError`] where the index is damaged.
    pub fn select(
        block: Arc<Block>,
        mask: Arc<Mask>,
        matchers: &[Matcher],
        mint: i64,
        maxt: i64,
    ) -> Result<Self, ReadError> {
        let hidden = hidden(&block, &mask, mint, maxt);
        let selected = block.select(matchers)? - hidden;
        Ok(Self::of(BlockSource::of(block, selected), mask))
    }

    /// All series, so that [`MaskedSource::dropped`] counts everything once all are read.
    ///
    /// # Errors
    /// [`ReadError`] where the index is damaged.
    pub fn all(block: Arc<Block>, mask: Arc<Mask>) -> Result<Self, ReadError> {
        Ok(Self::of(BlockSource::select(block, &[])?, mask))
    }

    /// The series of `source`.
    pub(crate) fn of(source: BlockSource, mask: Arc<Mask>) -> Self {
        let dropped = mask.entries().iter().map(|_| AtomicU64::new(0)).collect();
        Self { source, mask, dropped }
    }

    /// Samples that were left out, by the number of the mask's entry.
    pub fn dropped(&self) -> Vec<u64> {
        self.dropped.iter().map(|n| n.load(Ordering::Relaxed)).collect()
    }

    fn count(&self, series: u32, t: i64) {
        let entries = self.mask.entries().iter().zip(&self.dropped);
        if let Some((_, n)) = entries.into_iter().find(|(e, _)| e.takes(series, t)) {
            n.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The series of `block` of which nothing in `[mint, maxt]` is left.
pub(crate) fn hidden(block: &Block, mask: &Mask, mint: i64, maxt: i64) -> roaring::RoaringBitmap {
    mask.hidden(mint.max(block.meta().mint), maxt.min(block.meta().maxt))
}

impl Source for MaskedSource {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn labels(&self, i: usize) -> Result<Labels, ReadError> {
        self.source.labels(i)
    }

    fn coded(
        &self,
        range: Range<usize>,
        visit: &mut dyn FnMut(Coded<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.source.coded(range, visit)
    }

    fn bounds(&self) -> (i64, i64) {
        self.source.bounds()
    }

    fn late_seq(&self) -> u64 {
        self.source.late_seq()
    }

    fn read(&self, i: usize, mint: i64, maxt: i64, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        let series = self.source.series(i);
        let gone = self.mask.ranges(series, mint, maxt);
        if gone.is_empty() {
            return self.source.read(i, mint, maxt, buf);
        }
        let mut whole = SeriesBuf::new();
        whole.begin();
        self.source.read(i, mint, maxt, &mut whole)?;
        whole.end();
        let stays = |t: i64| {
            let stays = !is_inside(&gone, t);
            if !stays {
                self.count(series, t);
            }
            stays
        };
        let places: Vec<usize> =
            (0..).zip(whole.times()).filter(|(_, t)| stays(**t)).map(|(n, _)| n).collect();
        buf.push_unshared(places.iter().map(|n| (whole.times()[*n], whole.values()[*n])));
        if let starts @ [_, ..] = whole.starts() {
            let starts: Vec<i64> = places.iter().map(|n| starts[*n]).collect();
            buf.push_starts(&starts);
        }
        let starts = whole.histogram_starts();
        for (n, (t, value)) in whole.histograms().iter().enumerate().filter(|(_, (t, _))| stays(*t))
        {
            buf.push_histogram(*t, value.clone());
            if let Some(start) = starts.get(n) {
                buf.push_histogram_starts(&[*start]);
            }
        }
        Ok(())
    }

    fn read_wanted(
        &self,
        i: usize,
        (mint, maxt): (i64, i64),
        wanted: &Wanted,
        buf: &mut SeriesBuf,
    ) -> Result<(), ReadError> {
        // What is known of a chunk is known of all of it.
        if self.mask.ranges(self.source.series(i), mint, maxt).is_empty() {
            self.source.read_wanted(i, (mint, maxt), wanted, buf)
        } else {
            self.read(i, mint, maxt, buf)
        }
    }

    fn has_samples(&self, i: usize, mint: i64, maxt: i64) -> Result<Option<bool>, ReadError> {
        if self.mask.ranges(self.source.series(i), mint, maxt).is_empty() {
            self.source.has_samples(i, mint, maxt)
        } else {
            Ok(None)
        }
    }

    fn estimate(&self, step: usize, mint: i64, maxt: i64) -> Result<Estimate, ReadError> {
        self.source.estimate(step, mint, maxt)
    }
}
