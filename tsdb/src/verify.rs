//! Checks a data directory that nobody has open, reading every byte that a start or a query would
//! believe, and writing none.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::block::directory::{Found, compare};
use crate::block::{Block, BlockError, BlockId, BlockMeta, META_FILE};
use crate::checkpoint::{self, Checkpoint};
use crate::fs::Fs;
use crate::manifest::{self, Manifest, State};
use crate::wal::{Position, SegmentIndex};

pub mod repair;

/// What was found in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file or directory.
    pub path: PathBuf,
    /// How bad it is.
    pub kind: Kind,
    /// What is wrong.
    pub what: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Left behind by a step that was interrupted; the next start removes it.
    Leftover,
    /// Samples may be missing.
    Damage,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Leftover => "leftover",
            Kind::Damage => "DAMAGED",
        };
        write!(f, "{kind} {}: {}", self.path.display(), self.what)
    }
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Files read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// The blocks that are damaged or cannot be read.
    pub bad_blocks: Vec<BlockId>,
}

impl Report {
    /// Whether samples may be missing.
    pub fn is_damaged(&self) -> bool {
        self.findings.iter().any(|f| f.kind == Kind::Damage)
    }

    fn find(&mut self, kind: Kind, path: &Path, what: impl fmt::Display) {
        let (path, what) = (path.to_owned(), what.to_string());
        self.findings.push(Finding { path, kind, what });
    }

    fn read(&mut self, files: u64, bytes: u64) {
        self.files += files;
        self.bytes += bytes;
    }
}

/// Checks the data directory `dir`; `tell` hears of every part before it is read.
///
/// # Errors
/// The directory cannot be listed. What cannot be read in it is a finding.
pub fn verify(fs: &dyn Fs, dir: &Path, tell: &mut dyn FnMut(&Path)) -> io::Result<Report> {
    let mut report = Report::default();
    let entries = fs.read_dir(dir)?;
    tell(&dir.join(manifest::FILE_NAME));
    let state = match Manifest::inspect(fs, dir) {
        Ok((state, is_whole)) => {
            if !is_whole {
                let path = dir.join(manifest::FILE_NAME);
                report.find(Kind::Damage, &path, "a copy of a record is damaged or missing");
            }
            Some(state)
        }
        Err(error) => {
            report.find(Kind::Damage, &dir.join(manifest::FILE_NAME), bare(&error));
            None
        }
    };
    let manifest = entries.iter().find(|e| e.name == manifest::FILE_NAME);
    report.read(1, manifest.map_or(0, |e| e.len));
    // Without a manifest every block may be live.
    let live = state.as_ref().map_or_else(
        || entries.iter().filter_map(|e| e.name.parse().ok()).collect(),
        |state| state.blocks.clone(),
    );
    let mut readable = Vec::new();
    let mut not_live = Vec::new();
    for found in compare(&entries, &live) {
        match found {
            Found::Live(id) => {
                tell(&dir.join(id.to_string()));
                match block(fs, &dir.join(id.to_string()), &mut report) {
                    Ok(meta) => readable.push(meta),
                    Err(error) => {
                        report.bad_blocks.push(id);
                        report.find(Kind::Damage, &dir.join(id.to_string()), error);
                    }
                }
            }
            Found::Missing(id) => {
                report.bad_blocks.push(id);
                report.find(Kind::Damage, &dir.join(id.to_string()), "a live block is missing");
            }
            Found::NotLive(id) => not_live.push(id),
            Found::Rest(name) => {
                report.find(Kind::Leftover, &dir.join(name), "a block that was not finished");
            }
            Found::Foreign(_) => {}
        }
    }
    for id in not_live {
        let path = dir.join(id.to_string());
        if is_superfluous(fs, &path, id, &readable) {
            report.find(Kind::Leftover, &path, "a block whose samples are in others");
        } else {
            report.find(Kind::Damage, &path, "a block that the manifest does not name");
        }
    }
    log(fs, &dir.join("wal"), state.as_ref(), tell, &mut report)?;
    Ok(report)
}

/// Reads a block whole.
fn block(fs: &dyn Fs, dir: &Path, report: &mut Report) -> Result<BlockMeta, BlockError> {
    let meta_bytes = fs
        .read_dir(dir)
        .ok()
        .and_then(|entries| entries.iter().find(|e| e.name == META_FILE).map(|e| e.len));
    let block = Block::open(fs, dir)?;
    report.read(3, meta_bytes.unwrap_or(0) + block.disk_bytes());
    block.verify()?;
    Ok(block.meta().clone())
}

/// Whether the samples of a block that is not live are in `live` ones, as a start judges it.
fn is_superfluous(fs: &dyn Fs, dir: &Path, id: BlockId, live: &[BlockMeta]) -> bool {
    if live.iter().any(|meta| meta.parents.contains(&id)) {
        return true;
    }
    let Ok(meta) = BlockMeta::read(fs, &dir.join(META_FILE)) else { return false };
    let is_live = |id: &BlockId| live.iter().any(|meta| meta.id == *id);
    !meta.parents.is_empty() && meta.parents.iter().all(is_live)
}

/// Reads the checkpoint and the log behind it.
fn log(
    fs: &dyn Fs,
    wal: &Path,
    state: Option<&State>,
    tell: &mut dyn FnMut(&Path),
    report: &mut Report,
) -> io::Result<()> {
    if !fs.exists(wal)? {
        report.find(Kind::Damage, wal, "missing");
        return Ok(());
    }
    let segments = fs.read_dir(wal)?;
    let named = state.and_then(|state| state.checkpoint);
    for entry in segments.iter().filter(|e| checkpoint::is_one(&e.name)) {
        let path = wal.join(&entry.name);
        if named.is_none_or(|segment| path != checkpoint::path(wal, segment)) {
            report.find(Kind::Leftover, &path, "a checkpoint that the manifest does not name");
        }
    }
    let mut seq = 0;
    if let Some(segment) = named {
        let path = checkpoint::path(wal, segment);
        tell(&path);
        match check_checkpoint(fs, wal, segment) {
            Ok((covered, bytes, damage)) => {
                seq = covered;
                report.read(1, bytes);
                if let Some(what) = damage {
                    report.find(Kind::Damage, &path, what);
                }
            }
            Err(error) => report.find(Kind::Damage, &path, error),
        }
    }
    tell(wal);
    let segment = named.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
    let from = Position { segment: SegmentIndex(segment), seq: seq + 1 };
    match crate::wal::verify::verify(fs, wal, from) {
        Ok(found) => {
            report.read(segments.len() as u64, found.bytes);
            if checkpoint::is_one_lost(fs, wal, named, found.last_seq.max(seq))? {
                report.find(Kind::Damage, wal, "a checkpoint whose records are lost is not named");
            }
            for part in found.damaged {
                let what = format!("byte {}: {}", part.offset, part.what);
                report.find(Kind::Damage, &part.path, what);
            }
        }
        Err(error) => report.find(Kind::Damage, wal, error),
    }
    Ok(())
}

/// What it covers, its length, and what is wrong with it.
fn check_checkpoint(
    fs: &dyn Fs,
    wal: &Path,
    segment: u64,
) -> io::Result<(u64, u64, Option<String>)> {
    let checkpoint = Checkpoint::open(fs, wal, segment)?;
    checkpoint.series(&|_| ())?;
    checkpoint.records(|_| ())?;
    let found = checkpoint.report();
    let what = if found.damaged_frames > 0 {
        Some(format!("{} damaged frames", found.damaged_frames))
    } else {
        found.truncated.then(|| "the end is missing".to_owned())
    };
    Ok((found.seq, found.bytes, what))
}

/// The text without the path, which the finding has.
fn bare(error: &manifest::ManifestError) -> String {
    match error {
        manifest::ManifestError::Corrupt { offset, what, .. } => format!("byte {offset}: {what}"),
        manifest::ManifestError::Missing { .. } => "missing".to_owned(),
        other => other.to_string(),
    }
}
