//! Golden values of Prometheus 3.5.3 (contract, appendix A) and laws of the arithmetic.
#![expect(clippy::unreadable_literal, reason = "golden values as Prometheus prints them")]
#![expect(clippy::float_cmp, reason = "golden values, compared to the bit")]

use std::fmt::Write as _;

use model::{CounterResetHint, FloatHistogram, Span};
use proptest::{collection::vec, prelude::*};

use super::arithmetic::{HistogramMean, HistogramSum, difference, product, quotient, sum};
use super::buckets::{self, collect, compact, entries, reduce_resolution};
use super::compare::{almost_equals, detect_reset, equals};
use super::print::{to_test_expression, to_text};
use super::quantile::{NanObservations, fraction, quantile, variance};
use super::trim::{Keep, trim};
use super::{IncompatibleSchemas, samples};
use crate::number::sample_value;

fn empty() -> FloatHistogram {
    FloatHistogram {
        hint: CounterResetHint::Unknown,
        schema: 0,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 0.0,
        sum: 0.0,
        positive_spans: vec![],
        negative_spans: vec![],
        positive_buckets: vec![],
        negative_buckets: vec![],
        custom_values: vec![],
    }
}

fn span(offset: i32, length: u32) -> Vec<Span> {
    vec![Span { offset, length }]
}

fn nh() -> FloatHistogram {
    FloatHistogram {
        zero_threshold: 0.001,
        zero_count: 2.0,
        count: 13.0,
        sum: 20.5,
        positive_spans: span(0, 4),
        positive_buckets: vec![3.0, 4.0, 0.0, 4.0],
        ..empty()
    }
}

fn nn() -> FloatHistogram {
    FloatHistogram {
        schema: 1,
        zero_threshold: 0.01,
        zero_count: 2.0,
        count: 10.0,
        sum: -5.0,
        negative_spans: span(1, 2),
        negative_buckets: vec![5.0, 3.0],
        ..empty()
    }
}

fn cb() -> FloatHistogram {
    FloatHistogram {
        schema: -53,
        count: 10.0,
        sum: 8.0,
        positive_spans: span(0, 4),
        positive_buckets: vec![1.0, 2.0, 3.0, 4.0],
        custom_values: vec![0.5, 1.0, 2.5],
        ..empty()
    }
}

#[test]
fn quantiles_are_those_of_prometheus() {
    for (q, h, want) in [
        (0.1, nh(), 0.0006500000000000001),
        (0.5, nh(), 1.2968395546510096),
        (0.99, nh(), 7.821796489681863),
        (0.5, nn(), -1.2311444133449163),
        (0.2, nn(), -1.5874010519681994),
        (0.05, cb(), 0.25),
        (0.5, cb(), 2.0),
        (0.99, cb(), 2.5),
        (-1.0, cb(), f64::NEG_INFINITY),
        (1.5, nh(), f64::INFINITY),
    ] {
        assert_eq!(quantile(q, &h), (want, None), "{q} {}", to_text(&h));
    }
    assert!(quantile(0.5, &empty()).0.is_nan() && quantile(f64::NAN, &nh()).0.is_nan());
}

#[test]
fn the_lowest_custom_bucket_begins_at_zero_unless_it_ends_there() {
    let of = |bounds: &[f64], buckets: &[f64]| FloatHistogram {
        schema: model::CUSTOM_BUCKETS_SCHEMA,
        count: buckets.iter().sum(),
        positive_spans: span(0, u32::try_from(buckets.len()).unwrap()),
        positive_buckets: buckets.to_vec(),
        custom_values: bounds.to_vec(),
        ..empty()
    };
    let (inf, positive) = (f64::INFINITY, of(&[4.0, 8.0], &[6.0, 2.0]));
    for (lower, upper, want) in
        [(-inf, 2.0, 0.375), (-1.0, 1.0, 0.1875), (-inf, 0.0, 0.0), (-inf, 6.0, 0.875)]
    {
        assert_eq!(fraction(lower, upper, &positive), (want, false), "{lower} {upper}");
    }
    for bound in [0.0, -4.0] {
        // Nothing is known about the inside: a cut there has the whole bucket below it.
        let h = of(&[bound, 8.0], &[6.0, 2.0]);
        assert_eq!(fraction(-inf, bound - 1.0, &h), (0.75, false));
    }
}

#[test]
fn fractions_and_variances_are_those_of_prometheus() {
    assert_eq!(fraction(0.0, 1.0, &nh()), (0.38461538461538464, false));
    assert_eq!(fraction(0.7, 5.0, &nh()), (0.5254947613875941, false));
    assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &nn()), (1.0, false));
    assert_eq!(fraction(1.0, 1.0, &nh()), (0.0, false));
    assert!(fraction(f64::NAN, 1.0, &nh()).0.is_nan());
    assert_eq!(variance(&nh()).sqrt(), 2.384765187314657);
    assert_eq!(variance(&cb()), f64::INFINITY);
    assert_eq!(nh().sum / nh().count, 1.5769230769230769);
}

#[test]
fn observations_of_nan_are_noticed() {
    let h = FloatHistogram { sum: f64::NAN, count: 20.0, ..nh() };
    assert_eq!(quantile(0.3, &h).1, Some(NanObservations::Skewed));
    let (v, note) = quantile(0.9, &h);
    assert!(v.is_nan() && note == Some(NanObservations::Result));
    assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &h), (0.65, true));
}

/// As the HTTP API shows buckets.
fn json(h: &FloatHistogram) -> String {
    let mut out = String::new();
    for b in buckets::all(h).iter().filter(|b| b.count != 0.0) {
        let [lower, upper, count] = [b.lower, b.upper, b.count].map(sample_value);
        let rule = b.boundary_rule();
        let _ = write!(out, "[{rule},{lower},{upper},{count}]");
    }
    out
}

#[test]
fn buckets_are_those_of_prometheus() {
    assert_eq!(json(&nh()), "[3,-0.001,0.001,2][0,0.5,1,3][0,1,2,4][0,4,8,4]");
    assert_eq!(
        json(&nn()),
        "[1,-2,-1.414213562373095,3][1,-1.414213562373095,-1,5][3,-0.01,0.01,2]"
    );
    assert_eq!(json(&cb()), "[3,-Inf,0.5,1][0,0.5,1,2][0,1,2.5,3][0,2.5,+Inf,4]");
    assert_eq!(samples(&nh()), (168 + 8 * 5 + 8) / 16);
}

#[test]
fn texts_follow_the_contract() {
    assert_eq!(
        to_text(&nh()),
        "{count:13, sum:20.5, [-0.001,0.001]:2, (0.5,1]:3, (1,2]:4, (4,8]:4}"
    );
    assert_eq!(
        to_text(&cb()),
        "{count:10, sum:8, [-Inf,0.5]:1, (0.5,1]:2, (1,2.5]:3, (2.5,+Inf]:4}"
    );
    assert_eq!(
        to_test_expression(&nh()),
        "{{count:13 sum:20.5 z_bucket:2 z_bucket_w:0.001 buckets:[3 4 0 4]}}"
    );
    assert_eq!(
        to_test_expression(&nn()),
        "{{schema:1 count:10 sum:-5 z_bucket:2 z_bucket_w:0.01 n_offset:1 n_buckets:[5 3]}}"
    );
    assert_eq!(
        to_test_expression(&cb()),
        "{{schema:-53 count:10 sum:8 custom_values:[0.5 1 2.5] buckets:[1 2 3 4]}}"
    );
    assert_eq!(to_test_expression(&empty()), "{{}}");
}

#[test]
fn multiples_follow_the_contract() {
    let twice = product(&nh(), 2.0);
    assert_eq!((twice.count, twice.sum, twice.zero_count), (26.0, 41.0, 4.0));
    assert_eq!(twice.positive_buckets, [6.0, 8.0, 8.0]);
    assert_eq!(twice.hint, CounterResetHint::Unknown);
    assert_eq!(product(&nh(), -1.0).hint, CounterResetHint::Gauge);
    let by_zero = quotient(&nh(), 0.0);
    assert_eq!((by_zero.count, by_zero.positive_buckets.len()), (f64::INFINITY, 0));
    assert!(quotient(&empty(), 0.0).count.is_nan());
}

#[test]
fn families_do_not_mix_and_hints_combine() {
    use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
    assert_eq!(sum(&nh(), &cb()), Err(IncompatibleSchemas));
    assert_eq!(difference(&cb(), &nn()), Err(IncompatibleSchemas));
    for (a, b, want, conflict) in [
        (Reset, Reset, Reset, false),
        (Reset, NotReset, Unknown, true),
        (Unknown, NotReset, Unknown, false),
        (Gauge, Reset, Gauge, false),
        (Unknown, Gauge, Gauge, false),
    ] {
        let (h, outcome) =
            sum(&FloatHistogram { hint: a, ..nh() }, &FloatHistogram { hint: b, ..nh() }).unwrap();
        assert_eq!((h.hint, outcome.conflicting_resets), (want, conflict), "{a:?} {b:?}");
    }
}

#[test]
fn zero_buckets_are_widened_over_what_they_cut() {
    let narrow = FloatHistogram { zero_threshold: 0.0, zero_count: 0.0, ..nh() };
    let wide = FloatHistogram { zero_threshold: 0.75, zero_count: 5.0, count: 5.0, ..empty() };
    for (a, b) in [(&narrow, &wide), (&wide, &narrow)] {
        let (h, _) = sum(a, b).unwrap();
        // The threshold cuts the bucket (0.5, 1] with its three observations.
        assert_eq!((h.zero_threshold, h.zero_count), (1.0, 8.0));
        assert_eq!(h.positive_buckets, [4.0, 4.0]);
        assert_eq!(
            h.positive_spans,
            [Span { offset: 1, length: 1 }, Span { offset: 1, length: 1 }]
        );
    }
}

#[test]
fn custom_bounds_are_reduced_to_those_in_common() {
    let other = FloatHistogram {
        custom_values: vec![1.0, 2.0, 2.5],
        positive_buckets: vec![10.0, 20.0, 30.0, 40.0],
        count: 100.0,
        ..cb()
    };
    let (h, outcome) = sum(&cb(), &other).unwrap();
    assert!(outcome.mismatched_bounds);
    assert_eq!(h.custom_values, [1.0, 2.5]);
    assert_eq!(h.positive_buckets, [13.0, 53.0, 44.0]);
    let (h, outcome) = sum(&cb(), &cb()).unwrap();
    assert!(!outcome.mismatched_bounds && h.positive_buckets == [2.0, 4.0, 6.0, 8.0]);
}

#[test]
fn resets_are_detected() {
    let hinted = |hint| FloatHistogram { hint, ..nh() };
    assert!(detect_reset(&hinted(CounterResetHint::Reset), &nh()));
    assert!(!detect_reset(&hinted(CounterResetHint::NotReset), &product(&nh(), 2.0)));
    assert!(!detect_reset(&nh(), &nh()));
    assert!(!detect_reset(&product(&nh(), 2.0), &nh()));
    let fewer = FloatHistogram { count: 12.0, ..nh() };
    assert!(detect_reset(&fewer, &nh()) && !detect_reset(&nh(), &fewer));
    let moved = FloatHistogram { positive_buckets: vec![4.0, 3.0, 0.0, 4.0], ..nh() };
    assert!(detect_reset(&moved, &nh()));
    let gone =
        FloatHistogram { positive_spans: span(0, 2), positive_buckets: vec![3.0, 8.0], ..nh() };
    assert!(detect_reset(&gone, &nh()));
    assert!(detect_reset(&FloatHistogram { schema: 1, ..nh() }, &nh()));
    assert!(detect_reset(&FloatHistogram { zero_threshold: 0.0001, ..nh() }, &nh()));
    assert!(detect_reset(&FloatHistogram { zero_threshold: 0.75, zero_count: 9.0, ..nh() }, &nh()));
    assert!(detect_reset(&FloatHistogram { count: 20.0, ..cb() }, &nh()));
    let coarser = FloatHistogram {
        custom_values: vec![1.0],
        positive_spans: span(0, 2),
        positive_buckets: vec![3.0, 7.0],
        ..cb()
    };
    assert!(!detect_reset(&coarser, &cb()));
    assert!(detect_reset(&FloatHistogram { positive_buckets: vec![2.0, 8.0], ..coarser }, &cb()));
}

#[test]
fn trims_keep_one_side() {
    assert_eq!(trim(&nh(), 8.0, Keep::Below), nh());
    let low = trim(&nh(), 1.0, Keep::Below);
    assert_eq!((low.count, low.zero_count, low.positive_buckets), (5.0, 2.0, vec![3.0]));
    assert_eq!(low.sum, 3.0 * 0.5_f64.sqrt() + 2.0 * 0.0005);
    let high = trim(&nh(), 1.0, Keep::Above);
    assert_eq!((high.count, high.zero_count, high.positive_buckets), (8.0, 0.0, vec![4.0, 4.0]));
    let cut = trim(&cb(), 0.25, Keep::Below);
    assert_eq!((cut.count, cut.sum), (0.5, 0.0625));
    let cut = trim(&cb(), 2.5, Keep::Above);
    assert_eq!((cut.count, cut.sum), (4.0, 10.0));
    let mirrored = trim(&nn(), -1.0, Keep::Above);
    assert_eq!((mirrored.count, mirrored.zero_count), (2.0, 2.0));
}

#[test]
fn a_mean_survives_overflow() {
    let big = FloatHistogram { sum: 1e308, ..nh() };
    let mut mean = HistogramMean::default();
    for _ in 0..3 {
        mean.add(&big).unwrap();
    }
    let (h, _) = mean.finish().unwrap();
    assert!((h.sum / 1e308 - 1.0).abs() < 1e-15 && (h.count - 13.0).abs() < 1e-12);
}

/// Compacted histograms with small integer counts, so that sums are exact.
fn exponential() -> impl Strategy<Value = FloatHistogram> {
    let side = || vec((-20_i32..20, 0_u32..5), 0..12);
    (
        -4_i32..=8,
        side(),
        side(),
        0_u32..4,
        prop_oneof![Just(0.0), Just(0.001), Just(0.3), Just(2.5)],
    )
        .prop_map(|(schema, positive, negative, zero, zero_threshold)| {
            let side = |mut list: Vec<(i32, u32)>| {
                list.sort_unstable();
                list.dedup_by_key(|b| b.0);
                // No bucket begins inside the zero bucket.
                list.retain(|b| super::bounds::exponential(b.0 - 1, schema) >= zero_threshold);
                collect(list.into_iter().map(|(i, c)| (i, f64::from(c))))
            };
            let (positive_spans, positive_buckets) = side(positive);
            let (negative_spans, negative_buckets) = side(negative);
            let zero_count = f64::from(zero);
            let count = zero_count + positive_buckets.iter().chain(&negative_buckets).sum::<f64>();
            FloatHistogram {
                schema,
                zero_threshold,
                zero_count,
                count,
                sum: count * 3.0,
                positive_spans,
                positive_buckets,
                negative_spans,
                negative_buckets,
                ..empty()
            }
        })
}

fn total(h: &FloatHistogram) -> f64 {
    h.zero_count + h.positive_buckets.iter().chain(&h.negative_buckets).sum::<f64>()
}

proptest! {
    /// Addition loses no observation, commutes and is undone by subtraction.
    #[test]
    fn sums_and_differences_are_inverse(a in exponential(), b in exponential()) {
        let (ab, _) = sum(&a, &b).unwrap();
        let (ba, _) = sum(&b, &a).unwrap();
        prop_assert!(equals(&ab, &ba), "{} {}", to_text(&ab), to_text(&ba));
        prop_assert_eq!(total(&ab), ab.count);
        prop_assert_eq!(ab.schema, a.schema.min(b.schema));
        prop_assert!(ab.zero_threshold >= a.zero_threshold.max(b.zero_threshold));
        let (back, _) = difference(&ab, &b).unwrap();
        // What is left is `a` at the resolution and with the zero bucket of the sum.
        let frame = FloatHistogram { schema: ab.schema, zero_threshold: ab.zero_threshold, ..empty() };
        let (want, _) = sum(&frame, &a).unwrap();
        prop_assert!(equals(&back, &want), "{} {}", to_text(&back), to_text(&want));
        let (nothing, _) = difference(&a, &a).unwrap();
        prop_assert!(nothing.count == 0.0 && total(&nothing) == 0.0);
        prop_assert!(nothing.positive_buckets.is_empty() && nothing.negative_spans.is_empty());
    }

    /// Compensated sums of integers are plain sums.
    #[test]
    fn compensation_changes_no_integer(list in vec(exponential(), 1..6)) {
        let mut acc = HistogramSum::default();
        let mut mean = HistogramMean::default();
        let mut plain = list[0].clone();
        for (i, h) in list.iter().enumerate() {
            acc.add(h).unwrap();
            mean.add(h).unwrap();
            if i > 0 {
                plain = sum(&plain, h).unwrap().0;
            }
        }
        let (got, _) = acc.finish().unwrap();
        prop_assert!(equals(&got, &plain), "{} {}", to_text(&got), to_text(&plain));
        let (got, _) = mean.finish().unwrap();
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let want = quotient(&plain, list.len() as f64);
        prop_assert!(almost_equals(&got, &want, 1e-12));
    }

    /// Lower resolution keeps every observation in a bucket that contains its old one.
    #[test]
    fn reduction_keeps_observations(h in exponential(), by in 0_i32..6) {
        let schema = (h.schema - by).max(-4);
        let low = reduce_resolution(&h, schema);
        prop_assert_eq!(low.schema, schema);
        prop_assert_eq!(total(&low), total(&h));
        let bounds = |h: &FloatHistogram| -> Vec<(f64, f64, f64)> {
            entries(&h.positive_spans, &h.positive_buckets)
                .map(|(i, c)| buckets::positive(h, i, c))
                .map(|b| (b.lower, b.upper, b.count))
                .collect()
        };
        for (lower, upper, count) in bounds(&low) {
            let inside: f64 = bounds(&h).iter()
                .filter(|b| b.0 >= lower * 0.999_999 && b.1 <= upper * 1.000_001)
                .map(|b| b.2).sum();
            prop_assert_eq!(inside, count);
        }
        let steps = (schema..h.schema).rev().fold(h.clone(), |h, s| reduce_resolution(&h, s));
        prop_assert!(equals(&steps, &low));
    }

    /// Empty buckets and cut spans change the layout but not what it stands for.
    #[test]
    fn compaction_removes_padding(h in exponential(), pad in 0_u32..4) {
        let mut padded = h.clone();
        let mut counts = vec![0.0; pad as usize];
        counts.extend(&h.positive_buckets);
        padded.positive_buckets = counts;
        let mut spans = h.positive_spans.clone();
        if let Some(first) = spans.first_mut() {
            first.offset -= i32::try_from(pad).unwrap();
            first.length += pad;
        } else {
            spans = span(5, pad);
        }
        spans.insert(0, Span { offset: 0, length: 0 });
        padded.positive_spans = spans;
        compact(&mut padded);
        prop_assert_eq!(&padded.positive_buckets, &h.positive_buckets);
        prop_assert!(equals(&padded, &h));
    }

    /// A growing counter has no reset, whatever its layout; a shrinking one has.
    #[test]
    fn growth_is_no_reset(a in exponential(), b in exponential()) {
        let (grown, _) = sum(&a, &b).unwrap();
        prop_assert!(!detect_reset(&grown, &a), "{} {}", to_text(&grown), to_text(&a));
        if b.count > 0.0 {
            prop_assert!(detect_reset(&a, &grown));
        }
    }

    /// What lies below a cut and what lies above add up.
    #[test]
    fn trims_split(h in exponential(), cut in -4.0_f64..4.0) {
        let (low, high) = (trim(&h, cut, Keep::Below), trim(&h, cut, Keep::Above));
        prop_assert!((total(&low) + total(&high) - total(&h)).abs() < 1e-9);
        let share = fraction(f64::NEG_INFINITY, cut, &h).0;
        if h.count > 0.0 {
            prop_assert!((total(&low) / h.count - share).abs() < 1e-9);
        }
    }

    /// The quantile of a fraction leads back to the cut.
    #[test]
    fn quantiles_invert_fractions(h in exponential(), q in 0.01_f64..0.99) {
        // A zero bucket without a width is a step in the distribution.
        prop_assume!(h.count > 0.0 && (h.zero_threshold > 0.0 || h.zero_count == 0.0));
        let v = quantile(q, &h).0;
        let share = fraction(f64::NEG_INFINITY, v, &h).0;
        prop_assert!((share - q).abs() < 1e-9, "{v} {share}");
    }
}
