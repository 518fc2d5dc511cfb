//! Replay of the log: one thread reads and finds series, others apply the rows, each those of its own
//! stripes and in the order of the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use super::Head;
use crate::head::delete::select;
use crate::head::late::{LateBuffer, LateValue};
use crate::head::open::OpenStore;
use crate::head::series::{Logged, Series};
use crate::head::stripes::{Guards, RUN, STRIPES, place_in_run, stripe_of};
use crate::sabotage::{self, Sabotage};
use crate::tombstones::Deletion;
use crate::wal::record::{HistogramRow, Record, Rows, SeriesRef};

/// Rows that are handed over at once; small records are collected.
const BATCH_ROWS: usize = 16 << 10;
/// Batches that wait for a thread.
const QUEUE: usize = 2;
/// Most threads that apply.
const MAX_THREADS: usize = 4;
/// The slot of rows whose series definition was lost.
const LOST: u32 = u32::MAX;

/// Which slot each reference of the log means, in pages: most references follow one another.
#[derive(Debug, Default)]
struct RefTable {
    pages: Vec<[u32; PAGE]>,
    /// Where in `pages` a page is.
    places: HashMap<u64, usize>,
}

const PAGE: usize = 64;

impl RefTable {
    fn split(id: SeriesRef) -> (u64, usize) {
        let place = usize::try_from(id.0 % PAGE as u64).expect("below the length of a page");
        (id.0 / PAGE as u64, place)
    }

    fn insert(&mut self, id: SeriesRef, slot: u32) {
        let (number, at) = Self::split(id);
        let place = self.place(number);
        self.pages[place][at] = slot;
    }

    fn place(&mut self, number: u64) -> usize {
        *self.places.entry(number).or_insert_with(|| {
            self.pages.push([LOST; PAGE]);
            self.pages.len() - 1
        })
    }

    fn find(&self, id: SeriesRef) -> u32 {
        let (number, at) = Self::split(id);
        self.page(number).map_or(LOST, |page| page[at])
    }

    fn page(&self, number: u64) -> Option<&[u32; PAGE]> {
        self.places.get(&number).map(|place| &self.pages[*place])
    }
}

/// Where replay has come to: which slot each reference of the log means now, and what it dropped.
#[derive(Debug, Default)]
pub struct Replay {
    slots: RefTable,
    /// Late rows of records up to this are in blocks.
    flushed_late_seq: u64,
    /// Rows applied.
    pub rows: u64,
    /// Rows whose series definition was lost.
    pub orphans: u64,
    highest: u64,
}

impl Replay {
    /// A replay that skips the late rows of records up to `flushed_late_seq`.
    pub fn behind(flushed_late_seq: u64) -> Self {
        Self { flushed_late_seq, ..Self::default() }
    }

    /// From here on `id` means `slot`.
    pub fn name(&mut self, id: SeriesRef, slot: u32) {
        self.highest = self.highest.max(id.0);
        self.slots.insert(id, slot);
    }

    /// As [`Replay::name`], for neighbours.
    pub fn name_all(&mut self, names: impl Iterator<Item = (SeriesRef, u32)>) {
        let mut page = None;
        for (id, slot) in names {
            self.highest = self.highest.max(id.0);
            let (number, at) = RefTable::split(id);
            let place = match page {
                Some((of, place)) if of == number => place,
                _ => self.slots.place(number),
            };
            page = Some((number, place));
            self.slots.pages[place][at] = slot;
        }
    }

    /// The slot of a row's series; counts those that have none.
    pub fn find(&mut self, id: SeriesRef) -> Option<u32> {
        let slot = self.slots.find(id);
        self.count(&[id], &[slot]);
        Some(slot).filter(|slot| *slot != LOST)
    }

    /// The slots of the series of rows, [`LOST`] where there is none; neighbours share a look-up.
    fn find_all(&mut self, ids: &[SeriesRef]) -> Vec<u32> {
        let page_of = |id: &SeriesRef| RefTable::split(*id).0;
        let mut slots = Vec::with_capacity(ids.len());
        for run in ids.chunk_by(|a, b| page_of(a) == page_of(b)) {
            match self.slots.page(page_of(&run[0])) {
                Some(page) => slots.extend(run.iter().map(|id| page[RefTable::split(*id).1])),
                None => slots.extend(std::iter::repeat_n(LOST, run.len())),
            }
        }
        self.count(ids, &slots);
        slots
    }

    fn count(&mut self, ids: &[SeriesRef], slots: &[u32]) {
        // An orphan's reference is not given out again either.
        self.highest = ids.iter().map(|id| id.0).fold(self.highest, u64::max);
        let lost = slots.iter().filter(|slot| **slot == LOST).count();
        self.orphans += lost as u64;
        self.rows += (slots.len() - lost) as u64;
    }
}

/// A record on its way to the threads.
#[derive(Debug, Default)]
struct Found {
    /// Series that it is the first to define.
    new: Vec<(u32, SeriesRef)>,
    record: Record,
    in_order: Vec<u32>,
    late: Vec<u32>,
    histograms: Vec<u32>,
    /// Whether its late rows are in a block.
    flushed: bool,
    /// First and last time that are deleted of some slots, behind the rows.
    deleted: Option<(i64, i64, RoaringBitmap)>,
}

/// Takes the records of the log, in order.
#[derive(Debug)]
pub struct Replayer<'h> {
    head: &'h Head,
    replay: Replay,
    threads: Vec<SyncSender<Arc<Vec<Found>>>>,
    batch: Vec<Found>,
    batch_rows: usize,
}

impl Head {
    /// Replays what `feed` hands to its argument; everything is applied when this returns.
    pub fn replaying<T>(
        &self,
        replay: Replay,
        feed: impl FnOnce(&mut Replayer<'_>) -> T,
    ) -> (T, Replay) {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let num_threads = processors.min(MAX_THREADS);
        std::thread::scope(|scope| {
            let threads = (0..num_threads).map(|number| {
                let (send, receive) = sync_channel(QUEUE);
                scope.spawn(move || Applier::new(self, number, num_threads).run(&receive));
                send
            });
            let threads = threads.collect();
            let mut replayer =
                Replayer { head: self, replay, threads, batch: Vec::new(), batch_rows: 0 };
            let result = feed(&mut replayer);
            replayer.hand_over();
            (result, replayer.replay)
        })
    }

    /// Ends replay: references that were seen are not given out again.
    pub fn end_replay(&self, replay: &Replay) {
        if !sabotage::is(Sabotage::SeriesRefReused) {
            self.next_ref.fetch_max(replay.highest.saturating_add(1), Ordering::Relaxed);
        }
        self.account();
    }
}

impl Replayer<'_> {
    /// Rows replayed so far.
    pub fn rows(&self) -> u64 {
        self.replay.rows
    }

    /// Applies a record of the log as it was judged then. What is in a block or in the checkpoint
    /// already is skipped, so replaying twice changes nothing.
    pub fn record(&mut self, seq: u64, record: Record) {
        let new = self.define(&record.series);
        let histograms: Vec<SeriesRef> = record.histograms.iter().map(|row| row.series).collect();
        let found = Found {
            new,
            in_order: self.replay.find_all(&record.in_order.refs),
            late: self.replay.find_all(&record.late.refs),
            histograms: self.replay.find_all(&histograms),
            flushed: seq <= self.replay.flushed_late_seq,
            deleted: None,
            record,
        };
        self.batch_rows +=
            1 + found.new.len() + found.in_order.len() + found.late.len() + found.histograms.len();
        self.batch.push(found);
        if self.batch_rows >= BATCH_ROWS {
            self.hand_over();
        }
    }

    /// Deletes from the series so far, behind the records so far.
    pub fn delete(&mut self, what: &Deletion) {
        let slots = select(&self.head.index.read(), what);
        let deleted = Some((what.mint, what.maxt, slots));
        self.batch.push(Found { deleted, ..Found::default() });
    }

    fn define(&mut self, series: &[(SeriesRef, model::Labels)]) -> Vec<(u32, SeriesRef)> {
        let mut new = Vec::new();
        if series.is_empty() {
            return new;
        }
        let slots = {
            let mut index = self.head.index.write();
            let slots = index.insert_all(series);
            self.head.note_index(&index);
            slots
        };
        for ((id, _), (slot, is_new)) in series.iter().zip(slots) {
            self.replay.name(*id, slot);
            if is_new {
                new.push((slot, *id));
            }
        }
        new
    }

    fn hand_over(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = Arc::new(std::mem::take(&mut self.batch));
        self.batch_rows = 0;
        for thread in &self.threads {
            thread
                .send(Arc::clone(&batch))
                .expect("the threads run until nothing is sent any more");
        }
    }
}

/// Applies the rows of every so-manieth stripe.
struct Applier<'h> {
    head: &'h Head,
    number: usize,
    of: usize,
    late: Arc<LateBuffer>,
    boundary: i64,
    /// Stripes that were locked for the batch at hand.
    guards: Guards<'h>,
    grown: i64,
    rows: u64,
    mint: i64,
    maxt: i64,
}

impl<'h> Applier<'h> {
    fn new(head: &'h Head, number: usize, of: usize) -> Self {
        Self {
            head,
            number,
            of,
            late: Arc::clone(&head.late.read().active),
            boundary: head.boundary(),
            guards: Default::default(),
            grown: 0,
            rows: 0,
            mint: i64::MAX,
            maxt: i64::MIN,
        }
    }

    fn run(&mut self, batches: &Receiver<Arc<Vec<Found>>>) {
        while let Ok(batch) = batches.recv() {
            for found in &*batch {
                self.apply(found);
            }
            for stripe in self.guards.iter_mut().flatten() {
                self.head.note_shared(stripe);
            }
            self.guards = Default::default();
            let (grown, rows) = (std::mem::take(&mut self.grown), std::mem::take(&mut self.rows));
            self.head.note_applied(grown, self.mint, self.maxt, rows);
        }
    }

    /// Whether a slot is one and in one of its stripes; none of the run of [`LOST`] is, for there are
    /// fewer series.
    fn is_mine(&self, slot: u32) -> bool {
        slot / RUN != LOST / RUN && stripe_of(slot) % self.of == self.number
    }

    fn series(&mut self, slot: u32) -> &mut Series {
        self.part(slot).0
    }

    fn part(&mut self, slot: u32) -> (&mut Series, &mut OpenStore) {
        let number = stripe_of(slot);
        let head = self.head;
        let stripe = self.guards[number].get_or_insert_with(|| head.stripes.lock(number));
        stripe.part(slot).expect("replayed series have a place")
    }

    fn apply(&mut self, found: &Found) {
        for (slot, id) in &found.new {
            if self.is_mine(*slot) {
                let number = stripe_of(*slot);
                let head = self.head;
                let stripe = self.guards[number].get_or_insert_with(|| head.stripes.lock(number));
                let series = stripe.make(*slot);
                (series.id, series.defined) = (*id, true);
            }
        }
        self.in_order(&found.record.in_order, &found.in_order);
        self.late(&found.record.late, &found.late, found.flushed);
        for (row, slot) in found.record.histograms.iter().zip(&found.histograms) {
            if self.is_mine(*slot) {
                self.histogram(row, *slot, found.flushed);
            }
        }
        if let Some((mint, maxt, slots)) = &found.deleted {
            for slot in slots {
                if self.is_mine(slot) {
                    self.delete(slot, *mint, *maxt);
                }
            }
        }
    }

    fn note(&mut self, grown: i64, t: i64) {
        self.grown += grown;
        self.rows += 1;
        (self.mint, self.maxt) = (self.mint.min(t), self.maxt.max(t));
    }

    fn in_order(&mut self, rows: &Rows, slots: &[u32]) {
        let mut at = 0;
        for run in slots.chunk_by(|a, b| a / RUN == b / RUN) {
            let range = at..at + run.len();
            at = range.end;
            if self.is_mine(run[0]) {
                self.in_order_run(run, &rows.times[range.clone()], &rows.values[range]);
            }
        }
    }

    /// Rows of neighbouring slots, which are in one stripe.
    fn in_order_run(&mut self, slots: &[u32], times: &[i64], values: &[f64]) {
        let (range, boundary) = (self.head.options.block_range_ms, self.boundary);
        let number = stripe_of(slots[0]);
        let head = self.head;
        let stripe = self.guards[number].get_or_insert_with(|| head.stripes.lock(number));
        let (page, store) = stripe.run(slots[0]).expect("replayed series have a place");
        // Memory is slow to answer, but answers many at once: what the rows change is asked for first.
        let look = |seen, slot: &u32| seen ^ page[place_in_run(*slot)].look();
        std::hint::black_box(slots.iter().fold(0, look));
        let look = |seen, slot: &u32| seen ^ page[place_in_run(*slot)].look_behind(store);
        std::hint::black_box(slots.iter().fold(0, look));
        let (mut grown, mut rows) = (0, 0);
        for ((slot, &t), &v) in slots.iter().zip(times).zip(values) {
            let series = &mut page[place_in_run(*slot)];
            // A chunk takes no time twice, so the second one is a millisecond later.
            let is_again = sabotage::is(Sabotage::ReplayedTwice) && t == series.applied_t();
            let t = t + i64::from(is_again);
            let is_new = t >= boundary && t > series.applied_t();
            if is_new {
                grown += series.apply_float(t, v, range, store);
                rows += 1;
                (self.mint, self.maxt) = (self.mint.min(t), self.maxt.max(t));
            }
            if t >= series.logged_t {
                series.logged_t = t;
                series.logged = Logged::Float(v.to_bits());
            }
        }
        self.grown += grown;
        self.rows += rows;
    }

    /// Late rows that are `flushed` still say what their series has logged.
    fn late(&mut self, rows: &Rows, slots: &[u32], flushed: bool) {
        for ((slot, &t), &v) in slots.iter().zip(&rows.times).zip(&rows.values) {
            if !self.is_mine(*slot) {
                continue;
            }
            let series = self.series(*slot);
            series.late_t = series.late_t.max(t);
            if t == series.logged_t {
                series.logged = Logged::Float(v.to_bits());
            }
            let id = series.id;
            series.has_late |= !flushed;
            if !flushed {
                self.late.insert(id, t, LateValue::Float(v.to_bits()));
            }
        }
    }

    fn histogram(&mut self, row: &HistogramRow, slot: u32, flushed: bool) {
        let boundary = self.boundary;
        let series = self.series(slot);
        let id = series.id;
        let mut grown = None;
        if row.late {
            series.late_t = series.late_t.max(row.t_ms);
            series.has_late |= !flushed;
        } else if row.t_ms >= boundary && row.t_ms > series.applied_t() {
            grown = Some(Head::apply_histogram(series, row.t_ms, row.value.clone()));
        }
        if row.t_ms > series.logged_t && !row.late || row.t_ms == series.logged_t {
            series.logged_t = row.t_ms;
            series.logged = Logged::Histogram(row.value.clone());
        }
        if row.late && !flushed {
            self.late.insert(id, row.t_ms, LateValue::Histogram(row.value.clone()));
        }
        if let Some(grown) = grown {
            self.note(grown, row.t_ms);
        }
    }

    fn delete(&mut self, slot: u32, mint: i64, maxt: i64) {
        let (series, store) = self.part(slot);
        let (id, has_late) = (series.id, series.has_late);
        series.forget_logged(mint, maxt);
        let grown = series.remove(mint, maxt, store);
        self.grown += grown;
        if has_late {
            self.late.remove(id, mint, maxt);
        }
    }
}

const _: () = assert!(STRIPES >= MAX_THREADS, "every thread has stripes");
