//! Figures: the same fleet into the server and its peers, side by side.
//!
//! `cargo run --release -p compat-tests --bin bench -- --hosts 20 --scrapes 480 --json FILE`
//!
//! CPU is the server process's own (`/proc/<pid>/stat`), disk is `du` after SIGTERM with the log
//! included, query times are medians of seven runs over one connection, with the peers' caches off.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use compat_tests::fleet::{Fleet, STEP_MS};
use compat_tests::http::{Client, form};
use compat_tests::peers::Peer;
use compat_tests::process::{Process, disk_bytes};
use compat_tests::promql::{Answer, Data, seconds};
use compat_tests::remote_write;
use compat_tests::report::Table;
use compat_tests::rng::now_ms;
use compat_tests::server::Server;
use serde_json::{Value, json};

/// Samples of a request.
const BATCH: usize = 2_000;
/// Runs of a query, of which the median counts.
const RUNS: usize = 7;

/// Range queries over the last two hours, step 60 s.
const QUERIES: [(&str, &str); 3] = [
    ("rate by mode", "sum by (mode) (rate(node_cpu_seconds_total[5m]))"),
    (
        "p99",
        "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    ),
    ("one series", "node_memory_bytes_3{instance=\"host-0001.example.org:9100\"}"),
];

#[derive(Debug, Clone)]
struct Options {
    seed: u64,
    hosts: usize,
    scrapes: usize,
    connections: usize,
    json: Option<PathBuf>,
}

impl Options {
    fn parse() -> Result<Self, String> {
        let mut options = Self { seed: 1, hosts: 20, scrapes: 480, connections: 2, json: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse().map_err(|_| format!("{name}: {value} is no number"));
            match name.as_str() {
                "--seed" => options.seed = value.parse().map_err(|_| format!("{name}: {value}"))?,
                "--hosts" => options.hosts = number()?,
                "--scrapes" => options.scrapes = number()?,
                "--connections" => options.connections = number()?,
                "--json" => options.json = Some(value.into()),
                _ => {
                    return Err(format!(
                        "{name}: want --seed, --hosts, --scrapes, --connections or --json"
                    ));
                }
            }
        }
        if options.hosts == 0 || options.scrapes == 0 || options.connections == 0 {
            return Err("hosts, scrapes and connections are at least 1".to_owned());
        }
        options.connections = options.connections.min(options.hosts);
        Ok(options)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    RemoteWrite,
    Lines,
}

/// A server in the comparison.
enum Target {
    Ours(Server),
    Peer(Peer),
}

impl Target {
    fn client(&self) -> Client {
        match self {
            Self::Ours(server) => server.client(),
            Self::Peer(peer) => peer.client(),
        }
    }

    fn process(&self) -> &Process {
        match self {
            Self::Ours(server) => server.process(),
            Self::Peer(peer) => peer.process(),
        }
    }

    fn data_dir(&self) -> PathBuf {
        match self {
            Self::Ours(server) => server.data_dir(),
            Self::Peer(peer) => peer.data_dir(),
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Ours(server) => server.stop(),
            Self::Peer(peer) => peer.stop(),
        }
    }
}

/// What one run measured.
struct Figures {
    name: String,
    samples: u64,
    series: u64,
    wall_s: f64,
    cpu_s: f64,
    idle_bytes: u64,
    resident_bytes: u64,
    disk_bytes: u64,
    query_ms: Vec<f64>,
    answers: Vec<Answer>,
    /// Seconds until the first query is right after SIGTERM, for the server alone.
    ready_s: Option<f64>,
}

fn load(target: &Target, protocol: Protocol, options: &Options, start_ms: i64) -> u64 {
    let share = options.hosts.div_ceil(options.connections);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..options.hosts)
            .step_by(share)
            .map(|first| {
                let count = share.min(options.hosts - first);
                let mut fleet = Fleet::new(options.seed, first, count, start_ms);
                let mut client = target.client();
                scope.spawn(move || {
                    let mut sent = 0;
                    for _ in 0..options.scrapes {
                        fleet.scrape();
                        sent += send(&fleet, protocol, &mut client);
                    }
                    sent
                })
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().expect("a sender ends")).sum()
    })
}

fn send(fleet: &Fleet, protocol: Protocol, client: &mut Client) -> u64 {
    let mut sent = 0;
    let mut note = |answer: std::io::Result<compat_tests::http::Response>, count: usize| {
        let answer = answer.expect("the server answers");
        assert_eq!(answer.status, 204, "{}", answer.brief());
        sent += count as u64;
    };
    match protocol {
        Protocol::RemoteWrite => fleet.remote_write(BATCH, |body, count| {
            note(remote_write::send(client, &remote_write::compress(body)), count);
        }),
        Protocol::Lines => fleet.lines(BATCH, |body, count| {
            note(client.post("/write?db=fleet", body.as_bytes()), count);
        }),
    }
    sent
}

/// The median time of the query in ms, and its answer.
fn ask(client: &mut Client, expr: &str, end_ms: i64) -> (f64, Answer) {
    let (start, end) = (seconds(end_ms - 7_200_000), seconds(end_ms));
    let body = form(&[
        ("query", expr),
        ("start", &start),
        ("end", &end),
        ("step", "60"),
        ("nocache", "1"),
    ]);
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..RUNS {
        let began = Instant::now();
        let answer = client.send("POST", "/api/v1/query_range", &kind, body.as_bytes());
        let answer = answer.expect("the server answers");
        times.push(began.elapsed().as_secs_f64() * 1e3);
        last = Some(answer);
    }
    times.sort_by(f64::total_cmp);
    let answer = Answer::parse(&last.expect("at least one run")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(answer.status, 200, "{expr}: {}", answer.error);
    (times[RUNS / 2], answer)
}

fn measure(
    name: &str,
    mut target: Target,
    protocol: Protocol,
    options: &Options,
    end_ms: i64,
) -> Figures {
    let length_ms = i64::try_from(options.scrapes).expect("few scrapes") * STEP_MS;
    let idle_bytes = target.process().resident_bytes();
    let cpu_before = target.process().cpu_seconds();
    let began = Instant::now();
    let samples = load(&target, protocol, options, end_ms - length_ms);
    let wall_s = began.elapsed().as_secs_f64();
    // What a server put off until after its answers belongs to its figure.
    std::thread::sleep(Duration::from_secs(6));
    let cpu_s = target.process().cpu_seconds() - cpu_before;
    let resident_bytes = target.process().resident_bytes();
    let mut client = target.client();
    let (mut query_ms, mut answers) = (Vec::new(), Vec::new());
    for (_, expr) in QUERIES {
        let (ms, answer) = ask(&mut client, expr, end_ms);
        query_ms.push(ms);
        answers.push(plain(answer));
    }
    target.stop();
    let disk_bytes = disk_bytes(&target.data_dir());
    let ready_s = if let Target::Ours(server) = &mut target {
        let began = Instant::now();
        server.restart();
        let mut client = server.client();
        for ((_, expr), want) in QUERIES.iter().zip(&answers) {
            let (_, answer) = ask(&mut client, expr, end_ms);
            plain(answer).same_as(want).unwrap_or_else(|e| panic!("{expr} after a restart: {e}"));
        }
        Some(began.elapsed().as_secs_f64())
    } else {
        None
    };
    let series = Fleet::new(options.seed, 0, options.hosts, 0).num_series() as u64;
    Figures {
        name: name.to_owned(),
        samples,
        series,
        wall_s,
        cpu_s,
        idle_bytes,
        resident_bytes,
        disk_bytes,
        query_ms,
        answers,
        ready_s,
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]
    fn cpu_per_million(&self) -> f64 {
        self.cpu_s / (self.samples as f64 / 1e6)
    }

    fn bytes_per_sample(&self) -> f64 {
        ratio(self.disk_bytes, self.samples)
    }

    fn bytes_per_series(&self) -> f64 {
        ratio(self.resident_bytes.saturating_sub(self.idle_bytes), self.series)
    }

    /// How many of the answers are those of `reference`.
    fn agreement(&self, reference: Option<&Self>) -> String {
        let Some(reference) = reference else { return "-".to_owned() };
        let same = self.answers.iter().zip(&reference.answers);
        let same = same.filter(|(a, b)| a.same_as(b).is_ok()).count();
        format!("{same}/{}", self.answers.len())
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "samples": self.samples, "series": self.series,
            "wall_s": self.wall_s, "cpu_s": self.cpu_s,
            "cpu_s_per_million_samples": self.cpu_per_million(),
            "resident_bytes_per_series": self.bytes_per_series(),
            "disk_bytes_per_sample": self.bytes_per_sample(),
            "query_ms": QUERIES.iter().zip(&self.query_ms)
                .map(|((name, _), ms)| json!({"name": name, "median_ms": ms})).collect::<Vec<_>>(),
            "restart_s": self.ready_s,
        })
    }
}

/// `answer` without the label of the database, which only line protocol gives.
fn plain(mut answer: Answer) -> Answer {
    if let Data::Vector(all) | Data::Matrix(all) = &mut answer.data {
        for series in all {
            series.labels.remove("db");
        }
    }
    answer
}

fn main() {
    let mut out = std::io::stdout();
    let options = Options::parse().unwrap_or_else(|why| {
        let _ = writeln!(out, "bench: {why}");
        std::process::exit(2);
    });
    let what = |peer: &str| format!("{peer} in the comparison");
    let mut all: Vec<Figures> = Vec::new();
    // One time for all, so that every target holds the same samples.
    let end_ms = now_ms() / 60_000 * 60_000 - 60_000;
    let mut run = |name: &str, target: Option<Target>, protocol| {
        if let Some(target) = target {
            all.push(measure(name, target, protocol, &options, end_ms));
        }
    };
    let prometheus = || Peer::prometheus("", &[], &what("Prometheus")).map(Target::Peer);
    let victoria = || Peer::victoria_metrics(&[], &what("VictoriaMetrics")).map(Target::Peer);
    run("Prometheus, remote write", prometheus(), Protocol::RemoteWrite);
    run("VictoriaMetrics, remote write", victoria(), Protocol::RemoteWrite);
    run("silverback, remote write", Some(Target::Ours(Server::start(&[]))), Protocol::RemoteWrite);
    run("VictoriaMetrics, lines", victoria(), Protocol::Lines);
    run("silverback, lines", Some(Target::Ours(Server::start(&[]))), Protocol::Lines);
    print(&mut out, &options, &all);
    if let Some(path) = &options.json {
        let runs: Vec<Value> = all.iter().map(Figures::json).collect();
        let document = json!({
            "seed": options.seed, "hosts": options.hosts, "scrapes": options.scrapes,
            "connections": options.connections, "batch": BATCH, "runs": runs,
        });
        std::fs::write(path, format!("{document:#}\n")).expect("the JSON file is writable");
    }
}

fn print(out: &mut impl std::io::Write, options: &Options, all: &[Figures]) {
    let mut head = vec!["target", "wall s", "CPU s / M", "RSS B / series", "disk B / sample"];
    head.extend(QUERIES.iter().map(|(name, _)| *name));
    head.extend(["equal", "restart s"]);
    let mut table = Table::new(&head);
    let reference = all.iter().find(|figures| figures.name.starts_with("Prometheus"));
    for figures in all {
        let mut row = vec![
            figures.name.clone(),
            format!("{:.2}", figures.wall_s),
            format!("{:.3}", figures.cpu_per_million()),
            format!("{:.0}", figures.bytes_per_series()),
            format!("{:.2}", figures.bytes_per_sample()),
        ];
        row.extend(figures.query_ms.iter().map(|ms| format!("{ms:.2} ms")));
        row.push(figures.agreement(reference));
        row.push(figures.ready_s.map_or_else(|| "-".to_owned(), |s| format!("{s:.2}")));
        table.row(row);
    }
    let samples = all.first().map_or(0, |figures| figures.samples);
    let _ = writeln!(
        out,
        "{} hosts, {} scrapes, {samples} samples, {BATCH} a request, {} connections, seed {}\n{}",
        options.hosts,
        options.scrapes,
        options.connections,
        options.seed,
        table.print()
    );
}
