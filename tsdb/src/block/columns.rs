//! The time columns of a block. Series of one scrape have the same times, so a column is written
//! once: the writer finds it again by the hash of its times.
//!
//! A column's bytes ([`times`](crate::chunk::times)) are in the chunks file, followed by their checksum; the index
//! has 16 bytes for each: offset there (u64), length (u32), number of times (u32).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::BlockError;
use super::pages::{PageWriter, Pages};
use super::scratch::Scratch;
use super::sealed::{SealedFile, SealedWriter};
use crate::chunk::{MAX_SAMPLES, times};
use crate::encoding::varint::Reader;

/// Name of the scratch file.
pub(crate) const SCRATCH_FILE: &str = "columns.scratch";

const PAGE_BYTES: usize = 4 << 10;
const ENTRY_BYTES: usize = 16;
/// Columns that the writer can find again; past that it forgets and writes some twice.
const MAX_KNOWN: usize = 1 << 18;
/// Bytes of a known column in memory.
const KNOWN_BYTES: usize = 2 * (16 + 4 + 1);
/// Decoded columns that a block keeps.
const CACHE_BYTES: usize = 16 << 20;

#[derive(Debug, Clone, Copy)]
struct Column {
    offset: u64,
    len: u32,
    count: u32,
}

/// Writes columns to the chunks file and remembers them for the index.
#[derive(Debug)]
pub(crate) struct ColumnWriter {
    seed: u64,
    known: HashMap<u128, u32>,
    columns: Scratch,
    num_columns: u32,
    bytes: Vec<u8>,
    raw: Vec<u8>,
}

impl ColumnWriter {
    /// The seed must not be known outside: whoever could prepare two columns with one hash would
    /// change the times of somebody else's series.
    pub(crate) fn new(seed: u64, columns: Scratch) -> Self {
        let (known, bytes, raw) = (HashMap::new(), Vec::new(), Vec::new());
        Self { seed, known, columns, num_columns: 0, bytes, raw }
    }

    /// Bytes of memory held.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.known.len() * KNOWN_BYTES + self.columns.heap_bytes()
    }

    /// The number of the column with these times, which is written if it is new.
    pub(crate) fn add(
        &mut self,
        chunks: &mut SealedWriter,
        times: &[i64],
    ) -> Result<u32, BlockError> {
        self.raw.clear();
        self.raw.extend(times.iter().flat_map(|t| t.to_le_bytes()));
        let hash = xxh3_128_with_seed(&self.raw, self.seed);
        if let Some(known) = self.known.get(&hash) {
            return Ok(*known);
        }
        self.bytes.clear();
        times::encode(times, &mut self.bytes);
        let offset = chunks.write_checked(&self.bytes)?;
        let column = self.num_columns;
        self.num_columns = column.checked_add(1).ok_or(BlockError::TooLarge)?;
        let len = u32::try_from(self.bytes.len()).map_err(|_| BlockError::TooLarge)?;
        let count = u32::try_from(times.len()).map_err(|_| BlockError::TooLarge)?;
        let mut entry = offset.to_le_bytes().to_vec();
        entry.extend_from_slice(&len.to_le_bytes());
        entry.extend_from_slice(&count.to_le_bytes());
        self.columns.push(&entry)?;
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(hash, column);
        Ok(column)
    }

    pub(crate) fn finish(self, index: &mut SealedWriter, kind: u32) -> Result<u32, BlockError> {
        let mut pages = PageWriter::new(index, kind, PAGE_BYTES);
        let mut columns = self.columns.all()?;
        for number in 0.. {
            let Some(column) = columns.next()? else { break };
            pages.entry(index, number, &[], |page| page.extend_from_slice(column))?;
        }
        pages.finish(index)?;
        drop(columns);
        self.columns.remove().map_err(|e| BlockError::io(Path::new(SCRATCH_FILE), e))?;
        Ok(self.num_columns)
    }
}

#[derive(Debug, Default)]
struct TimesCache {
    columns: HashMap<u32, Arc<[i64]>>,
    bytes: usize,
}

/// The columns of an open block.
#[derive(Debug)]
pub(crate) struct Columns {
    pages: Pages,
    cache: Mutex<TimesCache>,
}

impl Columns {
    pub(crate) fn open(index: &SealedFile, kind: u32) -> Result<Self, BlockError> {
        Ok(Self { pages: Pages::open(index, kind)?, cache: Mutex::default() })
    }

    /// The times of a column.
    pub(crate) fn times(
        &self,
        index: &SealedFile,
        chunks: &SealedFile,
        column: u32,
    ) -> Result<Arc<[i64]>, BlockError> {
        if let Some(times) = self.cache.lock().columns.get(&column) {
            return Ok(Arc::clone(times));
        }
        let place = self.place(index, column)?;
        let bytes = chunks.checked(place.offset, u64::from(place.len))?;
        let count = usize::try_from(place.count).unwrap_or(usize::MAX).min(MAX_SAMPLES + 1);
        let mut times = Vec::new();
        times::decode(&bytes, count, &mut times).map_err(|e| chunks.corrupt(place.offset, e.0))?;
        let times: Arc<[i64]> = times.into();
        let mut cache = self.cache.lock();
        if cache.bytes + times.len() * 8 > CACHE_BYTES {
            *cache = TimesCache::default();
        }
        cache.bytes += times.len() * 8;
        cache.columns.insert(column, Arc::clone(&times));
        Ok(times)
    }

    fn place(&self, index: &SealedFile, column: u32) -> Result<Column, BlockError> {
        let page = self.pages.find(u64::from(column));
        let bad = || index.corrupt(self.pages.offset(page.unwrap_or(0)), "no such time column");
        let page = page.ok_or_else(bad)?;
        let bytes = self.pages.read(index, page)?;
        let in_page = u64::from(column) - self.pages.first(page).ok_or_else(bad)?;
        let at = usize::try_from(in_page).map_err(|_| bad())? * ENTRY_BYTES;
        let mut r = Reader::new(bytes.get(at..).unwrap_or_default());
        match (r.u64_le(), r.u32_le(), r.u32_le()) {
            (Some(offset), Some(len), Some(count)) => Ok(Column { offset, len, count }),
            _ => Err(bad()),
        }
    }

    /// Forgets decoded columns.
    pub(crate) fn drop_cache(&self) {
        *self.cache.lock() = TimesCache::default();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.pages.heap_bytes() + self.cache.lock().bytes
    }
}
