//! Blocks: immutable directories of series, written once, published by rename.
//!
//! A block is a directory named by its [`BlockId`] with three files: `meta` says what it is, `chunks` holds
//! encoded values and time columns, `index` finds them. Nothing is believed before its checksum is
//! compared, so damage is an error that names file and place, never a wrong number.
//!
//! A [`BlockWriter`] takes series in label order; a [`Block`] is shared by all readers, and a
//! [`BlockReader`] walks it for one of them.
//!
#![doc = include_str!("../docs/format/block.md")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Labels, Matcher, ReadError};
use roaring::RoaringBitmap;

use crate::chunk::histogram::BadLayout;
use crate::fs::Fs;
use crate::postings::{Postings, PostingsSource, VisitValue, resolve};
use crate::query::coded::{Coded, Texts};

mod cache;
mod cold;
mod columns;
pub mod directory;
mod excerpt;
mod intern;
pub mod meta;
mod pages;
mod postings;
pub mod reader;
pub mod rows;
mod scratch;
mod sealed;
mod series;
pub mod split;
mod symbols;
pub mod writer;

pub use meta::{BlockId, BlockMeta, BlockSource, Deleted};
pub use postings::SetRef;
pub use reader::BlockReader;
pub use rows::ChunkRow;
pub use writer::BlockWriter;

use columns::Columns;
use pages::Pages;
use postings::PostingsTable;
use sealed::SealedFile;
use series::SeriesTable;
use symbols::Symbols;

/// The name of a block's meta file.
pub const META_FILE: &str = "meta";
/// The name of a block's chunks file.
pub const CHUNKS_FILE: &str = "chunks";
/// The name of a block's index file.
pub const INDEX_FILE: &str = "index";

const CHUNKS_MAGIC: [u8; 8] = *b"SBKchunk";
const INDEX_MAGIC: [u8; 8] = *b"SBKindex";

/// Kinds of section in the index file.
mod kind {
    pub(super) const ROWS: u32 = 1;
    pub(super) const COLUMNS: u32 = 2;
    pub(super) const SYMBOLS: u32 = 3;
    pub(super) const SCHEMAS: u32 = 4;
    pub(super) const SERIES: u32 = 5;
    pub(super) const POSTINGS: u32 = 6;
}

/// Why a block could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The bytes are not what was written: quarantine the block.
    #[error("{}: byte {offset}: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Another version of this program wrote it: leave it alone.
    #[error("{}: format version {found}, this version reads {known}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u32,
        /// What this version knows.
        known: u32,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The caller handed a series or a sample out of order.
    #[error("series or samples out of order: {0}")]
    Unordered(String),
    /// The caller handed a histogram that cannot be stored.
    #[error(transparent)]
    Histogram(#[from] BadLayout),
    /// More series, symbols or columns than numbers for them.
    #[error("more than 2^32 entries in a block")]
    TooLarge,
}

impl BlockError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

impl From<BlockError> for ReadError {
    fn from(e: BlockError) -> Self {
        match e {
            BlockError::Io { .. } => Self::Io(e.to_string()),
            _ => Self::Corrupt(e.to_string()),
        }
    }
}

/// An open block. Series are numbered from 0 in label order.
#[derive(Debug)]
pub struct Block {
    dir: PathBuf,
    /// The upper half of its [`model::ColumnId`]s, unique in the process and never 0.
    number: u64,
    meta: BlockMeta,
    chunks: SealedFile,
    index: SealedFile,
    rows: Pages,
    columns: Columns,
    symbols: Symbols,
    series: SeriesTable,
    postings: PostingsTable,
}

impl Block {
    /// Opens the block in `dir`: checks meta, both files' headers, footers and section tables, and
    /// the directories of pages. Pages and chunks are checked when they are read.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn open(fs: &dyn Fs, dir: &Path) -> Result<Arc<Self>, BlockError> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let meta_path = dir.join(META_FILE);
        let meta = BlockMeta::read(fs, &meta_path)?;
        let chunks = SealedFile::open(fs, dir.join(CHUNKS_FILE), CHUNKS_MAGIC)?;
        let index = SealedFile::open(fs, dir.join(INDEX_FILE), INDEX_MAGIC)?;
        for (file, want) in [(&chunks, &meta.chunks), (&index, &meta.index)] {
            if meta::FileSeal::from(file.seal()) != *want {
                return Err(file.corrupt(0, "not the file that the block's meta names"));
            }
        }
        let symbols = Symbols::open(&index, kind::SYMBOLS)?;
        let series = SeriesTable::open(&index, kind::SCHEMAS, kind::SERIES, symbols.len())?;
        let rows = Pages::open(&index, kind::ROWS)?;
        if series.len() != rows.num_entries() || u64::from(series.len()) != meta.num_series {
            return Err(index.corrupt(0, "number of series does not match"));
        }
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            columns: Columns::open(&index, kind::COLUMNS)?,
            postings: PostingsTable::open(&index, kind::POSTINGS, series.len())?,
            meta,
            chunks,
            index,
            rows,
            symbols,
            series,
        }))
    }

    /// What the block says about itself.
    pub const fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// The block's id.
    pub const fn id(&self) -> BlockId {
        self.meta.id
    }

    /// The block's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Number of series.
    pub const fn num_series(&self) -> u32 {
        self.series.len()
    }

    /// The labels of a series.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn labels(&self, series: u32) -> Result<Labels, BlockError> {
        self.series.labels(&self.index, &self.symbols, series)
    }

    /// Calls `visit` with the coded labels of `series`, which ascend.
    ///
    /// # Errors
    /// [`ReadError`], also of `visit`.
    pub fn coded(
        &self,
        series: &[u32],
        visit: &mut dyn FnMut(Coded<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let texts = BlockTexts(self);
        self.series.coded(&self.index, series, &mut |schema, names, values| {
            visit(Coded { schema, names, values, texts: &texts })
        })
    }

    /// The series that pass all matchers, ascending and therefore in label order.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn select(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, BlockError> {
        resolve::select(self, matchers)
    }

    /// Reads both files whole and compares their hashes; everything that could be read wrong later
    /// is found.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn verify(&self) -> Result<(), BlockError> {
        self.verify_paced(&mut |_| true).map(drop)
    }

    /// As [`Block::verify`]; `pace` hears of every piece before it is read, and ends the work with
    /// `false`. Returns whether everything was read.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn verify_paced(&self, pace: &mut dyn FnMut(u64) -> bool) -> Result<bool, BlockError> {
        Ok(self.chunks.verify(pace)? && self.index.verify(pace)?)
    }

    /// Forgets everything decoded and lets go of the files' pages; it is read again when needed.
    pub fn drop_caches(&self) {
        self.chunks.release();
        self.index.release();
        self.columns.drop_cache();
        self.symbols.drop_cache();
        self.series.drop_cache();
    }

    /// Bytes of memory held: directories, and decoded pages and columns.
    pub fn heap_bytes(&self) -> usize {
        self.chunks.heap_bytes()
            + self.rows.heap_bytes()
            + self.columns.heap_bytes()
            + self.symbols.heap_bytes()
            + self.series.heap_bytes()
            + self.postings.heap_bytes()
    }

    /// Bytes on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.chunks.seal().len + self.index.seal().len
    }
}

/// The symbols of a block, which are few to each of its pages.
struct BlockTexts<'a>(&'a Block);

impl Texts for BlockTexts<'_> {
    fn text(&self, symbol: u32, with: &mut dyn FnMut(&str)) -> Result<(), ReadError> {
        Ok(self.0.symbols.with(&self.0.index, symbol, with)?)
    }
}

impl PostingsSource for Block {
    type ValueId = SetRef;
    type Error = BlockError;

    fn all(&self) -> Result<RoaringBitmap, BlockError> {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.num_series());
        Ok(all)
    }

    fn for_each_name(
        &self,
        visit: &mut dyn FnMut(&str) -> Result<(), BlockError>,
    ) -> Result<(), BlockError> {
        for name in self.series.names() {
            self.symbols.with(&self.index, name, &mut *visit)??;
        }
        Ok(())
    }

    fn has_name(&self, name: &str) -> Result<Postings<'_>, BlockError> {
        let Some(name) = self.symbols.find(&self.index, name)? else {
            return Ok(Postings::empty());
        };
        match self.postings.has_name(&self.index, name)? {
            Some(set) => self.postings(set),
            None => Ok(Postings::empty()),
        }
    }

    fn value_id(&self, name: &str, value: &str) -> Result<Option<SetRef>, BlockError> {
        let Some(name) = self.symbols.find(&self.index, name)? else { return Ok(None) };
        let Some(value) = self.symbols.find(&self.index, value)? else { return Ok(None) };
        self.postings.value(&self.index, name, value)
    }

    fn for_each_value(
        &self,
        name: &str,
        prefix: &str,
        visit: &mut VisitValue<'_, SetRef, BlockError>,
    ) -> Result<(), BlockError> {
        let Some(name) = self.symbols.find(&self.index, name)? else { return Ok(()) };
        let from = self.symbols.lower_bound(&self.index, prefix)?;
        self.postings.values(&self.index, name, from, &mut |value, set| {
            self.symbols.with(&self.index, value, |text| {
                if text.starts_with(prefix) { visit(text, set).map(|()| true) } else { Ok(false) }
            })?
        })
    }

    fn postings(&self, id: SetRef) -> Result<Postings<'_>, BlockError> {
        self.postings.read(&self.index, id)
    }
}

#[cfg(test)]
mod tests;
