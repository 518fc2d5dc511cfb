//! A posting list that grows: most have a handful of series and are a sorted list, the rest are
//! roaring bitmaps.

use std::cmp::Ordering;
use std::ops::Range;

use roaring::RoaringBitmap;

/// Longest list; at 16 entries a list still is smaller than an empty bitmap's containers.
const MAX_LIST: usize = 16;

/// The series slots of one label pair.
#[derive(Debug, Clone, Default)]
pub enum PostingList {
    /// None.
    #[default]
    Empty,
    /// One, as the values of many labels have.
    One(u32),
    /// Sorted.
    List(Vec<u32>),
    /// Many.
    Bitmap(Box<RoaringBitmap>),
}

impl PostingList {
    /// Adds a slot; one that is there stays.
    pub fn insert(&mut self, slot: u32) {
        match self {
            Self::Empty => *self = Self::One(slot),
            Self::One(one) => match slot.cmp(one) {
                Ordering::Less => *self = Self::List(vec![slot, *one]),
                Ordering::Equal => {}
                Ordering::Greater => *self = Self::List(vec![*one, slot]),
            },
            Self::List(list) => {
                // Slots mostly rise.
                let at = match list.last() {
                    Some(last) if *last < slot => list.len(),
                    _ => match list.binary_search(&slot) {
                        Ok(_) => return,
                        Err(at) => at,
                    },
                };
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
            // Slots mostly rise.
            Self::Bitmap(bitmap) => {
                if bitmap.try_push(slot).is_err() {
                    bitmap.insert(slot);
                }
            }
        }
    }

    /// Adds neighbouring slots.
    pub fn insert_run(&mut self, run: Range<u32>) {
        match self {
            Self::Bitmap(bitmap) => {
                bitmap.insert_range(run);
            }
            _ if run.len() <= MAX_LIST => run.for_each(|slot| self.insert(slot)),
            _ => {
                let mut bitmap: RoaringBitmap = self.as_slice().iter().copied().collect();
                bitmap.insert_range(run);
                *self = Self::Bitmap(Box::new(bitmap));
            }
        }
    }

    /// Removes a slot.
    pub fn remove(&mut self, slot: u32) {
        match self {
            Self::One(one) if *one == slot => *self = Self::Empty,
            Self::Empty | Self::One(_) => {}
            Self::List(list) => list.retain(|s| *s != slot),
            Self::Bitmap(bitmap) => {
                bitmap.remove(slot);
            }
        }
    }

    /// Number of slots.
    pub fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::One(_) => 1,
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
            Self::Bitmap(bitmap) => (**bitmap).clone(),
            few => few.as_slice().iter().copied().collect(),
        }
    }

    /// Adds the slots to `out`.
    pub fn union_into(&self, out: &mut RoaringBitmap) {
        match self {
            Self::Bitmap(bitmap) => *out |= &**bitmap,
            few => out.extend(few.as_slice().iter().copied()),
        }
    }

    /// The slots, where they are few enough not to be a bitmap; else nothing.
    pub fn as_slice(&self) -> &[u32] {
        match self {
            Self::Empty | Self::Bitmap(_) => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::List(list) => list,
        }
    }

    /// Bytes of memory held, nearly.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Empty | Self::One(_) => 0,
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
        fn agrees_with_a_set(ops in proptest::collection::vec((0..3_u8, 0..60_u32, 0..30_u32), 0..150)) {
            let (mut list, mut set) = (PostingList::default(), std::collections::BTreeSet::new());
            for (what, slot, len) in ops {
                match what {
                    0 => { list.insert(slot); set.insert(slot); }
                    1 => { list.insert_run(slot..slot + len); set.extend(slot..slot + len); }
                    _ => { list.remove(slot); set.remove(&slot); }
                }
                prop_assert_eq!(list.len(), set.len() as u64);
                prop_assert_eq!(list.is_empty(), set.is_empty());
            }
            prop_assert!(list.to_bitmap().iter().eq(set.iter().copied()));
        }
    }
}
