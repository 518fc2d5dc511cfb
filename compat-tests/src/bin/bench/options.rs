//! What to run.

use std::path::PathBuf;

/// The words behind the program's name.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// One round each.
    pub(crate) seeds: Vec<u64>,
    /// Hosts of the fleet.
    pub(crate) hosts: usize,
    /// At least this many series, in place of hosts.
    pub(crate) series: Option<usize>,
    /// Samples of each series.
    pub(crate) scrapes: usize,
    /// Connections that send.
    pub(crate) connections: usize,
    /// Values from a real exporter, scraped this many times.
    pub(crate) recorded: Option<usize>,
    /// Whether each target is loaded once more and killed behind the last answer.
    pub(crate) crash: bool,
    /// Queries alone.
    pub(crate) reads: bool,
    /// Runs of each of them, of which the median counts.
    pub(crate) runs: usize,
    /// Whether they are asked of our server alone.
    pub(crate) alone: bool,
    /// Only what a query over ever more series takes.
    pub(crate) memory: bool,
    /// Where all figures go.
    pub(crate) json: Option<PathBuf>,
}

const USAGE: &str =
    "usage: bench [--seed N,N..] [--hosts N | --series N] [--scrapes N | --samples N]
    [--connections N] [--scrape node_exporter [--seconds N]] [--crash] [--json FILE]
    [--reads [--runs N] [--alone] | --memory]";

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            seeds: vec![1],
            hosts: 20,
            series: None,
            scrapes: 480,
            connections: 2,
            recorded: None,
            crash: false,
            reads: false,
            runs: 15,
            alone: false,
            memory: false,
            json: None,
        };
        let mut seconds = 120;
        while let Some(name) = arguments.next() {
            let flag = match name.as_str() {
                "--crash" => Some(&mut options.crash),
                "--reads" => Some(&mut options.reads),
                "--alone" => Some(&mut options.alone),
                "--memory" => Some(&mut options.memory),
                _ => None,
            };
            if let Some(flag) = flag {
                *flag = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
            let bad = || format!("{name}: {value} is no number above 0");
            let number = || value.parse().ok().filter(|n| *n > 0).ok_or_else(bad);
            match name.as_str() {
                "--seed" | "--seeds" => {
                    let seeds: Result<_, _> = value.split(',').map(str::parse).collect();
                    options.seeds = seeds.map_err(|_| bad())?;
                }
                "--hosts" => options.hosts = number()?,
                "--series" => options.series = Some(number()?),
                "--scrapes" | "--samples" => options.scrapes = number()?,
                "--connections" => options.connections = number()?,
                "--scrape" if value == "node_exporter" => options.recorded = Some(0),
                "--runs" => options.runs = number()?,
                "--seconds" => seconds = number()?,
                "--json" => options.json = Some(value.into()),
                _ => return Err(format!("{name} {value}\n{USAGE}")),
            }
        }
        options.recorded = options.recorded.map(|_| seconds);
        Ok(options)
    }
}
