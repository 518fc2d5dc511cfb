//! Samples of one series from several sources, where the later write wins.

use model::{ReadError, SeriesBuf, Wanted};

use super::Source;
use crate::head::late::LateValue;

/// One series in one source.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// The source.
    pub source: &'a dyn Source,
    /// The number of the series there.
    pub series: usize,
}

impl Part<'_> {
    /// Appends its samples in `[mint, maxt]` to `buf`, as far as they are `wanted` if that is given.
    ///
    /// # Errors
    /// [`ReadError`] of the source.
    pub fn read(
        &self,
        (mint, maxt): (i64, i64),
        wanted: Option<&Wanted>,
        buf: &mut SeriesBuf,
    ) -> Result<(), ReadError> {
        match wanted {
            None => self.source.read(self.series, mint, maxt, buf),
            Some(wanted) => self.source.read_wanted(self.series, (mint, maxt), wanted, buf),
        }
    }
}

/// Reads the samples of `parts`, which are the same series, in `[mint, maxt]` into `buf`; where
/// no more than `wanted` is needed, some may stand for others.
///
/// Sources whose times do not overlap, the common case, are read one after the other straight into
/// `buf`; others are merged sample by sample, which needs them all. Returns how many samples were beaten by another one at
/// the same time.
///
/// # Errors
/// [`ReadError`] of any source.
pub fn read(
    parts: &mut [Part<'_>],
    (mint, maxt): (i64, i64),
    wanted: Option<&Wanted>,
    buf: &mut SeriesBuf,
) -> Result<u64, ReadError> {
    parts.sort_by_key(|p| p.source.bounds());
    let apart = parts.windows(2).all(|w| w[0].source.bounds().1 < w[1].source.bounds().0);
    let late: Vec<(i64, LateValue)> =
        parts.iter().flat_map(|p| p.source.late(p.series, mint, maxt)).collect();
    buf.begin();
    let read = if apart && late.is_empty() {
        parts.iter().try_for_each(|p| p.read((mint, maxt), wanted, buf)).map(|()| 0)
    } else {
        merge(parts, late, mint, maxt, buf)
    };
    if read.is_err() {
        buf.begin();
    }
    buf.end();
    read
}

fn merge(
    parts: &mut [Part<'_>],
    late: Vec<(i64, LateValue)>,
    mint: i64,
    maxt: i64,
    buf: &mut SeriesBuf,
) -> Result<u64, ReadError> {
    parts.sort_by_key(|p| p.source.late_seq());
    let mut samples: Vec<(i64, LateValue)> = Vec::new();
    let mut scratch = SeriesBuf::new();
    for part in parts {
        scratch.begin();
        part.source.read(part.series, mint, maxt, &mut scratch)?;
        scratch.end();
        let floats = scratch.times().iter().zip(scratch.values());
        samples.extend(floats.map(|(t, v)| (*t, LateValue::Float(v.to_bits()))));
        let histograms = scratch.histograms().iter().cloned();
        samples.extend(histograms.map(|(t, h)| (t, LateValue::Histogram(h))));
    }
    samples.extend(late);
    let before = samples.len();
    keep_last(&mut samples);
    let beaten = before - samples.len();
    let mut floats = Vec::with_capacity(samples.len());
    for (t, value) in samples {
        match value {
            LateValue::Float(bits) => floats.push((t, f64::from_bits(bits))),
            LateValue::Histogram(h) => buf.push_histogram(t, h),
        }
    }
    buf.push_unshared(floats);
    Ok(beaten as u64)
}

/// Sorts by time; of equal times the last one in the list stays.
pub fn keep_last<V>(samples: &mut Vec<(i64, V)>) {
    samples.sort_by_key(|(t, _)| *t);
    samples.reverse();
    samples.dedup_by_key(|(t, _)| *t);
    samples.reverse();
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Estimate, Labels};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    struct Fixed {
        samples: BTreeMap<i64, u64>,
        seq: u64,
        late: BTreeMap<i64, u64>,
    }

    impl Source for Fixed {
        fn len(&self) -> usize {
            1
        }
        fn labels(&self, _: usize) -> Result<Labels, ReadError> {
            Ok(Labels::empty())
        }
        fn coded(
            &self,
            _: std::ops::Range<usize>,
            _: &mut dyn FnMut(crate::query::coded::Coded<'_>) -> Result<(), ReadError>,
        ) -> Result<(), ReadError> {
            unreachable!("merging needs no labels")
        }
        fn bounds(&self) -> (i64, i64) {
            let first = self.samples.keys().next().copied().unwrap_or(0);
            (first, self.samples.keys().next_back().copied().unwrap_or(0))
        }
        fn has_samples(&self, _: usize, mint: i64, maxt: i64) -> Result<Option<bool>, ReadError> {
            Ok(Some(self.samples.range(mint..=maxt).next().is_some()))
        }
        fn late_seq(&self) -> u64 {
            self.seq
        }
        fn read(
            &self,
            _: usize,
            mint: i64,
            maxt: i64,
            buf: &mut SeriesBuf,
        ) -> Result<(), ReadError> {
            buf.push_unshared(
                self.samples.range(mint..=maxt).map(|(t, v)| (*t, f64::from_bits(*v))),
            );
            Ok(())
        }
        fn late(&self, _: usize, mint: i64, maxt: i64) -> Vec<(i64, LateValue)> {
            self.late.range(mint..=maxt).map(|(t, v)| (*t, LateValue::Float(*v))).collect()
        }
        fn estimate(&self, _: usize, _: i64, _: i64) -> Result<Estimate, ReadError> {
            Ok(Estimate::default())
        }
    }

    proptest! {
        /// Model: maps laid over each other in the order of their ranks, late samples on top.
        #[test]
        fn the_higher_rank_wins(
            layers in proptest::collection::vec(proptest::collection::btree_map(0..60_i64, any::<u64>(), 0..20), 1..5),
            late in proptest::collection::btree_map(0..60_i64, any::<u64>(), 0..5),
            order in any::<u64>(), mint in -1..60_i64, maxt in 0..61_i64,
        ) {
            prop_assume!(mint <= maxt);
            let mut want = BTreeMap::new();
            for layer in layers.iter().chain([&late]) {
                want.extend(layer.range(mint..=maxt).map(|(t, v)| (*t, *v)));
            }
            let mut sources: Vec<Fixed> = layers.into_iter().enumerate()
                .map(|(i, samples)| Fixed { samples, seq: i as u64, late: BTreeMap::new() }).collect();
            sources[0].late = late;
            let n = sources.len();
            sources.rotate_left(usize::try_from(order).unwrap() % n);
            let mut parts: Vec<Part<'_>> = sources.iter().map(|s| Part { source: s, series: 0 }).collect();
            let mut buf = SeriesBuf::new();
            read(&mut parts, (mint, maxt), None, &mut buf).unwrap();
            let got: Vec<_> = buf.times().iter().copied().zip(buf.values().iter().map(|v| v.to_bits())).collect();
            prop_assert_eq!(got, want.into_iter().collect::<Vec<_>>());
        }
    }
}
