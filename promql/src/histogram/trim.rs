//! The operators `</` and `>/`: the observations of a histogram on one side of a number
//! (contract 3.13).
#![expect(clippy::manual_midpoint, reason = "Prometheus adds first; infinities must stay so")]

use model::FloatHistogram;

use super::buckets::{self, Bucket, entries};
use super::is_custom;
use super::quantile::log_fraction;

/// Which observations stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// `</`
    Below,
    /// `>/`
    Above,
}

/// How observations are spread inside a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    Linear,
    Exponential,
}

/// What stays of a bucket: the count, and the value that stands for it in the sum.
struct Kept {
    count: f64,
    middle: f64,
}

/// The part of `h` on one side of `cut`. If anything was removed, count and sum are estimated from
/// what stayed; otherwise the histogram is unchanged.
#[must_use]
pub fn trim(h: &FloatHistogram, cut: f64, keep: Keep) -> FloatHistogram {
    let mut out = h.clone();
    let spread = if is_custom(h) { Spread::Linear } else { Spread::Exponential };
    let (mut count, mut sum, mut trimmed) = (0.0, 0.0, false);
    let mut take = |place: &mut f64, kept: &Kept| {
        count += kept.count;
        sum += kept.middle * kept.count;
        #[expect(clippy::float_cmp, reason = "any change is a trim")]
        if *place != kept.count {
            *place = kept.count;
            trimmed = true;
        }
    };
    let mut populated = [false; 2];
    for (side, (spans, counts, places)) in [
        (&h.positive_spans, &h.positive_buckets, &mut out.positive_buckets),
        (&h.negative_spans, &h.negative_buckets, &mut out.negative_buckets),
    ]
    .into_iter()
    .enumerate()
    {
        for ((index, n), place) in entries(spans, counts).zip(places) {
            if n == 0.0 {
                continue;
            }
            populated[side] = true;
            let bucket = match side {
                0 => buckets::positive(h, index, n),
                _ => buckets::negative(h, index, n),
            };
            take(place, &trim_bucket(&bucket, cut, keep, spread));
        }
    }
    if h.zero_count > 0.0 {
        let kept = trim_zero(h, populated, cut, keep);
        take(&mut out.zero_count, &kept);
    }
    if trimmed {
        (out.count, out.sum) = (count, sum);
        buckets::compact(&mut out);
    }
    out
}

fn trim_bucket(bucket: &Bucket, cut: f64, keep: Keep, spread: Spread) -> Kept {
    let Bucket { lower, upper, count, .. } = *bucket;
    let inside = match keep {
        Keep::Below => upper <= cut,
        Keep::Above => lower >= cut,
    };
    if inside {
        return Kept { count, middle: middle(lower, upper, spread) };
    }
    let outside = match keep {
        Keep::Below => lower >= cut,
        Keep::Above => upper <= cut,
    };
    if outside {
        return Kept { count: 0.0, middle: 0.0 };
    }
    if lower == f64::NEG_INFINITY || upper == f64::INFINITY {
        return trim_infinite(bucket, cut, keep);
    }
    let fraction = match spread {
        Spread::Linear => (cut - lower) / (upper - lower),
        Spread::Exponential => log_fraction(lower, upper, cut),
    };
    let below = count * fraction;
    match keep {
        Keep::Below => Kept { count: below, middle: middle(lower, cut, spread) },
        Keep::Above => Kept { count: count - below, middle: middle(cut, upper, spread) },
    }
}

/// A bucket with an infinite bound, cut inside. Its observations are taken to lie above zero where
/// its finite bound does.
fn trim_infinite(bucket: &Bucket, cut: f64, keep: Keep) -> Kept {
    let Bucket { lower, upper, count, .. } = *bucket;
    let nothing = Kept { count: 0.0, middle: 0.0 };
    if lower == f64::NEG_INFINITY {
        let spread_from_zero = upper != f64::INFINITY;
        return match keep {
            Keep::Below if cut > 0.0 && upper > 0.0 && spread_from_zero => {
                Kept { count: count * cut / upper, middle: cut / 2.0 }
            }
            Keep::Below if upper <= 0.0 => Kept { count, middle: cut },
            Keep::Above if cut >= 0.0 && upper > cut && spread_from_zero => {
                Kept { count: count * (1.0 - cut / upper), middle: (cut + upper) / 2.0 }
            }
            Keep::Below | Keep::Above => nothing,
        };
    }
    match keep {
        Keep::Below => nothing,
        Keep::Above => Kept { count, middle: cut },
    }
}

/// The zero bucket; with observations on one side only it ends at zero.
fn trim_zero(h: &FloatHistogram, populated: [bool; 2], cut: f64, keep: Keep) -> Kept {
    let [positive, negative] = populated;
    let lower = if positive && !negative { 0.0 } else { -h.zero_threshold };
    let upper = if negative && !positive { 0.0 } else { h.zero_threshold };
    let all = Kept { count: h.zero_count, middle: (lower + upper) / 2.0 };
    let nothing = Kept { count: 0.0, middle: 0.0 };
    let part = |share: f64, from: f64, to: f64| Kept {
        count: h.zero_count * (share / (upper - lower)),
        middle: (from + to) / 2.0,
    };
    match keep {
        Keep::Below if cut <= lower => nothing,
        Keep::Below if cut >= upper => all,
        Keep::Below => part(cut - lower, lower, cut),
        Keep::Above if cut <= lower => all,
        Keep::Above if cut >= upper => nothing,
        Keep::Above => part(upper - cut, cut, upper),
    }
}

/// The value that stands for the observations between two bounds.
fn middle(lower: f64, upper: f64, spread: Spread) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if spread == Spread::Linear => (lower + upper) / 2.0,
        (false, false) => {
            let size = (lower * upper).abs().sqrt();
            if upper > 0.0 { size } else { -size }
        }
    }
}
