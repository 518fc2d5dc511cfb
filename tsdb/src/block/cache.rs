//! Decoded pages, kept while there is room. Looking one up takes no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;

/// A slot for each page of a section.
#[derive(Debug)]
pub(crate) struct PageCache<T> {
    slots: Box<[ArcSwapOption<T>]>,
    bytes: AtomicUsize,
    limit: usize,
}

impl<T> PageCache<T> {
    /// A cache of `num_pages` that empties itself once it holds more than `limit` bytes.
    pub(crate) fn new(num_pages: usize, limit: usize) -> Self {
        let slots = (0..num_pages).map(|_| ArcSwapOption::empty()).collect();
        Self { slots, bytes: AtomicUsize::new(0), limit }
    }

    /// The page, which `load` makes together with its size in bytes where it is not here.
    pub(crate) fn get<E>(
        &self,
        page: usize,
        load: impl FnOnce() -> Result<(T, usize), E>,
    ) -> Result<Arc<T>, E> {
        let slot = self.slots.get(page);
        if let Some(found) = slot.and_then(ArcSwapOption::load_full) {
            return Ok(found);
        }
        let (made, bytes) = load()?;
        let made = Arc::new(made);
        if let Some(slot) = slot {
            // All or nothing: which pages are hot is not worth a lock on every look-up.
            if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.limit {
                self.clear();
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            slot.store(Some(Arc::clone(&made)));
        }
        Ok(made)
    }

    /// The page, if it is here.
    pub(crate) fn peek(&self, page: usize) -> Option<Arc<T>> {
        self.slots.get(page).and_then(ArcSwapOption::load_full)
    }

    /// Forgets every page.
    pub(crate) fn clear(&self) {
        for slot in &self.slots {
            slot.store(None);
        }
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Bytes held, the slots included.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed) + self.slots.len() * size_of::<ArcSwapOption<T>>()
    }
}
