//! What the start times of samples say about counters (contract 3.11, `use-start-timestamps`).

use model::UNKNOWN_START;

use crate::functions::notes;
use crate::functions::window::Notes;

/// A sample's own time and the start of its counting, ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) t_ms: i64,
    pub(super) start_ms: i64,
}

/// The stamp of sample `i` at `t_ms`; of a list without start times nothing is known.
pub(super) fn stamp(starts: &[i64], i: usize, t_ms: i64) -> Stamp {
    Stamp { t_ms, start_ms: starts.get(i).copied().unwrap_or(UNKNOWN_START) }
}

/// Whether the counting began anew between two samples. A start that is not before its own sample
/// says nothing. One that is the time of the sample before is a reset where the sample before has
/// a valid start itself, which a series of differences has and a counter of unknown start has not.
pub(super) fn is_reset(before: Stamp, now: Stamp) -> bool {
    if now.start_ms == UNKNOWN_START || now.start_ms >= now.t_ms || now.start_ms < before.t_ms {
        return false;
    }
    now.start_ms > before.t_ms
        || (before.start_ms != UNKNOWN_START && before.start_ms < before.t_ms)
}

/// Whether the counting of a sample covers time that the sample before ended at, and yet is not the
/// same counting.
fn overlaps(before: Stamp, now: Stamp) -> bool {
    now.start_ms != UNKNOWN_START && now.start_ms < before.t_ms && now.start_ms != before.start_ms
}

/// Warns of the first overlap among the samples at `times`, as many as `starts`.
pub(super) fn note_overlap(
    times: impl Iterator<Item = i64>,
    starts: &[i64],
    notes: &mut Notes<'_>,
) {
    let stamps = times.zip(starts).map(|(t_ms, &start_ms)| Stamp { t_ms, start_ms });
    let mut before: Option<Stamp> = None;
    for (i, now) in stamps.enumerate() {
        if !notes.goes_on(i) {
            return;
        }
        if before.is_some_and(|before| overlaps(before, now)) {
            notes.warn(notes::overlapping_starts(notes.metric_name));
            return;
        }
        before = Some(now);
    }
}

/// The time of the zero that a counter's first sample, at `first_ms`, rose from, where it is known
/// to lie in the window that begins, exclusively, at `window_ms`.
pub(super) fn zero_ms(starts: &[i64], first_ms: i64, window_ms: i64) -> Option<i64> {
    let start_ms = *starts.first()?;
    let inside = start_ms != UNKNOWN_START && start_ms > window_ms && start_ms < first_ms;
    inside.then_some(start_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_after_the_sample_before_is_a_reset_and_one_at_it_only_in_a_chain() {
        // Start and time of the sample before, start and time of this one.
        for (before, now, reset, overlap) in [
            ((0, 100), (0, 200), false, false),
            ((50, 100), (50, 200), false, false),
            ((50, 100), (100, 200), true, false),
            ((0, 100), (100, 200), false, false),
            ((100, 100), (100, 200), false, false),
            ((110, 100), (100, 200), false, false),
            ((0, 100), (101, 200), true, false),
            ((0, 100), (200, 200), false, false),
            ((0, 100), (201, 200), false, false),
            ((50, 100), (60, 200), false, true),
            ((0, 100), (99, 200), false, true),
        ] {
            let [before, now] = [before, now].map(|(start_ms, t_ms)| Stamp { t_ms, start_ms });
            assert_eq!((is_reset(before, now), overlaps(before, now)), (reset, overlap), "{now:?}");
        }
    }

    #[test]
    fn a_zero_lies_strictly_between_the_window_and_the_sample() {
        for (start_ms, want) in [(0, None), (10, None), (11, Some(11)), (19, Some(19)), (20, None)]
        {
            assert_eq!(zero_ms(&[start_ms, 15], 20, 10), want);
        }
        assert_eq!(zero_ms(&[], 20, 10), None);
    }
}
