//! Backups: a directory that several of them share, so that each costs only the blocks that are new.
//!
//! | in the backup directory | what |
//! |---|---|
//! | `blocks/<id>` | a block, of whatever backups name it |
//! | `backups/<name>/MANIFEST`, `backups/<name>/wal` | what else there was |
//!
//! The source is a data directory that nobody has open: that of a stopped server, or a snapshot. A
//! block is copied once, read back and compared with the hashes in its meta before it gets its name;
//! a backup gets its name when all of it is there.

use std::io;
use std::path::{Path, PathBuf};

use crate::block::directory;
use crate::block::{Block, BlockError, BlockId, CHUNKS_FILE, INDEX_FILE, META_FILE};
use crate::checkpoint;
use crate::fs::Fs;
use crate::lock::{DirLock, LockError};
use crate::manifest::{self, Manifest, ManifestError, State};

const TMP_SUFFIX: &str = ".tmp";

/// Why a backup could not be made or brought back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Somebody has the directory open.
    #[error("{0}")]
    Lock(#[from] LockError),
    /// The disk.
    #[error("{}: {source}", path.display())]
    Io {
        /// What could not be read or written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manifest of the source or of the backup.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// A block of the source is damaged, or its copy is not what was copied.
    #[error("{0}")]
    Block(#[from] BlockError),
    /// A copy is not what was copied.
    #[error("{} is not what was copied", .0.display())]
    Differs(PathBuf),
    /// The backup or the target is there already.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Blocks that were new.
    pub blocks: u64,
    /// Blocks that were there.
    pub known_blocks: u64,
    /// Bytes that were copied.
    pub bytes: u64,
}

/// Makes the backup `name` of the data directory `source` in the backup directory `to`.
///
/// # Errors
/// [`BackupError`]; earlier backups stay as they are, and what was copied helps the next attempt.
pub fn backup(fs: &dyn Fs, source: &Path, to: &Path, name: &str) -> Result<Copied, BackupError> {
    let _lock = DirLock::acquire(fs, source)?;
    let (state, _) = Manifest::inspect(fs, source)?;
    let (blocks, backups) = (to.join("blocks"), to.join("backups"));
    for dir in [to, &blocks, &backups] {
        at(dir, fs.create_dir(dir))?;
    }
    at(to, fs.sync_dir(to))?;
    let (dir, tmp) = (backups.join(name), backups.join(format!("{name}{TMP_SUFFIX}")));
    if at(&dir, fs.exists(&dir))? {
        return Err(BackupError::Exists(dir));
    }
    let mut copied = Copied::default();
    for id in &state.blocks {
        copy_block(fs, *id, source, &blocks, &mut copied)?;
    }
    clear(fs, &tmp)?;
    copy_rest(fs, &state, source, &tmp, &mut copied)?;
    at(&dir, fs.rename(&tmp, &dir))?;
    at(&backups, fs.sync_dir(&backups))?;
    Ok(copied)
}

/// Makes a data directory `target`, which must not exist, of the backup `name` in `from`.
///
/// # Errors
/// [`BackupError`]; a target that could not be finished has no manifest and does not open.
pub fn restore(fs: &dyn Fs, from: &Path, name: &str, target: &Path) -> Result<Copied, BackupError> {
    let backup = from.join("backups").join(name);
    let (state, _) = Manifest::inspect(fs, &backup)?;
    if at(target, fs.exists(target))? {
        return Err(BackupError::Exists(target.to_owned()));
    }
    at(target, fs.create_dir(target))?;
    let mut copied = Copied::default();
    for id in &state.blocks {
        copy_block(fs, *id, &from.join("blocks"), target, &mut copied)?;
    }
    copy_rest(fs, &state, &backup, target, &mut copied)?;
    if let Some(parent) = target.parent().filter(|p| !p.as_os_str().is_empty()) {
        at(parent, fs.sync_dir(parent))?;
    }
    Ok(copied)
}

/// The backups in `dir`, oldest name first.
///
/// # Errors
/// The directory cannot be read.
pub fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<String>, BackupError> {
    let dir = dir.join("backups");
    let entries = at(&dir, fs.read_dir(&dir))?;
    let names = entries.into_iter().filter(|e| e.is_dir && !e.name.ends_with(TMP_SUFFIX));
    Ok(names.map(|e| e.name).collect())
}

/// Copies a block unless it is there. A block with the id of another is that block.
fn copy_block(
    fs: &dyn Fs,
    id: BlockId,
    from: &Path,
    to: &Path,
    copied: &mut Copied,
) -> Result<(), BackupError> {
    let name = id.to_string();
    let (source, dir, tmp) =
        (from.join(&name), to.join(&name), to.join(format!("{name}{TMP_SUFFIX}")));
    if at(&dir, fs.exists(&dir))? {
        copied.known_blocks += 1;
        return Ok(());
    }
    clear(fs, &tmp)?;
    at(&tmp, fs.create_dir(&tmp))?;
    for file in [META_FILE, CHUNKS_FILE, INDEX_FILE] {
        at(&source.join(file), fs.copy(&source.join(file), &tmp.join(file)))?;
    }
    at(&tmp, fs.sync_dir(&tmp))?;
    // Compared with the hashes of the meta: what is wrong in the source is not copied on.
    let block = Block::open(fs, &tmp)?;
    block.verify()?;
    copied.blocks += 1;
    copied.bytes += block.disk_bytes();
    drop(block);
    at(&dir, fs.rename(&tmp, &dir))?;
    at(to, fs.sync_dir(to))
}

/// Copies the log, its checkpoint and, at last, the manifest to `to`, which is made if need be.
fn copy_rest(
    fs: &dyn Fs,
    state: &State,
    from: &Path,
    to: &Path,
    copied: &mut Copied,
) -> Result<(), BackupError> {
    let (source, wal) = (from.join("wal"), to.join("wal"));
    for dir in [to, &wal] {
        at(dir, fs.create_dir(dir))?;
    }
    let named = state.checkpoint.map(|segment| checkpoint::path(&source, segment));
    for entry in at(&source, fs.read_dir(&source))? {
        let path = source.join(&entry.name);
        // Checkpoints that the manifest does not name are leftovers.
        if !entry.is_dir && (!checkpoint::is_one(&entry.name) || Some(&path) == named.as_ref()) {
            copy_file(fs, &path, &wal.join(&entry.name), copied)?;
        }
    }
    at(&wal, fs.sync_dir(&wal))?;
    let name = manifest::FILE_NAME;
    copy_file(fs, &from.join(name), &to.join(name), copied)?;
    at(to, fs.sync_dir(to))
}

/// Copies a file and compares the copy.
fn copy_file(fs: &dyn Fs, from: &Path, to: &Path, copied: &mut Copied) -> Result<(), BackupError> {
    at(from, fs.copy(from, to))?;
    let (source, copy) = (at(from, fs.open_scan(from))?, at(to, fs.open_scan(to))?);
    let mut place = 0;
    while place < source.len() {
        let n = (source.len() - place).min(1 << 20);
        if at(from, source.bytes(place, n))? != at(to, copy.bytes(place, n))? {
            return Err(BackupError::Differs(to.to_owned()));
        }
        place += n;
    }
    copied.bytes += source.len();
    Ok(())
}

/// Removes what an earlier attempt left.
fn clear(fs: &dyn Fs, dir: &Path) -> Result<(), BackupError> {
    if !at(dir, fs.exists(dir))? {
        return Ok(());
    }
    for entry in at(dir, fs.read_dir(dir))? {
        if entry.is_dir {
            at(dir, directory::remove(fs, dir, &entry.name))?;
        } else {
            at(dir, fs.remove_file(&dir.join(&entry.name)))?;
        }
    }
    at(dir, fs.remove_dir(dir))
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, BackupError> {
    result.map_err(|source| BackupError::Io { path: path.to_owned(), source })
}
