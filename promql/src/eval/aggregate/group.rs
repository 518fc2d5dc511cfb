//! Which group a series belongs to.

use hashbrown::HashTable;
use model::{Labels, NAME_LABEL};

use crate::ast::Aggregate;

/// The groups seen so far, in that order. A series' group is found by the text of its grouping
/// labels, so that a label set is made once a group and not once a series.
pub(super) struct Groups<'q> {
    aggregate: &'q Aggregate,
    table: HashTable<usize>,
    keys: Vec<(Box<[u8]>, Labels)>,
    key: Vec<u8>,
}

impl<'q> Groups<'q> {
    pub(super) fn new(aggregate: &'q Aggregate) -> Self {
        Self { aggregate, table: HashTable::new(), keys: Vec::new(), key: Vec::new() }
    }

    /// Whether the groups are made by leaving labels out.
    pub(super) fn is_without(&self) -> bool {
        self.aggregate.without
    }

    /// Whether the label `name` of a series is one of its group.
    pub(super) fn keeps(&self, name: &str) -> bool {
        let listed = self.aggregate.grouping.iter().any(|l| l == name);
        if self.aggregate.without { !listed && name != NAME_LABEL } else { listed }
    }

    /// The number of the group of `labels`; a new group has the next number.
    pub(super) fn of(&mut self, labels: &Labels) -> usize {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        for (name, value) in labels {
            if self.keeps(name) {
                for part in [name, value] {
                    key.extend_from_slice(&part.len().to_le_bytes());
                    key.extend_from_slice(part.as_bytes());
                }
            }
        }
        let hash = xxhash_rust::xxh3::xxh3_64(&key);
        let found = self.table.find(hash, |at| *self.keys[*at].0 == *key).copied();
        let at = found.unwrap_or_else(|| {
            let at = self.keys.len();
            let labels = labels.filtered(|name| self.keeps(name));
            self.keys.push((key.as_slice().into(), labels));
            let keys = &self.keys;
            self.table.insert_unique(hash, at, |at| xxhash_rust::xxh3::xxh3_64(&keys[*at].0));
            at
        });
        self.key = key;
        at
    }

    /// The labels of group `at`.
    pub(super) fn labels(&self, at: usize) -> &Labels {
        &self.keys[at].1
    }

    /// Bytes that group `at` holds here.
    pub(super) fn bytes(&self, at: usize) -> u64 {
        let (key, labels) = &self.keys[at];
        (key.len() + labels.heap_bytes() + 64) as u64
    }
}
