//! The threads that call the step functions of storage: sync, look at the disk, flush, checkpoint, collect, compact,
//! enforce retention. Storage itself starts no thread and reads no clock.

mod clock;
mod memory;
mod rounds;
mod scrub;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::{Interrupt, NeverInterrupted};
use parking_lot::{Condvar, Mutex};
use tsdb::wal::WalMode;
use tsdb::{Db, retention};

use crate::app::{App, now_ms};
use crate::config::{Config, OLDEST_MS};
use clock::ClockWatch;
use rounds::{Rounds, databases};

/// Retention by rules moves on in steps of this, ms: each costs a tombstone a rule.
pub(crate) const RULES_STEP_MS: i64 = 3_600_000;

/// Longest time between two looks at the length of the log: by what comes in between, the next start after a
/// crash takes longer.
const LOG_INTERVAL: Duration = Duration::from_millis(250);
/// Longest time between two looks at the disk.
const DISK_INTERVAL: Duration = Duration::from_secs(1);

/// The running threads; [`Maintenance::stop`] ends them.
pub(crate) struct Maintenance {
    app: Arc<App>,
    signal: Arc<Signal>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Signal {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    fn is_stopped(&self) -> bool {
        *self.stopped.lock()
    }

    /// Waits for `time` and says whether to go on.
    fn wait(&self, time: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        let until = Instant::now() + time;
        while !*stopped && !self.changed.wait_until(&mut stopped, until).timed_out() {}
        !*stopped
    }
}

impl Maintenance {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(app: &Arc<App>) -> std::io::Result<Self> {
        let signal = Arc::<Signal>::default();
        let mut threads = Vec::new();
        let mut spawn = |name: &str, run: fn(&App, &Signal)| {
            let (app, signal) = (app.clone(), signal.clone());
            let builder = std::thread::Builder::new().name(name.to_owned());
            builder.spawn(move || run(&app, &signal)).map(|thread| threads.push(thread))
        };
        spawn("memory", memory::memory_loop)?;
        spawn("disk", disk_loop)?;
        spawn("maintenance", step_loop)?;
        spawn("compaction", compact_loop)?;
        spawn("scrub", scrub::scrub_loop)?;
        if app.config().wal_mode == WalMode::Periodic {
            spawn("wal-sync", sync_loop)?;
        }
        Ok(Self { app: app.clone(), signal, threads })
    }

    /// Ends the threads; a running step is waited for, a compaction is broken off.
    pub(crate) fn stop(self) {
        *self.signal.stopped.lock() = true;
        self.signal.changed.notify_all();
        for (_, db) in databases(&self.app) {
            db.stop_compaction();
        }
        for thread in self.threads {
            // Steps catch their panics; what else panicked was logged by the panic hook.
            let _ = thread.join();
        }
    }
}

fn sync_loop(app: &App, signal: &Signal) {
    while signal.wait(app.config().wal_sync_interval.duration()) {
        // Never rests: it fails at once while the log is read-only, and must not be late when the
        // log has recovered.
        for (tenant, db) in databases(app) {
            rounds::run(app, "sync", &tenant, || Ok(db.sync_wal().map(|()| false)?));
        }
    }
}

/// Looks at the disk, and tries a log that it had failed. Neither rests after a failure or waits for a
/// flush: writes are refused until a full disk is seen to have room (reliability contract F9).
fn disk_loop(app: &App, signal: &Signal) {
    while signal.wait(interval(app).min(DISK_INTERVAL)) {
        let floor = app.config().min_free_disk.0;
        for (tenant, db) in databases(app) {
            rounds::run(app, "look at disk", &tenant, || Ok(db.disk_step(floor)?));
            rounds::run(app, "recover log", &tenant, || {
                Ok(db.recover_wal_step().map(|()| false)?)
            });
        }
    }
}

/// Compacts in a thread of its own: a merge may be long, and flushes must not wait for it.
fn compact_loop(app: &App, signal: &Signal) {
    let mut rounds = Rounds::new(app);
    let mut busy = false;
    while signal.wait(if busy { Duration::ZERO } else { interval(app) }) {
        let max_range_ms = app.config().max_block_range_ms();
        let cold_before_ms = app.config().cold_before_ms(now_ms());
        busy = rounds.each("compact", |db| {
            db.set_max_compacted_range_ms(max_range_ms);
            db.set_cold_before_ms(cold_before_ms);
            Ok(db.compact_step()?)
        });
    }
}

fn step_loop(app: &App, signal: &Signal) {
    let mut rounds = Rounds::new(app);
    let mut clock = ClockWatch::new(now_ms(), last_seen_ms(app));
    let mut ruled = None;
    let mut done = Instant::now();
    while signal.wait(interval(app).min(LOG_INTERVAL)) {
        let (config, now) = (app.config(), now_ms());
        let is_due = done.elapsed() >= interval(app);
        if is_due {
            rounds.each("flush", |db| Ok(db.flush_step()?));
        }
        rounds.each("checkpoint", |db| Ok(db.checkpoint_step()?));
        if !is_due {
            continue;
        }
        done = Instant::now();
        rounds.each("collect", |db| Ok(db.gc_step()));
        let oldest_ms = config.oldest_ms(now);
        let is_steady = clock.is_steady(Instant::now(), now);
        if is_steady && oldest_ms > OLDEST_MS {
            rounds.each("retention", |db| Ok(db.retention_step(oldest_ms)? > 0));
        }
        let hour = now.div_euclid(RULES_STEP_MS);
        if is_steady && !config.retention_rules.is_empty() && ruled != Some((hour, config.clone()))
        {
            // Done once an hour; what failed is tried again in the next one.
            ruled = Some((hour, config.clone()));
            rounds.each("retention rules", |db| retain_by_rules(db, &config, now));
        }
        if let Some(max_bytes) = size_limit(app, &config) {
            retain_by_size(app, &mut rounds, max_bytes);
        }
    }
}

/// Deletes what the rules do not keep. Each rule's tombstone takes the place of its last one.
fn retain_by_rules(db: &Db, config: &Config, now: i64) -> anyhow::Result<bool> {
    let interrupt: Arc<dyn Interrupt> = Arc::new(NeverInterrupted);
    let mut deleted = false;
    for (rule, what) in config.retention_rules.plan(now, RULES_STEP_MS) {
        let report = db.delete(&what, u64::MAX, &interrupt)?;
        if report.samples > 0 {
            tracing::info!(rule, samples = report.samples, "samples outlived their rule");
            deleted = true;
        }
    }
    Ok(deleted)
}

fn interval(app: &App) -> Duration {
    app.config().maintenance_interval.duration()
}

/// The bytes that retention leaves, if it is by size or by a share of the disk.
fn size_limit(app: &App, config: &Config) -> Option<u64> {
    let size = Some(config.retention_size.0).filter(|size| *size > 0);
    let percent = Some(config.retention_disk_percent).filter(|percent| *percent > 0);
    let share = percent.and_then(|percent| {
        // What cannot be asked limits nothing: deleting by a guess cannot be undone.
        let total = databases(app).first()?.1.disk_space().ok()?.total;
        Some(total / 100 * percent)
    });
    size.into_iter().chain(share).min()
}

/// Keeps the data directory within `max_bytes`: the logs count, but only blocks can go. One budget
/// for all tenants, because they share the disk that it protects.
fn retain_by_size(app: &App, rounds: &mut Rounds<'_>, max_bytes: u64) {
    let databases = databases(app);
    let (mut log_bytes, mut blocks) = (0_u64, Vec::with_capacity(databases.len()));
    for (_, db) in &databases {
        let used = db.disk_use();
        log_bytes = log_bytes.saturating_add(used.log_bytes);
        blocks.push(used.blocks);
    }
    let chosen = retention::by_size(&blocks, max_bytes.saturating_sub(log_bytes));
    for ((tenant, db), chosen) in databases.iter().zip(chosen) {
        if !chosen.is_empty() {
            rounds.one("retention", tenant, || Ok(db.retention_size_step(&chosen)? > 0));
        }
    }
}

/// The newest time at which any of the databases was written before this start.
fn last_seen_ms(app: &App) -> Option<i64> {
    databases(app).iter().filter_map(|(_, db)| db.last_seen_ms()).max()
}
