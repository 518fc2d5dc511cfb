//! What to run.

use std::path::PathBuf;

/// What a run measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Load, queries, disk and restart.
    All,
    /// Queries alone.
    Reads,
    /// What a query over ever more series takes.
    Memory,
}

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
    /// What is measured.
    pub(crate) what: What,
    /// Runs of each query of [`What::Reads`], of which the median counts.
    pub(crate) runs: usize,
    /// Whether they are asked of our server alone.
    pub(crate) alone: bool,
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
            what: What::All,
            runs: 15,
            alone: false,
            json: None,
        };
        let mut seconds = 120;
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--crash" => options.crash = true,
                "--alone" => options.alone = true,
                "--reads" => options.what = What::Reads,
                "--memory" => options.what = What::Memory,
                _ => options.take(&name, &mut arguments, &mut seconds)?,
            }
        }
        options.recorded = options.recorded.map(|_| seconds);
        Ok(options)
    }

    /// Takes an option that has a value.
    fn take(
        &mut self,
        name: &str,
        arguments: &mut impl Iterator<Item = String>,
        seconds: &mut usize,
    ) -> Result<(), String> {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
        let bad = || format!("{name}: {value} is no number above 0");
        let number = || value.parse().ok().filter(|n| *n > 0).ok_or_else(bad);
        match name {
            "--seed" | "--seeds" => {
                let seeds: Result<_, _> = value.split(',').map(str::parse).collect();
                self.seeds = seeds.map_err(|_| bad())?;
            }
            "--hosts" => self.hosts = number()?,
            "--series" => self.series = Some(number()?),
            "--scrapes" | "--samples" => self.scrapes = number()?,
            "--connections" => self.connections = number()?,
            "--scrape" if value == "node_exporter" => self.recorded = Some(0),
            "--runs" => self.runs = number()?,
            "--seconds" => *seconds = number()?,
            "--json" => self.json = Some(value.into()),
            _ => return Err(format!("{name} {value}\n{USAGE}")),
        }
        Ok(())
    }
}
