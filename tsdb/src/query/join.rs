//! Which series of several sources are the same, without making their labels.
//!
//! Sources give their series in label order, and mostly they have the same ones. So heads are
//! compared by key ([`Keys`]); only where they differ their labels decide which comes first.

use model::{Interrupt, Labels, ReadError};

use super::coded::Keys;
use super::{SharedSource, Source};

/// Keys that are made at a time.
const CHUNK: usize = 1024;

/// The series of some sources, in label order.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined {
    /// Every source has all of them, under the same numbers.
    Same {
        /// How many sources.
        sources: u32,
        /// How many series.
        series: u32,
    },
    /// Some source lacks some series.
    Parts {
        /// Source and number there, grouped by series, sources ascending.
        parts: Vec<(u32, u32)>,
        /// Where the parts of each series begin, and their end.
        starts: Vec<u32>,
    },
}

#[expect(clippy::len_without_is_empty, reason = "nobody asks")]
impl Joined {
    /// Number of series.
    pub fn len(&self) -> usize {
        match self {
            Self::Same { series, .. } => *series as usize,
            Self::Parts { starts, .. } => starts.len() - 1,
        }
    }

    /// Source and number there of series `i`, in the source that has it first.
    pub fn first_part(&self, i: usize) -> (u32, u32) {
        match self {
            Self::Same { .. } => (0, number(i)),
            Self::Parts { parts, starts } => parts[starts[i] as usize],
        }
    }

    /// Whether all series are those of the first source, under its numbers.
    pub fn is_first(&self) -> bool {
        matches!(self, Self::Same { .. })
    }

    /// Source and number there of series `i`, sources ascending.
    pub fn parts(&self, i: usize) -> impl Iterator<Item = (u32, u32)> + '_ {
        let (same, listed) = match self {
            Self::Same { sources, .. } => (0..*sources, &[][..]),
            Self::Parts { parts, starts } => {
                (0..0, &parts[starts[i] as usize..starts[i + 1] as usize])
            }
        };
        same.map(move |n| (n, number(i))).chain(listed.iter().copied())
    }

    /// Adds a series that these sources have, `num_sources` in all.
    fn push(&mut self, num_sources: usize, part: impl Iterator<Item = (u32, u32)> + Clone) {
        if let Self::Same { sources, series } = self {
            if part.clone().count() == num_sources {
                *series += 1;
                return;
            }
            let parts = (0..*series).flat_map(|i| (0..*sources).map(move |n| (n, i))).collect();
            let starts = (0..=*series).map(|i| i * *sources).collect();
            *self = Self::Parts { parts, starts };
        }
        if let Self::Parts { parts, starts } = self {
            parts.extend(part);
            starts.push(number(parts.len()));
        }
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("fewer than 2^32 series in a selection")
}

/// A source and how far it was read.
struct Cursor<'a> {
    number: u32,
    source: &'a dyn Source,
    at: usize,
    keys: Keys,
    /// Keys of the series from `from` on.
    chunk: Vec<u128>,
    from: usize,
    /// Labels of series `at`, where they were needed.
    labels: Option<Labels>,
    /// Key of series `at`; `None` at the end.
    key: Option<u128>,
}

impl Cursor<'_> {
    /// Finds the key of series `at`.
    fn look(&mut self) -> Result<(), ReadError> {
        if self.at == self.source.len() {
            self.key = None;
            return Ok(());
        }
        if self.at == self.from + self.chunk.len() {
            self.from = self.at;
            self.chunk.clear();
            let range = self.at..self.source.len().min(self.at + CHUNK);
            let (keys, chunk) = (&mut self.keys, &mut self.chunk);
            self.source.coded(range, &mut |coded| {
                chunk.push(keys.key(coded)?);
                Ok(())
            })?;
        }
        self.key = Some(self.chunk[self.at - self.from]);
        Ok(())
    }

    fn step(&mut self) -> Result<(), ReadError> {
        self.at += 1;
        self.labels = None;
        self.look()
    }
}

/// Joins `sources`; `seed` is the process's.
///
/// # Errors
/// [`ReadError`].
pub fn join(
    sources: &[SharedSource],
    seed: u64,
    interrupt: &dyn Interrupt,
) -> Result<Joined, ReadError> {
    let num_sources = sources.len();
    let mut joined = Joined::Same { sources: number(num_sources), series: 0 };
    if let [only] = sources {
        return Ok(Joined::Same { sources: 1, series: number(only.len()) });
    }
    let mut cursors = Vec::with_capacity(num_sources);
    for (number, source) in (0..).zip(sources) {
        let (keys, chunk) = (Keys::new(seed), Vec::new());
        let source = &**source;
        let mut cursor =
            Cursor { number, source, at: 0, keys, chunk, from: 0, labels: None, key: None };
        cursor.look()?;
        cursors.push(cursor);
    }
    let mut num_series = 0_usize;
    while let Some(key) = next(&mut cursors)? {
        if num_series.is_multiple_of(CHUNK) {
            interrupt.check()?;
        }
        num_series += 1;
        let having = cursors.iter().filter(|c| c.key == Some(key));
        joined.push(num_sources, having.map(|c| (c.number, number(c.at))));
        for cursor in cursors.iter_mut().filter(|c| c.key == Some(key)) {
            cursor.step()?;
        }
    }
    Ok(joined)
}

/// The key of the first series, in label order, that the cursors stand at.
fn next(cursors: &mut [Cursor<'_>]) -> Result<Option<u128>, ReadError> {
    let Some(first) = cursors.iter().find_map(|c| c.key) else { return Ok(None) };
    if cursors.iter().all(|c| c.key.is_none_or(|key| key == first)) {
        return Ok(Some(first));
    }
    for cursor in cursors.iter_mut().filter(|c| c.key.is_some() && c.labels.is_none()) {
        cursor.labels = Some(cursor.source.labels(cursor.at)?);
    }
    let least = cursors.iter().filter(|c| c.key.is_some()).min_by(|a, b| a.labels.cmp(&b.labels));
    Ok(least.and_then(|c| c.key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::coded::{Coded, Texts};
    use model::{Estimate, NeverInterrupted, SeriesBuf};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::ops::Range;
    use std::sync::Arc;

    /// A source of series `{l="<n>"}`, its symbols numbered from `base`.
    struct Numbered {
        series: Vec<u32>,
        base: u32,
    }

    fn text(n: u32) -> String {
        format!("{n:03}")
    }

    impl Texts for Numbered {
        fn text(&self, symbol: u32, with: &mut dyn FnMut(&str)) -> Result<(), ReadError> {
            match symbol {
                0 => with("l"),
                n => with(&text(n - self.base)),
            }
            Ok(())
        }
    }

    impl Source for Numbered {
        fn len(&self) -> usize {
            self.series.len()
        }
        fn labels(&self, i: usize) -> Result<Labels, ReadError> {
            Ok(Labels::from_pairs([("l", text(self.series[i]))]).unwrap())
        }
        fn coded(
            &self,
            range: Range<usize>,
            visit: &mut dyn FnMut(Coded<'_>) -> Result<(), ReadError>,
        ) -> Result<(), ReadError> {
            for n in &self.series[range] {
                visit(Coded { schema: 0, names: &[0], values: &[n + self.base], texts: self })?;
            }
            Ok(())
        }
        fn bounds(&self) -> (i64, i64) {
            (0, 0)
        }
        fn late_seq(&self) -> u64 {
            0
        }
        fn read(&self, _: usize, _: i64, _: i64, _: &mut SeriesBuf) -> Result<(), ReadError> {
            Ok(())
        }
        fn has_samples(&self, _: usize, _: i64, _: i64) -> Result<Option<bool>, ReadError> {
            Ok(Some(false))
        }
        fn estimate(&self, _: usize, _: i64, _: i64) -> Result<Estimate, ReadError> {
            Ok(Estimate::default())
        }
    }

    fn joined(sets: &[BTreeSet<u32>]) -> Joined {
        let source = |(n, set): (usize, &BTreeSet<u32>)| -> SharedSource {
            Arc::new(Numbered {
                series: set.iter().copied().collect(),
                base: 1 + u32::try_from(n).unwrap() * 500,
            })
        };
        let sources: Vec<SharedSource> = sets.iter().enumerate().map(source).collect();
        join(&sources, 3, &NeverInterrupted).unwrap()
    }

    #[test]
    fn equal_sources_cost_no_list() {
        let set: BTreeSet<u32> = (0..300).collect();
        let joined = joined(&[set.clone(), set.clone(), set]);
        assert_eq!(joined, Joined::Same { sources: 3, series: 300 });
        assert_eq!(joined.parts(7).collect::<Vec<_>>(), [(0, 7), (1, 7), (2, 7)]);
    }

    proptest! {
        /// Model: a map from label set to the sources that have it.
        #[test]
        fn agrees_with_a_map(
            common in proptest::collection::btree_set(0..60_u32, 0..40),
            own in proptest::collection::vec(proptest::collection::btree_set(0..60_u32, 0..4), 1..5),
        ) {
            let sets: Vec<BTreeSet<u32>> = own.iter().map(|own| common.union(own).copied().collect()).collect();
            let mut want: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
            for (n, set) in (0..).zip(&sets) {
                for (i, series) in (0..).zip(set) {
                    want.entry(*series).or_default().push((n, i));
                }
            }
            let got = joined(&sets);
            prop_assert_eq!(got.len(), want.len());
            for (i, parts) in want.values().enumerate() {
                prop_assert_eq!(&got.parts(i).collect::<Vec<_>>(), parts);
                prop_assert_eq!(got.first_part(i), parts[0]);
            }
        }
    }
}
