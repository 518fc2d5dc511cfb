//! Writers, deletes, flushes, compactions, clean-ups, snapshots and readers at one time: what is
//! deleted is gone from every later read, and what is not is there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use model::{Interrupt, Labels, Matcher, NeverInterrupted, Queryable, Selection, SeriesBuf};
use parking_lot::Mutex;
use tsdb::append::{AppendBatch, AppendPolicy, DuplicatePolicy};
use tsdb::fs::Fs;
use tsdb::fs::sim::{CrashPolicy, SimFs};
use tsdb::tombstones::Deletion;
use tsdb::{Db, DbOptions};

const DIR: &str = "/db";
const ROUNDS: i64 = 6000;
const STEP_MS: i64 = 60_000;

fn open(fs: &SimFs) -> Db {
    static PROCESSES: AtomicU64 = AtomicU64::new(1);
    fs.create_dir(Path::new(DIR)).unwrap();
    let options = DbOptions {
        seed: PROCESSES.fetch_add(1, Ordering::Relaxed),
        min_free_bytes: 0,
        max_wal_bytes: 16 << 10,
        block_range_ms: 30 * STEP_MS,
        max_compacted_range_ms: 6000 * STEP_MS,
        ..DbOptions::default()
    };
    Db::open(Arc::new(fs.clone()), Path::new(DIR), options, &mut |_| {}).unwrap().0
}

/// Writes round `i`: in order to one series, late to the other, whose times are swapped in tens.
fn append(db: &Db, i: i64) {
    let mut batch = AppendBatch::default();
    let value = f64::from(i32::try_from(i).unwrap());
    for (n, t) in [(0_u8, i), (1, i / 10 * 10 + 9 - i % 10)] {
        let series = batch.push_series(db.alias_hasher().hash(0, &[n]));
        batch.push_sample(series, t * STEP_MS, value);
    }
    let policy = AppendPolicy {
        duplicates: DuplicatePolicy::Overwrite,
        min_time_ms: i64::MIN,
        max_time_ms: i64::MAX,
        wal_mode: None,
    };
    let labels =
        |n: u32| Ok(Labels::from_pairs([("__name__", "m"), ("n", &n.to_string())]).unwrap());
    db.append(&batch, &policy, &mut { labels }).unwrap();
}

/// The rounds that each series shows.
fn read(db: &Db) -> [BTreeSet<i64>; 2] {
    let set = db.select(&Selection::new(vec![], i64::MIN, i64::MAX)).unwrap();
    let (mut out, mut buf) = (<[BTreeSet<i64>; 2]>::default(), SeriesBuf::new());
    for i in 0..set.len() {
        let n: usize = set.labels(i).unwrap().get("n").parse().unwrap();
        set.read(i, &mut buf).unwrap();
        for v in buf.values() {
            #[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
            let round = *v as i64;
            assert!(out[n].insert(round), "{round} twice");
        }
    }
    out
}

#[test]
fn deleted_samples_are_gone_from_every_later_read_and_others_are_there() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    let (acked, ended) = (AtomicI64::new(0), AtomicBool::new(false));
    // Rounds, whole tens: begun and acknowledged.
    let (begun, deleted) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    let never: Arc<dyn Interrupt> = Arc::new(NeverInterrupted);
    std::thread::scope(|scope| {
        let reader = || {
            let mut checks = 0;
            while !ended.load(Ordering::Acquire) || checks < 3 {
                let (gone, there) = (deleted.lock().clone(), acked.load(Ordering::Acquire));
                let found = read(&db);
                let begun = begun.lock().clone();
                for (n, found) in found.iter().enumerate() {
                    for i in 0..there {
                        let (is_there, ten) = (found.contains(&i), i / 10);
                        assert!(!(is_there && gone.contains(&ten)), "{i} of {n} came back");
                        assert!(is_there || begun.contains(&ten), "{i} of {n} is missing");
                    }
                }
                checks += 1;
            }
        };
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        let deleter = scope.spawn(|| {
            let mut tens = 0;
            while !ended.load(Ordering::Acquire) {
                // Every third ten, once it is written.
                if acked.load(Ordering::Acquire) < tens * 10 + 10 {
                    std::thread::yield_now();
                    continue;
                }
                begun.lock().insert(tens);
                let matchers = vec![Matcher::equal("__name__", "m")];
                let (mint, maxt) = (tens * 10 * STEP_MS, (tens * 10 + 9) * STEP_MS);
                let what = Deletion { selectors: vec![matchers], mint, maxt };
                assert_eq!(db.delete(&what, 10, &never).unwrap().samples, 20);
                deleted.lock().insert(tens);
                tens += 3;
            }
        });
        let maintenance = scope.spawn(|| {
            for n in 0.. {
                if ended.load(Ordering::Acquire) {
                    break;
                }
                match n % 7 {
                    0 => db.flush_step().map(drop).unwrap(),
                    1 => db.flush_all().map(drop).unwrap(),
                    2 | 5 => while db.compact_step().unwrap() {},
                    3 => db.checkpoint_step().map(drop).unwrap(),
                    4 if n % 3 == 0 => db.clean_tombstones().map(drop).unwrap(),
                    6 if n % 50 == 6 => db.snapshot(&n.to_string(), true).unwrap(),
                    _ => drop(db.gc_step()),
                }
            }
        });
        let compactor = scope.spawn(|| {
            while !ended.load(Ordering::Acquire) {
                db.compact_step().unwrap();
            }
        });
        for i in 0..ROUNDS {
            // Not so far ahead of the deletions that they would race with nothing.
            let is_behind = || i64::try_from(deleted.lock().len()).unwrap() < (i - 150) / 30;
            while i > 150 && is_behind() && !deleter.is_finished() {
                std::thread::yield_now();
            }
            append(&db, i);
            acked.store(i + 1, Ordering::Release);
        }
        ended.store(true, Ordering::Release);
        deleter.join().unwrap();
        maintenance.join().unwrap();
        compactor.join().unwrap();
        for reader in readers {
            reader.join().unwrap();
        }
    });
    let gone = deleted.into_inner();
    assert!(gone.len() > 3, "{gone:?}");
    let left: BTreeSet<i64> = (0..ROUNDS).filter(|i| !gone.contains(&(i / 10))).collect();
    let check = |db: &Db| assert_eq!(read(db), [left.clone(), left.clone()]);
    check(&db);
    drop(db);
    let fs = fs.crash(CrashPolicy::DropUnsynced, 1);
    let db = open(&fs);
    check(&db);
    db.clean_tombstones().unwrap();
    check(&db);
    db.close().unwrap();
    drop(db);
    check(&open(&fs.crash(CrashPolicy::DropUnsynced, 2)));
}
