use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, HistogramValue, IntHistogram, STALE_NAN, Span};
use proptest::prelude::*;

use super::*;

/// Bits, with the patterns that codecs get wrong well represented.
pub(crate) fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-1000..1000_i32).prop_map(f64::from),
        4 => (-100_000..100_000_i32, 0..6_i32).prop_map(|(i, e)| f64::from(i) / 10_f64.powi(e)),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => prop_oneof![
            Just(-0.0), Just(0.0), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::NAN),
            Just(f64::from_bits(STALE_NAN)), Just(f64::MIN_POSITIVE), Just(f64::from_bits(1)),
            Just(f64::MAX), Just(9_007_199_254_740_993.0), Just(1e300), Just(0.1 + 0.2),
        ],
    ]
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

proptest! {
    #[test]
    fn decoding_any_range_gives_the_bits_back(
        values in proptest::collection::vec(float(), 1..600),
        cut in any::<[prop::sample::Index; 2]>(),
    ) {
        let mut bytes = vec![0xaa];
        let encoding = encode(&values, &mut bytes);
        let (a, b) = (cut[0].index(values.len() + 1), cut[1].index(values.len() + 1));
        let range = a.min(b)..a.max(b);
        let mut out = vec![7.0];
        decode(encoding, &bytes[1..], values.len(), range.clone(), &mut out).unwrap();
        prop_assert_eq!(bits(&out[1..]), bits(&values[range]));
    }

    #[test]
    fn damaged_chunks_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        number in 0..8_u8, count in 0..3000_usize,
    ) {
        if let Some(encoding) = Encoding::from_number(number) {
            let mut out = Vec::new();
            let _ = decode(encoding, &bytes, count, 0..count, &mut out);
            prop_assert!(out.len() <= count.max(MAX_SAMPLES));
        }
        let mut times = Vec::new();
        let _ = times::decode(&bytes, count, &mut times);
        let _ = histogram::decode(&bytes, 0..count, |_, _| {});
    }

    #[test]
    fn times_round_trip(
        start in any::<i64>(),
        deltas in proptest::collection::vec(prop_oneof![
            8 => 14_900..15_100_u64, 2 => 1..2_000_000_u64, 1 => any::<u64>()], 0..500),
    ) {
        let mut times = vec![start];
        for delta in deltas {
            match times[times.len() - 1].checked_add_unsigned(delta.max(1)) {
                Some(t) => times.push(t),
                None => break,
            }
        }
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        times::encode(&times, &mut bytes);
        times::decode(&bytes, times.len(), &mut out).unwrap();
        prop_assert_eq!(out, times);
        for short in 0..bytes.len() {
            let _ = times::decode(&bytes[..short], deltas_len(&bytes), &mut Vec::new());
        }
    }
}

fn deltas_len(bytes: &[u8]) -> usize {
    bytes.len().min(MAX_SAMPLES)
}

#[test]
fn each_encoding_survives_a_million_random_patterns() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..=1_000_000 / MAX_SAMPLES {
        let values: Vec<f64> = (0..MAX_SAMPLES).map(|_| f64::from_bits(random())).collect();
        let mut bytes = Vec::new();
        xor::encode(&values, &mut bytes);
        let mut out = Vec::new();
        xor::decode(&bytes, 0..MAX_SAMPLES, &mut out).unwrap();
        assert_eq!(bits(&out), bits(&values));
        bytes.clear();
        out.clear();
        let encoding = encode(&values, &mut bytes);
        decode(encoding, &bytes, values.len(), 0..values.len(), &mut out).unwrap();
        assert_eq!(bits(&out), bits(&values));
    }
}

fn histograms() -> Vec<HistogramValue> {
    let int = IntHistogram {
        hint: CounterResetHint::NotReset,
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 2,
        count: u64::MAX,
        sum: f64::from_bits(STALE_NAN),
        positive_spans: vec![Span { offset: -4, length: 2 }, Span { offset: 1, length: 1 }],
        negative_spans: vec![],
        positive_deltas: vec![3, i64::MIN, 0],
        negative_deltas: vec![],
        custom_values: vec![],
    };
    let float = FloatHistogram {
        hint: CounterResetHint::Gauge,
        schema: model::CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 7.5,
        sum: -0.0,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        negative_spans: vec![],
        positive_buckets: vec![1.5, 6.0],
        negative_buckets: vec![],
        custom_values: vec![1.0, 2.5],
    };
    let int = HistogramValue::Int(Arc::new(int));
    vec![int.clone(), int, HistogramValue::Float(Arc::new(float))]
}

#[test]
fn histograms_round_trip_and_share_their_layout() {
    let values = histograms();
    let mut bytes = Vec::new();
    histogram::encode(&values, &mut bytes).unwrap();
    let mut out = Vec::new();
    histogram::decode(&bytes, 1..3, |i, value| out.push((i, value))).unwrap();
    // Debug text, because the sum of the first is a NaN.
    assert_eq!(format!("{out:?}"), format!("{:?}", [(1, &values[1]), (2, &values[2])]));
    let mut one = Vec::new();
    histogram::encode(&values[..1], &mut one).unwrap();
    let mut two = Vec::new();
    histogram::encode(&values[..2], &mut two).unwrap();
    assert!(two.len() < one.len() * 2, "the second repeats no layout");
    for short in 0..bytes.len() {
        assert!(histogram::decode(&bytes[..short], 0..3, |_, _| {}).is_err(), "{short}");
    }
}

#[test]
fn a_histogram_whose_spans_lie_is_refused() {
    let HistogramValue::Int(h) = &histograms()[0] else { unreachable!() };
    let mut h = (**h).clone();
    h.positive_deltas.pop();
    let bad = HistogramValue::Int(Arc::new(h));
    let err = histogram::encode([&bad], &mut Vec::new()).unwrap_err();
    assert_eq!(err, histogram::BadLayout { spans: 3, buckets: 2 });
}

#[test]
fn the_bytes_of_each_encoding_are_frozen() {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat();
    let mut bytes = Vec::new();
    let mut check = |want: &str, write: &dyn Fn(&mut Vec<u8>)| {
        bytes.clear();
        write(&mut bytes);
        assert_eq!(hex(&bytes), want);
    };
    check("3ff8", &|out| assert_eq!(encode(&[1.5; 3], out), Encoding::Constant));
    check("3ff00000000000006c03b01f019ffd", &|out| xor::encode(&[1.0, 1.0, 1.5, 1.25, -7.0], out));
    check("0000018bcfe56800e03a9883", &|out| {
        times::encode(&[1_700_000_000_000, 1_700_000_015_000, 1_700_000_030_003], out);
    });
    let stale = f64::from_bits(STALE_NAN);
    let decimals = [0.1, 0.2, stale, 0.5, 1.1, -0.0, 0.9];
    check("c101020105000000000000008001020402c630", &|out| {
        assert!(decimal::encode(&decimals, out));
    });
    check("030606020804d0", &|out| {
        assert!(decimal::encode(&[3.0 * 0.001, 11.0 * 0.001, 5.0 * 0.001], out));
    });
    check("300680808080808080f07f81808080808080f07f0100", &|out| {
        decimal::encode_bits(&[1.0, -1.0], out);
    });
    let rare: Vec<i64> = (0..40).map(|i| i64::from(i / 20 == 1)).collect();
    check("01004001811380", &|out| integers::encode(&rare, out));
    let outlier = [1, 2, 1, 3, 2, 1, 2, 3, 1, 2, 3, 1, 2, 1_000_000, 2, 1, 3, 2, 1, 2, 1, 3];
    check("00024201920c612449871102f423c0", &|out| integers::encode(&outlier, out));
    let skewed: Vec<i64> =
        (0..100).map(|i: i64| (i * i * 37 % 101).pow(3) >> (i % 16) & !1).collect();
    check(
        "0c000200001200000000034654444565444544542809050eec5dd80fccd5f899808571cbd8ca2a3c095e069496fa288d8f67b7288c8b338d3c2ffd669c418880ecac56bb008169def7a3618d772e53d09a478af75ac46177ba803efd0f0da829714bc07a5e2c0182e741fd002af754f362caf721fc3f3972ebb306293bd8036c009958a418b6c56b9c2f7933804e25773dba49412fa2e42b07e12a0aa2a09aff2b8052660ef829a00000",
        &|out| integers::encode(&skewed, out),
    );
    check(
        "0406fca9f1d24d62503f0207020201000002ffffffffffffffffff01020000000000f07f06ffffffffffffffffff01000c02ffffffffffffffffff01020000000000f07f06ffffffffffffffffff0100",
        &|out| histogram::encode(&histograms()[..2], out).unwrap(),
    );
}
