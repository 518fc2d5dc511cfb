//! Strings of the head, each held once and named by a number that is reused when nobody holds it
//! any more.

use std::sync::Arc;

use hashbrown::HashMap;
use model::ReadError;

use crate::query::coded::Texts;

/// Names a string in a [`Symbols`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SymbolId(pub u32);

#[derive(Debug)]
struct Entry {
    text: Arc<str>,
    holders: u32,
}

/// The symbol table.
#[derive(Debug, Default)]
pub struct Symbols {
    entries: Vec<Option<Entry>>,
    ids: HashMap<Arc<str>, SymbolId>,
    free: Vec<SymbolId>,
    text_bytes: usize,
}

impl Symbols {
    /// The number of `text`, which gains a holder.
    pub fn hold(&mut self, text: &str) -> SymbolId {
        if let Some(id) = self.ids.get(text).copied() {
            self.entry_mut(id).holders += 1;
            return id;
        }
        let text: Arc<str> = Arc::from(text);
        self.text_bytes += text.len();
        let entry = Some(Entry { text: Arc::clone(&text), holders: 1 });
        let id = if let Some(id) = self.free.pop() {
            self.entries[id.0 as usize] = entry;
            id
        } else {
            self.entries.push(entry);
            SymbolId(u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 symbols"))
        };
        self.ids.insert(text, id);
        id
    }

    /// Takes a holder away; the last one frees the number.
    pub fn release(&mut self, id: SymbolId) {
        let entry = self.entry_mut(id);
        entry.holders -= 1;
        if entry.holders == 0 {
            let entry = self.entries[id.0 as usize].take().expect("it was there a line ago");
            self.text_bytes -= entry.text.len();
            self.ids.remove(&entry.text);
            self.free.push(id);
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
        self.ids.get(text).copied()
    }

    /// Bytes of memory held, nearly.
    pub fn heap_bytes(&self) -> usize {
        self.text_bytes
            + self.ids.len() * 16
            + self.entries.capacity() * size_of::<Option<Entry>>()
            + self.ids.capacity() * 25
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
        let mut s = Symbols::default();
        let (a, b, again) = (s.hold("a"), s.hold("b"), s.hold("a"));
        assert_eq!((a, &**s.get(b)), (again, "b"));
        s.release(a);
        assert_eq!(s.find("a"), Some(a));
        s.release(a);
        assert_eq!(s.find("a"), None);
        assert_eq!(s.hold("c"), a, "the number is reused");
    }
}
