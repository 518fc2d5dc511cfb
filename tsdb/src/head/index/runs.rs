//! Postings on their way to the index. Series that come one after another have neighbouring slots and
//! share most labels, so that a label is put in as runs of slots, and looked up once for all of them.

use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;

use super::HeadIndex;
use crate::head::label_codes::Pair;
use crate::head::symbols::SymbolId;

/// The labels of new series with their slots.
#[derive(Debug, Default)]
pub(super) struct Runs {
    values: Grouped<Pair>,
    names: Grouped<SymbolId>,
}

impl Runs {
    /// Adds the labels of the series in `slot`, which is above those before.
    pub(super) fn push(&mut self, pairs: impl Iterator<Item = Pair>, slot: u32) {
        for (place, pair) in pairs.enumerate() {
            self.values.push(place, pair, slot);
            self.names.push(place, pair.0, slot);
        }
    }

    /// Puts them into `index`; to every slot `base` is added.
    pub(super) fn finish(self, index: &mut HeadIndex, base: u32) {
        let shift = |run: &Range<u32>| base + run.start..base + run.end;
        self.values.finish(|(name, value), runs| {
            let (entry, symbols) = index.name_entry(name);
            entry.insert(value, runs.iter().map(shift), || Arc::clone(symbols.get(value)));
        });
        self.names.finish(|name, runs| {
            let has = &mut index.name_entry(name).0.has;
            for run in runs {
                has.insert_range(shift(run));
            }
        });
    }
}

/// Runs of slots by key.
#[derive(Debug)]
struct Grouped<K> {
    /// The run that grows at each place of the label set.
    open: Vec<(K, Range<u32>)>,
    numbers: HashMap<K, u32>,
    /// Each key with the number of its runs.
    keys: Vec<(K, u32)>,
    /// Runs as they ended, with the number of their key.
    done: Vec<(u32, Range<u32>)>,
}

impl<K> Default for Grouped<K> {
    fn default() -> Self {
        let (open, numbers) = (Vec::new(), HashMap::new());
        Self { open, numbers, keys: Vec::new(), done: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash> Grouped<K> {
    /// Makes the run at `place` longer by `slot`, or begins another one.
    #[inline]
    fn push(&mut self, place: usize, key: K, slot: u32) {
        let new = (key, slot..slot + 1);
        match self.open.get_mut(place) {
            Some((of, run)) if *of == key && run.end == slot => run.end += 1,
            Some(run) => {
                let (of, run) = std::mem::replace(run, new);
                self.end(of, run);
            }
            None => self.open.push(new),
        }
    }

    fn end(&mut self, key: K, run: Range<u32>) {
        let next = u32::try_from(self.keys.len()).expect("fewer labels than bytes in a frame");
        let number = *self.numbers.entry(key).or_insert_with(|| {
            self.keys.push((key, 0));
            next
        });
        self.keys[number as usize].1 += 1;
        self.done.push((number, run));
    }

    /// Calls `put` with each key and its runs.
    fn finish(mut self, mut put: impl FnMut(K, &[Range<u32>])) {
        for (key, run) in std::mem::take(&mut self.open) {
            self.end(key, run);
        }
        let mut ends = Vec::with_capacity(self.keys.len());
        let mut end = 0;
        for (_, num_runs) in &self.keys {
            ends.push(end);
            end += *num_runs as usize;
        }
        let mut sorted = vec![0..0; self.done.len()];
        for (number, run) in self.done {
            let end = &mut ends[number as usize];
            sorted[*end] = run;
            *end += 1;
        }
        let mut rest = sorted.as_slice();
        for (key, num_runs) in self.keys {
            let (runs, behind) = rest.split_at(num_runs as usize);
            put(key, runs);
            rest = behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Model: a list of slots by key.
        #[test]
        fn every_key_gets_its_slots_in_order(
            series in proptest::collection::vec((proptest::collection::vec(0..4_u32, 0..4), 1..3_u32), 0..60),
        ) {
            let (mut grouped, mut model) = (Grouped::default(), HashMap::<u32, Vec<u32>>::new());
            let mut slot = 0;
            for (keys, step) in series {
                slot += step;
                for (place, key) in keys.into_iter().enumerate() {
                    // A key has one place.
                    let key = key * 4 + u32::try_from(place).unwrap();
                    grouped.push(place, key, slot);
                    model.entry(key).or_default().push(slot);
                }
            }
            grouped.finish(|key, runs| {
                let slots: Vec<u32> = runs.iter().cloned().flatten().collect();
                assert_eq!(Some(slots), model.remove(&key));
            });
            prop_assert!(model.is_empty());
        }
    }
}
