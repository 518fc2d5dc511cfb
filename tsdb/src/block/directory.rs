//! The directory that blocks live in: what may be found there at start, and how a block leaves it.
//!
//! | found | what it is | what is done |
//! |---|---|---|
//! | a live block | named by the manifest | opened; quarantined if damaged |
//! | no directory for a live block | lost | an empty directory in quarantine says so; the rest works |
//! | a block that is not live | published, but the manifest was not written; or taken out of it | moved to quarantine as `<id>.unused`, its samples are in the log or in live blocks; deleted if live blocks were made of it, or it of live blocks |
//! | `<id>.tmp` | a block that was not finished | removed |
//! | `<id>.deleting` | a block that was being deleted | removed |
//! | anything else | not ours | left alone |

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::meta::BlockId;
use super::writer::TMP_SUFFIX;
use crate::fs::{DirEntry, Fs};

/// What is appended to a block's name while it is being deleted.
pub const DELETING_SUFFIX: &str = ".deleting";

/// What is appended to the name of a block in quarantine that nobody misses.
const UNUSED_SUFFIX: &str = ".unused";

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// A block that the manifest names.
    Live(BlockId),
    /// The manifest names it, but it is not there.
    Missing(BlockId),
    /// A block that the manifest does not name.
    NotLive(BlockId),
    /// The rest of a block that was not finished or not wholly deleted.
    Rest(String),
    /// Not ours.
    Foreign(String),
}

/// Compares the directory's `entries` with the `live` blocks of the manifest.
pub fn compare(entries: &[DirEntry], live: &BTreeSet<BlockId>) -> Vec<Found> {
    let mut missing = live.clone();
    let mut found: Vec<Found> = entries
        .iter()
        .map(|entry| {
            let id = |name: &str| name.parse::<BlockId>().ok().filter(|_| entry.is_dir);
            let rest = |suffix| entry.name.strip_suffix(suffix).and_then(id).is_some();
            match id(&entry.name) {
                Some(id) if missing.remove(&id) => Found::Live(id),
                Some(id) => Found::NotLive(id),
                None if rest(TMP_SUFFIX) || rest(DELETING_SUFFIX) => {
                    Found::Rest(entry.name.clone())
                }
                None => Found::Foreign(entry.name.clone()),
            }
        })
        .collect();
    found.extend(missing.into_iter().map(Found::Missing));
    found
}

/// Deletes a block that the manifest does not name any more. Readers that have it open keep it until
/// they close it.
///
/// # Errors
/// What the system says; what is left is removed at the next start.
pub fn delete(fs: &dyn Fs, parent: &Path, id: BlockId) -> io::Result<()> {
    let name = format!("{id}{DELETING_SUFFIX}");
    fs.rename(&parent.join(id.to_string()), &parent.join(&name))?;
    fs.sync_dir(parent)?;
    remove(fs, parent, &name)
}

/// Deletes what is left of a block whose deletion may have begun.
///
/// # Errors
/// What the system says.
pub fn delete_rest(fs: &dyn Fs, parent: &Path, id: BlockId) -> io::Result<()> {
    let name = format!("{id}{DELETING_SUFFIX}");
    if fs.exists(&parent.join(id.to_string()))? {
        delete(fs, parent, id)
    } else if fs.exists(&parent.join(&name))? {
        remove(fs, parent, &name)
    } else {
        Ok(())
    }
}

/// Removes a directory of files.
///
/// # Errors
/// What the system says.
pub fn remove(fs: &dyn Fs, parent: &Path, name: &str) -> io::Result<()> {
    let dir = parent.join(name);
    for entry in fs.read_dir(&dir)? {
        fs.remove_file(&dir.join(&entry.name))?;
    }
    fs.remove_dir(&dir)?;
    fs.sync_dir(parent)
}

/// Moves a block to the directory `quarantine`, which is made if need be; nothing is ever deleted
/// there.
///
/// # Errors
/// What the system says.
pub fn quarantine(fs: &dyn Fs, parent: &Path, id: BlockId, quarantine: &Path) -> io::Result<()> {
    move_aside(fs, parent, id, &quarantine.join(id.to_string()))
}

/// As [`quarantine`], for a block whose samples are elsewhere: the name says so.
///
/// # Errors
/// What the system says.
pub fn set_aside(fs: &dyn Fs, parent: &Path, id: BlockId, quarantine: &Path) -> io::Result<()> {
    move_aside(fs, parent, id, &quarantine.join(format!("{id}{UNUSED_SUFFIX}")))
}

fn move_aside(fs: &dyn Fs, parent: &Path, id: BlockId, to: &Path) -> io::Result<()> {
    let quarantine = to.parent().unwrap_or(parent);
    fs.create_dir(quarantine)?;
    fs.rename(&parent.join(id.to_string()), to)?;
    fs.sync_dir(quarantine)?;
    fs.sync_dir(parent)
}

/// Leaves an empty directory in the place where the block would be in `quarantine`: it is gone.
///
/// # Errors
/// What the system says.
pub fn note_missing(fs: &dyn Fs, id: BlockId, quarantine: &Path) -> io::Result<()> {
    fs.create_dir(&quarantine.join(id.to_string()))?;
    fs.sync_dir(quarantine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::std::StdFs;

    fn id(n: u64) -> BlockId {
        BlockId::new(n, 0)
    }

    #[test]
    fn each_name_is_told_apart() {
        let dir = |name: String| DirEntry { name, is_dir: true, len: 0 };
        let file = |name: String| DirEntry { name, is_dir: false, len: 1 };
        let entries = [
            dir(id(1).to_string()),
            dir(id(2).to_string()),
            dir(format!("{}.tmp", id(3))),
            dir(format!("{}.deleting", id(4))),
            dir("lost+found".to_owned()),
            dir("x.tmp".to_owned()),
            file(id(6).to_string()),
            file("MANIFEST".to_owned()),
        ];
        let found = compare(&entries, &BTreeSet::from([id(1), id(5)]));
        let want = [
            Found::Live(id(1)),
            Found::NotLive(id(2)),
            Found::Rest(format!("{}.tmp", id(3))),
            Found::Rest(format!("{}.deleting", id(4))),
            Found::Foreign("lost+found".to_owned()),
            Found::Foreign("x.tmp".to_owned()),
            Found::Foreign(id(6).to_string()),
            Found::Foreign("MANIFEST".to_owned()),
            Found::Missing(id(5)),
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn deleting_and_quarantining_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = dir.path().join("blocks");
        for n in [1, 2] {
            let block = blocks.join(id(n).to_string());
            std::fs::create_dir_all(&block).unwrap();
            std::fs::write(block.join("index"), "x").unwrap();
        }
        delete(&StdFs, &blocks, id(1)).unwrap();
        let away = dir.path().join("quarantine");
        quarantine(&StdFs, &blocks, id(2), &away).unwrap();
        assert_eq!(std::fs::read_dir(&blocks).unwrap().count(), 0);
        assert_eq!(std::fs::read(away.join(id(2).to_string()).join("index")).unwrap(), b"x");
    }
}
