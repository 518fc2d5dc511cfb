//! Opening a database: lock, manifest, blocks, checkpoint, log.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;

use super::compaction::Compaction;
use super::delete::Deletions;
use super::stats::Counters;
use super::{Db, Maintenance, log_limit, note_databases, note_metadata};
use crate::block::directory::{self, Found};
use crate::block::{Block, BlockError, BlockId, BlockMeta, META_FILE};
use crate::checkpoint::{self, Checkpoint, CheckpointReport};
use crate::fs::Fs;
use crate::head::replay::Replay;
use crate::head::{Head, HeadOptions};
use crate::lock::{DirLock, LockError};
use crate::manifest::{Edit, Manifest, ManifestError};
use crate::options::DbOptions;
use crate::quarantine::{self, Quarantined};
use crate::sabotage::{self, Sabotage};
use crate::view::{View, Views};
use crate::wal::record::Record;
use crate::wal::{Position, SegmentIndex, Wal, WalError, WalOptions};

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made.
    #[error("cannot make {}: {source}", dir.display())]
    Directory {
        /// The directory of the database.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it, or the lock file cannot be made.
    #[error("{0}")]
    Lock(#[from] LockError),
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The manifest.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// The log.
    #[error("write-ahead log: {0}")]
    Wal(#[from] WalError),
}

/// What opening found.
#[derive(Debug, Clone, Default)]
pub struct OpenReport {
    /// Blocks opened.
    pub blocks: usize,
    /// Blocks that could not be opened, and why; they are moved to `quarantine/`.
    pub damaged_blocks: Vec<String>,
    /// Rows replayed from the log.
    pub replayed_rows: u64,
    /// Rows whose series definition was lost.
    pub orphaned_rows: u64,
    /// Damaged regions of the log, whose bytes are in `quarantine/`, and of the checkpoint, which
    /// goes there when the next one replaces it.
    pub damaged_regions: u64,
}

impl Db {
    /// Opens the database in `dir`, which is made if need be, and replays its log. Progress is
    /// told by `progress` with the rows replayed so far.
    ///
    /// # Errors
    /// [`OpenError`]. Damage is not an error: what is damaged is moved aside and reported.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: DbOptions,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Self, OpenReport), OpenError> {
        make_directories(&*fs, dir)
            .map_err(|source| OpenError::Directory { dir: dir.to_owned(), source })?;
        let lock = DirLock::acquire(&*fs, dir)?;
        let mut manifest = Manifest::open(Arc::clone(&fs), dir)?;
        let state = manifest.state().clone();
        let mut report = OpenReport::default();

        let mut lost = Lost::default();
        let blocks = open_blocks(&*fs, dir, &state.blocks, &mut lost, &mut report)?;
        let next_ref =
            if sabotage::is(Sabotage::SeriesRefReused) { 1 } else { state.max_series_ref + 1 };
        let head = Arc::new(Head::new(head_options(&options), state.boundary, next_ref));
        let mut names = Names::default();
        let replay = Mutex::new(Replay::behind(state.late_seq));
        let mut deletions = Deletions::new(&state.tombstones);
        let mut late_records = Vec::new();
        let found = match state.checkpoint {
            None => CheckpointReport::default(),
            Some(segment) => {
                restore_checkpoint(&*fs, dir, segment, &head, &replay, &mut |record| {
                    names.take(&record);
                    late_records.push(record);
                })?
            }
        };
        deletions.skip_to(found.seq);
        let damaged_regions = found.damaged_frames + u64::from(found.truncated);
        report.damaged_regions += damaged_regions;
        let damaged_checkpoint = state.checkpoint.filter(|_| damaged_regions > 0);
        progress(replay.lock().rows);
        let segment = state.checkpoint.and_then(|segment| u32::try_from(segment).ok());
        let from = Position { segment: SegmentIndex(segment.unwrap_or(1)), seq: found.seq + 1 };
        let used_seq = used_seq(&blocks, state.late_seq, deletions.last_seq());
        let wal_options = WalOptions { mode: options.wal_mode, used_seq, ..WalOptions::new(dir) };
        let (opened, replay) = head.replaying(replay.into_inner(), |replayer| {
            for record in late_records {
                // Its late rows are in no block, unless a flush came after it and took them
                // together with rows of later records: then the block knows better.
                replayer.record(found.seq.saturating_add(1), record);
            }
            let opened = Wal::open(Arc::clone(&fs), wal_options, from, &mut |seq, record| {
                names.take(&record);
                deletions.replay(seq, &record, replayer);
                if sabotage::is(Sabotage::ReplayedTwice) {
                    replayer.record(seq, record.clone());
                }
                replayer.record(seq, record);
                progress(replayer.rows());
                Ok(())
            });
            deletions.end(replayer);
            opened
        });
        let (wal, wal_report) = opened?;
        head.end_replay(&replay);
        report.damaged_regions +=
            wal_report.damaged_regions + u64::from(wal_report.lost_records > 0);
        let last_seq = wal_report.last_seq.max(found.seq);
        let is_cut = checkpoint::is_one_lost(&*fs, &dir.join("wal"), state.checkpoint, last_seq)?;
        report.damaged_regions += u64::from(is_cut);
        (report.replayed_rows, report.orphaned_rows) = (replay.rows, replay.orphans);

        let mut view = deletions.view(state.boundary, blocks, &mut |block, why| {
            lost.leave_out(&*fs, dir, block.id(), &why, &mut report)
        })?;
        lost.note(&*fs, dir, &mut manifest, &mut view)?;
        report.blocks = view.blocks.len();
        let maintenance = Maintenance {
            manifest,
            dropped_slots: RoaringBitmap::new(),
            damaged_checkpoint,
            checkpoint_bytes: found.bytes,
            checkpoint_series: head.num_series(),
            late_since_ms: None,
            retired_chunks: true,
        };
        let compaction = Compaction::new(options.max_compacted_range_ms);
        let floor_bytes = options.min_free_bytes;
        let log_limit_bytes = log_limit::bound(options.wal_limit_bytes, fs.space(dir)?.total);
        let db = Self {
            fs,
            dir: dir.to_owned(),
            options,
            head,
            wal,
            views: Views::new(view),
            maintenance: Mutex::new(maintenance),
            compaction,
            log_limit_bytes,
            retained_from_ms: AtomicI64::new(i64::MIN),
            floor_bytes: AtomicU64::new(floor_bytes),
            short_of_disk: arc_swap::ArcSwapOption::empty(),
            unseen_deletions: Mutex::default(),
            counters: Counters::default(),
            last_seen_ms: Some(state.last_seen_ms).filter(|ms| *ms > i64::MIN),
            metadata: RwLock::new(names.metadata),
            databases: RwLock::new(names.databases),
            closed: RwLock::new(false),
            names_given: AtomicU64::new(0),
            _lock: lock,
        };
        Ok((db, report))
    }
}

fn head_options(options: &DbOptions) -> HeadOptions {
    HeadOptions {
        block_range_ms: options.block_range_ms,
        max_series: options.max_series,
        max_series_setting: options.max_series_setting,
        series_gate: Arc::clone(&options.series_gate),
        seed: options.seed,
        memory: options.memory.clone(),
    }
}

/// Where checkpoint and log are lost, records must not get numbers that the manifest calls flushed:
/// replay would skip their late rows. And a delete must get a higher one than the blocks that it masks.
fn used_seq(blocks: &[Arc<Block>], late_seq: u64, deleted_seq: u64) -> u64 {
    let settled = blocks.iter().map(|b| b.meta().settled_seq()).max().unwrap_or(0);
    settled.max(late_seq).max(deleted_seq)
}

/// Metadata and databases as records name them.
#[derive(Debug, Default)]
struct Names {
    metadata: HashMap<String, model::MetricMetadata>,
    databases: BTreeSet<String>,
}

/// Makes the directory with all that are above it and all that it has, durably.
fn make_directories(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for dir in dir.ancestors() {
        if dir.as_os_str().is_empty() || fs.exists(dir)? {
            break;
        }
        missing.push(dir);
    }
    for dir in missing.iter().rev() {
        fs.create_dir(dir)?;
        dir.parent().map_or(Ok(()), |parent| fs.sync_dir(parent))?;
    }
    for sub in ["wal", quarantine::DIR] {
        fs.create_dir(&dir.join(sub))?;
    }
    // An earlier start may have ended between making it and this. Who may not read the directory
    // above did not make this one.
    match dir.parent().map_or(Ok(()), |parent| fs.sync_dir(parent)) {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
        _ => {}
    }
    fs.sync_dir(dir)
}

impl Names {
    fn take(&mut self, record: &Record) {
        note_metadata(&mut self.metadata, &record.metadata);
        note_databases(&mut self.databases, &record.databases);
    }
}

/// Restores the checkpoint at `segment` and hands what is left of its records to `visit`; one that
/// is missing or has no valid header goes to the quarantine, and replay begins with what the log
/// still has.
fn restore_checkpoint(
    fs: &dyn Fs,
    dir: &Path,
    segment: u64,
    head: &Head,
    replay: &Mutex<Replay>,
    visit: &mut dyn FnMut(Record),
) -> io::Result<CheckpointReport> {
    let wal = dir.join("wal");
    let restored = Checkpoint::open(fs, &wal, segment).and_then(|checkpoint| {
        head.reserve(checkpoint.num_series());
        checkpoint.series(&|frame| head.restore(frame, replay))?;
        checkpoint.records(|mut record| {
            head.restore_record(&mut record, replay);
            visit(record);
        })?;
        Ok(checkpoint.report())
    });
    match restored {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            let (path, aside) = (checkpoint::path(&wal, segment), dir.join(quarantine::DIR));
            fs.rename(&path, &aside.join(format!("{segment:010}.ckpt")))?;
            fs.sync_dir(&aside)?;
        }
        restored => return restored,
    }
    Ok(CheckpointReport { damaged_frames: 1, truncated: true, ..CheckpointReport::default() })
}

/// Live blocks that are not opened.
#[derive(Default)]
struct Lost {
    /// They are in quarantine.
    moved: Vec<BlockId>,
    /// They stay where they are, for a later attempt or a later version.
    left_out: Vec<Quarantined>,
}

impl Lost {
    /// Takes the blocks that were moved out of the manifest: the quarantine, which is durable, says from
    /// here on what is missing, and `view` tells whoever asks.
    fn note(
        self,
        fs: &dyn Fs,
        dir: &Path,
        manifest: &mut Manifest,
        view: &mut View,
    ) -> Result<(), OpenError> {
        if !self.moved.is_empty() {
            manifest.append(&Edit { remove: self.moved, ..Edit::default() })?;
        }
        view.keeps_tombstones = !self.left_out.is_empty();
        view.missing = quarantine::list(fs, dir)?.into_iter().chain(self.left_out).collect();
        view.drop_idle_tombstones();
        Ok(())
    }

    /// Does without a live block; a damaged one goes to the quarantine.
    fn leave_out(
        &mut self,
        fs: &dyn Fs,
        dir: &Path,
        id: BlockId,
        why: &BlockError,
        report: &mut OpenReport,
    ) -> io::Result<()> {
        let what = if matches!(why, BlockError::Corrupt { .. }) {
            directory::quarantine(fs, dir, id, &dir.join(quarantine::DIR))?;
            self.moved.push(id);
            "in quarantine"
        } else {
            self.left_out.push(Quarantined::new(fs, &dir.join(id.to_string()), id));
            "left out"
        };
        report.damaged_blocks.push(format!("block {id} is {what}: {why}"));
        Ok(())
    }
}

/// Opens the live blocks; what else is found in the directory is dealt with as the table of
/// [`directory`] says.
fn open_blocks(
    fs: &dyn Fs,
    dir: &Path,
    live: &BTreeSet<BlockId>,
    lost: &mut Lost,
    report: &mut OpenReport,
) -> io::Result<Vec<Arc<Block>>> {
    let aside = dir.join(quarantine::DIR);
    let (mut blocks, mut not_live) = (Vec::new(), Vec::new());
    for found in directory::compare(&fs.read_dir(dir)?, live) {
        match found {
            Found::Live(id) => match Block::open(fs, &dir.join(id.to_string())) {
                Ok(block) => blocks.push(block),
                Err(why) => lost.leave_out(fs, dir, id, &why, report)?,
            },
            Found::Missing(id) => {
                directory::note_missing(fs, id, &aside)?;
                lost.moved.push(id);
                report.damaged_blocks.push(format!("block {id} is missing"));
            }
            Found::NotLive(id) => not_live.push(id),
            Found::Rest(name) => directory::remove(fs, dir, &name)?,
            Found::Foreign(_) => {}
        }
    }
    // Behind the live ones, because a parent may only go when its children could be opened.
    let all_well = report.damaged_blocks.is_empty();
    for id in not_live {
        if all_well && is_superfluous(fs, dir, id, &blocks) {
            directory::delete(fs, dir, id)?;
        } else {
            directory::set_aside(fs, dir, id, &aside)?;
        }
    }
    Ok(blocks)
}

/// Whether all samples of the block `id`, which is not live, are in live ones: a compaction was
/// interrupted before it deleted this input, or before the manifest named this output.
fn is_superfluous(fs: &dyn Fs, dir: &Path, id: BlockId, live: &[Arc<Block>]) -> bool {
    if live.iter().any(|b| b.meta().parents.contains(&id)) {
        return true;
    }
    let Ok(meta) = BlockMeta::read(fs, &dir.join(id.to_string()).join(META_FILE)) else {
        return false;
    };
    let is_live = |id: &BlockId| live.iter().any(|b| b.id() == *id);
    !meta.parents.is_empty() && meta.parents.iter().all(is_live)
}
