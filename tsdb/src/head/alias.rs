//! The alias table: from the hash of raw label bytes to the series, so that the labels of a known
//! series are never parsed again.

use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::append::Alias;
use crate::wal::record::SeriesRef;

const SHARDS: usize = 16;

/// A series as the alias table knows it: its slot, and its reference, which tells whether the slot
/// still holds that series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Slot of the series.
    pub slot: u32,
    /// Reference of the series.
    pub series: SeriesRef,
}

/// Identity: the key is a seeded hash already.
#[derive(Debug, Clone, Copy, Default)]
struct Identity(u64);

impl std::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("aliases hash as one u128")
    }

    fn write_u128(&mut self, v: u128) {
        self.0 = u64::try_from(v & u128::from(u64::MAX)).unwrap_or_default();
    }
}

/// Bytes of a place in the table.
pub const ENTRY_BYTES: usize = size_of::<(Alias, Known)>() + 1;

type Shard = HashMap<Alias, Known, std::hash::BuildHasherDefault<Identity>>;

/// The table, in shards by the high bits of the alias.
#[derive(Debug, Default)]
pub struct AliasTable {
    shards: [RwLock<Shard>; SHARDS],
}

impl AliasTable {
    fn shard(&self, alias: Alias) -> &RwLock<Shard> {
        let high = usize::try_from(alias.0 >> 124).unwrap_or_default();
        &self.shards[high % SHARDS]
    }

    /// Looks all of `aliases` up; unknown ones become `None`.
    pub fn find_all(&self, aliases: &[Alias], out: &mut Vec<Option<Known>>) {
        out.clear();
        let shards = self.shards.each_ref().map(RwLock::read);
        out.extend(aliases.iter().map(|alias| {
            let high = usize::try_from(alias.0 >> 124).unwrap_or_default();
            shards[high % SHARDS].get(alias).copied()
        }));
    }

    /// Notes that `alias` names `known`.
    pub fn insert(&self, alias: Alias, known: Known) {
        self.shard(alias).write().insert(alias, known);
    }

    /// Drops the aliases of series for which `gone` holds.
    pub fn retain(&self, mut keep: impl FnMut(Known) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.write();
            shard.retain(|_, known| keep(*known));
            shard.shrink_to_fit();
        }
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> usize {
        self.shards.iter().map(|s| s.read().capacity() * ENTRY_BYTES).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_found_and_dropped() {
        let table = AliasTable::default();
        let known = |n| Known { slot: n, series: SeriesRef(u64::from(n) + 100) };
        let alias = |n: u32| Alias(u128::from(n) << 124 | u128::from(n));
        for n in 0..40 {
            table.insert(alias(n), known(n));
        }
        let mut found = Vec::new();
        table.find_all(&[alias(1), alias(41), alias(39)], &mut found);
        assert_eq!(found, [Some(known(1)), None, Some(known(39))]);
        table.retain(|k| k.slot != 1);
        table.find_all(&[alias(1), alias(2)], &mut found);
        assert_eq!(found, [None, Some(known(2))]);
    }
}
