//! The time columns of a block. Series of one scrape have the same times, so a column is written
//! once: the writer finds it again by the hash of its times.
//!
//! A column's bytes ([`times`](crate::chunk::times)) are in the chunks file, followed by their checksum; the index
//! has an entry for each: offset there, less the end of the entry before (0 at the start of a page); length; number of times; first
//! time, less that of the entry before (zig-zag); last time less the first.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::BlockError;
use super::cache::PageCache;
use super::pages::{PageWriter, Pages};
use super::scratch::Scratch;
use super::sealed::{CRC_LEN, SealedFile, SealedWriter};
use crate::chunk::{MAX_SAMPLES, times};
use crate::encoding::varint::{Reader, put_i64, put_u64};

/// Name of the scratch file.
pub(crate) const SCRATCH_FILE: &str = "columns.scratch";

const PAGE_BYTES: usize = 4 << 10;
/// Room for an entry.
const ENTRY_BYTES: usize = 32;
/// Columns that the writer can find again; past that it forgets and writes some twice.
const MAX_KNOWN: usize = 1 << 18;
/// Bytes of a known column in memory.
const KNOWN_BYTES: usize = 2 * (16 + 4 + 1);
/// Decoded columns that a block keeps.
const CACHE_BYTES: usize = 16 << 20;
/// Decoded pages of entries that it keeps.
const PAGES_BYTES: usize = 8 << 20;

/// What the index says of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    /// Where its bytes are in the chunks file.
    pub(crate) offset: u64,
    /// Their number, without the checksum.
    pub(crate) len: u32,
    /// Number of times, from 1 to [`MAX_SAMPLES`].
    pub(crate) count: u32,
    /// First time, ms.
    pub(crate) mint: i64,
    /// Last time, ms.
    pub(crate) maxt: i64,
}

impl Column {
    fn put(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        put_u64(out, self.offset.wrapping_sub(before.map_or(0, Self::end)));
        put_u64(out, u64::from(self.len));
        put_u64(out, u64::from(self.count));
        put_i64(out, self.mint.wrapping_sub(before.map_or(0, |before| before.mint)));
        put_u64(out, self.maxt.wrapping_sub(self.mint).cast_unsigned());
    }

    fn take(before: Option<&Self>, r: &mut Reader<'_>) -> Option<Self> {
        let offset = before.map_or(0, Self::end).wrapping_add(r.u64()?);
        let (len, count) = (u32::try_from(r.u64()?).ok()?, u32::try_from(r.u64()?).ok()?);
        let mint = before.map_or(0, |before| before.mint).wrapping_add(r.i64()?);
        let maxt = mint.wrapping_add(r.u64()?.cast_signed());
        let is_sound = count > 0 && count as usize <= MAX_SAMPLES && mint <= maxt;
        is_sound.then_some(Self { offset, len, count, mint, maxt })
    }

    const fn end(&self) -> u64 {
        self.offset.wrapping_add(self.len as u64 + CRC_LEN)
    }
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
        let (mint, maxt) = times.first().zip(times.last()).map_or((0, 0), |(a, b)| (*a, *b));
        let mut entry = Vec::with_capacity(ENTRY_BYTES);
        Column { offset, len, count, mint, maxt }.put(None, &mut entry);
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
        let mut before = None::<Column>;
        for number in 0.. {
            let Some(column) = columns.next()? else { break };
            let column = Column::take(None, &mut Reader::new(column)).expect("as it was pushed");
            let before = before.replace(column).filter(|_| pages.in_page() > 0);
            pages.entry(index, number, &[], |page| column.put(before.as_ref(), page))?;
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

/// The entries of a page.
#[derive(Debug)]
pub(crate) struct ColumnPage {
    first: u32,
    columns: Vec<Column>,
}

impl ColumnPage {
    /// The column, if it is in this page.
    pub(crate) fn get(&self, column: u32) -> Option<&Column> {
        self.columns.get(column.checked_sub(self.first)? as usize)
    }
}

/// The columns of an open block.
#[derive(Debug)]
pub(crate) struct Columns {
    pages: Pages,
    entries: PageCache<ColumnPage>,
    cache: Mutex<TimesCache>,
}

impl Columns {
    pub(crate) fn open(index: &SealedFile, kind: u32) -> Result<Self, BlockError> {
        let pages = Pages::open(index, kind)?;
        let entries = PageCache::new(pages.num_pages(), PAGES_BYTES);
        Ok(Self { pages, entries, cache: Mutex::default() })
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
        let page = self.page(index, column)?;
        let known = page.get(column).ok_or_else(|| index.corrupt(0, "no such time column"))?;
        let bytes = chunks.checked(known.offset, u64::from(known.len))?;
        let mut times = Vec::new();
        times::decode(&bytes, known.count as usize, &mut times)
            .map_err(|e| chunks.corrupt(known.offset, e.0))?;
        if times.first() != Some(&known.mint) || times.last() != Some(&known.maxt) {
            return Err(chunks.corrupt(known.offset, "other times than the index says"));
        }
        let times: Arc<[i64]> = times.into();
        let mut cache = self.cache.lock();
        if cache.bytes + times.len() * 8 > CACHE_BYTES {
            *cache = TimesCache::default();
        }
        cache.bytes += times.len() * 8;
        cache.columns.insert(column, Arc::clone(&times));
        Ok(times)
    }

    /// The page with the entry of a column.
    pub(crate) fn page(
        &self,
        index: &SealedFile,
        column: u32,
    ) -> Result<Arc<ColumnPage>, BlockError> {
        let page = self.pages.find(u64::from(column));
        let page = page.ok_or_else(|| index.corrupt(0, "no such time column"))?;
        self.entries.get(page, || {
            let bad = || index.corrupt(self.pages.offset(page), "damaged time columns");
            let bytes = self.pages.read(index, page)?;
            let (first, end) = (self.pages.first(page).ok_or_else(bad)?, self.pages.end(page));
            let mut columns = Vec::<Column>::new();
            let mut r = Reader::new(&bytes);
            while !r.is_empty() {
                columns.push(Column::take(columns.last(), &mut r).ok_or_else(bad)?);
            }
            if first + columns.len() as u64 != end {
                return Err(bad());
            }
            let held = columns.capacity() * size_of::<Column>();
            let first = u32::try_from(first).map_err(|_| bad())?;
            Ok((ColumnPage { first, columns }, held))
        })
    }

    /// Forgets decoded columns.
    pub(crate) fn drop_cache(&self) {
        *self.cache.lock() = TimesCache::default();
        self.entries.clear();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.pages.heap_bytes() + self.entries.heap_bytes() + self.cache.lock().bytes
    }
}
