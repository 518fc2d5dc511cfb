//! The frame of a block's binary files: header, body, section table, footer. What is inside a
//! body is checked piece by piece when it is read; the frame is checked when the file is opened.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

use xxhash_rust::xxh3::Xxh3;

use super::BlockError;
use super::cold::{self, ColdPages, ColdWriter};
use crate::encoding::crc;
use crate::encoding::varint::Reader;
use crate::fs::{Fs, FsFile, FsRead};

/// Format version of both files.
pub(crate) const VERSION: u32 = 3;
/// That of a chunks file in compressed pages.
pub(crate) const COLD_VERSION: u32 = 4;
/// Bytes before the body.
pub(crate) const HEADER_LEN: u64 = 16;
const FOOTER_LEN: u64 = 48;
const END_MAGIC: [u8; 4] = *b"sbkE";
const SECTION_LEN: u64 = 24;
/// Bytes of a checksum.
pub(crate) const CRC_LEN: u64 = 4;
/// Bytes gathered before a write.
const BUFFER: usize = 256 << 10;

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section {
    /// Which part; numbers are the file's own.
    pub(crate) kind: u32,
    /// What it counts, such as entries.
    pub(crate) count: u32,
    /// Where it begins in the file.
    pub(crate) offset: u64,
    /// Its length in bytes.
    pub(crate) len: u64,
}

/// Length and hash of a finished file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) len: u64,
    pub(crate) xxh3_128: u128,
}

/// The hash of a file while it is written.
struct FileHash(Box<Xxh3>);

impl fmt::Debug for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileHash")
    }
}

/// Writes a file from start to end.
#[derive(Debug)]
pub(crate) struct SealedWriter {
    path: PathBuf,
    file: Box<dyn FsFile>,
    buffer: Vec<u8>,
    hash: FileHash,
    len: u64,
    sections: Vec<Section>,
    /// Where pieces go that are compressed.
    cold: Option<ColdWriter>,
}

impl SealedWriter {
    pub(crate) fn create(fs: &dyn Fs, path: PathBuf, magic: [u8; 8]) -> Result<Self, BlockError> {
        Self::create_as(fs, path, magic, None)
    }

    /// As [`SealedWriter::create`]; checked pieces are compressed a second time.
    pub(crate) fn create_cold(
        fs: &dyn Fs,
        path: PathBuf,
        magic: [u8; 8],
    ) -> Result<Self, BlockError> {
        Self::create_as(fs, path, magic, Some(ColdWriter::new()))
    }

    fn create_as(
        fs: &dyn Fs,
        path: PathBuf,
        magic: [u8; 8],
        cold: Option<ColdWriter>,
    ) -> Result<Self, BlockError> {
        let file = fs.create(&path).map_err(|e| BlockError::io(&path, e))?;
        let hash = FileHash(Box::new(Xxh3::new()));
        let version = if cold.is_some() { COLD_VERSION } else { VERSION };
        let (buffer, sections) = (Vec::new(), Vec::new());
        let mut w = Self { path, file, buffer, hash, len: 0, sections, cold };
        let mut header = magic.to_vec();
        header.extend_from_slice(&version.to_le_bytes());
        let sum = crc(&header);
        header.extend_from_slice(&sum.to_le_bytes());
        w.write(&header)?;
        Ok(w)
    }

    /// Bytes written so far: where the next ones go.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        self.hash.0.update(bytes);
        self.len += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Writes bytes and their checksum; returns where they begin.
    pub(crate) fn write_checked(&mut self, bytes: &[u8]) -> Result<u64, BlockError> {
        if let Some(cold) = &mut self.cold {
            let at = cold.add(bytes);
            if cold.is_full() {
                let page = cold.cut();
                self.write_stored(&page)?;
            }
            return Ok(at);
        }
        self.write_stored(bytes)
    }

    /// As [`SealedWriter::write_checked`], never compressed.
    fn write_stored(&mut self, bytes: &[u8]) -> Result<u64, BlockError> {
        let at = self.len;
        self.write(bytes)?;
        self.write(&crc(bytes).to_le_bytes())?;
        Ok(at)
    }

    /// Names what was written since `start` as a section.
    pub(crate) fn end_section(&mut self, kind: u32, count: u32, start: u64) {
        self.sections.push(Section { kind, count, offset: start, len: self.len - start });
    }

    /// Writes table and footer and makes the file durable.
    pub(crate) fn finish(mut self) -> Result<Seal, BlockError> {
        if let Some(mut cold) = self.cold.take() {
            let page = cold.cut();
            if !page.is_empty() {
                self.write_stored(&page)?;
            }
            let (directory, num_pages) = cold.directory();
            let start = self.write_stored(&directory)?;
            let count = u32::try_from(num_pages).map_err(|_| BlockError::TooLarge)?;
            self.end_section(cold::PAGES_KIND, count, start);
        }
        let mut table = Vec::new();
        for s in &self.sections {
            table.extend_from_slice(&s.kind.to_le_bytes());
            table.extend_from_slice(&s.count.to_le_bytes());
            table.extend_from_slice(&s.offset.to_le_bytes());
            table.extend_from_slice(&s.len.to_le_bytes());
        }
        let table_at = self.write_checked(&table)?;
        let len = self.len + FOOTER_LEN;
        let mut footer = Vec::new();
        footer.extend_from_slice(&table_at.to_le_bytes());
        footer.extend_from_slice(&(table.len() as u64).to_le_bytes());
        footer.extend_from_slice(&len.to_le_bytes());
        self.hash.0.update(&footer);
        let xxh3_128 = self.hash.0.digest128();
        footer.extend_from_slice(&xxh3_128.to_le_bytes());
        footer.extend_from_slice(&crc(&footer).to_le_bytes());
        footer.extend_from_slice(&END_MAGIC);
        self.buffer.extend_from_slice(&footer);
        self.flush()?;
        self.file.sync().map_err(|e| BlockError::io(&self.path, e))?;
        Ok(Seal { len, xxh3_128 })
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        self.file.append(&self.buffer).map_err(|e| BlockError::io(&self.path, e))?;
        self.buffer.clear();
        Ok(())
    }
}

/// A finished file, frame checked.
#[derive(Debug)]
pub(crate) struct SealedFile {
    path: PathBuf,
    read: Arc<dyn FsRead>,
    sections: Vec<Section>,
    seal: Seal,
    /// Where the body ends.
    body_end: u64,
    /// The pages, where pieces are compressed.
    cold: Option<ColdPages>,
}

impl SealedFile {
    /// Opens a file and checks header, footer and section table.
    pub(crate) fn open(fs: &dyn Fs, path: PathBuf, magic: [u8; 8]) -> Result<Self, BlockError> {
        let read = fs.open_read(&path).map_err(|e| BlockError::io(&path, e))?;
        let len = read.len();
        let seal = Seal { len, xxh3_128: 0 };
        let sections = Vec::new();
        let mut file = Self { path, read, sections, seal, body_end: len, cold: None };
        let version = file.check_header(magic)?;
        file.check_footer()?;
        if version == COLD_VERSION {
            let section = file.section(cold::PAGES_KIND)?;
            let bad = || file.corrupt(section.offset, "damaged list of pages");
            let len = section.len.checked_sub(CRC_LEN).ok_or_else(bad)?;
            let directory = file.checked_stored(section.offset, len)?;
            let pages = ColdPages::parse(&directory, section.offset).ok_or_else(bad)?;
            drop(directory);
            file.cold = Some(pages);
        }
        Ok(file)
    }

    pub(crate) const fn seal(&self) -> Seal {
        self.seal
    }

    /// The error that says what is wrong at a place of this file.
    pub(crate) fn corrupt(&self, offset: u64, what: &'static str) -> BlockError {
        BlockError::Corrupt { path: self.path.clone(), offset, what }
    }

    /// The section of a kind.
    pub(crate) fn section(&self, kind: u32) -> Result<Section, BlockError> {
        let found = self.sections.iter().find(|s| s.kind == kind).copied();
        found.ok_or_else(|| self.corrupt(self.body_end, "missing section"))
    }

    /// `len` bytes whose checksum follows them, which is compared.
    pub(crate) fn checked(&self, offset: u64, len: u64) -> Result<Cow<'_, [u8]>, BlockError> {
        let Some(pages) = &self.cold else { return self.checked_stored(offset, len) };
        let whole = len.checked_add(CRC_LEN);
        let whole = whole.ok_or_else(|| self.corrupt(offset, "range outside the file"))?;
        let bytes = pages.read(self, offset, whole, |piece| {
            let (body, sum) = piece.split_last_chunk()?;
            (crc(body).to_le_bytes() == *sum).then(|| body.to_vec())
        })?;
        let bytes = bytes.ok_or_else(|| self.corrupt(offset, "checksum does not match"))?;
        Ok(Cow::Owned(bytes))
    }

    /// As [`SealedFile::checked`], of what is in the file as it is.
    pub(crate) fn checked_stored(
        &self,
        offset: u64,
        len: u64,
    ) -> Result<Cow<'_, [u8]>, BlockError> {
        let end = offset.checked_add(len).and_then(|end| end.checked_add(CRC_LEN));
        if offset < HEADER_LEN || end.is_none_or(|end| end > self.body_end) {
            return Err(self.corrupt(offset, "range outside the file"));
        }
        self.checked_raw(offset, len)
    }

    fn checked_raw(&self, offset: u64, len: u64) -> Result<Cow<'_, [u8]>, BlockError> {
        let fits = |whole: &[u8]| -> bool {
            whole.split_last_chunk().is_some_and(|(body, sum)| crc(body).to_le_bytes() == *sum)
        };
        let mut whole = self.bytes(offset, len + CRC_LEN)?;
        if !fits(&whole) {
            return Err(self.corrupt(offset, "checksum does not match"));
        }
        let body = usize::try_from(len).unwrap_or(usize::MAX);
        Ok(match &mut whole {
            Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(..body).unwrap_or_default()),
            Cow::Owned(bytes) => {
                bytes.truncate(body);
                Cow::Owned(std::mem::take(bytes))
            }
        })
    }

    /// Lets go of the pages of the file that are in memory, decompressed ones too.
    pub(crate) fn release(&self) {
        self.read.release();
        if let Some(pages) = &self.cold {
            pages.drop_cache();
        }
    }

    /// Bytes of memory held.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.cold.as_ref().map_or(0, ColdPages::heap_bytes)
    }

    /// A little-endian number; no checksum covers it, so it may only say where checked bytes lie.
    pub(crate) fn hint(&self, offset: u64) -> Result<u64, BlockError> {
        let bytes = self.bytes(offset, 8)?;
        Ok(Reader::new(&bytes).u64_le().unwrap_or(u64::MAX))
    }

    /// Reads the whole file and compares its hash. `pace` hears of every piece before it is read, and
    /// ends the work with `false`. Returns whether everything was read.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`] where it differs.
    pub(crate) fn verify(&self, pace: &mut dyn FnMut(u64) -> bool) -> Result<bool, BlockError> {
        let hashed = self.seal.len - FOOTER_LEN + 24;
        let mut hash = Xxh3::new();
        let mut at = 0;
        while at < hashed {
            let n = (hashed - at).min(1 << 20);
            if !pace(n) {
                return Ok(false);
            }
            hash.update(&self.bytes(at, n)?);
            at += n;
        }
        if hash.digest128() != self.seal.xxh3_128 {
            return Err(self.corrupt(0, "hash of the file does not match"));
        }
        Ok(true)
    }

    /// Gives the version.
    fn check_header(&self, magic: [u8; 8]) -> Result<u32, BlockError> {
        if self.seal.len < HEADER_LEN + CRC_LEN + FOOTER_LEN {
            return Err(self.corrupt(self.seal.len, "file too short"));
        }
        let header = self.checked_raw(0, HEADER_LEN - CRC_LEN)?;
        let mut r = Reader::new(&header);
        if r.take(8) != Some(&magic[..]) {
            return Err(self.corrupt(0, "wrong magic number"));
        }
        match r.u32_le() {
            Some(VERSION) => Ok(VERSION),
            Some(COLD_VERSION) if magic == super::CHUNKS_MAGIC => Ok(COLD_VERSION),
            found => Err(BlockError::Version {
                path: self.path.clone(),
                found: found.unwrap_or(0),
                known: VERSION,
            }),
        }
    }

    fn check_footer(&mut self) -> Result<(), BlockError> {
        let at = self.seal.len - FOOTER_LEN;
        let tail = self.bytes(at, FOOTER_LEN)?;
        let bad = |what| self.corrupt(at, what);
        if tail.get(44..) != Some(&END_MAGIC[..]) {
            return Err(bad("no footer"));
        }
        let mut r = Reader::new(&tail);
        let (Some(table), Some(table_len), Some(len)) = (r.u64_le(), r.u64_le(), r.u64_le()) else {
            return Err(bad("footer too short"));
        };
        let hash = r.take(16).and_then(|b| b.try_into().ok()).map_or(0, u128::from_le_bytes);
        if r.u32_le() != tail.get(..40).map(crc) {
            return Err(bad("footer checksum does not match"));
        }
        if len != self.seal.len {
            return Err(bad("file length does not match"));
        }
        let end = table.checked_add(table_len).and_then(|end| end.checked_add(CRC_LEN));
        if table < HEADER_LEN || end != Some(at) || table_len % SECTION_LEN != 0 {
            return Err(bad("section table outside the file"));
        }
        let sections = self.read_table(table, table_len)?;
        drop(tail);
        self.sections = sections;
        self.seal.xxh3_128 = hash;
        self.body_end = table;
        Ok(())
    }

    fn read_table(&self, at: u64, len: u64) -> Result<Vec<Section>, BlockError> {
        let table = self.checked_raw(at, len)?;
        let mut r = Reader::new(&table);
        let mut sections = Vec::new();
        while let (Some(kind), Some(count), Some(offset), Some(len)) =
            (r.u32_le(), r.u32_le(), r.u64_le(), r.u64_le())
        {
            if offset < HEADER_LEN || offset.checked_add(len).is_none_or(|end| end > at) {
                return Err(self.corrupt(at, "section outside the file"));
            }
            sections.push(Section { kind, count, offset, len });
        }
        Ok(sections)
    }

    fn bytes(&self, offset: u64, len: u64) -> Result<Cow<'_, [u8]>, BlockError> {
        self.read.bytes(offset, len).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => self.corrupt(offset, "file too short"),
            _ => BlockError::io(&self.path, e),
        })
    }
}
