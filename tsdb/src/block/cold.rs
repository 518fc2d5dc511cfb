//! The chunks file of a cold block: its pieces, grouped in pages that zstd has compressed a second time.
//! Offsets of chunks and columns are those of the file that it would be without compression, so that the
//! index knows nothing of it. Every page and every piece in it has a checksum, and a page's length is
//! bounded before anything is made of it.

use super::BlockError;
use super::cache::PageCache;
use super::sealed::{CRC_LEN, HEADER_LEN, SealedFile};
use crate::encoding::crc;
use crate::encoding::varint::{Reader, put_u64};

/// A page is cut when it has this many bytes; a look at one chunk decompresses one page.
const PAGE_BYTES: usize = 64 << 10;
/// Longest page that is compressed; a longer one, of a single piece, is not.
const MAX_PAGE_BYTES: usize = 1 << 20;
/// Level of compression: higher ones take long and save little.
const LEVEL: i32 = 3;
/// Decompressed pages that a block keeps.
const CACHE_BYTES: usize = 8 << 20;
/// Bytes before what is stored of a page: how, and the length without compression.
const PAGE_HEADER: u64 = 5;

/// Kind of the section that lists the pages.
pub(crate) const PAGES_KIND: u32 = 1;

/// How a page is stored.
mod method {
    pub(super) const PLAIN: u8 = 0;
    pub(super) const ZSTD: u8 = 1;
}

/// A page: where it is with and without compression.
#[derive(Debug, Clone, Copy)]
struct Page {
    /// Offset of its first byte without compression.
    start: u64,
    /// Length without compression.
    len: u64,
    /// Offset of its header in the file.
    at: u64,
    /// Length of what is stored, header and checksum not counted.
    stored: u64,
}

/// Gathers pieces.
#[derive(Debug)]
pub(crate) struct ColdWriter {
    page: Vec<u8>,
    start: u64,
    pages: Vec<(u64, u64)>,
}

impl ColdWriter {
    pub(crate) const fn new() -> Self {
        Self { page: Vec::new(), start: HEADER_LEN, pages: Vec::new() }
    }

    /// Adds a piece and its checksum; returns the offset that it would have without compression.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> u64 {
        let at = self.start + self.page.len() as u64;
        self.page.extend_from_slice(bytes);
        self.page.extend_from_slice(&crc(bytes).to_le_bytes());
        at
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.page.len() >= PAGE_BYTES
    }

    /// Ends the page and returns its bytes, without their checksum; empty where there is nothing.
    pub(crate) fn cut(&mut self) -> Vec<u8> {
        if self.page.is_empty() {
            return Vec::new();
        }
        let len = u32::try_from(self.page.len()).expect("pieces are shorter than 4 GiB");
        let packed = if self.page.len() <= MAX_PAGE_BYTES {
            // It fails only for want of memory; then the page stays as it is.
            zstd::bulk::compress(&self.page, LEVEL).ok().filter(|p| p.len() < self.page.len())
        } else {
            None
        };
        let (how, stored) =
            packed.as_ref().map_or((method::PLAIN, &self.page), |p| (method::ZSTD, p));
        let mut out = vec![how];
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(stored);
        self.pages.push((u64::from(len), stored.len() as u64));
        self.start += u64::from(len);
        self.page.clear();
        out
    }

    /// The list of pages, and how many there are.
    pub(crate) fn directory(&self) -> (Vec<u8>, usize) {
        let mut out = Vec::new();
        for (len, stored) in &self.pages {
            put_u64(&mut out, *len);
            put_u64(&mut out, *stored);
        }
        (out, self.pages.len())
    }
}

/// The pages of an open file.
#[derive(Debug)]
pub(crate) struct ColdPages {
    pages: Vec<Page>,
    cache: PageCache<Vec<u8>>,
}

impl ColdPages {
    /// Reads the list; `body_end` is where pages end at the latest.
    pub(crate) fn parse(directory: &[u8], body_end: u64) -> Option<Self> {
        let mut r = Reader::new(directory);
        let (mut pages, mut start, mut at) = (Vec::new(), HEADER_LEN, HEADER_LEN);
        while !r.is_empty() {
            let (len, stored) = (r.u64()?, r.u64()?);
            pages.push(Page { start, len, at, stored });
            start = start.checked_add(len)?;
            at = at.checked_add(stored)?.checked_add(PAGE_HEADER + CRC_LEN)?;
            if at > body_end || len == 0 {
                return None;
            }
        }
        let cache = PageCache::new(pages.len(), CACHE_BYTES);
        Some(Self { pages, cache })
    }

    /// Calls `with` with the bytes `offset .. offset + len` of the file without compression.
    pub(crate) fn read<R>(
        &self,
        file: &SealedFile,
        offset: u64,
        len: u64,
        with: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, BlockError> {
        let outside = || file.corrupt(offset, "range outside the file");
        let number = self.pages.partition_point(|p| p.start <= offset).checked_sub(1);
        let number = number.ok_or_else(outside)?;
        let page = self.pages.get(number).ok_or_else(outside)?;
        let decoded = self.cache.get(number, || {
            let decoded = load(file, page)?;
            let held = decoded.capacity();
            Ok::<_, BlockError>((decoded, held))
        })?;
        let from = usize::try_from(offset - page.start).map_err(|_| outside())?;
        let end = usize::try_from(len).ok().and_then(|len| from.checked_add(len));
        let bytes = end.and_then(|end| decoded.get(from..end)).ok_or_else(outside)?;
        Ok(with(bytes))
    }

    pub(crate) fn drop_cache(&self) {
        self.cache.clear();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.pages.capacity() * size_of::<Page>() + self.cache.heap_bytes()
    }
}

/// Reads a page and undoes its compression.
fn load(file: &SealedFile, page: &Page) -> Result<Vec<u8>, BlockError> {
    let bad = |what| file.corrupt(page.at, what);
    let bytes = file.checked_stored(page.at, PAGE_HEADER + page.stored)?;
    let mut r = Reader::new(&bytes);
    let (Some(how), Some(len)) = (r.u8(), r.u32_le()) else { return Err(bad("damaged page")) };
    if u64::from(len) != page.len {
        return Err(bad("length of a page does not match"));
    }
    match how {
        method::PLAIN if r.rest().len() as u64 == page.len => Ok(r.rest().to_vec()),
        method::ZSTD if page.len <= MAX_PAGE_BYTES as u64 => {
            let len = usize::try_from(len).unwrap_or(MAX_PAGE_BYTES);
            let decoded = zstd::bulk::decompress(r.rest(), len);
            let decoded = decoded.map_err(|_| bad("damaged compression"))?;
            if decoded.len() == len { Ok(decoded) } else { Err(bad("damaged compression")) }
        }
        _ => Err(bad("damaged page")),
    }
}
