//! Set operations over postings.

use std::borrow::Cow;

use roaring::{MultiOps, RoaringBitmap};

use super::Postings;

/// The series that are in all of `sets`; `None` where there are no sets. Begins with the smallest.
pub fn intersect(mut sets: Vec<Postings<'_>>) -> Option<RoaringBitmap> {
    sets.sort_by_key(Postings::len);
    let mut sets = sets.into_iter();
    let mut out = sets.next()?.into_bitmap();
    for set in sets {
        if out.is_empty() {
            break;
        }
        match set {
            Postings::List(list) => {
                out = list.iter().copied().filter(|s| out.contains(*s)).collect();
            }
            Postings::Bitmap(bitmap) => out &= bitmap.as_ref(),
        }
    }
    Some(out)
}

/// The series that are in any of `sets`.
pub fn union(sets: Vec<Postings<'_>>) -> Postings<'_> {
    if sets.len() == 1 {
        return sets.into_iter().next().unwrap_or(Postings::empty());
    }
    let mut short = Vec::new();
    let mut long = Vec::new();
    for set in sets {
        match set {
            Postings::List(list) => short.extend_from_slice(&list),
            Postings::Bitmap(bitmap) => long.push(bitmap),
        }
    }
    // Sorted, so that the bitmap is built by appending and not by inserting.
    short.sort_unstable();
    short.dedup();
    if !short.is_empty() {
        long.push(Cow::Owned(short.into_iter().collect()));
    }
    Postings::Bitmap(Cow::Owned(long.iter().map(Cow::as_ref).union()))
}

/// Removes the series of `set` from `from`.
pub fn subtract(from: &mut RoaringBitmap, set: &Postings<'_>) {
    match set {
        Postings::List(list) => {
            for series in list.iter() {
                from.remove(*series);
            }
        }
        Postings::Bitmap(bitmap) => *from -= bitmap.as_ref(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn postings(set: &BTreeSet<u32>, list: bool) -> Postings<'static> {
        if list {
            Postings::List(Cow::Owned(set.iter().copied().collect()))
        } else {
            Postings::Bitmap(Cow::Owned(set.iter().copied().collect()))
        }
    }

    proptest! {
        #[test]
        fn agrees_with_ordered_sets(
            sets in proptest::collection::vec(
                (proptest::collection::btree_set(0..40_u32, 0..20), any::<bool>()), 0..6),
        ) {
            let made = || sets.iter().map(|(s, list)| postings(s, *list)).collect::<Vec<_>>();
            let mut plain = sets.iter().map(|(s, _)| s.clone());
            let want = plain.next().map(|first| plain.fold(first, |a, b| &a & &b));
            prop_assert_eq!(intersect(made()).map(|b| b.iter().collect()), want);
            let all: BTreeSet<u32> = sets.iter().flat_map(|(s, _)| s).copied().collect();
            prop_assert_eq!(union(made()).into_bitmap().iter().collect::<BTreeSet<_>>(), all.clone());
            let mut rest: RoaringBitmap = all.iter().copied().collect();
            for set in made() {
                subtract(&mut rest, &set);
            }
            prop_assert!(rest.is_empty());
        }
    }
}
