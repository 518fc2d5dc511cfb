//! The threads that call the step functions of storage: sync, flush, checkpoint, collect, compact,
//! enforce retention. Storage itself starts no thread and reads no clock.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tsdb::Db;
use tsdb::wal::WalMode;

use crate::app::{App, now_ms};
use crate::config::OLDEST_MS;

/// How often to look whether there is something to flush or compact.
const STEP_INTERVAL: Duration = Duration::from_secs(5);
/// Pause after a failed step, so that a full disk is not hammered.
const FAILURE_PAUSE: Duration = Duration::from_secs(30);

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
        spawn("maintenance", step_loop)?;
        spawn("compaction", compact_loop)?;
        if app.config().wal_mode == WalMode::Periodic {
            spawn("wal-sync", sync_loop)?;
        }
        Ok(Self { app: app.clone(), signal, threads })
    }

    /// Ends the threads; a running step is waited for, a compaction is broken off.
    pub(crate) fn stop(self) {
        *self.signal.stopped.lock() = true;
        self.signal.changed.notify_all();
        for (_, db) in self.app.tenants().map(crate::tenants::Tenants::all).unwrap_or_default() {
            db.stop_compaction();
        }
        for thread in self.threads {
            // A step that panicked was logged by the panic hook.
            let _ = thread.join();
        }
    }
}

fn sync_loop(app: &App, signal: &Signal) {
    while signal.wait(app.config().wal_sync_interval.duration()) {
        for_each(app, "sync", &mut |db| Ok(db.sync_wal()?));
    }
}

/// Compacts in a thread of its own: a merge may be long, and flushes must not wait for it.
fn compact_loop(app: &App, signal: &Signal) {
    let mut pause = STEP_INTERVAL;
    while signal.wait(pause) {
        let mut busy = false;
        let all_well = for_each(app, "compact", &mut |db| {
            busy |= db.compact_step()?;
            Ok(())
        });
        pause = match (all_well, busy) {
            (false, _) => FAILURE_PAUSE,
            (true, true) => Duration::ZERO,
            (true, false) => STEP_INTERVAL,
        };
    }
}

fn step_loop(app: &App, signal: &Signal) {
    let mut pause = STEP_INTERVAL;
    let mut clock = ClockWatch::new(now_ms(), last_seen_ms(app));
    while signal.wait(pause) {
        let now = now_ms();
        let oldest_ms = app.config().oldest_ms(now);
        let may_delete = clock.is_steady(Instant::now(), now);
        let mut steps: [(&str, &mut Step<'_>); 5] = [
            ("recover log", &mut |db| Ok(db.recover_wal_step()?)),
            ("flush", &mut |db| Ok(db.flush_step().map(drop)?)),
            ("checkpoint", &mut |db| Ok(db.checkpoint_step().map(drop)?)),
            ("collect", &mut |db| {
                db.gc_step();
                Ok(())
            }),
            ("retention", &mut |db| {
                if may_delete && oldest_ms > OLDEST_MS {
                    db.retention_step(oldest_ms)?;
                }
                Ok(())
            }),
        ];
        let mut all_well = true;
        for (name, step) in &mut steps {
            all_well &= for_each(app, name, *step);
        }
        pause = if all_well { STEP_INTERVAL } else { FAILURE_PAUSE };
    }
}

type Step<'a> = dyn FnMut(&Db) -> anyhow::Result<()> + 'a;

/// Runs a step on every database and says whether all went well.
fn for_each(app: &App, name: &str, step: &mut Step<'_>) -> bool {
    let mut all_well = true;
    for (tenant, db) in app.tenants().map(crate::tenants::Tenants::all).unwrap_or_default() {
        if let Err(error) = step(&db) {
            all_well = false;
            if app.logs.allow("maintenance") {
                tracing::error!(tenant, step = name, %error, "maintenance step failed");
            }
        }
    }
    all_well
}

/// The newest time at which any of the databases was written before this start.
fn last_seen_ms(app: &App) -> Option<i64> {
    let all = app.tenants().map(crate::tenants::Tenants::all).unwrap_or_default();
    all.iter().filter_map(|(_, db)| db.last_seen_ms()).max()
}

/// A wall clock that jumps forward must not make retention delete everything at once: after a jump
/// deletions rest, so that an operator can set the clock right (reliability contract R15).
struct ClockWatch {
    began: Instant,
    began_ms: i64,
    resting_until: Option<Instant>,
}

/// A step forward that counts as a jump, and how long deletions rest after one.
const JUMP_MS: i64 = 3_600_000;
const REST: Duration = Duration::from_mins(10);

impl ClockWatch {
    /// A server that was down for long cannot be told from a clock that is wrong: both rest.
    fn new(now_ms: i64, last_seen_ms: Option<i64>) -> Self {
        let began = Instant::now();
        let away_ms = last_seen_ms.map_or(0, |last| now_ms.saturating_sub(last));
        let rests = away_ms > JUMP_MS;
        if rests {
            tracing::info!(away_ms, "the clock is far ahead of the last write, retention rests");
        }
        Self { began, began_ms: now_ms, resting_until: rests.then(|| began + REST) }
    }

    fn is_steady(&mut self, now: Instant, now_ms: i64) -> bool {
        let passed = now.duration_since(self.began).as_millis();
        let expected_ms = self.began_ms.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        if now_ms.saturating_sub(expected_ms) > JUMP_MS {
            tracing::warn!(jump_ms = now_ms - expected_ms, "the clock jumped, retention rests");
            self.resting_until = Some(now + REST);
        }
        // Measured from here on, so that slow drift never adds up to a jump.
        (self.began, self.began_ms) = (now, now_ms);
        self.resting_until.is_none_or(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_rest_after_a_jump_forward() {
        let mut clock = ClockWatch::new(0, None);
        let (begin, second) = (clock.began, Duration::from_secs(1));
        assert!(clock.is_steady(begin + second, 1000));
        assert!(clock.is_steady(begin + 2 * second, -5_000_000), "backwards deletes less");
        assert!(!clock.is_steady(begin + 3 * second, JUMP_MS));
        assert!(!clock.is_steady(begin + 4 * second, JUMP_MS + 1000), "the rest is not over");
        assert!(clock.is_steady(begin + 3 * second + REST, JUMP_MS + 600_000));
    }

    #[test]
    fn deletions_rest_after_a_start_long_after_the_last_write() {
        for (last_seen_ms, steady) in [
            (None, true),
            (Some(10 * JUMP_MS), true),
            (Some(20 * JUMP_MS), true),
            (Some(9 * JUMP_MS - 1), false),
            (Some(i64::MIN), false),
        ] {
            let mut clock = ClockWatch::new(10 * JUMP_MS, last_seen_ms);
            let (begin, second) = (clock.began, Duration::from_secs(1));
            assert_eq!(
                clock.is_steady(begin + second, 10 * JUMP_MS + 1000),
                steady,
                "{last_seen_ms:?}"
            );
            assert!(clock.is_steady(begin + REST, 10 * JUMP_MS + 600_000), "{last_seen_ms:?}");
        }
    }
}
