//! The inverted index of a block: for each label name the series that have it, and for each pair
//! the series that have that; sets of series numbers, ascending.
//!
//! Entries are ordered by name, then value; value 0 stands for "has the name", a symbol's number
//! plus one for a value. A page holds entries of one name. An entry is the value less the one
//! before it in the page (the first: less 0), twice the length of the set plus its form, and the set:
//! form 0 is a list of differences (the first: less 0), form 1 a run-optimised roaring bitmap in its
//! portable serialisation; whichever is shorter.

use std::borrow::Cow;

use roaring::RoaringBitmap;

use super::BlockError;
use super::pages::{PageWriter, Pages};
use super::sealed::{SealedFile, SealedWriter};
use crate::encoding::varint::{Reader, put_u64};
use crate::postings::Postings;

const PAGE_BYTES: usize = 4 << 10;
/// Longest set that is tried as a list.
const MAX_LIST: u64 = 64;

/// The value that stands for every value.
const ANY_VALUE: u32 = 0;

/// Writes the section.
#[derive(Debug)]
pub(crate) struct PostingsWriter {
    pages: PageWriter,
    bytes: Vec<u8>,
}

impl PostingsWriter {
    pub(crate) fn new(file: &SealedWriter, kind: u32) -> Self {
        Self { pages: PageWriter::new(file, kind, PAGE_BYTES), bytes: Vec::new() }
    }

    /// Adds the sets of the next name; names ascend. `any` are the series that have it, `pairs` value
    /// (upper half) and series of each, ascending.
    pub(crate) fn name(
        &mut self,
        file: &mut SealedWriter,
        name: u32,
        mut any: RoaringBitmap,
        pairs: &[u64],
    ) -> Result<(), BlockError> {
        self.pages.cut(file)?;
        let form = encode(&mut any, &mut self.bytes);
        self.entry(file, name, (0, ANY_VALUE), form)?;
        let mut before = ANY_VALUE;
        for pairs in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
            let series = pairs.iter().map(|pair| low(*pair));
            let form = if let [one] = pairs {
                // A bitmap of one takes more than its number.
                self.bytes.clear();
                put_u64(&mut self.bytes, u64::from(low(*one)));
                0
            } else {
                encode(&mut series.collect(), &mut self.bytes)
            };
            let value = pairs.first().map_or(0, |pair| low(pair >> 32)) + 1;
            self.entry(file, name, (before, value), form)?;
            before = value;
        }
        Ok(())
    }

    /// Adds the set in `bytes`, that of the later one of two values.
    fn entry(
        &mut self,
        file: &mut SealedWriter,
        name: u32,
        (before, value): (u32, u32),
        form: u64,
    ) -> Result<(), BlockError> {
        let base = if self.pages.in_page() == 0 { 0 } else { before };
        let number = u64::from(name) << 32 | u64::from(value);
        let bytes = &self.bytes;
        self.pages.entry(file, number, &[], |page| {
            put_u64(page, u64::from(value - base));
            put_u64(page, (bytes.len() as u64) << 1 | form);
            page.extend_from_slice(bytes);
        })
    }

    pub(crate) fn finish(self, file: &mut SealedWriter) -> Result<(), BlockError> {
        self.pages.finish(file)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is asked for")]
const fn low(pair: u64) -> u32 {
    pair as u32
}

fn encode(set: &mut RoaringBitmap, out: &mut Vec<u8>) -> u64 {
    out.clear();
    set.optimize();
    let roaring_len = set.serialized_size();
    if set.len() <= MAX_LIST {
        let mut before = 0;
        for series in set.iter() {
            put_u64(out, u64::from(series - before));
            before = series;
        }
        if out.len() <= roaring_len {
            return 0;
        }
        out.clear();
    }
    set.serialize_into(&mut *out).expect("writing to a vector cannot fail");
    1
}

/// Where a set lies: the page, and the place in it.
#[derive(Debug, Clone, Copy)]
pub struct SetRef {
    page: usize,
    at: usize,
    len: usize,
    roaring: bool,
}

/// The postings of an open block.
#[derive(Debug)]
pub(crate) struct PostingsTable {
    pages: Pages,
    num_series: u32,
}

impl PostingsTable {
    pub(crate) fn open(file: &SealedFile, kind: u32, num_series: u32) -> Result<Self, BlockError> {
        Ok(Self { pages: Pages::open(file, kind)?, num_series })
    }

    /// The set of the series that have a name.
    pub(crate) fn has_name(
        &self,
        file: &SealedFile,
        name: u32,
    ) -> Result<Option<SetRef>, BlockError> {
        self.find(file, name, ANY_VALUE)
    }

    /// The set of the series that have a pair.
    pub(crate) fn value(
        &self,
        file: &SealedFile,
        name: u32,
        value: u32,
    ) -> Result<Option<SetRef>, BlockError> {
        self.find(file, name, value.saturating_add(1))
    }

    fn find(&self, file: &SealedFile, name: u32, value: u32) -> Result<Option<SetRef>, BlockError> {
        let mut found = None;
        self.walk(file, name, value, &mut |v, set| {
            found = (v == value).then_some(set);
            Ok(false)
        })?;
        Ok(found)
    }

    /// Calls `visit` with the values (symbol numbers) of `name` from `value` on and their sets, until it
    /// returns false.
    pub(crate) fn values(
        &self,
        file: &SealedFile,
        name: u32,
        value: u32,
        visit: &mut dyn FnMut(u32, SetRef) -> Result<bool, BlockError>,
    ) -> Result<(), BlockError> {
        self.walk(file, name, value.saturating_add(1), &mut |v, set| visit(v - 1, set))
    }

    fn walk(
        &self,
        file: &SealedFile,
        name: u32,
        from: u32,
        visit: &mut dyn FnMut(u32, SetRef) -> Result<bool, BlockError>,
    ) -> Result<(), BlockError> {
        let number = u64::from(name) << 32 | u64::from(from);
        for page in self.pages.find(number).unwrap_or(0)..self.pages.num_pages() {
            let first = self.pages.first(page).unwrap_or(u64::MAX);
            match (first >> 32).cmp(&u64::from(name)) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Greater => return Ok(()),
            }
            let bytes = self.pages.read(file, page)?;
            let bad = || file.corrupt(self.pages.offset(page), "damaged postings");
            let mut r = Reader::new(&bytes);
            let mut value = 0_u32;
            while !r.is_empty() {
                let step = r.u64().and_then(|step| u32::try_from(step).ok());
                value = step.and_then(|step| value.checked_add(step)).ok_or_else(bad)?;
                let head = r.u64().ok_or_else(bad)?;
                let len = usize::try_from(head >> 1).map_err(|_| bad())?;
                let at = bytes.len() - r.rest().len();
                r.take(len).ok_or_else(bad)?;
                let set = SetRef { page, at, len, roaring: head & 1 == 1 };
                if value >= from && !visit(value, set)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// A set.
    pub(crate) fn read(
        &self,
        file: &SealedFile,
        set: SetRef,
    ) -> Result<Postings<'static>, BlockError> {
        let bytes = self.pages.read(file, set.page)?;
        let bad = || file.corrupt(self.pages.offset(set.page), "damaged postings");
        let bytes = set.at.checked_add(set.len).and_then(|end| bytes.get(set.at..end));
        self.decode(bytes.ok_or_else(bad)?, set.roaring).ok_or_else(bad)
    }

    fn decode(&self, bytes: &[u8], roaring: bool) -> Option<Postings<'static>> {
        if roaring {
            let bitmap = RoaringBitmap::deserialize_from(bytes).ok()?;
            let inside = bitmap.max().is_none_or(|max| max < self.num_series);
            return inside.then_some(Postings::Bitmap(Cow::Owned(bitmap)));
        }
        let mut r = Reader::new(bytes);
        let mut list = Vec::new();
        while !r.is_empty() {
            let step = u32::try_from(r.u64()?).ok()?;
            let next = match list.last() {
                Some(_) if step == 0 => return None,
                Some(before) => step.checked_add(*before)?,
                None => step,
            };
            list.push(next);
        }
        let inside = list.last().is_none_or(|max| *max < self.num_series);
        inside.then_some(Postings::List(Cow::Owned(list)))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.pages.heap_bytes()
    }
}
