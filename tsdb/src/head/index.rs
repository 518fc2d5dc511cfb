//! The inverted index of the head: label sets of the live series, and the postings by label pair.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashTable};
use model::{Labels, ReadError};
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::head::label_codes::{self, LabelCode, Schemas};
use crate::head::symbols::{SymbolId, Symbols};
use crate::postings::mem::PostingList;
use crate::query::coded::Coded;
use crate::wal::record::SeriesRef;

/// One label name: which series have it, and its values in order, so that a prefix is a range.
#[derive(Debug, Default)]
pub struct NameIndex {
    /// Slots of the series that have the label.
    pub has: RoaringBitmap,
    /// The postings of each value.
    pub values: BTreeMap<Arc<str>, PostingList>,
}

/// A series in the index.
#[derive(Debug)]
struct Indexed {
    series: SeriesRef,
    code: LabelCode,
}

#[derive(Debug, Clone, Copy)]
struct Canonical {
    hash: u64,
    slot: u32,
}

/// Slots in label order, brought up to date when somebody asks.
#[derive(Debug, Default)]
struct Order {
    /// Position in label order by slot; meaningless for free slots.
    rank: Vec<u32>,
    /// Slots in label order.
    sorted: Vec<u32>,
    /// Slots that were added since; some may be gone again, or stand here twice.
    added: Vec<u32>,
    /// Whether slots were removed since.
    removed: bool,
}

/// The index. Behind one lock: lookups share it, only new and dropped series change it.
#[derive(Debug, Default)]
pub struct HeadIndex {
    seed: u64,
    symbols: Symbols,
    schemas: Schemas,
    slots: Vec<Option<Indexed>>,
    free: Vec<u32>,
    canonical: HashTable<Canonical>,
    names: HashMap<Arc<str>, NameIndex>,
    all: RoaringBitmap,
    order: Mutex<Order>,
    code_bytes: usize,
}

impl HeadIndex {
    /// An empty index; `seed` is the process's.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    fn hash(&self, labels: &Labels) -> u64 {
        xxh3_64_with_seed(labels.as_bytes(), self.seed)
    }

    /// The slot and reference of the series with these labels.
    pub fn find(&self, labels: &Labels) -> Option<(u32, SeriesRef)> {
        let hash = self.hash(labels);
        let found = self.canonical.find(hash, |c| c.hash == hash && self.is(c.slot, labels))?;
        Some((found.slot, self.indexed(found.slot).series))
    }

    fn is(&self, slot: u32, labels: &Labels) -> bool {
        label_codes::equals(&self.indexed(slot).code, labels, &self.schemas, &self.symbols)
    }

    fn indexed(&self, slot: u32) -> &Indexed {
        self.slots[slot as usize].as_ref().expect("the slot of a live series is taken")
    }

    /// Adds a series that [`HeadIndex::find`] did not find; returns its slot.
    pub fn insert(&mut self, labels: &Labels, series: SeriesRef) -> u32 {
        let code = label_codes::encode(labels, &mut self.schemas, &mut self.symbols);
        self.code_bytes += code.len();
        let indexed = Some(Indexed { series, code });
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = indexed;
            slot
        } else {
            self.slots.push(indexed);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 series at a time")
        };
        let hash = self.hash(labels);
        self.canonical.insert_unique(hash, Canonical { hash, slot }, |c| c.hash);
        self.all.insert(slot);
        for (name, value) in labels {
            if !self.names.contains_key(name) {
                let id = self.symbols.hold(name);
                self.names.insert(Arc::clone(self.symbols.get(id)), NameIndex::default());
            }
            let entry = self.names.get_mut(name).expect("it was put in a line ago");
            entry.has.insert(slot);
            if let Some(list) = entry.values.get_mut(value) {
                list.insert(slot);
            } else {
                let text = self.symbols.find(value).expect("the code holds its values");
                let mut list = PostingList::default();
                list.insert(slot);
                entry.values.insert(Arc::clone(self.symbols.get(text)), list);
            }
        }
        self.order.get_mut().added.push(slot);
        slot
    }

    /// Takes a series out of the index: nobody finds it any more. Its labels stay readable by
    /// slot, for those who found it before, until [`HeadIndex::free`].
    pub fn unlink(&mut self, slot: u32) {
        let labels = self.labels(slot);
        let hash = self.hash(&labels);
        if let Ok(entry) = self.canonical.find_entry(hash, |c| c.slot == slot) {
            entry.remove();
        }
        for (name, value) in &labels {
            let Some(entry) = self.names.get_mut(name) else { continue };
            entry.has.remove(slot);
            if let Some(list) = entry.values.get_mut(value) {
                list.remove(slot);
                if list.is_empty() {
                    entry.values.remove(value);
                }
            }
            if entry.values.is_empty() {
                self.names.remove(name);
                let id = self.symbols.find(name).expect("the name's entry held it");
                self.symbols.release(id);
            }
        }
        self.all.remove(slot);
        self.order.get_mut().removed = true;
    }

    /// Frees the slot of an unlinked series for another one.
    pub fn free(&mut self, slot: u32) {
        let indexed = self.slots[slot as usize].take().expect("an unlinked series keeps its slot");
        self.code_bytes -= indexed.code.len();
        label_codes::release(&indexed.code, &self.schemas, &mut self.symbols);
        self.free.push(slot);
    }

    /// The labels of a live series.
    pub fn labels(&self, slot: u32) -> Labels {
        label_codes::decode(&self.indexed(slot).code, &self.schemas, &self.symbols)
    }

    /// Calls `visit` with the coded labels of the series in `slots`, in their order.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn coded(
        &self,
        slots: impl Iterator<Item = u32>,
        visit: &mut dyn FnMut(Coded<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let (mut names, mut values, mut schema) = (Vec::new(), Vec::new(), None);
        for slot in slots {
            let code = &self.indexed(slot).code;
            let of = label_codes::numbers(code, &self.schemas, schema, &mut names, &mut values);
            schema = Some(of);
            visit(Coded { schema: of, names: &names, values: &values, texts: &self.symbols })?;
        }
        Ok(())
    }

    /// The reference of a live series.
    pub fn series(&self, slot: u32) -> SeriesRef {
        self.indexed(slot).series
    }

    /// Number of live series.
    pub fn num_series(&self) -> u64 {
        self.all.len()
    }

    /// Number of slots, free ones included.
    pub fn num_slots(&self) -> usize {
        self.slots.len()
    }

    /// The live slots.
    pub fn all(&self) -> &RoaringBitmap {
        &self.all
    }

    /// The index of one label name.
    pub fn name(&self, name: &str) -> Option<&NameIndex> {
        self.names.get(name)
    }

    /// All label names, in no order.
    pub fn names(&self) -> impl Iterator<Item = (&Arc<str>, &NameIndex)> {
        self.names.iter()
    }

    /// The slots of `selected` in label order.
    pub fn in_order(&self, selected: &RoaringBitmap) -> Vec<u32> {
        let mut slots: Vec<u32> = selected.iter().collect();
        let mut order = self.order.lock();
        // A few series are sorted sooner than an outdated order of all is mended.
        if slots.len() < 64 {
            slots.sort_by(|a, b| self.compare(*a, *b));
            return slots;
        }
        self.mend(&mut order);
        slots.sort_unstable_by_key(|slot| order.rank[*slot as usize]);
        slots
    }

    fn mend(&self, order: &mut Order) {
        if order.added.is_empty() && !order.removed {
            return;
        }
        let mut added = std::mem::take(&mut order.added);
        added.retain(|slot| self.all.contains(*slot));
        if order.sorted.len() < added.len() {
            // Mostly new: sorting by label texts that are decoded once is the quicker way.
            added.clear();
            let mut keyed: Vec<(Labels, u32)> =
                self.all.iter().map(|slot| (self.labels(slot), slot)).collect();
            keyed.sort_unstable();
            order.sorted = keyed.into_iter().map(|(_, slot)| slot).collect();
        } else {
            added.sort_by(|a, b| self.compare(*a, *b));
            added.dedup();
            // A slot that was freed and taken again is among the added; it leaves its old place.
            let fresh: RoaringBitmap = added.iter().copied().collect();
            let old = std::mem::take(&mut order.sorted);
            let mut old =
                old.into_iter().filter(|s| self.all.contains(*s) && !fresh.contains(*s)).peekable();
            let mut merged = Vec::with_capacity(usize::try_from(self.all.len()).unwrap_or(0));
            for slot in added {
                while let Some(next) = old.next_if(|o| self.compare(*o, slot).is_lt()) {
                    merged.push(next);
                }
                merged.push(slot);
            }
            merged.extend(old);
            order.sorted = merged;
        }
        order.rank.resize(self.slots.len(), 0);
        for (rank, slot) in (0..).zip(&order.sorted) {
            order.rank[*slot as usize] = rank;
        }
        order.removed = false;
    }

    fn compare(&self, a: u32, b: u32) -> std::cmp::Ordering {
        let pairs = |slot: u32| {
            label_codes::pairs(&self.indexed(slot).code, &self.schemas)
                .map(|(n, v): (SymbolId, SymbolId)| (self.symbols.get(n), self.symbols.get(v)))
        };
        pairs(a).cmp(pairs(b))
    }

    /// Bytes of memory held, nearly; walks the names.
    pub fn heap_bytes(&self) -> usize {
        let postings: usize = self
            .names
            .values()
            .map(|n| {
                n.has.serialized_size()
                    + n.values.values().map(|p| p.heap_bytes() + 64).sum::<usize>()
            })
            .sum();
        postings
            + self.symbols.heap_bytes()
            + self.code_bytes
            + self.slots.capacity() * size_of::<Option<Indexed>>()
            + self.canonical.capacity() * (size_of::<Canonical>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(n: u32) -> Labels {
        Labels::from_pairs([("__name__", format!("m{}", n % 5)), ("i", format!("{}", n / 5))])
            .unwrap()
    }

    proptest! {
        /// Model: a map from labels to slots; order is that of the label sets.
        #[test]
        fn agrees_with_a_map(ops in proptest::collection::vec((any::<bool>(), 0..300_u32, any::<bool>()), 0..600)) {
            let mut index = HeadIndex::new(7);
            let mut model = BTreeMap::new();
            for (i, (add, n, look)) in ops.into_iter().enumerate() {
                let l = labels(n);
                match (index.find(&l), add) {
                    (None, true) => {
                        let slot = index.insert(&l, SeriesRef(i as u64));
                        prop_assert_eq!(model.insert(l, slot), None);
                    }
                    (Some((slot, _)), false) => {
                        index.unlink(slot);
                        prop_assert_eq!(index.labels(slot), labels(n));
                        index.free(slot);
                        prop_assert_eq!(model.remove(&l), Some(slot));
                    }
                    (found, _) => prop_assert_eq!(found.map(|f| f.0), model.get(&l).copied()),
                }
                if look {
                    prop_assert_eq!(index.in_order(index.all()), model.values().copied().collect::<Vec<_>>());
                }
            }
            for (l, slot) in &model {
                prop_assert_eq!(&index.labels(*slot), l);
                for (n, v) in l {
                    prop_assert!(index.name(n).unwrap().values[v].to_bitmap().contains(*slot));
                }
            }
            prop_assert_eq!(index.num_series(), model.len() as u64);
            let listed: usize = index.name("i").map_or(0, |n| n.values.values().map(|p| usize::try_from(p.len()).unwrap()).sum());
            prop_assert_eq!(listed, model.len());
        }
    }
}
