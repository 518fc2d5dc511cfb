//! Where the samples of a series are cut into chunks.
//!
//! The cuts depend on the times alone and lie on fixed marks: windows of two hours, doubled or
//! halved until a chunk fits. So the series of one scrape are cut alike, whenever each of them began,
//! and share their time columns.

use std::ops::Range;

/// The window that is doubled and halved.
const WINDOW_MS: i128 = 2 * 3600 * 1000;

/// The chunks of a series with these times, which increase strictly: ranges in order, none empty,
/// none longer than `max_samples`.
pub fn split(times: &[i64], max_samples: usize) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return out };
    let (first, last) = (i128::from(*first), i128::from(*last));
    let mut width = WINDOW_MS;
    // Aligned windows never span 0, so the loop also ends by width.
    while first.div_euclid(width) != last.div_euclid(width) && width <= 1 << 64 {
        width *= 2;
    }
    let mut start = first.div_euclid(width) * width;
    let mut at = 0;
    while at < times.len() {
        let end = at + times[at..].partition_point(|t| i128::from(*t) < start + width);
        halve(times, at..end, (start, width), max_samples, &mut out);
        at = end;
        start += width;
    }
    out
}

/// Cuts the samples `range`, which lie in `[start, start + width)`.
fn halve(
    times: &[i64],
    range: Range<usize>,
    (start, width): (i128, i128),
    max_samples: usize,
    out: &mut Vec<Range<usize>>,
) {
    if range.is_empty() {
        return;
    }
    if range.len() <= max_samples {
        out.push(range);
        return;
    }
    // A window of one millisecond holds one sample, so the depth is that of the width.
    let half = width / 2;
    let mid = range.start + times[range.clone()].partition_point(|t| i128::from(*t) < start + half);
    halve(times, range.start..mid, (start, half), max_samples, out);
    halve(times, mid..range.end, (start + half, width - half), max_samples, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::MAX_SAMPLES;

    #[test]
    fn a_day_of_scrapes_is_cut_at_eight_hours_whenever_it_begins() {
        let scrape = |i: i64| 1_700_006_400_000_i64 / 86_400_000 * 86_400_000 + 7 + i * 15_000;
        let day: Vec<i64> = (0..5760).map(scrape).collect();
        assert_eq!(split(&day, MAX_SAMPLES), [0..1920, 1920..3840, 3840..5760]);
        assert_eq!(split(&day[1000..], MAX_SAMPLES), [0..920, 920..2840, 2840..4760]);
    }

    proptest! {
        #[test]
        fn chunks_cover_the_series_in_order(
            start in any::<i64>(), steps in proptest::collection::vec(
                prop_oneof![9 => 1..20_i64, 1 => 1..i64::MAX], 1..5000),
        ) {
            let mut times = vec![start];
            for step in steps {
                match times[times.len() - 1].checked_add(step) {
                    Some(t) => times.push(t),
                    None => break,
                }
            }
            let chunks = split(&times, MAX_SAMPLES);
            prop_assert!(chunks.iter().all(|c| !c.is_empty() && c.len() <= MAX_SAMPLES));
            let ends: Vec<usize> = chunks.iter().flat_map(|c| [c.start, c.end]).collect();
            prop_assert_eq!(ends[0], 0);
            prop_assert!(ends[1..ends.len() - 1].chunks(2).all(|w| w[0] == w[1]));
            prop_assert_eq!(ends[ends.len() - 1], times.len());
        }
    }
}
