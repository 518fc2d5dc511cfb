//! Decoding of a request as agents send it: 2000 series of ten labels with one sample each.
#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message as _;
use remote::labels::LabelLimits;
use remote::v1::{self, Limits, WriteBatch};
use remote::{proto, snappy};
use std::hint::black_box;

const SERIES: u32 = 2000;

fn request() -> proto::WriteRequest {
    let series = |i: u32| {
        let labels = [
            ("__name__", "node_cpu_seconds_total".to_owned()),
            ("cluster", "production-eu-west-1".to_owned()),
            ("container", "node-exporter".to_owned()),
            ("cpu", (i % 64).to_string()),
            ("instance", format!("10.0.{}.{}:9100", i / 640, i / 64 % 250)),
            ("job", "monitoring/node-exporter".to_owned()),
            (
                "mode",
                ["idle", "iowait", "irq", "nice", "system", "user"][i as usize % 6].to_owned(),
            ),
            ("namespace", "monitoring".to_owned()),
            ("pod", format!("node-exporter-{:05x}", i.wrapping_mul(2_654_435_761) >> 12)),
            ("service", "kube-prometheus-stack-node-exporter".to_owned()),
        ];
        proto::TimeSeries {
            labels: labels
                .map(|(name, value)| proto::Label { name: name.to_owned(), value })
                .to_vec(),
            samples: vec![proto::Sample {
                value: f64::from(i) * 15.25,
                timestamp: 1_700_000_000_000 + i64::from(i % 7),
            }],
            ..Default::default()
        }
    };
    proto::WriteRequest { timeseries: (0..SERIES).map(series).collect(), metadata: vec![] }
}

fn v1(c: &mut Criterion) {
    let body = request().encode_to_vec();
    let wire = snappy::compress(&body);
    let mut group = c.benchmark_group("v1");
    group.throughput(Throughput::Elements(u64::from(SERIES)));

    let mut out = Vec::new();
    group.bench_function("snappy", |b| {
        b.iter(|| snappy::decompress(black_box(&wire), 32 << 20, &mut out));
    });

    let mut batch = WriteBatch::new();
    group.bench_function("scan", |b| {
        b.iter(|| {
            v1::scan(black_box(&body), &Limits::default(), &mut batch).unwrap();
            batch.series.len()
        });
    });

    group.bench_function("prost", |b| {
        b.iter_batched(
            || (),
            |()| proto::WriteRequest::decode(black_box(&body[..])).unwrap(),
            BatchSize::SmallInput,
        );
    });

    let limits = LabelLimits::default();
    group.bench_function("parse_labels", |b| {
        b.iter(|| {
            for row in &batch.series {
                black_box(v1::parse_labels(batch.raw_labels(row), &limits).unwrap());
            }
        });
    });
    group.finish();
}

criterion_group!(benches, v1);
criterion_main!(benches);
