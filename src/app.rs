//! What every request shares.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use model::Accountant;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::blocking::Pool;
use crate::config::{Config, ConfigError, Invocation, KEYS};
use crate::executor::QueryThreads;
use crate::rates::NewSeries;
use crate::telemetry::{LogLimiter, Metrics};
use crate::tenants::Tenants;

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The log is being replayed.
    Starting,
    /// Serving.
    Ready,
    /// Ending.
    Stopping,
}

/// Sheds one kind of work while memory is short (reliability contract, section 5). It opens again
/// only some points below where it closed, so that it does not flap.
#[derive(Debug)]
pub(crate) struct PressureGate {
    /// Per cent of the budget in use.
    closes_at: u64,
    closed: AtomicBool,
}

/// Points below the threshold at which a gate opens again.
const HYSTERESIS: u64 = 5;

impl PressureGate {
    const fn new(closes_at: u64) -> Self {
        Self { closes_at, closed: AtomicBool::new(false) }
    }

    /// Whether work was shed when somebody asked last.
    pub(crate) fn was_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Whether work is shed now.
    pub(crate) fn is_closed(&self, memory: &Accountant) -> bool {
        let used = memory.used_percent();
        let closed = if self.closed.load(Ordering::Relaxed) {
            used > self.closes_at - HYSTERESIS
        } else {
            used >= self.closes_at
        };
        self.closed.store(closed, Ordering::Relaxed);
        closed
    }
}

/// The state of the process.
pub(crate) struct App {
    config: RwLock<Arc<Config>>,
    invocation: Invocation,
    phase: AtomicU8,
    tenants: OnceLock<Tenants>,
    /// Counters about the server itself.
    pub(crate) metrics: Metrics,
    /// Bounds on log lines of one kind.
    pub(crate) logs: LogLimiter,
    /// The memory budget.
    pub(crate) memory: Accountant,
    /// What all databases together may have of series.
    pub(crate) new_series: Arc<NewSeries>,
    /// Closed for queries when memory is short.
    pub(crate) query_gate: PressureGate,
    /// Closed for writes when memory is very short.
    pub(crate) write_gate: PressureGate,
    /// Where writes run.
    pub(crate) writes: Pool,
    /// Where queries run.
    pub(crate) queries: Pool,
    /// The threads that big ones share.
    pub(crate) query_threads: Arc<QueryThreads>,
    stop: watch::Sender<bool>,
    /// When the process started.
    pub(crate) started: Instant,
    /// The same by the wall clock, ms.
    pub(crate) started_ms: i64,
    replayed: AtomicU64,
    reload_ok: AtomicBool,
    reloaded_ms: AtomicI64,
}

impl App {
    /// The state of a process that begins with `config`.
    pub(crate) fn new(config: Config, invocation: Invocation, memory: Accountant) -> Arc<Self> {
        let writes = Pool::new(
            "writes",
            config.write_permits(),
            config.write_queue_wait.duration(),
            config.write_queue_bytes.0,
        );
        let queries = Pool::new(
            "queries",
            config.query_permits(),
            config.query_queue_wait.duration(),
            config.write_queue_bytes.0,
        );
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let now = now_ms();
        let new_series = Arc::new(NewSeries::new(&config));
        limit_queries(&memory, &config);
        Arc::new(Self {
            config: RwLock::new(Arc::new(config)),
            invocation,
            phase: AtomicU8::new(Phase::Starting as u8),
            tenants: OnceLock::new(),
            metrics: Metrics::default(),
            logs: LogLimiter::default(),
            memory,
            new_series,
            query_gate: PressureGate::new(80),
            write_gate: PressureGate::new(95),
            writes,
            queries,
            query_threads: Arc::new(QueryThreads::start(processors)),
            stop: watch::Sender::new(false),
            started: Instant::now(),
            started_ms: now,
            replayed: AtomicU64::new(0),
            reload_ok: AtomicBool::new(true),
            reloaded_ms: AtomicI64::new(now),
        })
    }

    /// The settings as they are now.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.read().clone()
    }

    /// Reads the file again and takes over what may change while running.
    ///
    /// # Errors
    /// What is wrong with it; the settings stay as they were.
    pub(crate) fn reload(&self) -> Result<(), ConfigError> {
        let result = self.invocation.load().map(|wanted| self.take_over(&wanted));
        self.reload_ok.store(result.is_ok(), Ordering::Relaxed);
        if result.is_ok() {
            self.reloaded_ms.store(now_ms(), Ordering::Relaxed);
        }
        match &result {
            Ok(()) => tracing::info!("configuration reloaded"),
            Err(error) => tracing::error!(%error, "configuration reload failed"),
        }
        result
    }

    fn take_over(&self, wanted: &Config) {
        let mut slot = self.config.write();
        let mut next = Config::clone(&slot);
        for key in KEYS {
            let (text, old) = (key.get(wanted), key.get(&slot));
            if text == old {
                continue;
            }
            if !key.live {
                tracing::warn!(setting = key.name(), "changed in the file, waits for a restart");
            } else if let Err(error) = key.set(&mut next, &text) {
                tracing::error!(setting = key.name(), error, "printed value does not parse");
            }
        }
        self.new_series.reload(&next);
        limit_queries(&self.memory, &next);
        *slot = Arc::new(next);
    }

    /// Whether the last reload worked, and when the settings were last taken over (ms).
    pub(crate) fn reload_state(&self) -> (bool, i64) {
        (self.reload_ok.load(Ordering::Relaxed), self.reloaded_ms.load(Ordering::Relaxed))
    }

    /// Rows of the log that were replayed so far.
    pub(crate) fn replayed(&self) -> u64 {
        self.replayed.load(Ordering::Relaxed)
    }

    /// The replay of the log got this far.
    pub(crate) fn set_replayed(&self, rows: u64) {
        self.replayed.store(rows, Ordering::Relaxed);
    }

    /// Where the process is in its life.
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Stopping,
        }
    }

    /// The databases are open: serve.
    pub(crate) fn ready(&self, tenants: Tenants) {
        assert!(self.tenants.set(tenants).is_ok(), "a process opens its databases once");
        // Whoever asked to stop meanwhile is not overruled.
        let _ = self.phase.compare_exchange(
            Phase::Starting as u8,
            Phase::Ready as u8,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
    }

    /// The databases, once they are open.
    pub(crate) fn tenants(&self) -> Option<&Tenants> {
        self.tenants.get()
    }

    /// Asks the process to end.
    pub(crate) fn stop(&self) {
        self.phase.store(Phase::Stopping as u8, Ordering::Release);
        self.stop.send_replace(true);
    }

    /// Turns true when the process shall end.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }
}

/// Tells the budget what queries may have of it.
fn limit_queries(memory: &Accountant, config: &Config) {
    memory.limit_queries(memory.limit() / 100 * config.query_memory_percent);
}

/// The wall clock, ms since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    now_ns() / 1_000_000
}

/// The wall clock, ns since the Unix epoch.
pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A number that differs from process to process and that nobody outside can guess.
pub(crate) fn random_u64() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Account;

    #[test]
    fn a_gate_opens_again_only_well_below_where_it_closed() {
        let memory = Accountant::new(100);
        let gate = PressureGate::new(80);
        let mut charge = memory.charge(Account::Head, 79).unwrap();
        assert!(!gate.is_closed(&memory));
        for (bytes, closed) in [(80, true), (76, true), (75, false), (79, false), (80, true)] {
            charge.set_always(bytes);
            assert_eq!(gate.is_closed(&memory), closed, "{bytes}");
        }
    }
}
