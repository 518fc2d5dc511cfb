//! Which samples of a series each step of a range function sees.

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
        self.find(times, len, references, reach);
        true
    }

    /// Finds the windows of `reach` over `times`.
    pub(crate) fn find(
        &mut self,
        times: impl Fn(usize) -> i64,
        len: usize,
        references: &References,
        reach: Reach,
    ) {
        self.bounds.clear();
        self.seen = 0;
        let (mut low, mut high) = (0, 0);
        for step in 0..references.steps.count {
            let reference = references.at(step);
            let end = reference.saturating_add(reach.after_ms);
            let start = reference.saturating_sub(reach.before_ms);
            while high < len && times(high) <= end {
                high += 1;
            }
            while low < high && times(low) <= start {
                low += 1;
            }
            self.seen += (high - low) as u64;
            self.bounds.push((index(low), index(high)));
        }
    }

    /// First index and one past the last index of each step.
    pub(crate) fn bounds(&self) -> &[(u32, u32)] {
        &self.bounds
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

fn index(i: usize) -> u32 {
    u32::try_from(i).expect("a series has fewer samples than the sample limit, which is below 2^32")
}
