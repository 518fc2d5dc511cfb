//! Bodies of real senders, each against what it must decode to.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use model::{HistogramValue, IntHistogram, Span};
use remote::labels::LabelLimits;
use remote::v1::{self, WriteBatch};
use remote::{histogram, snappy};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Expected {
    series: Vec<Series>,
    metadata: Vec<Metadata>,
}

#[derive(Deserialize)]
struct Series {
    labels: BTreeMap<String, String>,
    samples: Vec<(i64, Bits)>,
    histograms: Vec<Histogram>,
    exemplars: Vec<Exemplar>,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Exemplar {
    labels: BTreeMap<String, String>,
    t_ms: i64,
    value: Bits,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Metadata {
    #[serde(rename = "type")]
    kind: i32,
    family: String,
    help: String,
    unit: String,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Histogram {
    t_ms: i64,
    hint: u32,
    schema: i32,
    zero_threshold: Bits,
    zero_count: u64,
    count: u64,
    sum: Bits,
    positive_spans: Vec<(i32, u32)>,
    negative_spans: Vec<(i32, u32)>,
    positive_deltas: Vec<i64>,
    negative_deltas: Vec<i64>,
    custom_values: Vec<Bits>,
}

/// A float as hexadecimal bits.
#[derive(Deserialize, Debug, PartialEq)]
struct Bits(String);

impl From<f64> for Bits {
    fn from(v: f64) -> Self {
        Self(format!("{:016x}", v.to_bits()))
    }
}

fn map(labels: &model::Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

fn int(t_ms: i64, h: &IntHistogram) -> Histogram {
    let spans = |spans: &[Span]| spans.iter().map(|s| (s.offset, s.length)).collect();
    Histogram {
        t_ms,
        hint: h.hint as u32,
        schema: h.schema,
        zero_threshold: h.zero_threshold.into(),
        zero_count: h.zero_count,
        count: h.count,
        sum: h.sum.into(),
        positive_spans: spans(&h.positive_spans),
        negative_spans: spans(&h.negative_spans),
        positive_deltas: h.positive_deltas.clone(),
        negative_deltas: h.negative_deltas.clone(),
        custom_values: h.custom_values.iter().map(|v| (*v).into()).collect(),
    }
}

/// Decodes `wire`, holds it against `expected`, and returns what [`histogram::admit`] says of each
/// histogram.
fn check(wire: &[u8], expected: &str) -> Vec<Result<(), String>> {
    let mut body = Vec::new();
    snappy::decompress(wire, 32 << 20, &mut body).unwrap();
    let mut batch = WriteBatch::new();
    v1::scan(&body, &v1::Limits::default(), &mut batch).unwrap();
    let expected: Expected = serde_json::from_str(expected).unwrap();

    assert_eq!(batch.series.len(), expected.series.len());
    let mut judged = Vec::new();
    for (i, (row, want)) in batch.series.iter().zip(&expected.series).enumerate() {
        let labels = v1::parse_labels(batch.raw_labels(row), &LabelLimits::default()).unwrap();
        assert_eq!(map(&labels), want.labels);
        let samples: Vec<(i64, Bits)> =
            row.samples().map(|i| (batch.times[i], batch.values[i].into())).collect();
        assert_eq!(samples, want.samples, "{labels}");

        let mut histograms = Vec::new();
        for row in batch.histograms.iter().filter(|row| row.series as usize == i) {
            let HistogramValue::Int(h) = &row.value else { panic!("{:?}", row.value) };
            histograms.push(int(row.t_ms, h));
            judged.push(histogram::admit(row.value.clone()).map(|_| ()).map_err(|e| e.to_string()));
        }
        assert_eq!(histograms, want.histograms, "{labels}");

        let exemplars: Vec<Exemplar> = batch
            .exemplars
            .iter()
            .filter(|row| row.series as usize == i)
            .map(|row| {
                let raw = batch.exemplar_labels(row);
                let labels = v1::parse_exemplar_labels(raw, &LabelLimits::default()).unwrap();
                Exemplar { labels: map(&labels), t_ms: row.t_ms, value: row.value.into() }
            })
            .collect();
        assert_eq!(exemplars, want.exemplars, "{labels}");
    }
    let metadata: Vec<Metadata> = batch
        .metadata
        .iter()
        .map(|row| Metadata {
            kind: row.kind.number(),
            family: row.family.to_owned(),
            help: row.help.to_owned(),
            unit: row.unit.to_owned(),
        })
        .collect();
    assert_eq!(metadata, expected.metadata);
    judged
}

macro_rules! recorded {
    ($name:literal) => {
        check(
            include_bytes!(concat!("recorded/", $name, ".bin")),
            include_str!(concat!("recorded/", $name, ".json")),
        )
    };
}

#[test]
fn a_scrape_by_prometheus() {
    // Prometheus 3.5 leaves out the bounds of custom buckets, without which they mean nothing.
    assert_eq!(
        recorded!("prometheus-3.5.3-scrape"),
        [Err("custom buckets: only 0 custom bounds defined which is insufficient to cover total \
              span length of 3: histogram custom bounds are too few"
            .to_owned())]
    );
}

#[test]
fn metadata_by_prometheus() {
    assert_eq!(recorded!("prometheus-3.5.3-metadata"), []);
}

#[test]
fn native_histograms_by_prometheus() {
    assert_eq!(recorded!("prometheus-3.5.3-native-histograms"), vec![Ok(()); 5]);
}

#[test]
fn a_stale_marker_and_metadata_by_vmagent() {
    assert_eq!(recorded!("vmagent-1.145.0-stale"), []);
}
