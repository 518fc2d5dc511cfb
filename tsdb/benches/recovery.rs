//! From kill -9 to the first right answer: writes a fleet through `Db::append`, forgets the
//! database without closing it, opens it again, selects every series and reads every sample.
//!
//! `cargo bench -p tsdb --bench recovery -- [series] [samples] [dir]`; with a directory that exists, only
//! opens it. One line a step: wall and process CPU seconds. With `flush` for a directory, samples are ten
//! minutes apart, another thread does the maintenance, and each scrape tells its slowest answer.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]
#![expect(clippy::cast_precision_loss, reason = "made-up data")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use model::{Accountant, Labels, Queryable as _, Selection, SeriesBuf};
use tsdb::append::{AppendBatch, AppendPolicy, DuplicatePolicy};
use tsdb::fs::std::StdFs;
use tsdb::{Db, DbOptions};

const SERIES_PER_HOST: u32 = 377;
/// Series in one request.
const ROWS: u32 = 2000;
const START_MS: i64 = 1_700_000_000_000 / 7_200_000 * 7_200_000;
const STEP_MS: i64 = 15_000;

const POLICY: AppendPolicy = AppendPolicy {
    duplicates: DuplicatePolicy::Refuse,
    min_time_ms: i64::MIN,
    max_time_ms: i64::MAX,
    wal_mode: None,
};

/// Ten labels, as a host and its exporter have them.
fn labels(n: u32) -> Labels {
    let (host, i) = (n / SERIES_PER_HOST, n % SERIES_PER_HOST);
    Labels::from_pairs([
        ("__name__", format!("node_family_{:02}_seconds_total", i / 8)),
        ("cluster", "production-eu-west-1a".to_owned()),
        ("cpu", (i % 8).to_string()),
        ("datacenter", "dublin-2".to_owned()),
        ("env", "production".to_owned()),
        ("instance", format!("host-{host:04}.example.org:9100")),
        ("job", "integrations/node-exporter".to_owned()),
        ("mode", ["idle", "user", "system", "iowait"][(i % 4) as usize].to_owned()),
        ("region", "eu-west-1".to_owned()),
        ("team", "platform-infrastructure".to_owned()),
    ])
    .unwrap()
}

/// A quarter constant, a third counters, the rest decimals and noise.
fn value(series: u32, scrape: u32) -> f64 {
    let hash = (u64::from(series) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let noise = (hash ^ u64::from(scrape).wrapping_mul(0xbf58_476d_1ce4_e5b9)) >> 40;
    let scrape = u64::from(scrape);
    match hash / 8 % 100 {
        0..25 => (hash % 3) as f64,
        25..35 => (hash % 1000 + scrape / 10) as f64,
        35..54 => (hash % 1_000_000 + scrape * 5000 + noise % 1000) as f64,
        54..66 => (hash % 100_000 + scrape * 1500 + noise % 1500) as f64 / 100.0,
        66..76 => (noise % 1_000_000 * 4096) as f64,
        76..92 => (noise % 50) as f64,
        92..97 => (noise % 10_000) as f64 / 10.0,
        _ => noise as f64 / 16_777_216.0,
    }
}

/// Wall and CPU clock of a step.
struct Step(&'static str, Instant, f64);

impl Step {
    fn begin(name: &'static str) -> Self {
        Self(name, Instant::now(), cpu_seconds())
    }

    fn end(self, what: &str) {
        let (wall, cpu) = (self.1.elapsed().as_secs_f64(), cpu_seconds() - self.2);
        println!("{:>8}: {wall:7.3} s wall {cpu:7.2} s CPU  {what}", self.0);
    }
}

/// User and system time of the process, in hundredths as the kernel tells them.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split(' ').collect();
    (fields[12].parse::<f64>().unwrap() + fields[13].parse::<f64>().unwrap()) / 100.0
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn open(dir: &Path) -> (Db, tsdb::db::OpenReport) {
    let options = DbOptions { memory: Accountant::unlimited(), ..DbOptions::default() };
    Db::open(Arc::new(StdFs), dir, options, &mut |_| {}).unwrap()
}

fn write(dir: &Path, series: u32, samples: u32) {
    let db = open(dir).0;
    let hasher = db.alias_hasher();
    let aliases: Vec<_> = (0..series).map(|n| hasher.hash(0, labels(n).as_bytes())).collect();
    let before = resident_bytes();
    let mut batch = AppendBatch::default();
    let (mut cut, mut checkpoints) = (0_u64, 0);
    for (first, last, name) in [(0, 1, "register"), (1, samples, "append")] {
        let step = Step::begin(name);
        let (mut slowest, mut checkpointing) = (0.0_f64, 0.0);
        for scrape in first..last {
            for from in (0..series).step_by(ROWS as usize) {
                batch.clear();
                for n in from..(from + ROWS).min(series) {
                    let i = batch.push_series(aliases[n as usize]);
                    let phase = i64::from(n / SERIES_PER_HOST * 37) % STEP_MS;
                    let t = START_MS + i64::from(scrape) * STEP_MS + phase;
                    batch.push_sample(i, t, value(n, scrape));
                }
                let began = Instant::now();
                db.append(&batch, &POLICY, &mut |i| Ok(labels(from + i))).unwrap();
                slowest = slowest.max(began.elapsed().as_secs_f64());
            }
            let log = db.stats().wal_bytes;
            let step = cpu_seconds();
            if db.checkpoint_step().unwrap() {
                checkpoints += 1;
                checkpointing += cpu_seconds() - step;
                cut += log;
            }
        }
        step.end(&format!(
            "slowest ack {:.1} ms, {checkpointing:.2} s of it checkpoints",
            slowest * 1e3
        ));
    }
    let stats = db.stats();
    let rows = f64::from(series) * f64::from(samples);
    println!(
        "{:.0} resident bytes a series; bytes a sample: {:.2} of log, {:.2} of {checkpoints} checkpoints; tail {} MB",
        (resident_bytes() - before) as f64 / f64::from(series),
        (cut + stats.wal_bytes) as f64 / rows,
        stats.checkpoint_bytes_written as f64 / rows,
        stats.wal_bytes >> 20,
    );
}

/// Appends across the bounds of blocks while another thread flushes and collects.
fn flush(dir: &Path, series: u32, samples: u32) {
    let db = open(dir).0;
    let hasher = db.alias_hasher();
    let aliases: Vec<_> = (0..series).map(|n| hasher.hash(0, labels(n).as_bytes())).collect();
    let (done, steps) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let began = Instant::now();
                let flushed = db.flush_step().unwrap();
                let middle = Instant::now();
                steps.fetch_add(u32::from(flushed), Ordering::Relaxed);
                db.checkpoint_step().unwrap();
                let collected = db.gc_step();
                if flushed || collected {
                    let (flush, rest) = (middle - began, middle.elapsed());
                    println!("flush and checkpoint {flush:.1?}, collection {rest:.1?}");
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        for scrape in 0..samples {
            let mut answers: Vec<f64> = (0..series)
                .step_by(ROWS as usize)
                .map(|from| {
                    let last = (from + ROWS).min(series);
                    let t = START_MS + i64::from(scrape) * 600_000;
                    let mut batch = AppendBatch::default();
                    for n in from..last {
                        let i = batch.push_series(aliases[n as usize]);
                        batch.push_sample(i, t, value(n, scrape));
                    }
                    let began = Instant::now();
                    db.append(&batch, &POLICY, &mut |i| Ok(labels(from + i))).unwrap();
                    began.elapsed().as_secs_f64() * 1e3
                })
                .collect();
            answers.sort_by(f64::total_cmp);
            let (median, slowest) = (answers[answers.len() / 2], answers[answers.len() - 1]);
            let blocks = steps.load(Ordering::Relaxed);
            println!(
                "scrape {scrape:3}: median {median:6.1} ms, slowest {slowest:6.1} ms, {blocks} blocks"
            );
        }
        done.store(true, Ordering::Relaxed);
    });
}

fn read(dir: &Path) {
    let step = Step::begin("open");
    let (db, report) = open(dir);
    step.end(&format!("{} rows of the log", report.replayed_rows));
    let step = Step::begin("select");
    let set = db.select(&Selection::new(Vec::new(), 0, i64::MAX)).unwrap();
    step.end(&format!("{} series", set.len()));
    let step = Step::begin("read");
    let (mut buf, mut samples) = (SeriesBuf::new(), 0);
    for i in 0..set.len() {
        buf.begin();
        set.read(i, &mut buf).unwrap();
        buf.end();
        samples += buf.times().len();
    }
    step.end(&format!("{samples} samples, {} MB resident", resident_bytes() >> 20));
}

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let series = words.next().map_or(100_000, |n| n.parse().unwrap());
    let samples = words.next().map_or(20, |n| n.parse().unwrap());
    if let Some(dir) = words.next() {
        if dir == "flush" {
            return flush(tempfile::tempdir().unwrap().path(), series, samples);
        }
        let dir = Path::new(&dir);
        if !dir.exists() {
            write(dir, series, samples);
        }
        read(dir);
    } else {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), series, samples);
        read(dir.path());
    }
}
