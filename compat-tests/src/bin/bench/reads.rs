//! Queries alone: of the fleet only the series that they read, so that more runs and longer ranges
//! are cheap. The server is asked twice: with the samples in memory, and after a restart, when all of
//! them are in blocks.

use std::time::{Duration, Instant};

use compat_tests::fleet::Protocol;
use compat_tests::http::Client;
use compat_tests::promql::{Answer, Query};
use compat_tests::report::Table;

use crate::load::{Load, ask, plain};
use crate::measure::{median, queries};
use crate::options::Options;
use crate::target::{Kind, Target};

/// What the queries read.
pub(crate) const METRICS: &[&str] =
    &["node_cpu_seconds_total", "http_request_duration_seconds_bucket", "node_load_1"];

/// Medians, ms, and the answers.
type Asked = Vec<(f64, Answer)>;

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
            rows.push((name, ask_all(&mut target.client(), &asked, options.runs)));
            continue;
        }
        rows.push((
            format!("{name}, as loaded"),
            ask_all(&mut target.client(), &asked, options.runs),
        ));
        target.stop();
        target.spawn();
        target.await_ready();
        rows.push((
            format!("{name}, restarted"),
            ask_all(&mut target.client(), &asked, options.runs),
        ));
    }
    print((load, options.runs), &asked, &rows)
}

fn ask_all(client: &mut Client, queries: &[&Query], runs: usize) -> Asked {
    let run = |query: &&Query| {
        let mut times = Vec::with_capacity(runs);
        let mut last = ask(client, query);
        for _ in 0..runs {
            let began = Instant::now();
            last = ask(client, query);
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        (median(times), plain(&last.unwrap_or_else(|| panic!("no answer to {query}"))))
    };
    queries.iter().map(run).collect()
}

fn print((load, runs): (&Load, usize), queries: &[&Query], rows: &[(String, Asked)]) -> String {
    let mut head = vec!["query".to_owned()];
    head.extend(rows.iter().map(|(name, _)| format!("{name}, ms")));
    let peers = rows.iter().filter(|(name, _)| !name.starts_with(Kind::Silverback.name()));
    head.extend(peers.clone().map(|(name, _)| format!("{name} / loaded")));
    head.push("equal to the first".to_owned());
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = Table::new(&head);
    let loaded = rows.iter().find(|(name, _)| name.ends_with("as loaded"));
    for (i, query) in queries.iter().enumerate() {
        let mut cells = vec![query.expr.clone()];
        cells.extend(rows.iter().map(|(_, asked)| format!("{:.2}", asked[i].0)));
        let ratio = |asked: &Asked| loaded.map_or(f64::NAN, |(_, ours)| asked[i].0 / ours[i].0);
        cells.extend(peers.clone().map(|(_, asked)| format!("{:.1}x", ratio(asked))));
        let first = rows.first().map(|(_, asked)| &asked[i].1);
        let same =
            rows.iter().filter(|(_, asked)| first.is_some_and(|f| asked[i].1.same_as(f).is_ok()));
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
