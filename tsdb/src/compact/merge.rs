//! Reads several blocks as one, series by series in label order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use model::{Interrupt, Labels, ReadError, SeriesBuf};

use super::plan::Window;
use crate::block::{Block, BlockWriter};
use crate::db::StepError;
use crate::query::Source;
use crate::query::block_source::BlockSource;
use crate::query::masked_source::MaskedSource;
use crate::query::merge::{self, Part};
use crate::tombstones::{Mask, Masks, Tombstone};

/// Series after which decoded pages are forgotten: nobody reads them a second time.
const SERIES_PER_CACHE: usize = 4096;
/// Series after which the interrupt is polled.
const SERIES_PER_POLL: usize = 64;

/// Samples that were read and not written.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    /// Those that another one beat.
    pub(crate) duplicates: u64,
    /// Those that were deleted, by tombstone and input.
    pub(crate) deleted: Vec<(Arc<Tombstone>, u64)>,
}

enum Input {
    Whole(BlockSource),
    Masked(MaskedSource, Arc<Mask>),
}

impl Input {
    fn open(block: &Arc<Block>, mask: Option<&Arc<Mask>>) -> Result<Self, ReadError> {
        let block = Arc::clone(block);
        Ok(match mask {
            None => Self::Whole(BlockSource::select(block, &[])?),
            Some(mask) => {
                Self::Masked(MaskedSource::all(block, Arc::clone(mask))?, Arc::clone(mask))
            }
        })
    }

    fn source(&self) -> &dyn Source {
        match self {
            Self::Whole(source) => source,
            Self::Masked(source, _) => source,
        }
    }
}

/// Adds the samples of `blocks` inside `window` to `writer`; where several blocks have the same (series,
/// time), the highest rank wins. What `masks` hide is left out. Returns how many samples lost.
///
/// Memory: the samples of one series, and of each block a page of its index.
///
/// # Errors
/// [`StepError::Read`] where a block is damaged or the interrupt fired, [`StepError::Block`] where
/// the writer fails.
pub(crate) fn merge_into(
    blocks: &[Arc<Block>],
    masks: &Masks,
    window: Window,
    writer: &mut BlockWriter,
    interrupt: &dyn Interrupt,
) -> Result<Losses, StepError> {
    let sources = blocks
        .iter()
        .map(|block| Input::open(block, masks.get(&block.id())))
        .collect::<Result<Vec<_>, _>>()?;
    let mut next = BinaryHeap::new();
    for (n, source) in sources.iter().enumerate() {
        push(&mut next, source.source(), n, 0)?;
    }
    let (mut buf, mut losses, mut num_series) = (SeriesBuf::new(), Losses::default(), 0_usize);
    let mut parts: Vec<Part<'_>> = Vec::new();
    while let Some(Reverse((labels, n, series))) = next.pop() {
        if num_series.is_multiple_of(SERIES_PER_POLL) {
            interrupt.check().map_err(ReadError::from)?;
        }
        num_series += 1;
        parts.clear();
        let mut at = Some((n, series));
        while let Some((n, series)) = at {
            parts.push(Part { source: sources[n].source(), series });
            push(&mut next, sources[n].source(), n, series + 1)?;
            let same = next.peek().is_some_and(|Reverse((other, ..))| *other == labels);
            at = if same { next.pop().map(|Reverse((_, n, series))| (n, series)) } else { None };
        }
        losses.duplicates += merge::read(&mut parts, (window.mint, window.maxt), None, &mut buf)?;
        writer.add_series(&labels, buf.times(), buf.values(), buf.histograms())?;
        if num_series.is_multiple_of(SERIES_PER_CACHE) {
            for block in blocks {
                block.drop_caches();
            }
        }
    }
    for input in &sources {
        if let Input::Masked(source, mask) = input {
            let dropped = mask.entries().iter().zip(source.dropped());
            losses.deleted.extend(dropped.map(|(e, n)| (Arc::clone(&e.tombstone), n)));
        }
    }
    Ok(losses)
}

type Next = BinaryHeap<Reverse<(Labels, usize, usize)>>;

fn push(next: &mut Next, source: &dyn Source, n: usize, series: usize) -> Result<(), ReadError> {
    if series < source.len() {
        next.push(Reverse((source.labels(series)?, n, series)));
    }
    Ok(())
}
