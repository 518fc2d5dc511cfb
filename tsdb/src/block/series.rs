//! The label sets of a block's series, in ascending order. A set is a schema (its list of label
//! names) and the numbers of its values; most sets repeat most of the one before.
//!
//! An entry is the schema's number plus one, or 0 for the schema of the entry before; then for
//! a new schema all value numbers, else a mask of the values that differ and those. Every page
//! begins with an entry of the first kind.

use std::sync::Arc;

use model::{Labels, ReadError};

use super::BlockError;
use super::cache::PageCache;
use super::pages::{PageWriter, Pages};
use super::sealed::{SealedFile, SealedWriter};
use super::symbols::Symbols;
use crate::encoding::varint::{Reader, put_u64};

const PAGE_BYTES: usize = 1 << 10;
/// Decoded label sets that a block keeps.
const CACHE_BYTES: usize = 16 << 20;
/// A look at more series than this leaves no pages behind: the next one would be as long, and others need
/// the room.
const SCAN: usize = 1 << 14;
/// Values that a mask can tell apart; longer sets are written whole.
const MASK_BITS: usize = 63;

/// Writes label sets.
#[derive(Debug)]
pub(crate) struct SeriesWriter {
    pages: PageWriter,
    before: (u32, Vec<u32>),
    num_series: u64,
}

impl SeriesWriter {
    pub(crate) fn new(file: &SealedWriter, kind: u32) -> Self {
        let pages = PageWriter::new(file, kind, PAGE_BYTES);
        Self { pages, before: (0, Vec::new()), num_series: 0 }
    }

    /// Adds the next series.
    pub(crate) fn add(
        &mut self,
        file: &mut SealedWriter,
        schema: u32,
        values: &[u32],
    ) -> Result<(), BlockError> {
        let (last_schema, last) = &self.before;
        let same = self.pages.in_page() > 0 && *last_schema == schema && values.len() <= MASK_BITS;
        self.pages.entry(file, self.num_series, &[], |page| {
            if same {
                let differ = |i: &usize| last.get(*i) != values.get(*i);
                let mask = (0..values.len()).filter(differ).fold(0, |mask, i| mask | 1_u64 << i);
                put_u64(page, 0);
                put_u64(page, mask);
                for (i, value) in values.iter().enumerate() {
                    if mask >> i & 1 == 1 {
                        put_u64(page, u64::from(*value));
                    }
                }
            } else {
                put_u64(page, u64::from(schema) + 1);
                for value in values {
                    put_u64(page, u64::from(*value));
                }
            }
        })?;
        self.num_series += 1;
        self.before = (schema, values.to_vec());
        Ok(())
    }

    pub(crate) fn finish(self, file: &mut SealedWriter) -> Result<(), BlockError> {
        self.pages.finish(file)
    }
}

/// Writes the schemas: their number, then length and names of each.
pub(crate) fn write_schemas(
    file: &mut SealedWriter,
    kind: u32,
    schemas: &[Vec<u32>],
) -> Result<(), BlockError> {
    let start = file.len();
    let mut bytes = Vec::new();
    put_u64(&mut bytes, schemas.len() as u64);
    for schema in schemas {
        put_u64(&mut bytes, schema.len() as u64);
        for name in schema {
            put_u64(&mut bytes, u64::from(*name));
        }
    }
    file.write_checked(&bytes)?;
    file.end_section(kind, u32::try_from(schemas.len()).unwrap_or(u32::MAX), start);
    Ok(())
}

/// Label sets of a page: schema and end in `values` of each.
#[derive(Debug)]
struct SeriesPage {
    first: u32,
    sets: Vec<(u32, u32)>,
    values: Vec<u32>,
}

impl SeriesPage {
    /// Schema and values of a series of this page.
    fn set(&self, series: u32) -> Option<(u32, &[u32])> {
        let at = series.checked_sub(self.first)? as usize;
        let start = if at == 0 { 0 } else { self.sets.get(at - 1)?.1 };
        let (schema, end) = *self.sets.get(at)?;
        Some((schema, self.values.get(start as usize..end as usize)?))
    }
}

/// Takes schema, names and values of a label set.
pub(crate) type VisitSet<'a> = dyn FnMut(u32, &[u32], &[u32]) -> Result<(), ReadError> + 'a;

/// The label sets of an open block.
#[derive(Debug)]
pub(crate) struct SeriesTable {
    schemas: Vec<Box<[u32]>>,
    pages: Pages,
    cache: PageCache<SeriesPage>,
}

impl SeriesTable {
    pub(crate) fn open(
        file: &SealedFile,
        schemas: u32,
        series: u32,
        num_symbols: u32,
    ) -> Result<Self, BlockError> {
        let section = file.section(schemas)?;
        let bad = || file.corrupt(section.offset, "damaged label schemas");
        let len = section.len.checked_sub(super::sealed::CRC_LEN).ok_or_else(bad)?;
        let bytes = file.checked(section.offset, len)?;
        let schemas = read_schemas(&bytes, num_symbols).ok_or_else(bad)?;
        let pages = Pages::open(file, series)?;
        let cache = PageCache::new(pages.num_pages(), CACHE_BYTES);
        Ok(Self { schemas, pages, cache })
    }

    pub(crate) const fn len(&self) -> u32 {
        self.pages.num_entries()
    }

    /// The label names that occur, ascending.
    pub(crate) fn names(&self) -> Vec<u32> {
        let mut names: Vec<u32> = self.schemas.iter().flatten().copied().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The labels of series `series`.
    pub(crate) fn labels(
        &self,
        file: &SealedFile,
        symbols: &Symbols,
        series: u32,
    ) -> Result<Labels, BlockError> {
        let page = self.pages.find(u64::from(series));
        let bad = || file.corrupt(self.pages.offset(page.unwrap_or(0)), "no such series");
        let decoded = self.page(file, page.ok_or_else(bad)?)?;
        let (schema, values) = decoded.set(series).ok_or_else(bad)?;
        let names = self.schemas.get(schema as usize).ok_or_else(bad)?;

        let (mut text, mut ends) = (String::new(), Vec::with_capacity(names.len() * 2));
        for symbol in names.iter().zip(values).flat_map(|(name, value)| [*name, *value]) {
            symbols.with(file, symbol, |part| text.push_str(part))?;
            ends.push(text.len());
        }
        let mut pairs = Vec::with_capacity(names.len());
        let mut from = 0;
        for pair in ends.as_chunks::<2>().0 {
            let [name, value] = *pair;
            pairs.push((
                text.get(from..name).unwrap_or_default(),
                text.get(name..value).unwrap_or_default(),
            ));
            from = value;
        }
        Labels::try_from_sorted(pairs.into_iter()).ok_or_else(bad)
    }

    /// Calls `visit` with schema, names and values of each of `series`, which ascend.
    pub(crate) fn coded(
        &self,
        file: &SealedFile,
        series: &[u32],
        visit: &mut VisitSet<'_>,
    ) -> Result<(), ReadError> {
        let mut rest = series;
        while let Some(first) = rest.first() {
            let page = self.pages.find(u64::from(*first));
            let bad = || file.corrupt(self.pages.offset(page.unwrap_or(0)), "no such series");
            let page = page.ok_or_else(bad)?;
            let decoded = match self.cache.peek(page) {
                Some(decoded) => decoded,
                None if series.len() > SCAN => Arc::new(self.load(file, page)?.0),
                None => self.page(file, page)?,
            };
            let end = self.pages.end(page);
            let here = rest.partition_point(|series| u64::from(*series) < end);
            for series in rest.get(..here).unwrap_or_default() {
                let (schema, values) = decoded.set(*series).ok_or_else(bad)?;
                let names = self.schemas.get(schema as usize).ok_or_else(bad)?;
                if names.len() != values.len() {
                    return Err(bad().into());
                }
                visit(schema, names, values)?;
            }
            if here == 0 {
                return Err(bad().into());
            }
            rest = rest.get(here..).unwrap_or_default();
        }
        Ok(())
    }

    fn page(&self, file: &SealedFile, page: usize) -> Result<Arc<SeriesPage>, BlockError> {
        self.cache.get(page, || self.load(file, page))
    }

    /// Decodes a page; with the bytes that it takes.
    fn load(&self, file: &SealedFile, page: usize) -> Result<(SeriesPage, usize), BlockError> {
        let bytes = self.pages.read(file, page)?;
        let first = self.pages.first(page).and_then(|first| u32::try_from(first).ok());
        let decoded = first.and_then(|first| self.decode(&bytes, first));
        let decoded = decoded
            .filter(|d| u64::from(d.first) + d.sets.len() as u64 == self.pages.end(page))
            .ok_or_else(|| file.corrupt(self.pages.offset(page), "damaged label sets"))?;
        let held = decoded.sets.capacity() * 8 + decoded.values.capacity() * 4;
        Ok((decoded, held))
    }

    fn decode(&self, bytes: &[u8], first: u32) -> Option<SeriesPage> {
        let mut r = Reader::new(bytes);
        let (mut sets, mut values) = (Vec::<(u32, u32)>::new(), Vec::<u32>::new());
        let mut start_before = 0;
        while !r.is_empty() {
            let start = values.len();
            let head = r.u64()?;
            let schema = match head.checked_sub(1) {
                Some(schema) => u32::try_from(schema).ok()?,
                None => sets.last()?.0,
            };
            let num_values = self.schemas.get(schema as usize)?.len();
            let mask = if head == 0 { r.u64()? } else { u64::MAX };
            for i in 0..num_values {
                let written = head != 0 || mask >> i.min(MASK_BITS) & 1 == 1;
                let value = if written {
                    u32::try_from(r.u64()?).ok()?
                } else {
                    *values.get(start_before + i)?
                };
                values.push(value);
            }
            start_before = start;
            sets.push((schema, u32::try_from(values.len()).ok()?));
        }
        Some(SeriesPage { first, sets, values })
    }

    /// Forgets decoded pages.
    pub(crate) fn drop_cache(&self) {
        self.cache.clear();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.pages.heap_bytes()
            + self.cache.heap_bytes()
            + self.schemas.iter().map(|s| s.len() * 4 + size_of::<Box<[u32]>>()).sum::<usize>()
    }
}

fn read_schemas(bytes: &[u8], num_symbols: u32) -> Option<Vec<Box<[u32]>>> {
    let mut r = Reader::new(bytes);
    let num_schemas = r.len()?;
    let mut schemas = Vec::new();
    for _ in 0..num_schemas {
        let num_names = r.len()?;
        let mut names = Vec::new();
        for _ in 0..num_names {
            let name = u32::try_from(r.u64()?).ok().filter(|name| *name < num_symbols)?;
            names.push(name);
        }
        if !names.is_sorted_by(|a, b| a < b) {
            return None;
        }
        schemas.push(names.into_boxed_slice());
    }
    r.is_empty().then_some(schemas)
}
