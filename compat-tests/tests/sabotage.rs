//! The harnesses that run the built server, tested with servers that are broken on purpose
//! (reliability contract, section 7): each must be caught.
//!
//! `COMPAT_SABOTAGE=1` runs it, which builds a server with the feature `sabotage`; or name such a
//! server in `COMPAT_SABOTAGE_BIN`. CI runs what `tsdb` catches on its simulated disk.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use compat_tests::report::{Table, say, skipped};
use compat_tests::server::repository;
use tempfile::TempDir;

/// What breaks, the test that has to notice, and how many iterations that gets. Names that are not
/// synced are lost on an ext4 without a journal only: journals write them with the next file that is synced, whatever
/// the server asks for.
const CASES: [(&str, &str, &str, u32); 12] = [
    ("ack-before-write", "kill9", "nothing_acknowledged", 100),
    ("replayed-twice", "kill9", "nothing_acknowledged", 100),
    ("series-ref-reused", "kill9", "nothing_acknowledged", 100),
    ("tombstone-lost", "kill9", "nothing_acknowledged", 100),
    ("no-wal-sync", "power_cut", "nothing_acknowledged", 100),
    ("rename-before-sync", "power_cut", "nothing_acknowledged", 100),
    ("no-directory-sync", "power_cut", "nothing_acknowledged", 100),
    ("parent-deleted-first", "power_cut", "nothing_acknowledged", 300),
    ("fragment-kept", "broken_calls", "failing_writes", 10),
    ("crc-ignored", "damage", "damaged_files", 4),
    ("length-trusted", "damage", "damaged_files", 4),
    ("retention-by-sample-time", "clock", "from_the_future", 1),
];

/// A server that can be broken.
fn binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("COMPAT_SABOTAGE_BIN") {
        return Some(path.into());
    }
    if std::env::var_os("COMPAT_SABOTAGE").is_none() {
        skipped("sabotage of the built server", "COMPAT_SABOTAGE is not set");
        return None;
    }
    // A directory of its own, so that no release is ever built from what is in there.
    let target = repository().join("target").join("sabotage");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--release", "--features", "sabotage", "--bin", "silverback"]);
    let status = build.arg("--target-dir").arg(&target).current_dir(repository()).status();
    assert!(status.expect("cargo runs").success(), "the server is built");
    Some(target.join("release").join("silverback"))
}

#[test]
fn every_broken_server_is_caught() {
    let Some(binary) = binary() else { return };
    let only = std::env::var("COMPAT_SABOTAGE").unwrap_or_default();
    let mut table = Table::new(&["broken", "caught by", "iterations", "seconds"]);
    let mut missed = Vec::new();
    for (sabotage, test, filter, iterations) in CASES {
        if only.contains('-') && only != sabotage {
            continue;
        }
        let iterations = iterations.to_string();
        // What the tests keep of a failure goes with it.
        let kept = TempDir::with_prefix("silverback-sabotage-").expect("a directory");
        let began = Instant::now();
        let mut run = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        run.args(["test", "--quiet", "--release", "-p", "compat-tests", "--test", test, filter])
            .current_dir(repository())
            .env("SILVERBACK_BIN", &binary)
            .env("SILVERBACK_SABOTAGE", sabotage)
            .env("COMPAT_KILLS", &iterations)
            .env("COMPAT_POWER_CUTS", &iterations)
            .env("COMPAT_DISK_FULL", &iterations)
            .env("COMPAT_DAMAGES", &iterations)
            .env("COMPAT_ENDS", &iterations)
            .env("RUST_BACKTRACE", "0")
            .env("TMPDIR", kept.path());
        let output = run.output().expect("cargo runs");
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        let at = text.split("iteration ").nth(1).and_then(|rest| rest.split([',', ' ']).next());
        if output.status.success() {
            missed.push(sabotage);
        }
        let by = if output.status.success() { "nobody" } else { test };
        let at = at
            .and_then(|at| at.parse::<u32>().ok())
            .map_or("-".to_owned(), |at| (at + 1).to_string());
        let seconds = began.elapsed().as_secs().to_string();
        table.row(vec![sabotage.to_owned(), by.to_owned(), at, seconds]);
        if let Some(line) =
            text.lines().find(|line| line.contains("iteration ") || line.contains("caught"))
        {
            say(&format!("{sabotage}: {}", line.chars().take(300).collect::<String>()));
        }
    }
    say(&table.print());
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
