//! One series of the head: what it has logged, and the samples that are visible.

use std::sync::Arc;

use model::HistogramValue;

use crate::chunk::time_stream::MAX_SAMPLES;
use crate::head::open::{OpenChunk, OpenStore};
use crate::head::sealed::SealedChunk;
use crate::head::signed;
use crate::wal::record::SeriesRef;

/// The chunks of this many series are encoded anew at different times after they were sealed together.
const TURNS: u64 = 64;

/// The newest value that was logged, to tell a repeated row from a contradicting one.
#[derive(Debug, Clone)]
pub enum Logged {
    /// Nothing yet.
    Nothing,
    /// The bits of a float.
    Float(u64),
    /// A histogram.
    Histogram(HistogramValue),
}

impl Logged {
    /// The bits, where the value is a float.
    pub const fn float_bits(&self) -> Option<u64> {
        match self {
            Self::Float(bits) => Some(*bits),
            Self::Nothing | Self::Histogram(_) => None,
        }
    }
}

/// A series. Its stripe's lock guards it. What another sample changes comes first, in as few cache lines as it
/// takes: recovery waits for memory more than for anything else.
#[derive(Debug)]
#[repr(C)]
pub struct Series {
    /// The chunk that grows, if there is one.
    pub open: Option<OpenChunk>,
    /// Time of the newest row that was in order when logged; `i64::MIN` before the first.
    pub logged_t: i64,
    /// Value of that row, or of a later one at the same time.
    pub logged: Logged,
    /// In-order histograms, by time.
    pub histograms: Vec<(i64, HistogramValue)>,
    /// Newest time of a row that was late when logged: one below the flush boundary may be newer
    /// than everything in order.
    pub late_t: i64,
    /// Its name for ever; `SeriesRef(0)` marks a free slot.
    pub id: SeriesRef,
    /// Chunks that do not grow, oldest first.
    pub sealed: Vec<Arc<SealedChunk>>,
    /// Whether its labels were logged.
    pub defined: bool,
    /// Whether a late sample of it may be in a buffer.
    pub has_late: bool,
}

const _: () = assert!(size_of::<Series>() <= 176, "a head has millions of them");

/// How a row stands to what its series has logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Newer than everything logged.
    InOrder,
    /// Older, or below the flush boundary.
    Late,
    /// At the newest time with equal bits.
    Repeated,
    /// At the newest time with another value.
    Contradicting,
}

impl Series {
    /// A free slot.
    pub const fn free() -> Self {
        Self {
            id: SeriesRef(0),
            defined: false,
            has_late: false,
            logged_t: i64::MIN,
            logged: Logged::Nothing,
            late_t: i64::MIN,
            open: None,
            sealed: Vec::new(),
            histograms: Vec::new(),
        }
    }

    /// How a row at `t` stands. `boundary` is the flush boundary; `equal` compares the values and
    /// is asked only at the newest time.
    #[inline]
    pub fn standing(&self, t: i64, boundary: i64, equal: impl FnOnce(&Logged) -> bool) -> Standing {
        if t > self.logged_t {
            // A late row can be newer than the boundary after a restart that lowered it.
            let in_order = t >= boundary && t > self.late_t;
            return if in_order { Standing::InOrder } else { Standing::Late };
        }
        if t < self.logged_t || matches!(self.logged, Logged::Nothing) {
            return Standing::Late;
        }
        if equal(&self.logged) {
            Standing::Repeated
        } else if self.late_t > t {
            Standing::Late
        } else {
            Standing::Contradicting
        }
    }

    /// Makes an in-order float visible; cuts the chunk at [`MAX_SAMPLES`] and at multiples of
    /// `block_range_ms`. Returns by how much memory grew.
    pub fn apply_float(
        &mut self,
        t: i64,
        v: f64,
        block_range_ms: i64,
        store: &mut OpenStore,
    ) -> i64 {
        let mut grown = 0;
        let is_full = |open: &OpenChunk| {
            open.count() >= MAX_SAMPLES
                || open.mint().div_euclid(block_range_ms) != t.div_euclid(block_range_ms)
        };
        if self.open.as_ref().is_some_and(is_full) {
            grown += self.cut(store);
        }
        let Some(open) = &mut self.open else {
            let open = self.open.insert(OpenChunk::new(t, v, store));
            return grown + signed(open.heap_bytes());
        };
        let before = open.heap_bytes();
        open.append(t, v, store);
        grown += signed(open.heap_bytes()) - signed(before);
        // Series that were cut together take turns, so that no scrape waits for all of them.
        if u64::from(open.count()) == 2 + self.id.0 % TURNS
            && let Some(last) = self.sealed.last_mut().filter(|c| c.is_stream())
        {
            let encoded = last.encoded();
            grown += signed(encoded.heap_bytes()) - signed(last.heap_bytes());
            *last = Arc::new(encoded);
        }
        grown
    }

    /// Seals the open chunk, if there is one. Returns by how much memory grew.
    pub fn cut(&mut self, store: &mut OpenStore) -> i64 {
        let Some(open) = self.open.take() else { return 0 };
        let before = signed(open.heap_bytes());
        let sealed = open.seal(store);
        let grown = signed(sealed.heap_bytes()) - before;
        self.sealed.push(Arc::new(sealed));
        grown
    }

    /// Newest visible in-order time; `i64::MIN` when there is none.
    pub fn applied_t(&self) -> i64 {
        let chunk = match &self.open {
            Some(open) => open.maxt(),
            None => self.sealed.last().map_or(i64::MIN, |c| c.maxt),
        };
        self.histograms.last().map_or(chunk, |(t, _)| chunk.max(*t))
    }

    /// Reads a word of each cache line that a sample changes, for them to be there when it comes. What it
    /// returns means nothing.
    pub fn look(&self) -> i64 {
        let chunk = self.open.as_ref().map_or(0, OpenChunk::maxt);
        self.logged_t ^ signed(self.histograms.len()) ^ chunk
    }

    /// As [`Series::look`], of the lines in `store`. Apart from it, because a wait for the one would be a wait
    /// for the other.
    pub fn look_behind(&self, store: &OpenStore) -> u64 {
        self.open.as_ref().map_or(0, |open| open.look(store))
    }

    /// Oldest visible in-order time; `i64::MAX` when there is none.
    pub fn first_t(&self) -> i64 {
        let open = || self.open.as_ref().map_or(i64::MAX, OpenChunk::mint);
        let chunk = self.sealed.first().map_or_else(open, |c| c.mint);
        self.histograms.first().map_or(chunk, |(t, _)| chunk.min(*t))
    }

    /// Drops the samples below `boundary`, which are in a block. A chunk on both sides of it is made
    /// anew: it may be hours long, and a flush for want of memory must free what it has written.
    pub fn drop_below(&mut self, boundary: i64, store: &mut OpenStore) {
        self.sealed.retain(|c| c.maxt >= boundary);
        // What cannot be decoded stays, for the reader to find.
        if let Some(first) = self.sealed.first_mut().filter(|c| c.mint < boundary)
            && let Ok((times, values)) = first.decode()
        {
            let skip = times.partition_point(|t| *t < boundary);
            let rest = SealedChunk::of(&times[skip..], &values[skip..], store.seed());
            *first = Arc::new(rest.expect("its last time is not below the boundary"));
        }
        if let Some(open) = self.open.take_if(|open| open.mint() < boundary) {
            self.open = Self::rest_of(open, boundary, store);
        }
        let keep = self.histograms.partition_point(|(t, _)| *t < boundary);
        self.histograms.drain(..keep);
        if self.sealed.is_empty() {
            self.sealed.shrink_to_fit();
        }
    }

    /// The samples of `open` that are not below `boundary`.
    fn rest_of(open: OpenChunk, boundary: i64, store: &mut OpenStore) -> Option<OpenChunk> {
        if open.maxt() < boundary {
            open.clear(store);
            return None;
        }
        let (times, values) = open.seal(store).decode().expect("an open chunk was encoded here");
        let skip = times.partition_point(|t| *t < boundary);
        let mut samples = times.into_iter().zip(values).skip(skip);
        let (t, v) = samples.next()?;
        let mut rest = OpenChunk::new(t, v, store);
        samples.for_each(|(t, v)| rest.append(t, v, store));
        Some(rest)
    }

    /// Gives back what it has in `store`; the slot is free then.
    pub fn clear(&mut self, store: &mut OpenStore) {
        if let Some(open) = self.open.take() {
            open.clear(store);
        }
        *self = Self::free();
    }

    /// Whether nothing is left that a query could read from here.
    pub fn is_empty(&self) -> bool {
        self.open.is_none()
            && self.sealed.is_empty()
            && self.histograms.is_empty()
            && !self.has_late
    }

    /// Number of in-order samples.
    pub fn num_samples(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| u64::from(open.count()))
            + self.sealed.iter().map(|c| u64::from(c.count)).sum::<u64>()
            + self.histograms.len() as u64
    }

    /// Number of chunks.
    pub fn num_chunks(&self) -> u64 {
        self.sealed.len() as u64 + u64::from(self.open.is_some())
    }

    /// Bytes of memory outside the struct, nearly; columns of open chunks are their stripe's.
    pub fn heap_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, OpenChunk::heap_bytes)
            + self.sealed.iter().map(|c| c.heap_bytes()).sum::<usize>()
            + self.histograms.len() * 200
    }
}
