//! Native histograms as values of the language: their buckets, arithmetic, comparison, trimming and
//! text (contract 3.13).
//!
//! Functions here take and give [`FloatHistogram`]s whose spans fit their buckets. Results are
//! compacted: they have no empty bucket.

pub mod arithmetic;
pub mod bounds;
pub mod buckets;
pub mod compare;
pub mod print;
pub mod quantile;
pub mod trim;

use model::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram};

/// Exponential buckets met custom ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas"
)]
pub struct IncompatibleSchemas;

/// Whether `h` has custom bounds.
pub const fn is_custom(h: &FloatHistogram) -> bool {
    h.schema == CUSTOM_BUCKETS_SCHEMA
}

/// How many samples `h` counts for the limit on samples in memory (contract 3.6).
pub fn samples(h: &FloatHistogram) -> usize {
    let parts = h.positive_spans.len()
        + h.negative_spans.len()
        + h.positive_buckets.len()
        + h.negative_buckets.len()
        + h.custom_values.len();
    (168 + 8 * parts + 8) / 16
}

#[cfg(test)]
mod tests;
