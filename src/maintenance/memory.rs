//! Keeps the memory budget true: the accountant hears what the kernel shows, what can be read again goes
//! first when memory is short, and what was freed goes back to the system.

use std::time::{Duration, Instant};

use model::{Account, Accountant};
use tsdb::Db;

use super::Signal;
use super::rounds::databases;
use crate::app::App;
use crate::telemetry::resident_memory;

/// Time between looks. New series come at a few hundred thousand a second at most: some megabytes.
const LOOK: Duration = Duration::from_millis(50);
/// Time between attempts to give memory back, where it is short and where it is not.
const PRESSED_PAUSE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(10);
/// Per cent of the budget at which memory is short (reliability contract, section 5).
const PRESSED_PERCENT: u64 = 70;

/// Watches until the server stops.
pub(super) fn memory_loop(app: &App, signal: &Signal) {
    let upkeep = Db::upkeep_bytes(&app.memory);
    let _reserve = app.memory.charge_always(Account::Compaction, upkeep);
    let mut last = Instant::now();
    while signal.wait(LOOK) {
        let memory = &app.memory;
        let Some((anonymous, mapped)) = resident_memory() else { return };
        memory.note_resident(anonymous, mapped);
        let pressed = memory.used_percent() >= PRESSED_PERCENT;
        let pause = match pressed {
            true if app.write_gate.was_closed() => LOOK,
            true => PRESSED_PAUSE,
            false => PAUSE,
        };
        if last.elapsed() < pause || !is_worth_it(memory, pressed) {
            continue;
        }
        last = Instant::now();
        if pressed {
            for (_, db) in databases(app) {
                db.drop_caches();
            }
        }
        trim();
        if let Some((anonymous, mapped)) = resident_memory() {
            memory.note_resident(anonymous, mapped);
        }
    }
}

/// Whether enough of the budget is held by what nobody needs.
fn is_worth_it(memory: &Accountant, pressed: bool) -> bool {
    let held = memory.used_by(Account::Overhead) + memory.used_by(Account::Caches);
    held > memory.limit() / if pressed { 20 } else { 5 }
}

/// Gives free memory back to the system: the allocator alone keeps what lies between pieces in use.
#[cfg(target_env = "gnu")]
fn trim() {
    #[expect(unsafe_code, reason = "a function of C")]
    // SAFETY: it takes the allocator's own locks and touches free memory only; any thread may call it.
    let _ = unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}
