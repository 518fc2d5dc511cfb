//! `stats=all`: how many samples each step of a query looked at, as a real Prometheus counts them.

use compat_tests::awkward::{FIRST_MS, fleet, native, requests};
use compat_tests::http::Client;
use compat_tests::peers::Peer;
use compat_tests::promql::seconds;
use compat_tests::remote_write;
use compat_tests::report::Failures;
use compat_tests::server::Server;
use serde_json::Value;

const FEATURES: &str = "--enable-feature=promql-per-step-stats,promql-experimental-functions";

/// Steps of every range.
const STEPS: i64 = 20;

const QUERIES: &[&str] = &[
    "g",
    "g offset 1m",
    "c_total @ 1700000600",
    "sum(rate(c_total[5m]))",
    "rate(c_total[5m] @ 1700000600)",
    "c_total + on (job, instance, code) c_total offset 5m",
    "g and g",
    "g > 0 or flag",
    "sum(g) + sum(g)",
    "quantile_over_time(0.5, gap[2m] offset 30s)",
    "max_over_time(rate(c_total[1m])[5m:30s])",
    "max_over_time((g + flag)[2m:15s] @ 1700000600)",
    "histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))",
    "timestamp(g)",
    "label_replace(g, \"a\", \"b\", \"c\", \"d\")",
    "topk(1, g) / scalar(once)",
    "vector(1) + 2",
    "none",
    "absent(none)",
    // A histogram counts for its size. Prometheus stores buckets that are empty in one and not in
    // another, so only those of one layout are of one size.
    "sum(nh_custom)",
    "rate(nh_custom[5m])",
];

/// The `samples` of the statistics.
fn samples(client: &mut Client, path: &str, params: &[(&str, &str)]) -> Value {
    let response = client.post_form(path, params).expect("an answer");
    let json: Value = serde_json::from_slice(&response.body).expect("JSON");
    json["data"]["stats"]["samples"].clone()
}

fn total(counts: &Value) -> Option<u64> {
    counts.as_array()?.iter().map(|pair| pair[1].as_u64()).sum()
}

#[test]
fn each_step_looks_at_as_many_samples_as_in_prometheus() {
    let what = "statistics of queries beside Prometheus";
    let config = "storage: {tsdb: {out_of_order_time_window: 2h}}\n";
    let flags = [&format!("{FEATURES},native-histograms")[..]];
    let Some(peer) = Peer::prometheus(config, &flags, what) else { return };
    let server = Server::start(&[FEATURES]);
    let (mut ours, mut theirs) = (server.client(), peer.client());
    let mut load = requests(&fleet(5));
    load.push(native::fleet(5));
    for request in load {
        for client in [&mut ours, &mut theirs] {
            let response = remote_write::write(client, request.clone());
            assert_eq!(response.expect("an answer to a write").status / 100, 2);
        }
    }
    let mut failures = Failures::default();
    let (start, end) = (seconds(FIRST_MS + 300_000), seconds(FIRST_MS + 300_000 + STEPS * 60_000));
    for query in QUERIES {
        let instant = [("query", *query), ("stats", "all"), ("time", &end)];
        let range =
            [("query", *query), ("stats", "all"), ("start", &start), ("end", &end), ("step", "60")];
        for (path, params) in [("/api/v1/query", &instant[..]), ("/api/v1/query_range", &range[..])]
        {
            let got = samples(&mut ours, path, params);
            let want = samples(&mut theirs, path, params);
            let mut result = Ok(());
            for name in ["totalQueryableSamples", "totalQueryableSamplesPerStep"] {
                if got[name] != want[name] {
                    result = Err(format!("{name} {}, want {}", got[name], want[name]));
                }
            }
            if result.is_ok() && total(&got["samplesReadPerStep"]) != got["samplesRead"].as_u64() {
                result = Err(format!("what was read does not add up: {got}"));
            }
            failures.check(&format!("{path} {query}"), result);
        }
    }
    failures.finish(what);
}

#[test]
fn without_the_feature_there_are_totals_alone() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let params = [("query", "vector(1)"), ("stats", "all"), ("time", "1")];
    let samples = samples(&mut client, "/api/v1/query", &params);
    let names: Vec<&String> = samples.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["peakSamples", "samplesRead", "totalQueryableSamples"]);
}
