//! What a writer asks of the server: rows through one of three doors, or a delete.

use std::collections::BTreeMap;
use std::io;

use crate::http::{Client, Response};
use crate::line_protocol;
use crate::promql::{self, seconds};
use crate::remote_write::{self, Histogram, Span};

/// The way into the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `/api/v1/write`.
    RemoteWrite,
    /// `/write`.
    LineV1,
    /// `/api/v2/write`.
    LineV2,
}

impl Door {
    /// The name of its metric.
    pub(super) fn metric(self) -> &'static str {
        if self == Self::RemoteWrite { "oracle" } else { "oracle_v" }
    }

    /// Whether the samples of the series with this number are native histograms.
    fn has_histograms(self, series: u64) -> bool {
        self == Self::RemoteWrite && series % 8 == 6
    }
}

/// One sample of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Item {
    pub(super) series: u64,
    pub(super) t_ms: i64,
    pub(super) value: f64,
}

/// Rows of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    /// A row that must be refused while the others are stored.
    pub(super) poison: Option<Item>,
}

/// Samples to delete.
#[derive(Debug, Clone)]
pub(super) struct Delete {
    /// Of this series; all of the writer where it is `None`.
    pub(super) series: Option<u64>,
    /// First time, ms.
    pub(super) mint: i64,
    /// Last time, ms.
    pub(super) maxt: i64,
}

/// A request and what it is to change.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Write(Batch),
    Delete(Delete),
}

/// Who writes: the door, and the labels that its series have in common.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub(super) door: Door,
    pub(super) run: String,
    pub(super) id: String,
}

impl Sender {
    /// The selector of all its series, or of the one with the number `series`.
    pub(super) fn selector(&self, series: Option<u64>) -> String {
        let one = series.map(|number| format!(",s=\"{number}\"")).unwrap_or_default();
        format!("{}{{run=\"{}\",w=\"{}\"{one}}}", self.door.metric(), self.run, self.id)
    }

    /// The status that says that `operation` was carried out.
    pub(super) fn success(&self, operation: &Operation) -> u16 {
        match (operation, self.door) {
            (Operation::Write(Batch { poison: Some(_), .. }), Door::LineV2) => 422,
            (Operation::Write(Batch { poison: Some(_), .. }), _) => 400,
            _ => 204,
        }
    }

    /// Sends `operation`.
    pub(super) fn post(&self, client: &mut Client, operation: &Operation) -> io::Result<Response> {
        match operation {
            Operation::Write(batch) if self.door == Door::RemoteWrite => {
                self.remote_write(client, batch)
            }
            Operation::Write(batch) => self.lines(client, batch),
            Operation::Delete(delete) => {
                let selector = self.selector(delete.series);
                let (start, end) = (seconds(delete.mint), seconds(delete.maxt));
                let form = [("match[]", selector.as_str()), ("start", &start), ("end", &end)];
                client.post_form("/api/v1/admin/tsdb/delete_series", &form)
            }
        }
    }

    fn remote_write(&self, client: &mut Client, batch: &Batch) -> io::Result<Response> {
        let mut by_series: BTreeMap<u64, Vec<(i64, f64)>> = BTreeMap::new();
        for item in batch.items.iter().chain(&batch.poison) {
            by_series.entry(item.series).or_default().push((item.t_ms, item.value));
        }
        let series = |(number, mut samples): (u64, Vec<(i64, f64)>)| {
            samples.sort_by_key(|sample| sample.0);
            let name = number.to_string();
            let labels = [
                ("__name__", self.door.metric()),
                ("run", &self.run),
                ("s", &name),
                ("w", &self.id),
            ];
            if self.door.has_histograms(number) {
                let histograms = samples.iter().map(|&(t_ms, value)| histogram(t_ms, value));
                let histograms = histograms.collect();
                return remote_write::TimeSeries {
                    histograms,
                    ..remote_write::series(&labels, &[])
                };
            }
            remote_write::series(&labels, &samples)
        };
        remote_write::write(client, by_series.into_iter().map(series).collect())
    }

    fn lines(&self, client: &mut Client, batch: &Batch) -> io::Result<Response> {
        let mut body = String::new();
        for item in batch.items.iter().chain(&batch.poison) {
            let name = item.series.to_string();
            let tags = [("run", self.run.as_str()), ("s", &name), ("w", &self.id)];
            let fields = [("v", item.value)];
            line_protocol::line(&mut body, "oracle", &tags, &fields, item.t_ms * 1_000_000);
        }
        let target = match self.door {
            Door::LineV2 => "/api/v2/write?bucket=oracle&org=o",
            _ => "/write?db=oracle",
        };
        client.post(target, body.as_bytes())
    }
}

/// Counts of the two buckets of the histogram that stands for `value`.
#[expect(clippy::cast_possible_truncation, reason = "values are small and positive")]
#[expect(clippy::cast_sign_loss, reason = "values are small and positive")]
fn counts(value: f64) -> [u32; 2] {
    let whole = value as u32;
    [1 + whole % 5, 2 + whole % 3]
}

/// The histogram that stands for `value`, which is its sum.
fn histogram(t_ms: i64, value: f64) -> Histogram {
    let [low, high] = counts(value).map(i64::from);
    Histogram {
        count_int: Some((low + high).unsigned_abs()),
        sum: value,
        zero_threshold: 0.001,
        zero_count_int: Some(0),
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_deltas: vec![low, high - low],
        timestamp: t_ms,
        ..Histogram::default()
    }
}

/// The value that a stored histogram stands for, if it is one of ours to the last bucket.
pub(super) fn value_of(stored: &promql::Histogram) -> Option<f64> {
    let [count, sum] = stored.totals;
    let [low, high] = counts(sum).map(f64::from);
    let want = promql::Histogram {
        totals: [low + high, sum],
        buckets: vec![[0.0, 0.5, 1.0, low], [0.0, 1.0, 2.0, high]],
    };
    (count > 0.0 && *stored == want).then_some(sum)
}
