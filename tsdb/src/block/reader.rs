//! Reads the samples of a block's series.

use std::borrow::Cow;
use std::sync::Arc;

use model::{ColumnId, Estimate, Runs, SeriesBuf};

use super::columns::ColumnPage;
use super::rows::{ChunkPlace, ChunkRow, RowCursor};
use super::{Block, BlockError};
use crate::chunk::{self, Encoding};

/// Walks the series of a block for one reader. Ascending series numbers are fastest: the page of chunk
/// rows stays at hand.
#[derive(Debug)]
pub struct BlockReader {
    pub(super) block: Arc<Block>,
    page: Option<Page>,
    columns: Option<Arc<ColumnPage>>,
    /// Those of the series that [`BlockReader::chunks`] was asked for last.
    pub(super) rows: Vec<ChunkRow>,
}

#[derive(Debug)]
struct Page {
    number: usize,
    bytes: Box<[u8]>,
    cursor: RowCursor,
}

impl Block {
    /// A reader of this block.
    pub fn reader(self: &Arc<Self>) -> BlockReader {
        BlockReader { block: Arc::clone(self), page: None, columns: None, rows: Vec::new() }
    }

    /// What reading `series`, which ascend, in `[mint, maxt]` costs at most.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn estimate(
        self: &Arc<Self>,
        series: impl Iterator<Item = u32>,
        mint: i64,
        maxt: i64,
    ) -> Result<Estimate, BlockError> {
        let mut estimate = Estimate::default();
        let mut reader = self.reader();
        for one in series {
            estimate.num_series += 1;
            for row in reader.chunks(one)?.iter().filter(|r| r.mint <= maxt && mint <= r.maxt) {
                estimate.num_samples += u64::from(row.count);
                estimate.chunk_bytes += row.chunk_bytes();
            }
        }
        Ok(estimate)
    }
}

impl BlockReader {
    /// The chunks of a series, ascending by first time. Those of floats do not overlap, nor do those
    /// of histograms.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn chunks(&mut self, series: u32) -> Result<&[ChunkRow], BlockError> {
        let (block, number) = (&*self.block, u64::from(series));
        let index = &block.index;
        let page = block.rows.find(number).filter(|_| series < block.num_series());
        let page = page.ok_or_else(|| index.corrupt(0, "no such series"))?;
        let bad = || index.corrupt(block.rows.offset(page), "damaged chunk rows");
        let at_hand = self.page.take().filter(|p| p.number == page && p.cursor.can_reach(number));
        let at_hand = if let Some(found) = at_hand {
            found
        } else {
            let bytes = block.rows.read(index, page)?.into_owned().into_boxed_slice();
            let first = block.rows.first(page).ok_or_else(bad)?;
            let cursor = RowCursor::new(&bytes, first).ok_or_else(bad)?;
            Page { number: page, bytes, cursor }
        };
        let Page { bytes, cursor, .. } = self.page.insert(at_hand);
        self.rows.clear();
        let mut failed = None;
        let columns = &mut self.columns;
        let mut column = |column| {
            if let Some(known) = columns.as_ref().and_then(|page| page.get(column)) {
                return Some(*known);
            }
            match block.columns.page(index, column) {
                Ok(page) => columns.insert(page).get(column).copied(),
                Err(error) => {
                    failed = Some(error);
                    None
                }
            }
        };
        let read = cursor.read(bytes, number, &mut column, &mut self.rows);
        read.ok_or_else(|| failed.unwrap_or_else(bad))?;
        Ok(&self.rows)
    }

    /// Appends the samples of a series inside `[mint, maxt]` to `buf`, between the caller's
    /// [`SeriesBuf::begin`] and [`SeriesBuf::end`]. One buffer must see the same bounds all the time,
    /// because it keeps clipped time columns.
    ///
    /// # Errors
    /// [`BlockError`]; `buf` is then to be begun anew.
    pub fn read(
        &mut self,
        series: u32,
        mint: i64,
        maxt: i64,
        buf: &mut SeriesBuf,
    ) -> Result<(), BlockError> {
        self.chunks(series)?;
        self.read_rows(mint, maxt, buf)
    }

    /// Appends the samples of the chunks at hand.
    pub(super) fn read_rows(
        &self,
        mint: i64,
        maxt: i64,
        buf: &mut SeriesBuf,
    ) -> Result<(), BlockError> {
        for row in self.rows.iter().filter(|row| row.mint <= maxt && mint <= row.maxt) {
            if row.encoding == Encoding::Histogram {
                self.block.read_histograms(row, mint, maxt, buf)?;
            } else {
                self.block.read_floats(row, mint, maxt, buf)?;
            }
        }
        Ok(())
    }
}

impl Block {
    pub(super) fn read_floats(
        &self,
        row: &ChunkRow,
        mint: i64,
        maxt: i64,
        buf: &mut SeriesBuf,
    ) -> Result<(), BlockError> {
        let id = ColumnId(u128::from(self.number) << 64 | u128::from(row.column));
        let Runs { skip, len } = buf.times_run(Some(id), |out| {
            let times = self.columns.times(&self.index, &self.chunks, row.column)?;
            let (start, end) = clip(&times, mint, maxt);
            out.extend_from_slice(times.get(start..end).unwrap_or_default());
            Ok::<_, BlockError>(start)
        })?;
        let (bytes, offset) = self.chunk_bytes(row)?;
        let range = skip..skip + len;
        chunk::decode(row.encoding, &bytes, row.count as usize, range, buf.values_mut())
            .map_err(|e| self.chunks.corrupt(offset, e.0))
    }

    fn read_histograms(
        &self,
        row: &ChunkRow,
        mint: i64,
        maxt: i64,
        buf: &mut SeriesBuf,
    ) -> Result<(), BlockError> {
        let times = self.columns.times(&self.index, &self.chunks, row.column)?;
        let (start, end) = clip(&times, mint, maxt);
        let (bytes, offset) = self.chunk_bytes(row)?;
        let push = |i: usize, value| {
            if let Some(t) = times.get(i) {
                buf.push_histogram(*t, value);
            }
        };
        chunk::histogram::decode(&bytes, start..end, push)
            .map_err(|e| self.chunks.corrupt(offset, e.0))
    }

    /// The encoded values of a chunk and where they are.
    pub(super) fn chunk_bytes<'a>(
        &'a self,
        row: &'a ChunkRow,
    ) -> Result<(Cow<'a, [u8]>, u64), BlockError> {
        Ok(match &row.place {
            ChunkPlace::Inline(bytes, len) => {
                (Cow::Borrowed(bytes.get(..usize::from(*len)).unwrap_or_default()), 0)
            }
            ChunkPlace::File { offset, len } => {
                (self.chunks.checked(*offset, u64::from(*len))?, *offset)
            }
        })
    }
}

/// The places of the times inside `[mint, maxt]`.
fn clip(times: &[i64], mint: i64, maxt: i64) -> (usize, usize) {
    let start = times.partition_point(|t| *t < mint);
    (start, start.max(times.partition_point(|t| *t <= maxt)))
}
