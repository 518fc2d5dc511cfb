//! Label sets as their source codes them: numbers in place of texts. What compares or groups the
//! series of a selection looks at numbers, and at each text once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use hashbrown::HashTable;
use model::{LabelFilter, Labels, ReadError, SeriesGroups};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// The texts behind the numbers of one source.
pub trait Texts {
    /// Calls `with` with the text of `symbol`.
    ///
    /// # Errors
    /// [`ReadError`] where the index is damaged.
    fn text(&self, symbol: u32, with: &mut dyn FnMut(&str)) -> Result<(), ReadError>;
}

/// A label set of one source.
#[derive(Clone, Copy)]
pub struct Coded<'a> {
    /// The number of the list of label names.
    pub schema: u32,
    /// The symbols of the names, in label order.
    pub names: &'a [u32],
    /// The symbol of each value.
    pub values: &'a [u32],
    /// The texts.
    pub texts: &'a dyn Texts,
}

/// Sorts the label sets of one source into classes.
pub struct Classes<'f> {
    filter: &'f LabelFilter,
    /// Which places of a schema count.
    places: HashMap<u32, Box<[usize]>>,
    table: HashTable<u32>,
    /// Names and values of each class that count.
    keys: Vec<Box<[u32]>>,
    key: Vec<u32>,
    groups: SeriesGroups,
}

impl<'f> Classes<'f> {
    /// No series yet.
    pub fn new(filter: &'f LabelFilter, num_series: usize) -> Self {
        let groups = SeriesGroups { labels: Vec::new(), of: Vec::with_capacity(num_series) };
        let (table, places) = (HashTable::new(), HashMap::new());
        Self { filter, places, table, keys: Vec::new(), key: Vec::new(), groups }
    }

    /// Adds the next series.
    ///
    /// # Errors
    /// [`ReadError`] of a text.
    pub fn add(&mut self, coded: Coded<'_>) -> Result<(), ReadError> {
        let places = match self.places.entry(coded.schema) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(places(self.filter, coded)?),
        };
        self.key.clear();
        for &at in &**places {
            self.key.extend([coded.names[at], coded.values[at]]);
        }
        let hash = hash(&self.key);
        let found = self.table.find(hash, |class| *self.keys[*class as usize] == *self.key);
        let class = if let Some(class) = found {
            *class
        } else {
            let class = u32::try_from(self.keys.len()).expect("fewer than 2^32 series");
            self.groups.labels.push(labels(&self.key, coded.texts)?);
            self.keys.push(self.key.as_slice().into());
            let keys = &self.keys;
            self.table.insert_unique(hash, class, |class| hash_of(keys, *class));
            class
        };
        self.groups.of.push(class);
        Ok(())
    }

    /// The classes.
    pub fn finish(self) -> SeriesGroups {
        self.groups
    }
}

fn hash(key: &[u32]) -> u64 {
    // Keys are a handful of numbers; mixing them costs less than making bytes of them.
    key.iter().fold(xxh3_64(&[]), |hash, n| {
        let mixed = (hash ^ u64::from(*n)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ mixed >> 29
    })
}

fn hash_of(keys: &[Box<[u32]>], class: u32) -> u64 {
    hash(&keys[class as usize])
}

fn places(filter: &LabelFilter, coded: Coded<'_>) -> Result<Box<[usize]>, ReadError> {
    let mut places = Vec::new();
    for (at, name) in coded.names.iter().enumerate() {
        let mut keeps = false;
        coded.texts.text(*name, &mut |text| keeps = filter.keeps(text))?;
        if keeps {
            places.push(at);
        }
    }
    Ok(places.into())
}

fn labels(key: &[u32], texts: &dyn Texts) -> Result<Labels, ReadError> {
    let mut parts = Vec::with_capacity(key.len());
    for symbol in key {
        texts.text(*symbol, &mut |text| parts.push(text.to_owned()))?;
    }
    let (pairs, _) = parts.as_chunks::<2>();
    let pairs = pairs.iter().map(|[name, value]| (name.as_str(), value.as_str()));
    let labels = Labels::try_from_sorted(pairs);
    labels.ok_or_else(|| ReadError::Corrupt("labels of a series are not in order".to_owned()))
}

/// Gives label sets keys that are equal where the sets are, whatever the source.
///
/// Keys are 128 bits made with the process's seed, as in the alias table: nobody outside can make
/// two sets have one.
pub struct Keys {
    seed: u64,
    symbols: HashMap<u32, u128>,
    /// The series before: the next one repeats most of it.
    names: Vec<u32>,
    values: Vec<u32>,
    /// Hashes of names and values of that series, little-endian.
    bytes: Vec<u8>,
}

const HASH: usize = 16;

impl Keys {
    /// Makes keys with the process's seed.
    pub fn new(seed: u64) -> Self {
        let (names, values) = (Vec::new(), Vec::new());
        Self { seed, symbols: HashMap::new(), names, values, bytes: Vec::new() }
    }

    /// The key of a label set; all of one `Keys` are of one source.
    ///
    /// # Errors
    /// [`ReadError`] of a text.
    pub fn key(&mut self, coded: Coded<'_>) -> Result<u128, ReadError> {
        let num = coded.names.len();
        if self.names != coded.names {
            self.names.clear();
            self.names.extend_from_slice(coded.names);
            self.values.clear();
            self.bytes.clear();
            self.bytes.resize(num * 2 * HASH, 0);
            for (at, name) in coded.names.iter().enumerate() {
                self.put(at, *name, coded.texts)?;
            }
        }
        for (at, value) in coded.values.iter().enumerate() {
            if self.values.get(at) != Some(value) {
                self.put(num + at, *value, coded.texts)?;
            }
        }
        self.values.clear();
        self.values.extend_from_slice(coded.values);
        Ok(xxh3_128_with_seed(&self.bytes, self.seed))
    }

    fn put(&mut self, at: usize, symbol: u32, texts: &dyn Texts) -> Result<(), ReadError> {
        let hash = match self.symbols.entry(symbol) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let mut hash = 0;
                let seed = self.seed;
                texts.text(symbol, &mut |text| hash = xxh3_128_with_seed(text.as_bytes(), seed))?;
                *new.insert(hash)
            }
        };
        self.bytes[at * HASH..(at + 1) * HASH].copy_from_slice(&hash.to_le_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A source with a symbol table of its own order.
    struct Table(Vec<String>);

    impl Texts for Table {
        fn text(&self, symbol: u32, with: &mut dyn FnMut(&str)) -> Result<(), ReadError> {
            with(&self.0[symbol as usize]);
            Ok(())
        }
    }

    impl Table {
        fn number(&self, text: &str) -> u32 {
            u32::try_from(self.0.iter().position(|t| t == text).unwrap()).unwrap()
        }
    }

    fn sets() -> impl Strategy<Value = Vec<Labels>> {
        let set = proptest::collection::btree_map("[a-d]", "[a-c]{1,2}", 0..4);
        let labels = |map: std::collections::BTreeMap<String, String>| {
            Labels::from_pairs(map.iter()).unwrap()
        };
        proptest::collection::vec(set.prop_map(labels), 1..30)
    }

    /// Calls `visit` with each set, coded by a table that holds the texts in order or turned round.
    fn each(sets: &[Labels], turned: bool, mut visit: impl FnMut(Coded<'_>)) {
        let mut texts: Vec<String> = sets
            .iter()
            .flat_map(Labels::iter)
            .flat_map(|(n, v)| [n, v])
            .map(str::to_owned)
            .collect();
        texts.sort();
        texts.dedup();
        if turned {
            texts.reverse();
        }
        let table = Table(texts);
        let mut schemas: Vec<Vec<u32>> = Vec::new();
        for set in sets {
            let names: Vec<u32> = set.iter().map(|(n, _)| table.number(n)).collect();
            let values: Vec<u32> = set.iter().map(|(_, v)| table.number(v)).collect();
            let known = schemas.iter().position(|s| *s == names);
            let schema = known.unwrap_or_else(|| {
                schemas.push(names.clone());
                schemas.len() - 1
            });
            let schema = u32::try_from(schema).unwrap();
            visit(Coded { schema, names: &names, values: &values, texts: &table });
        }
    }

    proptest! {
        /// Model: the labels themselves, filtered.
        #[test]
        fn classes_are_those_of_the_texts(sets in sets(), names in proptest::collection::vec("[a-d]", 0..3), keep in any::<bool>()) {
            let filter = if keep { LabelFilter::only(names) } else { LabelFilter::without(names) };
            let mut classes = Classes::new(&filter, sets.len());
            each(&sets, false, |coded| classes.add(coded).unwrap());
            let groups = classes.finish();
            for (i, set) in sets.iter().enumerate() {
                prop_assert_eq!(groups.labels_of(i), &filter.apply(set));
            }
            let mut labels = groups.labels.clone();
            labels.sort();
            labels.dedup();
            prop_assert_eq!(labels.len(), groups.labels.len(), "no class twice");
        }

        /// Two sources that number their texts differently agree on keys, and unequal sets differ.
        #[test]
        fn keys_are_equal_where_the_sets_are(sets in sets()) {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            let (mut in_a, mut in_b) = (Keys::new(7), Keys::new(7));
            each(&sets, false, |coded| a.push(in_a.key(coded).unwrap()));
            each(&sets, true, |coded| b.push(in_b.key(coded).unwrap()));
            for i in 0..sets.len() {
                for j in 0..sets.len() {
                    prop_assert_eq!(a[i] == b[j], sets[i] == sets[j]);
                }
            }
        }
    }
}
