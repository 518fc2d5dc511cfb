//! The alias table: from the hash of raw label bytes to the series, so that the labels of a known
//! series are never parsed again.
//!
//! Senders repeat the order of their series from scrape to scrape, and aliases are kept in the order
//! in which they first came. So the alias behind the one that was found last is tried first: no
//! hash table is asked, and memory is walked from front to back.

use hashbrown::HashTable;
use parking_lot::RwLock;

use crate::append::Alias;
use crate::wal::record::SeriesRef;

/// A series as the alias table knows it: its slot, and its reference, which tells whether the slot
/// still holds that series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Slot of the series.
    pub slot: u32,
    /// Reference of the series.
    pub series: SeriesRef,
}

/// Where an alias is, and the part of it by which the table is sorted: growing visits no alias.
#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u32,
    at: u32,
}

/// Bytes of an alias in the table, its place in a table that is two thirds full included.
pub const ENTRY_BYTES: usize = size_of::<(Alias, Known)>() + (size_of::<Place>() + 1) * 3 / 2;

#[derive(Debug, Default)]
struct Table {
    entries: Vec<(Alias, Known)>,
    places: HashTable<Place>,
}

/// The key is a seeded hash already.
#[expect(clippy::cast_possible_truncation, reason = "any 32 bits of a hash")]
const fn hash_of(alias: Alias) -> u32 {
    alias.0 as u32
}

/// The table wants its bits at both ends of a word.
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Table {
    fn place(&self, alias: Alias) -> Option<usize> {
        let hash = hash_of(alias);
        let is = |p: &Place| p.hash == hash && self.entries[p.at as usize].0 == alias;
        self.places.find(spread(hash), is).map(|p| p.at as usize)
    }

    fn insert(&mut self, alias: Alias, known: Known) {
        if let Some(at) = self.place(alias) {
            self.entries[at].1 = known;
            return;
        }
        let at = u32::try_from(self.entries.len()).expect("fewer than 2^32 aliases");
        self.entries.push((alias, known));
        let place = Place { hash: hash_of(alias), at };
        self.places.insert_unique(spread(place.hash), place, |p| spread(p.hash));
    }
}

/// The table.
#[derive(Debug, Default)]
pub struct AliasTable(RwLock<Table>);

impl AliasTable {
    /// Looks all of `aliases` up; unknown ones become `None`.
    pub fn find_all(&self, aliases: &[Alias], out: &mut Vec<Option<Known>>) {
        out.clear();
        let table = self.0.read();
        let mut next = 0;
        out.extend(aliases.iter().map(|alias| {
            let at = match table.entries.get(next) {
                Some((expected, _)) if expected == alias => next,
                _ => table.place(*alias)?,
            };
            next = at + 1;
            Some(table.entries[at].1)
        }));
    }

    /// Notes that `alias` names `known`.
    pub fn insert(&self, alias: Alias, known: Known) {
        self.0.write().insert(alias, known);
    }

    /// Drops the aliases of series for which `keep` does not hold.
    pub fn retain(&self, mut keep: impl FnMut(Known) -> bool) {
        let mut table = self.0.write();
        let before = table.entries.len();
        table.entries.retain(|(_, known)| keep(*known));
        if table.entries.len() == before {
            return;
        }
        let Table { entries, places } = &mut *table;
        places.clear();
        places.shrink_to(entries.len(), |p| spread(p.hash));
        for (at, (alias, _)) in (0..).zip(entries.iter()) {
            let place = Place { hash: hash_of(*alias), at };
            places.insert_unique(spread(place.hash), place, |p| spread(p.hash));
        }
        entries.shrink_to_fit();
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> usize {
        let table = self.0.read();
        table.entries.capacity() * size_of::<(Alias, Known)>()
            + table.places.capacity() * (size_of::<Place>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Model: a map. Requests are runs of neighbours, in the order of the table or not.
        #[test]
        fn agrees_with_a_map(ops in proptest::collection::vec((0..3_u8, 0..60_u32, 1..20_u32), 0..60)) {
            let table = AliasTable::default();
            let mut model = std::collections::BTreeMap::new();
            // Some differ in nothing that the table is sorted by.
            let alias = |n: u32| Alias(u128::from(n) << 100 | u128::from(n / 2));
            let mut number = 0;
            for (what, from, len) in ops {
                let run = from..from + len;
                match what {
                    0 => for n in run {
                        number += 1;
                        let known = Known { slot: number, series: SeriesRef(u64::from(number)) };
                        table.insert(alias(n), known);
                        model.insert(n, known);
                    },
                    1 => {
                        let wanted: Vec<u32> = run.clone().chain(run.rev()).collect();
                        let aliases: Vec<Alias> = wanted.iter().map(|n| alias(*n)).collect();
                        let mut found = Vec::new();
                        table.find_all(&aliases, &mut found);
                        let want: Vec<_> = wanted.iter().map(|n| model.get(n).copied()).collect();
                        prop_assert_eq!(found, want);
                    }
                    _ => {
                        let gone = |known: Known| known.slot % 20 == from % 20;
                        table.retain(|known| !gone(known));
                        model.retain(|_, known| !gone(*known));
                    }
                }
            }
        }
    }
}
