//! The late buffer: samples older than their series' newest, ordered by (series, time) so that a
//! query reads a range and a flush walks it once. It takes any age.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crossbeam_skiplist::SkipMap;
use model::HistogramValue;

use crate::wal::record::{HistogramRow, Record, SeriesRef};

/// Bytes of memory of one entry: key, value, and the tower of a skip list node.
const ENTRY_BYTES: u64 = 96;

/// A value of the late buffer.
#[derive(Debug, Clone)]
pub enum LateValue {
    /// The bits of a float.
    Float(u64),
    /// A histogram.
    Histogram(HistogramValue),
}

/// Late samples that were logged in a range of sequence numbers.
#[derive(Debug)]
pub struct LateBuffer {
    rows: SkipMap<(SeriesRef, i64), LateValue>,
    mint: AtomicI64,
    maxt: AtomicI64,
    /// Insertions, overwritten ones included: an upper bound of the length.
    inserted: AtomicU64,
}

impl Default for LateBuffer {
    fn default() -> Self {
        Self {
            rows: SkipMap::new(),
            mint: AtomicI64::new(i64::MAX),
            maxt: AtomicI64::new(i64::MIN),
            inserted: AtomicU64::new(0),
        }
    }
}

impl LateBuffer {
    /// Puts a sample in; it replaces one of the same series and time. Calls for one series come in
    /// log order.
    pub fn insert(&self, series: SeriesRef, t_ms: i64, value: LateValue) {
        self.mint.fetch_min(t_ms, Ordering::Relaxed);
        self.maxt.fetch_max(t_ms, Ordering::Relaxed);
        self.inserted.fetch_add(1, Ordering::Relaxed);
        self.rows.insert((series, t_ms), value);
    }

    /// Appends the samples of `series` in `[mint, maxt]` to `out`, in time order.
    pub fn read(&self, series: SeriesRef, mint: i64, maxt: i64, out: &mut Vec<(i64, LateValue)>) {
        if mint > maxt {
            return;
        }
        let range = self.rows.range((series, mint)..=(series, maxt));
        out.extend(range.map(|e| (e.key().1, e.value().clone())));
    }

    /// Takes the samples of `series` in `[mint, maxt]` out.
    pub fn remove(&self, series: SeriesRef, mint: i64, maxt: i64) {
        for entry in self.rows.range((series, mint)..=(series, maxt)) {
            if entry.remove() {
                self.inserted.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Whether any sample belongs to `series`.
    pub fn has(&self, series: SeriesRef) -> bool {
        self.rows.range((series, i64::MIN)..=(series, i64::MAX)).next().is_some()
    }

    /// Whether any sample may lie in `[mint, maxt]`.
    pub fn overlaps(&self, mint: i64, maxt: i64) -> bool {
        !self.is_empty()
            && self.mint.load(Ordering::Relaxed) <= maxt
            && mint <= self.maxt.load(Ordering::Relaxed)
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// First and last time.
    pub fn bounds(&self) -> (i64, i64) {
        (self.mint.load(Ordering::Relaxed), self.maxt.load(Ordering::Relaxed))
    }

    /// All samples, by series, then time.
    pub fn iter(&self) -> impl Iterator<Item = (SeriesRef, i64, LateValue)> + '_ {
        self.rows.iter().map(|e| (e.key().0, e.key().1, e.value().clone()))
    }

    /// Number of samples, nearly.
    pub fn num_rows(&self) -> u64 {
        self.inserted.load(Ordering::Relaxed)
    }

    /// Bytes of memory held, nearly.
    pub fn heap_bytes(&self) -> u64 {
        self.num_rows() * ENTRY_BYTES
    }
}

impl Record {
    /// Adds a late sample.
    pub fn push_late(&mut self, series: SeriesRef, t_ms: i64, value: LateValue) {
        match value {
            LateValue::Float(bits) => {
                self.late.refs.push(series);
                self.late.times.push(t_ms);
                self.late.values.push(f64::from_bits(bits));
            }
            LateValue::Histogram(value) => {
                self.histograms.push(HistogramRow { series, t_ms, late: true, value });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_write_replaces_and_ranges_keep_to_their_series() {
        let buffer = LateBuffer::default();
        for (s, t, v) in [(1, 10, 1), (1, 5, 2), (2, 7, 3), (1, 10, 4)] {
            buffer.insert(SeriesRef(s), t, LateValue::Float(v));
        }
        let mut out = Vec::new();
        buffer.read(SeriesRef(1), 0, 10, &mut out);
        let floats: Vec<_> = out
            .iter()
            .map(|(t, v)| match v {
                LateValue::Float(bits) => (*t, *bits),
                LateValue::Histogram(_) => panic!("no histogram was put in"),
            })
            .collect();
        assert_eq!(floats, [(5, 2), (10, 4)]);
        assert_eq!(buffer.bounds(), (5, 10));
        assert!(buffer.overlaps(10, 20) && !buffer.overlaps(11, 20));
    }
}
