//! `/metrics` in the text format. Names are Prometheus's where they measure the same thing.

mod storage;

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use model::ACCOUNTS;

use super::process::Process;
use super::{DURATION_BOUNDS, Handled, WriteCounters};
use crate::app::App;

/// All metrics of the process.
pub(crate) fn exposition(app: &App) -> String {
    let mut out = Text(String::with_capacity(16 << 10));
    storage::storage(app, &mut out);
    requests(app, &mut out);
    writes(app, &mut out);
    server(app, &mut out);
    process(app, &mut out);
    out.0
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(self.0, "{name}{braces} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, "", value);
    }

    fn by(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        values: &BTreeMap<&str, u64>,
    ) {
        self.family(name, kind, help);
        for (key, value) in values {
            self.sample(name, &format!("{label}=\"{key}\""), value);
        }
    }
}

fn requests(app: &App, out: &mut Text) {
    let handled: BTreeMap<&str, Handled> = app.metrics.handled.lock().clone();
    out.family("prometheus_http_requests_total", "counter", "Counter of HTTP requests.");
    for (handler, h) in &handled {
        for (code, n) in &h.by_code {
            let labels = format!("handler=\"{handler}\",code=\"{code}\"");
            out.sample("prometheus_http_requests_total", &labels, n);
        }
    }
    let name = "prometheus_http_request_duration_seconds";
    out.family(name, "histogram", "Histogram of latencies for HTTP requests.");
    for (handler, h) in &handled {
        let mut below = 0;
        for (bound, n) in DURATION_BOUNDS.iter().zip(h.buckets) {
            below += n;
            let labels = format!("handler=\"{handler}\",le=\"{bound}\"");
            out.sample(&format!("{name}_bucket"), &labels, below);
        }
        out.sample(
            &format!("{name}_bucket"),
            &format!("handler=\"{handler}\",le=\"+Inf\""),
            h.count,
        );
        out.sample(&format!("{name}_sum"), &format!("handler=\"{handler}\""), h.seconds);
        out.sample(&format!("{name}_count"), &format!("handler=\"{handler}\""), h.count);
    }
    let name = "silverback_http_response_bytes_total";
    out.family(name, "counter", "Bytes of answers as sent.");
    for (handler, h) in &handled {
        out.sample(name, &format!("handler=\"{handler}\""), h.response_bytes);
    }
    for (pool, name) in [(&app.writes, "write"), (&app.queries, "query")] {
        let labels = format!("pool=\"{name}\"");
        if name == "write" {
            out.family("silverback_pool_running", "gauge", "Calls that run now.");
        }
        out.sample("silverback_pool_running", &labels, pool.running());
    }
    out.one(
        "prometheus_engine_queries",
        "gauge",
        "The current number of queries being executed.",
        app.queries.running(),
    );
    out.one(
        "prometheus_engine_queries_concurrent_max",
        "gauge",
        "The max number of concurrent queries.",
        app.queries.size(),
    );
    out.one(
        "silverback_panics_total",
        "counter",
        "Calls that panicked and were answered with a 500.",
        app.writes.panics() + app.queries.panics(),
    );
}

fn writes(app: &App, out: &mut Text) {
    type Pick = fn(&WriteCounters) -> &AtomicU64;
    let counters: [(&str, &str, Pick); 8] = [
        ("silverback_samples_appended_total", "Samples stored.", |c| &c.samples),
        (
            "silverback_samples_late_total",
            "Samples stored that were older than their series' newest.",
            |c| &c.late,
        ),
        ("silverback_samples_refused_total", "Samples refused.", |c| &c.refused),
        ("silverback_exemplars_dropped_total", "Exemplars that were not stored.", |c| {
            &c.exemplars_dropped
        }),
        ("silverback_strings_dropped_total", "String fields that were not stored.", |c| {
            &c.strings_dropped
        }),
        ("silverback_name_tags_ignored_total", "Tags called __name__ that were ignored.", |c| {
            &c.name_tags_ignored
        }),
        ("silverback_bad_lines_total", "Lines that could not be parsed.", |c| &c.bad_lines),
        ("silverback_write_bytes_total", "Bytes of write bodies, decompressed.", |c| &c.bytes),
    ];
    for (name, help, pick) in counters {
        out.family(name, "counter", help);
        for (door, counters) in
            [("remote_write", &app.metrics.remote), ("line_protocol", &app.metrics.line)]
        {
            out.sample(name, &format!("door=\"{door}\""), pick(counters).load(Relaxed));
        }
    }
    let samples = app.metrics.remote.samples.load(Relaxed) + app.metrics.line.samples.load(Relaxed);
    out.one(
        "prometheus_tsdb_head_samples_appended_total",
        "counter",
        "Total number of appended samples.",
        samples,
    );
}

fn server(app: &App, out: &mut Text) {
    let metrics = &app.metrics;
    out.by(
        "limit_exceeded_total",
        "counter",
        "Refusals by limit.",
        "limit",
        &metrics.limits.lock(),
    );
    out.by(
        "silverback_connections_cut_total",
        "counter",
        "Connections cut off because they waited too long.",
        "reason",
        &metrics.cuts.lock(),
    );
    out.one(
        "silverback_connections",
        "gauge",
        "Open connections.",
        metrics.connections.load(Relaxed),
    );
    out.one(
        "silverback_connections_total",
        "counter",
        "Connections accepted.",
        metrics.connections_total.load(Relaxed),
    );
    let (ok, reloaded_ms) = app.reload_state();
    out.one(
        "prometheus_config_last_reload_successful",
        "gauge",
        "Whether the last configuration reload attempt was successful.",
        u8::from(ok),
    );
    out.one(
        "prometheus_config_last_reload_success_timestamp_seconds",
        "gauge",
        "Timestamp of the last successful configuration reload.",
        reloaded_ms / 1000,
    );
    let version = env!("CARGO_PKG_VERSION");
    out.family("silverback_build_info", "gauge", "A constant 1 with the version.");
    out.sample("silverback_build_info", &format!("version=\"{version}\""), 1);
}

fn process(app: &App, out: &mut Text) {
    out.one("silverback_memory_limit_bytes", "gauge", "The memory budget.", app.memory.limit());
    out.family("silverback_memory_used_bytes", "gauge", "The memory budget in use.");
    for account in ACCOUNTS {
        let labels = format!("account=\"{}\"", account.as_str());
        out.sample("silverback_memory_used_bytes", &labels, app.memory.used_by(account));
    }
    let p = Process::read();
    out.one(
        "process_cpu_seconds_total",
        "counter",
        "Total user and system CPU time spent in seconds.",
        p.cpu_seconds,
    );
    out.one(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory size in bytes.",
        p.resident_bytes,
    );
    out.one(
        "process_virtual_memory_bytes",
        "gauge",
        "Virtual memory size in bytes.",
        p.virtual_bytes,
    );
    out.one("process_open_fds", "gauge", "Number of open file descriptors.", p.open_fds);
    out.one("process_max_fds", "gauge", "Maximum number of open file descriptors.", p.max_fds);
    out.one("process_threads", "gauge", "Number of OS threads.", p.threads);
    out.one(
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds.",
        app.started_ms / 1000,
    );
}
