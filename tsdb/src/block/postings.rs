//! The inverted index of a block: for each label name the series that have it, and for each pair
//! the series that have that; sets of series numbers, ascending.
//!
//! Entries are ordered by name, then value; value 0 stands for "has the name", a symbol's number
//! plus one for a value. A page holds entries of one name. An entry is the value less the one
//! before it in the page (the first: less 0), twice the length of the set plus its form, and the set:
//! form 0 is a list of differences (the first: less 0), form 1 a run-optimised roaring bitmap in its
//! portable serialisation; whichever is shorter.

use std::borrow::Cow;

use roaring::{MultiOps, RoaringBitmap};

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

/// Writes the section. `pairs` are keyed (name, value) by symbol number and ascend.
pub(crate) fn write(
    file: &mut SealedWriter,
    kind: u32,
    mut pairs: Vec<((u32, u32), RoaringBitmap)>,
) -> Result<(), BlockError> {
    let mut pages = PageWriter::new(file, kind, PAGE_BYTES);
    let mut bytes = Vec::new();
    for group in pairs.chunk_by_mut(|((a, _), _), ((b, _), _)| a == b) {
        pages.cut(file)?;
        let mut any: RoaringBitmap = group.iter().map(|(_, set)| set).union();
        let mut before = 0;
        let name = group.first().map_or(0, |((name, _), _)| *name);
        let sets = group.iter_mut().map(|((_, value), set)| (*value + 1, set));
        for (value, set) in std::iter::once((ANY_VALUE, &mut any)).chain(sets) {
            let form = encode(set, &mut bytes);
            let base = if pages.in_page() == 0 { 0 } else { before };
            before = value;
            let number = u64::from(name) << 32 | u64::from(value);
            pages.entry(file, number, &[], |page| {
                put_u64(page, u64::from(value - base));
                put_u64(page, (bytes.len() as u64) << 1 | form);
                page.extend_from_slice(&bytes);
            })?;
        }
    }
    pages.finish(file)
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
