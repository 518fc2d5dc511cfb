//! Reading a series of the head.

use std::sync::Arc;

use model::{ColumnId, ReadError, SeriesBuf};

use super::Head;
use super::late::{LateBuffer, LateValue};
use crate::chunk::time_stream::decode_times;
use crate::chunk::{ChunkError, Encoding};
use crate::head::open::OpenCopy;
use crate::head::sealed::{SealedChunk, decode};
use crate::head::stripes::stripe_of;
use crate::query::any_inside;
use crate::wal::record::SeriesRef;
use model::HistogramValue;

/// What a series holds in a time range, taken under its lock and decoded without it. Its buffers are
/// reused from series to series.
#[derive(Debug, Default)]
pub struct SeriesSnapshot {
    chunks: Vec<Arc<SealedChunk>>,
    open: OpenCopy,
    histograms: Vec<(i64, HistogramValue)>,
    has_late: bool,
}

/// A chunk, open or not.
struct Encoded<'a> {
    count: u16,
    column: Option<ColumnId>,
    times: &'a [u8],
    encoding: Option<Encoding>,
    values: &'a [u8],
}

impl Head {
    /// Puts into `snapshot` what the series in `slot` holds in `[mint, maxt]`; nothing where the slot
    /// holds another series by now.
    pub fn snapshot(
        &self,
        slot: u32,
        series: SeriesRef,
        (mint, maxt): (i64, i64),
        snapshot: &mut SeriesSnapshot,
    ) {
        let SeriesSnapshot { chunks, open, histograms, has_late } = snapshot;
        chunks.clear();
        histograms.clear();
        open.count = 0;
        *has_late = false;
        let mut stripe = self.stripes.lock(stripe_of(slot));
        let found = stripe.part(slot).filter(|(s, _)| s.id == series);
        let Some((s, store)) = found else { return };
        let inside = |first: i64, last: i64| first <= maxt && last >= mint;
        chunks.extend(s.sealed.iter().filter(|c| inside(c.mint, c.maxt)).cloned());
        if let Some(chunk) = s.open.as_ref().filter(|c| inside(c.mint(), c.maxt())) {
            chunk.copy_to(store, open);
        }
        let from = s.histograms.partition_point(|(t, _)| *t < mint);
        let to = s.histograms.partition_point(|(t, _)| *t <= maxt);
        histograms.extend_from_slice(s.histograms.get(from..to).unwrap_or_default());
        *has_late = s.has_late;
    }

    /// Whether the series in `slot` has an in-order sample in `[mint, maxt]`; `None` where only
    /// decoding tells.
    pub fn has_samples(&self, slot: u32, id: SeriesRef, mint: i64, maxt: i64) -> Option<bool> {
        let stripe = self.stripes.lock(stripe_of(slot));
        let Some(series) = stripe.get(slot).filter(|s| s.id == id) else { return Some(false) };
        let open = series.open.as_ref().map(|open| (open.mint(), open.maxt()));
        let chunks = series.sealed.iter().map(|c| (c.mint, c.maxt)).chain(open);
        let histograms = series.histograms.iter().map(|(t, _)| (*t, *t));
        any_inside(chunks.chain(histograms), mint, maxt)
    }

    /// Samples and encoded bytes of the series in `slot`, whatever their time.
    pub fn weight(&self, slot: u32) -> (u64, u64) {
        let stripe = self.stripes.lock(stripe_of(slot));
        stripe.get(slot).map_or((0, 0), |s| (s.num_samples(), s.heap_bytes() as u64))
    }
}

impl SeriesSnapshot {
    /// Whether late buffers must be looked into.
    pub fn has_late(&self) -> bool {
        self.has_late
    }

    /// The encoded floats, where all that it has in `[mint, maxt]` are those of one whole chunk that is
    /// encoded as in blocks.
    pub fn encoded(&self, mint: i64, maxt: i64) -> Option<(Encoding, &[u8])> {
        let [chunk] = &*self.chunks else { return None };
        let is_whole = self.open.count == 0 && mint <= chunk.mint && chunk.maxt <= maxt;
        chunk.encoding.filter(|_| is_whole).map(|encoding| (encoding, &*chunk.values))
    }

    /// Appends the in-order samples in `[mint, maxt]` to `buf`, as runs.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] if a chunk in memory is damaged.
    pub fn read(&self, mint: i64, maxt: i64, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        let sealed = self.chunks.iter().map(|c| Encoded {
            count: c.count,
            column: Some(c.column),
            times: &c.times,
            encoding: c.encoding,
            values: &c.values,
        });
        let OpenCopy { count, column, times, values } = &self.open;
        let (count, column) = (*count, *column);
        let open = (count > 0).then_some(Encoded { count, column, times, encoding: None, values });
        for Encoded { count, column, times: encoded_times, encoding, values } in sealed.chain(open)
        {
            let runs = buf.times_run(column, |times| {
                let start = times.len();
                decode_times(encoded_times, count, times)?;
                let column = &times[start..];
                let skip = column.partition_point(|t| *t < mint);
                let keep = column.partition_point(|t| *t <= maxt);
                times.truncate(start + keep);
                times.drain(start..start + skip);
                Ok::<_, ChunkError>(skip)
            });
            runs.and_then(|r| {
                decode(encoding, values, count, r.skip..r.skip + r.len, buf.values_mut())
            })
            .map_err(|e| ReadError::Corrupt(format!("head: {e}")))?;
        }
        for (t, h) in &self.histograms {
            buf.push_histogram(*t, h.clone());
        }
        Ok(())
    }
}

/// The late samples of a series in `[mint, maxt]`, in time order, from buffers in the order of
/// their age: a younger buffer wins.
pub fn read_late(
    buffers: &[Arc<LateBuffer>],
    series: SeriesRef,
    mint: i64,
    maxt: i64,
) -> Vec<(i64, LateValue)> {
    let mut out: Vec<(i64, LateValue)> = Vec::new();
    for buffer in buffers {
        buffer.read(series, mint, maxt, &mut out);
    }
    // Stable: of equal times the one from the youngest buffer is last.
    out.sort_by_key(|(t, _)| *t);
    out.reverse();
    out.dedup_by_key(|(t, _)| *t);
    out.reverse();
    out
}
