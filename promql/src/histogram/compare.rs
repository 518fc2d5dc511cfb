//! Equality of histograms, and whether a counter was reset between two of them.

use model::{CounterResetHint, FloatHistogram, Span};

use super::arithmetic::{common_bounds, index_in, zero_at};
use super::buckets::{entries, reduced_index, reduction};
use super::{bounds, is_custom};
use crate::quantile::almost_equal;

/// Whether both have the same schema, bounds, bucket layout and counts bit by bit. Hints and empty
/// spans make no difference; empty buckets do.
pub fn equals(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    let same = |a: &[f64], b: &[f64]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
    };
    let scalars = |h: &FloatHistogram| [h.count, h.sum, h.zero_count];
    #[expect(clippy::float_cmp, reason = "widths are compared as numbers")]
    let same_width = is_custom(a) || a.zero_threshold == b.zero_threshold;
    a.schema == b.schema
        && same(&scalars(a), &scalars(b))
        && same_width
        && a.custom_values == b.custom_values
        && same_layout(&a.positive_spans, &b.positive_spans)
        && same_layout(&a.negative_spans, &b.negative_spans)
        && same(&a.positive_buckets, &b.positive_buckets)
        && same(&a.negative_buckets, &b.negative_buckets)
}

/// Whether the spans stand for the same buckets.
fn same_layout(a: &[Span], b: &[Span]) -> bool {
    fn runs(spans: &[Span]) -> impl Iterator<Item = (i64, i64)> {
        let mut out: Vec<(i64, i64)> = Vec::with_capacity(spans.len());
        let mut next = 0;
        for span in spans {
            let first = next + i64::from(span.offset);
            next = first + i64::from(span.length);
            match out.last_mut() {
                _ if span.length == 0 => {}
                Some(last) if last.1 == first => last.1 = next,
                _ => out.push((first, next)),
            }
        }
        out.into_iter()
    }
    a == b || runs(a).eq(runs(b))
}

/// Whether `a` and `b`, both compacted, are equal as the test language wants it: layout exact,
/// numbers up to `epsilon` (contract 4.4). Hints are not compared.
pub fn almost_equals(a: &FloatHistogram, b: &FloatHistogram, epsilon: f64) -> bool {
    let near = |a: &[f64], b: &[f64]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| almost_equal(*a, *b, epsilon))
    };
    let scalars = |h: &FloatHistogram| [h.count, h.sum, h.zero_count];
    #[expect(clippy::float_cmp, reason = "widths must agree exactly")]
    let same_width = a.zero_threshold == b.zero_threshold;
    a.schema == b.schema
        && near(&scalars(a), &scalars(b))
        && same_width
        && a.custom_values == b.custom_values
        && same_layout(&a.positive_spans, &b.positive_spans)
        && same_layout(&a.negative_spans, &b.negative_spans)
        && near(&a.positive_buckets, &b.positive_buckets)
        && near(&a.negative_buckets, &b.negative_buckets)
}

/// Whether a counter that was at `before` must have been reset to be at `now` (contract 3.13).
pub fn detect_reset(now: &FloatHistogram, before: &FloatHistogram) -> bool {
    match now.hint {
        CounterResetHint::Reset => return true,
        CounterResetHint::NotReset => return false,
        CounterResetHint::Unknown | CounterResetHint::Gauge => {}
    }
    if now.count < before.count {
        return true;
    }
    if is_custom(now) {
        if !is_custom(before) {
            return true;
        }
        if now.custom_values != before.custom_values {
            return rolled_up_decrease(now, before);
        }
    }
    if now.schema > before.schema || now.zero_threshold < before.zero_threshold {
        return true;
    }
    let (zero_before, threshold) = zero_at(before, now.zero_threshold);
    // A populated bucket of the past cannot be cut by the new width without a reset.
    if threshold > now.zero_threshold || now.zero_count < zero_before {
        return true;
    }
    [
        (
            &now.positive_spans,
            &now.positive_buckets,
            &before.positive_spans,
            &before.positive_buckets,
        ),
        (
            &now.negative_spans,
            &now.negative_buckets,
            &before.negative_spans,
            &before.negative_buckets,
        ),
    ]
    .into_iter()
    .any(|(spans, counts, spans_before, counts_before)| {
        let by = reduction(before.schema, now.schema);
        let outside = entries(spans_before, counts_before)
            .filter(|b| is_custom(before) || bounds::exponential(b.0, before.schema) > threshold);
        decreased(
            entries(spans, counts),
            merged(outside.map(|(i, c)| (reduced_index_unless(i, by), c))),
        )
    })
}

const fn reduced_index_unless(index: i32, by: u32) -> i32 {
    if by == 0 { index } else { reduced_index(index, by) }
}

/// Adds up neighbours of one index.
fn merged(entries: impl Iterator<Item = (i32, f64)>) -> impl Iterator<Item = (i32, f64)> {
    let mut entries = entries.peekable();
    std::iter::from_fn(move || {
        let (index, mut count) = entries.next()?;
        while let Some((_, more)) = entries.next_if(|b| b.0 == index) {
            count += more;
        }
        Some((index, count))
    })
}

/// Whether a bucket has fewer observations than before, or a populated one is gone.
fn decreased(
    now: impl Iterator<Item = (i32, f64)>,
    before: impl Iterator<Item = (i32, f64)>,
) -> bool {
    let mut now = now.peekable();
    for (index, count) in before {
        while now.next_if(|b| b.0 < index).is_some() {}
        let fell = match now.peek() {
            Some((i, c)) if *i == index => *c < count,
            _ => count != 0.0,
        };
        if fell {
            return true;
        }
    }
    false
}

/// For custom bounds that differ: whether a count fell between bounds that both have.
fn rolled_up_decrease(now: &FloatHistogram, before: &FloatHistogram) -> bool {
    let common = common_bounds(&now.custom_values, &before.custom_values);
    let roll_up = |h: &FloatHistogram| {
        let mut counts = vec![0.0; common.len() + 1];
        for (index, count) in entries(&h.positive_spans, &h.positive_buckets) {
            let at = index_in(&common, bounds::custom(index, &h.custom_values));
            counts[usize::try_from(at).unwrap_or(0).min(common.len())] += count;
        }
        counts
    };
    roll_up(now).iter().zip(roll_up(before)).any(|(now, before)| *now < before)
}
