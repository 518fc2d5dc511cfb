//! What a reader needs of the samples of a series.
//!
//! A function of a range of a month looks at two samples, or at one number of each chunk. A reader
//! that says so with a [`Wanted`] lets storage leave out the samples that it does not look at:
//! some samples then stand for others ([`StandIn`]), and the answer stays the same to the bit.
//! Storage may always give every sample instead.

use std::ops::Range;

/// What of the samples of each window matters. Every need includes how many samples there are, and
/// whether there is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Need {
    /// Each sample.
    #[default]
    All,
    /// The first and the last sample, and both of each pair of neighbours of which the second is
    /// less: what a counter rose by.
    Falls,
    /// The first and the last samples, as many as the numbers say.
    Edges {
        /// Of the first ones.
        first: u32,
        /// Of the last ones.
        last: u32,
    },
    /// The first of the greatest numbers, at whatever time; NaN is none. Where there is no number,
    /// the last value.
    Greatest,
    /// The first of the least numbers, as [`Need::Greatest`].
    Least,
}

impl Need {
    /// How many samples there are.
    pub const COUNT: Self = Self::Edges { first: 0, last: 0 };
}

/// A need, and the windows that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// What is needed of each window.
    pub need: Need,
    /// The windows.
    pub windows: WindowGrid,
}

/// Windows at equal distances: window `k` has the samples in `(end - range_ms, end]` where `end` is
/// `first_end_ms + k * step_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowGrid {
    /// Last time of the first window, ms.
    pub first_end_ms: i64,
    /// From one end to the next, ms; more than 0 where there are several windows.
    pub step_ms: i64,
    /// Number of windows.
    pub count: u64,
    /// Length of each, ms.
    pub range_ms: i64,
}

impl WindowGrid {
    /// Whether a window ends in `[from, to)`: it reaches to `from` and not to `to`.
    pub fn ends_in(&self, from: i64, to: i64) -> bool {
        self.has_mark(0, from, to)
    }

    /// Whether a window begins in `[from, to)`: it has what comes right after `from`, or later, and
    /// not `from`.
    pub fn begins_in(&self, from: i64, to: i64) -> bool {
        self.has_mark(self.range_ms, from, to)
    }

    /// Whether a window has some of the samples from `first` to `last`, both included, and not all.
    pub fn cuts(&self, first: i64, last: i64) -> bool {
        self.ends_in(first, last) || self.begins_in(first, last)
    }

    /// Whether no sample is in two windows.
    pub const fn are_apart(&self) -> bool {
        self.count < 2 || self.step_ms >= self.range_ms
    }

    /// The first window that has the time `t`.
    pub fn window_at(&self, t: i64) -> Option<u64> {
        let k = self.first_at(i128::from(self.first_end_ms), i128::from(t));
        let end = i128::from(self.first_end_ms) + k * i128::from(self.step_ms);
        let has = k < i128::from(self.count) && i128::from(t) > end - i128::from(self.range_ms);
        if has { u64::try_from(k).ok() } else { None }
    }

    /// The number of the first of the marks `base`, `base + step_ms` ... that is not before `t`.
    fn first_at(&self, base: i128, t: i128) -> i128 {
        let step = i128::from(self.step_ms.max(1));
        (t - base + step - 1).div_euclid(step).max(0)
    }

    /// Whether one of the ends, moved back by `back_ms`, is in `[from, to)`.
    fn has_mark(&self, back_ms: i64, from: i64, to: i64) -> bool {
        let base = i128::from(self.first_end_ms) - i128::from(back_ms);
        let k = self.first_at(base, i128::from(from));
        k < i128::from(self.count) && base + k * i128::from(self.step_ms) < i128::from(to)
    }
}

/// A sample that stands for others, which were left out: they are next to it in time, and every
/// window that has it has them all. Its value is NaN where the need does not ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandIn {
    /// Its place among the samples.
    pub at: usize,
    /// How many samples were left out up to here, those that this one stands for included.
    pub left_out: u64,
}

impl StandIn {
    /// How many samples those at `places` stand for besides themselves. `all` is sorted.
    pub fn left_out(all: &[Self], places: Range<usize>) -> u64 {
        let up_to = |place: usize| match all.partition_point(|s| s.at < place) {
            0 => 0,
            n => all[n - 1].left_out,
        };
        up_to(places.end) - up_to(places.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stand_ins_are_counted_where_they_lie() {
        let all = [(2, 5), (3, 6), (7, 16)].map(|(at, left_out)| StandIn { at, left_out });
        for (places, want) in [(0..2, 0), (0..3, 5), (3..4, 1), (3..8, 11), (4..7, 0), (9..9, 0)] {
            assert_eq!(StandIn::left_out(&all, places), want);
        }
        assert_eq!(StandIn::left_out(&[], 0..9), 0);
    }

    #[test]
    fn times_at_the_end_of_numbers_do_not_overflow() {
        let count = 3;
        let grid =
            WindowGrid { first_end_ms: i64::MIN, step_ms: i64::MAX, count, range_ms: i64::MAX };
        assert_eq!(grid.window_at(i64::MAX), None);
        assert!(grid.cuts(i64::MIN, i64::MAX));
    }

    proptest! {
        /// Model: a look at every window for every time.
        #[test]
        fn a_grid_knows_its_windows(
            (first_end_ms, step_ms, count, range_ms) in (-20..60_i64, 1..30_i64, 0..6_u64, 1..60_i64),
            first in -90..200_i64, len in 0..60_i64,
        ) {
            let grid = WindowGrid { first_end_ms, step_ms, count, range_ms };
            let last = first + len;
            let has = |k: u64, t: i64| {
                let end = first_end_ms + i64::try_from(k).unwrap() * step_ms;
                t > end - range_ms && t <= end
            };
            let cut = (0..count).any(|k| {
                let inside = (first..=last).filter(|t| has(k, *t)).count();
                inside > 0 && inside < usize::try_from(len + 1).unwrap()
            });
            // Between two times a window may also lie that has neither.
            let between = (0..count).any(|k| !has(k, first) && !has(k, last)
                && (first..=last).any(|t| has(k, t)));
            prop_assert_eq!(grid.cuts(first, last), cut || between);
            prop_assert_eq!(grid.window_at(first), (0..count).find(|k| has(*k, first)));
            let twice = (-90..300).any(|t| (0..count).filter(|k| has(*k, t)).count() > 1);
            prop_assert_eq!(grid.are_apart(), !twice);
        }
    }
}
