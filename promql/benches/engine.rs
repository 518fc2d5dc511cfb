//! The headline query over series in memory: what the engine costs without a codec.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::Labels;
use promql::engine::{Engine, QueryContext};
use promql::test_storage::TestStorage;

const HOSTS: u32 = 100;
const MODES: [&str; 8] = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
const CPUS: u32 = 8;
const SCRAPES: i64 = 480;
const SCRAPE_MS: i64 = 15_000;
const END_MS: i64 = SCRAPES * SCRAPE_MS;

/// 6400 counters of 480 samples; the hosts are scraped at times of their own.
fn storage() -> TestStorage {
    let mut storage = TestStorage::new();
    for host in 0..HOSTS {
        for cpu in 0..CPUS {
            for (m, mode) in (0_u32..).zip(MODES) {
                let labels = Labels::from_pairs([
                    ("__name__", "node_cpu_seconds_total"),
                    ("cpu", &cpu.to_string()),
                    ("instance", &format!("host-{host:03}:9100")),
                    ("job", "node"),
                    ("mode", mode),
                ])
                .expect("the names differ");
                let mut v = f64::from(host * 100 + cpu);
                for scrape in 0..SCRAPES {
                    let t_ms = scrape * SCRAPE_MS + i64::from(host) * 37 % 500;
                    v += f64::from((m + 1) * (host % 7 + 1)) * 0.37;
                    storage.append(&labels, t_ms, v).expect("times increase");
                }
            }
        }
    }
    storage
}

fn queries(c: &mut Criterion) {
    let storage = storage();
    let engine = Engine::default();
    let context = QueryContext::default();
    let mut group = c.benchmark_group("6400 series x 480, 2 h, step 60 s");
    group.sample_size(20);
    let samples = u64::from(HOSTS * CPUS) * MODES.len() as u64 * SCRAPES.unsigned_abs();
    group.throughput(Throughput::Elements(samples));
    for query in [
        "sum by (mode) (rate(node_cpu_seconds_total[5m]))",
        "sum by (mode) (node_cpu_seconds_total)",
        "max by (mode) (max_over_time(node_cpu_seconds_total[5m]))",
        "sum by (instance) (avg_over_time(node_cpu_seconds_total[5m]))",
        "node_cpu_seconds_total / on (instance, cpu) group_left \
         sum by (instance, cpu) (node_cpu_seconds_total)",
        "topk by (mode) (3, rate(node_cpu_seconds_total[5m]))",
    ] {
        group.bench_function(query, |b| {
            b.iter(|| {
                engine.range(&storage, query, (0, END_MS, 60_000), &context).expect("it evaluates")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, queries);
criterion_main!(benches);
