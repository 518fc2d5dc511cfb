//! The inverted index of the head: label sets of the live series, and the postings by label pair.

pub mod frame;
mod order;
mod runs;

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;

use hashbrown::hash_table::Entry;
use hashbrown::{HashMap, HashTable};
use model::{Labels, ReadError};
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::head::label_codes::{Dictionary, LabelCode, Pair, SchemaId};
use crate::head::symbols::{SymbolId, Symbols};
use crate::postings::mem::PostingList;
use crate::query::coded::Coded;
use crate::wal::record::SeriesRef;
use order::Order;
use runs::Runs;

/// One label name: which series have it, and its values in order, so that a prefix is a range.
#[derive(Debug, Default)]
pub struct NameIndex {
    /// Slots of the series that have the label.
    pub has: RoaringBitmap,
    lists: HashMap<SymbolId, PostingList>,
    order: BTreeMap<Arc<str>, SymbolId>,
}

impl NameIndex {
    /// Number of distinct values.
    pub fn num_values(&self) -> usize {
        self.order.len()
    }

    /// The postings of a value.
    pub fn get(&self, value: &str) -> Option<&PostingList> {
        self.order.get(value).and_then(|id| self.lists.get(id))
    }

    /// The values from `first` on, in order, with their postings.
    pub fn values_from(&self, first: &str) -> impl Iterator<Item = (&Arc<str>, &PostingList)> {
        let range = self.order.range::<str, _>((Bound::Included(first), Bound::Unbounded));
        range.filter_map(|(value, id)| Some((value, self.lists.get(id)?)))
    }

    /// The postings of every value, by the number of the value, in no order.
    pub fn lists(&self) -> impl Iterator<Item = (SymbolId, &PostingList)> {
        self.lists.iter().map(|(id, list)| (*id, list))
    }

    fn insert(
        &mut self,
        value: SymbolId,
        runs: impl Iterator<Item = Range<u32>>,
        text: impl FnOnce() -> Arc<str>,
    ) {
        let order = &mut self.order;
        let list = self.lists.entry(value).or_insert_with(|| {
            order.insert(text(), value);
            PostingList::Empty
        });
        for run in runs {
            if run.len() == 1 { list.insert(run.start) } else { list.insert_run(run) }
        }
    }

    fn remove(&mut self, value: SymbolId, slot: u32, text: &str) {
        self.has.remove(slot);
        let Some(list) = self.lists.get_mut(&value) else { return };
        list.remove(slot);
        if list.is_empty() {
            self.lists.remove(&value);
            self.order.remove(text);
            if self.lists.capacity() > 4 * self.lists.len() + 64 {
                self.lists.shrink_to(2 * self.lists.len());
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        self.has.serialized_size()
            + self.lists.values().map(PostingList::heap_bytes).sum::<usize>()
            + self.lists.capacity() * (size_of::<(SymbolId, PostingList)>() + 1)
            + self.order.len() * 36
    }
}

/// Bytes that the allocator keeps beside a small piece of memory.
const ALLOCATION_BYTES: usize = 16;
/// Bytes of a label value in a [`NameIndex`] beside its postings.
const VALUE_BYTES: usize = 2 * (size_of::<(SymbolId, PostingList)>() + 1) + 36;

/// A series in the index.
#[derive(Debug)]
struct Indexed {
    series: SeriesRef,
    code: LabelCode,
}

#[derive(Debug, Clone, Copy)]
struct Canonical {
    hash: u32,
    slot: u32,
}

impl Canonical {
    /// The table wants its bits at both ends of a word.
    const fn spread(hash: u32) -> u64 {
        (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half of a hash")]
fn hash_of(code: &[u8], seed: u64) -> u32 {
    xxh3_64_with_seed(code, seed) as u32
}

/// The index. Behind one lock: lookups share it, only new and dropped series change it.
#[derive(Debug, Default)]
pub struct HeadIndex {
    seed: u64,
    dictionary: Dictionary,
    slots: Vec<Option<Indexed>>,
    free: Vec<u32>,
    canonical: HashTable<Canonical>,
    names: HashMap<SymbolId, NameIndex>,
    all: RoaringBitmap,
    order: Mutex<Order>,
    code_bytes: usize,
}

impl HeadIndex {
    /// An empty index; `seed` is the process's.
    pub fn new(seed: u64) -> Self {
        Self { seed, dictionary: Dictionary::new(seed), ..Self::default() }
    }

    fn hash(&self, code: &LabelCode) -> u32 {
        hash_of(code, self.seed)
    }

    /// The slot and reference of the series with these labels.
    pub fn find(&self, labels: &Labels) -> Option<(u32, SeriesRef)> {
        self.find_code(&self.dictionary.find(labels)?)
    }

    fn find_code(&self, code: &LabelCode) -> Option<(u32, SeriesRef)> {
        let hash = self.hash(code);
        let is = |c: &Canonical| c.hash == hash && self.indexed(c.slot).code == *code;
        let found = self.canonical.find(Canonical::spread(hash), is)?;
        Some((found.slot, self.indexed(found.slot).series))
    }

    fn indexed(&self, slot: u32) -> &Indexed {
        self.slots[slot as usize].as_ref().expect("the slot of a live series is taken")
    }

    /// Adds a series that [`HeadIndex::find`] did not find; returns its slot.
    pub fn insert(&mut self, labels: &Labels, series: SeriesRef) -> u32 {
        let (code, pairs) = self.dictionary.encode(labels);
        let (slot, is_new) = self.insert_code(code, series);
        debug_assert!(is_new, "it was not found");
        self.taken(slot..slot + 1);
        for (name, value) in pairs {
            let (entry, symbols) = self.name_entry(name);
            let run = std::iter::once(slot..slot + 1);
            entry.insert(value, run, || Arc::clone(symbols.get(value)));
            entry.has.insert(slot);
        }
        slot
    }

    /// Adds those of `series` that are not there; returns the slot of each and whether it is new.
    pub fn insert_all(&mut self, series: &[(SeriesRef, Labels)]) -> Vec<(u32, bool)> {
        let mut runs = Runs::default();
        let added = series.iter().map(|(id, labels)| {
            let (code, pairs) = self.dictionary.encode(labels);
            let (slot, is_new) = self.insert_code(code, *id);
            if is_new {
                self.taken(slot..slot + 1);
                runs.push(pairs.into_iter(), slot);
            }
            (slot, is_new)
        });
        let added = added.collect();
        runs.finish(self, 0);
        added
    }

    /// The slot of the series of a code, whose parts have a holder for it, and whether it is new; one that is
    /// is noted as taken and gets its postings later.
    fn insert_code(&mut self, code: LabelCode, series: SeriesRef) -> (u32, bool) {
        let hash = self.hash(&code);
        self.insert_hashed(code, hash, series)
    }

    fn insert_hashed(&mut self, code: LabelCode, hash: u32, series: SeriesRef) -> (u32, bool) {
        let slots = &mut self.slots;
        let is = |c: &Canonical| {
            c.hash == hash && slots[c.slot as usize].as_ref().is_some_and(|s| s.code == code)
        };
        let entry =
            self.canonical.entry(Canonical::spread(hash), is, |c| Canonical::spread(c.hash));
        let entry = match entry {
            Entry::Occupied(found) => {
                let slot = found.get().slot;
                self.dictionary.release(&code);
                return (slot, false);
            }
            Entry::Vacant(entry) => entry,
        };
        self.code_bytes += code.len();
        let indexed = Some(Indexed { series, code });
        let slot = if let Some(slot) = self.free.pop() {
            slots[slot as usize] = indexed;
            slot
        } else {
            slots.push(indexed);
            u32::try_from(slots.len() - 1).expect("fewer than 2^32 series at a time")
        };
        entry.insert(Canonical { hash, slot });
        (slot, true)
    }

    /// Notes slots that were given to series.
    fn taken(&mut self, slots: Range<u32>) {
        self.order.get_mut().add(slots.clone());
        self.all.insert_range(slots);
    }

    fn name_entry(&mut self, name: SymbolId) -> (&mut NameIndex, &mut Symbols) {
        let symbols = self.dictionary.symbols_mut();
        let entry = self.names.entry(name).or_insert_with(|| {
            symbols.hold_again(name);
            NameIndex::default()
        });
        (entry, symbols)
    }

    /// Takes a series out of the index: nobody finds it any more. Its labels stay readable by
    /// slot, for those who found it before, until [`HeadIndex::free`].
    pub fn unlink(&mut self, slot: u32) {
        let code = &self.indexed(slot).code;
        let hash = self.hash(code);
        let pairs: Vec<Pair> = self.dictionary.pairs(code).collect();
        if let Ok(entry) = self.canonical.find_entry(Canonical::spread(hash), |c| c.slot == slot) {
            entry.remove();
        }
        for (name, value) in pairs {
            let Some(entry) = self.names.get_mut(&name) else { continue };
            entry.remove(value, slot, self.dictionary.symbols().get(value));
            if entry.lists.is_empty() {
                self.names.remove(&name);
                self.dictionary.symbols_mut().release(name);
            }
        }
        self.all.remove(slot);
        self.order.get_mut().remove();
    }

    /// Frees the slot of an unlinked series for another one.
    pub fn free(&mut self, slot: u32) {
        let indexed = self.slots[slot as usize].take().expect("an unlinked series keeps its slot");
        self.code_bytes -= indexed.code.len();
        self.dictionary.release(&indexed.code);
        self.free.push(slot);
    }

    /// The labels of a live series.
    pub fn labels(&self, slot: u32) -> Labels {
        self.dictionary.decode(&self.indexed(slot).code)
    }

    /// The labels of a live series as numbers.
    pub fn pairs(&self, slot: u32) -> impl Iterator<Item = Pair> + Clone + '_ {
        self.dictionary.pairs(&self.indexed(slot).code)
    }

    /// The schema of a live series, and the names in it.
    pub fn schema(&self, slot: u32) -> (SchemaId, &[SymbolId]) {
        self.dictionary.schema(&self.indexed(slot).code)
    }

    /// The string of a number that [`HeadIndex::pairs`] or [`HeadIndex::names`] told.
    pub fn text(&self, symbol: SymbolId) -> &Arc<str> {
        self.dictionary.symbols().get(symbol)
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
            let of = self.dictionary.numbers(code, schema, &mut names, &mut values);
            schema = Some(of);
            let texts = self.dictionary.symbols();
            visit(Coded { schema: of.0, names: &names, values: &values, texts })?;
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
        self.dictionary.symbols().find(name).and_then(|id| self.names.get(&id))
    }

    /// All label names, in no order.
    pub fn names(&self) -> impl Iterator<Item = (&Arc<str>, &NameIndex)> {
        self.names.iter().map(|(id, index)| (self.text(*id), index))
    }

    /// Number of distinct label pairs.
    pub fn num_pairs(&self) -> usize {
        self.names.values().map(NameIndex::num_values).sum()
    }

    /// Number of slots that are not free.
    pub fn num_taken(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Gives the memory of free slots at the end and of half empty tables back.
    pub fn shrink(&mut self) {
        let len = self.slots.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        if len < self.slots.len() {
            self.slots.truncate(len);
            self.free.retain(|slot| (*slot as usize) < len);
            self.free.shrink_to_fit();
        }
        if self.slots.capacity() > 2 * len {
            self.slots.shrink_to_fit();
            self.canonical.shrink_to_fit(|c| Canonical::spread(c.hash));
            *self.order.get_mut() = Order::default();
            self.order.get_mut().remove();
        }
        self.dictionary.symbols_mut().shrink();
    }

    /// Bytes of memory held, nearly, without walking anything: postings take about as much as the
    /// codes that they list.
    pub fn held_bytes(&self) -> usize {
        2 * self.code_bytes
            + self.num_taken() * ALLOCATION_BYTES
            + self.slots.capacity() * size_of::<Option<Indexed>>()
            + self.canonical.capacity() * (size_of::<Canonical>() + 1)
            + self.dictionary.symbols().heap_bytes()
            // The postings of a value, if it is a symbol of one name.
            + self.dictionary.symbols().len() * VALUE_BYTES
    }

    /// Bytes of memory held, nearly; walks the names.
    pub fn heap_bytes(&self) -> usize {
        self.names.values().map(NameIndex::heap_bytes).sum::<usize>()
            + self.dictionary.heap_bytes()
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
                    prop_assert!(index.name(n).unwrap().get(v).unwrap().to_bitmap().contains(*slot));
                }
            }
            prop_assert_eq!(index.num_series(), model.len() as u64);
            let listed: usize = index.name("i").map_or(0, |n| n.values_from("").map(|(_, p)| usize::try_from(p.len()).unwrap()).sum());
            prop_assert_eq!(listed, model.len());
        }
    }
}
