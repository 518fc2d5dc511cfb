//! Remote write 1.0: `prometheus.WriteRequest`.
//!
//! [`scan`] walks a body once and leaves it where it is: samples go to flat columns, and of each
//! series only the place of its label fields is noted, because those bytes are enough to find a
//! series that the caller has seen before. [`parse_labels`] is for those that it has not.

mod labels;
mod scan;

use crate::error::DecodeError;
use model::{HistogramValue, MetricType};
use std::ops::Range;

pub use labels::{parse_exemplar_labels, parse_labels};
pub use scan::scan;

/// Limits on one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Series (limit L9).
    pub series: usize,
    /// Float samples and histograms together (limit L9).
    pub samples: usize,
    /// Memory of all decoded histograms, bytes: packed buckets are eight times smaller on the wire.
    pub histogram_bytes: usize,
    /// Exemplars that are kept; more are counted and dropped.
    pub exemplars: usize,
    /// Metadata entries that are kept; more are dropped (limit L27).
    pub metadata: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series: 100_000,
            samples: 1_000_000,
            histogram_bytes: 32 << 20,
            exemplars: 100_000,
            metadata: 200_000,
        }
    }
}

/// Bytes of a body, or of the batch's own arena where they lie behind the end of the body.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    start: u32,
    len: u32,
}

/// One series of a request: where its label fields and its float samples are.
#[derive(Debug, Clone, Copy)]
pub struct SeriesRows {
    labels: Place,
    first_sample: u32,
    end_sample: u32,
}

impl SeriesRows {
    /// The rows of its float samples in [`WriteBatch::times`] and [`WriteBatch::values`], in the
    /// order of the sender; empty where it has only histograms or exemplars.
    #[inline]
    pub fn samples(&self) -> Range<usize> {
        // A u32 always fits the usize of the platforms that std supports here (32 and 64 bits).
        self.first_sample as usize..self.end_sample as usize
    }
}

/// A histogram sample.
#[derive(Debug, Clone)]
pub struct HistogramRow {
    /// Index of its series in [`WriteBatch::series`].
    pub series: u32,
    /// Milliseconds since the Unix epoch.
    pub t_ms: i64,
    /// As sent: not validated, see [`crate::histogram::admit`].
    pub value: HistogramValue,
}

/// An exemplar; [`WriteBatch::exemplar_labels`] has its labels.
#[derive(Debug, Clone, Copy)]
pub struct ExemplarRow {
    /// Index of its series in [`WriteBatch::series`].
    pub series: u32,
    /// Milliseconds since the Unix epoch; 0 where the sender said none.
    pub t_ms: i64,
    /// The value.
    pub value: f64,
    labels: Place,
}

/// What a sender says about a metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataRow<'a> {
    /// The metric type; unknown numbers are [`MetricType::Unknown`].
    pub kind: MetricType,
    /// Name of the family.
    pub family: &'a str,
    /// Help text.
    pub help: &'a str,
    /// Unit, often empty.
    pub unit: &'a str,
}

/// A decoded request, borrowed from its decompressed body. [`WriteBatch::recycle`] carries the
/// buffers over to the next one.
#[derive(Debug, Default)]
pub struct WriteBatch<'a> {
    /// The series, in the order of the sender; the same series may come twice.
    pub series: Vec<SeriesRows>,
    /// Times of the float samples of all series, ms since the Unix epoch.
    pub times: Vec<i64>,
    /// Values of the float samples, as many as `times`.
    pub values: Vec<f64>,
    /// Histogram samples, ordered by series.
    pub histograms: Vec<HistogramRow>,
    /// Exemplars, ordered by series.
    pub exemplars: Vec<ExemplarRow>,
    /// Exemplars in the request, those over the limit included.
    pub num_exemplars: usize,
    /// Metadata, in the order of the sender.
    pub metadata: Vec<MetadataRow<'a>>,
    body: &'a [u8],
    /// Label fields that were not next to each other in the body.
    arena: Vec<u8>,
}

impl WriteBatch<'_> {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// The label fields of a series as sent: every key, length and `Label` message in the order of
    /// the sender, without anything else. Equal bytes are equal label sets; different bytes may be.
    #[inline]
    pub fn raw_labels(&self, row: &SeriesRows) -> &[u8] {
        self.at(row.labels)
    }

    /// The label fields of an exemplar, for [`parse_exemplar_labels`].
    pub fn exemplar_labels(&self, row: &ExemplarRow) -> &[u8] {
        self.at(row.labels)
    }

    #[inline]
    fn at(&self, Place { start, len }: Place) -> &[u8] {
        let (start, len) = (start as usize, len as usize);
        let (bytes, start) = match start.checked_sub(self.body.len()) {
            Some(start) => (&self.arena[..], start),
            None => (self.body, start),
        };
        // A row of another batch finds nothing rather than a panic.
        bytes.get(start..start + len).unwrap_or_default()
    }

    /// Empties the batch and keeps the capacity of its buffers, for a body of another lifetime.
    #[must_use]
    pub fn recycle<'b>(mut self) -> WriteBatch<'b> {
        self.clear();
        WriteBatch {
            series: self.series,
            times: self.times,
            values: self.values,
            histograms: self.histograms,
            exemplars: self.exemplars,
            num_exemplars: 0,
            // Empty, so nothing is converted; collecting in place keeps the allocation.
            metadata: self
                .metadata
                .into_iter()
                .map(|_| MetadataRow { kind: MetricType::Unknown, family: "", help: "", unit: "" })
                .collect(),
            body: &[],
            arena: self.arena,
        }
    }

    fn clear(&mut self) {
        self.series.clear();
        self.times.clear();
        self.values.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.num_exemplars = 0;
        self.metadata.clear();
        self.body = &[];
        self.arena.clear();
    }

    /// Bytes that the buffers hold, histograms not included.
    pub fn heap_bytes(&self) -> usize {
        self.series.capacity() * size_of::<SeriesRows>()
            + (self.times.capacity() + self.values.capacity()) * 8
            + self.histograms.capacity() * size_of::<HistogramRow>()
            + self.exemplars.capacity() * size_of::<ExemplarRow>()
            + self.metadata.capacity() * size_of::<MetadataRow<'_>>()
            + self.arena.capacity()
    }
}

/// Field numbers and wire types of the messages, in the order of the contract's tables.
mod fields {
    use crate::wire::{I64, LEN, VARINT, key};

    pub(super) const TIMESERIES: u32 = key(1, LEN);
    pub(super) const METADATA: u32 = key(3, LEN);

    pub(super) const LABELS: u32 = key(1, LEN);
    pub(super) const SAMPLES: u32 = key(2, LEN);
    pub(super) const EXEMPLARS: u32 = key(3, LEN);
    pub(super) const HISTOGRAMS: u32 = key(4, LEN);

    pub(super) const LABEL_NAME: u32 = key(1, LEN);
    pub(super) const LABEL_VALUE: u32 = key(2, LEN);

    pub(super) const SAMPLE_VALUE: u32 = key(1, I64);
    pub(super) const SAMPLE_TIME: u32 = key(2, VARINT);

    pub(super) const EXEMPLAR_LABELS: u32 = key(1, LEN);
    pub(super) const EXEMPLAR_VALUE: u32 = key(2, I64);
    pub(super) const EXEMPLAR_TIME: u32 = key(3, VARINT);

    pub(super) const KIND: u32 = key(1, VARINT);
    pub(super) const FAMILY: u32 = key(2, LEN);
    pub(super) const HELP: u32 = key(4, LEN);
    pub(super) const UNIT: u32 = key(5, LEN);
}

fn too_large(what: &'static str, limit: usize) -> DecodeError {
    DecodeError::TooLarge { what, limit }
}
