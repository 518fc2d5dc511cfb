//! Recovery keeps to the memory of the running server (reliability contract, P16): after kill -9 the peak
//! until the server is ready is at most a tenth above what was resident before.
//!
//! More: `REPLAY_SERIES=1000000 REPLAY_SAMPLES=20`.

use std::time::Duration;

use compat_tests::remote_write;
use compat_tests::report::say;
use compat_tests::server::Server;

/// Series of a request.
const BATCH: u32 = 2000;
const START_MS: i64 = 1_700_000_000_000;
const STEP_MS: i64 = 15_000;

fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn the_peak_of_replay_is_at_most_a_tenth_above_steady_memory() {
    let (series, samples) = (number("REPLAY_SERIES", 60_000), number("REPLAY_SAMPLES", 20));
    let mut server = Server::start(&[]);
    let mut client = server.client();
    for sample in 0..samples {
        let t = START_MS + i64::from(sample) * STEP_MS;
        for from in (0..series).step_by(BATCH as usize) {
            let body = (from..(from + BATCH).min(series)).map(|n| {
                let (metric, host) = (format!("metric_{}", n % 400), format!("host-{}", n / 400));
                let labels = [
                    ("__name__", metric.as_str()),
                    ("cluster", "production"),
                    ("instance", host.as_str()),
                    ("job", "node"),
                ];
                let value = f64::from(n) + f64::from(sample * (n % 7));
                remote_write::series(&labels, &[(t, value)])
            });
            let answer = remote_write::write(&mut client, body.collect()).expect("an answer");
            assert_eq!(answer.status, 204, "{}", answer.text());
        }
    }
    std::thread::sleep(Duration::from_secs(2));
    let steady = server.process().resident_bytes();
    server.kill();
    let ready = server.restart();
    let peak = server.process().peak_bytes();
    let count =
        server.get("/api/v1/query", &[("query", "count(metric_0)"), ("time", "1700000001")]);
    assert!(count.text().contains(&format!("\"{}\"", series.div_ceil(400))), "{}", count.brief());
    say(&format!(
        "replay of {series} series with {samples} samples: ready after {ready:.2?}, peak {} MiB, steady {} MiB",
        peak >> 20,
        steady >> 20
    ));
    assert!(peak * 10 <= steady * 11, "peak of {peak} bytes, {steady} before");
}
