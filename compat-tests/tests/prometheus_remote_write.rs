//! A real Prometheus writes what it scrapes to the server; both then give the same answers.
//!
//! `COMPAT_SCRAPE_SECONDS` sets how long it scrapes (60).

use std::time::{Duration, Instant};

use compat_tests::exporter::Exporter;
use compat_tests::peers::Peer;
use compat_tests::promql::Query;
use compat_tests::promtool::Promtool;
use compat_tests::report::{Failures, say};
use compat_tests::rng::now_ms;
use compat_tests::server::Server;

/// Time for the last samples to arrive.
const CATCH_UP: Duration = Duration::from_secs(20);

fn config(server: &Server, exporter: &Exporter) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs:\n\
         - job_name: prometheus\n  static_configs: [{{targets: [\"SELF\"]}}]\n\
         - job_name: silverback\n  static_configs: [{{targets: [\"{}\"]}}]\n\
         - job_name: shapes\n  static_configs: [{{targets: [\"{}\"]}}]\n\
         remote_write:\n\
         - url: {}/api/v1/write\n  queue_config: {{batch_send_deadline: 500ms, max_shards: 4}}\n",
        server.address(),
        exporter.address(),
        server.url(),
    )
}

/// Instant queries; each is asked at several times.
const INSTANT: &[&str] = &[
    "up",
    "count({__name__!=\"\"})",
    "count by (__name__, job) ({__name__!=\"\"})",
    "t_requests_total",
    "sum(rate(t_requests_total[30s]))",
    "sum by (code) (increase(t_requests_total[30s]))",
    "irate(t_requests_total[10s])",
    "resets(t_requests_total[1m]) + changes(t_requests_total[1m])",
    "t_special",
    "t_special == t_special",
    "t_gauge",
    "-t_gauge ^ 2 % 7",
    "t_gauge{host=\"a\"} / ignoring(host) t_gauge{host=\"b\"}",
    "t_gauge > bool 10 or on() vector(1)",
    "avg_over_time(t_gauge[20s]) - stddev_over_time(t_gauge[20s])",
    "quantile_over_time(0.9, t_gauge[30s])",
    "last_over_time(t_gauge[30s] offset 5s)",
    "deriv(t_gauge[30s])",
    "predict_linear(t_gauge[30s], 60)",
    "t_comes_and_goes",
    "absent(t_comes_and_goes)",
    "present_over_time(t_comes_and_goes[30s])",
    "t_comes_and_goes[25s]",
    "count(t_churn) by (generation)",
    "topk(3, t_churn * on() group_left() t_idle_total)",
    "histogram_quantile(0.9, rate(t_latency_seconds_bucket[30s]))",
    "histogram_quantile(0.5, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[30s])))",
    "{\"t.dotted/name\"}",
    "sum by (\"label.one\") ({\"t.dotted/name\"})",
    "t_big_total",
    "timestamp(t_gauge)",
    "label_replace(t_gauge, \"copy\", \"$1!\", \"host\", \"(.*)\")",
    "label_join(t_gauge, \"both\", \"/\", \"job\", \"host\")",
    "sort_desc(t_gauge)",
    "max_over_time(rate(t_idle_total[10s])[20s:5s])",
    "scalar(t_idle_total) + 1",
    "{job=~\"prom.*|shapes\", __name__=~\"t_.*|up\"}",
    "rate(prometheus_tsdb_head_samples_appended_total[30s])",
    "sum without (code) (t_requests_total) unless t_gauge",
    "count_values(\"value\", t_gauge)",
    "sum(t_latency_seconds_count) by (le",
    "t_gauge + on(host) group_left t_requests_total",
];

/// Range queries.
const RANGE: &[&str] = &[
    "up",
    "t_requests_total",
    "rate(t_requests_total[15s])",
    "sum by (code) (rate(t_requests_total[15s]))",
    "t_special",
    "t_comes_and_goes",
    "absent(t_comes_and_goes)",
    "t_churn",
    "count(t_churn)",
    "avg_over_time(t_gauge[10s])",
    "histogram_quantile(0.99, sum by (le) (rate(t_latency_seconds_bucket[20s])))",
    "sum by (job) (scrape_samples_scraped)",
    "changes(t_special[20s])",
    "min_over_time(t_gauge[20s:3s])",
    "t_gauge offset 7s",
    "topk(1, t_gauge)",
    "process_cpu_seconds_total",
    "rate(process_cpu_seconds_total[10s])",
    "{\"t.dotted/name\"} % 5",
    "rate(prometheus_http_request_duration_seconds_bucket[10s])",
];

/// The queries, aligned to times that both sides have.
fn queries(first_ms: i64, last_ms: i64) -> Vec<Query> {
    let mut queries = Vec::new();
    for expr in INSTANT {
        for back_ms in [0, 7_000, 13_500] {
            queries.push(Query::at(expr, last_ms - back_ms));
        }
    }
    for expr in RANGE {
        queries.push(Query::range(expr, first_ms, last_ms, 1_000));
        queries.push(Query::range(expr, first_ms - 3_000, last_ms, 7_000));
    }
    queries
}

#[test]
fn what_prometheus_writes_reads_back_as_in_prometheus() {
    let what = "a real Prometheus writing to the server";
    let exporter = Exporter::start();
    let server = Server::start(&[]);
    let Some(peer) = Peer::prometheus(&config(&server, &exporter), &[], what) else { return };
    let seconds: u64 =
        std::env::var("COMPAT_SCRAPE_SECONDS").map_or(60, |s| s.parse().expect("a number"));
    let began_ms = now_ms();
    std::thread::sleep(Duration::from_secs(seconds));
    let last_ms = now_ms() / 1000 * 1000 - 1_000;
    // The first scrapes may precede the start of the sender's queue.
    let first_ms = (began_ms / 1000 + 10) * 1000;

    let (mut ours, mut theirs) = (server.client(), peer.client());
    let all = Query::at("sum(count_over_time({__name__!=\"\"}[20s]))", last_ms);
    let began = Instant::now();
    while all.run(&mut ours).same_as(&all.run(&mut theirs)).is_err() && began.elapsed() < CATCH_UP {
        std::thread::sleep(Duration::from_millis(200));
    }

    let mut failures = Failures::default();
    for query in queries(first_ms, last_ms) {
        let (got, want) = (query.run(&mut ours), query.run(&mut theirs));
        failures.check(&query.to_string(), got.same_as(&want));
    }
    promtool(&server, &peer, first_ms, last_ms, &mut failures);
    let num_series = Query::at("count({__name__!=\"\"})", last_ms).run(&mut theirs).single();
    say(&format!("prometheus_remote_write: {num_series:?} series for {seconds} s"));
    failures.finish("prometheus_remote_write");
    assert!(num_series.is_some_and(|n| n > 100.0), "Prometheus scraped nothing");
}

/// promtool's queries give the same output from both servers.
fn promtool(server: &Server, peer: &Peer, first_ms: i64, last_ms: i64, failures: &mut Failures) {
    let Some(promtool) = Promtool::find("promtool against the server") else { return };
    let (start, end) = ((first_ms / 1000).to_string(), (last_ms / 1000).to_string());
    let time = format!("--time={end}");
    let (start, end) = (format!("--start={start}"), format!("--end={end}"));
    let cases: &[&[&str]] = &[
        &["query", "instant", "URL", "t_gauge", &time],
        &["query", "instant", "URL", "1 + 1", &time],
        &["query", "instant", "URL", "t_comes_and_goes[20s]", &time],
        &["query", "instant", "URL", "sum(", &time],
        &["query", "-o", "json", "instant", "URL", "sum(up)", &time],
        &["query", "range", "URL", "rate(t_requests_total[15s])", &start, &end, "--step=5s"],
        &["query", "range", "URL", "t_special", &start, &end],
        &["query", "series", "URL", "--match=t_gauge", "--match={job=\"shapes\"}", &start, &end],
        &["query", "labels", "URL", "job", &start, &end],
        &["query", "labels", "URL", "__name__", "--match={job=\"shapes\"}", &start, &end],
        &["query", "labels", "URL", "label.one", &start, &end],
    ];
    for case in cases {
        let run = |url: &str| {
            let arguments: Vec<&str> =
                case.iter().map(|&a| if a == "URL" { url } else { a }).collect();
            promtool.lines(&arguments)
        };
        let (got, want) = (run(&server.url()), run(&peer.url()));
        let same = if got == want { Ok(()) } else { Err(format!("{got:?}, want {want:?}")) };
        failures.check(&format!("promtool {}", case.join(" ")), same);
    }
}
