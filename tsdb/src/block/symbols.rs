//! The symbol table: every label name and value of a block once, numbered in ascending order, so
//! that comparing numbers compares strings and a prefix is a range of numbers.

use std::sync::Arc;

use super::BlockError;
use super::cache::PageCache;
use super::pages::{PageWriter, Pages};
use super::sealed::{SealedFile, SealedWriter};
use crate::encoding::varint::{Reader, put_bytes, put_u64};

/// A page is cut at this length; a look-up decodes one page.
const PAGE_BYTES: usize = 1 << 10;
/// Decoded symbols that a block keeps.
const CACHE_BYTES: usize = 16 << 20;

/// Writes the strings as a section.
#[derive(Debug)]
pub(crate) struct SymbolWriter {
    pages: PageWriter,
    before: String,
    len: u32,
}

impl SymbolWriter {
    pub(crate) fn new(file: &SealedWriter, kind: u32) -> Self {
        let pages = PageWriter::new(file, kind, PAGE_BYTES);
        Self { pages, before: String::new(), len: 0 }
    }

    /// Adds the next string; they ascend strictly.
    pub(crate) fn add(&mut self, file: &mut SealedWriter, symbol: &str) -> Result<(), BlockError> {
        let in_page = self.pages.in_page() > 0;
        let shared = if in_page { shared_prefix(&self.before, symbol) } else { 0 };
        self.pages.entry(file, u64::from(self.len), symbol.as_bytes(), |page| {
            put_u64(page, shared as u64);
            put_bytes(page, &symbol.as_bytes()[shared..]);
        })?;
        self.before.clear();
        self.before.push_str(symbol);
        self.len += 1;
        Ok(())
    }

    /// Number of strings so far.
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn finish(self, file: &mut SealedWriter) -> Result<(), BlockError> {
        self.pages.finish(file)
    }
}

fn shared_prefix(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// The symbols of a page.
#[derive(Debug)]
pub(crate) struct SymbolPage {
    first: u32,
    text: String,
    ends: Vec<u32>,
}

impl SymbolPage {
    fn decode(bytes: &[u8], first: u32) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let (mut text, mut ends, mut symbol) = (String::new(), Vec::new(), Vec::new());
        while !r.is_empty() {
            let shared = r.len()?;
            if shared > symbol.len() {
                return None;
            }
            symbol.truncate(shared);
            symbol.extend_from_slice(r.bytes()?);
            text.push_str(std::str::from_utf8(&symbol).ok()?);
            ends.push(u32::try_from(text.len()).ok()?);
        }
        Some(Self { first, text, ends })
    }

    /// The symbol with a number, if it is in this page.
    pub(crate) fn get(&self, symbol: u32) -> Option<&str> {
        let i = usize::try_from(symbol.checked_sub(self.first)?).ok()?;
        let start = if i == 0 { 0 } else { *self.ends.get(i - 1)? };
        self.text.get(start as usize..*self.ends.get(i)? as usize)
    }

    /// How many symbols of the page are less than `text`.
    fn num_less(&self, text: &str) -> u32 {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let mid = usize::midpoint(low, high);
            let less = u32::try_from(mid)
                .ok()
                .and_then(|mid| self.get(self.first + mid))
                .is_some_and(|symbol| symbol < text);
            if less { low = mid + 1 } else { high = mid }
        }
        u32::try_from(low).unwrap_or(u32::MAX)
    }
}

/// The symbol table of an open block.
#[derive(Debug)]
pub(crate) struct Symbols {
    pages: Pages,
    cache: PageCache<SymbolPage>,
}

impl Symbols {
    pub(crate) fn open(file: &SealedFile, kind: u32) -> Result<Self, BlockError> {
        let pages = Pages::open(file, kind)?;
        let cache = PageCache::new(pages.num_pages(), CACHE_BYTES);
        Ok(Self { pages, cache })
    }

    pub(crate) const fn len(&self) -> u32 {
        self.pages.num_entries()
    }

    /// Calls `with` with the text of a symbol.
    pub(crate) fn with<R>(
        &self,
        file: &SealedFile,
        symbol: u32,
        with: impl FnOnce(&str) -> R,
    ) -> Result<R, BlockError> {
        let page = self.pages.find(u64::from(symbol));
        let bad = || file.corrupt(self.pages.offset(page.unwrap_or(0)), "no such symbol");
        let decoded = self.page(file, page.ok_or_else(bad)?)?;
        decoded.get(symbol).map(with).ok_or_else(bad)
    }

    /// The number of `text`, if it is a symbol.
    pub(crate) fn find(&self, file: &SealedFile, text: &str) -> Result<Option<u32>, BlockError> {
        let at = self.lower_bound(file, text)?;
        if at == self.len() {
            return Ok(None);
        }
        Ok(self.with(file, at, |found| found == text)?.then_some(at))
    }

    /// The number of the first symbol that is not less than `text`.
    pub(crate) fn lower_bound(&self, file: &SealedFile, text: &str) -> Result<u32, BlockError> {
        let Some(page) = self.pages.find_key(text.as_bytes()) else { return Ok(0) };
        let decoded = self.page(file, page)?;
        Ok(decoded.first + decoded.num_less(text))
    }

    fn page(&self, file: &SealedFile, page: usize) -> Result<Arc<SymbolPage>, BlockError> {
        self.cache.get(page, || {
            let bytes = self.pages.read(file, page)?;
            let first = self.pages.first(page).and_then(|first| u32::try_from(first).ok());
            let decoded = first.and_then(|first| SymbolPage::decode(&bytes, first));
            let decoded = decoded
                .filter(|d| u64::from(d.first) + d.ends.len() as u64 == self.pages.end(page))
                .ok_or_else(|| file.corrupt(self.pages.offset(page), "damaged symbols"))?;
            let held = decoded.text.capacity() + decoded.ends.capacity() * 4;
            Ok((decoded, held))
        })
    }

    /// Forgets decoded pages.
    pub(crate) fn drop_cache(&self) {
        self.cache.clear();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.pages.heap_bytes() + self.cache.heap_bytes()
    }
}
