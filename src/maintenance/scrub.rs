//! Reads every block again in the course of a period, slowly, to find what the disk lost (reliability
//! contract R16).

use std::time::{Duration, Instant};

use tsdb::db::Scrubbed;

use super::Signal;
use super::rounds::{Rounds, databases};
use crate::app::App;

/// Time after the start before the first block is read.
const FIRST: Duration = Duration::from_mins(10);
/// Longest wait before the settings are looked at again.
const LOOK: Duration = Duration::from_secs(30);

/// Reads the blocks, one after the other.
pub(super) fn scrub_loop(app: &App, signal: &Signal) {
    let mut rounds = Rounds::new(app);
    let mut next = Instant::now() + FIRST;
    while signal.wait(LOOK) {
        let period = app.config().scrub_period.duration();
        if period.is_zero() || Instant::now() < next {
            continue;
        }
        let began = Instant::now();
        for (tenant, db) in databases(app) {
            for block in db.blocks() {
                let mut pace = |bytes: u64| {
                    app.metrics.scrubbed(bytes);
                    let rate = app.config().scrub_rate.0.max(1);
                    let ms = bytes.saturating_mul(1000) / rate;
                    signal.wait(Duration::from_millis(ms))
                };
                rounds.one("scrub", &tenant, || {
                    Ok(db.scrub(block.id, &mut pace)? == Scrubbed::Damaged)
                });
                if signal.is_stopped() {
                    return;
                }
            }
        }
        app.metrics.scrub_ended();
        next = began + period;
    }
}
