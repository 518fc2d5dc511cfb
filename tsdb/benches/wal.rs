//! The log on records of 2000 rows, one scrape of a mix of counters and gauges each: encoding,
//! decoding, and the way to the disk without a sync.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]
#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "made-up data")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tsdb::fs::std::StdFs;
use tsdb::wal::record::{Record, Rows, SeriesRef};
use tsdb::wal::{Position, Wal, WalMode, WalOptions};

const ROWS: u64 = 2000;

/// Shares as measured on exporters of hosts and containers: a quarter constant, 29 % integer
/// counters, 13 % seconds, the rest gauges, buckets and sums.
fn value(series: u64, scrape: u64) -> f64 {
    let hash = (series + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let noise = (hash ^ scrape.wrapping_mul(0xbf58_476d_1ce4_e5b9)).wrapping_mul(hash | 1) >> 32;
    let size = 10_u64.pow((hash % 8) as u32);
    match hash / 8 % 1000 {
        0..250 => (hash % 3) as f64,
        250..350 => (size / 100 + scrape / 10) as f64,
        350..540 => (size * 100 + scrape * size / 50 + noise % 1000) as f64,
        540..620 => (size * 10 + scrape * 1500 + noise % 1500) as f64 / 100.0,
        620..670 => (size as f64 * 1e9 + scrape as f64 * 1e9 + noise as f64) / 1e9,
        670..770 => (noise % 1_000_000 * 4096) as f64,
        770..840 => (noise % 50) as f64,
        840..890 => (noise % 10_000) as f64 / 10.0,
        890..960 => (size + series % 12 * 40 + scrape * 3) as f64,
        _ => noise as f64 / 4_294_967_296.0 * size as f64,
    }
}

fn scrapes(n: u64) -> Vec<Record> {
    let scrape = |n: u64| Record {
        in_order: Rows {
            refs: (1..=ROWS).map(SeriesRef).collect(),
            times: vec![1_700_000_000_000 + n.cast_signed() * 15_000; ROWS as usize],
            values: (0..ROWS).map(|series| value(series, n)).collect(),
        },
        ..Record::default()
    };
    (0..n).map(scrape).collect()
}

fn bench(c: &mut Criterion) {
    let records = scrapes(50);
    let payloads: Vec<Vec<u8>> = records
        .iter()
        .map(|record| {
            let mut out = Vec::new();
            record.encode(&mut out);
            out
        })
        .collect();
    let bytes: usize = payloads.iter().map(Vec::len).sum();
    println!("bytes per row: {:.3}", bytes as f64 / (50 * ROWS) as f64);

    let mut group = c.benchmark_group("wal");
    group.throughput(Throughput::Elements(ROWS));
    let mut at = 0;
    let mut next = move || {
        at = (at + 1) % 50;
        at
    };
    group.bench_function("encode", |b| {
        let mut out = Vec::new();
        b.iter(|| {
            out.clear();
            records[next()].encode(&mut out);
            black_box(out.len())
        });
    });
    group.bench_function("decode", |b| {
        b.iter(|| Record::decode(black_box(&payloads[next()])).unwrap());
    });
    for (name, mode) in
        [("encode_enqueue_write", WalMode::OsDefault), ("encode_enqueue_sync", WalMode::EveryWrite)]
    {
        let dir = tempfile::tempdir().unwrap();
        let options = WalOptions { mode, ..WalOptions::new(dir.path()) };
        let (wal, _) =
            Wal::open(Arc::new(StdFs), options, Position::START, &mut |_, _| Ok(())).unwrap();
        let mut written = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut payload = Vec::with_capacity(10 * ROWS as usize);
                let reservation = wal.reserve(payload.capacity()).unwrap();
                records[next()].encode(&mut payload);
                let seq = wal.enqueue(reservation, payload);
                wal.commit(seq, mode).unwrap();
                written += 1;
                if written % 10_000 == 0 {
                    wal.remove_before(wal.cut().unwrap().segment).unwrap();
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
