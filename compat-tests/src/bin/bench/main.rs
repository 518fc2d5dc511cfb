//! Figures: the same fleet into the server and its peers, side by side.
//!
//! `cargo run --release -p compat-tests --bin bench -- --hosts 20 --scrapes 480 --seed 11,12,13 --json FILE`
//!
//! | run | words |
//! |---|---|
//! | the fleet of the targets, also killed | `--hosts 100 --crash` |
//! | memory per series | `--series 200000 --samples 20` |
//! | a day | `--hosts 20 --scrapes 5760` |
//! | real values | `--scrape node_exporter --seconds 120` |
//! | queries alone, over the series that they read | `--reads --hosts 100` |
//! | queries of a day | `--reads --hosts 20 --scrapes 5760` |
//! | memory of a query over ever more series | `--memory` |
//!
//! A day is compacted before it is weighed. CPU is the server process's own (`/proc/<pid>/stat`) with six quiet seconds behind the load; memory
//! is its resident growth then; disk is `du` after SIGTERM with the log and saved caches included; query times are
//! medians of seven runs over one connection, past the caches of responses. A start counts until the
//! first range query is right, `never` when it is not within 30 s. With several seeds, the last table
//! has the medians. The machine should be quiet: CPU counts the process alone, but caches are shared.

use std::io::Write as _;
use std::sync::Arc;

use compat_tests::fleet::recording::Recording;
use compat_tests::fleet::{Protocol, Source};
use compat_tests::rng::now_ms;
use serde_json::json;

mod load;
mod measure;
mod memory;
mod options;
mod reads;
mod report;
mod target;
mod upkeep;

use load::{BATCH, Load};
use measure::{Figures, measure};
use options::{Options, What};
use target::Kind;

/// The targets, in the order of the table.
const TARGETS: [(Kind, Protocol); 5] = [
    (Kind::Prometheus, Protocol::RemoteWrite),
    (Kind::VictoriaMetrics, Protocol::RemoteWrite),
    (Kind::Silverback, Protocol::RemoteWrite),
    (Kind::VictoriaMetrics, Protocol::Lines),
    (Kind::Silverback, Protocol::Lines),
];

fn main() -> std::process::ExitCode {
    let mut out = std::io::stdout();
    let mut say = |text: &str| {
        // A closed pipe is no reason to stop: the JSON file may be what counts.
        let _ = writeln!(out, "{}", text.trim_end());
    };
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            say(&format!("bench: {why}"));
            return std::process::ExitCode::from(2);
        }
    };
    let recording = match options.recorded.map(Recording::of_node_exporter) {
        None => None,
        Some(Some(recording)) => Some(Arc::new(recording)),
        // It has said that it was skipped.
        Some(None) => return std::process::ExitCode::SUCCESS,
    };
    let machine = report::machine();
    say(&machine);
    let figures = match options.what {
        What::All => None,
        What::Memory => Some(memory::table()),
        What::Reads => {
            let mut load = load_of(&options, recording.as_ref(), options.seeds[0]);
            load.metrics = reads::METRICS;
            Some(reads::table(&load, &options))
        }
    };
    if let Some(figures) = figures {
        say(&figures);
        return std::process::ExitCode::SUCCESS;
    }
    let mut rounds: Vec<Vec<Figures>> = Vec::new();
    for &seed in &options.seeds {
        let load = load_of(&options, recording.as_ref(), seed);
        let round: Vec<Figures> = TARGETS
            .iter()
            .filter_map(|&(kind, protocol)| measure(kind, protocol, &load, options.crash))
            .collect();
        if rounds.is_empty() {
            for figures in round.iter().filter(|f| f.protocol == Protocol::RemoteWrite) {
                say(&format!("{}: {}", figures.kind.name(), figures.version));
            }
        }
        say(&format!(
            "\n{} hosts, {} series, {} scrapes, {} samples, {BATCH} a request, {} connections, {}",
            load.hosts,
            load.num_series(),
            load.scrapes,
            load.num_samples(),
            load.connections,
            if recording.is_some() { "recorded".to_owned() } else { format!("seed {seed}") },
        ));
        say(&report::table(&round));
        say(&report::truth(&round));
        for figures in &round {
            if let Some(upkeep) = &figures.upkeep {
                say(&format!("{}: {upkeep}", figures.name()));
            }
        }
        rounds.push(round);
    }
    let medians = report::medians(&rounds);
    if rounds.len() > 1 {
        say(&format!("\nmedians of {} seeds\n{}", rounds.len(), report::table(&medians)));
    }
    if recording.is_none() && options.series.is_none() && options.scrapes == 480 {
        say(&report::generator_check(&medians, options.hosts));
    }
    if let Some(path) = &options.json {
        let document = json!({
            "machine": machine, "seeds": options.seeds, "hosts": options.hosts,
            "series": options.series, "scrapes": options.scrapes, "recorded": options.recorded,
            "connections": options.connections, "batch": BATCH,
            "rounds": rounds.iter().map(|round| report::json(round)).collect::<Vec<_>>(),
            "medians": report::json(&medians),
        });
        std::fs::write(path, format!("{document:#}\n")).expect("the JSON file is writable");
    }
    let ours = rounds.iter().flatten().filter(|figures| figures.kind == Kind::Silverback);
    if ours.into_iter().any(|figures| figures.truth.is_err()) {
        say("bench: silverback does not hold what was sent");
        return std::process::ExitCode::FAILURE;
    }
    std::process::ExitCode::SUCCESS
}

fn load_of(options: &Options, recording: Option<&Arc<Recording>>, seed: u64) -> Load {
    let source = match recording {
        Some(recording) => Source::Recorded(Arc::clone(recording)),
        None => Source::Generated { seed },
    };
    let hosts = match options.series {
        Some(series) => series.div_ceil(source.series_per_host()),
        None => options.hosts,
    };
    // More scrapes than were recorded would begin again, which no counter does.
    let scrapes = recording.map_or(options.scrapes, |all| options.scrapes.min(all.num_scrapes()));
    // One time for all, so that every target holds the same samples.
    let end_ms = now_ms() / 60_000 * 60_000 - 60_000;
    let connections = options.connections.min(hosts);
    Load { source, seed, hosts, scrapes, connections, end_ms, metrics: &[] }
}
