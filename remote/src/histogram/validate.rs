//! What a native histogram must be, with the texts of Prometheus (`histogram.Validate`).

use model::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, HistogramValue, IntHistogram, Span};
use std::fmt;

/// Finest exponential schema that is stored.
pub(super) const MAX_SCHEMA: i32 = 8;
/// Finest schema that is known, and stored with less resolution.
pub(super) const MAX_KNOWN_SCHEMA: i32 = 52;
const MIN_SCHEMA: i32 = -4;

/// A histogram that breaks a rule; it is a bad sample.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{side}{defect}")]
pub struct HistogramError {
    /// Which part of the histogram.
    pub side: Side,
    /// What is wrong with it.
    pub defect: Defect,
}

/// The part of a histogram that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// All of it.
    Whole,
    /// The positive buckets of an exponential histogram.
    Positive,
    /// The negative buckets.
    Negative,
    /// The buckets of a histogram with custom bounds.
    Custom,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "",
            Self::Positive => "positive side: ",
            Self::Negative => "negative side: ",
            Self::Custom => "custom buckets: ",
        })
    }
}

impl Side {
    fn lacks(self, defect: Defect) -> HistogramError {
        HistogramError { side: self, defect }
    }
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Defect {
    /// An exact count that the buckets contradict.
    #[error(
        "{found} observations found in buckets, but the Count field is {count}: histogram's \
         observation count should equal the number of observations found in the buckets (in \
         absence of NaN)"
    )]
    CountMismatch {
        /// In the buckets, the zero bucket included.
        found: u128,
        /// The count.
        count: u64,
    },
    /// A count below that of the buckets, where NaN observations are in no bucket.
    #[error(
        "{found} observations found in buckets, but the Count field is {count}: histogram's \
         observation count should be at least the number of observations found in the buckets"
    )]
    CountTooSmall {
        /// In the buckets, the zero bucket included.
        found: u128,
        /// The count.
        count: u64,
    },
    /// A negative count. Two spaces: Prometheus has them.
    #[error("observation count is  {}: histogram's observation count is negative", go_float(*.0))]
    NegativeCount(f64),
    /// A negative count in the zero bucket.
    #[error(
        "zero bucket has observation count of {}: histogram has a bucket whose observation count \
         is negative", go_float(*.0)
    )]
    NegativeZeroCount(f64),
    /// A negative count in a bucket.
    #[error(
        "bucket number {number} has observation count of {count}: histogram has a bucket whose \
         observation count is negative"
    )]
    NegativeBucket {
        /// The bucket, from 1.
        number: usize,
        /// Its count.
        count: String,
    },
    /// A span that goes back.
    #[error(
        "span number {number} with offset {offset}: histogram has a span whose offset is negative"
    )]
    NegativeOffset {
        /// The span, from 1.
        number: usize,
        /// Its offset.
        offset: i32,
    },
    /// Spans and buckets disagree.
    #[error(
        "spans need {need} buckets, have {have} buckets: histogram spans specify different number \
         of buckets than provided"
    )]
    SpansMismatch {
        /// Buckets of the spans.
        need: u64,
        /// Buckets that there are.
        have: usize,
    },
    /// Buckets behind the last bound.
    #[error(
        "only {bounds} custom bounds defined which is insufficient to cover total span length of \
         {spanned}: histogram custom bounds are too few"
    )]
    TooFewBounds {
        /// Bounds that there are.
        bounds: usize,
        /// Buckets that the spans reach over.
        spanned: i64,
    },
    /// Bounds out of order.
    #[error(
        "previous bound is {} and current is {}: histogram custom bounds must be in strictly \
         increasing order", go_fixed(*.previous), go_fixed(*.current)
    )]
    BoundsOrder {
        /// A bound.
        previous: f64,
        /// The next one.
        current: f64,
    },
    /// The bound that is implied.
    #[error(
        "last +Inf bound must not be explicitly defined: histogram custom bounds must be finite"
    )]
    InfiniteBound,
    /// A bound that is no number.
    #[error("histogram custom bounds must not be NaN")]
    NanBound,
    /// Custom buckets have no zero bucket.
    #[error("must have zero count of 0")]
    CustomZeroCount,
    /// Custom buckets have no zero bucket.
    #[error("must have zero threshold of 0")]
    CustomZeroThreshold,
    /// Custom buckets have one side.
    #[error("must not have negative spans")]
    CustomNegativeSpans,
    /// Custom buckets have one side.
    #[error("must not have negative buckets")]
    CustomNegativeBuckets,
    /// Bounds that are also given by the schema.
    #[error("histogram with exponential schema must not have custom bounds")]
    ExponentialBounds,
    /// A schema that does not exist.
    #[error(
        "histogram has an invalid schema, which must be between {MIN_SCHEMA} and {MAX_SCHEMA} for \
         exponential buckets, or {CUSTOM_BUCKETS_SCHEMA} for custom buckets, got schema {0}"
    )]
    Schema(i32),
    /// A bucket index or a count that no 32 or 64 bits hold; Prometheus lets it wrap around.
    #[error("histogram bucket index or count is out of range")]
    OutOfRange,
}

/// Checks everything that Prometheus checks before it stores a histogram. Schemas 9 to 52 pass:
/// they lose resolution afterwards, in [`super::admit`].
///
/// # Errors
/// The first rule that is broken.
pub fn validate_histogram(value: &HistogramValue) -> Result<(), HistogramError> {
    match value {
        HistogramValue::Int(h) => int(h),
        HistogramValue::Float(h) => float(h),
    }
}

fn int(h: &IntHistogram) -> Result<(), HistogramError> {
    let (positive, negative) = (h.positive_deltas.len(), h.negative_deltas.len());
    let mut found = u128::from(h.zero_count);
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        custom_bounds(&h.custom_values, &h.positive_spans, positive)
            .and_then(|()| {
                custom_has_no(h.zero_count != 0, h.zero_threshold, &h.negative_spans, negative)
            })
            .map_err(|d| Side::Custom.lacks(d))?;
    } else {
        exponential_spans(
            h.schema,
            [(&h.positive_spans, positive), (&h.negative_spans, negative)],
        )?;
        found += int_buckets(&h.negative_deltas).map_err(|d| Side::Negative.lacks(d))?;
        no_custom_bounds(&h.custom_values)?;
    }
    found += int_buckets(&h.positive_deltas).map_err(|d| Side::Positive.lacks(d))?;
    let count = h.count;
    match found.cmp(&u128::from(count)) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less if h.sum.is_nan() => Ok(()),
        _ if h.sum.is_nan() => Err(Side::Whole.lacks(Defect::CountTooSmall { found, count })),
        _ => Err(Side::Whole.lacks(Defect::CountMismatch { found, count })),
    }
}

/// Counts of buckets are only checked for their sign: sums of floats are not exact.
fn float(h: &FloatHistogram) -> Result<(), HistogramError> {
    let (positive, negative) = (h.positive_buckets.len(), h.negative_buckets.len());
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        custom_bounds(&h.custom_values, &h.positive_spans, positive)
            .and_then(|()| {
                custom_has_no(h.zero_count != 0.0, h.zero_threshold, &h.negative_spans, negative)
            })
            .map_err(|d| Side::Custom.lacks(d))?;
    } else {
        exponential_spans(
            h.schema,
            [(&h.positive_spans, positive), (&h.negative_spans, negative)],
        )?;
        float_buckets(&h.negative_buckets).map_err(|d| Side::Negative.lacks(d))?;
        if h.zero_count < 0.0 {
            return Err(Side::Whole.lacks(Defect::NegativeZeroCount(h.zero_count)));
        }
        no_custom_bounds(&h.custom_values)?;
    }
    if h.count < 0.0 {
        return Err(Side::Whole.lacks(Defect::NegativeCount(h.count)));
    }
    float_buckets(&h.positive_buckets).map_err(|d| Side::Positive.lacks(d))
}

fn exponential_spans(
    schema: i32,
    [positive, negative]: [(&Vec<Span>, usize); 2],
) -> Result<(), HistogramError> {
    if !(MIN_SCHEMA..=MAX_KNOWN_SCHEMA).contains(&schema) {
        return Err(Side::Whole.lacks(Defect::Schema(schema)));
    }
    for (side, (spans, buckets)) in [(Side::Positive, positive), (Side::Negative, negative)] {
        covered(spans, buckets, 1).map_err(|d| side.lacks(d))?;
    }
    Ok(())
}

fn no_custom_bounds(bounds: &[f64]) -> Result<(), HistogramError> {
    if bounds.is_empty() { Ok(()) } else { Err(Side::Whole.lacks(Defect::ExponentialBounds)) }
}

/// Checks the offsets of all spans from number `from` on, and that the spans have as many buckets
/// as there are. Returns the index behind the last bucket.
fn covered(spans: &[Span], have: usize, from: usize) -> Result<i64, Defect> {
    let (mut need, mut end) = (0_u64, 0_i64);
    let mut in_range = true;
    for (i, span) in spans.iter().enumerate() {
        if i >= from && span.offset < 0 {
            return Err(Defect::NegativeOffset { number: i + 1, offset: span.offset });
        }
        need += u64::from(span.length);
        end = end.saturating_add(i64::from(span.offset)).saturating_add(i64::from(span.length));
        in_range &= end <= i64::from(i32::MAX);
    }
    if need != have as u64 {
        return Err(Defect::SpansMismatch { need, have });
    }
    if in_range { Ok(end) } else { Err(Defect::OutOfRange) }
}

fn custom_bounds(bounds: &[f64], spans: &[Span], buckets: usize) -> Result<(), Defect> {
    let mut previous = f64::NEG_INFINITY;
    for current in bounds.iter().copied() {
        if current.is_nan() {
            return Err(Defect::NanBound);
        }
        if current <= previous {
            return Err(Defect::BoundsOrder { previous, current });
        }
        previous = current;
    }
    if previous == f64::INFINITY {
        return Err(Defect::InfiniteBound);
    }
    let spanned = covered(spans, buckets, 0)?;
    // The last bucket, up to infinity, has no bound.
    if i64::try_from(bounds.len()).is_ok_and(|n| n + 1 < spanned) {
        return Err(Defect::TooFewBounds { bounds: bounds.len(), spanned });
    }
    Ok(())
}

fn custom_has_no(
    zero_count: bool,
    zero_threshold: f64,
    negative_spans: &[Span],
    negative_buckets: usize,
) -> Result<(), Defect> {
    if zero_count {
        return Err(Defect::CustomZeroCount);
    }
    if zero_threshold != 0.0 {
        return Err(Defect::CustomZeroThreshold);
    }
    if !negative_spans.is_empty() {
        return Err(Defect::CustomNegativeSpans);
    }
    if negative_buckets != 0 {
        return Err(Defect::CustomNegativeBuckets);
    }
    Ok(())
}

/// The observations in delta-coded buckets.
fn int_buckets(deltas: &[i64]) -> Result<u128, Defect> {
    let (mut count, mut found) = (0_i64, 0);
    for (i, delta) in deltas.iter().enumerate() {
        // As in Go, a count above 2^63 wraps around and is negative.
        count = count.wrapping_add(*delta);
        let Ok(n) = u64::try_from(count) else {
            return Err(Defect::NegativeBucket { number: i + 1, count: count.to_string() });
        };
        found += u128::from(n);
    }
    Ok(found)
}

fn float_buckets(counts: &[f64]) -> Result<(), Defect> {
    match counts.iter().enumerate().find(|(_, count)| **count < 0.0) {
        None => Ok(()),
        Some((i, count)) => Err(Defect::NegativeBucket { number: i + 1, count: go_float(*count) }),
    }
}

/// Go's `%v` of a float.
fn go_float(v: f64) -> String {
    if v.is_infinite() {
        return go_fixed(v);
    }
    if v == 0.0 || (1e-4..1e21).contains(&v.abs()) {
        return v.to_string();
    }
    // Rust writes `1e-7` and `1e300`, Go `1e-07` and `1e+300`.
    let text = format!("{v:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

/// Go's `%f`.
fn go_fixed(v: f64) -> String {
    match v {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        v => format!("{v:.6}"),
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests;
