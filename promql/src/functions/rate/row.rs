//! A whole row of windows at once, for series that share their times: what depends on the times
//! alone is computed once per column of times, and a series costs a few operations a step.

use std::ops::Range;

use super::{Extent, seconds};

/// Which of the three extrapolating functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// `rate`
    #[default]
    Rate,
    /// `increase`
    Increase,
    /// `delta`
    Delta,
}

impl Kind {
    /// Whether falls of the value are resets of a counter.
    pub const fn is_counter(self) -> bool {
        !matches!(self, Self::Delta)
    }

    /// Whether the result is per second.
    pub const fn is_rate(self) -> bool {
        matches!(self, Self::Rate)
    }

    /// The share of the sampled time after which a counter that rose by `rise` to beyond `first`
    /// would have started from zero.
    pub(super) fn zero_at(self, first: f64, rise: f64) -> Option<f64> {
        (self.is_counter() && rise > 0.0 && first >= 0.0).then(|| first / rise)
    }
}

/// One step of a [`RowPlan`].
#[derive(Debug, Clone, Copy)]
struct Step {
    first: u32,
    last: u32,
    extent: Extent,
    /// The factor where the counter's zero does not limit the extrapolation.
    factor: f64,
}

/// The windows of a row over one column of times, ready to run over the values of each series that
/// has these times.
#[derive(Debug, Clone, Default)]
pub struct RowPlan {
    kind: Kind,
    per_seconds: Option<f64>,
    /// `None` where a window has fewer than two samples.
    steps: Vec<Option<Step>>,
}

impl RowPlan {
    /// Plans anew. Each of `windows` is the half-open range of indices into `times` of the window that
    /// ends at `ends_ms[i]` and begins, exclusively, `range_ms` before, and how many samples it has: more
    /// than those where some were left out, which are then neither the first nor the last.
    pub fn make(
        &mut self,
        kind: Kind,
        times: &[i64],
        windows: impl Iterator<Item = ((u32, u32), u64)>,
        ends_ms: &[i64],
        range_ms: i64,
    ) {
        let per_seconds = kind.is_rate().then(|| seconds(range_ms));
        (self.kind, self.per_seconds) = (kind, per_seconds);
        let steps = windows.zip(ends_ms).map(|(((from, to), count), &end_ms)| {
            if count < 2 {
                return None;
            }
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let samples = (times[from as usize], times[to as usize - 1], count);
            let extent = Extent::new(samples, (end_ms - range_ms, end_ms));
            let factor = extent.factor(None, per_seconds);
            Some(Step { first: from, last: to - 1, extent, factor })
        });
        self.steps.clear();
        self.steps.extend(steps);
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether falls of the value matter.
    pub const fn is_of_counter(&self) -> bool {
        self.kind.is_counter()
    }

    /// Whether the row has no step.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether step `i` has an answer; the same for every series of the column.
    pub fn is_present(&self, i: usize) -> bool {
        self.steps[i].is_some()
    }

    /// Writes the answer of each step to `out`, which is as long as the plan; steps without one
    /// are left alone. `resets` are those that [`find_resets`] finds in all of `values`, or nothing where
    /// [`RowPlan::is_of_counter`] says no. The same bits as the functions of the parent module.
    pub fn run(&self, values: &[f64], resets: &[u32], out: &mut [f64]) {
        assert_eq!(out.len(), self.steps.len(), "one place per step");
        // Windows move forward, so the resets before them need no second look.
        let mut passed = 0;
        for (step, out) in self.steps.iter().zip(out) {
            let Some(step) = step else { continue };
            let first = values[step.first as usize];
            let mut rise = values[step.last as usize] - first;
            if !resets.is_empty() {
                if passed > 0 && resets[passed - 1] > step.first {
                    passed = 0;
                }
                while resets.get(passed).is_some_and(|r| *r <= step.first) {
                    passed += 1;
                }
                for r in resets[passed..].iter().take_while(|r| **r <= step.last) {
                    rise += values[*r as usize - 1];
                }
            }
            let zero_at = self.kind.zero_at(first, rise);
            let limited =
                zero_at.is_some_and(|share| step.extent.sampled * share < step.extent.to_start);
            let factor =
                if limited { step.extent.factor(zero_at, self.per_seconds) } else { step.factor };
            *out = rise * factor;
        }
    }
}

/// Appends the place of each value in `range` that is less than the one before it.
pub fn find_resets(values: &[f64], range: Range<usize>, resets: &mut Vec<u32>) {
    let first = range.start.saturating_sub(1);
    let pairs = values[first..range.end].windows(2);
    // Most counters never fall: one pass without a branch per value proves that.
    if pairs.clone().filter(|pair| pair[1] < pair[0]).count() > 0 {
        let places = (first + 1..).zip(pairs).filter(|(_, pair)| pair[1] < pair[0]);
        resets.extend(places.filter_map(|(place, _)| u32::try_from(place).ok()));
    }
}
