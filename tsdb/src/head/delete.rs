//! Deleting from the head. A deletion waits in the stripes among the rows, and takes its turn there:
//! what was logged before it is visible when it comes, and what was logged after it is not.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::Matcher;
use roaring::RoaringBitmap;

use super::{Head, signed};
use crate::head::index::HeadIndex;
use crate::head::open::OpenStore;
use crate::head::sealed::SealedChunk;
use crate::head::select::HeadPostings;
use crate::head::series::{Logged, Series};
use crate::head::stripes::{Pending, STRIPES, Stripe, stripe_of};
use crate::postings::resolve;
use crate::tombstones::Deletion;
use crate::wal::record::SeriesRef;

/// A deletion on its way from the log to the series of one stripe.
#[derive(Debug, Clone)]
pub struct PendingDeletion {
    /// First time, ms.
    pub mint: i64,
    /// Last time, ms, inclusive.
    pub maxt: i64,
    /// The series; a slot may be another's by the time it is applied.
    pub series: Vec<(u32, SeriesRef)>,
}

/// The series that pass one of the selectors.
pub(crate) fn select(index: &HeadIndex, what: &Deletion) -> RoaringBitmap {
    let mut selected = RoaringBitmap::new();
    for matchers in &what.selectors {
        let found: Result<_, Infallible> = resolve::select(&HeadPostings(index), matchers);
        let Ok(found) = found;
        selected |= found;
    }
    selected
}

/// Of `known`, which [`select`] found a while ago, and the series from `first_new` on: those that pass now.
fn with_new(
    index: &HeadIndex,
    what: &Deletion,
    mut known: RoaringBitmap,
    first_new: SeriesRef,
) -> RoaringBitmap {
    known &= index.all();
    for slot in index.all().iter().filter(|slot| index.series(*slot) >= first_new) {
        let labels = index.labels(slot);
        let passes = |m: &Matcher| m.matches(labels.get(&m.name));
        if what.selectors.iter().any(|matchers| matchers.iter().all(passes)) {
            known.insert(slot);
        } else {
            known.remove(slot);
        }
    }
    known
}

impl Head {
    /// Queues a deletion behind everything logged so far. `enqueue` puts it into the log, while
    /// nothing else can be logged, and returns its sequence number, as this does.
    pub fn pend_deletion(&self, what: &Deletion, enqueue: impl FnOnce() -> u64) -> u64 {
        // Before the stripes are locked: an expression may have to look at every value there is. Of the
        // references that were given out, only the last may not have reached the index yet.
        let first_new = self.next_ref().saturating_sub(1);
        let known = select(&self.index.read(), what);
        let mut guards = self.stripes.lock_all();
        let mut series: [Vec<(u32, SeriesRef)>; STRIPES] = Default::default();
        for slot in with_new(&self.index.read(), what, known, SeriesRef(first_new)) {
            let number = stripe_of(slot);
            let found = guards[number].as_mut().and_then(|stripe| stripe.get_mut(slot));
            let Some(found) = found.filter(|s| s.id.0 != 0) else { continue };
            found.forget_logged(what.mint, what.maxt);
            series[number].push((slot, found.id));
        }
        let seq = enqueue();
        for (guard, series) in guards.iter_mut().zip(series) {
            if let (Some(stripe), false) = (guard, series.is_empty()) {
                let deletion = PendingDeletion { mint: what.mint, maxt: what.maxt, series };
                stripe.pending.push_back(Pending {
                    seq,
                    floats: Vec::new(),
                    histograms: Vec::new(),
                    deletions: vec![deletion],
                });
            }
        }
        seq
    }

    /// Removes what `deletion` takes from the series of `stripe`, and from the late buffers.
    pub(super) fn apply_deletion(&self, stripe: &mut Stripe, deletion: &PendingDeletion) {
        let PendingDeletion { mint, maxt, ref series } = *deletion;
        let late = self.late_buffers();
        let mut grown = 0_i64;
        for (slot, id) in series {
            let found = stripe.part(*slot).filter(|(s, _)| s.id == *id);
            let Some((found, store)) = found else { continue };
            grown += found.remove(mint, maxt, store);
            if found.has_late {
                for buffer in &late {
                    buffer.remove(*id, mint, maxt);
                }
            }
        }
        self.note_shared(stripe);
        // Two's complement, as where it grows.
        self.chunk_bytes.fetch_add(grown.cast_unsigned(), Ordering::Relaxed);
    }
}

impl Series {
    /// Whether its newest row is deleted and nothing of it is left in the head, late times at and above
    /// `boundary` included: then a row that comes is as of a new series.
    pub fn is_deleted(&self, boundary: i64) -> bool {
        matches!(self.logged, Logged::Nothing) && self.is_empty() && self.late_t < boundary
    }

    /// A row that repeats the newest one, if that is deleted, is none from here on.
    pub(super) fn forget_logged(&mut self, mint: i64, maxt: i64) {
        if mint <= self.logged_t && self.logged_t <= maxt {
            self.logged = Logged::Nothing;
        }
    }

    /// Removes the in-order samples in `[mint, maxt]`; returns by how much memory grew. A chunk that is
    /// cut is encoded anew.
    pub(super) fn remove(&mut self, mint: i64, maxt: i64, store: &mut OpenStore) -> i64 {
        let before = signed(self.heap_bytes());
        let overlaps = |first: i64, last: i64| first <= maxt && mint <= last;
        if self.open.as_ref().is_some_and(|open| overlaps(open.mint(), open.maxt())) {
            self.cut(store);
        }
        if self.sealed.iter().any(|c| overlaps(c.mint, c.maxt)) {
            let chunks = std::mem::take(&mut self.sealed);
            self.sealed = chunks
                .into_iter()
                .filter_map(|chunk| {
                    if overlaps(chunk.mint, chunk.maxt) {
                        without(&chunk, mint, maxt, store.seed()).map(Arc::new)
                    } else {
                        Some(chunk)
                    }
                })
                .collect();
        }
        self.histograms.retain(|(t, _)| *t < mint || maxt < *t);
        signed(self.heap_bytes()) - before
    }
}

/// The samples of `chunk` outside `[mint, maxt]`; `None` where there are none.
fn without(chunk: &SealedChunk, mint: i64, maxt: i64, seed: u64) -> Option<SealedChunk> {
    if mint <= chunk.mint && chunk.maxt <= maxt {
        return None;
    }
    let (times, values) =
        chunk.decode().expect("a chunk in memory was encoded here or passed its checksum");
    let left = times.into_iter().zip(values).filter(|(t, _)| *t < mint || maxt < *t);
    let (times, values): (Vec<_>, Vec<_>) = left.unzip();
    SealedChunk::of(&times, &values, seed)
}

#[cfg(test)]
mod tests {
    use model::{Labels, MatchOp};

    use super::*;

    #[test]
    fn series_that_came_after_the_selection_are_judged_by_their_labels() {
        let mut index = HeadIndex::new(1);
        let labels =
            |n: u64| Labels::from_pairs([("__name__", "m"), ("n", &n.to_string())]).unwrap();
        let slots: Vec<u32> = (1..=4).map(|n| index.insert(&labels(n), SeriesRef(n))).collect();
        let odd = vec![Matcher::new(MatchOp::Re, "n", "1|3|5").unwrap()];
        let what = Deletion { selectors: vec![odd], mint: 0, maxt: 1 };
        let known = select(&index, &what);
        assert_eq!(known, [slots[0], slots[2]].into_iter().collect());
        // One of them goes, and its slot is taken by a series that does not pass.
        index.unlink(slots[2]);
        index.free(slots[2]);
        let (six, five) =
            (index.insert(&labels(6), SeriesRef(5)), index.insert(&labels(5), SeriesRef(6)));
        assert_eq!(six, slots[2]);
        let now = with_new(&index, &what, known, SeriesRef(5));
        assert_eq!(now, select(&index, &what));
        assert_eq!(now, [slots[0], five].into_iter().collect());
    }
}
