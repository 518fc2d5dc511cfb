//! Tombstones as one block sees them: the series that each masks, and when.

use std::sync::Arc;

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use super::Tombstone;
use crate::block::{Block, BlockError, BlockId};

/// The masks of the blocks that have any.
pub type Masks = HashMap<BlockId, Arc<Mask>>;

/// What is deleted from a block; never empty.
#[derive(Debug, Clone)]
pub struct Mask {
    /// Ascending by sequence number.
    entries: Vec<Entry>,
    /// The series of all entries.
    any: RoaringBitmap,
}

/// What one tombstone masks.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The tombstone.
    pub tombstone: Arc<Tombstone>,
    /// The series in the block, never none.
    pub series: RoaringBitmap,
}

impl Entry {
    /// Whether it takes the sample of `series` at `t`.
    pub fn takes(&self, series: u32, t: i64) -> bool {
        let what = &self.tombstone.what;
        what.mint <= t && t <= what.maxt && self.series.contains(series)
    }
}

/// What `tombstone` masks in `block`, if anything.
///
/// # Errors
/// The index is damaged or cannot be read.
pub fn entry(block: &Block, tombstone: &Arc<Tombstone>) -> Result<Option<Entry>, BlockError> {
    let what = &tombstone.what;
    let meta = block.meta();
    if meta.settled_seq() >= tombstone.seq || !meta.overlaps(what.mint, what.maxt) {
        return Ok(None);
    }
    let mut series = RoaringBitmap::new();
    for matchers in &what.selectors {
        series |= block.select(matchers)?;
    }
    series.optimize();
    let tombstone = Arc::clone(tombstone);
    Ok((!series.is_empty()).then_some(Entry { tombstone, series }))
}

impl Mask {
    /// What `tombstones`, which are ascending, mask in `block`; what `before` knows is not looked up
    /// again.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn of(
        block: &Block,
        tombstones: &[Arc<Tombstone>],
        before: Option<&Arc<Self>>,
    ) -> Result<Option<Arc<Self>>, BlockError> {
        let known = before.map_or(&[][..], |mask| &mask.entries);
        let looked_up = known.last().map_or(0, |last| last.tombstone.seq);
        let mut entries = Vec::new();
        for tombstone in tombstones {
            let found = known.iter().find(|e| e.tombstone.seq == tombstone.seq);
            match found {
                Some(found) => entries.push(found.clone()),
                // It was looked up with those that are known, and masked nothing.
                None if tombstone.seq < looked_up => {}
                None => entries.extend(entry(block, tombstone)?),
            }
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let mut any = RoaringBitmap::new();
        for entry in &entries {
            any |= &entry.series;
        }
        Ok(Some(Arc::new(Self { entries, any })))
    }

    /// Its parts.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The highest sequence number of a tombstone in it.
    pub fn seq(&self) -> u64 {
        self.entries.last().map_or(0, |last| last.tombstone.seq)
    }

    /// The series of which anything may be masked.
    pub fn series(&self) -> &RoaringBitmap {
        &self.any
    }

    /// The series of which one tombstone masks all of `[mint, maxt]`.
    pub fn hidden(&self, mint: i64, maxt: i64) -> RoaringBitmap {
        let mut hidden = RoaringBitmap::new();
        for Entry { tombstone, series } in &self.entries {
            if tombstone.what.mint <= mint && maxt <= tombstone.what.maxt {
                hidden |= series;
            }
        }
        hidden
    }

    /// The masked ranges of `series` that overlap `[mint, maxt]`: ascending, disjoint, inclusive.
    pub fn ranges(&self, series: u32, mint: i64, maxt: i64) -> Vec<(i64, i64)> {
        if !self.any.contains(series) {
            return Vec::new();
        }
        let mut ranges: Vec<(i64, i64)> = self
            .entries
            .iter()
            .map(|e| (e.tombstone.what.mint, e.tombstone.what.maxt, e))
            .filter(|(first, last, e)| *first <= maxt && mint <= *last && e.series.contains(series))
            .map(|(first, last, _)| (first, last))
            .collect();
        ranges.sort_unstable();
        ranges.dedup_by(|next, before| {
            let joined = next.0 <= before.1;
            if joined {
                before.1 = before.1.max(next.1);
            }
            joined
        });
        ranges
    }
}

/// Whether `t` lies in one of `ranges`, which are ascending and disjoint.
pub fn is_inside(ranges: &[(i64, i64)], t: i64) -> bool {
    let at = ranges.partition_point(|(_, last)| *last < t);
    ranges.get(at).is_some_and(|(first, _)| *first <= t)
}
