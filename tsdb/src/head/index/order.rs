//! The slots of the index in label order, brought up to date when somebody asks.

use std::ops::Range;

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use super::{HeadIndex, NameIndex};
use crate::head::symbols::SymbolId;

/// Memory for the labels that are sorted by at one time.
const COLUMNS_BYTES: usize = 8 << 20;

/// Slots in label order.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Position in label order by slot; meaningless for free slots.
    rank: Vec<u32>,
    /// Slots in label order.
    sorted: Vec<u32>,
    /// Slots that were added since; some may be gone again, or stand here twice.
    added: Vec<u32>,
    /// Whether slots were removed since.
    removed: bool,
    /// How many slots were sorted for those who asked while all had to be sorted anew.
    put_off: usize,
}

impl Order {
    pub(super) fn add(&mut self, slots: Range<u32>) {
        self.added.extend(slots);
    }

    pub(super) const fn remove(&mut self) {
        self.removed = true;
    }

    /// Whether all must be sorted to bring it up to date. Some of the added may be gone or counted twice:
    /// that is for [`HeadIndex::mend`] to see.
    const fn is_outdated(&self) -> bool {
        self.sorted.len() < 16 * self.added.len()
    }
}

impl HeadIndex {
    /// The slots of `selected` in label order.
    pub fn in_order(&self, selected: &RoaringBitmap) -> Vec<u32> {
        let mut slots: Vec<u32> = selected.iter().collect();
        let mut order = self.order.lock();
        // A few series are sorted sooner than an outdated order of all is mended.
        if slots.len() < 64 {
            slots.sort_by(|a, b| self.compare(*a, *b));
            return slots;
        }
        // So are those of the first query after a start, who should not wait for the others. When such
        // queries have cost half as much as sorting all, all are sorted.
        if order.is_outdated() && order.put_off + slots.len() <= self.slots.len() / 2 {
            order.put_off += slots.len();
            drop(order);
            return self.sort(selected);
        }
        self.mend(&mut order);
        if slots.len() == order.sorted.len() {
            return order.sorted.clone();
        }
        slots.sort_unstable_by_key(|slot| order.rank[*slot as usize]);
        slots
    }

    fn compare(&self, a: u32, b: u32) -> std::cmp::Ordering {
        self.dictionary.compare(&self.indexed(a).code, &self.indexed(b).code)
    }

    fn mend(&self, order: &mut Order) {
        if order.added.is_empty() && !order.removed {
            return;
        }
        let mut added = std::mem::take(&mut order.added);
        added.retain(|slot| self.all.contains(*slot));
        added.sort_unstable();
        added.dedup();
        // A slot that was freed and taken again is among the added; it leaves its old place.
        if order.removed {
            let fresh: RoaringBitmap = added.iter().copied().collect();
            order.sorted.retain(|s| self.all.contains(*s) && !fresh.contains(*s));
        }
        // After a shrink nothing is sorted, whatever was added.
        let is_whole = (order.sorted.len() + added.len()) as u64 == self.all.len();
        if !is_whole || order.sorted.len() < 16 * added.len() {
            order.sorted = self.sort(&self.all);
        } else {
            let fresh: RoaringBitmap = added.into_iter().collect();
            self.insert_sorted(&mut order.sorted, self.sort(&fresh));
        }
        order.rank.resize(self.slots.len(), 0);
        for (rank, slot) in (0..).zip(&order.sorted) {
            order.rank[*slot as usize] = rank;
        }
        order.removed = false;
        order.put_off = 0;
    }

    /// Puts a few slots, which are in order, where they belong.
    fn insert_sorted(&self, sorted: &mut Vec<u32>, added: Vec<u32>) {
        let old = std::mem::take(sorted);
        sorted.reserve_exact(old.len() + added.len());
        let mut rest = old.as_slice();
        for slot in added {
            let at = rest.partition_point(|o| self.compare(*o, slot).is_lt());
            sorted.extend_from_slice(&rest[..at]);
            sorted.push(slot);
            rest = &rest[at..];
        }
        sorted.extend_from_slice(rest);
    }

    /// Sorts slots without looking at texts: those of one schema by counting, a label at a time and
    /// the last label first, for the index knows the order of each label's values; then the
    /// schemas are merged.
    fn sort(&self, slots: &RoaringBitmap) -> Vec<u32> {
        let mut numbers = HashMap::new();
        let mut by_schema: Vec<(Vec<u32>, &[SymbolId])> = Vec::new();
        let mut latest = None;
        for slot in slots {
            let (schema, names) = self.schema(slot);
            let number = match latest {
                Some((of, number)) if of == schema => number,
                _ => *numbers.entry(schema).or_insert_with(|| {
                    by_schema.push((Vec::new(), names));
                    by_schema.len() - 1
                }),
            };
            latest = Some((schema, number));
            by_schema[number].0.push(slot);
        }
        let mut rank = vec![0; self.dictionary.symbols().num_ids()];
        let mut runs: Vec<Vec<u32>> = by_schema
            .into_iter()
            .map(|(slots, names)| self.sort_schema(slots, names, &mut rank))
            .collect();
        // Short ones first, so that a long run is not copied again and again.
        runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.len()));
        while runs.len() > 1 {
            let (a, b) = (runs.pop().unwrap_or_default(), runs.pop().unwrap_or_default());
            let merged = self.merge(&a, &b);
            let at = runs.partition_point(|run| run.len() >= merged.len());
            runs.insert(at, merged);
        }
        runs.pop().unwrap_or_default()
    }

    /// Sorts slots of one schema. `rank` is a scratch array, one place a symbol.
    fn sort_schema(&self, mut slots: Vec<u32>, names: &[SymbolId], rank: &mut [u32]) -> Vec<u32> {
        let names: Vec<&NameIndex> = names.iter().filter_map(|n| self.names.get(n)).collect();
        let values: usize = names.iter().map(|n| n.num_values()).sum();
        // Counting walks all values of a label, whoever has them.
        if slots.len() < values / 16 + 16 {
            slots.sort_unstable_by(|a, b| self.compare(*a, *b));
            return slots;
        }
        let mut places: Vec<u32> = (0..).take(slots.len()).collect();
        // As many labels at a time as fit: label sets are walked once for each group.
        let at_once = (COLUMNS_BYTES / (slots.len() * size_of::<u32>())).max(1);
        let mut end = names.len();
        while end > 0 {
            let start = end.saturating_sub(at_once);
            let group = &names[start..end];
            let mut columns = vec![Vec::with_capacity(slots.len()); group.len()];
            for slot in &slots {
                let values = self.pairs(*slot).map(|(_, value)| value.0).skip(start);
                for (column, value) in columns.iter_mut().zip(values) {
                    column.push(value);
                }
            }
            for (name, mut column) in group.iter().zip(columns).rev() {
                for (n, value) in (0..).zip(name.order.values()) {
                    rank[value.0 as usize] = n;
                }
                for value in &mut column {
                    *value = rank[*value as usize];
                }
                if column.iter().any(|n| Some(n) != column.first()) {
                    places = count_sort(&places, &column, name.num_values());
                }
            }
            end = start;
        }
        places.into_iter().map(|place| slots[place as usize]).collect()
    }

    fn merge(&self, a: &[u32], b: &[u32]) -> Vec<u32> {
        let mut out = Vec::with_capacity(a.len() + b.len());
        let mut rest = b;
        for slot in a {
            let before = rest.iter().take_while(|o| self.compare(**o, *slot).is_lt()).count();
            out.extend_from_slice(&rest[..before]);
            out.push(*slot);
            rest = &rest[before..];
        }
        out.extend_from_slice(rest);
        out
    }
}

/// `places` sorted by their `keys`, which are below `num_keys`; equal ones keep their order.
fn count_sort(places: &[u32], keys: &[u32], num_keys: usize) -> Vec<u32> {
    let mut starts = vec![0_u32; num_keys + 1];
    for key in keys {
        starts[*key as usize + 1] += 1;
    }
    for key in 1..starts.len() {
        starts[key] += starts[key - 1];
    }
    let mut out = vec![0; places.len()];
    for place in places {
        let next = &mut starts[keys[*place as usize] as usize];
        out[*next as usize] = *place;
        *next += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use model::Labels;
    use proptest::prelude::*;

    use super::*;
    use crate::wal::record::SeriesRef;

    #[test]
    fn order_survives_a_shrink_behind_which_nothing_is_added() {
        let mut index = HeadIndex::new(7);
        let labels = |n: u32| Labels::from_pairs([("i", format!("{}", n ^ 0x2aa))]).unwrap();
        for n in 0..2000 {
            index.insert(&labels(n), SeriesRef(u64::from(n) + 1));
        }
        assert_eq!(index.in_order(index.all()).len(), 2000);
        for slot in 200..2000 {
            index.unlink(slot);
            index.free(slot);
        }
        index.shrink();
        let mut want: Vec<u32> = (0..200).collect();
        want.sort_by_key(|slot| labels(*slot));
        assert_eq!(index.in_order(index.all()), want);
    }

    proptest! {
        /// Model: the label sets, sorted. Enough series a schema that they are counted, and new
        /// ones between two looks, few and many.
        #[test]
        fn order_is_that_of_the_label_sets(
            rounds in proptest::collection::vec((0..200_u32, 0..400_u32, any::<bool>()), 1..6),
        ) {
            let mut index = HeadIndex::new(7);
            let mut sets: Vec<(Labels, u32)> = Vec::new();
            for (from, n, drop) in rounds {
                for i in from..from + n {
                    let extra = ["zone", "a", "job"][(i % 3) as usize];
                    let pairs = [("__name__", i % 7), ("i", i / 3), (extra, i * 7 % 5), ("k", 1)];
                    let labels = Labels::from_pairs(pairs.map(|(n, v)| (n, v.to_string()))).unwrap();
                    if index.find(&labels).is_none() {
                        let slot = index.insert(&labels, SeriesRef(u64::from(i) + 1));
                        sets.push((labels, slot));
                    }
                }
                if drop {
                    for (_, slot) in sets.extract_if(.., |(_, slot)| *slot % 4 == 1) {
                        index.unlink(slot);
                        index.free(slot);
                    }
                }
                sets.sort();
                let want: Vec<u32> = sets.iter().map(|(_, slot)| *slot).collect();
                // Parts, more and more of it, then all.
                for part in [9, 5, 5, 5, 1] {
                    let is_in = |slot: &u32| slot.is_multiple_of(part);
                    let selected = index.all().iter().filter(is_in).collect();
                    let want: Vec<u32> = want.iter().copied().filter(is_in).collect();
                    prop_assert_eq!(index.in_order(&selected), want);
                }
            }
        }
    }
}
