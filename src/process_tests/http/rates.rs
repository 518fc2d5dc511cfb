//! Limits on what comes in a second and on what tenants and queries may have (reliability contract, L12 to
//! L14, L20 and L29): each with its status, text and counter, and what it does not touch goes on.

use std::time::{Duration, Instant};

use crate::message::series;
use crate::peer::{Answer, Server};

/// The doors of writers: path, and whether a write that comes too early is a 429 there.
const LINE_DOORS: [(&str, u16); 3] = [
    ("/write?db=d&precision=s", 503),
    ("/api/v2/write?bucket=d&precision=s", 429),
    ("/api/v3/write_lp?db=d&precision=second", 429),
];

fn later(answer: &Answer, status: u16, text: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(text), "{}", answer.text());
    let wait = answer.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
    assert!(wait.is_some_and(|seconds| (1..=60).contains(&seconds)), "{wait:?}");
}

fn lines(name: &str, series: std::ops::Range<u32>) -> Vec<u8> {
    let lines: Vec<String> = series.map(|n| format!("{name},n={n} f=1 1000")).collect();
    lines.join("\n").into_bytes()
}

fn remote(name: &str, count: u32) -> Vec<u8> {
    let all = (0..count).map(|n| {
        let n = n.to_string();
        series(&[("__name__", name), ("n", &n)], &[(1_000_000, 1.0)], &[])
    });
    remote::snappy::compress(&all.collect::<Vec<_>>().concat())
}

fn counted(server: &Server, limit: &str) -> f64 {
    server.metric(&format!("limit_exceeded_total{{limit=\"{limit}\"}}")).unwrap_or(0.0)
}

/// Repeats a request until it is answered with `status`.
fn until(status: u16, mut request: impl FnMut() -> Answer) -> Answer {
    let began = Instant::now();
    loop {
        let answer = request();
        if answer.status == status {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{}: {}", answer.status, answer.text());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn new_series_that_come_too_fast_wait_and_known_ones_go_on() {
    let server = Server::start(&["--new-series-rate=2", "--new-series-burst=5"]);
    let known = lines("known", 0..2);
    assert_eq!(server.post(LINE_DOORS[0].0, &[], &known).status, 204);
    let text = "over 2 new series per second (new-series-rate)";
    // More than can come while this test runs.
    later(&server.post(LINE_DOORS[0].0, &[], &lines("first", 0..500)), 503, text);
    for (name, (path, status)) in ["a", "b", "c"].into_iter().zip(LINE_DOORS) {
        later(&server.post(path, &[], &lines(name, 0..500)), status, text);
        assert_eq!(server.post(path, &[], &known).status, 204, "{path}: known series");
    }
    let answer = server.post("/api/v1/write", &[], &remote("remote", 500));
    later(&answer, 503, text);
    let some = server.get("/api/v1/query?query=count(first_f)&time=1000");
    assert!(
        some.text().contains("\"value\""),
        "what was within the rate is stored: {}",
        some.text()
    );
    assert!(counted(&server, "new_series_rate") > 1900.0);
    // The same again is taken in the end, and stored once.
    let few = lines("few", 0..4);
    until(204, || server.post(LINE_DOORS[0].0, &[], &few));
    let count = server.get("/api/v1/query?query=count(few_f)&time=1000");
    assert!(count.text().contains("\"4\""), "{}", count.text());
}

#[test]
fn samples_that_come_too_fast_wait_by_tenant() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.yml");
    let rate = |rate: u32| std::fs::write(&file, format!("sample-rate: {rate}\nsample-burst: 5\n"));
    rate(1).unwrap();
    let config = format!("--config={}", file.display());
    let server = Server::start(&[&config, "--tenants", "--web.enable-lifecycle"]);
    // One request of any size gets through; what it took is made up for first.
    assert_eq!(server.post(LINE_DOORS[0].0, &[], &lines("m", 0..500)).status, 204);
    let text = "over 1 samples per second (sample-rate)";
    for (path, status) in LINE_DOORS {
        later(&server.post(path, &[], &lines("m", 0..1)), status, text);
    }
    later(&server.post("/api/v1/write", &[], &remote("m", 1)), 503, text);
    assert!(counted(&server, "sample_rate") >= 4.0);
    let other = ["X-Scope-OrgID: other"];
    assert_eq!(server.post(LINE_DOORS[0].0, &other, &lines("m", 0..1)).status, 204);
    rate(0).unwrap();
    assert_eq!(server.post("/-/reload", &[], b"").status, 200);
    assert_eq!(server.post(LINE_DOORS[0].0, &[], &lines("m", 0..1)).status, 204);
}

#[test]
fn series_are_limited_by_tenant_and_by_process_over_restarts() {
    let flags = ["--tenants", "--max-series-per-tenant=2", "--max-series=3"];
    let mut server = Server::start(&flags);
    let write = |server: &Server, tenant: &str, series| {
        let header = format!("X-Scope-OrgID: {tenant}");
        server.post(LINE_DOORS[0].0, &[&header], &lines("m", 0..series))
    };
    for round in 0..2 {
        let answer = write(&server, "a", 3);
        let text = "active series limit of 2 reached (max-series-per-tenant) dropped=1";
        assert!(answer.status == 400 && answer.text().contains(text), "{round}: {}", answer.text());
        let answer = write(&server, "b", 2);
        let text = "active series limit of 3 reached (max-series) dropped=1";
        assert!(answer.status == 400 && answer.text().contains(text), "{round}: {}", answer.text());
        assert_eq!(write(&server, "b", 1).status, 204, "known series go on");
        assert!(counted(&server, "series") >= 2.0);
        server = server.restart(&flags);
    }
}

#[test]
fn queries_have_a_limit_each_and_one_together() {
    let range = "/api/v1/query_range?query=m_f&start=1000&end=1299&step=0.03";
    let answers = |flag: &str, status: u16, text: &str, limit: &str| {
        let server = Server::start(&["--memory-limit=128MiB", flag]);
        assert_eq!(server.post(LINE_DOORS[0].0, &[], &lines("m", 0..100)).status, 204);
        let answer = server.get(range);
        assert_eq!(answer.status, status, "{flag}: {}", answer.text());
        assert!(answer.text().contains(text), "{flag}: {}", answer.text());
        assert_eq!(answer.header("retry-after").is_some(), status == 503, "{flag}");
        assert!(counted(&server, limit) >= 1.0, "{flag}: {limit} is not counted");
        assert_eq!(server.get("/api/v1/query?query=count(m_f)&time=1000").status, 200);
    };
    answers("--query-max-bytes=1MiB", 422, "limit 1048576", "query_bytes");
    answers("--query-memory-percent=1", 503, "(query-memory-percent)", "queries_bytes");
}

#[test]
fn a_log_over_its_limit_refuses_writes_until_it_is_shorter() {
    // Nobody shortens the log for a while.
    let server = Server::start(&["--max-wal-bytes=32KiB", "--maintenance-interval=5s"]);
    let write = |name: &str, count| server.post(LINE_DOORS[0].0, &[], &lines(name, 0..count));
    // The log is asked before a request, so this one is taken.
    assert_eq!(write("a_measurement_with_a_long_name", 20_000).status, 204);
    let answer = write("m", 1);
    later(&answer, 503, "limit 32768 (max-wal-bytes)");
    assert!(counted(&server, "wal") >= 1.0);
    assert_eq!(server.get("/api/v1/query?query=up").status, 200, "queries go on");
    until(204, || write("m", 1));
    let all = server.form("/api/v1/query", "query=count({db=%22d%22})&time=1000");
    assert!(all.text().contains("\"20001\""), "{}", all.text());
}
