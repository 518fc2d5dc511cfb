//! One series of the head: what it has logged, and the samples that are visible.

use std::sync::Arc;

use model::HistogramValue;

use crate::chunk::gorilla::{
    GorillaChunk, MAX_SAMPLES, SealedChunk, Truncated, decode_times, decode_values,
};
use crate::wal::record::SeriesRef;

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

/// A series. Its stripe's lock guards it.
#[derive(Debug)]
pub struct Series {
    /// Its name for ever; `SeriesRef(0)` marks a free slot.
    pub id: SeriesRef,
    /// Whether its labels were logged.
    pub defined: bool,
    /// Whether a late sample of it may be in a buffer.
    pub has_late: bool,
    /// Time of the newest row that was in order when logged; `i64::MIN` before the first.
    pub logged_t: i64,
    /// Value of that row, or of a later one at the same time.
    pub logged: Logged,
    /// Newest time of a row that was late when logged: one below the flush boundary may be newer
    /// than everything in order.
    pub late_t: i64,
    /// The chunk that grows.
    pub open: GorillaChunk,
    /// Chunks that do not, oldest first.
    pub sealed: Vec<Arc<SealedChunk>>,
    /// In-order histograms, by time.
    pub histograms: Vec<(i64, HistogramValue)>,
}

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
    pub const fn free(seed: u64) -> Self {
        Self {
            id: SeriesRef(0),
            defined: false,
            has_late: false,
            logged_t: i64::MIN,
            logged: Logged::Nothing,
            late_t: i64::MIN,
            open: GorillaChunk::new(seed),
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

    /// Makes an in-order float visible; cuts the chunk at `MAX_SAMPLES` and at multiples of
    /// `block_range_ms`.
    pub fn apply_float(&mut self, t: i64, v: f64, block_range_ms: i64, seed: u64) {
        let open = &self.open;
        if open.count() >= MAX_SAMPLES
            || (open.count() > 0
                && open.mint().div_euclid(block_range_ms) != t.div_euclid(block_range_ms))
        {
            self.cut(seed);
        }
        self.open.append(t, v);
    }

    /// Seals the open chunk, if it has samples.
    pub fn cut(&mut self, seed: u64) {
        if self.open.count() > 0 {
            self.sealed.push(Arc::new(self.open.seal()));
            self.open = GorillaChunk::new(seed);
        }
    }

    /// Newest visible in-order time; `i64::MIN` when there is none.
    pub fn applied_t(&self) -> i64 {
        let chunk = if self.open.count() > 0 {
            self.open.maxt()
        } else {
            self.sealed.last().map_or(i64::MIN, |c| c.maxt)
        };
        self.histograms.last().map_or(chunk, |(t, _)| chunk.max(*t))
    }

    /// Oldest visible in-order time; `i64::MAX` when there is none.
    pub fn first_t(&self) -> i64 {
        let chunk = self.sealed.first().map_or(self.open.mint(), |c| c.mint);
        self.histograms.first().map_or(chunk, |(t, _)| chunk.min(*t))
    }

    /// Drops the samples below `boundary`, which are in a block. A chunk on both sides of it is made
    /// anew: it may be hours long, and a flush for want of memory must free what it has written.
    pub fn drop_below(&mut self, boundary: i64, seed: u64) {
        self.sealed.retain(|c| c.maxt >= boundary);
        if let Some(first) = self.sealed.first_mut().filter(|c| c.mint < boundary)
            && let Ok(rest) = rest_of(first, boundary, seed)
        {
            *first = Arc::new(rest.seal());
        }
        if self.open.count() > 0 && self.open.mint() < boundary {
            // What cannot be decoded stays, for the reader to find.
            if self.open.maxt() < boundary {
                self.open = GorillaChunk::new(seed);
            } else if let Ok(rest) = rest_of(&self.open.seal(), boundary, seed) {
                self.open = rest;
            }
        }
        let keep = self.histograms.partition_point(|(t, _)| *t < boundary);
        self.histograms.drain(..keep);
        if self.sealed.is_empty() {
            self.sealed.shrink_to_fit();
        }
    }

    /// Whether nothing is left that a query could read from here.
    pub fn is_empty(&self) -> bool {
        self.open.count() == 0
            && self.sealed.is_empty()
            && self.histograms.is_empty()
            && !self.has_late
    }

    /// Number of in-order samples.
    pub fn num_samples(&self) -> u64 {
        u64::from(self.open.count())
            + self.sealed.iter().map(|c| u64::from(c.count)).sum::<u64>()
            + self.histograms.len() as u64
    }

    /// Number of chunks.
    pub fn num_chunks(&self) -> u64 {
        self.sealed.len() as u64 + u64::from(self.open.count() > 0)
    }

    /// Bytes of memory outside the struct, nearly.
    pub fn heap_bytes(&self) -> usize {
        self.open.heap_bytes()
            + self.sealed.iter().map(|c| sealed_bytes(c)).sum::<usize>()
            + self.histograms.len() * 200
    }
}

/// The samples of `chunk` from `from` on.
fn rest_of(chunk: &SealedChunk, from: i64, seed: u64) -> Result<GorillaChunk, Truncated> {
    let (mut times, mut values) = (Vec::new(), Vec::new());
    decode_times(&chunk.times, chunk.count, &mut times)?;
    let skip = times.partition_point(|t| *t < from);
    decode_values(&chunk.values, chunk.count, skip, times.len() - skip, &mut values)?;
    let mut rest = GorillaChunk::new(seed);
    for (t, v) in times.iter().skip(skip).zip(values) {
        rest.append(*t, v);
    }
    Ok(rest)
}

/// Bytes of memory of a sealed chunk.
pub fn sealed_bytes(chunk: &SealedChunk) -> usize {
    chunk.times.len() + chunk.values.len() + size_of::<SealedChunk>() + 24
}
