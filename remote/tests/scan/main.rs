//! The scan against `prost`, over messages that a writer of the worst manners has encoded.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod random;
mod writer;

use model::{FloatHistogram, HistogramValue, IntHistogram, MetricType, Span};
use proptest::{collection::vec, prelude::*};
use prost::Message as _;
use random::request;
use remote::error::{DecodeError, Malformed};
use remote::histogram::admit;
use remote::proto::{self, histogram::Count, histogram::ZeroCount};
use remote::v1::{self, Limits, WriteBatch};
use writer::Writer;

/// `a{j="x"}` with 1.0 at 1700000000000, as Prometheus writes it.
const GOLDEN: &[u8] = b"\x0a\x29\x0a\x0d\x0a\x08__name__\x12\x01a\x0a\x06\x0a\x01j\x12\x01x\
    \x12\x10\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x80\xd0\x95\xff\xbc\x31";

fn scan(body: &[u8]) -> Result<WriteBatch<'_>, DecodeError> {
    let mut batch = WriteBatch::new();
    v1::scan(body, &Limits::default(), &mut batch).map(|()| batch)
}

fn limited(body: &[u8], limits: Limits) -> Result<(usize, usize), DecodeError> {
    let mut batch = WriteBatch::new();
    v1::scan(body, &limits, &mut batch).map(|()| (batch.series.len(), batch.values.len()))
}

/// The labels of a raw slice by way of `prost`: label fields alone are a valid `TimeSeries`.
fn labels(raw: &[u8]) -> Vec<proto::Label> {
    proto::TimeSeries::decode(raw).unwrap().labels
}

/// The batch as the message it came from. Floats as bits are compared by [`bits`].
fn message(batch: &WriteBatch<'_>) -> proto::WriteRequest {
    let mut timeseries: Vec<proto::TimeSeries> = batch
        .series
        .iter()
        .map(|row| proto::TimeSeries {
            labels: labels(batch.raw_labels(row)),
            samples: row
                .samples()
                .map(|i| proto::Sample { value: batch.values[i], timestamp: batch.times[i] })
                .collect(),
            ..Default::default()
        })
        .collect();
    for row in &batch.histograms {
        timeseries[row.series as usize].histograms.push(histogram(row.t_ms, &row.value));
    }
    for row in &batch.exemplars {
        timeseries[row.series as usize].exemplars.push(proto::Exemplar {
            labels: labels(batch.exemplar_labels(row)),
            value: row.value,
            timestamp: row.t_ms,
        });
    }
    let metadata = batch
        .metadata
        .iter()
        .map(|row| proto::MetricMetadata {
            r#type: row.kind.number(),
            metric_family_name: row.family.to_owned(),
            help: row.help.to_owned(),
            unit: row.unit.to_owned(),
        })
        .collect();
    proto::WriteRequest { timeseries, metadata }
}

fn spans(spans: &[Span]) -> Vec<proto::BucketSpan> {
    spans.iter().map(|s| proto::BucketSpan { offset: s.offset, length: s.length }).collect()
}

fn histogram(timestamp: i64, value: &HistogramValue) -> proto::Histogram {
    match value {
        HistogramValue::Int(h) => {
            let h: &IntHistogram = h;
            proto::Histogram {
                count: Some(Count::CountInt(h.count)),
                sum: h.sum,
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                zero_count: Some(ZeroCount::ZeroCountInt(h.zero_count)),
                negative_spans: spans(&h.negative_spans),
                negative_deltas: h.negative_deltas.clone(),
                positive_spans: spans(&h.positive_spans),
                positive_deltas: h.positive_deltas.clone(),
                reset_hint: h.hint as i32,
                timestamp,
                custom_values: h.custom_values.clone(),
                ..Default::default()
            }
        }
        HistogramValue::Float(h) => {
            let h: &FloatHistogram = h;
            proto::Histogram {
                count: Some(Count::CountFloat(h.count)),
                sum: h.sum,
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                zero_count: Some(ZeroCount::ZeroCountFloat(h.zero_count)),
                negative_spans: spans(&h.negative_spans),
                negative_counts: h.negative_buckets.clone(),
                positive_spans: spans(&h.positive_spans),
                positive_counts: h.positive_buckets.clone(),
                reset_hint: h.hint as i32,
                timestamp,
                custom_values: h.custom_values.clone(),
                ..Default::default()
            }
        }
    }
}

/// A message with all floats in it as bits, so that NaN equals itself and -0.0 is not 0.0: protobuf
/// text has neither.
fn bits(request: &proto::WriteRequest) -> Vec<u64> {
    let mut out = Vec::new();
    for series in &request.timeseries {
        out.extend(series.samples.iter().map(|s| s.value.to_bits()));
        out.extend(series.exemplars.iter().map(|e| e.value.to_bits()));
        for h in &series.histograms {
            out.extend([h.sum.to_bits(), h.zero_threshold.to_bits()]);
            for column in [&h.negative_counts, &h.positive_counts, &h.custom_values] {
                out.extend(column.iter().map(|v| v.to_bits()));
            }
        }
    }
    out
}

fn assert_same(batch: &WriteBatch<'_>, want: &proto::WriteRequest) {
    let got = message(batch);
    assert_eq!(bits(&got), bits(want));
    // Debug prints every field, and NaN as NaN.
    assert_eq!(format!("{got:?}"), format!("{want:?}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_scan_reads_what_prost_writes(request in request()) {
        let body = request.encode_to_vec();
        // Not `request` itself: prost, like Go's encoder, leaves out -0.0 as if it were 0.0.
        let want = proto::WriteRequest::decode(&body[..]).unwrap();
        assert_same(&scan(&body).unwrap(), &want);
    }

    #[test]
    fn the_scan_reads_every_encoding_that_prost_reads(want in request(), state in any::<u64>()) {
        let body = Writer { state }.request(&want);
        let prost = proto::WriteRequest::decode(&body[..]).unwrap();
        prop_assert_eq!(format!("{prost:?}"), format!("{want:?}"), "the writer is wrong");
        assert_same(&scan(&body).unwrap(), &want);
    }

    /// Where both decoders take damaged bytes, they see the same samples; where `prost` takes them,
    /// so does the scan.
    #[test]
    fn damaged_bytes_are_taken_or_refused_as_prost_does(
        request in request(),
        state in any::<u64>(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut body = Writer { state }.request(&request);
        prop_assume!(!body.is_empty());
        for (at, byte) in flips {
            *at.get_mut(&mut body) = byte;
        }
        match (proto::WriteRequest::decode(&body[..]), scan(&body)) {
            (Err(_), _) => {}
            (Ok(want), Ok(batch)) => {
                prop_assert_eq!(batch.series.len(), want.timeseries.len());
                for (row, series) in batch.series.iter().zip(&want.timeseries) {
                    let got = row.samples().map(|i| (batch.times[i], batch.values[i].to_bits()));
                    let want = series.samples.iter().map(|s| (s.timestamp, s.value.to_bits()));
                    prop_assert!(got.eq(want));
                    prop_assert_eq!(&labels(batch.raw_labels(row)), &series.labels);
                }
            }
            (Ok(_), Err(e)) => prop_assert!(false, "{}", e),
        }
    }

    #[test]
    fn any_bytes_are_a_batch_or_an_error(body in vec(any::<u8>(), 0..300)) {
        if let Ok(batch) = scan(&body) {
            for row in batch.histograms {
                let _ = admit(row.value);
            }
        }
    }
}

#[test]
fn golden_bytes_are_one_series() {
    let batch = scan(GOLDEN).unwrap();
    assert_eq!((&batch.times[..], &batch.values[..]), (&[1_700_000_000_000][..], &[1.0][..]));
    // The label fields lie where they were sent.
    assert_eq!(batch.raw_labels(&batch.series[0]).as_ptr(), GOLDEN[2..].as_ptr());
    assert_eq!(batch.raw_labels(&batch.series[0]), &GOLDEN[2..25]);
    assert_eq!(message(&batch).encode_to_vec(), GOLDEN);
}

#[test]
fn label_fields_apart_from_each_other_are_joined_in_their_order() {
    let whole = scan(GOLDEN).unwrap();
    let (first, second, sample) = (&GOLDEN[2..17], &GOLDEN[17..25], &GOLDEN[25..]);
    for fields in [[first, sample, second], [sample, first, second], [first, second, sample]] {
        let body = [&GOLDEN[..2], &fields.concat()[..]].concat();
        let batch = scan(&body).unwrap();
        let raw = batch.raw_labels(&batch.series[0]);
        assert_eq!(raw, whole.raw_labels(&whole.series[0]), "{fields:x?}");
        assert_eq!(batch.values, [1.0]);
    }
}

#[test]
fn a_request_without_series_is_empty() {
    assert!(scan(b"").unwrap().series.is_empty());
    // Reserved field 2, and a series without anything.
    let body = b"\x12\x01x\x0a\x00";
    let batch = scan(body).unwrap();
    assert_eq!((batch.series.len(), batch.raw_labels(&batch.series[0])), (1, &b""[..]));
}

#[test]
fn a_body_cut_anywhere_is_an_error_or_whole_series() {
    let one = GOLDEN;
    let body = [one, one].concat();
    for cut in 0..body.len() {
        match scan(&body[..cut]) {
            Ok(batch) => assert_eq!((cut % one.len(), batch.series.len()), (0, cut / one.len())),
            Err(DecodeError::Malformed { offset, what }) => {
                assert_eq!(what, Malformed::Truncated, "cut at {cut}");
                assert!(offset <= cut);
            }
            Err(e) => panic!("cut at {cut}: {e}"),
        }
    }
}

#[test]
fn malformed_bodies_name_the_byte() {
    for (body, want) in [
        (&b"\x0a"[..], "protobuf: truncated message at byte 1"),
        (b"\x0a\x05\x0a\x00", "protobuf: truncated message at byte 2"),
        (b"\x08\x01", "protobuf: wrong wire type at byte 1"),
        (b"\x0a\x02\x08\x01", "protobuf: wrong wire type at byte 3"),
        (b"\x0a\x02\x10\x01", "protobuf: wrong wire type at byte 3"),
        (b"\x0a\x04\x12\x02\x08\x01", "protobuf: wrong wire type at byte 5"),
        (b"\x0a\x07\x12\x05\x11\x00\x00\x00\x00", "protobuf: wrong wire type at byte 5"),
        (b"\x0a\x06\x12\x04\x09\x00\x00\x00", "protobuf: truncated message at byte 5"),
        (b"\x0a\x04\x0a\x05\x0a\x00\x0a\x00", "protobuf: truncated message at byte 4"),
        (b"\x0a\x05\x0a\x01\x00\x0a\x09", "protobuf: truncated message at byte 5"),
        (b"\x00\x01", "protobuf: invalid field number at byte 0"),
        (b"\x0b\x0c", "protobuf: wrong wire type at byte 1"),
        (b"\x0c", "protobuf: wrong wire type at byte 1"),
        (b"\x0f", "protobuf: wrong wire type at byte 1"),
        (
            b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            "protobuf: varint overflows 64 bits at byte 1",
        ),
        (
            b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
            "protobuf: varint overflows 64 bits at byte 0",
        ),
        // A packed length past the end, and packed numbers that end in the middle.
        (b"\x0a\x05\x22\x03\x62\x09\x01", "protobuf: truncated message at byte 6"),
        (b"\x0a\x05\x22\x03\x62\x01\x80", "protobuf: truncated message at byte 6"),
        (b"\x0a\x05\x22\x03\x6a\x01\x00", "protobuf: truncated message at byte 6"),
        (b"\x1a\x03\x22\x01\xff", "protobuf: string is not valid UTF-8 at byte 3"),
    ] {
        let got = scan(body).map(|_| ()).unwrap_err().to_string();
        assert_eq!(got, want, "{body:x?}");
    }
}

#[test]
fn ten_megabytes_of_unknown_fields_are_nothing() {
    let mut body = Vec::new();
    while body.len() < 10 << 20 {
        body.extend(
            b"\x38\x01\x3a\x04skip\x39\x00\x00\x00\x00\x00\x00\x00\x00\x3d\x00\x00\x00\x00",
        );
    }
    body.extend(GOLDEN);
    let batch = scan(&body).unwrap();
    assert_eq!((batch.series.len(), batch.values.len()), (1, 1));
    assert!(batch.heap_bytes() < 1024);
}

#[test]
fn counts_over_a_limit_are_refused() {
    let limits = Limits { series: 3, samples: 3, ..Limits::default() };
    assert_eq!(limited(&GOLDEN.repeat(3), limits), Ok((3, 3)));
    let error = |body: &[u8], limits| limited(body, limits).unwrap_err().to_string();
    assert_eq!(error(&GOLDEN.repeat(4), limits), "request has more than 3 series");
    let limits = Limits { series: 100, ..limits };
    assert_eq!(error(&GOLDEN.repeat(4), limits), "request has more than 3 samples");
    // Histograms are samples too.
    let histogram = b"\x0a\x02\x22\x00";
    let body = [&GOLDEN.repeat(3)[..], histogram].concat();
    assert_eq!(error(&body, limits), "request has more than 3 samples");
}

#[test]
fn histograms_over_the_budget_are_refused_before_they_are_allocated() {
    let limits = Limits { histogram_bytes: 10_000, ..Limits::default() };
    // One megabyte of one-byte deltas would be eight in memory.
    let deltas = vec![0; 1 << 20];
    let packed = proto::Histogram { positive_deltas: deltas, ..Default::default() };
    let spans = proto::Histogram {
        positive_spans: vec![proto::BucketSpan::default(); 2000],
        ..Default::default()
    };
    let floats = proto::Histogram { custom_values: vec![1.0; 2000], ..Default::default() };
    let empty = vec![proto::Histogram::default(); 100];
    for histograms in [vec![packed], vec![spans], vec![floats], empty] {
        let series = proto::TimeSeries { histograms, ..Default::default() };
        let request = proto::WriteRequest { timeseries: vec![series], ..Default::default() };
        assert_eq!(
            limited(&request.encode_to_vec(), limits).unwrap_err().to_string(),
            "request has more than 10000 bytes of histograms"
        );
    }
}

#[test]
fn exemplars_and_metadata_over_their_limits_are_dropped() {
    let exemplar = proto::Exemplar { value: 1.0, ..Default::default() };
    let series = proto::TimeSeries { exemplars: vec![exemplar; 5], ..Default::default() };
    let metadata = vec![proto::MetricMetadata { r#type: 99, ..Default::default() }; 5];
    let body = proto::WriteRequest { timeseries: vec![series], metadata }.encode_to_vec();
    let mut batch = WriteBatch::new();
    let limits = Limits { exemplars: 2, metadata: 3, ..Limits::default() };
    v1::scan(&body, &limits, &mut batch).unwrap();
    assert_eq!((batch.num_exemplars, batch.exemplars.len(), batch.metadata.len()), (5, 2, 3));
    assert_eq!(batch.metadata[0].kind, MetricType::Unknown);
}

#[test]
fn the_count_that_comes_last_says_what_kind_a_histogram_is() {
    let (int, float) = (&b"\x08\x05"[..], &b"\x11\x00\x00\x00\x00\x00\x00\xf0\x3f"[..]);
    for (fields, want) in [([int, float], "Float"), ([float, int], "Int")] {
        let h = fields.concat();
        let len = u8::try_from(h.len()).unwrap();
        let body = [&[0x0a, len + 2, 0x22, len][..], &h].concat();
        let batch = scan(&body).unwrap();
        assert!(format!("{:?}", batch.histograms[0].value).starts_with(want));
    }
}

#[test]
fn a_recycled_batch_keeps_its_buffers_and_nothing_else() {
    let metadata = vec![proto::MetricMetadata::default(); 9];
    let tail = proto::WriteRequest { metadata, ..Default::default() }.encode_to_vec();
    let body = [&GOLDEN.repeat(9)[..], &tail].concat();
    let batch = scan(&body).unwrap();
    let held = batch.heap_bytes();
    let mut next = batch.recycle();
    assert_eq!(next.heap_bytes(), held);
    assert!(next.series.is_empty() && next.metadata.is_empty());
    v1::scan(GOLDEN, &Limits::default(), &mut next).unwrap();
    assert_eq!((next.series.len(), next.times.len(), next.heap_bytes()), (1, 1, held));
    // After an error the batch is empty, not half full.
    let torn = [GOLDEN, &[0x0a]].concat();
    let mut torn_batch = next.recycle();
    v1::scan(&torn, &Limits::default(), &mut torn_batch).unwrap_err();
    assert!(torn_batch.series.is_empty() && torn_batch.times.is_empty());
}
