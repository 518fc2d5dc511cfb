//! A block as a source: the selected series, which are in label order by number.

use std::ops::Range;
use std::sync::Arc;

use model::{Estimate, Labels, Matcher, ReadError, SeriesBuf, Wanted};
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::coded::Coded;
use super::{Source, any_inside};
use crate::block::{Block, BlockReader};

/// The series of a block that pass some matchers.
pub struct BlockSource {
    block: Arc<Block>,
    series: Vec<u32>,
    /// Readers not in use: one remembers the page that it read last, and neighbours share pages.
    readers: Mutex<Vec<BlockReader>>,
}

impl BlockSource {
    /// Selects.
    ///
    /// # Errors
    /// [`ReadError`] where the index is damaged.
    pub fn select(block: Arc<Block>, matchers: &[Matcher]) -> Result<Self, ReadError> {
        let selected = block.select(matchers)?;
        Ok(Self::of(block, selected))
    }

    /// The series `selected`.
    pub fn of(block: Arc<Block>, selected: RoaringBitmap) -> Self {
        Self { block, series: selected.into_iter().collect(), readers: Mutex::new(Vec::new()) }
    }

    /// The number of series `i` in the block.
    pub fn series(&self, i: usize) -> u32 {
        self.series[i]
    }
}

impl Source for BlockSource {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, i: usize) -> Result<Labels, ReadError> {
        Ok(self.block.labels(self.series[i])?)
    }

    fn coded(
        &self,
        range: Range<usize>,
        visit: &mut dyn FnMut(Coded<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.block.coded(&self.series[range], visit)
    }

    fn bounds(&self) -> (i64, i64) {
        (self.block.meta().mint, self.block.meta().maxt)
    }

    fn late_seq(&self) -> u64 {
        self.block.meta().late_seq
    }

    fn read(&self, i: usize, mint: i64, maxt: i64, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        let reader = self.readers.lock().pop();
        let mut reader = reader.unwrap_or_else(|| self.block.reader());
        reader.read(self.series[i], mint, maxt, buf)?;
        self.readers.lock().push(reader);
        Ok(())
    }

    fn read_wanted(
        &self,
        i: usize,
        span: (i64, i64),
        wanted: &Wanted,
        buf: &mut SeriesBuf,
    ) -> Result<(), ReadError> {
        let reader = self.readers.lock().pop();
        let mut reader = reader.unwrap_or_else(|| self.block.reader());
        reader.read_wanted(self.series[i], span, wanted, buf)?;
        self.readers.lock().push(reader);
        Ok(())
    }

    fn has_samples(&self, i: usize, mint: i64, maxt: i64) -> Result<Option<bool>, ReadError> {
        let reader = self.readers.lock().pop();
        let mut reader = reader.unwrap_or_else(|| self.block.reader());
        let bounds = reader.chunks(self.series[i])?.iter().map(|row| (row.mint, row.maxt));
        let has = any_inside(bounds, mint, maxt);
        self.readers.lock().push(reader);
        Ok(has)
    }

    fn estimate(&self, step: usize, mint: i64, maxt: i64) -> Result<Estimate, ReadError> {
        let series = self.series.iter().step_by(step).copied();
        Ok(self.block.estimate(series, mint, maxt)?)
    }
}
