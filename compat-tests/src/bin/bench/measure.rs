//! One target, measured.

use std::path::Path;
use std::time::{Duration, Instant};

use compat_tests::fleet::{Protocol, Source};
use compat_tests::process::disk_bytes;
use compat_tests::promql::{Answer, Query};

use crate::load::{Load, ask, plain};
use crate::target::{Kind, Target};
use crate::upkeep;

/// Runs of a query, of which the median counts.
const RUNS: usize = 7;
/// Longest wait for a right answer after a start; who has lost samples never gives one.
const RIGHT_LIMIT: Duration = Duration::from_secs(30);
const HOUR_MS: i64 = 3_600_000;
/// The load of a day gets time to be compacted before it is weighed; scrapes are jittered.
const DAY_MS: i64 = 24 * HOUR_MS - 60_000;

/// The figures of a run, in the order of [`Figures::values`]: name and decimals.
pub(crate) const COLUMNS: [(&str, usize); 11] = [
    ("wall s", 2),
    ("CPU s/M", 3),
    ("RSS B/series", 0),
    ("disk B/sample", 2),
    ("of it caches", 2),
    ("rate by mode ms", 2),
    ("p99 ms", 2),
    ("one series ms", 2),
    ("rate, day ms", 1),
    ("restart s", 3),
    ("kill -9 s", 3),
];
/// Where CPU stands in [`COLUMNS`].
pub(crate) const CPU: usize = 1;
/// Where disk stands in [`COLUMNS`].
pub(crate) const DISK: usize = 3;
/// Lookup caches that `VictoriaMetrics` saves when it stops; mostly of a fixed size.
const CACHES: usize = 4;
const QUERIES: usize = 5;
const RESTART: usize = 9;
const KILL: usize = 10;

/// What one run measured; all figures are less the better.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    /// The target.
    pub(crate) kind: Kind,
    /// How it was loaded.
    pub(crate) protocol: Protocol,
    /// In the order of [`COLUMNS`]; `None` where it was not measured.
    pub(crate) values: [Option<f64>; COLUMNS.len()],
    /// Answers to the queries.
    pub(crate) answers: Vec<Option<Answer>>,
    /// Whether its samples are those sent, in words.
    pub(crate) truth: Result<String, String>,
    /// The line in which it says its version.
    pub(crate) version: String,
    /// What it says about its upkeep.
    pub(crate) upkeep: Option<String>,
}

impl Figures {
    /// Target and protocol.
    pub(crate) fn name(&self) -> String {
        let protocol = if self.protocol == Protocol::Lines { "lines" } else { "remote write" };
        format!("{}, {protocol}", self.kind.name())
    }
}

/// The queries of a load, in the order of [`COLUMNS`]. What came as lines is named by fields, so that
/// only the last one means the same.
pub(crate) fn queries(load: &Load, protocol: Protocol) -> [Option<Query>; 4] {
    let end = load.end_ms;
    let two_hours = |expr| Query::range(expr, end - 2 * HOUR_MS, end, 60_000);
    let rate = "sum by (mode) (rate(node_cpu_seconds_total[5m]))";
    let p99 =
        "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))";
    let generated = matches!(load.source, Source::Generated { .. });
    let load_1 = if generated { "node_load_1" } else { "node_load1" };
    let one = format!("{load_1}{{instance=\"host-0000.example.org:9100\"}}");
    let messages = protocol == Protocol::RemoteWrite;
    let has_day = load.length_ms() >= 24 * HOUR_MS;
    [
        messages.then(|| two_hours(rate)),
        (messages && generated).then(|| two_hours(p99)),
        Some(Query::at(&one, end)),
        (messages && has_day).then(|| Query::range(rate, end - 24 * HOUR_MS, end, 60_000)),
    ]
}

/// Loads a new target and measures it; `None` when it is not installed.
pub(crate) fn measure(kind: Kind, protocol: Protocol, load: &Load, crash: bool) -> Option<Figures> {
    let mut target = Target::start(kind)?;
    let mut values = [None; COLUMNS.len()];
    #[expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]
    let (samples, series) = (load.num_samples() as f64, load.num_series() as f64);
    let idle_bytes = target.process().resident_bytes();
    let cpu_before = target.process().cpu_seconds();
    let began = Instant::now();
    load.send(|| target.client(), protocol);
    values[0] = Some(began.elapsed().as_secs_f64());
    // What a server put off until after its answers belongs to its figure.
    std::thread::sleep(Duration::from_secs(6));
    values[CPU] = Some((target.process().cpu_seconds() - cpu_before) / (samples / 1e6));
    let grown = target.process().resident_bytes().saturating_sub(idle_bytes);
    #[expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]
    let grown = grown as f64;
    values[2] = Some(grown / series);

    let queries = queries(load, protocol);
    let mut client = target.client();
    let mut answers = Vec::new();
    for (i, query) in queries.iter().enumerate() {
        let answer = query.as_ref().map(|query| {
            let mut times = Vec::with_capacity(RUNS);
            let mut last = None;
            for _ in 0..RUNS {
                let began = Instant::now();
                last = ask(&mut client, query);
                times.push(began.elapsed().as_secs_f64() * 1e3);
            }
            values[QUERIES + i] = Some(median(times));
            plain(&last.unwrap_or_else(|| panic!("{}: no answer to {query}", kind.name())))
        });
        answers.push(answer);
    }
    if load.length_ms() >= DAY_MS {
        upkeep::settle(&target);
    }
    let told = upkeep::told(&target, samples);
    target.stop();
    #[expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]
    let on_disk = |path: &Path| disk_bytes(path) as f64 / samples;
    let dir = target.data_dir();
    values[DISK] = Some(on_disk(&dir));
    values[CACHES] = Some(on_disk(&dir.join("cache")));
    let upkeep = told.map(|told| format!("{told}; {}", upkeep::by_file(&dir, samples)));
    let version = target.version();
    let mut asked = queries.iter().zip(&answers);
    let first = asked.find_map(|(q, a)| Some((q.as_ref()?, a.as_ref()?)));
    let (query, want) = first.expect("the third query is always asked");
    values[RESTART] = Some(time_to_right(&mut target, query, want));
    // Only now, because it fills the caches that a peer keeps on disk.
    let truth = load.verify(&mut target.client(), protocol);
    if crash && protocol == Protocol::RemoteWrite {
        drop(target);
        target = Target::start(kind)?;
        load.send(|| target.client(), protocol);
        target.kill();
        let passed = time_to_right(&mut target, query, want);
        values[KILL] = Some(passed);
        if kind == Kind::Silverback {
            assert!(passed.is_finite(), "no right answer after kill -9");
            let held = load.verify(&mut target.client(), protocol);
            held.unwrap_or_else(|why| panic!("after kill -9: {why}"));
        }
    }
    Some(Figures { kind, protocol, values, answers, truth, version, upkeep })
}

/// Seconds from the start of a stopped target to the first time its answer is `want`; infinity
/// when it never is.
fn time_to_right(target: &mut Target, query: &Query, want: &Answer) -> f64 {
    let began = Instant::now();
    target.spawn();
    let mut client = target.client();
    while began.elapsed() < RIGHT_LIMIT {
        if let Some(answer) = ask(&mut client, query) {
            let passed = began.elapsed().as_secs_f64();
            if plain(&answer).same_as(want).is_ok() {
                return passed;
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    f64::INFINITY
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
