//! The server's own log and counters.

mod exposition;
mod logfmt;
mod process;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing_subscriber::filter::LevelFilter;

use crate::config::{LogFormat, LogLevel};

pub(crate) use exposition::exposition;
pub(crate) use process::{available_memory, resident_memory, thread_cpu_time};

/// Starts logging to standard error.
pub(crate) fn start_logging(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    // A second call, which only tests make, changes nothing.
    let _ = match format {
        LogFormat::Logfmt => builder.event_format(logfmt::Logfmt).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Log lines of one kind per second (limit L32).
const LINES_PER_SECOND: u32 = 10;

/// Bounds how often one kind of event is logged; what is left out is counted and said later.
#[derive(Debug, Default)]
pub(crate) struct LogLimiter {
    kinds: Mutex<BTreeMap<&'static str, Window>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u32,
    left_out: u64,
}

impl LogLimiter {
    /// Whether a line of this kind may be logged now.
    pub(crate) fn allow(&self, kind: &'static str) -> bool {
        let now = Instant::now();
        let mut kinds = self.kinds.lock();
        let window = kinds.entry(kind).or_insert(Window { began: now, lines: 0, left_out: 0 });
        if now.duration_since(window.began) >= Duration::from_secs(1) {
            if window.left_out > 0 {
                tracing::warn!(kind, lines = window.left_out, "log lines of one kind left out");
            }
            *window = Window { began: now, lines: 0, left_out: 0 };
        }
        let allowed = window.lines < LINES_PER_SECOND;
        window.lines += u32::from(allowed);
        window.left_out += u64::from(!allowed);
        allowed
    }
}

/// Upper bounds of request durations, seconds, as Prometheus has them.
const DURATION_BOUNDS: [f64; 10] = [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0, 300.0];

#[derive(Debug, Default, Clone)]
struct Handled {
    by_code: BTreeMap<u16, u64>,
    buckets: [u64; DURATION_BOUNDS.len()],
    seconds: f64,
    count: u64,
    response_bytes: u64,
}

/// Counters of what a write door did with its rows.
#[derive(Debug, Default)]
pub(crate) struct WriteCounters {
    /// Samples stored.
    pub(crate) samples: AtomicU64,
    /// Samples that came late.
    pub(crate) late: AtomicU64,
    /// Samples refused.
    pub(crate) refused: AtomicU64,
    /// Rows of a kind that is not stored: exemplars, strings.
    pub(crate) exemplars_dropped: AtomicU64,
    /// String fields that are not stored.
    pub(crate) strings_dropped: AtomicU64,
    /// `__name__` tags that the metric name overruled.
    pub(crate) name_tags_ignored: AtomicU64,
    /// Lines that could not be parsed.
    pub(crate) bad_lines: AtomicU64,
    /// Decompressed bytes.
    pub(crate) bytes: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}

/// Upper bounds of the durations of flushes and compactions, seconds, as Prometheus has them.
const COMPACTION_BOUNDS: [f64; 14] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];

/// What one kind of maintenance step took.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct StepCost {
    /// Time that passed.
    pub(crate) elapsed: Duration,
    /// Time of the processor.
    pub(crate) cpu: Duration,
}

#[derive(Debug, Default, Clone)]
struct Steps {
    cost: StepCost,
    failures: u64,
    /// Of those that did something.
    buckets: [u64; COMPACTION_BOUNDS.len()],
    seconds: f64,
    count: u64,
}

/// The counters of the process.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    handled: Mutex<BTreeMap<&'static str, Handled>>,
    limits: Mutex<BTreeMap<&'static str, u64>>,
    cuts: Mutex<BTreeMap<&'static str, u64>>,
    steps: Mutex<BTreeMap<&'static str, Steps>>,
    connections: AtomicI64,
    connections_total: AtomicU64,
    scrubbed_bytes: AtomicU64,
    scrubs: AtomicU64,
    /// What remote write did.
    pub(crate) remote: WriteCounters,
    /// What line protocol did.
    pub(crate) line: WriteCounters,
}

impl Metrics {
    /// A request was answered.
    pub(crate) fn handled(&self, handler: &'static str, code: u16, took: Duration, bytes: u64) {
        let seconds = took.as_secs_f64();
        let mut all = self.handled.lock();
        let handled = all.entry(handler).or_default();
        *handled.by_code.entry(code).or_insert(0) += 1;
        if let Some(at) = DURATION_BOUNDS.iter().position(|bound| seconds <= *bound) {
            handled.buckets[at] += 1;
        }
        handled.seconds += seconds;
        handled.count += 1;
        handled.response_bytes += bytes;
    }

    /// A maintenance step ended: whether it did something, or `None` where it failed.
    pub(crate) fn step_done(&self, step: &'static str, cost: StepCost, did: Option<bool>) {
        let mut all = self.steps.lock();
        let steps = all.entry(step).or_default();
        steps.cost.elapsed += cost.elapsed;
        steps.cost.cpu += cost.cpu;
        steps.failures += u64::from(did.is_none());
        if did == Some(true) {
            let seconds = cost.elapsed.as_secs_f64();
            if let Some(at) = COMPACTION_BOUNDS.iter().position(|bound| seconds <= *bound) {
                steps.buckets[at] += 1;
            }
            steps.seconds += seconds;
            steps.count += 1;
        }
    }

    /// A limit refused something.
    pub(crate) fn limit_exceeded(&self, limit: &'static str) {
        *self.limits.lock().entry(limit).or_insert(0) += 1;
    }

    /// Limits refused rows of a write, and label sets.
    pub(crate) fn rows_over_limits(&self, rows: &BTreeMap<&'static str, u64>, labels: u64) {
        if rows.is_empty() && labels == 0 {
            return;
        }
        let mut all = self.limits.lock();
        let labels = Some(("labels", labels)).filter(|(_, n)| *n > 0);
        for (limit, n) in rows.iter().map(|(limit, n)| (*limit, *n)).chain(labels) {
            *all.entry(limit).or_insert(0) += n;
        }
    }

    /// Bytes of blocks were read again.
    pub(crate) fn scrubbed(&self, bytes: u64) {
        self.scrubbed_bytes.fetch_add(bytes, Relaxed);
    }

    /// All blocks were read again.
    pub(crate) fn scrub_ended(&self) {
        self.scrubs.fetch_add(1, Relaxed);
    }

    /// A connection was cut off.
    pub(crate) fn connection_cut(&self, why: &'static str) {
        *self.cuts.lock().entry(why).or_insert(0) += 1;
    }

    /// A connection was accepted.
    pub(crate) fn connection_opened(&self) {
        self.connections.fetch_add(1, Relaxed);
        self.connections_total.fetch_add(1, Relaxed);
    }

    /// A connection ended.
    pub(crate) fn connection_closed(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }
}
