//! A recording of a real exporter, so that no codec is tuned to a generator.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::http::Client;
use crate::peers::locate;
use crate::process::{Process, free_address};
use crate::report::{say, skipped};

const PROGRAM: &str = "prometheus-node-exporter";

/// A name and its labels.
pub(super) type Identity = (String, Vec<(String, String)>);

/// Scrapes of one exporter: the series that are in every scrape, and their values.
#[derive(Debug)]
pub struct Recording {
    identities: Vec<Identity>,
    /// A vector of values per series.
    values: Vec<Vec<f64>>,
}

impl Recording {
    /// Scrapes a `node_exporter` of this machine `scrapes` times, a second apart. It is the installed one,
    /// else Debian's package, unpacked into a directory that goes away. `None`, and a line that
    /// says so, where it cannot be had.
    ///
    /// # Panics
    /// When the exporter does not start or answers with an error.
    pub fn of_node_exporter(scrapes: usize) -> Option<Self> {
        let dir = TempDir::with_prefix("exporter-").expect("a temporary directory");
        let binary = match locate(PROGRAM).map_or_else(|| unpack(dir.path()), Ok) {
            Ok(binary) => binary,
            Err(why) => {
                skipped("a recording of node_exporter", &why);
                return None;
            }
        };
        let address = free_address();
        let mut command = Command::new(binary);
        command.arg(format!("--web.listen-address={address}"));
        let mut process =
            Process::spawn(PROGRAM, command, &dir.path().join("log")).expect("the exporter starts");
        let mut client = Client::new(address);
        process.await_ready(Duration::from_secs(20), || client.get("/", &[]).is_ok());
        say(&format!("{scrapes} scrapes of {PROGRAM}, a second apart"));
        let mut pages = Vec::with_capacity(scrapes);
        let began = Instant::now();
        for scrape in 0..u32::try_from(scrapes).expect("few scrapes") {
            let due = Duration::from_secs(1) * scrape;
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            let answer = client.get("/metrics", &[]).expect("the exporter answers");
            assert_eq!(answer.status, 200, "{}", answer.brief());
            pages.push(answer.text());
        }
        Some(Self::of_pages(&pages))
    }

    /// The series that are on every page with a finite value (line protocol has no other), in the order of
    /// the first page's text.
    fn of_pages(pages: &[String]) -> Self {
        let mut order = Vec::new();
        let mut all: BTreeMap<Identity, Vec<f64>> = BTreeMap::new();
        for page in pages {
            for (identity, value) in page.lines().filter_map(sample) {
                let values = all.entry(identity.clone()).or_default();
                if values.is_empty() {
                    order.push(identity);
                }
                values.push(value);
            }
        }
        order.retain(|identity| all[identity].len() == pages.len());
        let values = order.iter().filter_map(|identity| all.remove(identity)).collect();
        Self { identities: order, values }
    }

    /// Series of a scrape.
    pub fn num_series(&self) -> usize {
        self.identities.len()
    }

    /// Scrapes recorded.
    pub fn num_scrapes(&self) -> usize {
        self.values.first().map_or(0, Vec::len)
    }

    /// Names and labels, in scrape order.
    pub(super) fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// The value of a series; behind the last scrape the first one comes again.
    pub(super) fn value(&self, series: usize, scrape: usize) -> f64 {
        self.values[series][scrape % self.num_scrapes()]
    }
}

/// Debian's package in `dir`: the path of its program.
fn unpack(dir: &Path) -> Result<PathBuf, String> {
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{program} {}: {status}", arguments.join(" "))),
            Err(error) => Err(format!("{program}: {error}")),
        }
    };
    run("apt-get", &["download", PROGRAM])?;
    let packages = std::fs::read_dir(dir).map_err(|error| error.to_string())?;
    let mut packages = packages.flatten().map(|entry| entry.path());
    let package = packages.find(|path| path.extension().is_some_and(|end| end == "deb"));
    let package = package.ok_or("no package came")?;
    run("dpkg", &["-x", &package.display().to_string(), "."])?;
    let binary = dir.join("usr/bin").join(PROGRAM);
    if binary.is_file() { Ok(binary) } else { Err("the package has no program".to_owned()) }
}

/// A line of the text format. `None` for comments, values that are not finite, and the texts that the
/// protocols would have to escape: what is compared here is not escaping.
fn sample(line: &str) -> Option<(Identity, f64)> {
    let (series, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    let value = value.parse().ok().filter(|value: &f64| value.is_finite())?;
    if series.contains('\\') || !series.is_ascii() {
        return None;
    }
    let (name, inner) = match series.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix("\"}")?),
        None => (series, ""),
    };
    let mut labels = Vec::new();
    // Without a backslash no value holds a quote.
    for pair in inner.split("\",").filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once("=\"")?;
        if !value.is_empty() {
            labels.push((name.to_owned(), value.to_owned()));
        }
    }
    // A name is cut into measurement and field for line protocol.
    name.split_once('_').filter(|(head, tail)| !head.is_empty() && !tail.is_empty())?;
    Some(((name.to_owned(), labels), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_series_that_every_page_has() {
        let page = |value: &str, more: &str| {
            format!("# HELP a_b x\na_b{{c=\"d, e\",f=\"\",g=\"}}\"}} {value}\na_nan NaN\n{more}")
        };
        let pages = [page("1.5", "a_gone 1\n"), page("2e+06", "a_new 1\na_odd{a=\"\\\\\"} 1")];
        let recording = Recording::of_pages(&pages);
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let want = ("a_b".to_owned(), vec![label("c", "d, e"), label("g", "}")]);
        assert_eq!(recording.identities(), [want]);
        assert_eq!(recording.values, [[1.5, 2e6]]);
        assert_eq!((recording.num_series(), recording.num_scrapes()), (1, 2));
        assert_eq!(recording.value(0, 3).to_bits(), 2e6_f64.to_bits());
    }
}
