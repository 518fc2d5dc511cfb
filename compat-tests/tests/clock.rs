//! The clock steps under a running server and between two (reliability contract F18, P11, R15): data
//! stays, writes go on, nothing overflows.
//!
//! It takes libfaketime, whose library steps the clock of the server alone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use compat_tests::line_protocol;
use compat_tests::promql::Query;
use compat_tests::report::{say, skipped};
use compat_tests::rng::now_ms;
use compat_tests::server::Server;
use tempfile::TempDir;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The library, where distributions put it.
fn library() -> Option<PathBuf> {
    let dirs = ["x86_64-linux-gnu", "aarch64-linux-gnu", ".", "../lib64"];
    let places =
        dirs.map(|dir| Path::new("/usr/lib").join(dir).join("faketime/libfaketimeMT.so.1"));
    places.into_iter().find(|path| path.is_file())
}

/// A server whose clock is ahead of the real one by what a file says.
struct Stepped {
    server: Server,
    dir: TempDir,
}

impl Stepped {
    fn start(library: &Path, flags: &[&str]) -> Self {
        let dir = TempDir::with_prefix("silverback-clock-").expect("a directory");
        let mut stepped = Self { server: Server::new(flags, None), dir };
        stepped.step(0);
        let file = stepped.dir.path().join("offset");
        stepped.server.set_environment(&[
            ("LD_PRELOAD", &library.to_string_lossy()),
            ("FAKETIME_TIMESTAMP_FILE", &file.to_string_lossy()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]);
        stepped.server.restart();
        stepped
    }

    /// From here on the clock is ahead by this.
    fn step(&self, ms: i64) {
        let text =
            format!("{}{}.{:03}", if ms < 0 { '-' } else { '+' }, ms.abs() / 1000, ms.abs() % 1000);
        let (file, next) = (self.dir.path().join("offset"), self.dir.path().join("next"));
        std::fs::write(&next, text).and_then(|()| std::fs::rename(next, file)).expect("a file");
    }

    /// Writes a sample; the status.
    fn write(&self, t_ms: i64, value: f64) -> u16 {
        let mut line = String::new();
        line_protocol::line(&mut line, "m", &[], &[("v", value)], t_ms * 1_000_000);
        let answer = self.server.client().post("/write?db=d", line.as_bytes());
        answer.expect("an answer").status
    }

    /// Samples in all.
    fn count(&self) -> usize {
        let query = Query::at("m_v[30d]", now_ms() + 2 * DAY_MS);
        query.run(&mut self.server.client()).series().iter().map(|s| s.floats.len()).sum()
    }

    /// Times that retention deleted something since the start.
    fn retentions(&self) -> String {
        let text = self.server.get("/metrics", &[]).text();
        let line =
            text.lines().find_map(|l| l.strip_prefix("prometheus_tsdb_time_retentions_total"));
        line.expect("the metric is there").trim().to_owned()
    }

    /// Some rounds of maintenance pass.
    fn rest(&self) {
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(200) {
            assert_eq!(self.server.get("/-/healthy", &[]).status, 200);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!self.server.log().contains("panicked at"), "{}", self.server.log());
    }
}

/// Nothing that is written here is older than the retention.
const FLAGS: [&str; 3] = ["--retention=20d", "--maintenance-interval=20ms", "--max-future=1h"];

/// Some days of samples; gives their number.
fn fill(stepped: &mut Stepped) -> usize {
    for day in 1..=5 {
        for minute in 0..10 {
            let t_ms = now_ms() - (6 - day) * DAY_MS + minute * 60_000;
            assert_eq!(stepped.write(t_ms, 1.0), 204);
        }
        // A clean stop leaves blocks.
        stepped.server.stop();
        stepped.server.restart();
    }
    stepped.count()
}

#[test]
fn a_stepping_clock_deletes_nothing_and_stops_no_writes() {
    let Some(library) = library() else {
        return skipped("clock steps", "libfaketime is not installed");
    };
    let mut stepped = Stepped::start(&library, &FLAGS);
    let samples = fill(&mut stepped);
    assert_eq!(samples, 50);
    let years = |n: i64| n * 365 * DAY_MS;
    let steps = [
        ("an hour and a half ahead", HOUR_MS * 3 / 2),
        ("ten years ahead", years(10)),
        ("the year 2039", years(13)),
        ("an hour behind", -HOUR_MS),
        ("a day behind", -DAY_MS),
        ("before the first sample", -DAY_MS * 15),
    ];
    let mut written = 0;
    for (name, ms) in steps {
        stepped.step(ms);
        stepped.rest();
        assert_eq!(stepped.count(), samples + written, "{name}");
        // What a sender with the same clock writes is taken. It may be outside of what is counted.
        let status = stepped.write(now_ms() + ms, 2.0);
        assert_eq!(status, 204, "{name}");
        written += usize::from(ms < DAY_MS && ms > -DAY_MS * 20);
        stepped.rest();
        stepped.step(0);
        stepped.rest();
        let found = (stepped.count(), stepped.retentions());
        assert_eq!(found, (samples + written, "0".to_owned()), "{name}, and back");
    }
    // And between two starts.
    for (name, ms) in steps {
        stepped.server.stop();
        stepped.step(ms);
        stepped.server.restart();
        stepped.rest();
        let found = (stepped.count(), stepped.retentions());
        assert_eq!(found, (samples + written, "0".to_owned()), "{name}, started");
    }
    stepped.server.stop();
    stepped.step(0);
    stepped.server.restart();
    assert_eq!(stepped.count(), samples + written, "the clock is right again");
    assert_eq!(stepped.write(now_ms(), 3.0), 204);
    let rests = stepped.server.log().matches("retention rests").count();
    assert!(rests >= 2, "nobody noticed the steps");
    say(&format!(
        "clock steps: {} under way and {} between starts, {rests} noticed, no sample deleted",
        steps.len(),
        steps.len()
    ));
}

/// Retention goes by the clock, whatever senders claim.
#[test]
fn a_sample_from_the_future_deletes_nothing() {
    let mut server =
        Server::start(&["--retention=20d", "--maintenance-interval=20ms", "--max-future=10y"]);
    let mut line = String::new();
    for (t_ms, value) in [(now_ms() - DAY_MS, 1.0), (now_ms() + 5 * 365 * DAY_MS, 2.0)] {
        line_protocol::line(&mut line, "m", &[], &[("v", value)], t_ms * 1_000_000);
        let answer = server.client().post("/write?db=d", line.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 204);
        server.stop();
        server.restart();
    }
    std::thread::sleep(Duration::from_millis(300));
    let found = Query::at("m_v[2d]", now_ms()).run(&mut server.client());
    assert_eq!(found.series().len(), 1, "retention is anchored on the newest sample");
}
