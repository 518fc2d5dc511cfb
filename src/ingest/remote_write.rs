//! Remote write 1.0: known series are found by the raw bytes of their labels; labels are parsed
//! only for those that storage has not seen.

use std::cell::{Cell, RefCell};

use model::{Labels, MetricMetadata};
use remote::histogram::{HistogramError, admit};
use remote::v1::{self, WriteBatch};
use tsdb::Db;
use tsdb::append::{AppendBatch, AppendReport, DuplicatePolicy, MAX_REFUSALS};

use super::{IngestError, MAX_KEPT, REMOTE_V1, Settings};

/// Bytes of a help text and of a unit that are kept (limit L27).
const MAX_HELP_BYTES: usize = 1024;

/// What became of a request.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What storage says.
    pub(crate) report: AppendReport,
    /// Exemplars, which are not stored.
    pub(crate) exemplars: u64,
    /// Bytes of the message.
    pub(crate) bytes: u64,
    /// What to answer about refused rows; empty where there are none.
    pub(crate) refused: String,
    /// Label sets over a limit.
    pub(crate) labels_over_limit: u64,
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
    settings.admit(decoded.times.len() + decoded.histograms.len())?;
    let Filled { rows, bad } = fill(batch, db, decoded);
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
    let over_limit = Cell::new(0);
    let labels = |row: u32| -> Result<Labels, String> {
        let row = decoded.series.get(row as usize).ok_or("no such series in the request")?;
        v1::parse_labels(decoded.raw_labels(row), &settings.labels).map_err(|e| {
            over_limit.set(over_limit.get() + u64::from(e.is_over_limit()));
            e.to_string()
        })
    };
    // Storage counts the series of its batch, the texts those of the request.
    let row_of = |series: u32| rows.get(series as usize).copied().unwrap_or(u32::MAX);
    let policy = settings.policy(DuplicatePolicy::Refuse);
    let mut report = db.append(batch, &policy, &mut |series| labels(row_of(series)))?;
    // Texts of refusals parse labels again.
    let labels_over_limit = over_limit.get();
    report.refused += bad.count;
    let bad = bad.first.into_iter().map(|(row, e)| (row, e.to_string()));
    let refused = report.refusals.iter().map(|(series, why)| (row_of(*series), why.to_string()));
    let lines: Vec<_> = bad.chain(refused).take(MAX_REFUSALS).collect();
    Ok(Outcome {
        refused: refused_text(&report, &lines, labels),
        report,
        exemplars: decoded.num_exemplars as u64,
        labels_over_limit,
        bytes: 0,
    })
}

/// Histograms that break a rule.
#[derive(Default)]
struct Bad {
    count: u64,
    /// The first ones, each with the index of its series in the request.
    first: Vec<(u32, HistogramError)>,
}

/// What [`fill`] says beside the batch.
struct Filled {
    /// The index in the request of each series of the batch.
    rows: Vec<u32>,
    bad: Bad,
}

/// Moves series and histograms of the request to `batch`. A series without a row that may be
/// stored, such as one of exemplars, is left out: it must not come into being.
fn fill(batch: &mut AppendBatch, db: &Db, decoded: &mut WriteBatch<'_>) -> Filled {
    batch.clear();
    let hasher = db.alias_hasher();
    let mut filled = Filled { rows: Vec::with_capacity(decoded.series.len()), bad: Bad::default() };
    // Taken, because admitting consumes; given back below for its capacity.
    let mut all = std::mem::take(&mut decoded.histograms);
    let mut histograms = all.drain(..).peekable();
    for (row, series) in (0..).zip(&decoded.series) {
        let mut index = None;
        let mut index_in = |batch: &mut AppendBatch| {
            *index.get_or_insert_with(|| {
                filled.rows.push(row);
                batch.push_series(hasher.hash(REMOTE_V1, decoded.raw_labels(series)))
            })
        };
        if !series.samples().is_empty() {
            let series_index = index_in(batch);
            batch.sample_series.extend(series.samples().map(|_| series_index));
        }
        while let Some(histogram) = histograms.next_if(|h| h.series == row) {
            match admit(histogram.value) {
                Ok(value) => {
                    let series_index = index_in(batch);
                    batch.histograms.push((series_index, histogram.t_ms, value));
                }
                Err(e) => {
                    filled.bad.count += 1;
                    if filled.bad.first.len() < MAX_REFUSALS {
                        filled.bad.first.push((row, e));
                    }
                }
            }
        }
    }
    drop(histograms);
    decoded.histograms = all;
    filled
}

/// The bare text for one row, as Prometheus answers it; the first rows with their series and a
/// count for several.
fn refused_text(
    report: &AppendReport,
    lines: &[(u32, String)],
    labels: impl Fn(u32) -> Result<Labels, String>,
) -> String {
    if let (1, [(_, why)]) = (report.refused, lines) {
        return why.clone();
    }
    let mut lines: Vec<String> = lines
        .iter()
        .map(|(row, why)| match labels(*row) {
            Ok(labels) => format!("{why} for series {labels}"),
            // The text says already which labels are wrong.
            Err(_) => why.clone(),
        })
        .collect();
    if report.refused > 0 {
        lines.push(format!("{} samples refused, {} stored", report.refused, report.stored));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests;
