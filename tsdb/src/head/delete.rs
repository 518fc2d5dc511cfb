//! Deleting from the head. A deletion waits in the stripes among the rows, and takes its turn there:
//! what was logged before it is visible when it comes, and what was logged after it is not.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

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

impl Head {
    /// Queues a deletion behind everything logged so far. `enqueue` puts it into the log, while
    /// nothing else can be logged, and returns its sequence number, as this does.
    pub fn pend_deletion(&self, what: &Deletion, enqueue: impl FnOnce() -> u64) -> u64 {
        let mut guards = self.stripes.lock_all();
        let mut series: [Vec<(u32, SeriesRef)>; STRIPES] = Default::default();
        for slot in select(&self.index.read(), what) {
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
