//! The scan against `prost`, over messages that a writer of the worst manners has encoded.

use model::{FloatHistogram, HistogramValue, IntHistogram, MetricType, Span};
use proptest::{collection::vec, prelude::*};
use prost::Message as _;
use remote::error::{DecodeError, Malformed};
use remote::histogram::admit;
use remote::proto::{self, histogram::Count, histogram::ZeroCount};
use remote::v1::{self, Limits, WriteBatch};

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

// --- what a batch must hold, as a message ---

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

// --- random messages ---

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

fn request() -> impl Strategy<Value = proto::WriteRequest> {
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

// --- a writer that uses every freedom of the wire format ---

/// Encoded fields by field number; a number's own order is kept, all else is shuffled.
struct Fields(Vec<Vec<Vec<u8>>>);

struct Writer {
    state: u64,
}

impl Writer {
    /// Splitmix64.
    fn below(&mut self, n: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn rarely(&mut self) -> bool {
        self.below(8) == 0
    }

    /// A varint, sometimes longer than it must be.
    fn varint(&mut self, mut v: u64, out: &mut Vec<u8>) {
        let pad = if self.rarely() { self.below(3) } else { 0 };
        let start = out.len();
        loop {
            let byte = u8::try_from(v & 0x7f).unwrap();
            v >>= 7;
            if v == 0 {
                out.push(byte);
                break;
            }
            out.push(byte | 0x80);
        }
        for _ in 0..pad {
            // A varint has at most ten bytes.
            if out.len() - start < 10 {
                *out.last_mut().unwrap() |= 0x80;
                out.push(0);
            }
        }
    }

    fn field(&mut self, number: u32, wire: u32, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.varint(u64::from(number << 3 | wire), &mut out);
        if wire == 2 {
            self.varint(value.len() as u64, &mut out);
        }
        out.extend_from_slice(value);
        out
    }

    fn int(&mut self, number: u32, v: u64) -> Vec<u8> {
        let mut value = Vec::new();
        self.varint(v, &mut value);
        self.field(number, 0, &value)
    }

    /// A scalar that may come twice, of which the last counts.
    fn ints(&mut self, number: u32, v: u64) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        if self.rarely() {
            let wrong = self.below(1 << 40);
            out.push(self.int(number, wrong));
        }
        out.push(self.int(number, v));
        out
    }

    fn doubles(&mut self, number: u32, v: f64) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        if self.rarely() {
            out.push(self.field(number, 1, &1e9_f64.to_le_bytes()));
        }
        out.push(self.field(number, 1, &v.to_le_bytes()));
        out
    }

    /// Repeated scalars in packed and unpacked runs.
    fn repeated(&mut self, number: u32, wire: u32, values: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut rest = values;
        while !rest.is_empty() {
            let n = usize::try_from(self.below(rest.len() as u64 + 1)).unwrap();
            let (run, after) = rest.split_at(n.max(1));
            rest = after;
            if n == 0 {
                out.push(self.field(number, wire, &run[0]));
            } else {
                out.push(self.field(number, 2, &run.concat()));
            }
        }
        if self.rarely() {
            out.push(self.field(number, 2, &[]));
        }
        out
    }

    fn zigzags(&mut self, number: u32, values: &[i64]) -> Vec<Vec<u8>> {
        let mut coded = Vec::new();
        for v in values {
            let mut out = Vec::new();
            self.varint(((v << 1) ^ (v >> 63)).cast_unsigned(), &mut out);
            coded.push(out);
        }
        self.repeated(number, 0, &coded)
    }

    fn floats(&mut self, number: u32, values: &[f64]) -> Vec<Vec<u8>> {
        let coded: Vec<Vec<u8>> = values.iter().map(|v| v.to_le_bytes().to_vec()).collect();
        self.repeated(number, 1, &coded)
    }

    /// A field that no message has, of any wire type.
    fn unknown(&mut self) -> Vec<u8> {
        let number = 17 + u32::try_from(self.below(1 << 20)).unwrap();
        match self.below(5) {
            0 => self.int(number, u64::MAX),
            1 => self.field(number, 1, &[0xff; 8]),
            2 => self.field(number, 2, b"\x0a\x05whatever"),
            3 => {
                let mut out = self.field(number, 3, &[]);
                out.extend(self.int(1, 7));
                out.extend(self.field(2, 2, b"in a group"));
                out.extend(self.field(number, 4, &[]));
                out
            }
            _ => self.field(number, 5, &[0xff; 4]),
        }
    }

    /// Joins the fields of a message: in order as real writers do, or shuffled among the numbers.
    fn message(&mut self, Fields(mut columns): Fields) -> Vec<u8> {
        let mut out = Vec::new();
        let shuffled = self.below(3) == 0;
        for column in &mut columns {
            column.reverse();
        }
        loop {
            if self.rarely() {
                out.extend(self.unknown());
            }
            columns.retain(|column| !column.is_empty());
            let Some(last) = columns.len().checked_sub(1) else { return out };
            let at = if shuffled { self.below(last as u64 + 1) } else { 0 };
            out.extend(columns[usize::try_from(at).unwrap()].pop().unwrap());
        }
    }

    fn nested<T>(
        &mut self,
        number: u32,
        values: &[T],
        one: impl Fn(&mut Self, &T) -> Vec<u8>,
    ) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for value in values {
            let message = one(self, value);
            out.push(self.field(number, 2, &message));
        }
        out
    }

    fn label(&mut self, label: &proto::Label) -> Vec<u8> {
        let name = vec![self.field(1, 2, label.name.as_bytes())];
        let value = vec![self.field(2, 2, label.value.as_bytes())];
        self.message(Fields(vec![name, value]))
    }

    fn sample(&mut self, sample: &proto::Sample) -> Vec<u8> {
        let value = self.doubles(1, sample.value);
        let time = self.ints(2, sample.timestamp.cast_unsigned());
        self.message(Fields(vec![value, time]))
    }

    fn exemplar(&mut self, exemplar: &proto::Exemplar) -> Vec<u8> {
        let labels = self.nested(1, &exemplar.labels, Self::label);
        let value = self.doubles(2, exemplar.value);
        let time = self.ints(3, exemplar.timestamp.cast_unsigned());
        self.message(Fields(vec![labels, value, time]))
    }

    fn span(&mut self, span: &proto::BucketSpan) -> Vec<u8> {
        let zigzag = ((span.offset << 1) ^ (span.offset >> 31)).cast_unsigned();
        let offset = self.ints(1, u64::from(zigzag));
        let length = self.ints(2, u64::from(span.length));
        self.message(Fields(vec![offset, length]))
    }

    fn histogram(&mut self, h: &proto::Histogram) -> Vec<u8> {
        let count = match h.count.unwrap() {
            Count::CountInt(n) => self.ints(1, n),
            Count::CountFloat(x) => self.doubles(2, x),
        };
        let zero_count = match h.zero_count.unwrap() {
            ZeroCount::ZeroCountInt(n) => self.ints(6, n),
            ZeroCount::ZeroCountFloat(x) => self.doubles(7, x),
        };
        let zigzag = ((h.schema << 1) ^ (h.schema >> 31)).cast_unsigned();
        let columns = vec![
            count,
            self.doubles(3, h.sum),
            self.ints(4, u64::from(zigzag)),
            self.doubles(5, h.zero_threshold),
            zero_count,
            self.nested(8, &h.negative_spans, Self::span),
            self.zigzags(9, &h.negative_deltas),
            self.floats(10, &h.negative_counts),
            self.nested(11, &h.positive_spans, Self::span),
            self.zigzags(12, &h.positive_deltas),
            self.floats(13, &h.positive_counts),
            self.ints(14, u64::from(h.reset_hint.cast_unsigned())),
            self.ints(15, h.timestamp.cast_unsigned()),
            self.floats(16, &h.custom_values),
        ];
        self.message(Fields(columns))
    }

    fn series(&mut self, series: &proto::TimeSeries) -> Vec<u8> {
        let columns = vec![
            self.nested(1, &series.labels, Self::label),
            self.nested(2, &series.samples, Self::sample),
            self.nested(3, &series.exemplars, Self::exemplar),
            self.nested(4, &series.histograms, Self::histogram),
        ];
        self.message(Fields(columns))
    }

    fn metadata(&mut self, m: &proto::MetricMetadata) -> Vec<u8> {
        let columns = vec![
            self.ints(1, u64::from(m.r#type.cast_unsigned())),
            vec![self.field(2, 2, m.metric_family_name.as_bytes())],
            vec![self.field(4, 2, m.help.as_bytes())],
            vec![self.field(5, 2, m.unit.as_bytes())],
        ];
        self.message(Fields(columns))
    }

    fn request(&mut self, request: &proto::WriteRequest) -> Vec<u8> {
        let columns = vec![
            self.nested(1, &request.timeseries, Self::series),
            self.nested(3, &request.metadata, Self::metadata),
        ];
        self.message(Fields(columns))
    }
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
