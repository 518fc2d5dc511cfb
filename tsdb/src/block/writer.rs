//! Writes a block, series by series in label order, and publishes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{HistogramValue, Labels, is_stale};

use super::columns::{self, ColumnWriter};
use super::intern::{Interner, SCRATCH_FILES};
use super::meta::{BlockMeta, Deleted};
use super::rows::{ChunkPlace, ChunkRow, MAX_INLINE, RowWriter};
use super::scratch::Scratch;
use super::sealed::SealedWriter;
use super::split::split;
use super::{BlockError, CHUNKS_FILE, CHUNKS_MAGIC, INDEX_FILE, INDEX_MAGIC, META_FILE, kind};
use crate::chunk::{self, Encoding, MAX_SAMPLES};
use crate::fs::Fs;

/// What is appended to a block's name until it is published.
pub const TMP_SUFFIX: &str = ".tmp";

/// Memory for what waits for the end of the block, where nothing else is said.
pub const DEFAULT_BUFFER_BYTES: usize = 16 << 20;
/// Memory of the buffers before the files.
const FILE_BUFFERS: usize = 1 << 20;

/// Deletions that a meta lists.
const MAX_DELETED: usize = 256;

/// A block that is being written. Dropping it before [`BlockWriter::finish`] removes its files.
///
/// Memory: the buffers that it is given, and some bytes a series. Chunks and their rows go to disk at once,
/// labels and time columns to scratch files ([`BlockWriter::heap_bytes`]).
#[derive(Debug)]
pub struct BlockWriter {
    out: Option<Output>,
    meta: BlockMeta,
    /// Gone once the block is finished.
    interner: Option<Interner>,
    last: Option<Labels>,
    rows: Vec<ChunkRow>,
    times: Vec<i64>,
    bytes: Vec<u8>,
    /// Samples in a full chunk.
    max_samples: usize,
    place: Place,
}

/// The files; gone once the block is published.
#[derive(Debug)]
struct Output {
    chunks: SealedWriter,
    index: SealedWriter,
    rows: RowWriter,
    columns: ColumnWriter,
}

#[derive(Debug)]
struct Place {
    fs: Arc<dyn Fs>,
    parent: PathBuf,
    tmp: PathBuf,
}

impl BlockWriter {
    /// Starts the block `meta.id` in `parent`, under its name with [`TMP_SUFFIX`]; in the format that `meta`
    /// says.
    ///
    /// # Errors
    /// [`BlockError::Io`].
    pub fn create(fs: Arc<dyn Fs>, parent: &Path, meta: BlockMeta) -> Result<Self, BlockError> {
        Self::with_buffers(fs, parent, meta, DEFAULT_BUFFER_BYTES)
    }

    /// As [`BlockWriter::create`], with `buffer_bytes` for what waits for the end of the block.
    ///
    /// # Errors
    /// [`BlockError::Io`].
    pub fn with_buffers(
        fs: Arc<dyn Fs>,
        parent: &Path,
        meta: BlockMeta,
        buffer_bytes: usize,
    ) -> Result<Self, BlockError> {
        let tmp = parent.join(format!("{}{TMP_SUFFIX}", meta.id));
        fs.create_dir(&tmp).map_err(|e| BlockError::io(&tmp, e))?;
        let place = Place { fs, parent: parent.to_owned(), tmp };
        let unfinished = TmpDir(&place);
        let create = |name, magic| SealedWriter::create(&*place.fs, place.tmp.join(name), magic);
        let chunks = if meta.is_cold() {
            SealedWriter::create_cold(&*place.fs, place.tmp.join(CHUNKS_FILE), CHUNKS_MAGIC)?
        } else {
            create(CHUNKS_FILE, CHUNKS_MAGIC)?
        };
        let index = create(INDEX_FILE, INDEX_MAGIC)?;
        std::mem::forget(unfinished);
        let rows = RowWriter::new(&index, kind::ROWS);
        let random = meta.id.number() & u128::from(u64::MAX);
        let scratch = place.tmp.join(columns::SCRATCH_FILE);
        let scratch = Scratch::new(Arc::clone(&place.fs), scratch, buffer_bytes / 16);
        let columns = ColumnWriter::new(u64::try_from(random).expect("masked"), scratch);
        let meta = BlockMeta {
            mint: i64::MAX,
            maxt: i64::MIN,
            num_series: 0,
            num_samples: 0,
            num_histograms: 0,
            num_chunks: 0,
            ..meta
        };
        Ok(Self {
            out: Some(Output { chunks, index, rows, columns }),
            meta,
            interner: Some(Interner::new(&place.fs, &place.tmp, buffer_bytes)),
            last: None,
            rows: Vec::new(),
            times: Vec::new(),
            bytes: Vec::new(),
            max_samples: MAX_SAMPLES,
            place,
        })
    }

    /// Cuts chunks of fewer samples than it should, so that a test has many of them.
    #[cfg(test)]
    pub(super) fn cut_chunks_at(&mut self, max_samples: usize) {
        self.max_samples = max_samples;
    }

    /// Adds a series: as many `values` as `times`, and `histograms`; the times of each increase
    /// strictly. Labels increase strictly from call to call. A series without samples is left out.
    ///
    /// # Errors
    /// [`BlockError::Unordered`] and [`BlockError::Histogram`] before anything of the series is
    /// written; [`BlockError::Io`], after which the writer is of no use.
    pub fn add_series(
        &mut self,
        labels: &Labels,
        times: &[i64],
        values: &[f64],
        histograms: &[(i64, HistogramValue)],
    ) -> Result<(), BlockError> {
        self.add_encoded_series(labels, times, values, None, histograms)
    }

    /// As [`BlockWriter::add_series`] for a caller that may have what [`chunk::encode`] makes of all
    /// `values`, so that it need not be made again.
    ///
    /// # Errors
    /// As [`BlockWriter::add_series`].
    pub(crate) fn add_encoded_series(
        &mut self,
        labels: &Labels,
        times: &[i64],
        values: &[f64],
        encoded: Option<(Encoding, &[u8])>,
        histograms: &[(i64, HistogramValue)],
    ) -> Result<(), BlockError> {
        self.check(labels, times, values, histograms)?;
        if times.is_empty() && histograms.is_empty() {
            return Ok(());
        }
        self.rows.clear();
        for range in split(times, self.max_samples) {
            let encoded = encoded.filter(|_| range.len() == times.len());
            self.add_floats(&times[range.clone()], &values[range], encoded)?;
        }
        let mut histogram_times = std::mem::take(&mut self.times);
        histogram_times.clear();
        histogram_times.extend(histograms.iter().map(|(t, _)| *t));
        for range in split(&histogram_times, self.max_samples) {
            self.add_histograms(&histogram_times[range.clone()], &histograms[range])?;
        }
        self.times = histogram_times;
        self.rows.sort_by_key(|row| row.mint);

        for row in &self.rows {
            self.meta.mint = self.meta.mint.min(row.mint);
            self.meta.maxt = self.meta.maxt.max(row.maxt);
        }
        self.meta.num_samples += times.len() as u64;
        self.meta.num_histograms += histograms.len() as u64;
        self.meta.num_chunks += self.rows.len() as u64;
        self.interner.as_mut().expect("only finish() takes it").add(labels)?;
        self.last = Some(labels.clone());
        let out = self.out.as_mut().expect("only finish() takes it");
        out.rows.add(&mut out.index, &self.rows)
    }

    /// Adds to the list of deletions that were carried out; the oldest go where it gets long.
    pub(crate) fn note_deleted(&mut self, more: impl Iterator<Item = Deleted>) {
        self.meta.deleted.extend(more);
        let over = self.meta.deleted.len().saturating_sub(MAX_DELETED);
        self.meta.deleted.drain(..over);
    }

    /// Number of series so far.
    pub fn num_series(&self) -> u32 {
        self.interner.as_ref().map_or(0, Interner::num_series)
    }

    /// Bytes of memory that it holds or will hold when it is finished.
    pub fn heap_bytes(&self) -> usize {
        let columns = self.out.as_ref().map_or(0, |out| out.columns.heap_bytes());
        FILE_BUFFERS + columns + self.interner.as_ref().map_or(0, Interner::heap_bytes)
    }

    /// Writes the rest, makes everything durable and gives the directory its name. The block is
    /// then on disk for good, but counts only once the manifest names it.
    ///
    /// # Errors
    /// [`BlockError::Io`]; the files are then removed as far as that is possible.
    pub fn finish(mut self) -> Result<BlockMeta, BlockError> {
        let Output { chunks, mut index, rows, columns } =
            self.out.take().expect("only finish() takes it");
        let tmp = TmpDir(&self.place);
        rows.finish(&mut index)?;
        self.meta.num_columns = u64::from(columns.finish(&mut index, kind::COLUMNS)?);
        let interner = self.interner.take().expect("only finish() takes it");
        self.meta.num_series = u64::from(interner.num_series());
        interner.finish(&mut index)?;
        self.meta.chunks = chunks.finish()?.into();
        self.meta.index = index.finish()?.into();

        let Place { fs, parent, tmp: from } = tmp.0;
        let meta_path = from.join(META_FILE);
        let write_meta = || {
            let mut file = fs.create(&meta_path)?;
            file.append(&self.meta.encode())?;
            file.sync()
        };
        write_meta().map_err(|e| BlockError::io(&meta_path, e))?;
        fs.sync_dir(from).map_err(|e| BlockError::io(from, e))?;
        let to = parent.join(self.meta.id.to_string());
        fs.rename(from, &to).map_err(|e| BlockError::io(&to, e))?;
        // From here on the name may be on disk: what is behind it must stay.
        std::mem::forget(tmp);
        fs.sync_dir(parent).map_err(|e| BlockError::io(parent, e))?;
        Ok(self.meta.clone())
    }

    fn check(
        &self,
        labels: &Labels,
        times: &[i64],
        values: &[f64],
        histograms: &[(i64, HistogramValue)],
    ) -> Result<(), BlockError> {
        if let Some(last) = self.last.as_ref().filter(|last| *last >= labels) {
            return Err(BlockError::Unordered(format!("{labels} after {last}")));
        }
        if times.len() != values.len() {
            let (t, v) = (times.len(), values.len());
            return Err(BlockError::Unordered(format!("{labels}: {t} times, {v} values")));
        }
        let ordered =
            times.is_sorted_by(|a, b| a < b) && histograms.is_sorted_by(|(a, _), (b, _)| a < b);
        if !ordered {
            return Err(BlockError::Unordered(format!("times of {labels}")));
        }
        for (_, value) in histograms {
            chunk::histogram::check(value)?;
        }
        Ok(())
    }

    fn add_floats(
        &mut self,
        times: &[i64],
        values: &[f64],
        encoded: Option<(Encoding, &[u8])>,
    ) -> Result<(), BlockError> {
        self.bytes.clear();
        let encoding = if let Some((encoding, bytes)) = encoded {
            self.bytes.extend_from_slice(bytes);
            encoding
        } else {
            chunk::encode(values, &mut self.bytes)
        };
        let mut row = self.add_chunk(encoding, times)?;
        (row.has_reset, row.has_stale) = marks(values);
        row.bounds = bounds(values).filter(|_| encoding != Encoding::Constant);
        self.rows.push(row);
        Ok(())
    }

    fn add_histograms(
        &mut self,
        times: &[i64],
        values: &[(i64, HistogramValue)],
    ) -> Result<(), BlockError> {
        self.bytes.clear();
        chunk::histogram::encode(values.iter().map(|(_, v)| v), &mut self.bytes)?;
        let mut row = self.add_chunk(Encoding::Histogram, times)?;
        row.has_stale = values.iter().any(|(_, v)| v.is_stale());
        self.rows.push(row);
        Ok(())
    }

    /// Writes times and the encoded values in `self.bytes`, as far as they are new.
    fn add_chunk(&mut self, encoding: Encoding, times: &[i64]) -> Result<ChunkRow, BlockError> {
        let Output { chunks, columns, .. } = self.out.as_mut().expect("only finish() takes it");
        let column = columns.add(chunks, times)?;
        let len = u32::try_from(self.bytes.len()).map_err(|_| BlockError::TooLarge)?;
        let place = if self.bytes.len() <= MAX_INLINE {
            let mut inline = [0; MAX_INLINE];
            inline[..self.bytes.len()].copy_from_slice(&self.bytes);
            ChunkPlace::Inline(inline, u8::try_from(len).expect("at most MAX_INLINE"))
        } else {
            ChunkPlace::File { offset: chunks.write_checked(&self.bytes)?, len }
        };
        Ok(ChunkRow {
            column,
            encoding,
            count: u32::try_from(times.len()).expect("chunks are short"),
            mint: times.first().copied().unwrap_or_default(),
            maxt: times.last().copied().unwrap_or_default(),
            bounds: None,
            has_reset: false,
            has_stale: false,
            place,
        })
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        if self.out.take().is_some() {
            drop(TmpDir(&self.place));
        }
    }
}

/// Removes a directory that will not be published, as far as that is possible; start-up removes
/// what is left.
struct TmpDir<'a>(&'a Place);

impl Drop for TmpDir<'_> {
    fn drop(&mut self) {
        let Place { fs, tmp, .. } = self.0;
        let scratch = SCRATCH_FILES.into_iter().chain([columns::SCRATCH_FILE]);
        for name in [META_FILE, CHUNKS_FILE, INDEX_FILE].into_iter().chain(scratch) {
            let _ = fs.remove_file(&tmp.join(name));
        }
        let _ = fs.remove_dir(tmp);
    }
}

/// Whether there is a counter reset, and whether there is a stale marker.
fn marks(values: &[f64]) -> (bool, bool) {
    let (mut reset, mut stale, mut before) = (false, false, f64::NEG_INFINITY);
    for v in values {
        if is_stale(*v) {
            stale = true;
        } else {
            reset |= *v < before;
            before = *v;
        }
    }
    (reset, stale)
}

/// Least and greatest value, NaN left out.
fn bounds(values: &[f64]) -> Option<(f64, f64)> {
    let numbers = || values.iter().copied().filter(|v| !v.is_nan());
    Some((numbers().reduce(f64::min)?, numbers().reduce(f64::max)?))
}
