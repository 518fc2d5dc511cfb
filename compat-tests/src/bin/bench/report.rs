//! The table and the JSON file.

use std::fmt::Write as _;

use compat_tests::fleet::Protocol;
use compat_tests::report::Table;
use serde_json::{Value, json};

use crate::measure::{COLUMNS, CPU, DISK, Figures, median};
use crate::target::Kind;

/// What the peers need for the generated fleet with 480 scrapes, measured with the fleet that the targets
/// were set by. Another generator is as good when its figures are near.
const REFERENCE: [(Kind, Protocol, usize, f64); 5] = [
    (Kind::VictoriaMetrics, Protocol::RemoteWrite, CPU, 1.35),
    (Kind::VictoriaMetrics, Protocol::RemoteWrite, DISK, 2.33),
    (Kind::VictoriaMetrics, Protocol::Lines, CPU, 1.06),
    (Kind::Prometheus, Protocol::RemoteWrite, CPU, 4.2),
    (Kind::Prometheus, Protocol::RemoteWrite, DISK, 12.9),
];

/// The medians of what the rounds measured, target by target.
pub(crate) fn medians(rounds: &[Vec<Figures>]) -> Vec<Figures> {
    let mut out = rounds.first().cloned().unwrap_or_default();
    for (i, figures) in out.iter_mut().enumerate() {
        for (column, value) in figures.values.iter_mut().enumerate() {
            let all: Vec<f64> =
                rounds.iter().filter_map(|round| round.get(i)?.values[column]).collect();
            *value = (!all.is_empty()).then(|| median(all));
        }
    }
    out
}

fn find(all: &[Figures], kind: Kind, protocol: Protocol) -> Option<&Figures> {
    all.iter().find(|figures| figures.kind == kind && figures.protocol == protocol)
}

/// How many of the answers are Prometheus's.
fn agreement(all: &[Figures], figures: &Figures) -> String {
    let Some(reference) = find(all, Kind::Prometheus, Protocol::RemoteWrite) else {
        return "-".to_owned();
    };
    let pairs = figures.answers.iter().zip(&reference.answers);
    let pairs: Vec<_> = pairs.filter_map(|(a, b)| Some((a.as_ref()?, b.as_ref()?))).collect();
    let same = pairs.iter().filter(|(a, b)| a.same_as(b).is_ok()).count();
    format!("{same}/{}", pairs.len())
}

/// Figures of each target, and how many times ours the peers' are.
pub(crate) fn table(all: &[Figures]) -> String {
    let mut head = vec!["target"];
    head.extend(COLUMNS.iter().map(|(name, _)| *name));
    head.push("equal");
    let mut table = Table::new(&head);
    let cell = |value: Option<f64>, decimals: usize, unit: &str| match value {
        None => "-".to_owned(),
        Some(value) if value.is_finite() => format!("{value:.decimals$}{unit}"),
        Some(_) => "never".to_owned(),
    };
    for figures in all {
        let mut row = vec![figures.name()];
        let cells = figures.values.iter().zip(COLUMNS);
        row.extend(cells.map(|(value, (_, decimals))| cell(*value, decimals, "")));
        row.push(agreement(all, figures));
        table.row(row);
    }
    for (peer, ours, ratios) in ratios(all) {
        let mut row = vec![format!("{peer} / {ours}")];
        row.extend(ratios.iter().map(|ratio| cell(*ratio, 1, "x")));
        row.push(String::new());
        table.row(row);
    }
    table.print()
}

/// Each peer's figures over ours, by protocol.
fn ratios(all: &[Figures]) -> Vec<(String, String, Vec<Option<f64>>)> {
    let of = |peer: &Figures| {
        let ours = find(all, Kind::Silverback, peer.protocol)?;
        let pairs = peer.values.iter().zip(&ours.values);
        // Nothing is no multiple of anything.
        let ratio = |(peer, ours): (&Option<f64>, &Option<f64>)| {
            Some((*peer)? / (*ours).filter(|ours| *ours > 0.0)?)
        };
        let ratios = pairs.map(ratio).collect();
        Some((peer.name(), Kind::Silverback.name().to_owned(), ratios))
    };
    all.iter().filter(|figures| figures.kind != Kind::Silverback).filter_map(of).collect()
}

/// Whether each target holds what was sent.
pub(crate) fn truth(all: &[Figures]) -> String {
    all.iter().fold(String::new(), |mut out, figures| {
        let (Ok(text) | Err(text)) = &figures.truth;
        let _ = writeln!(out, "samples of {}: {text}", figures.name());
        out
    })
}

/// Whether the generator is right: the peers' figures beside those the targets were set by.
///
/// Disk counts with the fleet's 100 hosts alone: of fewer, what a peer keeps for itself is most of it.
pub(crate) fn generator_check(all: &[Figures], hosts: usize) -> String {
    let mut out = String::new();
    for (kind, protocol, column, want) in REFERENCE {
        let Some(figures) = find(all, kind, protocol) else { continue };
        let Some(value) = figures.values[column] else { continue };
        let ratio = value / want;
        let verdict = match ratio {
            _ if column == DISK && hosts < 100 => "not comparable below 100 hosts",
            0.75..=1.25 => "ok",
            _ => "off",
        };
        let (name, what) = (figures.name(), COLUMNS[column].0);
        let _ =
            writeln!(out, "generator: {name}, {what} {value:.2} of {want} = {ratio:.2}, {verdict}");
    }
    out
}

/// All figures.
pub(crate) fn json(all: &[Figures]) -> Value {
    let named = |values: &[Option<f64>]| -> Value {
        let pairs = values.iter().zip(COLUMNS);
        pairs.map(|(value, (name, _))| (name.to_owned(), json!(value))).collect()
    };
    let runs: Vec<Value> = all
        .iter()
        .map(|figures| {
            let (Ok(text) | Err(text)) = &figures.truth;
            json!({
                "target": figures.name(),
                "version": figures.version,
                "figures": named(&figures.values),
                "samples_right": figures.truth.is_ok(),
                "samples": text,
                "answers_equal_to_prometheus": agreement(all, figures),
            })
        })
        .collect();
    let ratios: Vec<Value> = ratios(all)
        .iter()
        .map(|(peer, ours, ratios)| json!({"of": peer, "to": ours, "ratios": named(ratios)}))
        .collect();
    json!({"runs": runs, "ratios": ratios})
}

/// Processor, cores, memory and kernel.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map_or("?".to_owned(), |(_, v)| v.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}, {cores} cores, {} memory, Linux {}, load {}",
        field(&read("/proc/cpuinfo"), "model name"),
        field(&read("/proc/meminfo"), "MemTotal"),
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or_default(),
    )
}
