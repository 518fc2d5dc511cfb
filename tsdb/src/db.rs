//! The database: open, append, query, and the step functions that the owner's threads call.

mod clean;
mod compaction;
mod delete;
mod floor;
mod flush;
mod log_limit;
mod open;
mod queryable;
mod scrub;
mod snapshot;
mod stats;
mod steps;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use hashbrown::HashMap;
use model::{Account, MetricMetadata};
use parking_lot::{Mutex, MutexGuard, RwLock};
use roaring::RoaringBitmap;

use crate::abort::{AbortOnPanic, Held};
use crate::append::{
    AliasHasher, AppendBatch, AppendError, AppendPolicy, AppendReport, ResolveLabels,
};
use crate::block::BlockId;
use crate::fs::Fs;
use crate::head::Head;
use crate::lock::DirLock;
use crate::manifest::{Edit, Manifest};
use crate::options::DbOptions;
use crate::sabotage::{self, Sabotage};
use crate::tombstones::Tombstone;
use crate::view::Views;
use crate::wal::{Wal, WalError, WalMode};

use compaction::Compaction;
use stats::Counters;

pub use delete::{DeleteError, DeleteReport};
pub use open::{OpenError, OpenReport};
pub use scrub::Scrubbed;
pub use snapshot::SNAPSHOTS;
pub use stats::{CountBy, DbStats, DiskUse, HeadTop};
pub use steps::StepError;

/// Most metric names with metadata (limit L27).
const MAX_METADATA: usize = 200_000;
/// Most databases that clients created.
const MAX_DATABASES: usize = 10_000;
/// Bytes of a row in flight, charged before it is logged.
const ROW_BYTES: u64 = 64;
/// Bytes of a row in the log, nearly: what the log is asked to have room for.
const ROW_BYTES_IN_LOG: usize = 8;

fn refused(error: &WalError) -> AppendError {
    match error {
        WalError::ReadOnly(_) => AppendError::ReadOnly(error.to_string()),
        WalError::Closed => AppendError::Closed,
        _ => AppendError::Wal(error.to_string()),
    }
}

/// Replay keeps to the limits as appends do.
fn note_metadata(known: &mut HashMap<String, MetricMetadata>, more: &[(String, MetricMetadata)]) {
    for (name, entry) in more {
        if known.len() < MAX_METADATA || known.contains_key(name) {
            known.insert(name.clone(), entry.clone());
        }
    }
}

fn note_databases(known: &mut BTreeSet<String>, more: &[String]) {
    for name in more {
        if known.len() < MAX_DATABASES {
            known.insert(name.clone());
        }
    }
}

/// A database in a directory of its own. Share it in an `Arc`; every method takes `&self`.
#[derive(Debug)]
pub struct Db {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    options: DbOptions,
    head: Arc<Head>,
    wal: Wal,
    views: Views,
    /// One flush, checkpoint or change of the set of blocks at a time.
    maintenance: Mutex<Maintenance>,
    compaction: Compaction,
    /// The bound on the log.
    log_limit_bytes: u64,
    /// What retention keeps begins here, ms.
    retained_from_ms: AtomicI64,
    /// Bytes of the disk that must stay free.
    floor_bytes: AtomicU64,
    /// Why writes are refused for want of disk.
    short_of_disk: ArcSwapOption<String>,
    /// Deletions that are logged, and that blocks do not show yet.
    unseen_deletions: Mutex<Vec<Arc<Tombstone>>>,
    counters: Counters,
    metadata: RwLock<HashMap<String, MetricMetadata>>,
    databases: RwLock<BTreeSet<String>>,
    /// Whether the database is closed. Appends hold it shared from beginning to end, the commit
    /// included, so that closing waits for those that began before.
    closed: RwLock<bool>,
    /// The wall clock when the manifest was last written before this start, ms.
    last_seen_ms: Option<i64>,
    /// Random numbers given out.
    names_given: AtomicU64,
    _lock: DirLock,
}

/// What only maintenance touches, behind its lock.
#[derive(Debug)]
struct Maintenance {
    manifest: Manifest,
    /// Slots of dropped series, to be freed when no query can name them.
    dropped_slots: RoaringBitmap,
    /// The checkpoint that was found damaged: it goes to the quarantine, not away.
    damaged_checkpoint: Option<u64>,
    /// Length of the last checkpoint.
    checkpoint_bytes: u64,
    /// Live series when it was written.
    checkpoint_series: u64,
    /// The wall clock when late samples were first seen in memory, ms.
    late_since_ms: Option<u64>,
    /// Whether chunks below the view's boundary may still be in the head.
    retired_chunks: bool,
}

impl Db {
    /// Hashes raw label bytes into the aliases of [`AppendBatch::series`].
    pub fn alias_hasher(&self) -> AliasHasher {
        self.head.hasher()
    }

    /// Stores the rows of one request. When it returns `Ok`, the accepted rows are as durable as
    /// the mode says and the next query sees them; rows that were not accepted are in the report.
    ///
    /// `resolve` is called for series that the alias table does not know, outside of all locks.
    ///
    /// # Errors
    /// [`AppendError`]: nothing is known about the outcome, and a retry is safe.
    pub fn append(
        &self,
        batch: &AppendBatch,
        policy: &AppendPolicy,
        resolve: &mut ResolveLabels<'_>,
    ) -> Result<AppendReport, AppendError> {
        let closed = self.closed.read();
        if *closed {
            return Err(AppendError::Closed);
        }
        self.check_disk()?;
        self.check_log()?;
        let bytes = batch.num_rows() as u64 * ROW_BYTES;
        let charge = self.options.memory.charge(Account::Wal, bytes)?;
        let reservation =
            self.wal.reserve(batch.num_rows() * ROW_BYTES_IN_LOG).map_err(|e| refused(&e))?;
        let mode = policy.wal_mode.map_or(self.options.wal_mode, |m| m.min(self.options.wal_mode));

        // Before the record is enqueued, so that a checkpoint behind the record has them; and before
        // stripes are locked, for whoever lists names takes his time.
        self.note_names(batch);
        let judged = self.head.judge(batch, policy, resolve);
        // The series know the rows as logged. A panic before they are applied would leave rows that are
        // acknowledged when repeated and that no query sees.
        let _abort = AbortOnPanic::new("rows were on their way from log to head");
        // A repeated row is acknowledged with the record that holds the row it repeats.
        let seq = if judged.record.is_empty() {
            drop(reservation);
            self.wal.last_seq()
        } else {
            let mut payload = Vec::new();
            judged.record.encode(&mut payload);
            self.wal.enqueue(reservation, payload)
        };
        let (report, mask) = self.head.pend(judged, seq);
        if sabotage::is(Sabotage::AckBeforeWrite) {
            self.head.apply(mask, seq);
            return Ok(report);
        }
        self.wal.commit(seq, mode).map_err(|e| refused(&e))?;
        self.head.apply(mask, self.visible_seq(mode));
        self.head.account();
        drop(charge);
        Ok(report)
    }

    fn maintenance(&self) -> Held<MutexGuard<'_, Maintenance>> {
        Held::new(self.maintenance.lock())
    }

    /// An id that no other block has.
    fn new_block_id(&self) -> BlockId {
        BlockId::new(self.options.clock.now_ms(), self.random())
    }

    /// An edit that says what time it is.
    fn edit(&self) -> Edit {
        let now = i64::try_from(self.options.clock.now_ms()).unwrap_or(i64::MAX);
        Edit { last_seen_ms: Some(now), ..Edit::default() }
    }

    /// The wall clock when the database was last written before this start, ms; `None` for a new
    /// one. A clock far ahead of it may be wrong, and then nothing should be deleted by it
    /// (reliability contract R15).
    pub const fn last_seen_ms(&self) -> Option<i64> {
        self.last_seen_ms
    }

    /// A number that no other block of this process or another gets.
    fn random(&self) -> u128 {
        let n = self.names_given.fetch_add(1, Ordering::Relaxed);
        xxhash_rust::xxh3::xxh3_128_with_seed(&n.to_le_bytes(), self.options.seed)
    }

    /// Records up to this may be seen.
    fn visible_seq(&self, mode: WalMode) -> u64 {
        match mode {
            WalMode::EveryWrite => self.wal.durable_seq(),
            WalMode::Periodic | WalMode::OsDefault | WalMode::None => self.wal.written_seq(),
        }
    }

    fn note_names(&self, batch: &AppendBatch) {
        if !batch.metadata.is_empty() {
            note_metadata(&mut self.metadata.write(), &batch.metadata);
        }
        if !batch.databases.is_empty() {
            note_databases(&mut self.databases.write(), &batch.databases);
        }
    }

    /// Type, help and unit by metric name, sorted by name; only `metric` where it is given.
    pub fn metadata(&self, metric: Option<&str>) -> Vec<(String, MetricMetadata)> {
        let metadata = self.metadata.read();
        let mut out: Vec<_> = metadata
            .iter()
            .filter(|(name, _)| metric.is_none_or(|m| m == name.as_str()))
            .map(|(name, entry)| (name.clone(), entry.clone()))
            .collect();
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }

    /// Names of databases that clients created or wrote to, sorted.
    pub fn databases(&self) -> Vec<String> {
        self.databases.read().iter().cloned().collect()
    }

    /// Whether a client created or wrote to this database.
    pub fn has_database(&self, name: &str) -> bool {
        self.databases.read().contains(name)
    }
}

#[cfg(test)]
mod tests;
