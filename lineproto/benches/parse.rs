//! Lines as Telegraf sends them: 289 bytes and 8.8 fields on average.

use std::{fmt::Write as _, hint::black_box};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lineproto::{EmptyTags, Lines, Precision};

/// Batches of cpu, disk and net lines, from a seeded generator.
fn telegraf_body() -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut body = String::new();
    for i in 0..6000_u64 {
        let time = 1_700_000_000_000_000_000 + (i / 60) * 10_000_000_000;
        let host = format!("host=web-{:03}.prod.example.com,region=eu-west-1", i % 50);
        let line = match i % 3 {
            0 => {
                let names = [
                    "user",
                    "system",
                    "idle",
                    "nice",
                    "iowait",
                    "irq",
                    "softirq",
                    "steal",
                    "guest",
                    "guest_nice",
                ];
                let fields: Vec<_> = names
                    .map(|name| match random(4) {
                        0 => format!("usage_{name}=0"),
                        _ => format!(
                            "usage_{name}={}",
                            f64::from(u32::try_from(random(100_000_000)).expect("below 2^32"))
                                / 997_000.0
                        ),
                    })
                    .into();
                format!("cpu,cpu=cpu{},{host} {} {time}", i % 16, fields.join(","))
            }
            1 => format!(
                "disk,device=nvme0n1p{},fstype=ext4,{host},mode=rw,path=/var/lib/data{} \
                 free={}i,inodes_free={}i,inodes_total=26214400i,inodes_used={}i,total=422621847552i,\
                 used={}i,used_percent={} {time}",
                i % 4,
                i % 7,
                random(1 << 38),
                random(1 << 24),
                random(1 << 22),
                random(1 << 38),
                f64::from(u32::try_from(random(1_000_000_000)).expect("below 2^32")) / 1e7,
            ),
            _ => format!(
                "net,{host},interface=eth{} bytes_recv={}i,bytes_sent={}i,drop_in={}i,drop_out=0i,\
                 err_in=0i,err_out=0i,packets_recv={}i,packets_sent={}i,speed=10000i {time}",
                i % 3,
                random(1 << 42),
                random(1 << 42),
                random(1000),
                random(1 << 34),
                random(1 << 34),
            ),
        };
        writeln!(body, "{line}").expect("a String takes all");
    }
    body
}

fn parse(c: &mut Criterion) {
    let body = telegraf_body();
    let mut group = c.benchmark_group("telegraf");
    group.throughput(Throughput::Bytes(body.len() as u64));
    for (name, series) in [("lines", false), ("lines_and_series", true)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut sum = 0.0;
                let mut lines = Lines::new(black_box(body.as_bytes()), Precision::Nanosecond);
                while let Some(line) = lines.next_line() {
                    let line = line.expect("the generator writes good lines");
                    sum += line.fields().iter().filter_map(|f| f.value.as_sample()).sum::<f64>();
                    if series {
                        let series = line.series(EmptyTags::Refuse).expect("a good key");
                        sum += f64::from(u8::from(series.measurement().is_empty()));
                    }
                }
                sum
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
