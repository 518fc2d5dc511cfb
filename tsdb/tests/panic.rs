//! A panic where storage could not go on ends the process, and only there: each case runs in a
//! process of its own, which is this program again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::process::ExitStatusExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::Labels;
use tsdb::append::{AppendBatch, AppendPolicy, DuplicatePolicy};
use tsdb::fs::sim::SimFs;
use tsdb::options::Clock;
use tsdb::{Db, DbOptions};

const VARIABLE: &str = "TSDB_PANIC_CASE";
const SIGABRT: i32 = 6;

/// A clock that can be told to panic.
#[derive(Debug, Default)]
struct Mined(AtomicBool);

impl Clock for Mined {
    fn now_ms(&self) -> u64 {
        assert!(!self.0.load(Ordering::Relaxed), "the clock was told to panic");
        1
    }
}

fn append(db: &Db, spoil: impl FnOnce(&mut AppendBatch), resolve: fn() -> Labels) {
    let mut batch = AppendBatch::default();
    let series = batch.push_series(db.alias_hasher().hash(0, b"m"));
    batch.push_sample(series, 1000, 1.0);
    spoil(&mut batch);
    let policy = AppendPolicy {
        duplicates: DuplicatePolicy::Refuse,
        min_time_ms: i64::MIN,
        max_time_ms: i64::MAX,
        wal_mode: None,
    };
    db.append(&batch, &policy, &mut |_| Ok(resolve())).unwrap();
}

fn labels() -> Labels {
    Labels::from_pairs([("__name__", "m")]).unwrap()
}

/// The process of one case; without one there is nothing to do.
#[test]
fn child() {
    let Ok(case) = std::env::var(VARIABLE) else { return };
    let clock = Arc::<Mined>::default();
    let options = DbOptions { clock: clock.clone(), ..DbOptions::default() };
    let fs = Arc::new(SimFs::new(1));
    let (db, _) = Db::open(fs, Path::new("/db"), options, &mut |_| {}).unwrap();
    let survived = catch_unwind(AssertUnwindSafe(|| match case.as_str() {
        // A row of a series that the batch does not have: found out while stripes are locked.
        "judge" => append(&db, |batch| batch.push_sample(7, 1, 1.0), labels),
        // Labels are parsed before anything is locked.
        "resolve" => append(&db, |_| (), || panic!("labels that cannot be parsed")),
        // The flush asks the clock for a name under its lock.
        "flush" => {
            append(&db, |_| (), labels);
            clock.0.store(true, Ordering::Relaxed);
            db.flush_all().map(drop).unwrap();
        }
        // A compaction asks it before it touches anything.
        "compact" => {
            clock.0.store(true, Ordering::Relaxed);
            db.compact_step().map(drop).unwrap();
        }
        other => panic!("no case {other}"),
    }));
    assert!(survived.is_err(), "the case did not panic");
    clock.0.store(false, Ordering::Relaxed);
    append(&db, |_| (), labels);
    assert_eq!(db.stats().num_series, 1, "the database goes on");
    assert!(db.flush_all().unwrap() && db.compact_step().is_ok());
}

#[test]
fn a_panic_ends_the_process_where_a_storage_lock_or_a_logged_row_is_held() {
    for (case, signal) in
        [("judge", Some(SIGABRT)), ("flush", Some(SIGABRT)), ("resolve", None), ("compact", None)]
    {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(VARIABLE, case)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), signal, "{case}: {text}");
        assert_eq!(output.status.success(), signal.is_none(), "{case}: {text}");
    }
}
