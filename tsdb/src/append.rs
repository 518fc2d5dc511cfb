//! What a caller hands to [`Db::append`](crate::Db) and what it gets back.

use std::collections::BTreeMap;
use std::fmt::Debug;

use model::{HistogramValue, Labels, MetricMetadata};
use xxhash_rust::xxh3::Xxh3Builder;

use crate::wal::WalMode;

/// Hashes the raw label bytes of a series as they stand on the wire: the key of the alias table.
/// Seeded per process, so that nobody can prepare collisions.
#[derive(Debug, Clone, Copy)]
pub struct AliasHasher {
    seed: u64,
}

/// The alias of a series: a 128-bit hash of its raw label bytes. Several aliases may name one
/// series (other label order, other door).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Alias(pub u128);

impl AliasHasher {
    /// A hasher with the process's seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The alias of one run of bytes. `door` keeps the encodings of different protocols apart.
    pub fn hash(&self, door: u8, raw: &[u8]) -> Alias {
        Alias(xxhash_rust::xxh3::xxh3_128_with_seed(raw, self.seed ^ u64::from(door)))
    }

    /// The alias of several parts; their lengths are part of the hash.
    pub fn hash_parts(&self, door: u8, parts: &[&[u8]]) -> Alias {
        let mut hash = Xxh3Builder::new().with_seed(self.seed ^ u64::from(door)).build();
        for part in parts {
            hash.update(&part.len().to_le_bytes());
            hash.update(part);
        }
        Alias(hash.digest128())
    }
}

/// What happens to a different value at a series' newest time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DuplicatePolicy {
    /// The row is refused (remote write).
    #[default]
    Refuse,
    /// The later value wins (line protocol).
    Overwrite,
}

/// The rows of one request, in columns; reuse it from request to request.
#[derive(Debug, Default)]
pub struct AppendBatch {
    /// The alias of each series of the request; the index is the row's `series`.
    pub series: Vec<Alias>,
    /// Float rows: index into `series`.
    pub sample_series: Vec<u32>,
    /// Float rows: time, ms.
    pub times: Vec<i64>,
    /// Float rows: value.
    pub values: Vec<f64>,
    /// Histogram rows: index into `series`, time in ms, value.
    pub histograms: Vec<(u32, i64, HistogramValue)>,
    /// Metadata by metric name.
    pub metadata: Vec<(String, MetricMetadata)>,
    /// Databases that a client created.
    pub databases: Vec<String>,
}

impl AppendBatch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.series.clear();
        self.sample_series.clear();
        self.times.clear();
        self.values.clear();
        self.histograms.clear();
        self.metadata.clear();
        self.databases.clear();
    }

    /// Adds a series and returns its index.
    pub fn push_series(&mut self, alias: Alias) -> u32 {
        self.series.push(alias);
        u32::try_from(self.series.len() - 1).expect("requests are limited to far fewer series")
    }

    /// Adds a float row.
    pub fn push_sample(&mut self, series: u32, t_ms: i64, v: f64) {
        self.sample_series.push(series);
        self.times.push(t_ms);
        self.values.push(v);
    }

    /// Number of float and histogram rows.
    pub fn num_rows(&self) -> usize {
        self.times.len() + self.histograms.len()
    }
}

/// How to judge and log a batch.
#[derive(Debug, Clone, Copy)]
pub struct AppendPolicy {
    /// A different value at the newest time.
    pub duplicates: DuplicatePolicy,
    /// Rows before this time (ms) are refused as too old; `i64::MIN` where nothing is.
    pub min_time_ms: i64,
    /// Rows after this time (ms) are refused as too far in the future; `i64::MAX` always is.
    pub max_time_ms: i64,
    /// Durability of this request; `None` is the server's.
    pub wal_mode: Option<WalMode>,
}

/// Why a row or series was not stored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The labels are not valid; the text says why.
    #[error("{0}")]
    Labels(String),
    /// Another value at the series' newest time (text of Prometheus).
    #[error(
        "duplicate sample for timestamp {t_ms}; overrides not allowed: existing {existing}, new value {new}"
    )]
    Duplicate {
        /// The time, ms.
        t_ms: i64,
        /// The value that stays.
        existing: String,
        /// The value that was refused.
        new: String,
    },
    /// Beyond `max_time_ms` (text of Prometheus).
    #[error("out of bounds: timestamp is too far in the future")]
    TooFarInFuture,
    /// Before `min_time_ms`: older than the retention.
    #[error("out of bounds")]
    TooOld,
    /// The limit on active series; known series continue.
    #[error("active series limit of {limit} reached ({setting})")]
    TooManySeries {
        /// The limit.
        limit: u64,
        /// The setting that says so.
        setting: &'static str,
    },
    /// More new series in a second than may come; known series continue, and new ones are taken later.
    #[error("over {per_second} new series per second (new-series-rate)")]
    TooManyNewSeries {
        /// The limit.
        per_second: u64,
    },
    /// The memory budget leaves no room for new series.
    #[error(
        "over {percent} % of the memory limit of {limit} bytes in use (memory-limit), no new series"
    )]
    NoMemory {
        /// The part of the limit that may be in use.
        percent: u64,
        /// The limit (setting `memory-limit`).
        limit: u64,
    },
    /// One request defines more bytes of labels than a log record takes; send it in parts.
    #[error("request defines over {limit} bytes of labels of new series")]
    TooManyNewLabels {
        /// The limit.
        limit: usize,
    },
}

impl Refusal {
    /// The limit that refused, by the name under which refusals are counted; `None` where it was not
    /// one of storage's.
    pub const fn limit(&self) -> Option<&'static str> {
        match self {
            Self::Labels(_) | Self::Duplicate { .. } => None,
            Self::TooFarInFuture => Some("future"),
            Self::TooOld => Some("retention"),
            Self::TooManySeries { .. } => Some("series"),
            Self::TooManyNewSeries { .. } => Some(NEW_SERIES_RATE),
            Self::NoMemory { .. } => Some("memory"),
            Self::TooManyNewLabels { .. } => Some("new_labels"),
        }
    }
}

/// What [`Refusal::limit`] calls the rate of new series: the one limit that a row is within later.
const NEW_SERIES_RATE: &str = "new_series_rate";

/// Whether more series may be made, asked by all databases of an owner. It decides what no database can
/// decide alone.
pub trait SeriesGate: Send + Sync + Debug {
    /// Admits one new series, which is then made.
    ///
    /// # Errors
    /// Why not.
    fn admit(&self) -> Result<(), Refusal>;

    /// A database has so many live series more, or fewer, than it said last.
    fn note(&self, more: i64);
}

/// Admits every series.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenGate;

impl SeriesGate for OpenGate {
    fn admit(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn note(&self, _: i64) {}
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct AppendReport {
    /// Rows stored, those that were there already included.
    pub stored: u64,
    /// Of those, rows that were late.
    pub late: u64,
    /// Of those, rows that were there already with equal bits at the newest time.
    pub repeated: u64,
    /// Series made by this batch.
    pub new_series: u64,
    /// Bytes of the labels that had to be parsed.
    pub new_label_bytes: usize,
    /// Rows not stored.
    pub refused: u64,
    /// Of those, how many each limit refused.
    pub over_limits: BTreeMap<&'static str, u64>,
    /// The first refusals, at most [`MAX_REFUSALS`], each with its index in `AppendBatch::series`.
    pub refusals: Vec<(u32, Refusal)>,
}

impl AppendReport {
    /// Whether rows were refused that the same request has stored if it comes again later.
    pub fn may_succeed_later(&self) -> bool {
        self.over_limits.contains_key(NEW_SERIES_RATE)
    }
}

/// Refusals that a report lists.
pub const MAX_REFUSALS: usize = 10;

/// Why a batch as a whole failed. The outcome is then unknown and a retry is safe.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The database is read-only: disk full or failed; try again later.
    #[error("storage is read-only: {0}")]
    ReadOnly(String),
    /// The memory budget has no room for the rows.
    #[error("{0}")]
    OverBudget(#[from] model::OverBudget),
    /// The log is over its bound and could not be made shorter; try again later.
    #[error("write-ahead log is {bytes} bytes, limit {limit} (max-wal-bytes)")]
    LogFull {
        /// Its length.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// The log could not be written or synced.
    #[error("write-ahead log: {0}")]
    Wal(String),
    /// The database is closed.
    #[error("storage is closed")]
    Closed,
}

/// Makes the labels of a series that the alias table does not know: the index in
/// `AppendBatch::series` in, a valid label set or the reason for refusal out.
pub type ResolveLabels<'a> = dyn FnMut(u32) -> Result<Labels, String> + 'a;
