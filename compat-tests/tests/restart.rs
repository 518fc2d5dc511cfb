//! A clean stop: exit 0 within the grace, an empty log, and the same answers afterwards.

use std::path::Path;

use compat_tests::line_protocol;
use compat_tests::process::{Process, disk_bytes};
use compat_tests::promql::{Answer, Query};
use compat_tests::remote_write::{self, Metadata, WriteRequest, series};
use compat_tests::report::{Failures, say};
use compat_tests::rng::now_ms;
use compat_tests::server::{GRACE, Server};
use prost::Message as _;

/// Bytes of log that a clean stop may leave: headers of segments, no samples.
const MAX_WAL_BYTES: u64 = 64 << 10;

/// Directories below `dir` that hold the log.
fn wal_bytes(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.file_name().to_str() {
        Some("wal") => disk_bytes(&entry.path()),
        _ if entry.path().is_dir() => wal_bytes(&entry.path()),
        _ => 0,
    };
    entries.flatten().map(size).sum()
}

fn fill(server: &Server, base_ms: i64) {
    let mut client = server.client();
    for minute in 0..30 {
        let t_ms = base_ms + minute * 60_000;
        let mut batch = Vec::new();
        for host in 0..20 {
            let host = host.to_string();
            let value = f64::from(u32::try_from(minute).expect("below 30")) * 1.5;
            let labels = [("__name__", "load"), ("host", host.as_str())];
            batch.push(series(&labels, &[(t_ms, value), (t_ms + 30_000, value + 0.1)]));
        }
        let answer = remote_write::write(&mut client, batch).expect("an answer");
        assert_eq!(answer.status, 204, "{}", answer.brief());
        let mut lines = String::new();
        for host in ["a", "b"] {
            let fields = [("used", 3.25), ("free", -7.0)];
            line_protocol::line(&mut lines, "mem", &[("host", host)], &fields, t_ms * 1_000_000);
        }
        let answer = client.post("/write?db=telegraf", lines.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 204, "{}", answer.brief());
    }
    // Late rows, a correction and a stale marker.
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let labels = [("__name__", "load"), ("host", "3")];
    for (t_ms, value) in [(base_ms - 7_200_000, 1.0), (base_ms, 99.0), (base_ms + 1_900_000, stale)]
    {
        let answer = remote_write::write(&mut client, vec![series(&labels, &[(t_ms, value)])]);
        assert_eq!(answer.expect("an answer").status, 204);
    }
}

fn queries(base_ms: i64) -> Vec<Query> {
    let end_ms = base_ms + 2_000_000;
    vec![
        Query::at("load[1d]", end_ms),
        Query::at("{db=\"telegraf\"}[1d]", end_ms),
        Query::at("load", base_ms + 1_900_000),
        Query::at("count by (__name__) ({__name__!=\"\"})", base_ms + 1_500_000),
        Query::range("sum by (host) (rate(load[5m]))", base_ms, end_ms, 15_000),
        Query::range("mem_used - mem_free", base_ms - 60_000, end_ms, 60_000),
    ]
}

fn answers(server: &Server, base_ms: i64) -> Vec<Answer> {
    let mut client = server.client();
    queries(base_ms).iter().map(|query| query.run(&mut client)).collect()
}

#[test]
fn a_clean_restart_changes_no_answer_and_leaves_no_log() {
    let mut server = Server::start(&[]);
    let base_ms = now_ms() / 1000 * 1000 - 2_400_000;
    fill(&server, base_ms);
    let before = answers(&server, base_ms);
    assert!(before.iter().all(|a| a.status == 200 && !a.series().is_empty()), "{before:?}");
    let mut failures = Failures::default();
    for round in 1..=3 {
        server.stop();
        let left = wal_bytes(&server.data_dir());
        let why = format!("{left} bytes of log are left after SIGTERM");
        let result = if left <= MAX_WAL_BYTES { Ok(()) } else { Err(why) };
        failures.check(&format!("round {round}, log"), result);
        let ready = server.restart();
        let after = answers(&server, base_ms);
        for ((query, want), got) in queries(base_ms).iter().zip(&before).zip(&after) {
            failures.check(&format!("round {round}, {query}"), got.same_as(want));
        }
        if round == 3 {
            say(&format!("restart: ready after {ready:?}, log {left} bytes"));
        }
    }
    failures.finish("restart");
}

#[test]
fn a_killed_server_gives_the_same_answers() {
    let mut server = Server::start(&[]);
    let base_ms = now_ms() / 1000 * 1000 - 2_400_000;
    fill(&server, base_ms);
    let before = answers(&server, base_ms);
    let mut failures = Failures::default();
    for round in 1..=3 {
        server.kill();
        server.restart();
        let after = answers(&server, base_ms);
        for ((query, want), got) in queries(base_ms).iter().zip(&before).zip(&after) {
            failures.check(&format!("round {round}, {query}"), got.same_as(want));
        }
    }
    failures.finish("restart after kill -9");
}

#[test]
fn metadata_of_remote_write_survives_a_kill_and_a_clean_stop() {
    let mut server = Server::start(&[]);
    let entry = Metadata {
        kind: 1,
        family: "requests_total".to_owned(),
        help: "Requests.".to_owned(),
        unit: "requests".to_owned(),
    };
    let message = WriteRequest { timeseries: Vec::new(), metadata: vec![entry] };
    let body = remote_write::compress(&message.encode_to_vec());
    let answer = remote_write::send(&mut server.client(), &body).expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.brief());
    let want = serde_json::json!({
        "requests_total": [{"type": "counter", "help": "Requests.", "unit": "requests"}]
    });
    let found = |server: &Server| server.get("/api/v1/metadata", &[]).json()["data"].clone();
    assert_eq!(found(&server), want);
    server.kill();
    server.restart();
    assert_eq!(found(&server), want, "after kill -9");
    server.stop();
    server.restart();
    assert_eq!(found(&server), want, "after SIGTERM");
}

#[test]
fn a_second_server_on_the_same_directory_exits_with_one_line() {
    let server = Server::start(&[]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = dir.path().join("log");
    let mut second = std::process::Command::new(compat_tests::server::binary());
    second.arg("--data-dir").arg(server.data_dir());
    second.arg("--bind").arg(compat_tests::process::free_address().to_string());
    let mut second = Process::spawn("second server", second, &log).expect("it starts");
    let status = second.wait(GRACE).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(status.code(), Some(1), "{}", second.log());
    let log = second.log();
    let errors: Vec<&str> = log
        .lines()
        .filter(|l| !l.contains("level=info") && !l.contains("level=warn") && !l.is_empty())
        .collect();
    assert_eq!(errors.len(), 1, "one line says why: {log}");
    assert!(errors[0].contains("lock") || errors[0].contains("use"), "{log}");
    // The first is unharmed.
    assert_eq!(server.get("/-/ready", &[]).status, 200);
}

#[test]
fn sigterm_under_load_ends_within_the_grace() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let mut server = Server::start(&[]);
    let stop = AtomicBool::new(false);
    let mut client = server.client();
    std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            for i in 0..1_000_000_u32 {
                let batch = vec![series(&[("__name__", "x")], &[(now_ms(), f64::from(i))])];
                if stop.load(Ordering::Relaxed) || remote_write::write(&mut client, batch).is_err()
                {
                    return;
                }
            }
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        server.stop();
        stop.store(true, Ordering::Relaxed);
    });
}
