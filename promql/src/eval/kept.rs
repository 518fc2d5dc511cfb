//! What was computed from a column of times, kept for the series that have it too.

use model::SeriesBuf;

/// Bytes that what is kept may take; a column that finds no place is computed again.
const MAX_BYTES: usize = 4 << 20;

/// Which times a series has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// Where its buffer keeps them; see [`SeriesBuf::slot`].
    pub(crate) slot: Option<usize>,
    /// The same number means the same times; `None` that nothing is known.
    pub(crate) generation: Option<u64>,
}

impl Times {
    pub(crate) fn of(buf: &SeriesBuf) -> Self {
        Self { slot: buf.slot(), generation: Some(buf.generation()) }
    }
}

/// A `T` per column of times.
#[derive(Debug, Default)]
pub(crate) struct Kept<T> {
    slots: Vec<(Option<u64>, T)>,
    /// Of the last column that has no slot.
    own: (Option<u64>, T),
    /// Places in use.
    len: usize,
}

impl<T: Default> Kept<T> {
    /// The place for what is computed from `times`, and whether it must be computed anew. `bytes` is what
    /// one `T` takes.
    pub(crate) fn of(&mut self, times: Times, bytes: usize) -> (&mut T, bool) {
        let place = match times.slot {
            None => &mut self.own,
            Some(slot) => {
                let at = slot % (MAX_BYTES / bytes.max(1)).clamp(1, SeriesBuf::SLOTS);
                if self.slots.len() <= at {
                    self.slots.resize_with(at + 1, Default::default);
                }
                &mut self.slots[at]
            }
        };
        self.len += usize::from(place.0.is_none());
        let known = times.generation.is_some() && place.0 == times.generation;
        place.0 = times.generation;
        (&mut place.1, !known)
    }

    /// Columns that have a place, nearly: one without a name counts each time.
    pub(crate) fn len(&self) -> usize {
        self.len.min(self.slots.len() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_known_again_until_its_slot_has_other_times() {
        let mut kept = Kept::<u32>::default();
        let at = |slot, generation| Times { slot, generation };
        assert!(kept.of(at(Some(3), Some(1)), 8).1);
        *kept.of(at(Some(3), Some(1)), 8).0 = 7;
        assert_eq!(kept.of(at(Some(3), Some(1)), 8), (&mut 7, false));
        assert!(kept.of(at(Some(4), Some(2)), 8).1);
        assert!(!kept.of(at(Some(3), Some(1)), 8).1, "another slot does not matter");
        assert!(kept.of(at(Some(3), Some(5)), 8).1, "the slot was given to other times");
        assert!(kept.of(at(None, Some(9)), 8).1);
        assert!(!kept.of(at(None, Some(9)), 8).1);
        assert!(kept.of(at(None, None), 8).1 && kept.of(at(None, None), 8).1);
    }

    #[test]
    fn big_entries_share_few_places() {
        let mut kept = Kept::<u32>::default();
        for slot in 0..SeriesBuf::SLOTS {
            kept.of(Times { slot: Some(slot), generation: Some(1) }, MAX_BYTES / 4);
        }
        assert_eq!(kept.len(), 4);
    }
}
