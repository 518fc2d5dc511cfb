//! Retention, compaction, and one tenant that fails beside another that works.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::peer::Server;

const EAGER: &str = "--maintenance-interval=50ms";
const HOUR: u64 = 3600;

fn write(server: &Server, tenant: &str, seconds: u64) {
    let line = format!("m f={seconds} {seconds}000000000");
    let tenant = format!("X-Scope-OrgID: {tenant}");
    let answer = server.post("/write?db=x", &[&tenant], line.as_bytes());
    assert_eq!(answer.status, 204, "{}", answer.text());
}

/// The value of a metric that counts something.
fn metric(server: &Server, name: &str) -> u64 {
    let metrics = server.get("/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} is {line:?}"))
}

/// A server that stopped after each of these writes, so that each is a block.
fn with_blocks(server: Server, tenant: &str, hours: &[u64], flags: &[&str]) -> Server {
    hours.iter().fold(server, |server, hour| {
        write(&server, tenant, hour * HOUR);
        server.restart(flags)
    })
}

fn values(server: &Server, tenant: &str) -> Vec<serde_json::Value> {
    let tenant = format!("X-Scope-OrgID: {tenant}");
    let target = "/api/v1/query?query=m_f[10y]&time=300000000";
    let answer = server.request("GET", target, &[&tenant], b"").json();
    let samples = answer["data"]["result"][0]["values"].as_array().cloned().unwrap_or_default();
    samples.into_iter().map(|sample| sample[0].clone()).collect()
}

#[test]
fn a_size_for_all_tenants_together_deletes_the_oldest_blocks_of_any() {
    let tenants = ["--tenants", EAGER];
    let server = with_blocks(Server::start(&tenants), "a", &[1, 3, 7], &tenants);
    let server = with_blocks(server, "b", &[2, 5, 6], &tenants);
    let blocks = metric(&server, "prometheus_tsdb_storage_blocks_bytes");
    assert_eq!(metric(&server, "prometheus_tsdb_blocks_loaded"), 6);
    assert_eq!(metric(&server, "prometheus_tsdb_size_retentions_total"), 0);

    // Room for three and a half of the six blocks, which are about as large as each other.
    let log = metric(&server, "prometheus_tsdb_wal_storage_size_bytes");
    let budget = format!("--storage.tsdb.retention.size={}", blocks * 7 / 12 + log);
    let server = server.restart(&["--tenants", EAGER, &budget]);
    server.wait_until("old blocks are deleted", |server| {
        metric(server, "prometheus_tsdb_blocks_loaded") <= 3
    });
    assert_eq!(metric(&server, "prometheus_tsdb_blocks_loaded"), 3);
    assert!(metric(&server, "prometheus_tsdb_size_retentions_total") >= 1);
    assert_eq!(metric(&server, "prometheus_tsdb_time_retentions_total"), 0);
    assert!(metric(&server, "prometheus_tsdb_retention_limit_bytes") > 0);
    assert_eq!(values(&server, "a"), [json!(7 * HOUR)]);
    assert_eq!(values(&server, "b"), [json!(5 * HOUR), json!(6 * HOUR)]);
    assert_eq!(count_directories(&server), 3);
    let info = server.get("/api/v1/status/runtimeinfo").json();
    assert!(info["data"]["storageRetention"].as_str().is_some_and(|text| !text.is_empty()));
}

/// Directories of blocks on disk.
fn count_directories(server: &Server) -> usize {
    let data = server.dir.path().join("data");
    let tenants = std::fs::read_dir(data.join("tenants")).into_iter().flatten();
    let dirs = tenants.map(|entry| entry.unwrap().path()).chain([data]);
    let names = dirs.flat_map(|dir| std::fs::read_dir(dir).unwrap());
    // Names of blocks have 26 digits and capitals.
    names.filter(|entry| entry.as_ref().unwrap().file_name().len() == 26).count()
}

#[test]
fn an_age_deletes_blocks_and_is_counted() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let server = with_blocks(Server::start(&[EAGER]), "", &[now / HOUR - 9, now / HOUR - 1], &[]);
    assert_eq!(metric(&server, "prometheus_tsdb_blocks_loaded"), 2);
    let server = server.restart(&[EAGER, "--retention=5h"]);
    server.wait_until("the old block is deleted", |server| {
        metric(server, "prometheus_tsdb_blocks_loaded") == 1
    });
    assert_eq!(metric(&server, "prometheus_tsdb_time_retentions_total"), 1);
    assert_eq!(metric(&server, "prometheus_tsdb_size_retentions_total"), 0);
    assert_eq!(metric(&server, "prometheus_tsdb_retention_limit_seconds"), 18_000);
    assert_eq!(count_directories(&server), 1);
}

/// With a tenth of the retention no longer than two hours, blocks of a day are not merged.
#[test]
fn compaction_is_counted_and_keeps_to_a_tenth_of_the_retention() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    // Three blocks in one complete day, and one of another day that completes it.
    let day = now / (24 * HOUR) * 24 - 48;
    let idle = &["--maintenance-interval=10m"][..];
    let hours = [day + 1, day + 5, day + 9, day + 30];
    let server = with_blocks(Server::start(idle), "", &hours, idle);
    let server = server.restart(&[EAGER, "--retention=100h"]);
    for _ in 0..3 {
        // The round that would merge them, and two more.
        let rounds = "silverback_maintenance_seconds_total{step=\"compact\"}";
        let before = server.metric(rounds);
        server.wait_until("a round of compaction", |server| server.metric(rounds) > before);
    }
    assert_eq!(metric(&server, "prometheus_tsdb_blocks_loaded"), 4);
    assert_eq!(metric(&server, "prometheus_tsdb_compactions_total"), 0);

    let server = server.restart(&[EAGER, "--retention=1000h"]);
    // Counted last, when the step is over.
    server.wait_until("a day is one block", |server| {
        metric(server, "prometheus_tsdb_compaction_duration_seconds_count") == 1
    });
    assert_eq!(metric(&server, "prometheus_tsdb_blocks_loaded"), 2);
    assert_eq!(metric(&server, "prometheus_tsdb_compactions_total"), 1);
    assert_eq!(metric(&server, "prometheus_tsdb_compactions_failed_total"), 0);
    assert!(metric(&server, "silverback_compaction_read_bytes_total") > 0);
    let written = "silverback_disk_written_bytes_total{by=\"compaction\"}";
    assert!(server.metric(written).unwrap() > 0.0);
    let cpu = "silverback_maintenance_cpu_seconds_total{step=\"compact\"}";
    assert!(server.metric(cpu).unwrap() > 0.0);
}

#[test]
fn a_tenant_whose_disk_is_gone_does_not_delay_the_others() {
    let server = Server::start(&["--tenants", EAGER]);
    // More than one and a half block ranges, so that a flush is due.
    let fill = |tenant: &str, from: u64| {
        for hour in [from, from + 4] {
            write(&server, tenant, hour * HOUR);
        }
    };
    let flushes = |server: &Server| metric(server, "silverback_flushes_total");
    let tenants = server.dir.path().join("data/tenants");
    write(&server, "a", 1);
    std::fs::rename(tenants.join("a"), tenants.join("gone")).unwrap();
    fill("a", 2);
    let failed = "silverback_maintenance_failures_total{step=\"flush\"}";
    server.wait_until("the flush of a fails", |server| server.metric(failed) > Some(0.0));

    let began = Instant::now();
    for n in 1..=3 {
        fill("b", 10 * n);
        server.wait_until("b is flushed", |server| flushes(server) >= n);
    }
    // Had they waited for the rests of the other tenant, of 5, 10, 20, 40 seconds and on, they would
    // have taken longer, however fast the machine.
    assert!(began.elapsed() < Duration::from_secs(35), "{:?}", began.elapsed());
    std::fs::rename(tenants.join("gone"), tenants.join("a")).unwrap();
    server.wait_until("a recovers", |server| flushes(server) >= 4);
}
