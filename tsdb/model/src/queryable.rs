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

use std::ops::Range;
use std::sync::Arc;

use crate::histogram::HistogramValue;
use crate::interrupt::{Interrupt, Interrupted, NeverInterrupted};
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::memory::OverBudget;

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

    /// What the reader of the answer should know, such as quarantined data in the range.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Names a column of timestamps: equal ids mean equal times, within one process and one
/// [`Selection`]. Storage makes them from the content or from the place of the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnId(pub u128);

#[derive(Debug, Clone, Copy)]
struct Column {
    id: Option<ColumnId>,
    /// Times of the column before the first one that is kept.
    skip: usize,
    /// First time in `times`.
    start: usize,
    len: usize,
}

/// The samples of one series, in buffers that are reused from series to series.
///
/// Storage fills it: [`SeriesBuf::begin`], then per run [`SeriesBuf::times_run`] and
/// [`SeriesBuf::values_mut`], then [`SeriesBuf::end`]. Use one buffer per selection and thread.
#[derive(Debug, Default)]
pub struct SeriesBuf {
    columns: Vec<Column>,
    num_columns: usize,
    times: Vec<i64>,
    num_times: usize,
    values: Vec<f64>,
    histograms: Vec<(i64, HistogramValue)>,
    /// Empty, or a start time for each value.
    starts: Vec<i64>,
    /// Empty, or a start time for each histogram.
    histogram_starts: Vec<i64>,
    generation: u64,
}

/// The start time of a sample whose start is not known (remote write 2.0).
pub const UNKNOWN_START: i64 = 0;

/// Where the kept times of a run lie: `skip` times of the column came before the selection, `len`
/// are inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runs {
    /// Leading values of the run to drop.
    pub skip: usize,
    /// Values of the run to keep after those.
    pub len: usize,
}

impl SeriesBuf {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts the next series. Times of the series before are kept for reuse.
    pub fn begin(&mut self) {
        self.num_columns = 0;
        self.num_times = 0;
        self.values.clear();
        self.histograms.clear();
        self.starts.clear();
        self.histogram_starts.clear();
    }

    /// The times of the next run. `fill` appends the column's times inside the selection to the
    /// vector and returns how many earlier ones it skipped; it is not called where the buffer
    /// still holds this column at this place. `None` as id never matches.
    ///
    /// # Errors
    /// Whatever `fill` returns; call [`SeriesBuf::begin`] before the buffer is used again.
    pub fn times_run<E>(
        &mut self,
        id: Option<ColumnId>,
        fill: impl FnOnce(&mut Vec<i64>) -> Result<usize, E>,
    ) -> Result<Runs, E> {
        let at = self.num_columns;
        if let (Some(id), Some(column)) = (id, self.columns.get(at))
            && column.id == Some(id)
        {
            self.num_columns += 1;
            self.num_times = column.start + column.len;
            return Ok(Runs { skip: column.skip, len: column.len });
        }
        self.columns.truncate(at);
        self.times.truncate(self.num_times);
        self.generation += 1;
        let skip = fill(&mut self.times)?;
        let (start, len) = (self.num_times, self.times.len() - self.num_times);
        self.columns.push(Column { id, skip, start, len });
        self.num_columns += 1;
        self.num_times += len;
        Ok(Runs { skip, len })
    }

    /// The float values so far; append one for each time of the run.
    pub fn values_mut(&mut self) -> &mut Vec<f64> {
        &mut self.values
    }

    /// Appends a histogram; times increase strictly.
    pub fn push_histogram(&mut self, t_ms: i64, value: HistogramValue) {
        self.histograms.push((t_ms, value));
    }

    /// The start times of the floats appended last, ms, one each; [`UNKNOWN_START`] where there is
    /// none. What is never told is unknown, and costs nothing.
    pub fn push_starts(&mut self, starts: &[i64]) {
        push_tail(&mut self.starts, starts, self.values.len());
    }

    /// The same of the histograms appended last.
    pub fn push_histogram_starts(&mut self, starts: &[i64]) {
        push_tail(&mut self.histogram_starts, starts, self.histograms.len());
    }

    /// Appends floats with times that are shared with no other series.
    pub fn push_unshared(&mut self, samples: impl IntoIterator<Item = (i64, f64)>) {
        let Self { columns, num_columns, times, num_times, values, generation, .. } = self;
        columns.truncate(*num_columns);
        times.truncate(*num_times);
        *generation += 1;
        for (t, v) in samples {
            times.push(t);
            values.push(v);
        }
        let len = times.len() - *num_times;
        columns.push(Column { id: None, skip: 0, start: *num_times, len });
        *num_columns += 1;
        *num_times = times.len();
    }

    /// Ends the series; drops cached times that it did not use.
    pub fn end(&mut self) {
        if self.num_columns < self.columns.len() {
            self.generation += 1;
        }
        self.columns.truncate(self.num_columns);
        self.times.truncate(self.num_times);
        debug_assert_eq!(self.times.len(), self.values.len(), "one value per time");
        push_tail(&mut self.starts, &[], self.values.len());
        push_tail(&mut self.histogram_starts, &[], self.histograms.len());
    }

    /// Times of the float samples, ms, strictly increasing.
    pub fn times(&self) -> &[i64] {
        &self.times[..self.num_times]
    }

    /// Values of the float samples, as many as [`SeriesBuf::times`].
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The histogram samples, strictly increasing by time.
    pub fn histograms(&self) -> &[(i64, HistogramValue)] {
        &self.histograms
    }

    /// When the counting of each float sample began, ms: as many as [`SeriesBuf::values`], or none
    /// where no start is known. An unknown one among known ones is [`UNKNOWN_START`].
    pub fn starts(&self) -> &[i64] {
        &self.starts
    }

    /// The same of [`SeriesBuf::histograms`].
    pub fn histogram_starts(&self) -> &[i64] {
        &self.histogram_starts
    }

    /// Changes whenever [`SeriesBuf::times`] does: the same number means the same times.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Where each run lies in [`SeriesBuf::times`].
    pub fn run_ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.columns[..self.num_columns].iter().map(|c| c.start..c.start + c.len)
    }

    /// Bytes that the buffers hold.
    pub fn heap_bytes(&self) -> usize {
        self.times.capacity() * 8
            + self.values.capacity() * 8
            + self.histograms.capacity() * size_of::<(i64, HistogramValue)>()
            + self.columns.capacity() * size_of::<Column>()
            + (self.starts.capacity() + self.histogram_starts.capacity()) * 8
    }
}

/// Makes `tail` the last of `len` start times, those before it that were not told unknown. A list
/// of nothing stays one.
fn push_tail(starts: &mut Vec<i64>, tail: &[i64], len: usize) {
    if !starts.is_empty() || !tail.is_empty() {
        debug_assert!(starts.len() + tail.len() <= len, "a start time for each sample at most");
        starts.resize(len.saturating_sub(tail.len()), UNKNOWN_START);
        starts.extend_from_slice(tail);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn run(buf: &mut SeriesBuf, id: u128, times: &[i64], filled: &mut usize) -> Runs {
        let runs = buf
            .times_run(Some(ColumnId(id)), |out| {
                *filled += 1;
                out.extend_from_slice(times);
                Ok::<_, ()>(1)
            })
            .unwrap();
        let n = runs.len;
        buf.values_mut().extend((0..n).map(|i| f64::from(u32::try_from(i).unwrap())));
        runs
    }

    #[test]
    fn shared_columns_are_filled_once_and_keep_the_generation() {
        let (mut buf, mut filled) = (SeriesBuf::new(), 0);
        buf.begin();
        run(&mut buf, 1, &[1, 2], &mut filled);
        run(&mut buf, 2, &[3], &mut filled);
        buf.end();
        let generation = buf.generation();
        buf.begin();
        assert_eq!(run(&mut buf, 1, &[1, 2], &mut filled), Runs { skip: 1, len: 2 });
        run(&mut buf, 2, &[3], &mut filled);
        buf.end();
        assert_eq!((filled, buf.generation(), buf.times()), (2, generation, &[1, 2, 3][..]));

        buf.begin();
        run(&mut buf, 1, &[1, 2], &mut filled);
        buf.end();
        assert_ne!(buf.generation(), generation, "a shorter series has other times");
        assert_eq!(buf.times(), [1, 2]);

        buf.begin();
        buf.push_unshared([(7, 1.0)]);
        buf.end();
        assert_eq!((buf.times(), buf.values()), (&[7][..], &[1.0][..]));
    }

    #[test]
    fn start_times_stand_beside_their_samples_or_are_absent() {
        let mut buf = SeriesBuf::new();
        buf.begin();
        buf.push_unshared([(10, 1.0), (20, 2.0)]);
        buf.push_unshared([(30, 3.0)]);
        buf.push_starts(&[25]);
        buf.push_unshared([(40, 4.0)]);
        buf.end();
        assert_eq!(buf.starts(), [UNKNOWN_START, UNKNOWN_START, 25, UNKNOWN_START]);
        assert!(buf.histogram_starts().is_empty());

        buf.begin();
        buf.push_unshared([(10, 1.0)]);
        buf.end();
        assert!(buf.starts().is_empty(), "those of the series before are gone");
    }
}
