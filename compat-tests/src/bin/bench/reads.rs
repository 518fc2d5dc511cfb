//! Queries alone: of the fleet only the series that they read, so that more runs and longer ranges
//! are cheap. The server is asked twice: with the samples in memory, and after a restart, when all of
//! them are in blocks.

use std::time::{Duration, Instant};

use compat_tests::fleet::Protocol;
use compat_tests::promql::{Answer, Query};
use compat_tests::report::Table;

use crate::load::{Load, ask, plain};
use crate::measure::{median, queries};
use crate::options::Options;
use crate::target::{Kind, Target};

/// What the queries read.
pub(crate) const METRICS: &[&str] =
    &["node_cpu_seconds_total", "http_request_duration_seconds_bucket", "node_load_1"];

/// What one query took, and what it gave.
struct Figures {
    /// Median, ms.
    wall: f64,
    /// Mean of what the server's process used, ms: the same on a busy machine.
    cpu: f64,
    answer: Answer,
}

/// In the order of the queries.
type Asked = Vec<Figures>;

/// Loads every target that is installed and asks it.
pub(crate) fn table(load: &Load, options: &Options) -> String {
    let asked = queries(load, Protocol::RemoteWrite);
    let asked: Vec<&Query> = asked.iter().flatten().collect();
    let mut rows: Vec<(String, Asked)> = Vec::new();
    let all = [Kind::Prometheus, Kind::VictoriaMetrics, Kind::Silverback];
    for kind in all.into_iter().filter(|kind| !options.alone || *kind == Kind::Silverback) {
        let Some(mut target) = Target::start(kind) else { continue };
        load.send(|| target.client(), Protocol::RemoteWrite);
        // What a server put off until after its answers must not run beside the queries.
        std::thread::sleep(Duration::from_secs(6));
        let name = kind.name().to_owned();
        if kind != Kind::Silverback {
            rows.push((name, ask_all(&target, &asked, options.runs)));
            continue;
        }
        rows.push((format!("{name}, as loaded"), ask_all(&target, &asked, options.runs)));
        target.stop();
        target.spawn();
        target.await_ready();
        rows.push((format!("{name}, restarted"), ask_all(&target, &asked, options.runs)));
    }
    print((load, options.runs), &asked, &rows)
}

fn ask_all(target: &Target, queries: &[&Query], runs: usize) -> Asked {
    let client = &mut target.client();
    let run = |query: &&Query| {
        let mut times = Vec::with_capacity(runs);
        let mut last = ask(client, query);
        let cpu_before = target.process().cpu_seconds();
        for _ in 0..runs {
            let began = Instant::now();
            last = ask(client, query);
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let cpu_seconds = target.process().cpu_seconds() - cpu_before;
        #[expect(clippy::cast_precision_loss, reason = "few runs")]
        let cpu = cpu_seconds * 1e3 / runs as f64;
        let answer = plain(&last.unwrap_or_else(|| panic!("no answer to {query}")));
        Figures { wall: median(times), cpu, answer }
    };
    queries.iter().map(run).collect()
}

fn print((load, runs): (&Load, usize), queries: &[&Query], rows: &[(String, Asked)]) -> String {
    let mut head = vec!["query".to_owned()];
    head.extend(rows.iter().map(|(name, _)| format!("{name}, ms (CPU)")));
    let peers = rows.iter().filter(|(name, _)| !name.starts_with(Kind::Silverback.name()));
    head.extend(peers.clone().map(|(name, _)| format!("{name} / loaded")));
    head.push("equal to the first".to_owned());
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = Table::new(&head);
    let loaded = rows.iter().find(|(name, _)| name.ends_with("as loaded"));
    for (i, query) in queries.iter().enumerate() {
        let mut cells = vec![query.expr.clone()];
        let figures = rows.iter().map(|(_, asked)| &asked[i]);
        cells.extend(figures.map(|f| format!("{:.2} ({:.1})", f.wall, f.cpu)));
        let ratio =
            |asked: &Asked| loaded.map_or(f64::NAN, |(_, ours)| asked[i].wall / ours[i].wall);
        cells.extend(peers.clone().map(|(_, asked)| format!("{:.1}x", ratio(asked))));
        let first = rows.first().map(|(_, asked)| &asked[i].answer);
        let same = rows
            .iter()
            .filter(|(_, asked)| first.is_some_and(|f| asked[i].answer.same_as(f).is_ok()));
        cells.push(format!("{}/{}", same.count(), rows.len()));
        table.row(cells);
    }
    format!(
        "{} series, {} scrapes, {} samples, medians of {runs}\n{}",
        load.num_series(),
        load.scrapes,
        load.num_samples(),
        table.print()
    )
}
