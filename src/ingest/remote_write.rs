//! Remote write 1.0: known series are found by the raw bytes of their labels; labels are parsed
//! only for those that storage has not seen.

use std::cell::RefCell;

use model::{Labels, MetricMetadata};
use remote::v1::{self, WriteBatch};
use tsdb::Db;
use tsdb::append::{AppendBatch, AppendReport, DuplicatePolicy};

use super::{IngestError, MAX_KEPT, REMOTE_V1, Settings};

/// Bytes of a help text and of a unit that are kept (limit L27).
const MAX_HELP_BYTES: usize = 1024;

/// What became of a request.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What storage says.
    pub(crate) report: AppendReport,
    /// Native histograms, which are not stored.
    pub(crate) histograms: u64,
    /// Exemplars, which are not stored.
    pub(crate) exemplars: u64,
    /// Bytes of the message.
    pub(crate) bytes: u64,
    /// What to answer about refused rows; empty where there are none.
    pub(crate) refused: String,
}

/// Buffers that a thread keeps from request to request.
#[derive(Default)]
struct Scratch {
    body: Vec<u8>,
    decoded: WriteBatch<'static>,
    batch: AppendBatch,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Why a body was not even decoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// Not snappy, or more than the limit.
    #[error(transparent)]
    Snappy(#[from] remote::snappy::SnappyError),
    /// The rest.
    #[error(transparent)]
    Ingest(#[from] IngestError),
}

/// Stores a snappy-compressed `prometheus.WriteRequest` of at most `limit` bytes.
///
/// # Errors
/// [`RemoteError`]; nothing was stored then, or for [`IngestError::Append`] a retry is safe.
pub(crate) fn ingest(
    db: &Db,
    compressed: &[u8],
    limit: usize,
    settings: &Settings,
) -> Result<Outcome, RemoteError> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut body = std::mem::take(&mut scratch.body);
        let result = remote::snappy::decompress(compressed, limit, &mut body)
            .map_err(RemoteError::from)
            .and_then(|()| Ok(ingest_message(db, &body, settings, scratch)?));
        if body.capacity() <= MAX_KEPT {
            scratch.body = body;
        }
        result
    })
}

fn ingest_message(
    db: &Db,
    body: &[u8],
    settings: &Settings,
    scratch: &mut Scratch,
) -> Result<Outcome, IngestError> {
    let limits = v1::Limits {
        series: settings.max_series,
        samples: settings.max_samples,
        ..v1::Limits::default()
    };
    let mut decoded = std::mem::take(&mut scratch.decoded).recycle();
    let result = v1::scan(body, &limits, &mut decoded).map_err(IngestError::from);
    let result = result.and_then(|()| append(db, &mut decoded, settings, &mut scratch.batch));
    if decoded.heap_bytes() <= MAX_KEPT {
        scratch.decoded = decoded.recycle();
    } else {
        scratch.batch = AppendBatch::default();
    }
    Ok(Outcome { bytes: body.len() as u64, ..result? })
}

fn append(
    db: &Db,
    decoded: &mut WriteBatch<'_>,
    settings: &Settings,
    batch: &mut AppendBatch,
) -> Result<Outcome, IngestError> {
    batch.clear();
    let hasher = db.alias_hasher();
    for row in &decoded.series {
        let series = batch.push_series(hasher.hash(REMOTE_V1, decoded.raw_labels(row)));
        batch.sample_series.extend(row.samples().map(|_| series));
    }
    // The columns change hands and come back with the next request's capacity.
    std::mem::swap(&mut batch.times, &mut decoded.times);
    std::mem::swap(&mut batch.values, &mut decoded.values);
    // No series can have a longer metric name.
    let named = decoded.metadata.iter().filter(|m| m.family.len() <= settings.labels.value_bytes);
    batch.metadata.extend(named.map(|row| {
        let help = crate::text::cut(row.help, MAX_HELP_BYTES).to_owned();
        let unit = crate::text::cut(row.unit, MAX_HELP_BYTES).to_owned();
        let metadata = MetricMetadata { kind: row.kind, help, unit };
        (row.family.to_owned(), metadata)
    }));
    let labels = |series: u32| -> Result<Labels, String> {
        let row = decoded.series.get(series as usize).ok_or("no such series in the request")?;
        v1::parse_labels(decoded.raw_labels(row), &settings.labels).map_err(|e| e.to_string())
    };
    let policy = settings.policy(DuplicatePolicy::Refuse);
    let report = db.append(batch, &policy, &mut |series| labels(series))?;
    Ok(Outcome {
        refused: refused(&report, labels),
        report,
        histograms: decoded.histograms.len() as u64,
        exemplars: decoded.num_exemplars as u64,
        bytes: 0,
    })
}

/// The bare text for one row, as Prometheus answers it; the first rows with their series and a
/// count for several.
fn refused(report: &AppendReport, labels: impl Fn(u32) -> Result<Labels, String>) -> String {
    if let (1, [(_, refusal)]) = (report.refused, &report.refusals[..]) {
        return refusal.to_string();
    }
    let mut lines: Vec<String> = report
        .refusals
        .iter()
        .map(|(series, refusal)| match labels(*series) {
            Ok(labels) => format!("{refusal} for series {labels}"),
            // The text says already which labels are wrong.
            Err(_) => refusal.to_string(),
        })
        .collect();
    if report.refused > 0 {
        lines.push(format!("{} samples refused, {} stored", report.refused, report.stored));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests;
