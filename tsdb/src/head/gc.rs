//! Giving memory back: chunks that are in a block, and series that have nothing left.
//!
//! In small pieces, so that no append waits for long: a stripe is locked for some pages of its
//! series at a time, the index for one page's.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashSet;
use roaring::RoaringBitmap;

use super::late::LateBuffer;
use super::{Head, signed};
use crate::head::stripes::{STRIPES, Stripe};
use crate::wal::record::SeriesRef;

/// Pages of a stripe that are looked through under one lock.
const PAGES: usize = 4;
/// Slots that are freed under one lock of the index.
const SLOTS: usize = 256;

/// One collection.
struct Collection<'h> {
    head: &'h Head,
    boundary: i64,
    idle_before: i64,
    late: Vec<Arc<LateBuffer>>,
    /// The slots of the series that were dropped. Nobody takes one again before it is freed.
    gone: RoaringBitmap,
}

impl Head {
    /// Frees what is below `boundary` (it is in a block that every reader sees) and the series that
    /// have nothing left and were idle since `idle_before`. Returns the slots of the dropped series,
    /// for [`Head::free_slots`] once no query can name them any more.
    pub fn collect_garbage(&self, boundary: i64, idle_before: i64) -> RoaringBitmap {
        // From here on it takes in every row that is applied, and below what every series keeps.
        self.next_mint.store(i64::MAX, Ordering::Relaxed);
        let mut collection = Collection {
            head: self,
            boundary,
            idle_before,
            late: self.late_buffers(),
            gone: RoaringBitmap::new(),
        };
        for number in 0..STRIPES {
            let mut page = 0;
            while collection.pages(number, page) {
                page += PAGES;
            }
            collection.settle(number);
        }
        let Collection { gone, .. } = collection;
        if !gone.is_empty() {
            self.aliases.retain(|known| !gone.contains(known.slot));
        }
        {
            // Rows are applied under a stripe lock: none comes between load and store.
            let _guards = self.stripes.lock_all();
            self.mint.store(self.next_mint.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.account();
        gone
    }

    /// Frees slots that [`Head::collect_garbage`] returned.
    pub fn free_slots(&self, slots: &RoaringBitmap) {
        let mut slots = slots.iter().peekable();
        while slots.peek().is_some() {
            let mut index = self.index.write();
            for slot in slots.by_ref().take(SLOTS) {
                index.free(slot);
            }
        }
        let mut index = self.index.write();
        index.shrink();
        self.note_index(&index);
        drop(index);
        self.account();
    }
}

impl Collection<'_> {
    /// Collects in [`PAGES`] pages of a stripe from `first` on; returns whether there are any.
    fn pages(&mut self, number: usize, first: usize) -> bool {
        let mut stripe = self.head.stripes.lock(number);
        let mut waiting = None;
        for page in first..first + PAGES {
            if stripe.page_mut(number, page).is_none() {
                return page > first;
            }
            self.page(&mut stripe, number, page, &mut waiting);
        }
        // Who waits for the stripe is next, not this thread again.
        stripe.unlock_fair();
        true
    }

    /// Gives back what the stripe's open chunks do not need any more.
    fn settle(&mut self, number: usize) {
        let mut stripe = self.head.stripes.lock(number);
        stripe.settle();
        self.head.note_shared(&mut stripe);
    }

    fn page(
        &mut self,
        stripe: &mut Stripe,
        number: usize,
        page: usize,
        waiting: &mut Option<HashSet<u32>>,
    ) {
        let (mut freed, mut mint) = (0_i64, i64::MAX);
        let mut idle = Vec::new();
        let Some((live, store)) = stripe.page_mut(number, page) else { return };
        for (slot, series) in live {
            let before = series.heap_bytes();
            series.drop_below(self.boundary, store);
            freed += signed(before) - signed(series.heap_bytes());
            // Asked series by series: a late row may have come a moment ago.
            if series.has_late && !has_late_rows(series.id, &self.late) {
                series.has_late = false;
            }
            if series.is_empty() && series.logged_t < self.idle_before
                || series.is_deleted(self.boundary)
            {
                idle.push(slot);
            }
            mint = mint.min(series.first_t());
        }
        self.head.next_mint.fetch_min(mint, Ordering::Relaxed);
        self.head.note_shared(stripe);
        self.head.chunk_bytes.fetch_sub(freed.cast_unsigned(), Ordering::Relaxed);
        if !idle.is_empty() {
            let waiting = waiting.get_or_insert_with(|| stripe.waiting());
            idle.retain(|slot| !waiting.contains(slot));
        }
        if idle.is_empty() {
            return;
        }
        // The stripe stays locked: a slot must not be taken again before its series left.
        let mut index = self.head.index.write();
        for slot in &idle {
            if let Some((series, store)) = stripe.part(*slot) {
                series.clear(store);
            }
            self.gone.insert(*slot);
            index.unlink(*slot);
        }
        self.head.note_series(index.num_series());
        drop(index);
        stripe.drop_empty_page(page);
    }
}

fn has_late_rows(series: SeriesRef, buffers: &[Arc<LateBuffer>]) -> bool {
    buffers.iter().any(|b| b.has(series))
}
