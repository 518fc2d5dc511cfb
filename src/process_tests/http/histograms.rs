//! Native histograms from remote write to answers, over restarts (contract 1.2, 2.8).

use std::process::Command;

use serde_json::{Value, json};

use crate::message::{field, series, varint, write};
use crate::peer::Server;

fn double(number: u8, v: f64) -> Vec<u8> {
    [vec![number << 3 | 1], v.to_le_bytes().to_vec()].concat()
}

fn sint(n: i64) -> Vec<u8> {
    varint((n << 1 ^ n >> 63).cast_unsigned())
}

/// Integer buckets of schema 0: `deltas` from bucket 0, which is 0.5 to 1, a zero bucket of two up
/// to 0.001, and one negative bucket from -2 to -1 with `negative`.
fn exponential(t_ms: u64, count: u8, negative: i64, deltas: &[i64]) -> Vec<u8> {
    let width = u8::try_from(deltas.len()).unwrap();
    [
        vec![1 << 3, count],
        double(3, 12.5),
        double(5, 0.001),
        vec![6 << 3, 2],
        field(8, &[1 << 3, 2, 2 << 3, 1]),
        field(9, &sint(negative)),
        field(11, &[2 << 3, width]),
        field(12, &deltas.iter().flat_map(|d| sint(*d)).collect::<Vec<_>>()),
        vec![15 << 3],
        varint(t_ms),
    ]
    .concat()
}

/// Float counts in custom buckets up to 1, 2.5 and +Inf.
fn custom(t_ms: u64, counts: [f64; 3]) -> Vec<u8> {
    [
        double(2, counts.iter().sum()),
        double(3, 5.0),
        vec![4 << 3],
        sint(-53),
        field(11, &[2 << 3, 3]),
        field(13, &counts.iter().flat_map(|c| c.to_le_bytes()).collect::<Vec<_>>()),
        vec![15 << 3],
        varint(t_ms),
        field(16, &[1.0_f64, 2.5].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()),
    ]
    .concat()
}

fn result(server: &Server, target: &str) -> Value {
    server.get(target).json()["data"]["result"].take()
}

fn check(server: &Server) {
    let first = json!({"count": "9", "sum": "12.5", "buckets": [
        [1, "-2", "-1", "1"], [3, "-0.001", "0.001", "2"], [0, "0.5", "1", "4"], [0, "1", "2", "2"],
    ]});
    assert_eq!(
        result(server, "/api/v1/query?query=h&time=1000.5"),
        json!([{"metric": {"__name__": "h"}, "histogram": [1000.5, first]}])
    );
    let second = json!({"count": "17", "sum": "12.5", "buckets": [
        [1, "-2", "-1", "3"], [3, "-0.001", "0.001", "2"], [0, "0.5", "1", "6"], [0, "1", "2", "6"],
    ]});
    assert_eq!(
        result(server, "/api/v1/query_range?query=h&start=1000&end=1060&step=60"),
        json!([{"metric": {"__name__": "h"}, "histograms": [[1000, first], [1060, second]]}])
    );
    // Raw samples keep their times; floats and histograms of one series stand apart.
    assert_eq!(
        result(server, "/api/v1/query?query=mixed[5m]&time=1100"),
        json!([{"metric": {"__name__": "mixed"}, "values": [[1000, "7"]], "histograms": [
            [1060, {"count": "6", "sum": "5", "buckets": [
                [3, "-Inf", "1", "1"], [0, "1", "2.5", "2"], [0, "2.5", "+Inf", "3"]]}]]}])
    );
    // The median of six in custom buckets: rank 3 is the end of the second.
    for (query, want) in [
        ("histogram_quantile(0.5,mixed)", "2.5"),
        ("histogram_count(h)", "17"),
        ("histogram_sum(h)", "12.5"),
        ("histogram_quantile(1,h)", "2"),
    ] {
        let found = result(server, &format!("/api/v1/query?query={query}&time=1060"));
        let value = found[0]["value"][1].as_str().unwrap_or_default();
        assert_eq!(value, want, "{query}: {found}");
    }
}

#[test]
fn native_histograms_are_answered_and_survive_restarts() {
    let mut server = Server::start(&[]);
    let mixed = custom(1_060_000, [1.0, 2.0, 3.0]);
    let h = [("__name__", "h")];
    let message = [
        series(&h, &[], &[exponential(1_000_000, 9, 1, &[4, -2])]),
        series(&h, &[], &[exponential(1_060_000, 17, 3, &[6, 0])]),
        series(&[("__name__", "mixed")], &[(1_000_000, 7.0)], &[mixed]),
        series(&[("__name__", "bad")], &[], &[exponential(1_000_000, 8, 1, &[4, -2])]),
    ];
    let (status, text) = write(&server, &message);
    assert_eq!(status, 400);
    assert!(
        text.starts_with("9 observations found in buckets, but the Count field is 8: histogram's"),
        "{text}"
    );
    check(&server);
    assert_eq!(write(&server, &message[..3]), (204, String::new()), "a retry is fine");
    // Out of the log.
    server.kill();
    let mut server = server.start_again();
    check(&server);
    // Out of a block: a clean stop leaves one.
    let done = Command::new("kill").arg("-TERM").arg(server.pid().to_string()).status();
    assert!(done.unwrap().success() && server.wait().success());
    let server = server.start_again();
    check(&server);
    assert_eq!(result(&server, "/api/v1/query?query=bad&time=1000"), json!([]));
}
