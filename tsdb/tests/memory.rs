//! A cardinality bomb against a small memory budget: the database lives, known series go on, the
//! refusal names the limit, and the memory comes back.
//!
//! The whole bomb: `BOMB_SERIES=10000000 cargo test --release -p tsdb --test memory`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use model::{Account, Accountant, Labels};
use tsdb::append::{AppendBatch, AppendPolicy, AppendReport, DuplicatePolicy, Refusal};
use tsdb::fs::std::StdFs;
use tsdb::wal::WalMode;
use tsdb::{Db, DbOptions};

const KNOWN: u32 = 500;
const BATCH: u32 = 1000;
const STEP_MS: i64 = 15_000;
const START_MS: i64 = 1_700_000_000_000;

fn labels(n: u32) -> Labels {
    let value = format!("a value that no other series has, number {n}");
    Labels::from_pairs([("__name__", "bomb"), ("id", value.as_str()), ("job", "x")]).unwrap()
}

/// One sample of every known series, then of `new` series from `from` on.
fn append(db: &Db, from: u32, new: u32, t: i64) -> AppendReport {
    let policy = AppendPolicy {
        duplicates: DuplicatePolicy::Refuse,
        min_time_ms: i64::MIN,
        max_time_ms: i64::MAX,
        wal_mode: None,
    };
    let mut batch = AppendBatch::default();
    let numbers: Vec<u32> = (0..KNOWN).chain(from..from + new).collect();
    for n in &numbers {
        let series = batch.push_series(db.alias_hasher().hash(0, &n.to_le_bytes()));
        batch.push_sample(series, t, f64::from(*n));
    }
    db.append(&batch, &policy, &mut |i| Ok(labels(numbers[i as usize]))).unwrap()
}

#[test]
fn a_cardinality_bomb_is_refused_and_known_series_go_on() {
    let bomb: u32 = std::env::var("BOMB_SERIES").map_or(60_000, |n| n.parse().unwrap());
    // Room for about a third of it.
    let memory = Accountant::new(u64::from(bomb) * 250);
    let dir = tempfile::tempdir().unwrap();
    let options =
        DbOptions { memory: memory.clone(), wal_mode: WalMode::OsDefault, ..DbOptions::default() };
    let (db, _) = Db::open(Arc::new(StdFs), dir.path(), options.clone(), &mut |_| {}).unwrap();
    let mut t = START_MS;
    assert_eq!(append(&db, KNOWN, 0, t).new_series, u64::from(KNOWN));

    let (mut taken, mut refused) = (0, 0);
    for from in (KNOWN..KNOWN + bomb).step_by(BATCH as usize) {
        t += STEP_MS;
        let report = append(&db, from, BATCH, t);
        assert_eq!(report.stored + report.refused, u64::from(KNOWN + BATCH));
        assert!(report.stored >= u64::from(KNOWN), "known series go on");
        for (series, why) in &report.refusals {
            assert!(*series >= KNOWN);
            assert_eq!(*why, Refusal::NoMemory { percent: 90, limit: memory.limit() });
            assert!(why.to_string().contains(&memory.limit().to_string()), "{why}");
        }
        (taken, refused) = (taken + report.new_series, refused + report.refused);
        assert!(memory.used_percent() <= 95, "{} %", memory.used_percent());
    }
    assert!(taken > u64::from(bomb) / 20 && refused > u64::from(bomb) / 4, "{taken} {refused}");
    assert!(db.stats().refuses_series);

    // What the maintenance thread does.
    let full = memory.used_by(Account::Head);
    while db.flush_step().unwrap() || db.gc_step() {}
    let left = memory.used_by(Account::Head);
    assert!(left < full / 4, "{full} bytes, {left} after the collection");
    assert!(db.stats().num_series < 50 * u64::from(BATCH), "{}", db.stats().num_series);
    let report = append(&db, KNOWN + bomb, BATCH, t + STEP_MS);
    assert_eq!((report.new_series, report.refused), (u64::from(BATCH), 0));
    assert!(!db.stats().refuses_series);

    // Recovery keeps to the budget, too.
    drop(db);
    let before = memory.used();
    let (db, report) = Db::open(Arc::new(StdFs), dir.path(), options, &mut |_| {}).unwrap();
    assert_eq!((before, report.orphaned_rows), (0, 0));
    // The series that were collected since the last checkpoint are there again until they are once more.
    assert!(memory.used_percent() <= 95, "{} %", memory.used_percent());
    let series = db.stats().num_series;
    assert!(series >= u64::from(KNOWN + BATCH), "{series}");
}
