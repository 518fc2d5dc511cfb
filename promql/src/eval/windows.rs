//! Which samples of a series each step of a range function sees.

use super::References;

/// Index ranges, one a step, kept from series to series while their times are the same.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    bounds: Vec<(u32, u32)>,
    generation: Option<u64>,
    /// Samples in all windows together, each as often as it is seen.
    seen: u64,
}

impl Windows {
    /// Finds the windows `(t - range, t]` over `times` unless `generation` says that they are
    /// known; `None` never matches. Whether they were computed anew.
    pub(crate) fn update(
        &mut self,
        times: impl Fn(usize) -> i64,
        len: usize,
        generation: Option<u64>,
        references: &References,
        range_ms: i64,
    ) -> bool {
        if generation.is_some() && generation == self.generation {
            return false;
        }
        self.generation = generation;
        self.bounds.clear();
        self.seen = 0;
        let (mut low, mut high) = (0, 0);
        for step in 0..references.steps.count {
            let end = references.at(step);
            let start = end.saturating_sub(range_ms);
            while high < len && times(high) <= end {
                high += 1;
            }
            while low < high && times(low) <= start {
                low += 1;
            }
            self.seen += (high - low) as u64;
            self.bounds.push((index(low), index(high)));
        }
        true
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
