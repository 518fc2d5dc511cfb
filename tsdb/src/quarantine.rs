//! Blocks whose samples are missing from answers, and how whoever asks is told.
//!
//! Each has a directory of its id in `quarantine/`: what was damaged, or an empty one where the block
//! was not there. So the loss is known as long as that directory stays; who removes it has taken
//! note. Blocks that are set aside for another reason have a suffix to their names and are not lost.

use std::io;
use std::path::Path;

use crate::block::{BlockId, BlockMeta, META_FILE};
use crate::fs::Fs;

/// The directory, below that of the database.
pub const DIR: &str = "quarantine";
/// Warnings of one answer, and one more that counts the rest.
const MAX_WARNINGS: usize = 10;

/// A block whose samples are missing from answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its id, and the name of its directory in `quarantine/`.
    pub id: BlockId,
    /// First time of its samples, ms; the first of all where that is not known.
    pub mint: i64,
    /// Last time of its samples, ms, inclusive; the last of all where that is not known.
    pub maxt: i64,
}

impl Quarantined {
    /// The block `id` with the directory `dir`, of which little may be left.
    pub fn new(fs: &dyn Fs, dir: &Path, id: BlockId) -> Self {
        let meta = BlockMeta::read(fs, &dir.join(META_FILE)).ok().filter(|meta| meta.id == id);
        let (mint, maxt) = meta.map_or((i64::MIN, i64::MAX), |meta| (meta.mint, meta.maxt));
        Self { id, mint, maxt }
    }

    fn warning(&self) -> String {
        let Self { id, mint, maxt } = self;
        if (*mint, *maxt) == (i64::MIN, i64::MAX) {
            format!("block {id} is damaged: samples of any time may be missing")
        } else {
            format!("block {id} is damaged: samples from {mint} to {maxt} ms may be missing")
        }
    }
}

/// The blocks in the quarantine of the database in `dir`.
///
/// # Errors
/// What the system says.
pub fn list(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<Quarantined>> {
    let aside = dir.join(DIR);
    let blocks = fs.read_dir(&aside)?.into_iter().filter(|entry| entry.is_dir);
    let ids = blocks.filter_map(|entry| entry.name.parse::<BlockId>().ok());
    Ok(ids.map(|id| Quarantined::new(fs, &aside.join(id.to_string()), id)).collect())
}

/// What an answer over `[mint, maxt]` must say about `missing` blocks.
pub fn warnings(missing: &[Quarantined], mint: i64, maxt: i64) -> Vec<String> {
    let overlapping = missing.iter().filter(|b| b.mint <= maxt && mint <= b.maxt);
    let mut texts: Vec<String> =
        overlapping.clone().take(MAX_WARNINGS).map(Quarantined::warning).collect();
    let more = overlapping.count() - texts.len();
    if more > 0 {
        texts.push(format!("{more} more blocks are damaged"));
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_in_range_are_named_and_not_too_many() {
        let id = |n| BlockId::new(0, n);
        let missing = [
            Quarantined { id: id(1), mint: 0, maxt: 9 },
            Quarantined { id: id(2), mint: i64::MIN, maxt: i64::MAX },
        ];
        let all = format!("block {} is damaged: samples of any time may be missing", id(2));
        let some = format!("block {} is damaged: samples from 0 to 9 ms may be missing", id(1));
        assert_eq!(warnings(&missing, 10, 20), std::slice::from_ref(&all));
        assert_eq!(warnings(&missing, 9, 20), [some, all]);
        assert_eq!(warnings(&[], 0, 1), [""; 0]);
        let many = vec![missing[1].clone(); 12];
        let texts = warnings(&many, 0, 1);
        assert_eq!((texts.len(), texts[10].as_str()), (11, "2 more blocks are damaged"));
    }
}
