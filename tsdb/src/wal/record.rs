//! What one record of the log holds, and its encoding: a sequence of sections, each a tag, a
//! length and columns. Nothing in it is relative to another record, so that a damaged record costs
//! only itself.

mod histograms;
mod rows;
mod series;

#[cfg(test)]
mod tests;

use model::{HistogramValue, Labels, MetricMetadata, MetricType};

use crate::encoding::varint::{Reader, put_bytes, put_u64};
use crate::tombstones::Deletion;

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
    /// Deletes; a record with any holds nothing else.
    pub deletions: Vec<Deletion>,
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

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record is corrupt: {what}")]
pub struct Corrupt {
    /// The part that could not be read.
    pub what: &'static str,
}

/// Label sets of one record, in bytes. They come from one request body, which is smaller.
pub const MAX_LABEL_BYTES: usize = 256 << 20;

const fn corrupt(what: &'static str) -> Corrupt {
    Corrupt { what }
}

/// Section tags, in the order in which the sections stand; an empty section is left out.
mod section {
    pub(super) const SERIES: u8 = 1;
    pub(super) const IN_ORDER: u8 = 2;
    pub(super) const LATE: u8 = 3;
    pub(super) const HISTOGRAMS: u8 = 4;
    pub(super) const METADATA: u8 = 5;
    pub(super) const DATABASES: u8 = 6;
    pub(super) const DELETIONS: u8 = 7;
}

impl Record {
    /// Appends the encoding to `out`. The columns of [`Rows`] must have equal lengths.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if !self.series.is_empty() {
            put_section(section::SERIES, out, |out| series::encode(&self.series, out));
        }
        if !self.in_order.refs.is_empty() {
            put_section(section::IN_ORDER, out, |out| rows::encode(&self.in_order, out));
        }
        if !self.late.refs.is_empty() {
            put_section(section::LATE, out, |out| rows::encode(&self.late, out));
        }
        if !self.histograms.is_empty() {
            put_section(section::HISTOGRAMS, out, |out| histograms::encode(&self.histograms, out));
        }
        if !self.metadata.is_empty() {
            put_section(section::METADATA, out, |out| encode_metadata(&self.metadata, out));
        }
        if !self.databases.is_empty() {
            put_section(section::DATABASES, out, |out| {
                put_u64(out, self.databases.len() as u64);
                for name in &self.databases {
                    put_bytes(out, name.as_bytes());
                }
            });
        }
        if !self.deletions.is_empty() {
            put_section(section::DELETIONS, out, |out| {
                put_u64(out, self.deletions.len() as u64);
                self.deletions.iter().for_each(|what| what.encode(out));
            });
        }
    }

    /// Reads what [`Record::encode`] wrote, checking everything. Allocates in proportion to
    /// `payload`, never from a length alone; label sets, which may share text, stay below
    /// [`MAX_LABEL_BYTES`].
    ///
    /// # Errors
    /// [`Corrupt`] for bytes that `encode` does not write.
    pub fn decode(payload: &[u8]) -> Result<Self, Corrupt> {
        let mut record = Self::default();
        let mut input = Reader::new(payload);
        let mut last_tag = 0;
        while let Some(tag) = input.u8() {
            if tag <= last_tag {
                return Err(corrupt("order of sections"));
            }
            last_tag = tag;
            let len = input.u32_le().and_then(|n| usize::try_from(n).ok());
            let body = len.and_then(|n| input.take(n)).ok_or(corrupt("section length"))?;
            let mut body = Reader::new(body);
            match tag {
                section::SERIES => record.series = series::decode(&mut body)?,
                section::IN_ORDER => record.in_order = rows::decode(&mut body)?,
                section::LATE => record.late = rows::decode(&mut body)?,
                section::HISTOGRAMS => record.histograms = histograms::decode(&mut body)?,
                section::METADATA => {
                    record.metadata = decode_metadata(&mut body).ok_or(corrupt("metadata"))?;
                }
                section::DATABASES => {
                    record.databases = decode_databases(&mut body).ok_or(corrupt("databases"))?;
                }
                section::DELETIONS => {
                    record.deletions = decode_deletions(&mut body).ok_or(corrupt("deletions"))?;
                }
                _ => return Err(corrupt("unknown section")),
            }
            if !body.is_empty() {
                return Err(corrupt("bytes behind a section"));
            }
        }
        Ok(record)
    }
}

/// Appends tag, length and what `body` writes; the length is of fixed size, so that it can be
/// filled in afterwards.
fn put_section(tag: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let len = u32::try_from(out.len() - at - 4).expect("a record is far below 4 GiB");
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

fn encode_metadata(metadata: &[(String, MetricMetadata)], out: &mut Vec<u8>) {
    put_u64(out, metadata.len() as u64);
    for (name, meta) in metadata {
        put_bytes(out, name.as_bytes());
        put_u64(out, u64::from(meta.kind.number().unsigned_abs()));
        put_bytes(out, meta.help.as_bytes());
        put_bytes(out, meta.unit.as_bytes());
    }
}

fn decode_metadata(input: &mut Reader<'_>) -> Option<Vec<(String, MetricMetadata)>> {
    let n = input.len()?;
    let mut metadata = Vec::new();
    for _ in 0..n {
        let name = input.str()?.to_owned();
        let kind = MetricType::from_number(i32::try_from(input.u64()?).ok()?)?;
        let (help, unit) = (input.str()?.to_owned(), input.str()?.to_owned());
        metadata.push((name, MetricMetadata { kind, help, unit }));
    }
    Some(metadata)
}

fn decode_databases(input: &mut Reader<'_>) -> Option<Vec<String>> {
    let n = input.len()?;
    let mut names = Vec::new();
    for _ in 0..n {
        names.push(input.str()?.to_owned());
    }
    Some(names)
}

fn decode_deletions(input: &mut Reader<'_>) -> Option<Vec<Deletion>> {
    let n = input.len()?;
    (0..n).map(|_| Deletion::decode(input)).collect()
}
