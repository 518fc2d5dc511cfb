//! Label sets of the head: the number of a schema (the list of label names, which thousands of
//! series share) and the symbol number of each value, as variable-length integers. About 19 bytes a
//! series instead of 250. Equal sets have equal codes, so that codes are compared and hashed in
//! place of texts.

use hashbrown::HashMap;
use model::Labels;

use crate::encoding::varint::{Reader, put_u64};
use crate::head::symbols::{SymbolId, Symbols};

/// A coded label set; decoded only with the dictionary that made it.
pub type LabelCode = Box<[u8]>;

/// Name and value of a label.
pub type Pair = (SymbolId, SymbolId);

/// The number of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SchemaId(pub u32);

#[derive(Debug)]
struct Schema {
    names: Box<[SymbolId]>,
    /// Codes that name it.
    codes: u32,
}

/// Lists of label names, each held as long as a code names it.
#[derive(Debug, Default)]
struct Schemas {
    lists: Vec<Option<Schema>>,
    ids: HashMap<Box<[SymbolId]>, SchemaId>,
    free: Vec<SchemaId>,
}

impl Schemas {
    fn get(&self, id: SchemaId) -> &Schema {
        self.lists[id.0 as usize].as_ref().expect("a code's schema is in the table")
    }

    /// The schema of `names`, which gains a code.
    fn hold(&mut self, names: &[SymbolId], symbols: &mut Symbols) -> SchemaId {
        if let Some(id) = self.ids.get(names).copied() {
            self.get_mut(id).codes += 1;
            return id;
        }
        for name in names {
            symbols.hold_again(*name);
        }
        let schema = Some(Schema { names: names.into(), codes: 1 });
        let id = if let Some(id) = self.free.pop() {
            self.lists[id.0 as usize] = schema;
            id
        } else {
            self.lists.push(schema);
            SchemaId(u32::try_from(self.lists.len() - 1).expect("fewer than 2^32 schemas"))
        };
        self.ids.insert(names.into(), id);
        id
    }

    fn get_mut(&mut self, id: SchemaId) -> &mut Schema {
        self.lists[id.0 as usize].as_mut().expect("a code's schema is in the table")
    }

    fn release(&mut self, id: SchemaId, symbols: &mut Symbols) {
        let Some(schema) = self.lists[id.0 as usize].as_mut() else { return };
        schema.codes -= 1;
        if schema.codes > 0 {
            return;
        }
        let schema = self.lists[id.0 as usize].take().expect("it was there a line ago");
        self.ids.remove(&schema.names);
        for name in &schema.names {
            symbols.release(*name);
        }
        self.free.push(id);
    }
}

/// The label set that was coded last: series that come one after another share most labels.
#[derive(Debug)]
struct Latest {
    labels: Labels,
    pairs: Vec<Pair>,
    schema: SchemaId,
}

/// Symbols and schemas: what makes codes and reads them.
#[derive(Debug, Default)]
pub struct Dictionary {
    symbols: Symbols,
    schemas: Schemas,
    latest: Option<Latest>,
}

impl Dictionary {
    /// An empty dictionary; `seed` is the process's.
    pub fn new(seed: u64) -> Self {
        Self { symbols: Symbols::new(seed), ..Self::default() }
    }

    /// The symbols, to read.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// The symbols, to hold some for other reasons.
    pub fn symbols_mut(&mut self) -> &mut Symbols {
        &mut self.symbols
    }

    /// The code of `labels`, if all of its parts are known.
    pub fn find(&self, labels: &Labels) -> Option<LabelCode> {
        let pairs = self.known(labels).map(|(n, v)| Some((n?, v?))).collect::<Option<Vec<_>>>()?;
        let schema = match &self.latest {
            Some(latest) if latest.pairs.iter().map(|p| p.0).eq(pairs.iter().map(|p| p.0)) => {
                latest.schema
            }
            _ => {
                let names: Vec<SymbolId> = pairs.iter().map(|p| p.0).collect();
                *self.schemas.ids.get(names.as_slice())?
            }
        };
        Some(code(schema, pairs.iter().map(|p| p.1)))
    }

    /// The numbers of names and values, where they have some.
    fn known<'a>(
        &'a self,
        labels: &'a Labels,
    ) -> impl Iterator<Item = (Option<SymbolId>, Option<SymbolId>)> + 'a {
        let mut latest = self.latest.iter().flat_map(|l| l.labels.iter().zip(&l.pairs));
        labels.iter().map(move |(name, value)| match latest.next() {
            Some(((n, v), pair)) if n == name => {
                (Some(pair.0), if v == value { Some(pair.1) } else { self.symbols.find(value) })
            }
            _ => (self.symbols.find(name), self.symbols.find(value)),
        })
    }

    /// Codes `labels`; their parts gain a holder, until [`Dictionary::release`].
    pub fn encode(&mut self, labels: &Labels) -> (LabelCode, Vec<Pair>) {
        let known: Vec<_> = self.known(labels).collect();
        let symbols = &mut self.symbols;
        let mut hold = |id: Option<SymbolId>, text: &str| match id {
            Some(id) => {
                symbols.hold_again(id);
                id
            }
            None => symbols.hold(text),
        };
        let pairs: Vec<Pair> = labels
            .iter()
            .zip(known)
            .map(|((n, v), known)| (hold(known.0, n), hold(known.1, v)))
            .collect();
        let names: Vec<SymbolId> = pairs.iter().map(|p| p.0).collect();
        let schema = self.schemas.hold(&names, symbols);
        // The schema holds its names.
        for name in names {
            symbols.release(name);
        }
        let code = code(schema, pairs.iter().map(|p| p.1));
        self.latest = Some(Latest { labels: labels.clone(), pairs: pairs.clone(), schema });
        (code, pairs)
    }

    /// The schema of `names`, which are held; it stays until
    /// [`Dictionary::release_schema`].
    pub fn hold_schema(&mut self, names: &[SymbolId]) -> SchemaId {
        self.schemas.hold(names, &mut self.symbols)
    }

    /// Ends what [`Dictionary::hold_schema`] began.
    pub fn release_schema(&mut self, schema: SchemaId) {
        self.latest = None;
        self.schemas.release(schema, &mut self.symbols);
    }

    /// A schema that is held gains so many codes, until [`Dictionary::release`] of each. Their values are
    /// held with [`Symbols::hold_times`].
    pub fn hold_schema_times(&mut self, schema: SchemaId, codes: u32) {
        self.schemas.get_mut(schema).codes += codes;
    }

    /// Takes the holders of a code away.
    pub fn release(&mut self, code: &LabelCode) {
        // What it names may be freed.
        self.latest = None;
        let mut reader = Reader::new(code);
        let schema = schema_of(&mut reader);
        while let Some(value) = reader.u64().and_then(|v| u32::try_from(v).ok()) {
            self.symbols.release(SymbolId(value));
        }
        self.schemas.release(schema, &mut self.symbols);
    }

    /// The number of the schema, and the names in it.
    pub fn schema(&self, code: &LabelCode) -> (SchemaId, &[SymbolId]) {
        let id = schema_of(&mut Reader::new(code));
        (id, &self.schemas.get(id).names)
    }

    /// Decodes `code` into `names`, unless they are those of schema `before`, and `values`; the schema.
    pub fn numbers(
        &self,
        code: &LabelCode,
        before: Option<SchemaId>,
        names: &mut Vec<u32>,
        values: &mut Vec<u32>,
    ) -> SchemaId {
        let mut reader = Reader::new(code);
        let schema = schema_of(&mut reader);
        if before != Some(schema) {
            names.clear();
            names.extend(self.schemas.get(schema).names.iter().map(|name| name.0));
        }
        values.clear();
        values.extend(names.iter().map_while(|_| u32::try_from(reader.u64()?).ok()));
        schema
    }

    /// The (name, value) symbols in label order.
    pub fn pairs<'a>(&'a self, code: &'a LabelCode) -> impl Iterator<Item = Pair> + Clone + 'a {
        let mut reader = Reader::new(code);
        let names = &self.schemas.get(schema_of(&mut reader)).names;
        names.iter().scan(reader, |reader, name| {
            let value = u32::try_from(reader.u64()?).ok()?;
            Some((*name, SymbolId(value)))
        })
    }

    /// The label set.
    pub fn decode(&self, code: &LabelCode) -> Labels {
        let text = |id| &**self.symbols.get(id);
        Labels::from_sorted(self.pairs(code).map(|(n, v)| (text(n), text(v))))
    }

    /// Order of label sets.
    pub fn compare(&self, a: &LabelCode, b: &LabelCode) -> std::cmp::Ordering {
        for ((an, av), (bn, bv)) in self.pairs(a).zip(self.pairs(b)) {
            // Most labels are equal, and then they have equal numbers.
            let order = match (an == bn, av == bv) {
                (true, true) => continue,
                (true, false) => self.symbols.get(av).cmp(self.symbols.get(bv)),
                (false, _) => self.symbols.get(an).cmp(self.symbols.get(bn)),
            };
            return order;
        }
        self.schema(a).1.len().cmp(&self.schema(b).1.len())
    }

    /// Bytes of memory held, nearly.
    pub fn heap_bytes(&self) -> usize {
        let schemas = self.schemas.lists.iter().flatten().map(|s| s.names.len() * 8 + 64);
        self.symbols.heap_bytes() + schemas.sum::<usize>()
    }
}

fn code(schema: SchemaId, values: impl ExactSizeIterator<Item = SymbolId>) -> LabelCode {
    let mut code = Vec::with_capacity(4 + values.len() * 4);
    put_u64(&mut code, u64::from(schema.0));
    for value in values {
        put_u64(&mut code, u64::from(value.0));
    }
    code.into_boxed_slice()
}

fn schema_of(code: &mut Reader<'_>) -> SchemaId {
    let id = code.u64().and_then(|id| u32::try_from(id).ok());
    SchemaId(id.expect("a code begins with the number of its schema"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn decoding_inverts_encoding_and_release_frees_all_that_nobody_names() {
        let mut d = Dictionary::new(7);
        let sets = [
            set(&[("__name__", "up"), ("job", "x")]),
            set(&[("__name__", "up"), ("job", "y")]),
            set(&[("__name__", "up"), ("zone", "y")]),
            set(&[]),
            set(&[("job", "up")]),
        ];
        assert!(sets.iter().all(|s| d.find(s).is_none()));
        let codes: Vec<_> = sets.iter().map(|s| d.encode(s).0).collect();
        for (s, c) in sets.iter().zip(&codes) {
            assert_eq!(d.decode(c), *s);
            assert_eq!(d.find(s).as_ref(), Some(c));
            for (other, o) in sets.iter().zip(&codes) {
                assert_eq!(d.compare(c, o), s.cmp(other), "{s} {other}");
            }
        }
        assert_eq!(d.schemas.ids.len(), 4);
        d.release(&codes[1]);
        d.release(&codes[2]);
        assert_eq!((d.find(&sets[1]), d.find(&sets[0]).as_ref()), (None, Some(&codes[0])));
        let find = |d: &Dictionary, text| d.symbols.find(text).is_some();
        assert_eq!((find(&d, "y"), find(&d, "zone"), find(&d, "job")), (false, false, true));
        for n in [0, 3, 4] {
            d.release(&codes[n]);
        }
        assert!(d.symbols.is_empty() && d.schemas.ids.is_empty());
    }
}
