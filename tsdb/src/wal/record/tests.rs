use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, IntHistogram, MatchOp, Matcher, STALE_NAN, Span};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn encoded(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(&mut out);
    out
}

fn rows_of(values: &[f64]) -> Rows {
    Rows {
        refs: (1..=values.len() as u64).map(SeriesRef).collect(),
        times: vec![1_700_000_000_000; values.len()],
        values: values.to_vec(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "any float will do")]
fn whole(v: i64) -> f64 {
    v as f64
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (any::<i64>(), 0..63_u32).prop_map(|(v, s)| whole(v >> s)),
        (any::<i32>(), 0..5_i32).prop_map(|(v, p)| f64::from(v) / 10_f64.powi(p)),
        any::<f32>().prop_map(f64::from),
        prop::sample::select(vec![
            0.0,
            -0.0,
            1.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::from_bits(STALE_NAN),
            f64::from_bits(1),
            f64::MAX,
            140_737_488_355_328.0,
            -140_737_488_355_327.0,
            140_737_488_355_327.0,
        ]),
    ]
}

prop_compose! {
    fn rows()(
        rows in vec((any::<u64>(), 0..64_u32, 0..4_u64, any::<i64>(), 0..64_u32, value()), 0..80),
        near in any::<bool>(),
    ) -> Rows {
        let mut out = Rows::default();
        let (mut series, mut t_ms) = (5_u64, 1_700_000_000_000_i64);
        for (r, rs, step, t, ts, v) in rows {
            if near {
                series = series.wrapping_add(if step == 3 { r >> rs } else { step });
                t_ms = t_ms.wrapping_add(if step == 2 { 15_000 } else { 0 });
            } else {
                (series, t_ms) = (r >> rs, t >> ts);
            }
            out.refs.push(SeriesRef(series));
            out.times.push(t_ms);
            out.values.push(v);
        }
        out
    }
}

fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("[a-e]{1,2}", "[x-z]{0,3}", 0..6)
        .prop_map(|m| Labels::from_pairs(m).unwrap())
}

/// Floats without NaN, which the derived equality of histograms could not compare.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<i32>().prop_map(f64::from), -1e300..1e300]
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    vec((any::<i32>(), any::<u32>()).prop_map(|(offset, length)| Span { offset, length }), 0..4)
}

fn histogram() -> impl Strategy<Value = HistogramValue> {
    let hint = prop::sample::select(vec![
        CounterResetHint::Unknown,
        CounterResetHint::Reset,
        CounterResetHint::NotReset,
        CounterResetHint::Gauge,
    ]);
    let int = (
        (hint.clone(), any::<i32>(), number(), any::<u64>(), any::<u64>(), number()),
        (spans(), spans(), vec(any::<i64>(), 0..6), vec(any::<i64>(), 0..6), vec(number(), 0..4)),
    )
        .prop_map(
            |((hint, schema, zero_threshold, zero_count, count, sum), (p, n, pd, nd, c))| {
                HistogramValue::Int(Arc::new(IntHistogram {
                    hint,
                    schema,
                    zero_threshold,
                    zero_count,
                    count,
                    sum,
                    positive_spans: p,
                    negative_spans: n,
                    positive_deltas: pd,
                    negative_deltas: nd,
                    custom_values: c,
                }))
            },
        );
    let float = (
        (hint, any::<i32>(), number(), number(), number(), number()),
        (spans(), spans(), vec(number(), 0..6), vec(number(), 0..6), vec(number(), 0..4)),
    )
        .prop_map(
            |((hint, schema, zero_threshold, zero_count, count, sum), (p, n, pb, nb, c))| {
                HistogramValue::Float(Arc::new(FloatHistogram {
                    hint,
                    schema,
                    zero_threshold,
                    zero_count,
                    count,
                    sum,
                    positive_spans: p,
                    negative_spans: n,
                    positive_buckets: pb,
                    negative_buckets: nb,
                    custom_values: c,
                }))
            },
        );
    prop_oneof![int, float]
}

prop_compose! {
    fn record()(
        series in vec((any::<u64>().prop_map(SeriesRef), labels()), 0..6),
        in_order in rows(),
        late in rows(),
        histograms in vec((any::<u64>(), any::<i64>(), any::<bool>(), histogram()), 0..4),
        metadata in vec((".{0,8}", 0..8_i32, ".{0,20}", ".{0,4}"), 0..3),
        databases in vec(".{0,8}", 0..3),
        deletions in vec(deletion(), 0..2),
    ) -> Record {
        Record {
            series,
            in_order,
            late,
            histograms: histograms.into_iter().map(|(series, t_ms, late, value)| HistogramRow {
                series: SeriesRef(series), t_ms, late, value,
            }).collect(),
            metadata: metadata.into_iter().map(|(name, kind, help, unit)| {
                (name, MetricMetadata { kind: MetricType::from_number(kind).unwrap(), help, unit })
            }).collect(),
            databases,
            deletions,
        }
    }
}

fn deletion() -> impl Strategy<Value = Deletion> {
    let op = prop::sample::select(vec![MatchOp::Eq, MatchOp::Ne, MatchOp::Re, MatchOp::Nre]);
    let matcher = (op, "[a-c]", "[x-z]{0,2}[*+]?")
        .prop_filter_map("an expression", |(op, name, value)| Matcher::new(op, &name, &value).ok());
    (vec(vec(matcher, 0..3), 1..3), any::<i64>(), any::<i64>())
        .prop_map(|(selectors, a, b)| Deletion { selectors, mint: a.min(b), maxt: a.max(b) })
}

proptest! {
    #[test]
    fn decoding_inverts_encoding(record in record()) {
        prop_assert_eq!(Record::decode(&encoded(&record)), Ok(record));
    }

    /// Bytes that decode are exactly what encoding their record gives, or at least a fixed point:
    /// nothing that was read is lost or invented when it is written again.
    #[test]
    fn damaged_bytes_are_refused_or_mean_what_they_say(
        record in record(), at in any::<prop::sample::Index>(), bit in 0..8_u32, cut in any::<bool>(),
    ) {
        let mut bytes = encoded(&record);
        prop_assume!(!bytes.is_empty());
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        if let Ok(other) = Record::decode(&bytes) {
            let again = Record::decode(&encoded(&other)).unwrap();
            prop_assert_eq!(encoded(&again), encoded(&other));
        }
    }

    #[test]
    fn noise_never_panics(bytes in vec(any::<u8>(), 0..200), tag in 1..7_u8) {
        let _ = Record::decode(&bytes);
        let mut section = vec![tag];
        section.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
        section.extend_from_slice(&bytes);
        let _ = Record::decode(&section);
    }
}

#[test]
fn declared_lengths_are_not_believed() {
    for tag in 1..=6 {
        let mut body = Vec::new();
        put_u64(&mut body, 1 << 60);
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&body);
        assert!(Record::decode(&bytes).is_err(), "section {tag}");
        assert_eq!(
            Record::decode(&[tag, 0xff, 0xff, 0xff, 0xff]),
            Err(Corrupt { what: "section length" })
        );
    }
    assert_eq!(Record::decode(&[9, 0, 0, 0, 0]), Err(Corrupt { what: "unknown section" }));
}

#[test]
fn unsorted_or_empty_labels_are_refused() {
    let section = |body: &[u8]| {
        let mut bytes = vec![section::SERIES];
        bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(body);
        Record::decode(&bytes)
    };
    // One series, ref 1, labels told in full.
    assert!(section(&[1, 2, 2, 2, 1, b'a', 1, b'x', 2, 1, b'b', 1, b'y']).is_ok());
    for body in [
        &[1, 2, 2, 2, 1, b'b', 1, b'x', 2, 1, b'a', 1, b'y'][..], // b before a
        &[1, 2, 2, 2, 1, b'a', 1, b'x', 2, 1, b'a', 1, b'y'],     // a twice
        &[1, 2, 1, 2, 1, b'a', 0],                                // empty value
        &[1, 2, 1, 0],                                            // nothing before to share
        &[1, 2, 1, 2, 1, 0xff, 1, b'x'],                          // no UTF-8
    ] {
        assert_eq!(section(body), Err(Corrupt { what: "labels of a series" }), "{body:?}");
    }
}

#[test]
fn a_scrape_costs_few_bytes_beside_its_values() {
    let values = [1.0, 0.0, 0.0, 12_345_678.0, 12_345_679.0, 0.25, 98.6, f64::from_bits(STALE_NAN)];
    let record = Record { in_order: rows_of(&values), ..Record::default() };
    // Section head 5, count 1, tags 4, refs 2, times 6 + 2; values 1+0+0+4+1+4+3+8.
    assert_eq!(encoded(&record).len(), 5 + 1 + 4 + 2 + 8 + 21);
}

/// The bytes of `docs/format/wal.md`, version 1. If this fails, the version moves.
#[test]
fn the_bytes_of_version_1_are_frozen() {
    let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).unwrap();
    let record = Record {
        series: vec![
            (SeriesRef(7), labels(&[("__name__", "up"), ("job", "a")])),
            (SeriesRef(8), labels(&[("__name__", "up"), ("job", "b")])),
        ],
        in_order: Rows {
            refs: vec![SeriesRef(7), SeriesRef(8), SeriesRef(3), SeriesRef(3)],
            times: vec![1000, 1000, 1000, 2000],
            values: vec![1.0, 300.0, 0.5, 0.5],
        },
        late: Rows { refs: vec![SeriesRef(8)], times: vec![-5], values: vec![98.6] },
        histograms: vec![HistogramRow {
            series: SeriesRef(9),
            t_ms: 1000,
            late: true,
            value: HistogramValue::Int(Arc::new(IntHistogram {
                hint: CounterResetHint::NotReset,
                schema: -1,
                zero_threshold: 0.0,
                zero_count: 1,
                count: 4,
                sum: 2.0,
                positive_spans: vec![Span { offset: -2, length: 2 }],
                negative_spans: vec![],
                positive_deltas: vec![1, 1],
                negative_deltas: vec![],
                custom_values: vec![],
            })),
        }],
        metadata: vec![(
            "up".to_owned(),
            MetricMetadata { kind: MetricType::Gauge, help: "h".to_owned(), unit: String::new() },
        )],
        databases: vec!["db".to_owned()],
        deletions: vec![],
    };
    let want: Vec<u8> = include_str!("v1.hex")
        .split_whitespace()
        .flat_map(|line| line.as_bytes().chunks(2))
        .map(|hex| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap())
        .collect();
    assert_eq!(encoded(&record), want);
    assert_eq!(Record::decode(&encoded(&record)), Ok(record));
}
