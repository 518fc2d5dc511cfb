//! What a server did beside answering: what it wrote and what that took.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use compat_tests::http::Client;

use crate::target::Target;

/// Upkeep has come to rest when nothing was written for this long; it looks every five seconds.
const REST: Duration = Duration::from_secs(12);
/// Longest wait for that, and what those wait who do not tell.
const LIMIT: Duration = Duration::from_mins(3);
const BLIND: Duration = Duration::from_secs(30);

/// The counters of upkeep that our server tells.
#[derive(Debug, Default, Clone, PartialEq)]
struct Counters(BTreeMap<String, f64>);

const NAMES: [&str; 2] =
    ["silverback_disk_written_bytes_total{by=", "silverback_maintenance_cpu_seconds_total{step="];

impl Counters {
    fn read(client: &mut Client) -> Self {
        let text = client.get("/metrics", &[]).map(|answer| answer.text()).unwrap_or_default();
        let lines = text.lines().filter(|line| NAMES.iter().any(|name| line.starts_with(name)));
        Self(lines.filter_map(|l| l.rsplit_once(' ')).filter_map(Self::entry).collect())
    }

    fn entry((name, value): (&str, &str)) -> Option<(String, f64)> {
        Some((name.to_owned(), value.parse().ok()?))
    }

    fn written(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().filter_map(|(name, n)| Some((name.strip_prefix(NAMES[0])?, *n)))
    }

    fn cpu_seconds(&self) -> f64 {
        let steps = self.0.iter().filter(|(name, _)| name.starts_with(NAMES[1]));
        steps.map(|(_, seconds)| seconds).sum()
    }
}

/// Waits until a target has compacted what it will.
pub(crate) fn settle(target: &Target) {
    let Target::Ours(server) = target else { return std::thread::sleep(BLIND) };
    let (mut client, began) = (server.client(), Instant::now());
    let written = |client: &mut Client| Counters::read(client).written().map(|(_, n)| n).sum();
    let (mut last, mut since): (f64, _) = (written(&mut client), Instant::now());
    while since.elapsed() < REST && began.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(500));
        let now: f64 = written(&mut client);
        if now > last {
            (last, since) = (now, Instant::now());
        }
    }
}

/// What upkeep has written for each sample, and its processor time; `None` for who does not tell.
pub(crate) fn told(target: &Target, samples: f64) -> Option<String> {
    let Target::Ours(server) = target else { return None };
    let counters = Counters::read(&mut server.client());
    let mut text = String::from("written B/sample:");
    for (by, bytes) in counters.written() {
        let _ = write!(text, " {} {:.2}", by.trim_matches(['"', '}']), bytes / samples);
    }
    let cpu = counters.cpu_seconds() / (samples / 1e6);
    let _ = write!(text, "; upkeep CPU {cpu:.4} s/M");
    Some(text)
}

/// Bytes for each sample by file name, after the end.
pub(crate) fn by_file(dir: &Path, samples: f64) -> String {
    let mut bytes = BTreeMap::new();
    add(dir, &mut bytes);
    bytes.iter().fold(String::from("on disk B/sample:"), |mut text, (name, bytes)| {
        if bytes / samples >= 0.0005 {
            let _ = write!(text, " {name} {:.3}", bytes / samples);
        }
        text
    })
}

fn add(dir: &Path, bytes: &mut BTreeMap<String, f64>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            add(&entry.path(), bytes);
        } else {
            #[expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]
            let len = meta.len() as f64;
            *bytes.entry(entry.file_name().to_string_lossy().into_owned()).or_insert(0.0) += len;
        }
    }
}
