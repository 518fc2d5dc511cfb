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
use crate::head::series::Series;

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
    (slot as usize / (RUN as usize * STRIPES), (slot % RUN) as usize)
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
#[derive(Debug, Default)]
pub struct Stripe {
    /// A page is empty where none of its series lives.
    pages: Vec<Box<[Series]>>,
    /// In log order.
    pub pending: VecDeque<Pending>,
}

impl Stripe {
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

    /// As [`Stripe::get_mut`]; makes the page if need be.
    pub fn make(&mut self, slot: u32, seed: u64) -> &mut Series {
        let (page, place) = place_of(slot);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, Box::default);
        }
        let page = &mut self.pages[page];
        if page.is_empty() {
            *page = (0..RUN).map(|_| Series::free(seed)).collect();
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

    /// The live series of a page with their slots; `None` behind the last page.
    pub fn page_mut(
        &mut self,
        number: usize,
        page: usize,
    ) -> Option<impl Iterator<Item = (u32, &mut Series)>> {
        let first = (page * STRIPES + number) * RUN as usize;
        let first = u32::try_from(first).expect("slots are 32 bits wide");
        let series = self.pages.get_mut(page)?.iter_mut();
        Some((first..).zip(series).filter(|(_, s)| s.id.0 != 0))
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
#[derive(Debug, Default)]
pub struct Stripes {
    locks: [Mutex<Stripe>; STRIPES],
}

/// A locked stripe.
pub type Locked<'a> = Held<MutexGuard<'a, Stripe>>;

/// Locked stripes, by number; the others are `None`.
pub type Guards<'a> = [Option<Locked<'a>>; STRIPES];

impl Stripes {
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
        let stripes = Stripes::default();
        for slot in 0..5000_u32 {
            let n = stripe_of(slot);
            let mut stripe = stripes.lock(n);
            let series = stripe.make(slot, 1);
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
