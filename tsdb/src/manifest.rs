//! The manifest: which blocks are live, and how far the head is in them.
//!
//! A file of records that only grows, until it is long and is written anew under another name and renamed.
//! A record is durable before [`Manifest::append`] returns, and before anything is deleted that it
//! makes superfluous. Each record is written twice in a row, so that a flipped bit costs nothing: a record
//! of which no copy is left is only believed to be a torn write at the very end of the file.
//!
#![doc = include_str!("../docs/format/manifest.md")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::block::BlockId;
use crate::encoding::varint::{Reader, put_i64, put_u64};
use crate::encoding::{crc, crc_append};
use crate::fs::{Fs, FsFile};
use crate::sabotage::{self, Sabotage};
use crate::tombstones::{Deletion, Tombstone};

/// The name of the file.
pub const FILE_NAME: &str = "MANIFEST";
const TMP_NAME: &str = "MANIFEST.tmp";
const MAGIC: [u8; 8] = *b"SBKmanif";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 16;
const FRAME_LEN: usize = 8;
/// Longest payload that is believed.
const MAX_PAYLOAD: usize = 64 << 20;
/// Records after which the file is written anew.
const MAX_RECORDS: u64 = 1000;

/// Why the manifest could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Records in the middle are lost: blocks must not be deleted by what is left.
    #[error("{}: byte {offset}: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Another version of this program wrote it.
    #[error("{}: format version {found}, this version reads {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// There are blocks but no manifest.
    #[error("{}: missing, but there are blocks", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// What the manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The flush boundary `B`, ms: in-order samples below are in blocks. `i64::MIN` at first.
    pub boundary: i64,
    /// The highest log sequence number whose late samples are in blocks.
    pub late_seq: u64,
    /// The live blocks.
    pub blocks: BTreeSet<BlockId>,
    /// The checkpoint that replay begins with.
    pub checkpoint: Option<u64>,
    /// No series ref above this was ever given out.
    pub max_series_ref: u64,
    /// The wall clock when the manifest was last written, ms.
    pub last_seen_ms: i64,
    /// The tombstones that live blocks need, by sequence number.
    pub tombstones: BTreeMap<u64, Arc<Tombstone>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            boundary: i64::MIN,
            late_seq: 0,
            blocks: BTreeSet::new(),
            checkpoint: None,
            max_series_ref: 0,
            last_seen_ms: i64::MIN,
            tombstones: BTreeMap::new(),
        }
    }
}

/// A change of the state, all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Raises the flush boundary.
    pub boundary: Option<i64>,
    /// Raises the flushed sequence number of late samples.
    pub late_seq: Option<u64>,
    /// Blocks that are live from now on.
    pub add: Vec<BlockId>,
    /// Blocks that are not.
    pub remove: Vec<BlockId>,
    /// Replaces the checkpoint.
    pub checkpoint: Option<u64>,
    /// Raises the highest series ref.
    pub max_series_ref: Option<u64>,
    /// Sets the last seen wall clock.
    pub last_seen_ms: Option<i64>,
    /// Tombstones that blocks need from now on.
    pub add_tombstones: Vec<Arc<Tombstone>>,
    /// Sequence numbers of those that none needs any more.
    pub remove_tombstones: Vec<u64>,
}

mod tag {
    pub(super) const BOUNDARY: u8 = 1;
    pub(super) const LATE_SEQ: u8 = 2;
    pub(super) const ADD: u8 = 3;
    pub(super) const REMOVE: u8 = 4;
    pub(super) const CHECKPOINT: u8 = 5;
    pub(super) const MAX_SERIES_REF: u8 = 6;
    pub(super) const LAST_SEEN: u8 = 7;
    pub(super) const ADD_TOMBSTONE: u8 = 8;
    pub(super) const REMOVE_TOMBSTONE: u8 = 9;
}

impl Edit {
    /// The edit that makes a fresh state this one.
    fn all_of(state: &State) -> Self {
        Self {
            boundary: Some(state.boundary),
            late_seq: Some(state.late_seq),
            add: state.blocks.iter().copied().collect(),
            remove: Vec::new(),
            checkpoint: state.checkpoint,
            max_series_ref: Some(state.max_series_ref),
            last_seen_ms: Some(state.last_seen_ms),
            add_tombstones: state.tombstones.values().cloned().collect(),
            remove_tombstones: Vec::new(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let mut put = |tag: u8, write: &dyn Fn(&mut Vec<u8>)| {
            out.push(tag);
            write(out);
        };
        if let Some(v) = self.boundary {
            put(tag::BOUNDARY, &|out| put_i64(out, v));
        }
        if let Some(v) = self.late_seq {
            put(tag::LATE_SEQ, &|out| put_u64(out, v));
        }
        for id in &self.add {
            put(tag::ADD, &|out| out.extend_from_slice(&id.number().to_le_bytes()));
        }
        for id in &self.remove {
            put(tag::REMOVE, &|out| out.extend_from_slice(&id.number().to_le_bytes()));
        }
        if let Some(v) = self.checkpoint {
            put(tag::CHECKPOINT, &|out| put_u64(out, v));
        }
        if let Some(v) = self.max_series_ref {
            put(tag::MAX_SERIES_REF, &|out| put_u64(out, v));
        }
        if let Some(v) = self.last_seen_ms {
            put(tag::LAST_SEEN, &|out| put_i64(out, v));
        }
        for tombstone in &self.add_tombstones {
            put(tag::ADD_TOMBSTONE, &|out| {
                put_u64(out, tombstone.seq);
                tombstone.what.encode(out);
            });
        }
        for seq in &self.remove_tombstones {
            put(tag::REMOVE_TOMBSTONE, &|out| put_u64(out, *seq));
        }
    }

    fn decode(r: &mut Reader<'_>) -> Option<Self> {
        let mut edit = Self::default();
        let id = |r: &mut Reader<'_>| {
            let bytes = r.take(16)?.try_into().ok()?;
            Some(BlockId::from_number(u128::from_le_bytes(bytes)))
        };
        while !r.is_empty() {
            match r.u8()? {
                tag::BOUNDARY => edit.boundary = Some(r.i64()?),
                tag::LATE_SEQ => edit.late_seq = Some(r.u64()?),
                tag::ADD => edit.add.push(id(r)?),
                tag::REMOVE => edit.remove.push(id(r)?),
                tag::CHECKPOINT => edit.checkpoint = Some(r.u64()?),
                tag::MAX_SERIES_REF => edit.max_series_ref = Some(r.u64()?),
                tag::LAST_SEEN => edit.last_seen_ms = Some(r.i64()?),
                tag::ADD_TOMBSTONE => {
                    let tombstone = Tombstone { seq: r.u64()?, what: Deletion::decode(r)? };
                    edit.add_tombstones.push(Arc::new(tombstone));
                }
                tag::REMOVE_TOMBSTONE => edit.remove_tombstones.push(r.u64()?),
                _ => return None,
            }
        }
        Some(edit)
    }
}

impl State {
    fn apply(&mut self, edit: &Edit) {
        self.boundary = self.boundary.max(edit.boundary.unwrap_or(i64::MIN));
        self.late_seq = self.late_seq.max(edit.late_seq.unwrap_or(0));
        self.max_series_ref = self.max_series_ref.max(edit.max_series_ref.unwrap_or(0));
        self.blocks.extend(&edit.add);
        for id in &edit.remove {
            self.blocks.remove(id);
        }
        self.checkpoint = edit.checkpoint.or(self.checkpoint);
        self.last_seen_ms = edit.last_seen_ms.unwrap_or(self.last_seen_ms);
        self.tombstones.extend(edit.add_tombstones.iter().map(|t| (t.seq, Arc::clone(t))));
        for seq in &edit.remove_tombstones {
            self.tombstones.remove(seq);
        }
    }
}

/// The open manifest. One process writes it; the flush lock guards it.
#[derive(Debug)]
pub struct Manifest {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    /// `None` after a failed write: the file is then written anew before it is appended to.
    file: Option<Box<dyn FsFile>>,
    state: State,
    num_records: u64,
}

impl Manifest {
    /// Opens the manifest in `dir`, or makes one where there is none and no block either. A torn
    /// end is cut off.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn open(fs: Arc<dyn Fs>, dir: &Path) -> Result<Self, ManifestError> {
        let path = dir.join(FILE_NAME);
        let io = |source| ManifestError::Io { path: path.clone(), source };
        let mut manifest =
            Self { fs, dir: dir.to_owned(), file: None, state: State::default(), num_records: 0 };
        if !manifest.fs.exists(&path).map_err(io)? {
            let entries = manifest.fs.read_dir(dir).map_err(io)?;
            if entries.iter().any(|e| e.is_dir && e.name.parse::<BlockId>().is_ok()) {
                return Err(ManifestError::Missing { path });
            }
            manifest.rewrite(&State::default())?;
            return Ok(manifest);
        }
        let bytes = manifest.fs.read(&path).map_err(io)?;
        let read = read(&path, &bytes)?;
        manifest.state = read.state;
        manifest.num_records = read.num_records;
        if read.is_whole {
            manifest.file = Some(manifest.fs.open_append(&path).map_err(io)?);
        } else {
            // Damage is not appended to.
            let state = manifest.state.clone();
            manifest.rewrite(&state)?;
        }
        Ok(manifest)
    }

    /// Writes a manifest that says `state` to `dir`, which has none.
    ///
    /// # Errors
    /// [`ManifestError::Io`].
    pub fn create(fs: Arc<dyn Fs>, dir: &Path, state: &State) -> Result<(), ManifestError> {
        let state_now = State::default();
        let mut manifest =
            Self { fs, dir: dir.to_owned(), file: None, state: state_now, num_records: 0 };
        manifest.rewrite(state)
    }

    /// What the manifest in `dir` says, and whether every byte of it is as it was written; changes nothing.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn inspect(fs: &dyn Fs, dir: &Path) -> Result<(State, bool), ManifestError> {
        let path = dir.join(FILE_NAME);
        let bytes = fs.read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ManifestError::Missing { path: path.clone() },
            _ => ManifestError::Io { path: path.clone(), source },
        })?;
        let read = read(&path, &bytes)?;
        Ok((read.state, read.is_whole && read.num_copies == 2 * read.num_records))
    }

    /// What it says.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Changes the state; durable when this returns.
    ///
    /// # Errors
    /// [`ManifestError::Io`]. [`Manifest::state`] is then the old one, while what is on disk may be
    /// either; nothing may be deleted because of the edit. A later append repairs the file.
    pub fn append(&mut self, edit: &Edit) -> Result<(), ManifestError> {
        let mut state = self.state.clone();
        state.apply(edit);
        if self.num_records >= MAX_RECORDS {
            self.file = None;
        }
        // A file whose write or sync failed is dropped here, and not believed again.
        if let Some(mut file) = self.file.take() {
            let twice = record(self.num_records + 1, edit).repeat(2);
            if file.append(&twice).and_then(|()| file.sync()).is_ok() {
                self.file = Some(file);
                self.num_records += 1;
                self.state = state;
                return Ok(());
            }
        }
        self.rewrite(&state)
    }

    /// Writes the file anew with `state` as its only record.
    fn rewrite(&mut self, state: &State) -> Result<(), ManifestError> {
        let (path, tmp) = (self.dir.join(FILE_NAME), self.dir.join(TMP_NAME));
        let mut bytes = header();
        bytes.extend(record(1, &Edit::all_of(state)).repeat(2));
        let fs = &*self.fs;
        let write = || {
            if fs.exists(&tmp)? {
                fs.remove_file(&tmp)?;
            }
            let mut file = fs.create(&tmp)?;
            file.append(&bytes)?;
            if !sabotage::is(Sabotage::RenameBeforeSync) {
                file.sync()?;
            }
            fs.rename(&tmp, &path)?;
            fs.sync_dir(&self.dir)?;
            fs.open_append(&path)
        };
        self.file =
            Some(write().map_err(|source| ManifestError::Io { path: path.clone(), source })?);
        self.state = state.clone();
        self.num_records = 1;
        Ok(())
    }
}

fn header() -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&crc(&out).to_le_bytes());
    out
}

/// A frame: payload length, checksum of length and payload, payload: record number and edit.
fn record(number: u64, edit: &Edit) -> Vec<u8> {
    let mut payload = Vec::new();
    put_u64(&mut payload, number);
    edit.encode(&mut payload);
    let len = u32::try_from(payload.len()).expect("thousands of blocks are far below 4 GiB");
    let mut out = len.to_le_bytes().to_vec();
    out.extend_from_slice(&crc_append(crc(&len.to_le_bytes()), &payload).to_le_bytes());
    out.extend_from_slice(&payload);
    out
}

#[derive(Debug, Default)]
struct Read {
    state: State,
    num_records: u64,
    /// Each record stands twice.
    num_copies: u64,
    /// Whether every byte was a valid record.
    is_whole: bool,
}

fn read(path: &Path, bytes: &[u8]) -> Result<Read, ManifestError> {
    let corrupt = |offset: usize, what| {
        let offset = offset as u64;
        Err(ManifestError::Corrupt { path: path.to_owned(), offset, what })
    };
    let Some((head, _)) = bytes.split_at_checked(HEADER_LEN) else {
        return corrupt(bytes.len(), "no header");
    };
    let mut r = Reader::new(head);
    if r.take(8) != Some(&MAGIC[..]) || head.get(12..) != Some(&crc(&head[..12]).to_le_bytes()[..])
    {
        return corrupt(0, "damaged header");
    }
    match r.u32_le() {
        Some(VERSION) => {}
        found => {
            let (path, found) = (path.to_owned(), found.unwrap_or(0));
            return Err(ManifestError::Version { path, found });
        }
    }
    let mut read = Read { is_whole: true, ..Read::default() };
    let mut at = HEADER_LEN;
    while at < bytes.len() {
        let Some((payload, end)) = frame(bytes, at) else {
            // Look for the next record that is whole; none means a torn write.
            read.is_whole = false;
            match (at + 1..bytes.len()).find(|next| frame(bytes, *next).is_some()) {
                Some(next) => at = next,
                None => break,
            }
            continue;
        };
        read.num_copies += 1;
        let mut r = Reader::new(payload);
        match r.u64() {
            Some(number) if number == read.num_records + 1 => {
                let Some(edit) = Edit::decode(&mut r) else {
                    return corrupt(at, "unknown record");
                };
                read.state.apply(&edit);
                read.num_records = number;
            }
            Some(number) if number <= read.num_records => {}
            _ => return corrupt(at, "records before this one are lost"),
        }
        at = end;
    }
    if read.num_records == 0 {
        return corrupt(HEADER_LEN, "no record");
    }
    Ok(read)
}

/// The payload of the frame at `at` and where it ends, if it is whole.
fn frame(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let mut r = Reader::new(rest);
    let (len, sum) = (r.u32_le()?, r.u32_le()?);
    let is_trusted = sabotage::is(Sabotage::LengthTrusted);
    let may_be = |len: &usize| is_trusted || (1..=MAX_PAYLOAD).contains(len);
    let len = usize::try_from(len).ok().filter(may_be)?;
    let payload =
        if is_trusted { rest.split_at(FRAME_LEN).1.split_at(len).0 } else { r.take(len)? };
    let right = crc_append(crc(rest.get(..4)?), payload) == sum;
    right.then_some((payload, at + FRAME_LEN + len))
}

#[cfg(test)]
mod tests;
