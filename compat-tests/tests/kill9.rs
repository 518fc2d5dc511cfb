//! kill -9 under mixed load: nothing acknowledged is lost, nothing else appears (reliability
//! contract F1 and F3, P1 to P5, P13).
//!
//! `COMPAT_KILLS` sets the number of iterations (100). A violation keeps the directory and prints
//! the seed.

use std::time::Duration;

use compat_tests::report::say;
use compat_tests::server::Server;
use compat_tests::torture::{BUSY, Promise, Torture};

/// Time for all iterations, unless their number was asked for.
const BUDGET: Duration = Duration::from_secs(100);

fn flags(mode: &'static str) -> Vec<&'static str> {
    [&[mode], &BUSY[..]].concat()
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_else_appears() {
    let asked = std::env::var("COMPAT_KILLS").map(|n| n.parse().expect("a number"));
    let budget = if asked.is_ok() { Duration::MAX } else { BUDGET };
    torture("--wal-mode=every-write", asked.unwrap_or(100), budget);
}

/// The modes that give up some of a power cut's promises keep those of a crash (P1).
#[test]
fn lazier_modes_survive_a_kill_too() {
    for mode in ["--wal-mode=periodic", "--wal-mode=os-default"] {
        torture(mode, 6, BUDGET);
    }
}

/// Runs `iterations` of load, kill and check.
fn torture(mode: &'static str, iterations: u64, budget: Duration) {
    let name = format!("kill9 {mode}");
    let mut torture = Torture::new(&name, Server::start(&flags(mode)), Promise::All);
    while torture.tally.iterations < iterations {
        if torture.elapsed() > budget {
            say(&format!("{name}: time is up before {iterations} iterations"));
            break;
        }
        let load = Duration::from_millis(torture.rng.between(50, 600));
        torture.load(load, |server, _| server.kill());
        torture.recover(|server, _| server.kill());
        if torture.is_worn() {
            torture.conclude();
            torture.renew(Server::start(&flags(mode)));
        }
    }
    torture.conclude();
    torture.finish();
}

/// The oracle itself: a server that keeps no log must be caught at once.
#[test]
fn the_oracle_catches_a_server_without_a_log() {
    let server = Server::start(&["--wal-mode=none", "--web.enable-admin-api"]);
    let mut torture = Torture::new("no log", server, Promise::All);
    // A delete writes a checkpoint even so: the kill comes in the middle.
    torture.load(Duration::from_millis(60), |server, _| server.kill());
    assert!(torture.num_acked() > 0, "nothing was acknowledged");
    torture.server.restart();
    let verdict = torture.verdict();
    assert!(verdict.lost > 0, "the oracle saw no loss: {verdict:?}");
}
