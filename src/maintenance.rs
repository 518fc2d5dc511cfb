//! The threads that call the step functions of storage: sync, flush, checkpoint, collect, compact,
//! enforce retention. Storage itself starts no thread and reads no clock.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tsdb::wal::WalMode;

use crate::app::{App, now_ms};
use crate::standin::Db;

/// How often to look whether there is something to flush or compact.
const STEP_INTERVAL: Duration = Duration::from_secs(5);
/// Pause after a failed step, so that a full disk is not hammered.
const FAILURE_PAUSE: Duration = Duration::from_secs(30);

/// The running threads; [`Maintenance::stop`] ends them.
pub(crate) struct Maintenance {
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
        if app.config().wal_mode == WalMode::Periodic {
            spawn("wal-sync", sync_loop)?;
        }
        Ok(Self { signal, threads })
    }

    /// Ends the threads; a running step is waited for.
    pub(crate) fn stop(self) {
        *self.signal.stopped.lock() = true;
        self.signal.changed.notify_all();
        for thread in self.threads {
            // A step that panicked was logged by the panic hook.
            let _ = thread.join();
        }
    }
}

fn sync_loop(app: &App, signal: &Signal) {
    while signal.wait(app.config().wal_sync_interval.duration()) {
        for_each(app, "sync", &mut |db| db.sync_wal());
    }
}

fn step_loop(app: &App, signal: &Signal) {
    let mut pause = STEP_INTERVAL;
    while signal.wait(pause) {
        let now = now_ms();
        let oldest_ms = app.config().oldest_ms(now);
        let mut steps: [(&str, &mut Step<'_>); 5] = [
            ("flush", &mut |db| db.flush_step(now)),
            ("checkpoint", &mut |db| db.checkpoint_step()),
            ("collect", &mut |db| db.gc_step()),
            ("compact", &mut |db| db.compact_step()),
            ("retention", &mut |db| db.retention_step(oldest_ms)),
        ];
        let mut all_well = true;
        for (name, step) in &mut steps {
            all_well &= for_each(app, name, *step);
        }
        pause = if all_well { STEP_INTERVAL } else { FAILURE_PAUSE };
    }
}

type Step<'a> = dyn FnMut(&Db) -> Result<(), String> + 'a;

/// Runs a step on every database and says whether all went well.
fn for_each(app: &App, name: &str, step: &mut Step<'_>) -> bool {
    let mut all_well = true;
    for (tenant, db) in app.tenants().map(crate::tenants::Tenants::all).unwrap_or_default() {
        if let Err(error) = step(&db) {
            all_well = false;
            if app.logs.allow("maintenance") {
                tracing::error!(tenant, step = name, error, "maintenance step failed");
            }
        }
    }
    all_well
}
