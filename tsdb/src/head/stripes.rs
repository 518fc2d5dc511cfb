//! All series, in stripes with a lock each.
//!
//! Slots are dealt to stripes in runs of 64, so that the series of one scrape, which get
//! neighbouring slots, need few locks.

use std::collections::VecDeque;

use hashbrown::HashSet;
use model::HistogramValue;
use parking_lot::{Mutex, MutexGuard};

use crate::abort::Held;
use crate::head::delete::PendingDeletion;
use crate::head::open::OpenStore;
use crate::head::series::Series;
use crate::head::signed;

/// Number of stripes.
pub const STRIPES: usize = 16;
/// Neighbouring slots in one stripe.
pub const RUN: u32 = 64;

/// Which stripe holds a slot.
pub const fn stripe_of(slot: u32) -> usize {
    (slot / RUN) as usize % STRIPES
}

/// Where in its stripe a slot is: page and place in the page.
const fn place_of(slot: u32) -> (usize, usize) {
    (slot as usize / (RUN as usize * STRIPES), place_in_run(slot))
}

/// Where a slot is among its [`RUN`].
pub const fn place_in_run(slot: u32) -> usize {
    (slot % RUN) as usize
}

/// Rows that are logged and not visible yet.
#[derive(Debug)]
pub struct Pending {
    /// Sequence number of the record they are in.
    pub seq: u64,
    /// Float rows.
    pub floats: Vec<PendingRow<f64>>,
    /// Histogram rows.
    pub histograms: Vec<PendingRow<HistogramValue>>,
    /// Deletions; who has one has no rows.
    pub deletions: Vec<PendingDeletion>,
}

/// A row on its way from the log to its series.
#[derive(Debug, Clone)]
pub struct PendingRow<V> {
    /// Slot of the series; it cannot be freed while the row waits.
    pub slot: u32,
    /// Whether the row was late when logged.
    pub late: bool,
    /// Time, ms.
    pub t_ms: i64,
    /// Value.
    pub value: V,
}

/// A part of the series.
#[derive(Debug)]
pub struct Stripe {
    /// A page is empty where none of its series lives.
    pages: Vec<Box<[Series]>>,
    /// In log order.
    pub pending: VecDeque<Pending>,
    /// What their open chunks share.
    store: OpenStore,
    /// What [`Stripe::shared_growth`] has told of.
    told_bytes: usize,
}

impl Stripe {
    fn new(seed: u64) -> Self {
        let (pages, pending) = (Vec::new(), VecDeque::new());
        Self { pages, pending, store: OpenStore::new(seed), told_bytes: 0 }
    }

    /// What the open chunks share.
    pub const fn store(&self) -> &OpenStore {
        &self.store
    }

    /// By how many bytes what the open chunks share has grown since the last call.
    pub fn shared_growth(&mut self) -> i64 {
        let (told, now) = (self.told_bytes, self.store.shared_bytes());
        self.told_bytes = now;
        signed(now) - signed(told)
    }

    /// Moves open chunks together if much of their memory is idle.
    pub fn settle(&mut self) {
        if self.store.is_sparse() {
            let series = self.pages.iter_mut().flat_map(|page| page.iter_mut());
            self.store.settle(series.filter_map(|s| s.open.as_mut()));
        }
    }

    /// The series in `slot`, which must be in this stripe; free slots included.
    pub fn get(&self, slot: u32) -> Option<&Series> {
        let (page, place) = place_of(slot);
        self.pages.get(page).and_then(|p| p.get(place))
    }

    /// As [`Stripe::get`], to change it.
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Series> {
        let (page, place) = place_of(slot);
        self.pages.get_mut(page).and_then(|p| p.get_mut(place))
    }

    /// As [`Stripe::get_mut`], with what its chunk needs.
    pub fn part(&mut self, slot: u32) -> Option<(&mut Series, &mut OpenStore)> {
        let (page, place) = place_of(slot);
        let series = self.pages.get_mut(page).and_then(|p| p.get_mut(place))?;
        Some((series, &mut self.store))
    }

    /// The series around `slot`, by [`place_in_run`], with what their chunks need; `None` where none of
    /// them ever lived.
    pub fn run(&mut self, slot: u32) -> Option<(&mut [Series; RUN as usize], &mut OpenStore)> {
        let page = self.pages.get_mut(place_of(slot).0)?;
        Some((page.as_mut_array()?, &mut self.store))
    }

    /// As [`Stripe::get_mut`]; makes the page if need be.
    pub fn make(&mut self, slot: u32) -> &mut Series {
        let (page, place) = place_of(slot);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, Box::default);
        }
        let page = &mut self.pages[page];
        if page.is_empty() {
            *page = (0..RUN).map(|_| Series::free()).collect();
        }
        &mut page[place]
    }

    /// Gives the memory of a page back if none of its series lives.
    pub fn drop_empty_page(&mut self, page: usize) {
        if let Some(page) = self.pages.get_mut(page)
            && page.iter().all(|s| s.id.0 == 0)
        {
            *page = Box::default();
        }
    }

    /// The live series of a page with their slots, and what their chunks need; `None` behind the last
    /// page.
    pub fn page_mut(
        &mut self,
        number: usize,
        page: usize,
    ) -> Option<(impl Iterator<Item = (u32, &mut Series)>, &mut OpenStore)> {
        let first = (page * STRIPES + number) * RUN as usize;
        let first = u32::try_from(first).expect("slots are 32 bits wide");
        let series = self.pages.get_mut(page)?.iter_mut();
        Some(((first..).zip(series).filter(|(_, s)| s.id.0 != 0), &mut self.store))
    }

    /// All live series with their slots.
    pub fn iter_mut(&mut self, number: usize) -> impl Iterator<Item = (u32, &mut Series)> {
        let mut first = u32::try_from(number).expect("there are 16 stripes") * RUN;
        let stride = RUN * u32::try_from(STRIPES).expect("there are 16 stripes");
        self.pages.iter_mut().flat_map(move |series| {
            let slots = first..;
            first = first.wrapping_add(stride);
            slots.zip(series.iter_mut()).filter(|(_, s)| s.id.0 != 0)
        })
    }

    /// The slots of rows that are not visible yet.
    pub fn waiting(&self) -> HashSet<u32> {
        let slots = self.pending.iter().flat_map(|p| {
            p.floats.iter().map(|row| row.slot).chain(p.histograms.iter().map(|row| row.slot))
        });
        slots.collect()
    }
}

/// The stripes.
#[derive(Debug)]
pub struct Stripes {
    locks: [Mutex<Stripe>; STRIPES],
}

/// A locked stripe.
pub type Locked<'a> = Held<MutexGuard<'a, Stripe>>;

/// Locked stripes, by number; the others are `None`.
pub type Guards<'a> = [Option<Locked<'a>>; STRIPES];

impl Stripes {
    /// Empty ones; `seed` is the process's.
    pub fn new(seed: u64) -> Self {
        Self { locks: std::array::from_fn(|_| Mutex::new(Stripe::new(seed))) }
    }

    /// Locks one stripe.
    pub fn lock(&self, number: usize) -> Locked<'_> {
        Held::new(self.locks[number].lock())
    }

    /// Locks the stripes in `mask` (bit n stands for stripe n), ascending.
    pub fn lock_mask(&self, mask: u16) -> Guards<'_> {
        std::array::from_fn(|n| (mask >> n & 1 == 1).then(|| self.lock(n)))
    }

    /// Locks all stripes, ascending.
    pub fn lock_all(&self) -> Guards<'_> {
        self.lock_mask(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::record::SeriesRef;

    #[test]
    fn every_slot_has_a_place_of_its_own() {
        let stripes = Stripes::new(1);
        for slot in 0..5000_u32 {
            let n = stripe_of(slot);
            let mut stripe = stripes.lock(n);
            let series = stripe.make(slot);
            assert_eq!(series.id, SeriesRef(0), "slot {slot} is taken");
            series.id = SeriesRef(u64::from(slot) + 1);
        }
        for n in 0..STRIPES {
            for (slot, series) in stripes.lock(n).iter_mut(n) {
                assert_eq!((series.id.0, stripe_of(slot)), (u64::from(slot) + 1, n));
            }
        }
    }
}
