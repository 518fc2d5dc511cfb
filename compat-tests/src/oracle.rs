//! The durability oracle (reliability contract, section 7): what was acknowledged, what may be
//! there, what must not, and whether a server agrees.
//!
//! A [`Writer`] keeps its log in the memory of the test, which is never killed. A request is noted
//! before it is sent and judged when the whole answer is in; without an answer its fate is unknown.
//! Every success that arrived counts, also after a kill: the server sent it while it lived, and a
//! process that dies takes nothing back that it gave to the kernel. A power cut does, so what
//! arrives behind [`Signals::cut`] may be there or not.

mod ledger;
mod operation;
mod reading;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::http::Client;
use crate::rng::{Rng, now_ms};
use ledger::{Change, Ledger};
use operation::{Batch, Delete, Item, Operation, Sender};

pub use ledger::{Audit, Suffix};
pub use operation::Door;

/// Series that a writer begins with.
const SERIES: u64 = 8;
/// Requests after which a writer rests, so that one iteration stays small.
const MAX_REQUESTS: usize = 600;
/// Time that the in-order rows of a writer span at most: two blocks' worth.
pub const SPAN_MS: i64 = 4 * 3_600_000;
/// How far ahead of now the rows lie that must be refused (the limit is ten minutes).
const FUTURE_MS: i64 = 3_600_000;

/// What writers are told while they run.
#[derive(Debug, Default)]
pub struct Signals {
    /// Enough was sent.
    pub stop: AtomicBool,
    /// The power goes: answers that come now promise nothing.
    pub cut: AtomicBool,
}

/// What a check found; all zero is what is promised.
#[derive(Debug, Default, Clone)]
pub struct Verdict {
    /// Acknowledged samples that are missing or have another value.
    pub lost: usize,
    /// Samples that nobody wrote, that were refused, or that were deleted.
    pub phantom: usize,
    /// Samples or series that are there twice.
    pub double: usize,
    /// Requests of which a part is there.
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

/// A request without an answer.
#[derive(Debug)]
struct Unknown {
    operation: Operation,
    changes: Vec<Change>,
}

/// One sender and its log.
#[derive(Debug)]
pub struct Writer {
    sender: Sender,
    rng: Rng,
    deletes: bool,
    base_ms: i64,
    /// Next time of in-order rows, in ms behind the base.
    next_ms: i64,
    next_late: i64,
    next_value: f64,
    num_series: u64,
    late: Vec<Item>,
    ledger: Ledger,
    last: Option<Batch>,
    unknown: Option<Unknown>,
    complaints: Vec<String>,
    num_acked: usize,
    num_refused: usize,
}

impl Writer {
    /// A sender of the run `run` with an id that no other sender of it has. Its in-order rows begin
    /// at `base_ms` and end within [`SPAN_MS`].
    pub fn new(door: Door, run: &str, id: usize, base_ms: i64, seed: u64) -> Self {
        Self {
            sender: Sender { door, run: run.to_owned(), id: id.to_string() },
            rng: Rng::new(seed),
            deletes: true,
            base_ms,
            next_ms: 0,
            next_late: 0,
            next_value: 0.25,
            num_series: SERIES,
            late: Vec::new(),
            ledger: Ledger::default(),
            last: None,
            unknown: None,
            complaints: Vec::new(),
            num_acked: 0,
            num_refused: 0,
        }
    }

    /// The same without deletes, which sync the log in every mode.
    #[must_use]
    pub fn without_deletes(self) -> Self {
        Self { deletes: false, ..self }
    }

    /// Requests that were acknowledged.
    pub fn num_acked(&self) -> usize {
        self.num_acked
    }

    /// Requests that were answered with 503, as a full disk does.
    pub fn num_refused(&self) -> usize {
        self.num_refused
    }

    /// Sends until the signal, the first request without an answer, or `MAX_REQUESTS`.
    pub fn run(&mut self, client: &mut Client, signals: &Signals) {
        for _ in 0..MAX_REQUESTS {
            let is_done = signals.stop.load(Ordering::SeqCst) || self.next_ms > SPAN_MS;
            if is_done || self.unknown.is_some() {
                return;
            }
            let operation = self.next_operation();
            self.send(client, operation, signals);
        }
    }

    /// Sends until the signal; a 503 is answered by sending the same again, as senders do.
    /// Each success is added to `acked`.
    pub fn run_patiently(&mut self, client: &mut Client, signals: &Signals, acked: &AtomicUsize) {
        while !signals.stop.load(Ordering::SeqCst) && self.complaints.is_empty() {
            if let Some(unknown) = self.unknown.take() {
                std::thread::sleep(Duration::from_millis(20));
                self.send(client, unknown.operation, signals);
            } else {
                let operation = self.next_operation();
                self.send(client, operation, signals);
                acked.fetch_add(usize::from(self.unknown.is_none()), Ordering::SeqCst);
                // A day of rows lasts a minute.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn value(&mut self) -> f64 {
        self.next_value += 1.0;
        self.next_value
    }

    fn in_order(&mut self) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..self.rng.between(1, 5) {
            self.next_ms += 1 + i64::try_from(self.rng.below(19_000)).expect("below 19000");
            for series in 0..self.num_series.min(SERIES) {
                let item = self.newest(series);
                batch.items.push(item);
            }
        }
        batch
    }

    /// A row of `series` at the newest time.
    fn newest(&mut self, series: u64) -> Item {
        Item { series, t_ms: self.base_ms + self.next_ms, value: self.value() }
    }

    fn next_operation(&mut self) -> Operation {
        let kind = self.rng.below(48);
        if kind == 47 && self.deletes {
            return Operation::Delete(self.next_delete());
        }
        // One in twelve is the last batch again, as after a lost answer.
        let last = self.last.clone().filter(|_| kind < 4);
        let mut batch = last.clone().unwrap_or_else(|| self.in_order());
        match kind {
            // A series that was never seen, and is not written again but by the next kind.
            4..=7 => {
                let series = self.num_series;
                self.num_series += 1;
                let item = self.newest(series);
                batch.items.push(item);
            }
            // A series that was idle, deleted or forgotten comes again.
            8..=10 if self.num_series > SERIES => {
                let series = self.rng.between(SERIES, self.num_series);
                let item = self.newest(series);
                batch.items.push(item);
            }
            // Late rows, at times older than everything else of their series.
            11..=15 => {
                for _ in 0..self.rng.between(1, 9) {
                    self.next_late += 7;
                    let series = self.rng.below(SERIES);
                    let t_ms = self.base_ms - 3_600_000 - self.next_late;
                    let value = self.value();
                    batch.items.push(Item { series, t_ms, value });
                }
            }
            // Corrections: another value at an older time wins.
            16..=18 if !self.late.is_empty() => {
                let index = self.rng.below(self.late.len() as u64);
                let mut item = self.late[usize::try_from(index).expect("an index")];
                item.value = self.value();
                batch.items.push(item);
            }
            // A row that must be refused among good ones.
            19..=21 => {
                let t_ms = now_ms() + FUTURE_MS;
                batch.poison = Some(Item { series: 0, t_ms, value: self.value() });
            }
            _ => {}
        }
        Operation::Write(batch)
    }

    /// One series or all, some of their time or all of it.
    fn next_delete(&mut self) -> Delete {
        let one = !self.rng.one_in(4);
        let series = one.then(|| self.rng.below(self.num_series));
        let begin = self.base_ms - 3_600_000 - self.next_late;
        let length = self.base_ms + self.next_ms - begin + 1;
        let mut time = || begin + self.rng.below(length.unsigned_abs()).cast_signed();
        let (a, b) = (time(), time());
        // All of all series would leave little to lose.
        let (mint, maxt) = if one { (a.min(b), a.max(b)) } else { (a, a + (b - a).abs() / 8) };
        let whole = one && self.rng.one_in(3);
        if whole {
            Delete { series, mint: begin, maxt: begin + length }
        } else {
            Delete { series, mint, maxt }
        }
    }

    fn changes(&self, operation: &Operation) -> Vec<Change> {
        match operation {
            Operation::Delete(Delete { series, mint, maxt }) => {
                self.ledger.deletion(*series, *mint, *maxt)
            }
            Operation::Write(batch) => {
                batch.items.iter().map(|i| ((i.series, i.t_ms), Some(i.value))).collect()
            }
        }
    }

    fn send(&mut self, client: &mut Client, operation: Operation, signals: &Signals) {
        let changes = self.changes(&operation);
        self.ledger.intend(&changes);
        if let Operation::Write(Batch { poison: Some(item), .. }) = &operation {
            self.ledger.refuse((item.series, item.t_ms));
        }
        let answer = self.sender.post(client, &operation);
        let is_cut = signals.cut.load(Ordering::SeqCst);
        let want = self.sender.success(&operation);
        match answer {
            Ok(response) if response.status == want && !is_cut => {
                self.acknowledge(operation, changes);
                return;
            }
            Ok(response) if response.status == 503 => self.num_refused += 1,
            Ok(response) if !is_cut => {
                let (id, got) = (&self.sender.id, response.brief());
                self.complaints.push(format!("writer {id}: {got} for {operation:?}, want {want}"));
            }
            _ => {}
        }
        self.unknown = Some(Unknown { operation, changes });
    }

    fn acknowledge(&mut self, operation: Operation, changes: Vec<Change>) {
        self.ledger.acknowledge(changes);
        self.num_acked += 1;
        if let Operation::Write(batch) = operation {
            self.late.extend(batch.items.iter().filter(|item| item.t_ms < self.base_ms));
            self.last = Some(batch);
        }
    }

    /// Sends the request without an answer again. That must succeed, and then it is acknowledged.
    ///
    /// # Errors
    /// What the server said instead.
    pub fn resend_unknown(&mut self, client: &mut Client) -> Result<(), String> {
        let Some(unknown) = self.unknown.take() else { return Ok(()) };
        let complaints = self.complaints.len();
        self.send(client, unknown.operation, &Signals::default());
        match (&self.unknown, self.complaints.get(complaints)) {
            (None, _) => Ok(()),
            (Some(_), Some(text)) => Err(format!("sent again: {text}")),
            (Some(_), None) => Err("sent again: no answer".to_owned()),
        }
    }

    /// Reads everything back and judges it: all that was acknowledged is there.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn verify(&self, client: &mut Client) -> Verdict {
        let mut verdict = self.verdict();
        let stored = reading::read(&self.sender, client, &mut verdict);
        let unknown = self.unknown.as_ref().map_or(&[][..], |unknown| &unknown.changes);
        let who = format!("writer {} of run {}", self.sender.id, self.sender.run);
        self.ledger.judge(&who, &stored, unknown, &mut verdict);
        verdict
    }

    /// Reads everything back after a power cut in a mode that may lose what was acknowledged last,
    /// judges that nothing but that is lost, and goes on from there.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn verify_prefix(&mut self, client: &mut Client) -> (Verdict, Suffix) {
        let mut verdict = self.verdict();
        let stored = reading::read(&self.sender, client, &mut verdict);
        verdict.checked += stored.len();
        let unknown = self.unknown.take();
        match self.ledger.settle(&stored, unknown.as_ref().map(|u| u.changes.as_slice())) {
            Ok(suffix) => (verdict, suffix),
            Err(why) => {
                verdict.lost += 1;
                let (id, run) = (&self.sender.id, &self.sender.run);
                verdict.find(format!("writer {id} of run {run}: {why}"));
                (verdict, Suffix::default())
            }
        }
    }

    fn verdict(&self) -> Verdict {
        Verdict { findings: self.complaints.clone(), ..Verdict::default() }
    }

    /// What is left of what this writer sent, after its data was damaged.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn audit(&self, client: &mut Client) -> Audit {
        let mut verdict = Verdict::default();
        let stored = reading::read(&self.sender, client, &mut verdict);
        let mut audit = self.ledger.audit(&stored);
        audit.warned = !verdict.is_good();
        audit
    }

    /// Everything that the server has of this writer, for comparing before with after.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn export(&self, client: &mut Client) -> Vec<(u64, i64, u64)> {
        let stored = reading::read(&self.sender, client, &mut Verdict::default());
        stored.into_iter().map(|((series, t_ms), value)| (series, t_ms, value.to_bits())).collect()
    }
}
