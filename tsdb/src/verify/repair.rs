//! Repairs a data directory that nobody has open. Nothing is deleted: what is damaged goes to
//! `quarantine/`, and what a start would rebuild from it is rebuilt.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Report, verify};
use crate::block::{Block, BlockId, BlockMeta, directory};
use crate::checkpoint;
use crate::fs::Fs;
use crate::lock::{DirLock, LockError};
use crate::manifest::{self, Edit, Manifest, ManifestError, State};

/// Series references above all that a lost manifest may have given out.
const REFS_APART: u64 = 1 << 40;

/// Why a directory could not be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Somebody has it open.
    #[error("{0}")]
    Lock(#[from] LockError),
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The manifest could not be written.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
}

/// Repairs `dir` and returns what was found and a line for each thing that was done. Damage to the log
/// and to its checkpoint is left to the next start, which keeps what is whole and puts the rest into the
/// quarantine.
///
/// # Errors
/// [`RepairError`]; the repair can be run again.
pub fn repair(fs: &Arc<dyn Fs>, dir: &Path) -> Result<(Report, Vec<String>), RepairError> {
    let _lock = DirLock::acquire(&**fs, dir)?;
    let report = verify(&**fs, dir, &mut |_| {})?;
    let mut done = Vec::new();
    let aside = dir.join("quarantine");
    fs.create_dir(&aside)?;
    fs.sync_dir(dir)?;
    // The manifest first: it says what the blocks are for.
    let readable = match Manifest::inspect(&**fs, dir) {
        Ok(_) => true,
        Err(ManifestError::Corrupt { .. } | ManifestError::Missing { .. }) => false,
        // Of another version, or not readable now: not to be touched.
        Err(error) => return Err(error.into()),
    };
    let missing = |id: &BlockId| fs.exists(&dir.join(id.to_string())).map(|there| !there);
    let mut bad = Vec::new();
    for id in &report.bad_blocks {
        if missing(id)? {
            directory::note_missing(&**fs, *id, &aside)?;
            done.push(format!("block {id} is missing and no longer named"));
        } else {
            directory::quarantine(&**fs, dir, *id, &aside)?;
            done.push(format!("block {id} moved to quarantine"));
        }
        bad.push(*id);
    }
    if readable {
        // Opening writes a damaged copy anew.
        let mut manifest = Manifest::open(Arc::clone(fs), dir)?;
        if !bad.is_empty() {
            manifest.append(&Edit { remove: bad, ..Edit::default() })?;
        }
        return Ok((report, done));
    }
    let path = dir.join(manifest::FILE_NAME);
    if fs.exists(&path)? {
        fs.rename(&path, &aside.join(format!("{}.damaged", manifest::FILE_NAME)))?;
        fs.sync_dir(&aside)?;
        fs.sync_dir(dir)?;
        done.push("the damaged manifest moved to quarantine".to_owned());
    }
    let state = rebuilt(&**fs, dir)?;
    done.push(format!(
        "manifest made of {} blocks; deletes that were not carried out in them are lost",
        state.blocks.len()
    ));
    Manifest::create(Arc::clone(fs), dir, &state)?;
    Ok((report, done))
}

/// What the blocks say of the manifest that named them.
fn rebuilt(fs: &dyn Fs, dir: &Path) -> io::Result<State> {
    let mut metas: Vec<BlockMeta> = Vec::new();
    for entry in fs.read_dir(dir)?.iter().filter(|e| e.is_dir) {
        if entry.name.parse::<BlockId>().is_ok()
            && let Ok(block) = Block::open(fs, &dir.join(&entry.name))
        {
            metas.push(block.meta().clone());
        }
    }
    // A parent that is still there was replaced by what was made of it.
    let parents: BTreeSet<BlockId> = metas.iter().flat_map(|m| m.parents.clone()).collect();
    metas.retain(|meta| !parents.contains(&meta.id));
    let in_order = metas.iter().filter(|m| m.late_seq == 0).map(|m| m.maxt).max();
    let wal = dir.join("wal");
    let mut checkpoint = None;
    for entry in fs.read_dir(&wal).unwrap_or_default() {
        let number = entry.name.strip_suffix(".ckpt").and_then(|n| n.parse::<u64>().ok());
        if number.is_some_and(|n| checkpoint::Checkpoint::open(fs, &wal, n).is_ok()) {
            checkpoint = checkpoint.max(number);
        }
    }
    Ok(State {
        boundary: in_order.map_or(i64::MIN, |maxt| maxt.saturating_add(1)),
        late_seq: metas.iter().map(|m| m.late_seq).max().unwrap_or(0),
        blocks: metas.iter().map(|m| m.id).collect(),
        checkpoint,
        max_series_ref: REFS_APART,
        ..State::default()
    })
}
