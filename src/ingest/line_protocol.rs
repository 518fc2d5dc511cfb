//! Line protocol: each field of a line is a sample of the series `<measurement>_<field>` with the
//! tags as labels and the database as one more. A series is known by a hash of the bytes of its
//! key; they are parsed only when storage has not seen them.

mod mapping;

use std::cell::RefCell;
use std::collections::BTreeMap;

use lineproto::{EmptyTags, Field, Lines, Precision, RawKey, timestamp_ms};
use tsdb::Db;
use tsdb::append::{Alias, AliasHasher, AppendBatch, AppendReport, DuplicatePolicy, Refusal};

use super::{IngestError, LINE, MAX_KEPT, Settings};
use mapping::Mapping;

/// Bad lines that a report quotes, and bytes of each.
const MAX_QUOTED: usize = 10;
const MAX_QUOTED_BYTES: usize = 256;

/// How to read a body.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The database or bucket, or empty.
    pub(crate) database: String,
    /// The unit of its timestamps.
    pub(crate) precision: Precision,
    /// The time of lines without one, ns.
    pub(crate) now_ns: i64,
    /// Store nothing unless every line is good.
    pub(crate) all_or_nothing: bool,
}

/// A line that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// Counted from 1.
    pub(crate) number: u64,
    /// What is wrong, with the beginning of the line.
    pub(crate) message: String,
    /// The beginning of the line.
    pub(crate) line: String,
}

/// What became of a request.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What storage says.
    pub(crate) report: AppendReport,
    /// Lines of which nothing was stored because they are wrong.
    pub(crate) num_bad: u64,
    /// The first of them, by number.
    pub(crate) bad: Vec<BadLine>,
    /// Points that storage refused, and why the first was.
    pub(crate) dropped: u64,
    /// Why the first of them was.
    pub(crate) reason: Option<Refusal>,
    /// String fields, which are not stored.
    pub(crate) strings: u64,
    /// Tags called `__name__`, which lose to the metric name.
    pub(crate) name_tags: u64,
    /// Label sets over a limit.
    pub(crate) labels_over_limit: u64,
}

/// Where the series of a request come from, for the rare case that their labels are needed.
#[derive(Default)]
struct Origins<'a> {
    lines: Vec<LineOrigin<'a>>,
    /// By series: its line and field.
    fields: Vec<(u32, Field<'a>)>,
}

#[derive(Clone, Copy)]
struct LineOrigin<'a> {
    key: RawKey<'a>,
    bytes: &'a [u8],
    number: u64,
}

impl<'a> Origins<'a> {
    fn get(&self, series: usize) -> Option<(LineOrigin<'a>, Field<'a>)> {
        let (line, field) = self.fields.get(series)?;
        Some((*self.lines.get(*line as usize)?, *field))
    }
}

thread_local! {
    static SCRATCH: RefCell<AppendBatch> = RefCell::default();
}

/// Stores a decompressed body.
///
/// # Errors
/// [`IngestError`]; nothing was stored then, or for [`IngestError::Append`] a retry is safe.
pub(crate) fn ingest(
    db: &Db,
    body: &[u8],
    request: &Request,
    settings: &Settings,
) -> Result<Outcome, IngestError> {
    SCRATCH.with_borrow_mut(|batch| {
        batch.clear();
        let result = ingest_into(db, body, request, settings, batch);
        if batch.times.capacity() * size_of::<(i64, f64, Alias, u32)>() > MAX_KEPT {
            *batch = AppendBatch::default();
        }
        result
    })
}

fn ingest_into(
    db: &Db,
    body: &[u8],
    request: &Request,
    settings: &Settings,
    batch: &mut AppendBatch,
) -> Result<Outcome, IngestError> {
    let mut outcome = Outcome::default();
    let mut bad = BadLines::default();
    let origins = scan(db.alias_hasher(), body, request, settings, batch, &mut outcome, &mut bad)?;
    settings.admit(batch.num_rows())?;
    let mut mapping = Mapping::new(settings, &request.database);
    if request.all_or_nothing {
        for (line, field) in (0..origins.fields.len()).filter_map(|i| origins.get(i)) {
            if let Err(why) = mapping.labels(line.key, &field) {
                bad.push(line.number, line.bytes, &why);
            }
        }
        if bad.count() > 0 {
            outcome.labels_over_limit = mapping.over_limit;
            bad.report(&mut outcome);
            return Ok(outcome);
        }
    }
    let mut bad_rows = 0;
    let policy = settings.policy(DuplicatePolicy::Overwrite);
    let report = db.append(batch, &policy, &mut |series| {
        let (line, field) = origins.get(series as usize).ok_or("no such series in the request")?;
        mapping.labels(line.key, &field).inspect_err(|why| {
            bad_rows += 1;
            bad.push(line.number, line.bytes, why);
        })
    })?;
    outcome.name_tags = mapping.name_tags;
    outcome.labels_over_limit = mapping.over_limit;
    bad.report(&mut outcome);
    outcome.dropped = report.refused.saturating_sub(bad_rows);
    let mut why = report.refusals.iter().map(|(_, why)| why);
    outcome.reason = why.find(|why| !matches!(why, Refusal::Labels(_))).cloned();
    outcome.report = report;
    Ok(outcome)
}

/// Reads all lines into `batch`; entry `i` of the result belongs to series `i`.
fn scan<'a>(
    hasher: AliasHasher,
    body: &'a [u8],
    request: &Request,
    settings: &Settings,
    batch: &mut AppendBatch,
    outcome: &mut Outcome,
    bad: &mut BadLines,
) -> Result<Origins<'a>, IngestError> {
    let now_ms = timestamp_ms(request.precision.truncate(request.now_ns));
    let mut origins = Origins::default();
    let mut aliases = Aliases::new(hasher, &settings.db_label, &request.database);
    let mut lines =
        Lines::new(body, request.precision).with_max_line_bytes(settings.max_line_bytes);
    while let Some(line) = lines.next_line() {
        let line = match line {
            Ok(line) => line,
            Err(e) => {
                bad.push(e.number, e.line, &e.reason.to_string());
                continue;
            }
        };
        let t_ms = line.timestamp_ns.map_or(now_ms, timestamp_ms);
        let index = u32::try_from(origins.lines.len()).expect("lines are limited by the body");
        let (key, number, bytes) = (line.key(), line.number, line.bytes());
        origins.lines.push(LineOrigin { key, bytes, number });
        aliases.begin_line(key.bytes());
        let before = batch.times.len();
        for field in line.fields() {
            let Some(v) = field.value.as_sample() else {
                outcome.strings += 1;
                continue;
            };
            let series = batch.push_series(aliases.field(field.raw_key()));
            batch.push_sample(series, t_ms, v);
            origins.fields.push((index, *field));
        }
        // The key of a line with samples is checked when its series are found or made.
        if batch.times.len() == before
            && let Err(e) = line.series(EmptyTags::Refuse)
        {
            bad.push(e.number, e.line, &e.reason.to_string());
        }
        if batch.times.len() > settings.max_samples {
            return Err(IngestError::TooMany { what: "samples", limit: settings.max_samples });
        }
    }
    Ok(origins)
}

/// Hashes series: the parts that all lines share once, a line's key once, then each field.
struct Aliases {
    hasher: AliasHasher,
    /// What stands before the key of a line: label and database, each with its length.
    line: Vec<u8>,
    shared: usize,
    /// The hash of the line, then the field.
    field: Vec<u8>,
}

impl Aliases {
    fn new(hasher: AliasHasher, label: &str, database: &str) -> Self {
        let mut line = Vec::with_capacity(256);
        for part in [label, database] {
            line.extend_from_slice(&part.len().to_le_bytes());
            line.extend_from_slice(part.as_bytes());
        }
        Self { hasher, shared: line.len(), line, field: Vec::with_capacity(128) }
    }

    fn begin_line(&mut self, key: &[u8]) {
        self.line.truncate(self.shared);
        self.line.extend_from_slice(key);
        self.field.clear();
        self.field.extend_from_slice(&self.hasher.hash(LINE, &self.line).0.to_le_bytes());
    }

    fn field(&mut self, name: &[u8]) -> Alias {
        self.field.truncate(size_of::<u128>());
        self.field.extend_from_slice(name);
        self.hasher.hash(LINE, &self.field)
    }
}

/// Bad lines, each once however many of its fields are refused.
#[derive(Default)]
struct BadLines {
    first: BTreeMap<u64, BadLine>,
    others: std::collections::BTreeSet<u64>,
}

impl BadLines {
    fn push(&mut self, number: u64, line: &[u8], why: &str) {
        if self.first.contains_key(&number) || self.others.contains(&number) {
            return;
        }
        let shown = quoted(line);
        let message = format!("unable to parse '{shown}': {why}");
        self.first.insert(number, BadLine { number, message, line: shown });
        if self.first.len() > MAX_QUOTED
            && let Some((number, _)) = self.first.pop_last()
        {
            self.others.insert(number);
        }
    }

    fn count(&self) -> u64 {
        (self.first.len() + self.others.len()) as u64
    }

    fn report(self, outcome: &mut Outcome) {
        outcome.num_bad = self.count();
        outcome.bad = self.first.into_values().collect();
    }
}

/// The beginning of a line as text, as it was sent; the answer escapes what JSON may not hold.
fn quoted(line: &[u8]) -> String {
    let shown = &line[..line.len().min(MAX_QUOTED_BYTES + 4)];
    let text = String::from_utf8_lossy(shown);
    if line.len() <= MAX_QUOTED_BYTES {
        return text.into_owned();
    }
    format!("{}...", crate::text::cut(&text, MAX_QUOTED_BYTES))
}

#[cfg(test)]
mod tests;
