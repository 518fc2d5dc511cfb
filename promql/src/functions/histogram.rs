//! Classic histograms, which are series with a label `le`, and the functions that take native ones
//! too (contract 3.11). Native histograms alone are in [`crate::histogram`].

use model::{FloatHistogram, go_quote};

use crate::annotations::Monotonicity;
use crate::histogram::quantile::{NanObservations, variance};
use crate::quantile::almost_equal;

/// Relative difference between counts that counts as none.
const TOLERANCE: f64 = 1e-12;

/// A cumulative bucket of a classic histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassicBucket {
    /// The upper bound, inclusive: label `le`.
    pub bound: f64,
    /// Observations up to there.
    pub count: f64,
}

/// The bound that a label `le` names, as Go's `strconv.ParseFloat` reads it.
pub fn parse_bound(le: &str) -> Option<f64> {
    // Rust reads the same decimal numbers, and `inf`, `infinity` and `nan` in any case.
    le.parse().ok()
}

/// Sorts by bound and adds up buckets of one bound; whether the highest is `+Inf`.
fn prepare(buckets: &mut Vec<ClassicBucket>) -> bool {
    buckets.sort_by(|a, b| a.bound.partial_cmp(&b.bound).unwrap_or(std::cmp::Ordering::Equal));
    if buckets.last().is_none_or(|b| b.bound != f64::INFINITY) {
        return false;
    }
    #[expect(clippy::float_cmp, reason = "the same bound, perhaps written in two ways")]
    buckets.dedup_by(|later, earlier| {
        let same = later.bound == earlier.bound;
        if same {
            earlier.count += later.count;
        }
        same
    });
    true
}

/// Raises counts that fall below those of lower buckets. Differences that rounding explains are
/// evened out silently; of others it tells bounds and the largest difference.
fn make_monotonic(buckets: &mut [ClassicBucket]) -> Option<Repair> {
    let mut repair: Option<Repair> = None;
    let mut before = buckets.first()?.count;
    for bucket in &mut buckets[1..] {
        if almost_equal(before, bucket.count, TOLERANCE) {
            bucket.count = before;
        } else if bucket.count < before {
            let repair = repair.get_or_insert(Repair {
                min_bound: bucket.bound,
                max_bound: bucket.bound,
                max_diff: 0.0,
            });
            repair.min_bound = repair.min_bound.min(bucket.bound);
            repair.max_bound = repair.max_bound.max(bucket.bound);
            repair.max_diff = repair.max_diff.max(before - bucket.count);
            bucket.count = before;
        } else {
            before = bucket.count;
        }
    }
    repair
}

/// What was repaired to make counts monotonic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Repair {
    /// Lowest bound of a raised bucket.
    pub min_bound: f64,
    /// Highest bound of a raised bucket.
    pub max_bound: f64,
    /// By how much the count was raised, at most.
    pub max_diff: f64,
}

impl Repair {
    /// The numbers for the annotation of one sample at `at_ms`.
    pub const fn at(self, at_ms: i64) -> Monotonicity {
        Monotonicity {
            min_bound: self.min_bound,
            max_bound: self.max_bound,
            max_diff: self.max_diff,
            samples: 1,
            first_ms: at_ms,
            last_ms: at_ms,
        }
    }
}

/// `histogram_quantile` of a classic histogram, whose buckets may come in any order and are sorted
/// and repaired by this.
pub fn classic_quantile(q: f64, buckets: &mut Vec<ClassicBucket>) -> (f64, Option<Repair>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !prepare(buckets) {
        return (f64::NAN, None);
    }
    let repair = make_monotonic(buckets);
    let [.., highest_finite, highest] = buckets[..] else { return (f64::NAN, None) };
    if highest.count == 0.0 {
        return (f64::NAN, None);
    }
    let rank = q * highest.count;
    let last = buckets.len() - 1;
    // As a binary search for the first count of at least `rank`; a NaN is never that much.
    let at = buckets[..last].partition_point(|b| {
        !matches!(
            b.count.partial_cmp(&rank),
            Some(std::cmp::Ordering::Greater | std::cmp::Ordering::Equal)
        )
    });
    if at == last {
        return (highest_finite.bound, repair);
    }
    let found = buckets[at];
    if at == 0 && found.bound <= 0.0 {
        return (found.bound, repair);
    }
    let below = match at {
        0 => ClassicBucket { bound: 0.0, count: 0.0 },
        _ => buckets[at - 1],
    };
    let share = (rank - below.count) / (found.count - below.count);
    (below.bound + (found.bound - below.bound) * share, repair)
}

/// `histogram_fraction` of a classic histogram.
pub fn classic_fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if !prepare(buckets) {
        return f64::NAN;
    }
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let first_lower = if buckets[0].bound > 0.0 { 0.0 } else { f64::NEG_INFINITY };
    let rank_of = |cut: f64| {
        let (mut low, mut rank) = (first_lower, 0.0);
        for bucket in buckets.iter() {
            if low >= cut {
                return rank;
            }
            if bucket.bound > cut {
                return if low == f64::NEG_INFINITY {
                    bucket.count
                } else {
                    rank + (bucket.count - rank) * (cut - low) / (bucket.bound - low)
                };
            }
            (low, rank) = (bucket.bound, bucket.count);
        }
        total
    };
    let cap = |rank: f64| if rank > total { total } else { rank };
    (cap(rank_of(upper)) - cap(rank_of(lower))) / total
}

/// The function `name` of one native histogram: `histogram_count`, `_sum`, `_avg`, `_stddev` and
/// `_stdvar`. Floats have no answer.
pub fn native_kernel(name: &str) -> Option<fn(&FloatHistogram) -> f64> {
    Some(match name {
        "histogram_avg" => |h| h.sum / h.count,
        "histogram_count" => |h| h.count,
        "histogram_stddev" => |h| variance(h).sqrt(),
        "histogram_stdvar" => variance,
        "histogram_sum" => |h| h.sum,
        _ => return None,
    })
}

/// ` for metric name "x"`, or nothing where the name is not known any more.
fn for_metric(metric_name: &str) -> String {
    if metric_name.is_empty() {
        String::new()
    } else {
        format!(" for metric name {}", go_quote(metric_name))
    }
}

/// Warning: a float series without a usable `le`.
pub fn bad_bucket_label(le: &str, metric_name: &str) -> String {
    format!(
        "bucket label \"le\" is missing or has a malformed value of {}{}",
        go_quote(le),
        for_metric(metric_name)
    )
}

/// Warning: a classic and a native histogram of one label set.
pub fn mixed_classic_native(metric_name: &str) -> String {
    format!("vector contains a mix of classic and native histograms{}", for_metric(metric_name))
}

/// Info: the beginning of the text about a monotonicity repair; the numbers follow it.
pub fn forced_monotonicity(metric_name: &str) -> String {
    format!(
        "input to histogram_quantile needed to be fixed for monotonicity (see \
         https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
        for_metric(metric_name)
    )
}

/// Info: observations of NaN under a quantile.
pub fn nan_observations(kind: NanObservations, metric_name: &str) -> String {
    let result = match kind {
        NanObservations::Result => "result is NaN",
        NanObservations::Skewed => "result is skewed higher",
    };
    format!("input to histogram_quantile has NaN observations, {result}{}", for_metric(metric_name))
}

/// Info: observations of NaN under a fraction.
pub fn nan_in_fraction(metric_name: &str) -> String {
    format!(
        "input to histogram_fraction has NaN observations, which are excluded from all fractions{}",
        for_metric(metric_name)
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "golden values, compared to the bit")]
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn buckets(list: &[(f64, f64)]) -> Vec<ClassicBucket> {
        list.iter().map(|&(bound, count)| ClassicBucket { bound, count }).collect()
    }

    const INF: f64 = f64::INFINITY;
    const H: [(f64, f64); 4] = [(0.1, 10.0), (0.5, 30.0), (1.0, 60.0), (INF, 100.0)];

    #[test]
    fn quantiles_are_those_of_prometheus() {
        for (q, want) in [
            (0.5, 0.833_333_333_333_333_3),
            (0.05, 0.05),
            (0.95, 1.0),
            (1.5, INF),
            (-1.0, f64::NEG_INFINITY),
        ] {
            assert_eq!(classic_quantile(q, &mut buckets(&H)), (want, None), "{q}");
        }
        let negative = [(-1.0, 0.0), (0.0, 20.0), (INF, 20.0)];
        assert_eq!(classic_quantile(0.5, &mut buckets(&negative)).0, -0.5);
        assert_eq!(classic_quantile(0.5, &mut buckets(&[(-2.0, 9.0), (INF, 9.0)])).0, -2.0);
        assert_eq!(classic_fraction(0.1, 0.75, &mut buckets(&H)), 0.35);
        assert_eq!(classic_fraction(f64::NEG_INFINITY, INF, &mut buckets(&H)), 1.0);
    }

    #[test]
    fn histograms_without_an_answer() {
        for list in [&H[..3], &H[3..], &[], &[(1.0, 0.0), (INF, 0.0)]] {
            assert!(classic_quantile(0.5, &mut buckets(list)).0.is_nan(), "{list:?}");
        }
        assert!(classic_fraction(0.0, 1.0, &mut buckets(&H[..3])).is_nan());
        assert!(classic_fraction(f64::NAN, 1.0, &mut buckets(&H)).is_nan());
    }

    #[test]
    fn falling_counts_are_repaired_and_told() {
        let list = [(1.0, 10.0), (2.0, 7.0), (3.0, 12.0), (4.0, 11.0), (INF, 20.0)];
        let mut list = buckets(&list);
        let (_, repair) = classic_quantile(0.5, &mut list);
        assert_eq!(repair, Some(Repair { min_bound: 2.0, max_bound: 4.0, max_diff: 3.0 }));
        let counts: Vec<f64> = list.iter().map(|b| b.count).collect();
        assert_eq!(counts, [10.0, 10.0, 12.0, 12.0, 20.0]);
        let rounding = [(1.0, 10.0), (2.0, 10.0 - 1e-14), (INF, 10.0 + 1e-14)];
        assert_eq!(classic_quantile(0.5, &mut buckets(&rounding)).1, None);
    }

    #[test]
    fn one_bound_written_in_two_ways_is_one_bucket() {
        assert_eq!(parse_bound("1"), parse_bound("1.0"));
        assert_eq!(parse_bound("+Inf"), Some(INF));
        assert_eq!((parse_bound(""), parse_bound("x")), (None, None));
        let mut list = buckets(&[(1.0, 4.0), (1.0, 6.0), (INF, 5.0), (INF, 5.0)]);
        assert_eq!(classic_quantile(0.5, &mut list).0, 0.5);
    }

    #[test]
    fn texts_name_the_metric_while_it_is_known() {
        assert_eq!(
            bad_bucket_label("x", ""),
            "bucket label \"le\" is missing or has a malformed value of \"x\""
        );
        assert_eq!(
            mixed_classic_native("m"),
            "vector contains a mix of classic and native histograms for metric name \"m\""
        );
    }

    proptest! {
        /// The order of the buckets does not matter, and a fraction leads back to its quantile.
        #[test]
        fn quantiles_invert_fractions(counts in vec(1_u32..50, 2..10), q in 0.01_f64..0.99) {
            let mut sum = 0.0;
            let mut list: Vec<_> = counts.iter().zip(1_u32..).map(|(c, i)| {
                sum += f64::from(*c);
                (f64::from(i), sum)
            }).collect();
            list.push((INF, sum));
            list.reverse();
            let v = classic_quantile(q, &mut buckets(&list)).0;
            let share = classic_fraction(f64::NEG_INFINITY, v, &mut buckets(&list));
            prop_assert!((share - q).abs() < 1e-12, "{v} {share} {q}");
        }
    }
}
