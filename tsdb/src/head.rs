//! The head: recent samples in memory, backed by the log.
//!
//! Locks, in the order in which they may be taken: stripes ascending, index, alias shards. The
//! flush boundary and the active late buffer change only while all stripes are locked, so whoever
//! holds one stripe sees them stand still.

pub mod alias;
pub mod append;
pub mod arena;
pub mod columns;
pub mod delete;
pub mod gc;
pub mod index;
pub mod label_codes;
pub mod late;
pub mod open;
pub mod read;
pub mod replay;
pub mod restore;
pub mod sealed;
pub mod select;
pub mod series;
pub mod stripes;
pub mod symbols;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use model::{Account, Accountant, Charge, HistogramValue};
use parking_lot::{Mutex, RwLock};

use crate::append::{AliasHasher, SeriesGate};
use crate::head::alias::AliasTable;
use crate::head::index::HeadIndex;
use crate::head::late::{LateBuffer, LateValue};
use crate::head::series::Series;
use crate::head::stripes::{STRIPES, Stripe, Stripes};

/// What the head needs to know.
#[derive(Debug, Clone)]
pub struct HeadOptions {
    /// Chunks never cross a multiple of this, ms.
    pub block_range_ms: i64,
    /// Most live series (limit L12).
    pub max_series: u64,
    /// What the owner calls that limit.
    pub max_series_setting: &'static str,
    /// Who else is asked before a series is made.
    pub series_gate: Arc<dyn SeriesGate>,
    /// Seed of this process.
    pub seed: u64,
    /// The memory budget.
    pub memory: Accountant,
}

/// The late buffers: late rows up to `frozen.0` belong to the frozen one.
#[derive(Debug)]
struct LateState {
    active: Arc<LateBuffer>,
    frozen: Option<(u64, Arc<LateBuffer>)>,
}

/// Recent samples in memory.
#[derive(Debug)]
pub struct Head {
    options: HeadOptions,
    hasher: AliasHasher,
    index: RwLock<HeadIndex>,
    aliases: AliasTable,
    stripes: Stripes,
    boundary: AtomicI64,
    late: RwLock<LateState>,
    next_ref: AtomicU64,
    /// Bytes of chunks and histograms.
    chunk_bytes: AtomicU64,
    /// Bytes that open chunks share: columns of times, and nodes that hold nothing.
    shared_bytes: AtomicU64,
    /// Bytes of series and index that are not chunks.
    index_bytes: AtomicU64,
    /// Live series that the gate knows of.
    noted_series: AtomicU64,
    /// Whether new series were refused for want of memory when one was asked for last.
    refuses_series: AtomicBool,
    mint: AtomicI64,
    /// What `mint` will be once the collection that runs has seen every series.
    next_mint: AtomicI64,
    maxt: AtomicI64,
    samples: AtomicU64,
    charge: Mutex<Charge>,
}

/// Per cent of the memory budget in use at which new series are refused, and at which they are taken
/// again (reliability contract, section 5).
const SERIES_CLOSE_AT: u64 = 90;
const SERIES_OPEN_AT: u64 = 85;

/// Memory of a series besides its chunks and the index: the struct and one alias.
const SERIES_BYTES: u64 = (size_of::<Series>() + alias::ENTRY_BYTES + UPKEEP_BYTES) as u64;
/// What a series costs while label order is found, a block is written, garbage is collected, or a table doubles. It is
/// charged all the time: a flush for want of memory must not want memory that is not there.
const UPKEEP_BYTES: usize = 56;

impl Head {
    /// An empty head above `boundary`, whose next series is called `next_ref`.
    pub fn new(options: HeadOptions, boundary: i64, next_ref: u64) -> Self {
        let charge = options.memory.charge_always(Account::Head, 0);
        Self {
            hasher: AliasHasher::new(options.seed),
            index: RwLock::new(HeadIndex::new(options.seed)),
            aliases: AliasTable::default(),
            stripes: Stripes::new(options.seed),
            boundary: AtomicI64::new(boundary),
            late: RwLock::new(LateState { active: Arc::default(), frozen: None }),
            next_ref: AtomicU64::new(next_ref.max(1)),
            chunk_bytes: AtomicU64::new(0),
            shared_bytes: AtomicU64::new(0),
            index_bytes: AtomicU64::new(0),
            noted_series: AtomicU64::new(0),
            refuses_series: AtomicBool::new(false),
            mint: AtomicI64::new(i64::MAX),
            next_mint: AtomicI64::new(i64::MAX),
            maxt: AtomicI64::new(i64::MIN),
            samples: AtomicU64::new(0),
            charge: Mutex::new(charge),
            options,
        }
    }

    /// Hashes raw label bytes into aliases.
    pub fn hasher(&self) -> AliasHasher {
        self.hasher
    }

    /// The flush boundary, ms: in-order rows are at or above it.
    pub fn boundary(&self) -> i64 {
        self.boundary.load(Ordering::Acquire)
    }

    /// The reference that the next new series gets.
    pub fn next_ref(&self) -> u64 {
        self.next_ref.load(Ordering::Relaxed)
    }

    /// First and last in-order time that was applied since the last flush; `i64::MAX` and
    /// `i64::MIN` when there is none.
    pub fn bounds(&self) -> (i64, i64) {
        (self.mint.load(Ordering::Relaxed), self.maxt.load(Ordering::Relaxed))
    }

    /// Number of live series.
    pub fn num_series(&self) -> u64 {
        self.index.read().num_series()
    }

    /// Number of chunks; locks each stripe in turn.
    pub fn num_chunks(&self) -> u64 {
        (0..STRIPES)
            .map(|n| self.stripes.lock(n).iter_mut(n).map(|(_, s)| s.num_chunks()).sum::<u64>())
            .sum()
    }

    /// The frozen late buffer, if one waits to be flushed, and its last sequence number.
    pub fn frozen_late(&self) -> Option<(u64, Arc<LateBuffer>)> {
        self.late.read().frozen.clone()
    }

    /// Samples applied since the start, replay included.
    pub fn samples_applied(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    /// Bytes of memory held, nearly.
    pub fn heap_bytes(&self) -> u64 {
        let late = self.late.read();
        self.chunk_bytes.load(Ordering::Relaxed)
            + self.shared_bytes.load(Ordering::Relaxed)
            + self.index_bytes.load(Ordering::Relaxed)
            + late.active.heap_bytes()
            + late.frozen.as_ref().map_or(0, |(_, b)| b.heap_bytes())
    }

    /// Bytes of chunks and in-order histograms: what a flush can free.
    pub fn chunk_bytes(&self) -> u64 {
        self.chunk_bytes.load(Ordering::Relaxed)
    }

    /// Tells the accountant what the head holds now.
    pub fn account(&self) {
        let bytes = self.heap_bytes();
        self.charge.lock().set_always(bytes);
    }

    /// Notes what the index takes now; it is locked.
    fn note_index(&self, index: &HeadIndex) {
        let bytes = index.held_bytes() as u64 + index.num_taken() as u64 * SERIES_BYTES;
        self.index_bytes.store(bytes, Ordering::Relaxed);
        self.note_series(index.num_series());
    }

    /// Tells the gate how many series live.
    fn note_series(&self, now: u64) {
        let before = self.noted_series.swap(now, Ordering::Relaxed);
        self.options.series_gate.note(now.cast_signed() - before.cast_signed());
    }

    /// Whether the budget has no room for new series. It has again only some points below where it
    /// had none, so that the answer does not flap.
    fn refuses_series(&self) -> bool {
        let refused = self.refuses_series.load(Ordering::Relaxed);
        let limit = if refused { SERIES_OPEN_AT } else { SERIES_CLOSE_AT };
        let refuses = self.options.memory.used_percent() >= limit;
        if refuses != refused {
            self.refuses_series.store(refuses, Ordering::Relaxed);
        }
        refuses
    }

    /// Whether a new series was refused for want of memory, and none was taken since.
    pub fn refused_series(&self) -> bool {
        self.refuses_series.load(Ordering::Relaxed)
    }

    /// The index, to read.
    pub fn index(&self) -> parking_lot::RwLockReadGuard<'_, HeadIndex> {
        self.index.read()
    }

    /// The late buffers that hold visible rows, oldest first.
    pub fn late_buffers(&self) -> Vec<Arc<LateBuffer>> {
        let late = self.late.read();
        let frozen = late.frozen.iter().map(|(_, b)| Arc::clone(b));
        frozen.chain([Arc::clone(&late.active)]).collect()
    }

    /// Makes visible, in log order, every pending row of the stripes in `mask` whose record is at
    /// most `visible_seq`.
    pub fn apply(&self, mask: u16, visible_seq: u64) {
        for number in (0..STRIPES).filter(|n| mask >> n & 1 == 1) {
            let mut stripe = self.stripes.lock(number);
            while stripe.pending.front().is_some_and(|p| p.seq <= visible_seq) {
                let Some(pending) = stripe.pending.pop_front() else { break };
                let late = pending.needs_late().then(|| self.late_buffer(pending.seq));
                let (mut grown, mut mint, mut maxt) = (0_i64, i64::MAX, i64::MIN);
                for row in &pending.floats {
                    let part = stripe.part(row.slot);
                    let (series, store) = part.expect("a pending row keeps its series");
                    if let (true, Some(late)) = (row.late, &late) {
                        series.has_late = true;
                        late.insert(series.id, row.t_ms, LateValue::Float(row.value.to_bits()));
                        continue;
                    }
                    let range = self.options.block_range_ms;
                    grown += series.apply_float(row.t_ms, row.value, range, store);
                    (mint, maxt) = (mint.min(row.t_ms), maxt.max(row.t_ms));
                }
                for row in &pending.histograms {
                    let series = stripe.get_mut(row.slot).expect("a pending row keeps its series");
                    if let (true, Some(late)) = (row.late, &late) {
                        series.has_late = true;
                        late.insert(series.id, row.t_ms, LateValue::Histogram(row.value.clone()));
                        continue;
                    }
                    grown += Self::apply_histogram(series, row.t_ms, row.value.clone());
                    (mint, maxt) = (mint.min(row.t_ms), maxt.max(row.t_ms));
                }
                for deletion in &pending.deletions {
                    self.apply_deletion(&mut stripe, deletion);
                }
                self.note_shared(&mut stripe);
                let rows = pending.floats.len() + pending.histograms.len();
                self.note_applied(grown, mint, maxt, rows as u64);
            }
        }
    }

    /// Notes by how much what open chunks share in `stripe` has grown.
    fn note_shared(&self, stripe: &mut Stripe) {
        // Two's complement: adding a negative number wraps to the right result.
        let grown = stripe.shared_growth().cast_unsigned();
        self.shared_bytes.fetch_add(grown, Ordering::Relaxed);
    }

    fn note_applied(&self, grown: i64, mint: i64, maxt: i64, rows: u64) {
        // Two's complement: adding a negative number wraps to the right result.
        self.chunk_bytes.fetch_add(grown.cast_unsigned(), Ordering::Relaxed);
        self.mint.fetch_min(mint, Ordering::Relaxed);
        self.next_mint.fetch_min(mint, Ordering::Relaxed);
        self.maxt.fetch_max(maxt, Ordering::Relaxed);
        self.samples.fetch_add(rows, Ordering::Relaxed);
    }

    fn apply_histogram(series: &mut Series, t: i64, value: HistogramValue) -> i64 {
        series.histograms.push((t, value));
        200
    }

    fn late_buffer(&self, seq: u64) -> Arc<LateBuffer> {
        let late = self.late.read();
        match &late.frozen {
            Some((last, frozen)) if seq <= *last => Arc::clone(frozen),
            _ => Arc::clone(&late.active),
        }
    }

    /// Raises the flush boundary to `boundary`; from here on rows below it are late. `last_seq` is
    /// asked for the newest logged record while nothing can be logged; in-order rows below the
    /// boundary are all in records up to it.
    pub fn raise_boundary(&self, boundary: i64, last_seq: impl FnOnce() -> u64) -> u64 {
        let _guards = self.stripes.lock_all();
        self.boundary.fetch_max(boundary, Ordering::AcqRel);
        last_seq()
    }

    /// Freezes the active late buffer: late rows of records up to the returned sequence number are
    /// or will be in the frozen one, later ones in a new one. Only one may be frozen at a time.
    pub fn freeze_late(&self, last_seq: impl FnOnce() -> u64) -> (u64, Arc<LateBuffer>) {
        let _guards = self.stripes.lock_all();
        let seq = last_seq();
        let mut late = self.late.write();
        assert!(late.frozen.is_none(), "one late buffer is flushed at a time");
        let frozen = std::mem::take(&mut late.active);
        late.frozen = Some((seq, Arc::clone(&frozen)));
        (seq, frozen)
    }

    /// Forgets the frozen late buffer, whose rows are in a block now.
    pub fn drop_frozen_late(&self) {
        self.late.write().frozen = None;
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.note_series(0);
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).expect("memory is smaller than 2^63 bytes")
}

#[cfg(test)]
mod tests;
