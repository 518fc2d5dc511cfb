//! How a database is opened.

use std::fmt::Debug;
use std::sync::Arc;

use model::Accountant;

use crate::append::{OpenGate, SeriesGate};
use crate::wal::WalMode;

/// The wall clock, which the owner brings. Names and pauses depend on it, never what is stored.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
}

/// The clock of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Settings of a [`Db`](crate::db::Db). Times are milliseconds.
#[derive(Debug, Clone)]
pub struct DbOptions {
    /// Durability of an append, unless the append asks for more.
    pub wal_mode: WalMode,
    /// The memory budget that everything is charged to.
    pub memory: Accountant,
    /// Chunks and flushes are aligned to multiples of this.
    pub block_range_ms: i64,
    /// Most live series of this database (limit L12).
    pub max_series: u64,
    /// What the owner calls that limit.
    pub max_series_setting: &'static str,
    /// Who else is asked before a series is made.
    pub series_gate: Arc<dyn SeriesGate>,
    /// The head is flushed when its chunks take this many bytes, whatever times they span.
    pub max_head_bytes: u64,
    /// The late buffer is flushed when it holds this many bytes.
    pub max_late_bytes: u64,
    /// The late buffer is flushed when it has held something for this long, ms.
    pub max_late_age_ms: u64,
    /// A checkpoint is written when the log behind the last one is longer than this and than half of that
    /// checkpoint: recovery reads both, and twice as much goes to checkpoints as to the log once the
    /// head has its size. A byte of the log takes recovery nearly twice as long as one of a checkpoint.
    pub checkpoint_wal_bytes: u64,
    /// A checkpoint is written when the log is longer than this, whatever a checkpoint takes.
    pub max_wal_bytes: u64,
    /// The bound on the log: at this length everything is flushed, at half as much again writes are
    /// refused. 0 is 8 GiB, at most a tenth of the disk.
    pub wal_limit_bytes: u64,
    /// Compaction makes no block longer than this, ms.
    pub max_compacted_range_ms: i64,
    /// Compaction merges no more than this many bytes of blocks into one.
    pub max_block_bytes: u64,
    /// Compaction leaves at least this many bytes of the disk free, until
    /// [`Db::disk_step`](crate::db::Db::disk_step) says how many.
    pub min_free_bytes: u64,
    /// Seed of the hashes and names of this process; random in production.
    pub seed: u64,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// Two hours, as in Prometheus.
pub const DEFAULT_BLOCK_RANGE_MS: i64 = 2 * 60 * 60 * 1000;

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            wal_mode: WalMode::EveryWrite,
            memory: Accountant::unlimited(),
            block_range_ms: DEFAULT_BLOCK_RANGE_MS,
            max_series: 5_000_000,
            max_series_setting: "max-series",
            series_gate: Arc::new(OpenGate),
            max_head_bytes: 1 << 30,
            max_late_bytes: 64 << 20,
            checkpoint_wal_bytes: 16 << 20,
            max_late_age_ms: 60 * 60 * 1000,
            max_wal_bytes: 256 << 20,
            wal_limit_bytes: 0,
            max_compacted_range_ms: 120 * DEFAULT_BLOCK_RANGE_MS,
            max_block_bytes: 8 << 30,
            min_free_bytes: 64 << 20,
            seed: 0x5eed_0f5e_ed0f_5eed,
            clock: Arc::new(SystemClock),
        }
    }
}
