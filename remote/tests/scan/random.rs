//! Random requests: any bits as floats, any labels, histograms of both kinds.

use proptest::{collection::vec, prelude::*};
use remote::proto::{self, histogram::Count, histogram::ZeroCount};

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        Just(f64::from_bits(model::STALE_NAN)),
        Just(-0.0),
        (0..100_i32).prop_map(f64::from),
    ]
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), Just(i64::MIN), Just(0), 1_700_000_000_000..1_700_000_100_000_i64]
}

fn label() -> impl Strategy<Value = proto::Label> {
    ("[a-zé]{0,5}", prop_oneof!["[a-zé]{0,5}", "[x]{120,140}"])
        .prop_map(|(name, value)| proto::Label { name, value })
}

fn span_list() -> impl Strategy<Value = Vec<proto::BucketSpan>> {
    let span = (any::<i32>(), any::<u32>());
    vec(span.prop_map(|(offset, length)| proto::BucketSpan { offset, length }), 0..3)
}

fn any_histogram() -> impl Strategy<Value = proto::Histogram> {
    let scalars = (any::<bool>(), any::<u64>(), number(), number(), any::<i32>(), number());
    let buckets = || (span_list(), vec(any::<i64>(), 0..4), vec(number(), 0..4));
    (scalars, buckets(), buckets(), 0..4, time(), vec(number(), 0..3)).prop_map(
        |(scalars, negative, positive, reset_hint, timestamp, custom_values)| {
            let (float, n, x, sum, schema, zero_threshold) = scalars;
            // Which buckets count is the receiver's rule; the others are dropped, so not made here.
            let (count, zero_count) = if float {
                (Count::CountFloat(x), ZeroCount::ZeroCountFloat(x / 2.0))
            } else {
                (Count::CountInt(n), ZeroCount::ZeroCountInt(n / 2))
            };
            let ints = |v: Vec<i64>| if float { Vec::new() } else { v };
            let floats = |v: Vec<f64>| if float { v } else { Vec::new() };
            proto::Histogram {
                count: Some(count),
                sum,
                schema,
                zero_threshold,
                zero_count: Some(zero_count),
                negative_spans: negative.0,
                negative_deltas: ints(negative.1),
                negative_counts: floats(negative.2),
                positive_spans: positive.0,
                positive_deltas: ints(positive.1),
                positive_counts: floats(positive.2),
                reset_hint,
                timestamp,
                custom_values,
            }
        },
    )
}

pub(crate) fn request() -> impl Strategy<Value = proto::WriteRequest> {
    let sample =
        || (number(), time()).prop_map(|(value, timestamp)| proto::Sample { value, timestamp });
    let exemplar = (vec(label(), 0..3), number(), time())
        .prop_map(|(labels, value, timestamp)| proto::Exemplar { labels, value, timestamp });
    let series =
        (vec(label(), 0..6), vec(sample(), 0..4), vec(exemplar, 0..2), vec(any_histogram(), 0..2))
            .prop_map(|(labels, samples, exemplars, histograms)| proto::TimeSeries {
                labels,
                samples,
                exemplars,
                histograms,
            });
    let metadata = (0..8, "[a-z]{0,4}", "[a-zé]{0,9}", "[a-z]{0,4}").prop_map(
        |(r#type, metric_family_name, help, unit)| proto::MetricMetadata {
            r#type,
            metric_family_name,
            help,
            unit,
        },
    );
    (vec(series, 0..5), vec(metadata, 0..3))
        .prop_map(|(timeseries, metadata)| proto::WriteRequest { timeseries, metadata })
}
