//! Pages: entries in ascending order of a number, grouped, each group with a checksum, and a
//! directory of the groups that is in memory while the file is open.
//!
#![doc = include_str!("../../docs/format/index.md")]

use std::borrow::Cow;

use super::BlockError;
use super::sealed::{CRC_LEN, SealedFile, SealedWriter, Section};
use crate::encoding::crc;
use crate::encoding::varint::{Reader, put_bytes, put_u64};

/// A page in the directory.
#[derive(Debug, Clone, Copy)]
struct PageRef {
    first: u64,
    offset: u64,
    len: u32,
}

/// Writes a section of pages.
#[derive(Debug)]
pub(crate) struct PageWriter {
    kind: u32,
    target: usize,
    start: u64,
    first: u64,
    page: Vec<u8>,
    before: u64,
    directory: Vec<u8>,
    key: Vec<u8>,
    num_entries: u32,
    in_page: u32,
}

impl PageWriter {
    /// Starts a section; a page is cut when it reaches `target` bytes.
    pub(crate) fn new(file: &SealedWriter, kind: u32, target: usize) -> Self {
        Self {
            kind,
            target,
            start: file.len(),
            first: 0,
            page: Vec::new(),
            before: 0,
            directory: Vec::new(),
            key: Vec::new(),
            num_entries: 0,
            in_page: 0,
        }
    }

    /// Entries in the page that is being filled; none at the start of a page.
    pub(crate) const fn in_page(&self) -> u32 {
        self.in_page
    }

    /// Adds the entry `number`, which `write` appends to the page; `key` names the page if the
    /// entry is its first.
    pub(crate) fn entry(
        &mut self,
        file: &mut SealedWriter,
        number: u64,
        key: &[u8],
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), BlockError> {
        if self.in_page == 0 {
            self.first = number;
            self.key.clear();
            self.key.extend_from_slice(key);
        }
        write(&mut self.page);
        self.in_page += 1;
        self.num_entries += 1;
        if self.page.len() >= self.target { self.cut(file) } else { Ok(()) }
    }

    /// Ends the page, if there is anything in it.
    pub(crate) fn cut(&mut self, file: &mut SealedWriter) -> Result<(), BlockError> {
        if self.in_page == 0 {
            return Ok(());
        }
        put_u64(&mut self.directory, self.first - self.before);
        put_u64(&mut self.directory, self.page.len() as u64);
        put_bytes(&mut self.directory, &self.key);
        self.before = self.first;
        file.write_checked(&self.page)?;
        self.page.clear();
        self.in_page = 0;
        Ok(())
    }

    /// Ends the section.
    pub(crate) fn finish(mut self, file: &mut SealedWriter) -> Result<(), BlockError> {
        self.cut(file)?;
        let len = self.directory.len() as u64;
        self.directory.extend_from_slice(&crc(&self.directory).to_le_bytes());
        self.directory.extend_from_slice(&len.to_le_bytes());
        file.write(&self.directory)?;
        file.end_section(self.kind, self.num_entries, self.start);
        Ok(())
    }
}

/// A section of pages, its directory in memory.
#[derive(Debug)]
pub(crate) struct Pages {
    refs: Vec<PageRef>,
    /// The keys of the pages; empty ones cost nothing.
    keys: Vec<Box<[u8]>>,
    num_entries: u32,
}

impl Pages {
    pub(crate) fn open(file: &SealedFile, kind: u32) -> Result<Self, BlockError> {
        let section = file.section(kind)?;
        let directory = Self::directory(file, section)?;
        let bad = || file.corrupt(section.offset, "page directory is damaged");
        let mut r = Reader::new(&directory);
        let (mut refs, mut keys) = (Vec::new(), Vec::new());
        let (mut first, mut offset) = (0_u64, section.offset);
        while !r.is_empty() {
            let (Some(step), Some(len), Some(key)) = (r.u64(), r.u64(), r.bytes()) else {
                return Err(bad());
            };
            first = first.checked_add(step).ok_or_else(bad)?;
            let len32 = u32::try_from(len).map_err(|_| bad())?;
            if !refs.is_empty() && step == 0 || offset + len > section.offset + section.len {
                return Err(bad());
            }
            refs.push(PageRef { first, offset, len: len32 });
            keys.push(key.into());
            offset += len + CRC_LEN;
        }
        Ok(Self { refs, keys, num_entries: section.count })
    }

    fn directory(file: &SealedFile, section: Section) -> Result<Cow<'_, [u8]>, BlockError> {
        let bad = || file.corrupt(section.offset, "page directory is damaged");
        let end = section.offset + section.len;
        if section.len < CRC_LEN + 8 {
            return Err(bad());
        }
        let tail = file.hint(end - 8)?;
        let at = (end - 8 - CRC_LEN).checked_sub(tail).filter(|at| *at >= section.offset);
        file.checked(at.ok_or_else(bad)?, tail)
    }

    pub(crate) const fn num_entries(&self) -> u32 {
        self.num_entries
    }

    pub(crate) const fn num_pages(&self) -> usize {
        self.refs.len()
    }

    /// The page that holds the entry `number`, if any does.
    pub(crate) fn find(&self, number: u64) -> Option<usize> {
        self.refs.partition_point(|r| r.first <= number).checked_sub(1)
    }

    /// The last page whose key is at most `key`.
    pub(crate) fn find_key(&self, key: &[u8]) -> Option<usize> {
        self.keys.partition_point(|k| **k <= *key).checked_sub(1)
    }

    /// The number of a page's first entry.
    pub(crate) fn first(&self, page: usize) -> Option<u64> {
        self.refs.get(page).map(|r| r.first)
    }

    /// One past the number of the page's last entry, where numbers have no gaps.
    pub(crate) fn end(&self, page: usize) -> u64 {
        self.first(page + 1).unwrap_or(u64::from(self.num_entries))
    }

    /// Where a page begins in its file, for error messages.
    pub(crate) fn offset(&self, page: usize) -> u64 {
        self.refs.get(page).map_or(0, |r| r.offset)
    }

    /// The bytes of a page, its checksum compared.
    pub(crate) fn read<'a>(
        &self,
        file: &'a SealedFile,
        page: usize,
    ) -> Result<Cow<'a, [u8]>, BlockError> {
        let r = self.refs.get(page).ok_or_else(|| file.corrupt(0, "no such page"))?;
        file.checked(r.offset, u64::from(r.len))
    }

    /// Bytes of memory that the directory holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.refs.capacity() * size_of::<PageRef>()
            + self.keys.iter().map(|k| k.len() + size_of::<Box<[u8]>>()).sum::<usize>()
    }
}
