//! Native histograms: the sample kinds, as senders write them and as the engine computes on them.
//!
//! Exponential schemas -4..=8 have bucket bounds `2^(i * 2^-schema)`; schema -53 has custom bounds
//! (Prometheus `model/histogram`).

use std::sync::Arc;

use crate::sample::{is_stale, stale_nan};

/// The schema number of histograms with custom bucket bounds (NHCB).
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// What is known about a counter reset between this histogram and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum CounterResetHint {
    /// Nothing; compare the histograms.
    #[default]
    Unknown,
    /// A reset happened before this sample.
    Reset,
    /// No reset happened before this sample.
    NotReset,
    /// The histogram is a gauge; resets have no meaning.
    Gauge,
}

/// A run of consecutive buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// Index of the first bucket for the first span, else the gap after the span before.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// A histogram of integer counts, with buckets delta-coded as remote write carries them.
#[derive(Debug, Clone, PartialEq)]
pub struct IntHistogram {
    /// Counter reset hint.
    pub hint: CounterResetHint,
    /// Bucket schema.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations, those that are NaN included.
    pub count: u64,
    /// Sum of the observations; the stale marker here makes the whole histogram stale.
    pub sum: f64,
    /// Layout of the positive buckets.
    pub positive_spans: Vec<Span>,
    /// Layout of the negative buckets.
    pub negative_spans: Vec<Span>,
    /// First bucket's count, then the difference to the bucket before.
    pub positive_deltas: Vec<i64>,
    /// As `positive_deltas`, for the negative side.
    pub negative_deltas: Vec<i64>,
    /// Upper bounds of an NHCB, strictly increasing and finite; else empty.
    pub custom_values: Vec<f64>,
}

/// A histogram of float counts, absolute: what the engine computes on.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatHistogram {
    /// Counter reset hint.
    pub hint: CounterResetHint,
    /// Bucket schema.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of the observations.
    pub sum: f64,
    /// Layout of the positive buckets.
    pub positive_spans: Vec<Span>,
    /// Layout of the negative buckets.
    pub negative_spans: Vec<Span>,
    /// Absolute counts of the positive buckets.
    pub positive_buckets: Vec<f64>,
    /// Absolute counts of the negative buckets.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of an NHCB; else empty.
    pub custom_values: Vec<f64>,
}

/// A stored histogram of either kind; clones share it.
#[derive(Debug, Clone, PartialEq)]
pub enum HistogramValue {
    /// Integer counts.
    Int(Arc<IntHistogram>),
    /// Float counts.
    Float(Arc<FloatHistogram>),
}

impl HistogramValue {
    /// Whether this is a stale marker.
    pub fn is_stale(&self) -> bool {
        is_stale(match self {
            Self::Int(h) => h.sum,
            Self::Float(h) => h.sum,
        })
    }

    /// The stale marker that ends a series of this kind of histogram: empty but for its sum.
    #[must_use]
    pub fn stale_marker(&self) -> Self {
        let int = IntHistogram {
            hint: CounterResetHint::Unknown,
            schema: 0,
            zero_threshold: 0.0,
            zero_count: 0,
            count: 0,
            sum: stale_nan(),
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            positive_deltas: Vec::new(),
            negative_deltas: Vec::new(),
            custom_values: Vec::new(),
        };
        match self {
            Self::Int(_) => Self::Int(Arc::new(int)),
            Self::Float(_) => Self::Float(Arc::new(int.to_float())),
        }
    }

    /// The float form; shared when it is one already.
    pub fn to_float(&self) -> Arc<FloatHistogram> {
        match self {
            Self::Int(h) => Arc::new(h.to_float()),
            Self::Float(h) => Arc::clone(h),
        }
    }
}

impl IntHistogram {
    /// The same histogram with absolute float counts.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
    pub fn to_float(&self) -> FloatHistogram {
        let absolute = |deltas: &[i64]| -> Vec<f64> {
            deltas
                .iter()
                .scan(0_i64, |count, delta| {
                    *count = count.wrapping_add(*delta);
                    Some(*count as f64)
                })
                .collect()
        };
        FloatHistogram {
            hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count as f64,
            count: self.count as f64,
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            positive_buckets: absolute(&self.positive_deltas),
            negative_buckets: absolute(&self.negative_deltas),
            custom_values: self.custom_values.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_become_absolute_counts() {
        let int = IntHistogram {
            hint: CounterResetHint::Unknown,
            schema: 0,
            zero_threshold: 0.001,
            zero_count: 2,
            count: 13,
            sum: 20.5,
            positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
            negative_spans: vec![],
            positive_deltas: vec![3, 1, 0],
            negative_deltas: vec![],
            custom_values: vec![],
        };
        assert_eq!(int.to_float().positive_buckets, [3.0, 4.0, 4.0]);
    }
}
