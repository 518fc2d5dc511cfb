//! Strings of the head, each held once and named by a number that is reused when nobody holds it
//! any more.

use std::sync::Arc;

use hashbrown::HashTable;
use model::ReadError;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::query::coded::Texts;

/// Names a string in a [`Symbols`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SymbolId(pub u32);

#[derive(Debug)]
struct Entry {
    text: Arc<str>,
    holders: u32,
    /// Kept, so that a growing table need not visit every text.
    hash: u32,
}

/// The symbol table.
#[derive(Debug, Default)]
pub struct Symbols {
    seed: u64,
    entries: Vec<Option<Entry>>,
    ids: HashTable<SymbolId>,
    free: Vec<SymbolId>,
    text_bytes: usize,
}

/// The table wants its bits at both ends of a word.
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Symbols {
    /// An empty table; `seed` is the process's.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half of a hash")]
    fn hash(&self, text: &str) -> u32 {
        xxh3_64_with_seed(text.as_bytes(), self.seed) as u32
    }

    /// The number of `text`, which gains a holder.
    pub fn hold(&mut self, text: &str) -> SymbolId {
        let hash = self.hash(text);
        if let Some(id) = self.find_hashed(hash, text) {
            self.entry_mut(id).holders += 1;
            return id;
        }
        self.text_bytes += text.len();
        let entry = Some(Entry { text: Arc::from(text), holders: 1, hash });
        let id = if let Some(id) = self.free.pop() {
            self.entries[id.0 as usize] = entry;
            id
        } else {
            self.entries.push(entry);
            SymbolId(u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 symbols"))
        };
        let entries = &self.entries;
        self.ids.insert_unique(spread(hash), id, |id| {
            entries[id.0 as usize].as_ref().map_or(0, |e| spread(e.hash))
        });
        id
    }

    /// A held number gains a holder.
    pub fn hold_again(&mut self, id: SymbolId) {
        self.entry_mut(id).holders += 1;
    }

    /// A held number gains so many holders.
    pub fn hold_times(&mut self, id: SymbolId, holders: u32) {
        self.entry_mut(id).holders += holders;
    }

    /// Takes a holder away; the last one frees the number.
    pub fn release(&mut self, id: SymbolId) {
        let entry = self.entry_mut(id);
        entry.holders -= 1;
        if entry.holders > 0 {
            return;
        }
        let entry = self.entries[id.0 as usize].take().expect("it was there a line ago");
        self.text_bytes -= entry.text.len();
        if let Ok(found) = self.ids.find_entry(spread(entry.hash), |i| *i == id) {
            found.remove();
        }
        self.free.push(id);
        if self.ids.capacity() > 4 * self.ids.len() {
            let entries = &self.entries;
            self.ids.shrink_to(2 * self.ids.len(), |id| {
                entries[id.0 as usize].as_ref().map_or(0, |e| spread(e.hash))
            });
        }
    }

    fn entry_mut(&mut self, id: SymbolId) -> &mut Entry {
        self.entries[id.0 as usize].as_mut().expect("a held symbol is in the table")
    }

    /// The string of a held number.
    pub fn get(&self, id: SymbolId) -> &Arc<str> {
        &self.entries[id.0 as usize].as_ref().expect("a held symbol is in the table").text
    }

    /// The number of `text`, if anybody holds it.
    pub fn find(&self, text: &str) -> Option<SymbolId> {
        self.find_hashed(self.hash(text), text)
    }

    fn find_hashed(&self, hash: u32, text: &str) -> Option<SymbolId> {
        let is = |id: &SymbolId| {
            let entry = self.entries[id.0 as usize].as_ref();
            entry.is_some_and(|e| e.hash == hash && *e.text == *text)
        };
        self.ids.find(spread(hash), is).copied()
    }

    /// Gives the memory of free numbers at the end back.
    pub fn shrink(&mut self) {
        let len = self.entries.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        if len < self.entries.len() {
            self.entries.truncate(len);
            self.free.retain(|id| (id.0 as usize) < len);
            self.free.shrink_to_fit();
        }
        if self.entries.capacity() > 2 * len {
            self.entries.shrink_to_fit();
        }
    }

    /// One more than the highest number that was given out.
    pub fn num_ids(&self) -> usize {
        self.entries.len()
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no string is held.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Bytes of memory held, nearly.
    pub fn heap_bytes(&self) -> usize {
        self.text_bytes
            + self.ids.len() * 16
            + self.entries.capacity() * size_of::<Option<Entry>>()
            + self.ids.capacity() * (size_of::<SymbolId>() + 1)
    }
}

impl Texts for Symbols {
    fn text(&self, symbol: u32, with: &mut dyn FnMut(&str)) -> Result<(), ReadError> {
        with(self.get(SymbolId(symbol)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_lives_as_long_as_its_holders() {
        let mut s = Symbols::new(7);
        let (a, b, again) = (s.hold("a"), s.hold("b"), s.hold("a"));
        assert_eq!((a, &**s.get(b)), (again, "b"));
        s.hold_again(a);
        s.release(a);
        s.release(a);
        assert_eq!((s.find("a"), s.len()), (Some(a), 2));
        s.release(a);
        assert_eq!((s.find("a"), s.len()), (None, 1));
        assert_eq!(s.hold("c"), a, "the number is reused");
    }

    #[test]
    fn a_table_that_grew_and_shrank_still_finds_what_is_held() {
        let mut s = Symbols::new(7);
        let ids: Vec<_> = (0..5000).map(|n| s.hold(&n.to_string())).collect();
        let full = s.heap_bytes();
        for (n, id) in ids.iter().enumerate().filter(|(n, _)| n % 100 != 0) {
            s.release(*id);
            assert_eq!(s.find(&n.to_string()), None);
        }
        for (n, id) in ids.iter().enumerate().step_by(100) {
            assert_eq!(s.find(&n.to_string()), Some(*id));
        }
        assert!(s.heap_bytes() < full);
    }
}
