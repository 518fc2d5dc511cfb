//! Label sets of the head: the number of a schema (the list of label names, which thousands of
//! series share) and the symbol number of each value, as variable-length integers. About 19 bytes a
//! series instead of 250.

use hashbrown::HashMap;
use model::Labels;

use crate::encoding::varint::{Reader, put_u64};
use crate::head::symbols::{SymbolId, Symbols};

/// A coded label set; decoded only with the tables that made it.
pub type LabelCode = Box<[u8]>;

/// Lists of label names, each held once. Never freed: there are few.
#[derive(Debug, Default)]
pub struct Schemas {
    lists: Vec<Box<[SymbolId]>>,
    ids: HashMap<Box<[SymbolId]>, u32>,
}

impl Schemas {
    fn id(&mut self, names: Vec<SymbolId>, symbols: &mut Symbols) -> u32 {
        let names = names.into_boxed_slice();
        if let Some(id) = self.ids.get(&names) {
            // The schema holds its names already.
            for name in &names {
                symbols.release(*name);
            }
            return *id;
        }
        let id = u32::try_from(self.lists.len()).expect("fewer than 2^32 schemas");
        self.ids.insert(names.clone(), id);
        self.lists.push(names);
        id
    }
}

/// Codes `labels`; every value gains a holder in `symbols`.
pub fn encode(labels: &Labels, schemas: &mut Schemas, symbols: &mut Symbols) -> LabelCode {
    let names: Vec<SymbolId> = labels.iter().map(|(n, _)| symbols.hold(n)).collect();
    let mut code = Vec::with_capacity(2 + names.len() * 3);
    put_u64(&mut code, u64::from(schemas.id(names, symbols)));
    for (_, value) in labels {
        put_u64(&mut code, u64::from(symbols.hold(value).0));
    }
    code.into_boxed_slice()
}

/// Takes the holders away that [`encode`] added.
pub fn release(code: &LabelCode, schemas: &Schemas, symbols: &mut Symbols) {
    let values: Vec<SymbolId> = pairs(code, schemas).map(|(_, value)| value).collect();
    for value in values {
        symbols.release(value);
    }
}

/// Decodes `code` into `names`, unless they are those of schema `before`, and `values`; the schema.
pub fn numbers(
    code: &LabelCode,
    schemas: &Schemas,
    before: Option<u32>,
    names: &mut Vec<u32>,
    values: &mut Vec<u32>,
) -> u32 {
    let mut reader = Reader::new(code);
    let schema = reader.u64().and_then(|id| u32::try_from(id).ok()).unwrap_or_default();
    if before != Some(schema) {
        names.clear();
        let list = schemas.lists.get(schema as usize).map_or(&[][..], |names| names);
        names.extend(list.iter().map(|name| name.0));
    }
    values.clear();
    values.extend(names.iter().map_while(|_| u32::try_from(reader.u64()?).ok()));
    schema
}

/// The (name, value) symbols in label order.
pub fn pairs<'a>(
    code: &'a LabelCode,
    schemas: &'a Schemas,
) -> impl Iterator<Item = (SymbolId, SymbolId)> + Clone + 'a {
    let mut reader = Reader::new(code);
    let schema = reader.u64().and_then(|id| usize::try_from(id).ok()).unwrap_or_default();
    let names = schemas.lists.get(schema).map_or(&[][..], |names| names);
    names.iter().scan(reader, |reader, name| {
        let value = u32::try_from(reader.u64()?).ok()?;
        Some((*name, SymbolId(value)))
    })
}

/// The label set.
pub fn decode(code: &LabelCode, schemas: &Schemas, symbols: &Symbols) -> Labels {
    Labels::from_sorted(pairs(code, schemas).map(|(n, v)| (&**symbols.get(n), &**symbols.get(v))))
}

/// Whether the code stands for `labels`, without building a set.
pub fn equals(code: &LabelCode, labels: &Labels, schemas: &Schemas, symbols: &Symbols) -> bool {
    pairs(code, schemas).map(|(n, v)| (&**symbols.get(n), &**symbols.get(v))).eq(labels.iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_inverts_encoding_and_release_frees_the_values() {
        let (mut schemas, mut symbols) = (Schemas::default(), Symbols::default());
        let a = Labels::from_pairs([("__name__", "up"), ("job", "x")]).unwrap();
        let b = Labels::from_pairs([("__name__", "up"), ("job", "y")]).unwrap();
        let (ca, cb) =
            (encode(&a, &mut schemas, &mut symbols), encode(&b, &mut schemas, &mut symbols));
        assert_eq!(decode(&ca, &schemas, &symbols), a);
        assert!(equals(&cb, &b, &schemas, &symbols) && !equals(&cb, &a, &schemas, &symbols));
        assert_eq!(schemas.lists.len(), 1);
        release(&cb, &schemas, &mut symbols);
        assert_eq!((symbols.find("y"), symbols.find("up").is_some()), (None, true));
        assert_eq!(
            decode(&encode(&Labels::empty(), &mut schemas, &mut symbols), &schemas, &symbols),
            Labels::empty()
        );
    }
}
