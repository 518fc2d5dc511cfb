//! Which samples of a series each step of a range function sees.

use model::StandIn;

use super::References;

/// How far around its reference time a window reads, ms: `(t - before, t + after]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    pub(crate) before_ms: i64,
    pub(crate) after_ms: i64,
}

impl Reach {
    /// The first and last time that a window at one of `references` can see, both included.
    pub(crate) fn span(&self, references: &References) -> (i64, i64) {
        (
            references.first().saturating_sub(self.before_ms).saturating_add(1),
            references.last().saturating_add(self.after_ms),
        )
    }
}

/// Index ranges, one a step, kept from series to series while their times are the same.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    bounds: Vec<(u32, u32)>,
    generation: Option<u64>,
    /// Samples in all windows together, each as often as it is seen.
    seen: u64,
    /// Samples of each window that others stand for; empty where there are none.
    left_out: Vec<u64>,
}

impl Windows {
    /// Finds the windows of `reach` over `times` unless `generation` says that they are
    /// known; `None` never matches. Whether they were computed anew.
    pub(crate) fn update(
        &mut self,
        times: impl Fn(usize) -> i64,
        len: usize,
        generation: Option<u64>,
        references: &References,
        reach: Reach,
    ) -> bool {
        if generation.is_some() && generation == self.generation {
            return false;
        }
        self.generation = generation;
        self.find(times, len, &[], references, reach);
        true
    }

    /// Finds the windows of `reach` over `times`, some of which may be of stand-ins.
    pub(crate) fn find(
        &mut self,
        times: impl Fn(usize) -> i64,
        len: usize,
        stand_ins: &[StandIn],
        references: &References,
        reach: Reach,
    ) {
        self.bounds.clear();
        self.left_out.clear();
        self.seen = 0;
        let (mut low, mut high) = (0, 0);
        for step in 0..references.steps.count {
            let reference = references.at(step);
            let end = reference.saturating_add(reach.after_ms);
            let start = reference.saturating_sub(reach.before_ms);
            high = first_after(&times, high, len, end);
            low = first_after(&times, low, high, start);
            self.seen += (high - low) as u64;
            self.bounds.push((index(low), index(high)));
            if !stand_ins.is_empty() {
                let left_out = StandIn::left_out(stand_ins, low..high);
                self.left_out.push(left_out);
                self.seen += left_out;
            }
        }
    }

    /// First index and one past the last index of each step.
    pub(crate) fn bounds(&self) -> &[(u32, u32)] {
        &self.bounds
    }

    /// Number of samples of each step.
    pub(crate) fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        let left_out = self.left_out.iter().copied().chain(std::iter::repeat(0));
        self.bounds.iter().zip(left_out).map(|((low, high), n)| u64::from(high - low) + n)
    }

    /// Samples of the longest window, without those that others stand for.
    pub(crate) fn longest(&self) -> usize {
        self.bounds.iter().map(|(low, high)| (high - low) as usize).max().unwrap_or(0)
    }

    /// The window of one step.
    pub(crate) fn range(&self, step: usize) -> std::ops::Range<usize> {
        let (low, high) = self.bounds[step];
        low as usize..high as usize
    }

    /// Samples in all windows together.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }
}

/// The first of `from..len` whose time is after `t_ms`, or `len`; in the logarithm of its distance, so
/// that one window over a giant series takes no time without a poll.
fn first_after(times: &impl Fn(usize) -> i64, from: usize, len: usize, t_ms: i64) -> usize {
    let (mut low, mut width) = (from, 1);
    while low + width <= len && times(low + width - 1) <= t_ms {
        low += width;
        width *= 2;
    }
    let mut high = (low + width - 1).min(len);
    while low < high {
        let middle = usize::midpoint(low, high);
        if times(middle) <= t_ms { low = middle + 1 } else { high = middle }
    }
    low
}

fn index(i: usize) -> u32 {
    u32::try_from(i).expect("a series has fewer samples than the sample limit, which is below 2^32")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Steps;
    use proptest::prelude::*;

    proptest! {
        /// Model: a look at every sample for every step.
        #[test]
        fn windows_hold_the_samples_between_their_bounds(
            deltas in proptest::collection::vec(1..50_i64, 0..60),
            (before_ms, after_ms, step_ms) in (0..200_i64, 0..50_i64, 1..90_i64),
        ) {
            let mut t = 0;
            let times: Vec<i64> = deltas.iter().map(|d| { t += d; t }).collect();
            let references = References::new(Steps::new(-10, 1000, step_ms), None, 7);
            let mut windows = Windows::default();
            windows.find(|i| times[i], times.len(), &[], &references, Reach { before_ms, after_ms });
            for step in 0..references.steps.count {
                let at = references.at(step);
                let inside = |t: &&i64| **t > at - before_ms && **t <= at + after_ms;
                let want: Vec<i64> = times.iter().filter(inside).copied().collect();
                prop_assert_eq!(&times[windows.range(step)], want.as_slice());
            }
        }
    }
}
