//! What a query reads: the blocks and the boundary between them and the head, at one moment.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::block::{Block, BlockId};
use crate::quarantine::Quarantined;
use crate::tombstones::{Mask, Masks, Tombstone};

/// The published state. A query holds it while it runs.
#[derive(Debug)]
pub struct View {
    /// In-order samples below this are in blocks, at and above it in the head.
    pub boundary: i64,
    /// The live blocks.
    pub blocks: Vec<Arc<Block>>,
    /// Blocks that should be among them.
    pub missing: Arc<[Quarantined]>,
    /// The tombstones that mask anything in them, ascending.
    pub tombstones: Vec<Arc<Tombstone>>,
    /// What they mask.
    pub masks: Masks,
    /// Whether a live block could not be opened: it may need any tombstone when it is back.
    pub keeps_tombstones: bool,
}

impl View {
    /// This view with another boundary and other blocks; masks of blocks that are new are not looked
    /// up, and those of blocks that are gone go.
    #[must_use]
    pub fn with(&self, boundary: i64, blocks: Vec<Arc<Block>>) -> Self {
        let mut masks = self.masks.clone();
        masks.retain(|id, _| blocks.iter().any(|b| b.id() == *id));
        Self {
            boundary,
            blocks,
            missing: Arc::clone(&self.missing),
            tombstones: self.tombstones.clone(),
            masks,
            keeps_tombstones: self.keeps_tombstones,
        }
    }

    /// What is deleted from a block.
    pub fn mask(&self, block: BlockId) -> Option<&Arc<Mask>> {
        self.masks.get(&block)
    }

    /// Forgets tombstones that mask nothing.
    pub fn drop_idle_tombstones(&mut self) {
        let Self { tombstones, masks, .. } = self;
        if self.keeps_tombstones {
            return;
        }
        tombstones.retain(|t| {
            masks.values().any(|m| m.entries().iter().any(|e| e.tombstone.seq == t.seq))
        });
    }
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
