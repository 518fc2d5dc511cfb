//! What to compact next: a pure function of what the blocks say about themselves.
//!
//! The time axis is cut into *windows*, aligned to the epoch: the largest range whose window is
//! complete, that is, lies below the flush boundary. What is not in a complete window of a day is
//! the *open window*. As the boundary rises, windows merge into larger ones and are never cut again. Two
//! moves follow:
//!
//! - A block that lies in more than one window is **split** along them, so that late samples with
//!   random times do not keep everything overlapping for ever. Where that would make too many
//!   pieces it is left alone.
//! - Blocks in the same window are **merged**, once the largest of them is not many times as large as the
//!   rest together, or nothing came for a while. So a byte is rewritten a logarithmic number of
//!   times, and in the end a window has one block, as far as the size limit lets it.
//!
//! In the open window only complete windows of the smallest range are merged.
//!
//! A merged block has the highest rank (`late_seq`) of its inputs, which must not change who wins at
//! a (series, time): see [`is_legal`].

use std::collections::BTreeMap;

use crate::block::{BlockId, BlockMeta};

/// What the plan knows of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: BlockId,
    /// First time, ms.
    pub mint: i64,
    /// Last time, ms, inclusive.
    pub maxt: i64,
    /// Its rank.
    pub late_seq: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

impl Candidate {
    /// What `meta` says; `bytes` is the size on disk.
    pub const fn new(meta: &BlockMeta, bytes: u64) -> Self {
        let BlockMeta { id, mint, maxt, late_seq, .. } = *meta;
        Self { id, mint, maxt, late_seq, bytes }
    }

    /// Whether the times that the two may have overlap.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.mint <= other.maxt && other.mint <= self.maxt
    }

    const fn within(&self, window: &Window) -> bool {
        window.mint <= self.mint && self.maxt <= window.maxt
    }
}

/// Sizes and limits of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Lengths of windows in ms, ascending, each a multiple of the one before. The first is that of
    /// a flush, the second that of the open window. Never empty.
    pub ranges_ms: Vec<i64>,
    /// Inputs of a merge have at most this many bytes together, and so has its output, nearly.
    pub max_bytes: u64,
    /// Most inputs of a merge.
    pub max_inputs: usize,
    /// Most pieces that a block is split into.
    pub max_pieces: usize,
    /// Blocks above which nothing is split.
    pub max_blocks: usize,
    /// A window to which nothing was added for this long (ms) is merged whatever the sizes.
    pub settle_ms: u64,
}

impl Rules {
    /// Windows of `block_range_ms`, twelve and a hundred and twenty times that (2 hours, a day, ten
    /// days), as far as they are not longer than `max_range_ms`.
    pub fn new(block_range_ms: i64, max_range_ms: i64, max_bytes: u64) -> Self {
        let first = block_range_ms.max(1);
        let longer = [12, 120].map(|n| first.saturating_mul(n));
        let mut ranges_ms = vec![first];
        ranges_ms.extend(longer.into_iter().filter(|range| *range <= max_range_ms));
        Self {
            settle_ms: first.unsigned_abs(),
            ranges_ms,
            max_bytes,
            max_inputs: 32,
            max_pieces: 128,
            max_blocks: 2000,
        }
    }
}

/// An inclusive range of times, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// First time.
    pub mint: i64,
    /// Last time.
    pub maxt: i64,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Make one block of several.
    Merge(Vec<BlockId>),
    /// Make a block for each window, ascending, in which this block has samples.
    Split(BlockId, Vec<Window>),
}

impl Plan {
    /// The blocks that go.
    pub fn inputs(&self) -> &[BlockId] {
        match self {
            Self::Merge(blocks) => blocks,
            Self::Split(block, _) => std::slice::from_ref(block),
        }
    }
}

/// Smallest ranges in the windows that the open one is compacted in: eight hours, of which a chunk of samples
/// every 15 s is made.
const MIDDLE: i64 = 4;
/// Blocks below this count as this large: rewriting them costs nothing worth saving.
const SMALL_BYTES: u64 = 1 << 20;
/// The largest input may be this many times as large as the others together.
const MAX_RATIO: u64 = 2;

/// The next thing to do with `blocks`, if any. In-order samples below `boundary` are in blocks;
/// `now_ms` is the wall clock.
pub fn plan(blocks: &[Candidate], boundary: i64, rules: &Rules, now_ms: u64) -> Option<Plan> {
    // Windows by length: what is cheap, and lowers the number of blocks most, comes first.
    let mut groups = BTreeMap::<(u64, Window), Vec<Candidate>>::new();
    for block in blocks {
        let window = rules.window(block.mint, boundary);
        let group = if block.within(&window) {
            rules.innermost(block, window, boundary)
        } else {
            let overlaps = blocks.iter().any(|b| b.id != block.id && b.overlaps(block));
            match rules.pieces(block, boundary) {
                // A long block that is in nobody's way is better than many short ones.
                Some(pieces) if pieces.len() > 2 && !overlaps => None,
                Some(pieces) if blocks.len() + pieces.len() <= rules.max_blocks => {
                    return Some(Plan::Split(block.id, pieces));
                }
                // What cannot be split is at least merged with its like.
                _ => overlaps.then_some(Window { mint: i64::MIN, maxt: i64::MAX }),
            }
        };
        if let Some(window) = group {
            groups.entry((window.maxt.abs_diff(window.mint), window)).or_default().push(*block);
        }
    }
    groups.into_values().find_map(|group| merge(group, blocks, rules, now_ms)).map(Plan::Merge)
}

impl Rules {
    /// The window of time `t`.
    fn window(&self, t: i64, boundary: i64) -> Window {
        let outer = self.ranges_ms.get(1..).filter(|outer| !outer.is_empty());
        let outer = outer.unwrap_or(&self.ranges_ms);
        let mut windows = outer.iter().rev().map(|range| aligned(t, *range));
        windows.find(|window| window.maxt < boundary).unwrap_or_else(|| {
            let open = outer.first().copied().unwrap_or(1);
            Window { mint: aligned(boundary, open).mint, maxt: i64::MAX }
        })
    }

    /// The window to merge `block` in, which lies in `window`: in the open one that of [`MIDDLE`] times the
    /// smallest range or of the smallest, if the block fits into it and it is complete.
    fn innermost(&self, block: &Candidate, window: Window, boundary: i64) -> Option<Window> {
        if window.maxt < boundary {
            return Some(window);
        }
        let small = self.ranges_ms.first().copied().unwrap_or(1);
        // The longer one too, where it divides the open window: each block of a day has its index.
        let open = self.ranges_ms.get(1).copied().unwrap_or(small);
        let middle = small.saturating_mul(MIDDLE);
        let middle = Some(middle).filter(|m| *m < open && open % m == 0);
        let windows = middle.into_iter().chain([small]).map(|range| aligned(block.mint, range));
        windows.into_iter().find(|w| block.within(w) && w.maxt < boundary)
    }

    /// The windows that `block` may have samples in; `None` where they are too many.
    fn pieces(&self, block: &Candidate, boundary: i64) -> Option<Vec<Window>> {
        let mut pieces = vec![self.window(block.mint, boundary)];
        while let Some(last) = pieces.last().filter(|last| last.maxt < block.maxt) {
            if pieces.len() == self.max_pieces {
                return None;
            }
            pieces.push(self.window(last.maxt + 1, boundary));
        }
        Some(pieces)
    }
}

/// The window of length `range` that `t` lies in, as far as there are numbers for it.
fn aligned(t: i64, range: i64) -> Window {
    let start = i128::from(t.div_euclid(range)) * i128::from(range);
    let end = start + i128::from(range) - 1;
    Window {
        mint: i64::try_from(start).unwrap_or(i64::MIN),
        maxt: i64::try_from(end).unwrap_or(i64::MAX),
    }
}

/// The most blocks of `group` that may and should be merged.
fn merge(
    mut group: Vec<Candidate>,
    all: &[Candidate],
    rules: &Rules,
    now_ms: u64,
) -> Option<Vec<BlockId>> {
    // In this order a run leaves out no rank between two of its own.
    group.sort_by_key(|b| (b.late_seq, b.mint, b.id));
    let longest = group.len().min(rules.max_inputs);
    let mut runs = (2..=longest).rev().flat_map(|n| group.windows(n));
    let chosen = runs.find(|run| {
        is_due(run, rules, now_ms) && is_legal(run, all) && makes_no_overlap(run, all)
    })?;
    Some(chosen.iter().map(|b| b.id).collect())
}

fn is_due(run: &[Candidate], rules: &Rules, now_ms: u64) -> bool {
    let sum = run.iter().fold(0_u64, |sum, b| sum.saturating_add(b.bytes));
    if sum > rules.max_bytes {
        return false;
    }
    let sizes = || run.iter().map(|b| b.bytes.max(SMALL_BYTES));
    let largest = sizes().max().unwrap_or(0);
    let rest = sizes().fold(0_u64, u64::saturating_add).saturating_sub(largest);
    let newest = run.iter().map(|b| b.id.created_ms()).max().unwrap_or(0);
    largest <= rest.saturating_mul(MAX_RATIO) || now_ms >= newest.saturating_add(rules.settle_ms)
}

/// Whether a block with the samples of `run` and the highest of its ranks wins and loses against
/// every other block where the inputs did: no block that is left out and overlaps an input may rank
/// above that input but not above the output.
///
/// Blocks of one rank hold no (series, time) twice, since they come from one late buffer or are all
/// in order; so equal ranks need no order.
pub fn is_legal(run: &[Candidate], all: &[Candidate]) -> bool {
    let rank = run.iter().map(|b| b.late_seq).max().unwrap_or(0);
    left_out(run, all).filter(|other| other.late_seq <= rank).all(|other| {
        run.iter().all(|input| other.late_seq <= input.late_seq || !input.overlaps(other))
    })
}

/// Whether the output overlaps only blocks that an input overlaps.
fn makes_no_overlap(run: &[Candidate], all: &[Candidate]) -> bool {
    let mint = run.iter().map(|b| b.mint).min().unwrap_or(i64::MAX);
    let maxt = run.iter().map(|b| b.maxt).max().unwrap_or(i64::MIN);
    left_out(run, all)
        .filter(|other| mint <= other.maxt && other.mint <= maxt)
        .all(|other| run.iter().any(|input| input.overlaps(other)))
}

fn left_out<'a>(run: &'a [Candidate], all: &'a [Candidate]) -> impl Iterator<Item = &'a Candidate> {
    all.iter().filter(|b| run.iter().all(|input| input.id != b.id))
}

#[cfg(test)]
mod tests;
