//! What a query takes of memory as its series grow and its answer does not: groups and steps stay, so
//! the peak must stay too. The kernel keeps it (`VmHWM`, reset before each query); it counts the pages of
//! mapped block files that the query touches, which are the kernel's to take back and stand apart.

use compat_tests::fleet::{Protocol, Source};
use compat_tests::promql::Query;
use compat_tests::report::Table;
use compat_tests::rng::now_ms;

use crate::load::{Load, ask};
use crate::target::{Kind, Target};

/// Hosts of 64 series each: about 1 k, 10 k and 100 k series.
const HOSTS: [usize; 3] = [16, 157, 1_563];
/// Half an hour.
const SCRAPES: usize = 120;
const QUERY: &str = "sum by (mode) (rate(node_cpu_seconds_total[5m]))";

/// A line per number of series.
pub(crate) fn table() -> String {
    let mut table = Table::new(&[
        "series",
        "samples",
        "resident before, MiB",
        "peak in query, MiB",
        "growth, KiB",
        "of it mapped files, KiB",
        "own, KiB",
    ]);
    for hosts in HOSTS {
        let load = Load {
            source: Source::Generated { seed: 1 },
            seed: 1,
            hosts,
            scrapes: SCRAPES,
            connections: 2,
            end_ms: now_ms() / 60_000 * 60_000 - 60_000,
            metrics: &["node_cpu_seconds_total"],
        };
        let mut target = Target::start(Kind::Silverback).expect("the server is here");
        load.send(|| target.client(), Protocol::RemoteWrite);
        // From a clean start, so that what loading left free does not hide what the query takes.
        target.stop();
        target.spawn();
        target.await_ready();
        let mut client = target.client();
        let query = Query::range(QUERY, load.end_ms - load.length_ms(), load.end_ms, 15_000);
        // A short one first: what the first query of a process sets up is not this one's.
        let short = Query::range(QUERY, load.end_ms, load.end_ms, 15_000);
        ask(&mut client, &short).expect("an answer");
        target.process().forget_peak().expect("the kernel resets the peak");
        let (before, mapped) = (target.process().resident_bytes(), target.process().mapped_bytes());
        ask(&mut client, &query).expect("an answer");
        let peak = target.process().peak_bytes();
        let growth = peak.saturating_sub(before);
        let files = target.process().mapped_bytes().saturating_sub(mapped).min(growth);
        let mib = |bytes: u64| format!("{}.{}", bytes >> 20, (bytes >> 10) % 1024 * 10 / 1024);
        table.row(vec![
            load.num_series().to_string(),
            load.num_samples().to_string(),
            mib(before),
            mib(peak),
            (growth >> 10).to_string(),
            (files >> 10).to_string(),
            ((growth - files) >> 10).to_string(),
        ]);
    }
    format!("{QUERY}, {SCRAPES} steps of 15 s\n{}", table.print())
}
