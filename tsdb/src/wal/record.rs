//! What one record of the log holds.

use model::{HistogramValue, Labels, MetricMetadata};

/// Names a series for ever; never reused (reliability contract R9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SeriesRef(pub u64);

/// The accepted content of one request, in columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Series that this record defines; rows of this and later records may name them.
    pub series: Vec<(SeriesRef, Labels)>,
    /// Rows that were in order when logged.
    pub in_order: Rows,
    /// Rows that were late when logged.
    pub late: Rows,
    /// Histogram rows, in order or late as the flag says.
    pub histograms: Vec<HistogramRow>,
    /// Metadata by metric name.
    pub metadata: Vec<(String, MetricMetadata)>,
    /// Names of databases that a client created (line protocol doors).
    pub databases: Vec<String>,
}

/// Float rows as columns of equal length.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// The series of each row.
    pub refs: Vec<SeriesRef>,
    /// The time of each row, ms.
    pub times: Vec<i64>,
    /// The value of each row; bits are kept.
    pub values: Vec<f64>,
}

/// Bits, not floats: NaN differs from itself.
impl PartialEq for Rows {
    fn eq(&self, other: &Self) -> bool {
        self.refs == other.refs
            && self.times == other.times
            && self.values.len() == other.values.len()
            && self.values.iter().zip(&other.values).all(|(a, b)| a.to_bits() == b.to_bits())
    }
}

/// One histogram row.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramRow {
    /// The series.
    pub series: SeriesRef,
    /// The time, ms.
    pub t_ms: i64,
    /// Whether it was late when logged.
    pub late: bool,
    /// The histogram.
    pub value: HistogramValue,
}
