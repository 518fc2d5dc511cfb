//! Quantiles, fractions and variance of native histograms (contract 3.11).
#![expect(clippy::manual_midpoint, reason = "Prometheus adds first; infinities must stay so")]

use model::FloatHistogram;

use super::buckets::{self, Bucket};
use super::is_custom;
use crate::elementary::{exp2, log2};
use crate::sum::Sum;

/// What observations of NaN did to a result; they are in no bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NanObservations {
    /// The quantile falls among them.
    Result,
    /// The quantile is higher than without them.
    Skewed,
}

/// A bucket around zero of a histogram with observations on one side only ends at zero: the zero
/// bucket, and of custom buckets a lowest one whose bound is positive.
fn one_sided(h: &FloatHistogram, mut bucket: Bucket) -> Bucket {
    if bucket.lower < 0.0 && bucket.upper > 0.0 {
        match (h.negative_buckets.is_empty(), h.positive_buckets.is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
    }
    bucket
}

/// The `q`-quantile of `h`.
pub fn quantile(q: f64, h: &FloatHistogram) -> (f64, Option<NanObservations>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if h.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    let with_nan = h.sum.is_nan();
    let ascending = with_nan || q < 0.5;
    let all = buckets::all(h);
    let mut rank = if ascending { q * h.count } else { (1.0 - q) * h.count };
    let (found, reached) =
        if ascending { walk(all.iter(), rank) } else { walk(all.iter().rev(), rank) };
    let mut bucket = found.copied().unwrap_or(Bucket {
        lower: 0.0,
        upper: 0.0,
        lower_inclusive: true,
        upper_inclusive: true,
        count: 0.0,
    });
    if is_custom(h) {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, None);
        }
    } else {
        bucket = one_sided(h, bucket);
    }
    // Rounding may have added up to more than there is.
    let reached = if reached > h.count { h.count } else { reached };
    if reached < rank {
        return if with_nan {
            (f64::NAN, Some(NanObservations::Result))
        } else {
            (bucket.upper, None)
        };
    }
    let total: f64 = if with_nan { all.iter().map(|b| b.count).sum() } else { h.count };
    let note = (total < h.count).then_some(NanObservations::Skewed);
    rank = if ascending { rank - (reached - bucket.count) } else { reached - rank };
    (interpolate(h, bucket, rank / bucket.count), note)
}

/// The first bucket that is not empty and with which `rank` is reached, else the last one, and the
/// count up to there.
fn walk<'a>(buckets: impl Iterator<Item = &'a Bucket>, rank: f64) -> (Option<&'a Bucket>, f64) {
    let (mut last, mut count) = (None, 0.0);
    for bucket in buckets {
        last = Some(bucket);
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    (last, count)
}

/// The value at `fraction` of the bucket: linear in custom and zero buckets, else exponential.
fn interpolate(h: &FloatHistogram, bucket: Bucket, fraction: f64) -> f64 {
    if is_custom(h) || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * fraction;
    }
    let (lower, upper) = (log2(bucket.lower.abs()), log2(bucket.upper.abs()));
    if bucket.lower > 0.0 {
        exp2(lower + (upper - lower) * fraction)
    } else {
        -exp2(upper + (lower - upper) * (1.0 - fraction))
    }
}

/// The share of the observations of `h` between `lower` and `upper`, and whether observations of
/// NaN were left out.
pub fn fraction(lower: f64, upper: f64, h: &FloatHistogram) -> (f64, bool) {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if lower >= upper {
        return (0.0, false);
    }
    let all = buckets::all(h);
    // Observations of NaN are in the count but in no bucket.
    let total: f64 = if h.sum.is_nan() { all.iter().map(|b| b.count).sum() } else { h.count };
    let rank_of = |cut: f64| {
        let mut rank = 0.0;
        for bucket in &all {
            let bucket = one_sided(h, *bucket);
            if bucket.lower >= cut {
                return rank;
            }
            if bucket.upper > cut {
                return rank + share_below(h, bucket, cut);
            }
            rank += bucket.count;
        }
        total
    };
    let cap = |rank: f64| if rank > total { total } else { rank };
    ((cap(rank_of(upper)) - cap(rank_of(lower))) / h.count, total < h.count)
}

/// How many observations of a bucket lie below `cut`, which is inside of it.
fn share_below(h: &FloatHistogram, bucket: Bucket, cut: f64) -> f64 {
    if is_custom(h) || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        // Nothing is known about the inside of an infinite bucket: one that begins at -Inf counts
        // as below, and of one that ends at +Inf the division by infinity leaves nothing.
        return if bucket.lower == f64::NEG_INFINITY {
            bucket.count
        } else {
            bucket.count * (cut - bucket.lower) / (bucket.upper - bucket.lower)
        };
    }
    bucket.count * log_fraction(bucket.lower, bucket.upper, cut)
}

/// Where `cut` stands between two bounds of one sign on a logarithmic scale.
pub(super) fn log_fraction(lower: f64, upper: f64, cut: f64) -> f64 {
    let (log_lower, log_upper, log_cut) = (log2(lower.abs()), log2(upper.abs()), log2(cut.abs()));
    if cut > 0.0 {
        (log_cut - log_lower) / (log_upper - log_lower)
    } else {
        1.0 - (log_cut - log_upper) / (log_lower - log_upper)
    }
}

/// The variance, estimated from the middles of the buckets.
pub fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let mut squares = Sum::default();
    for bucket in buckets::all(h).iter().filter(|b| b.count != 0.0) {
        let middle = if is_custom(h) {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let middle = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let distance = middle - mean;
        squares.add(bucket.count * distance * distance);
    }
    squares.total() / h.count
}
