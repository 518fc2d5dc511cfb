//! Good and bad histograms with the texts of the reference implementation.

use super::*;
use model::CounterResetHint;
use std::sync::Arc;

fn spans(spans: &[(i32, u32)]) -> Vec<Span> {
    spans.iter().map(|&(offset, length)| Span { offset, length }).collect()
}

fn int() -> IntHistogram {
    IntHistogram {
        hint: CounterResetHint::Unknown,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 2,
        count: 12,
        sum: 18.4,
        positive_spans: spans(&[(0, 2), (1, 2)]),
        negative_spans: spans(&[(-3, 2)]),
        positive_deltas: vec![1, 1, -1, 0],
        negative_deltas: vec![2, 1],
        custom_values: vec![],
    }
}

fn custom() -> IntHistogram {
    IntHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        zero_count: 0,
        count: 5,
        negative_spans: vec![],
        negative_deltas: vec![],
        custom_values: vec![1.0, 2.0, 3.0, 4.0],
        ..int()
    }
}

type Change = fn(&mut IntHistogram);
type FloatChange = fn(&mut FloatHistogram);

fn int_error(base: IntHistogram, change: Change) -> String {
    let mut h = base;
    change(&mut h);
    let result = validate_histogram(&HistogramValue::Int(Arc::new(h)));
    result.map_or_else(|e| e.to_string(), |()| "valid".to_owned())
}

#[test]
fn integer_histograms_are_judged_as_in_prometheus() {
    let table: &[(Change, &str)] = &[
        (|_| (), "valid"),
        (|h| h.schema = -4, "valid"),
        (|h| h.schema = 52, "valid"),
        (|h| (h.sum, h.count) = (f64::NAN, 13), "valid"),
        (
            |h| h.count = 13,
            "12 observations found in buckets, but the Count field is 13: histogram's \
             observation count should equal the number of observations found in the buckets \
             (in absence of NaN)",
        ),
        (
            |h| (h.sum, h.count) = (f64::NAN, 11),
            "12 observations found in buckets, but the Count field is 11: histogram's \
             observation count should be at least the number of observations found in the \
             buckets",
        ),
        (
            |h| h.positive_deltas[2] = -3,
            "positive side: bucket number 3 has observation count of -1: histogram has a \
             bucket whose observation count is negative",
        ),
        (
            |h| h.negative_deltas[1] = i64::MAX,
            "negative side: bucket number 2 has observation count of -9223372036854775807: \
             histogram has a bucket whose observation count is negative",
        ),
        (
            |h| h.positive_spans[1].offset = -1,
            "positive side: span number 2 with offset -1: histogram has a span whose offset \
             is negative",
        ),
        (
            |h| h.negative_deltas.clear(),
            "negative side: spans need 2 buckets, have 0 buckets: histogram spans specify \
             different number of buckets than provided",
        ),
        (
            |h| h.positive_spans[0].length = u32::MAX,
            "positive side: spans need 4294967297 buckets, have 4 buckets: histogram spans \
             specify different number of buckets than provided",
        ),
        (
            |h| h.positive_spans[1].offset = i32::MAX,
            "positive side: histogram bucket index or count is out of range",
        ),
        (
            |h| h.custom_values.push(1.0),
            "histogram with exponential schema must not have custom bounds",
        ),
        (
            |h| h.schema = 53,
            "histogram has an invalid schema, which must be between -4 and 8 for exponential \
             buckets, or -53 for custom buckets, got schema 53",
        ),
        (
            |h| h.schema = -5,
            "histogram has an invalid schema, which must be between -4 and 8 for exponential \
             buckets, or -53 for custom buckets, got schema -5",
        ),
    ];
    for (change, want) in table {
        assert_eq!(int_error(int(), *change), *want);
    }
}

#[test]
fn custom_buckets_are_judged_as_in_prometheus() {
    let table: &[(Change, &str)] = &[
        (|_| (), "valid"),
        (|h| h.zero_count = 1, "custom buckets: must have zero count of 0"),
        (|h| h.zero_threshold = 0.1, "custom buckets: must have zero threshold of 0"),
        (
            |h| h.negative_spans.push(Span { offset: 0, length: 0 }),
            "custom buckets: must not have negative spans",
        ),
        (|h| h.negative_deltas.push(1), "custom buckets: must not have negative buckets"),
        (
            // The spans reach over five buckets, the last of which needs no bound.
            |h| h.custom_values.truncate(3),
            "custom buckets: only 3 custom bounds defined which is insufficient to cover total \
             span length of 5: histogram custom bounds are too few",
        ),
        (
            |h| h.custom_values[1] = 0.5,
            "custom buckets: previous bound is 1.000000 and current is 0.500000: histogram \
             custom bounds must be in strictly increasing order",
        ),
        (
            |h| h.custom_values[3] = f64::INFINITY,
            "custom buckets: last +Inf bound must not be explicitly defined: histogram custom \
             bounds must be finite",
        ),
        (
            |h| h.custom_values[0] = f64::NEG_INFINITY,
            "custom buckets: previous bound is -Inf and current is -Inf: histogram custom \
             bounds must be in strictly increasing order",
        ),
        (
            |h| h.custom_values[2] = f64::NAN,
            "custom buckets: histogram custom bounds must not be NaN",
        ),
        (
            |h| h.positive_spans[0].offset = -1,
            "custom buckets: span number 1 with offset -1: histogram has a span whose offset \
             is negative",
        ),
    ];
    for (change, want) in table {
        assert_eq!(int_error(custom(), *change), *want);
    }
}

#[test]
fn float_histograms_are_judged_by_their_signs() {
    let table: &[(FloatChange, &str)] = &[
        (|_| (), "valid"),
        (|h| h.count = 1000.0, "valid"),
        (|h| h.count = f64::NAN, "valid"),
        (|h| h.count = -1.0, "observation count is  -1: histogram's observation count is negative"),
        (
            |h| h.zero_count = -2.5,
            "zero bucket has observation count of -2.5: histogram has a bucket whose \
             observation count is negative",
        ),
        (
            |h| h.positive_buckets[0] = -1e-7,
            "positive side: bucket number 1 has observation count of -1e-07: histogram has a \
             bucket whose observation count is negative",
        ),
        (
            |h| h.negative_buckets[1] = -1e300,
            "negative side: bucket number 2 has observation count of -1e+300: histogram has \
             a bucket whose observation count is negative",
        ),
    ];
    for (change, want) in table {
        let mut h = int().to_float();
        change(&mut h);
        let got = validate_histogram(&HistogramValue::Float(Arc::new(h)));
        assert_eq!(got.map_or_else(|e| e.to_string(), |()| "valid".to_owned()), *want);
    }
}
