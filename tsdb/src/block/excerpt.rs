//! Reads of a series what somebody [`Wanted`]: a chunk that every window has whole or not at all is
//! given by a sample or two that stand for it, and decoded only where its row does not tell the rest.
//!
//! What a row says is believed in one direction: bounds are on the outside of all numbers, and a
//! chunk without a reset has no value less than the one before it. NaN hides from both: it is no
//! bound, and next to it nothing is less.

use std::cmp::Ordering;

use model::{ColumnId, Need, SeriesBuf, Wanted, WindowGrid};

use super::reader::BlockReader;
use super::rows::ChunkRow;
use super::{Block, BlockError};
use crate::chunk::{self, Encoding};

/// How a chunk is given.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Given {
    /// As it is.
    Whole,
    /// By its first or its last value, or both; a last one of NaN stands for the others where only they
    /// are counted.
    Ends { first: bool, last: bool },
    /// By one number.
    Number(f64),
}

/// Bits of a [`ColumnId`] that tell the times of ends from those of the whole column.
const FIRST: u128 = 1 << 32;
const LAST: u128 = 1 << 33;

impl BlockReader {
    /// As [`BlockReader::read`] for a reader that needs no more than `wanted`.
    ///
    /// # Errors
    /// As [`BlockReader::read`].
    pub fn read_wanted(
        &mut self,
        series: u32,
        span: (i64, i64),
        wanted: &Wanted,
        buf: &mut SeriesBuf,
    ) -> Result<(), BlockError> {
        self.chunks(series)?;
        self.excerpt(span, wanted, buf)
    }

    /// Reads the chunks at hand.
    fn excerpt(
        &self,
        (mint, maxt): (i64, i64),
        wanted: &Wanted,
        buf: &mut SeriesBuf,
    ) -> Result<(), BlockError> {
        // A window of floats and histograms is told by all its samples.
        if wanted.need == Need::All || self.rows.iter().any(|r| r.encoding == Encoding::Histogram) {
            return self.read_rows(mint, maxt, buf);
        }
        // Chunks of floats do not overlap.
        let from = self.rows.partition_point(|row| row.maxt < mint);
        let to = self.rows.partition_point(|row| row.mint <= maxt);
        let rows = self.rows.get(from..to).unwrap_or_default();
        let excerpt = Excerpt { block: &self.block, rows, span: (mint, maxt), wanted };
        if !rows.iter().any(|row| excerpt.can_stand(row)) {
            return self.read_rows(mint, maxt, buf);
        }
        match wanted.need {
            Need::Greatest => excerpt.read_extremes(Side::Greatest, buf),
            Need::Least => excerpt.read_extremes(Side::Least, buf),
            Need::All | Need::Falls | Need::Edges { .. } => {
                (0..rows.len()).try_for_each(|i| excerpt.give(i, excerpt.ends(i), buf))
            }
        }
    }
}

/// The chunks of one series in a block, in order, and what is wanted of them.
struct Excerpt<'a> {
    block: &'a Block,
    rows: &'a [ChunkRow],
    span: (i64, i64),
    wanted: &'a Wanted,
}

impl Excerpt<'_> {
    const fn windows(&self) -> &WindowGrid {
        &self.wanted.windows
    }

    /// Whether a chunk can stand for its samples: each window has it whole or not at all, and each of
    /// its samples counts.
    fn can_stand(&self, row: &ChunkRow) -> bool {
        let (mint, maxt) = self.span;
        let is_inside = mint <= row.mint && row.maxt <= maxt;
        // Most windows are short, and that is told sooner than where they lie.
        let is_short = row.maxt.saturating_sub(row.mint) < self.windows().range_ms;
        // Two samples are not worth the while.
        row.count > 2
            && is_short
            && is_inside
            && !row.has_stale
            && !self.windows().cuts(row.mint, row.maxt)
    }

    /// What is needed of chunk `i` where first and last samples are.
    fn ends(&self, i: usize) -> Given {
        let row = &self.rows[i];
        if !self.can_stand(row) {
            return Given::Whole;
        }
        match self.wanted.need {
            Need::Falls if !row.has_reset => Given::Ends { first: true, last: true },
            Need::Edges { first, last } => {
                let before = i.checked_sub(1).and_then(|i| self.rows.get(i));
                let is_first = before.is_none_or(|before| {
                    !is_enough(before, first) || self.windows().begins_in(before.mint, row.mint)
                });
                let is_last = self.rows.get(i + 1).is_none_or(|next| {
                    !is_enough(next, last) || self.windows().ends_in(row.maxt, next.maxt)
                });
                let (is_first, is_last) = (is_first && first > 0, is_last && last > 0);
                if is_first && first > 1 || is_last && last > 1 {
                    return Given::Whole;
                }
                Given::Ends { first: is_first, last: is_last }
            }
            _ => Given::Whole,
        }
    }

    /// Appends chunk `i` to `buf` as it is to be given.
    fn give(&self, i: usize, given: Given, buf: &mut SeriesBuf) -> Result<(), BlockError> {
        let row = &self.rows[i];
        let count = row.count as usize;
        let id = u128::from(self.block.number) << 64 | u128::from(row.column);
        match given {
            Given::Whole => {
                let (mint, maxt) = self.span;
                return self.block.read_floats(row, mint, maxt, buf);
            }
            Given::Number(v) => {
                buf.push_standing(ColumnId(id | LAST), &[(row.maxt, v)], u64::from(row.count) - 1);
            }
            Given::Ends { first: false, last: false } => {
                return self.give(i, Given::Number(f64::NAN), buf);
            }
            Given::Ends { first: false, last: true } => {
                let [v] = self.values(row, [count - 1])?;
                return self.give(i, Given::Number(v), buf);
            }
            Given::Ends { first: true, last } => {
                let [first, last] = if last {
                    self.values(row, [0, count - 1])?
                } else {
                    let [first] = self.values(row, [0])?;
                    [first, f64::NAN]
                };
                if self.wanted.need == Need::Falls && last < first {
                    // There is no reset, so there is a NaN in between.
                    return self.give(i, Given::Whole, buf);
                }
                let ends = [(row.mint, first), (row.maxt, last)];
                buf.push_standing(ColumnId(id | FIRST | LAST), &ends, u64::from(row.count) - 2);
            }
        }
        Ok(())
    }

    /// The values at `places` of a chunk.
    fn values<const N: usize>(
        &self,
        row: &ChunkRow,
        places: [usize; N],
    ) -> Result<[f64; N], BlockError> {
        let (bytes, offset) = self.block.chunk_bytes(row)?;
        let (mut values, mut one) = ([0.0; N], Vec::with_capacity(1));
        for (v, place) in values.iter_mut().zip(places) {
            one.clear();
            chunk::decode(row.encoding, &bytes, row.count as usize, place..place + 1, &mut one)
                .map_err(|e| self.block.chunks.corrupt(offset, e.0))?;
            *v = one.first().copied().unwrap_or(f64::NAN);
        }
        Ok(values)
    }

    /// Reads what is needed where the greatest or least numbers are.
    fn read_extremes(&self, side: Side, buf: &mut SeriesBuf) -> Result<(), BlockError> {
        let mut given = vec![Given::Whole; self.rows.len()];
        if self.windows().are_apart() {
            let window = |i: usize| self.windows().window_at(self.rows[i].maxt);
            let standing: Vec<usize> =
                (0..self.rows.len()).filter(|i| self.can_stand(&self.rows[*i])).collect();
            for group in standing.chunk_by(|a, b| window(*a) == window(*b)) {
                if window(group[0]).is_none() {
                    for i in group {
                        given[*i] = Given::Number(f64::NAN);
                    }
                    continue;
                }
                let best = self.known_best(side, buf);
                self.find_extremes(group, side, best, &mut given)?;
            }
        }
        (0..self.rows.len()).try_for_each(|i| self.give(i, given[i], buf))
    }

    /// The best number of the blocks before, where all of them is in the only window.
    fn known_best(&self, side: Side, buf: &mut SeriesBuf) -> Option<f64> {
        let windows = self.windows();
        let (mint, maxt) = self.span;
        let is_one =
            windows.count == 1 && [mint, maxt].iter().all(|t| windows.window_at(*t).is_some());
        let best = if is_one { side.best(buf.values_mut()) } else { None };
        best.filter(|v| !v.is_nan())
    }

    /// Finds the best number of each chunk of `group`, which are those of one window, in the order of
    /// their promise, until no other one can be as good as the best so far.
    fn find_extremes(
        &self,
        group: &[usize],
        side: Side,
        mut best: Option<f64>,
        given: &mut [Given],
    ) -> Result<(), BlockError> {
        let bound = |i: usize| self.rows[i].bounds.map(|bounds| side.bound(bounds));
        let mut order = group.to_vec();
        order.sort_by(|a, b| match (bound(*a), bound(*b)) {
            // What is not known may be anything.
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => side.order(a, b),
        });
        let mut values = Vec::new();
        for i in order {
            // Equal bounds may be of zeros of either sign, so they count as well.
            let is_beaten =
                bound(i).is_some_and(|bound| best.is_some_and(|best| side.is_better(best, bound)));
            if is_beaten {
                given[i] = Given::Number(f64::NAN);
                continue;
            }
            values.clear();
            let row = &self.rows[i];
            let (bytes, offset) = self.block.chunk_bytes(row)?;
            let count = row.count as usize;
            chunk::decode(row.encoding, &bytes, count, 0..count, &mut values)
                .map_err(|e| self.block.chunks.corrupt(offset, e.0))?;
            let Some(number) = side.best(&values) else { continue };
            given[i] = Given::Number(number);
            if !number.is_nan() && best.is_none_or(|best| side.is_better(number, best)) {
                best = Some(number);
            }
        }
        Ok(())
    }
}

/// Whether a neighbour has as many samples as are needed at an end.
const fn is_enough(row: &ChunkRow, num: u32) -> bool {
    !row.has_stale && row.count >= num
}

/// Which extreme.
#[derive(Debug, Clone, Copy)]
enum Side {
    Greatest,
    Least,
}

impl Side {
    const fn is_better(self, a: f64, b: f64) -> bool {
        match self {
            Self::Greatest => a > b,
            Self::Least => a < b,
        }
    }

    /// The bound that no number of a chunk is better than.
    const fn bound(self, (least, greatest): (f64, f64)) -> f64 {
        match self {
            Self::Greatest => greatest,
            Self::Least => least,
        }
    }

    /// The more promising bound first.
    fn order(self, a: f64, b: f64) -> Ordering {
        match self {
            Self::Greatest => b.total_cmp(&a),
            Self::Least => a.total_cmp(&b),
        }
    }

    /// The first of the best of `values`, or of nothing but NaN the last.
    fn best(self, values: &[f64]) -> Option<f64> {
        let (first, rest) = values.split_first()?;
        let better = |best: f64, v: &f64| {
            if self.is_better(*v, best) || best.is_nan() { *v } else { best }
        };
        Some(rest.iter().fold(*first, better))
    }
}

#[cfg(test)]
mod tests;
