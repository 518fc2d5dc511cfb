//! A posting list that grows: most have a handful of series and are a sorted list, the rest are
//! roaring bitmaps.

use roaring::RoaringBitmap;

/// Longest list; at 16 entries a list still is smaller than an empty bitmap's containers.
const MAX_LIST: usize = 16;

/// The series slots of one label pair.
#[derive(Debug, Clone)]
pub enum PostingList {
    /// Sorted.
    List(Vec<u32>),
    /// Many.
    Bitmap(Box<RoaringBitmap>),
}

impl Default for PostingList {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl PostingList {
    /// Adds a slot; one that is there stays.
    pub fn insert(&mut self, slot: u32) {
        match self {
            Self::List(list) => {
                let Err(at) = list.binary_search(&slot) else { return };
                if list.len() < MAX_LIST {
                    if list.len() == list.capacity() {
                        list.reserve_exact(list.len().max(2));
                    }
                    list.insert(at, slot);
                } else {
                    let mut bitmap: RoaringBitmap = list.iter().copied().collect();
                    bitmap.insert(slot);
                    *self = Self::Bitmap(Box::new(bitmap));
                }
            }
            Self::Bitmap(bitmap) => {
                bitmap.insert(slot);
            }
        }
    }

    /// Removes a slot.
    pub fn remove(&mut self, slot: u32) {
        match self {
            Self::List(list) => list.retain(|s| *s != slot),
            Self::Bitmap(bitmap) => {
                bitmap.remove(slot);
            }
        }
    }

    /// Number of slots.
    pub fn len(&self) -> u64 {
        match self {
            Self::List(list) => list.len() as u64,
            Self::Bitmap(bitmap) => bitmap.len(),
        }
    }

    /// Whether there is no slot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slots as a bitmap of their own.
    pub fn to_bitmap(&self) -> RoaringBitmap {
        match self {
            Self::List(list) => list.iter().copied().collect(),
            Self::Bitmap(bitmap) => (**bitmap).clone(),
        }
    }

    /// Adds the slots to `out`.
    pub fn union_into(&self, out: &mut RoaringBitmap) {
        match self {
            Self::List(list) => out.extend(list.iter().copied()),
            Self::Bitmap(bitmap) => *out |= &**bitmap,
        }
    }

    /// Bytes of memory held, nearly.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::List(list) => list.capacity() * 4,
            Self::Bitmap(bitmap) => bitmap.serialized_size() + 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Model: an ordered set.
        #[test]
        fn agrees_with_a_set(ops in proptest::collection::vec((any::<bool>(), 0..60_u32), 0..150)) {
            let (mut list, mut set) = (PostingList::default(), std::collections::BTreeSet::new());
            for (add, slot) in ops {
                if add { list.insert(slot); set.insert(slot); } else { list.remove(slot); set.remove(&slot); }
                prop_assert_eq!(list.len(), set.len() as u64);
            }
            prop_assert!(list.to_bitmap().iter().eq(set.iter().copied()));
        }
    }
}
