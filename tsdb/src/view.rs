//! What a query reads: the blocks and the boundary between them and the head, at one moment.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::block::Block;
use crate::quarantine::Quarantined;

/// The published state. A query holds it while it runs.
#[derive(Debug)]
pub struct View {
    /// In-order samples below this are in blocks, at and above it in the head.
    pub boundary: i64,
    /// The live blocks.
    pub blocks: Vec<Arc<Block>>,
    /// Blocks that should be among them.
    pub missing: Arc<[Quarantined]>,
}

/// The current view, and the old ones that somebody may still read.
#[derive(Debug)]
pub struct Views {
    current: ArcSwap<View>,
    old: Mutex<Vec<Weak<View>>>,
}

impl Views {
    /// Begins with `view`.
    pub fn new(view: View) -> Self {
        Self { current: ArcSwap::from_pointee(view), old: Mutex::new(Vec::new()) }
    }

    /// The current view.
    pub fn load(&self) -> Arc<View> {
        self.current.load_full()
    }

    /// Replaces the current view.
    pub fn publish(&self, view: View) {
        let before = self.current.swap(Arc::new(view));
        self.old.lock().push(Arc::downgrade(&before));
    }

    /// Whether nobody reads a view older than the current one.
    pub fn old_ones_are_gone(&self) -> bool {
        let mut old = self.old.lock();
        old.retain(|view| view.strong_count() > 0);
        old.is_empty()
    }
}
