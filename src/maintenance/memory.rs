//! Keeps the memory budget true: the accountant hears what the kernel shows, what can be read again goes
//! first when memory is short, and what was freed goes back to the system.

use std::time::{Duration, Instant};

use model::{Account, Accountant};
use tsdb::Db;

use super::Signal;
use super::rounds::databases;
use crate::allocator;
use crate::app::App;
use crate::telemetry::resident_memory;

/// Time between looks. New series come at a few hundred thousand a second at most: some megabytes.
const LOOK: Duration = Duration::from_millis(50);
/// Time between attempts to give memory back, where it is short and where it is not.
const PRESSED_PAUSE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(10);
/// Attempts without success that make the pause twice as long each.
const MAX_IN_VAIN: u32 = 6;
/// Per cent of the budget at which memory is short (reliability contract, section 5).
const PRESSED_PERCENT: u64 = 70;

/// Watches until the server stops.
pub(super) fn memory_loop(app: &App, signal: &Signal) {
    let upkeep = Db::upkeep_bytes(&app.memory);
    let _reserve = app.memory.charge_always(Account::Compaction, upkeep);
    let (mut last, mut in_vain, mut left) = (Instant::now(), 0_u32, 0);
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
        // What did not help is not done again soon, because it stops whoever allocates; but what was freed
        // since then was not there to help.
        if anonymous + mapped > left + memory.limit() / 20 {
            in_vain = 0;
        }
        // Where it is short, more may be free than one sees: a flush has bytes that it was promised, and
        // until it takes them they hide as many that the allocator holds.
        let is_little = !pressed && held(memory) < memory.limit() / 20;
        if last.elapsed() < pause.saturating_mul(1 << in_vain) || is_little {
            continue;
        }
        if pressed {
            for (_, db) in databases(app) {
                db.drop_caches();
            }
        }
        allocator::trim();
        let Some(now) = resident_memory() else { return };
        memory.note_resident(now.0, now.1);
        left = now.0 + now.1;
        let helped = (anonymous + mapped).saturating_sub(left) > memory.limit() / 64;
        in_vain = if helped { 0 } else { (in_vain + 1).min(MAX_IN_VAIN) };
        last = Instant::now();
    }
}

/// Bytes that may be held for nothing.
fn held(memory: &Accountant) -> u64 {
    memory.used_by(Account::Overhead) + memory.used_by(Account::Caches)
}
