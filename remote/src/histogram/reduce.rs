//! Less resolution: pairs of neighbouring buckets merged until the schema is one that is stored.

use super::validate::{Defect, HistogramError, MAX_SCHEMA, Side, validate_histogram};
use model::{FloatHistogram, HistogramValue, IntHistogram, Span};
use std::sync::Arc;

/// A histogram that may be stored: checked by [`validate_histogram`], and of schema 8 where its
/// sender had a finer one (remote write receivers reduce 9 to 52).
///
/// # Errors
/// The first rule that is broken.
pub fn admit(value: HistogramValue) -> Result<HistogramValue, HistogramError> {
    validate_histogram(&value)?;
    let reduced = match value {
        HistogramValue::Int(h) if h.schema > MAX_SCHEMA => {
            int(Arc::unwrap_or_clone(h)).map(|h| HistogramValue::Int(Arc::new(h)))
        }
        HistogramValue::Float(h) if h.schema > MAX_SCHEMA => {
            float(Arc::unwrap_or_clone(h)).map(|h| HistogramValue::Float(Arc::new(h)))
        }
        stored => Ok(stored),
    };
    reduced.map_err(|defect| HistogramError { side: Side::Whole, defect })
}

fn int(mut h: IntHistogram) -> Result<IntHistogram, Defect> {
    let merged = |spans: &[Span], deltas: &[i64]| {
        let counts = deltas.iter().scan(0_i64, |count, delta| {
            *count += delta;
            Some(*count)
        });
        let (spans, mut counts) = merge(spans, counts, h.schema, i64::checked_add)?;
        let mut before = 0;
        for count in &mut counts {
            (before, *count) = (*count, *count - before);
        }
        Ok((spans, counts))
    };
    (h.positive_spans, h.positive_deltas) = merged(&h.positive_spans, &h.positive_deltas)?;
    (h.negative_spans, h.negative_deltas) = merged(&h.negative_spans, &h.negative_deltas)?;
    h.schema = MAX_SCHEMA;
    Ok(h)
}

fn float(mut h: FloatHistogram) -> Result<FloatHistogram, Defect> {
    let merged = |spans: &[Span], counts: &[f64]| {
        merge(spans, counts.iter().copied(), h.schema, |a, b| Some(a + b))
    };
    (h.positive_spans, h.positive_buckets) = merged(&h.positive_spans, &h.positive_buckets)?;
    (h.negative_spans, h.negative_buckets) = merged(&h.negative_spans, &h.negative_buckets)?;
    h.schema = MAX_SCHEMA;
    Ok(h)
}

/// Buckets of `schema` as buckets of [`MAX_SCHEMA`]. Bucket `i` lies in `((i - 1) >> n) + 1`, `n`
/// schemas further down, because a bucket includes its upper bound.
fn merge<C>(
    spans: &[Span],
    counts: impl Iterator<Item = C>,
    schema: i32,
    add: impl Fn(C, C) -> Option<C>,
) -> Result<(Vec<Span>, Vec<C>), Defect>
where
    C: Copy,
{
    let (mut to_spans, mut to_counts): (Vec<Span>, Vec<C>) = (Vec::new(), Vec::new());
    // The index behind the last bucket so far.
    let mut end = 0_i64;
    for (index, count) in indexes(spans).zip(counts) {
        let index = ((index - 1) >> (schema - MAX_SCHEMA)) + 1;
        match (to_spans.last_mut(), to_counts.last_mut()) {
            (Some(_), Some(last)) if index + 1 == end => {
                *last = add(*last, count).ok_or(Defect::OutOfRange)?;
                continue;
            }
            (Some(span), _) if index == end => span.length += 1,
            _ => {
                let offset = i32::try_from(index - end).map_err(|_| Defect::OutOfRange)?;
                to_spans.push(Span { offset, length: 1 });
            }
        }
        to_counts.push(count);
        end = index + 1;
    }
    Ok((to_spans, to_counts))
}

/// The index of each bucket.
fn indexes(spans: &[Span]) -> impl Iterator<Item = i64> {
    let mut end = 0;
    spans.iter().flat_map(move |span| {
        let start = end + i64::from(span.offset);
        end = start + i64::from(span.length);
        start..end
    })
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;
    use model::CounterResetHint;
    use proptest::{collection::vec, prelude::*};
    use std::collections::BTreeMap;

    fn histogram(schema: i32, spans: Vec<Span>, counts: &[i64]) -> IntHistogram {
        let deltas = counts.iter().scan(0, |before, n| Some(n - std::mem::replace(before, *n)));
        IntHistogram {
            hint: CounterResetHint::Unknown,
            schema,
            zero_threshold: 0.0,
            zero_count: 0,
            count: u64::try_from(counts.iter().sum::<i64>() * 2).unwrap(),
            sum: 1.0,
            positive_deltas: deltas.clone().collect(),
            negative_deltas: deltas.collect(),
            positive_spans: spans.clone(),
            negative_spans: spans,
            custom_values: vec![],
        }
    }

    #[test]
    fn stored_schemas_are_left_alone() {
        let h = histogram(8, vec![Span { offset: -3, length: 2 }], &[1, 2]);
        let value = HistogramValue::Int(Arc::new(h));
        assert_eq!(admit(value.clone()), Ok(value));
    }

    #[test]
    fn a_merged_count_over_63_bits_is_refused() {
        let mut h = histogram(9, vec![Span { offset: 1, length: 2 }], &[0, 0]);
        (h.positive_deltas, h.count) = (vec![i64::MAX, 0], u64::MAX - 1);
        let e = admit(HistogramValue::Int(Arc::new(h))).unwrap_err();
        assert_eq!(e.to_string(), "histogram bucket index or count is out of range");
    }

    proptest! {
        /// Model: a map from the index of a bucket to its count.
        #[test]
        fn agrees_with_a_map(
            schema in 9..=52,
            first in any::<i32>().prop_map(|n| n / 2),
            spans in vec((0..40_i32, 0..6_u32), 0..5),
            seed in vec(0..1000_i64, 30),
        ) {
            let mut spans: Vec<Span> =
                spans.into_iter().map(|(offset, length)| Span { offset, length }).collect();
            if let Some(span) = spans.first_mut() {
                span.offset = first;
            }
            let n = indexes(&spans).count();
            let h = histogram(schema, spans.clone(), &seed[..n]);
            let mut want = BTreeMap::new();
            for (index, count) in indexes(&spans).zip(&seed) {
                // The upper bound of bucket i is 2^(i / 2^schema); rounded up, it stays a bound.
                let width = 1_i64 << (schema - 8);
                let merged = index.div_euclid(width) + i64::from(index.rem_euclid(width) != 0);
                *want.entry(merged).or_insert(0) += *count;
            }
            let float = HistogramValue::Float(Arc::new(h.to_float()));
            for value in [float, HistogramValue::Int(Arc::new(h))] {
                let got = admit(value).unwrap();
                prop_assert_eq!(validate_histogram(&got), Ok(()));
                let got = got.to_float();
                prop_assert_eq!(got.schema, 8);
                let want: BTreeMap<i64, String> =
                    want.iter().map(|(index, count)| (*index, count.to_string())).collect();
                for (spans, counts) in [
                    (&got.positive_spans, &got.positive_buckets),
                    (&got.negative_spans, &got.negative_buckets),
                ] {
                    let got: BTreeMap<i64, String> =
                        indexes(spans).zip(counts.iter().map(f64::to_string)).collect();
                    prop_assert_eq!(&got, &want);
                }
            }
        }
    }
}
