//! The durability oracle (reliability contract, section 7): what was acknowledged, what may be
//! there, what must not, and whether a server agrees.
//!
//! A [`Writer`] keeps its log in the memory of the test, which is never killed. A batch is noted
//! before it is sent and judged when the whole answer is in; without an answer its fate is unknown.
//! Every 2xx that arrived counts, also after the kill: the server sent it while it lived, and a
//! process that dies takes nothing back that it gave to the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::http::Client;
use crate::line_protocol;
use crate::promql::{Query, labels};
use crate::remote_write;
use crate::rng::{Rng, now_ms};

/// Series that a writer begins with.
const SERIES: u64 = 8;
/// Batches after which a writer rests, so that one iteration stays small.
const MAX_BATCHES: usize = 600;
/// How far ahead of now the rows lie that must be refused (the limit is ten minutes).
const FUTURE_MS: i64 = 3_600_000;

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

/// One sample of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Item {
    series: u64,
    t_ms: i64,
    value: f64,
}

/// A request.
#[derive(Debug, Clone, Default)]
struct Batch {
    items: Vec<Item>,
    /// A row that must be refused while the others are stored.
    poison: Option<Item>,
}

/// What may be stored at one series and time.
#[derive(Debug, Clone, Default)]
struct Slot {
    /// The value of the last acknowledged write.
    acked: Option<f64>,
    /// The value of a later write without an answer.
    maybe: Option<f64>,
}

/// What a check found; all zero is what is promised.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Acknowledged samples that are missing or have another value.
    pub lost: usize,
    /// Samples that nobody wrote, or that were refused.
    pub phantom: usize,
    /// Samples or series that are there twice.
    pub double: usize,
    /// Batches of which a part is there.
    pub torn: usize,
    /// Acknowledged samples that were looked at.
    pub checked: usize,
    /// The first few findings.
    pub findings: Vec<String>,
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, text: String) {
        if self.findings.len() < 20 {
            self.findings.push(text);
        }
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.phantom += other.phantom;
        self.double += other.double;
        self.torn += other.torn;
        self.checked += other.checked;
        for text in other.findings {
            self.find(text);
        }
    }
}

/// One sender and its log.
#[derive(Debug)]
pub struct Writer {
    door: Door,
    run: String,
    id: String,
    rng: Rng,
    base_ms: i64,
    /// Next time of in-order rows, in ms behind the base.
    next_ms: i64,
    next_late: i64,
    next_value: f64,
    num_series: u64,
    late: Vec<Item>,
    slots: BTreeMap<(u64, i64), Slot>,
    refused: BTreeSet<(u64, i64)>,
    last: Option<Batch>,
    unknown: Option<Batch>,
    complaints: Vec<String>,
    num_acked: usize,
}

impl Writer {
    /// A sender of the run `run` with an id that no other sender of it has.
    pub fn new(door: Door, run: &str, id: usize, seed: u64) -> Self {
        Self {
            door,
            run: run.to_owned(),
            id: id.to_string(),
            rng: Rng::new(seed),
            base_ms: now_ms() - 1_800_000,
            next_ms: 0,
            next_late: 0,
            next_value: 0.25,
            num_series: SERIES,
            late: Vec::new(),
            slots: BTreeMap::new(),
            refused: BTreeSet::new(),
            last: None,
            unknown: None,
            complaints: Vec::new(),
            num_acked: 0,
        }
    }

    /// Requests that were acknowledged.
    pub fn num_acked(&self) -> usize {
        self.num_acked
    }

    /// Whether the fate of a request is unknown.
    pub fn has_unknown(&self) -> bool {
        self.unknown.is_some()
    }

    /// Sends until `stop`, the first request without an answer, or `MAX_BATCHES`.
    pub fn run(&mut self, client: &mut Client, stop: &AtomicBool) {
        for _ in 0..MAX_BATCHES {
            if stop.load(Ordering::Relaxed) || self.unknown.is_some() {
                return;
            }
            let batch = self.next_batch();
            self.send(client, batch);
        }
    }

    fn value(&mut self) -> f64 {
        self.next_value += 1.0;
        self.next_value
    }

    fn in_order(&mut self) -> Batch {
        let mut batch = Batch::default();
        let rows = self.rng.between(1, 5);
        for _ in 0..rows {
            self.next_ms += 1 + i64::try_from(self.rng.below(20)).expect("below 20");
            for series in 0..self.num_series.min(SERIES) {
                let t_ms = self.base_ms + self.next_ms;
                let value = self.value();
                batch.items.push(Item { series, t_ms, value });
            }
        }
        batch
    }

    fn next_batch(&mut self) -> Batch {
        match self.rng.below(20) {
            // A series that was never seen.
            0 | 1 => {
                let series = self.num_series;
                self.num_series += 1;
                self.next_ms += 1;
                let t_ms = self.base_ms + self.next_ms;
                let mut batch = self.in_order();
                let value = self.value();
                batch.items.push(Item { series, t_ms, value });
                batch
            }
            // Late rows, at times older than everything else of their series.
            2 | 3 => {
                let mut batch = self.in_order();
                for _ in 0..self.rng.between(1, 9) {
                    self.next_late += 7;
                    let series = self.rng.below(SERIES);
                    let t_ms = self.base_ms - 3_600_000 - self.next_late;
                    let value = self.value();
                    let item = Item { series, t_ms, value };
                    batch.items.push(item);
                }
                batch
            }
            // The last batch again, as after a lost answer.
            4 | 5 => match self.last.clone() {
                Some(batch) => batch,
                None => self.in_order(),
            },
            // Corrections: another value at an older time wins.
            6 if !self.late.is_empty() => {
                let mut batch = self.in_order();
                let index = self.rng.below(self.late.len() as u64);
                let mut item = self.late[usize::try_from(index).expect("an index")];
                item.value = self.value();
                batch.items.push(item);
                batch
            }
            // A row that must be refused among good ones.
            7 => {
                let mut batch = self.in_order();
                let t_ms = now_ms() + FUTURE_MS;
                let value = self.value();
                batch.poison = Some(Item { series: 0, t_ms, value });
                batch
            }
            _ => self.in_order(),
        }
    }

    fn send(&mut self, client: &mut Client, batch: Batch) {
        // INTENT: noted before the first byte leaves.
        for item in &batch.items {
            self.slots.entry((item.series, item.t_ms)).or_default().maybe = Some(item.value);
        }
        if let Some(item) = batch.poison {
            self.refused.insert((item.series, item.t_ms));
        }
        let answer = self.post(client, &batch);
        let want = match (&batch.poison, self.door) {
            (None, _) => 204,
            (Some(_), Door::RemoteWrite | Door::LineV1) => 400,
            (Some(_), Door::LineV2) => 422,
        };
        match answer {
            Err(_) => self.unknown = Some(batch),
            Ok(response) if response.status == want => self.acknowledge(batch),
            Ok(response) => {
                self.complaints.push(format!(
                    "writer {}: {} for {:?}, want {want}",
                    self.id,
                    response.brief(),
                    batch.poison
                ));
                self.unknown = Some(batch);
            }
        }
    }

    fn acknowledge(&mut self, batch: Batch) {
        for item in &batch.items {
            let slot = self.slots.entry((item.series, item.t_ms)).or_default();
            *slot = Slot { acked: Some(item.value), maybe: None };
            if item.t_ms < self.base_ms {
                self.late.push(*item);
            }
        }
        self.num_acked += 1;
        self.last = Some(batch);
    }

    fn post(&self, client: &mut Client, batch: &Batch) -> std::io::Result<crate::http::Response> {
        let items = batch.items.iter().chain(&batch.poison);
        if self.door == Door::RemoteWrite {
            let mut by_series: BTreeMap<u64, Vec<(i64, f64)>> = BTreeMap::new();
            for item in items {
                by_series.entry(item.series).or_default().push((item.t_ms, item.value));
            }
            let series = |(series, mut samples): (u64, Vec<(i64, f64)>)| {
                samples.sort_by_key(|sample| sample.0);
                let name = series.to_string();
                let labels =
                    [("__name__", "oracle"), ("run", &self.run), ("s", &name), ("w", &self.id)];
                remote_write::series(&labels, &samples)
            };
            return remote_write::write(client, by_series.into_iter().map(series).collect());
        }
        let mut body = String::new();
        for item in items {
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

    /// Sends the request without an answer again. That must succeed, and then it is acknowledged.
    ///
    /// # Errors
    /// What the server said instead.
    pub fn resend_unknown(&mut self, client: &mut Client) -> Result<(), String> {
        let Some(batch) = self.unknown.take() else { return Ok(()) };
        let complaints = self.complaints.len();
        self.send(client, batch);
        match (&self.unknown, self.complaints.get(complaints)) {
            (None, _) => Ok(()),
            (Some(_), Some(text)) => Err(format!("sent again: {text}")),
            (Some(_), None) => Err("sent again: no answer".to_owned()),
        }
    }

    /// Reads everything back and judges it.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn verify(&self, client: &mut Client) -> Verdict {
        let mut verdict = Verdict::default();
        for text in &self.complaints {
            verdict.find(text.clone());
        }
        let stored = self.read(client, &mut verdict);
        for ((series, t_ms), slot) in &self.slots {
            let got = stored.get(&(*series, *t_ms)).copied();
            verdict.checked += usize::from(slot.acked.is_some());
            let allowed = got == slot.acked || (got.is_some() && got == slot.maybe);
            if allowed {
                continue;
            }
            if slot.acked.is_some() {
                verdict.lost += 1;
            } else {
                verdict.phantom += 1;
            }
            verdict.find(format!("writer {} s={series} t={t_ms}: {got:?}, log {slot:?}", self.id));
        }
        for (key, value) in &stored {
            if self.refused.contains(key) || !self.slots.contains_key(key) {
                verdict.phantom += 1;
                verdict.find(format!("writer {} {key:?}: {value} was never accepted", self.id));
            }
        }
        if let Some(batch) = &self.unknown {
            // Rows whose value was acknowledged before say nothing about this batch.
            let says = |item: &&Item| {
                self.slots.get(&(item.series, item.t_ms)).and_then(|s| s.acked) != Some(item.value)
            };
            let there = |item: &Item| stored.get(&(item.series, item.t_ms)) == Some(&item.value);
            let num_rows = batch.items.iter().filter(says).count();
            let num_there = batch.items.iter().filter(says).filter(|item| there(item)).count();
            if num_there != 0 && num_there != num_rows {
                verdict.torn += 1;
                let text = format!("writer {}: {num_there} of {num_rows} rows of a batch", self.id);
                verdict.find(text);
            }
        }
        verdict
    }

    /// All samples of this writer by series and time, and checks of the index on the way.
    fn read(&self, client: &mut Client, verdict: &mut Verdict) -> BTreeMap<(u64, i64), f64> {
        let name = if self.door == Door::RemoteWrite { "oracle" } else { "oracle_v" };
        let selector = format!("{name}{{run=\"{}\",w=\"{}\"}}", self.run, self.id);
        let answer = Query::at(&format!("{selector}[2d]"), now_ms() + 2 * FUTURE_MS).run(client);
        if answer.status != 200 {
            verdict.find(format!("{selector}: {} {}", answer.status, answer.error));
        }
        let mut stored = BTreeMap::new();
        let mut names = BTreeSet::new();
        for series in answer.series() {
            let number = series.labels.get("s").and_then(|s| s.parse().ok());
            let number: u64 = number.unwrap_or(u64::MAX);
            if !names.insert(number) {
                verdict.double += 1;
                verdict.find(format!("{selector}: series {number} twice"));
            }
            for &(t_ms, value) in &series.floats {
                if stored.insert((number, t_ms), value).is_some() {
                    verdict.double += 1;
                    verdict.find(format!("{selector}: s={number} t={t_ms} twice"));
                }
            }
        }
        // The index must name the same series as the data.
        let listed = client.post_form("/api/v1/series", &[("match[]", selector.as_str())]);
        let listed = listed.expect("the series API answers").json();
        let listed: BTreeSet<u64> = listed["data"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|series| labels(series)?.get("s")?.parse().ok())
            .collect();
        if listed != names {
            let text = format!("{selector}: the index has {} series", listed.len());
            verdict.find(format!("{text}, the data {}", names.len()));
        }
        stored
    }
}
