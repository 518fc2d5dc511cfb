//! The read contract between the engine and storage.
//!
//! A [`Queryable`] answers a [`Selection`] with a [`SeriesSet`]: the matching series, sorted by
//! labels, each read on demand into a [`SeriesBuf`]. The set is indexed, not iterated, so that a
//! caller can split it over threads, and labels are made only when asked for.
//!
//! The samples of a series are runs of (timestamp-column id, times, values). Series of one scrape
//! share their timestamps, so storage names each column of times by a [`ColumnId`], and a
//! [`SeriesBuf`] that already holds the times of the wanted columns takes only the values.
//! [`SeriesBuf::generation`] then stays the same, and whatever the engine computed from the times
//! alone (the windows of a range function) holds for this series too.

use std::collections::HashMap;
use std::sync::Arc;

use crate::grouping::{LabelFilter, SeriesGroups};
use crate::interrupt::{Interrupt, Interrupted, NeverInterrupted};
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::memory::OverBudget;
use crate::need::Wanted;
use crate::series_buf::SeriesBuf;

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The caller's interrupt fired.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
    /// The memory budget is exhausted.
    #[error("{0}")]
    OverBudget(#[from] OverBudget),
    /// Bytes on disk do not pass their checksum; the message names the file and the place.
    #[error("corrupt data: {0}")]
    Corrupt(String),
    /// The operating system refused a read.
    #[error("{0}")]
    Io(String),
}

/// What the engine knows beyond the matchers; storage may use it to read less, never to answer
/// differently.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectionHints {
    /// Query step in ms, 0 for an instant query.
    pub step_ms: i64,
    /// Range of the selector in ms, 0 for an instant selector.
    pub range_ms: i64,
    /// The function or aggregation directly above the selector, or empty.
    pub function: String,
    /// Label names of the aggregation above, in the order of the text.
    pub grouping: Vec<String>,
    /// Whether `grouping` is `by` (true) or `without`.
    pub by: bool,
}

/// Which series and which time range to read.
#[derive(Clone)]
pub struct Selection {
    /// All must pass. An empty list selects everything.
    pub matchers: Vec<Matcher>,
    /// First time of interest, ms, inclusive.
    pub mint: i64,
    /// Last time of interest, ms, inclusive.
    pub maxt: i64,
    /// What else is known.
    pub hints: SelectionHints,
    /// Polled while selecting and reading.
    pub interrupt: Arc<dyn Interrupt>,
}

impl Selection {
    /// A selection without hints that cannot be interrupted.
    pub fn new(matchers: Vec<Matcher>, mint: i64, maxt: i64) -> Self {
        Self {
            matchers,
            mint,
            maxt,
            hints: SelectionHints::default(),
            interrupt: Arc::new(NeverInterrupted),
        }
    }
}

/// Which label names or values to list.
#[derive(Clone)]
pub struct NamesRequest {
    /// Only series that pass all of these; an empty list means all series.
    pub matchers: Vec<Matcher>,
    /// First time of interest, ms, inclusive; coarse filtering is allowed.
    pub mint: i64,
    /// Last time of interest, ms, inclusive.
    pub maxt: i64,
    /// Polled while listing.
    pub interrupt: Arc<dyn Interrupt>,
}

/// A bound on what reading a [`SeriesSet`] costs, known before reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Number of series.
    pub num_series: u64,
    /// Number of samples in the chunks that overlap the range.
    pub num_samples: u64,
    /// Encoded bytes of those chunks.
    pub chunk_bytes: u64,
}

impl Estimate {
    /// This and `other` together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            num_series: self.num_series.saturating_add(other.num_series),
            num_samples: self.num_samples.saturating_add(other.num_samples),
            chunk_bytes: self.chunk_bytes.saturating_add(other.chunk_bytes),
        }
    }

    /// This `times` over `of`, rounded up.
    #[must_use]
    pub fn scaled(self, times: u64, of: u64) -> Self {
        let scale = |n: u64| {
            let wide = (u128::from(n) * u128::from(times)).div_ceil(u128::from(of.max(1)));
            u64::try_from(wide).unwrap_or(u64::MAX)
        };
        Self {
            num_series: scale(self.num_series),
            num_samples: scale(self.num_samples),
            chunk_bytes: scale(self.chunk_bytes),
        }
    }
}

/// Something that can be queried: a database, a test storage, a union of both.
pub trait Queryable: Send + Sync {
    /// The series that pass all matchers and may have samples in `[mint, maxt]`, sorted by labels,
    /// each label set once. What was acknowledged before this call is in the set exactly once,
    /// however long the set lives.
    ///
    /// # Errors
    /// [`ReadError`]; damage that only touches part of the data is a warning of the set instead.
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet>, ReadError>;

    /// Names of labels of the selected series, sorted bytewise, each once.
    ///
    /// # Errors
    /// [`ReadError`].
    fn label_names(&self, request: &NamesRequest) -> Result<Vec<String>, ReadError>;

    /// Values of the label `name` of the selected series, sorted bytewise, each once.
    ///
    /// # Errors
    /// [`ReadError`].
    fn label_values(&self, name: &str, request: &NamesRequest) -> Result<Vec<String>, ReadError>;

    /// What the reader of names between these times should know; ask after the names. What a set
    /// has to say is in [`SeriesSet::warnings`].
    fn warnings(&self, mint: i64, maxt: i64) -> Vec<String> {
        let _ = (mint, maxt);
        Vec::new()
    }
}

/// The answer to a [`Selection`].
#[expect(clippy::len_without_is_empty, reason = "nobody asks, and trait objects stay small")]
pub trait SeriesSet: Send + Sync {
    /// Number of series.
    fn len(&self) -> usize;

    /// The labels of series `i`, `i < len()`. Strictly increasing in `i`.
    ///
    /// # Errors
    /// [`ReadError`] where the index on disk is damaged.
    fn labels(&self, i: usize) -> Result<Labels, ReadError>;

    /// Reads the samples of series `i` inside `[mint, maxt]` into `buf`, replacing what it held.
    /// Times increase strictly within floats and within histograms; no time is in both. The set
    /// may hold series without samples in the range: `buf` is then empty. Stale markers are
    /// samples like others.
    ///
    /// # Errors
    /// [`ReadError`]; `buf` is then empty.
    fn read(&self, i: usize, buf: &mut SeriesBuf) -> Result<(), ReadError>;

    /// As [`SeriesSet::read`] for a reader that needs no more than `wanted`: some of the samples may
    /// stand for others ([`SeriesBuf::stand_ins`]), if the series has nothing but floats without start
    /// times.
    ///
    /// # Errors
    /// As [`SeriesSet::read`].
    fn read_wanted(&self, i: usize, wanted: &Wanted, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        let _ = wanted;
        self.read(i, buf)
    }

    /// The series in classes of equal labels, where only those that `filter` keeps count. Cheaper
    /// than the labels of each series, where storage compares numbers in place of texts.
    ///
    /// # Errors
    /// [`ReadError`] where the index on disk is damaged.
    fn groups(&self, filter: &LabelFilter) -> Result<SeriesGroups, ReadError> {
        let mut groups = SeriesGroups::default();
        let mut seen = HashMap::new();
        for i in 0..self.len() {
            groups.push(&mut seen, filter.apply(&self.labels(i)?));
        }
        Ok(groups)
    }

    /// Whether series `i` has a sample inside `[mint, maxt]`; cheaper than reading where it can be.
    ///
    /// # Errors
    /// [`ReadError`].
    fn has_samples(&self, i: usize) -> Result<bool, ReadError> {
        let mut buf = SeriesBuf::new();
        self.read(i, &mut buf)?;
        Ok(!buf.times().is_empty() || !buf.histograms().is_empty())
    }

    /// What reading everything costs at most.
    fn estimate(&self) -> Estimate;

    /// What reading everything costs, from a look at some of the series where there are many.
    fn rough_estimate(&self) -> Estimate {
        self.estimate()
    }

    /// What the reader of the answer should know, such as quarantined data in the range.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A queryable without any series.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptyQueryable;

struct EmptySet;

impl SeriesSet for EmptySet {
    fn len(&self) -> usize {
        0
    }

    fn labels(&self, _: usize) -> Result<Labels, ReadError> {
        Ok(Labels::empty())
    }

    fn read(&self, _: usize, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        buf.begin();
        buf.end();
        Ok(())
    }

    fn estimate(&self) -> Estimate {
        Estimate::default()
    }
}

impl Queryable for EmptyQueryable {
    fn select(&self, _: &Selection) -> Result<Box<dyn SeriesSet>, ReadError> {
        Ok(Box::new(EmptySet))
    }

    fn label_names(&self, _: &NamesRequest) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &NamesRequest) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }
}
