//! Compaction as a whole: queries beside it, and what it does on a disk that is full, fails or is
//! damaged.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::{Labels, Queryable, Selection, SeriesBuf};
use tsdb::append::{AppendBatch, AppendPolicy, DuplicatePolicy};
use tsdb::db::StepError;
use tsdb::fs::Fs;
use tsdb::fs::sim::{Fault, FaultError, SimFs};
use tsdb::fs::std::StdFs;
use tsdb::options::Clock;
use tsdb::{Db, DbOptions, retention};

const MINUTE: i64 = 60_000;
const DIR: &str = "/db";

/// A clock that a test sets.
#[derive(Debug, Default)]
struct Manual(AtomicU64);

impl Clock for Manual {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn options(clock: &Arc<Manual>) -> DbOptions {
    DbOptions {
        block_range_ms: 10 * MINUTE,
        max_compacted_range_ms: 1200 * MINUTE,
        min_free_bytes: 0,
        clock: clock.clone(),
        ..DbOptions::default()
    }
}

fn open(fs: &SimFs, clock: &Arc<Manual>) -> Db {
    fs.create_dir(Path::new(DIR)).unwrap();
    let fs = Arc::new(fs.clone());
    Db::open(fs, Path::new(DIR), options(clock), &mut |_| {}).unwrap().0
}

fn append(db: &Db, rows: &[(u8, i64, f64)]) {
    let (mut batch, hasher) = (AppendBatch::default(), db.alias_hasher());
    for (series, t, v) in rows {
        let at = batch.push_series(hasher.hash(0, &[*series]));
        batch.push_sample(at, *t, *v);
    }
    let policy = AppendPolicy {
        duplicates: DuplicatePolicy::Overwrite,
        min_time_ms: i64::MIN,
        max_time_ms: i64::MAX - 1,
        wal_mode: None,
    };
    let labels = |i: u32| Ok(Labels::from_pairs([("i", rows[i as usize].0.to_string())]).unwrap());
    db.append(&batch, &policy, &mut |i| labels(i)).unwrap();
}

fn read(db: &Db) -> BTreeMap<(u8, i64), f64> {
    let set = db.select(&Selection::new(vec![], i64::MIN, i64::MAX)).unwrap();
    let (mut out, mut buf) = (BTreeMap::new(), SeriesBuf::new());
    for i in 0..set.len() {
        let series = set.labels(i).unwrap().get("i").parse().unwrap();
        set.read(i, &mut buf).unwrap();
        for (t, v) in buf.times().iter().zip(buf.values()) {
            assert_eq!(out.insert((series, *t), *v), None, "{series}@{t} twice");
        }
    }
    out
}

/// A database with a block each ten minutes of two hours, behind which an empty stretch begins.
fn blocks(fs: &SimFs, clock: &Arc<Manual>) -> Db {
    let db = open(fs, clock);
    for i in 0..12 {
        // Names are in the order of creation.
        clock.0.fetch_add(1, Ordering::Relaxed);
        append(&db, &[(1, i * 10 * MINUTE, 1.0), (2, i * 10 * MINUTE + 1, 2.0)]);
        db.flush_all().unwrap();
    }
    clock.0.fetch_add(1, Ordering::Relaxed);
    append(&db, &[(1, 130 * MINUTE, 1.0)]);
    db.flush_all().unwrap();
    assert_eq!(db.stats().num_blocks, 13);
    db
}

/// Directories of blocks, finished or not.
fn directories(fs: &SimFs) -> Vec<String> {
    let entries = fs.read_dir(Path::new(DIR)).unwrap();
    let ours = entries.into_iter().filter(|e| e.is_dir && e.name.len() >= 26);
    ours.map(|e| e.name).collect()
}

#[test]
fn old_blocks_become_cold_once_and_answer_the_same() {
    let (fs, clock) = (SimFs::new(1), Arc::default());
    let db = blocks(&fs, &clock);
    let before = read(&db);
    db.set_cold_before_ms(125 * MINUTE);
    while db.compact_step().unwrap() {}
    let cold =
        |db: &Db| db.blocks().iter().map(tsdb::block::BlockMeta::is_cold).collect::<Vec<_>>();
    assert_eq!(cold(&db), [true, false], "the merge of the first two hours, and what is younger");
    assert_eq!(read(&db), before);
    db.set_cold_before_ms(200 * MINUTE);
    assert!(db.compact_step().unwrap() && !db.compact_step().unwrap());
    assert_eq!(cold(&db), [true, true]);
    assert_eq!(read(&db), before);
    db.close().unwrap();
    drop(db);
    assert_eq!(read(&open(&fs, &clock)), before);
}

#[test]
fn blocks_become_one_and_their_directories_go() {
    let (fs, clock) = (SimFs::new(1), Arc::default());
    let db = blocks(&fs, &clock);
    let before = read(&db);
    assert!(db.compact_step().unwrap());
    assert!(!db.compact_step().unwrap());
    let stats = db.stats();
    assert_eq!((stats.num_blocks, stats.compactions, stats.compactions_failed), (2, 1, 0));
    assert!(stats.compaction_bytes_written > 0);
    assert_eq!(directories(&fs).len(), 2);
    assert_eq!(read(&db), before);
    drop(db);
    assert_eq!(read(&open(&fs, &clock)), before);
}

#[test]
fn late_samples_win_through_flush_split_merge_and_restart() {
    let (fs, clock) = (SimFs::new(1), Arc::<Manual>::default());
    let db = blocks(&fs, &clock);
    while db.compact_step().unwrap() {}
    // Over two windows of two hours; what was written in order is overwritten.
    append(&db, &[(1, 10 * MINUTE, 7.0), (2, 15 * MINUTE, 7.5), (1, 125 * MINUTE, 7.0)]);
    append(&db, &[(1, 250 * MINUTE, 1.0)]);
    db.flush_all().unwrap();
    append(&db, &[(1, 10 * MINUTE, 8.0), (1, 20 * MINUTE, 8.0)]);
    db.flush_all().unwrap();
    let before = read(&db);
    assert_eq!((before[&(1, 10 * MINUTE)], before[&(1, 125 * MINUTE)]), (8.0, 7.0));
    clock.0.store(1 << 40, Ordering::Relaxed);
    while db.compact_step().unwrap() {}
    assert_eq!(read(&db), before);
    assert_eq!(db.stats().num_blocks, 3, "one for each window");
    drop(db);
    assert_eq!(read(&open(&fs, &clock)), before);
}

#[test]
fn compaction_leaves_free_what_must_stay_free() {
    let (fs, clock) = (SimFs::new(1), Arc::<Manual>::default());
    let db = blocks(&fs, &clock);
    let space = fs.space(Path::new(DIR)).unwrap();
    fs.set_capacity(space.total - space.free + (8 << 20));
    db.disk_step((8 << 20) - (1 << 10)).unwrap();
    assert!(!db.is_short_of_disk(), "writes go on");
    assert!(matches!(db.compact_step(), Err(StepError::NoSpace { .. })));
    db.disk_step(1).unwrap();
    clock.0.fetch_add(10_000, Ordering::Relaxed);
    assert!(db.compact_step().unwrap(), "there is room for it");
}

#[test]
fn a_full_disk_leaves_the_inputs_and_nothing_else() {
    let (fs, clock) = (SimFs::new(1), Arc::<Manual>::default());
    let db = blocks(&fs, &clock);
    let before = read(&db);
    let space = fs.space(Path::new(DIR)).unwrap();
    fs.set_capacity(space.total - space.free + 1);
    assert!(matches!(db.compact_step(), Err(StepError::NoSpace { .. })));
    fs.set_capacity(u64::MAX);
    assert!(!db.compact_step().unwrap(), "it rests");
    clock.0.fetch_add(10_000, Ordering::Relaxed);

    // Room that goes while the output is written, at each of its operations.
    for after in 0.. {
        fs.fail(Fault {
            op: None,
            path: String::new(),
            bytes: 0..0,
            after,
            error: FaultError::NoSpace,
            times: 1,
        });
        let result = db.compact_step();
        fs.clear_faults();
        assert_eq!(read(&db), before, "operation {after}");
        clock.0.fetch_add(1_000_000, Ordering::Relaxed);
        if db.stats().compactions > 0 {
            assert!(after > 10, "the loop saw the whole compaction, {after}");
            break;
        }
        assert!(result.is_err(), "operation {after}");
        assert_eq!(db.stats().num_blocks, 13);
    }
    while db.compact_step().unwrap() {}
    assert_eq!(directories(&fs).len(), 2);
    assert_eq!(read(&db), before);
    drop(db);
    assert_eq!(read(&open(&fs, &clock)), before);
    assert!(fs.read_dir(Path::new("/db/quarantine")).unwrap().is_empty());
}

#[test]
fn a_damaged_input_is_moved_aside_and_the_rest_goes_on() {
    let (fs, clock) = (SimFs::new(1), Arc::<Manual>::default());
    let db = blocks(&fs, &clock);
    let before = read(&db);
    let victim = directories(&fs)[3].clone();
    // The first time column: of the fourth ten minutes.
    fs.edit(&Path::new(DIR).join(&victim).join("chunks"), |bytes| bytes[20] ^= 1).unwrap();
    while db.compact_step().unwrap() {}
    let gone = db.quarantined_blocks();
    assert_eq!(gone.len(), 1);
    assert_eq!((gone[0].id.to_string(), gone[0].mint), (victim.clone(), 30 * MINUTE));
    assert_eq!(db.stats().quarantined_blocks, 1);
    assert!(fs.exists(&Path::new("/db/quarantine").join(victim)).unwrap());
    assert_eq!(db.stats().num_blocks, 2);
    let expected: BTreeMap<_, _> =
        before.into_iter().filter(|((_, t), _)| !(30 * MINUTE..40 * MINUTE).contains(t)).collect();
    assert_eq!(read(&db), expected);
}

#[test]
fn a_stopped_compaction_leaves_nothing_behind() {
    let (fs, clock) = (SimFs::new(1), Arc::default());
    let db = blocks(&fs, &clock);
    db.stop_compaction();
    assert!(!db.compact_step().unwrap());
    assert_eq!(db.stats().num_blocks, 13);
}

#[test]
fn retention_by_size_drops_the_oldest_blocks() {
    let (fs, clock) = (SimFs::new(1), Arc::default());
    let db = blocks(&fs, &clock);
    let block_bytes = db.stats().block_bytes;
    let keep = |max_bytes| {
        let chosen = retention::by_size(&[db.disk_use().blocks], max_bytes);
        db.retention_size_step(&chosen[0]).unwrap()
    };
    assert_eq!(keep(block_bytes), 0);
    assert_eq!(keep(block_bytes - 1), 1);
    assert_eq!(read(&db).keys().map(|k| k.1).min(), Some(10 * MINUTE));
    assert_eq!(directories(&fs).len(), 12);
    assert_eq!(keep(0), 12);
    assert!(read(&db).is_empty());
    assert_eq!((db.stats().size_retentions, db.stats().time_retentions), (2, 0));
}

#[test]
fn the_clock_of_the_last_write_survives_a_restart() {
    let (fs, clock) = (SimFs::new(1), Arc::<Manual>::default());
    clock.0.store(77, Ordering::Relaxed);
    let db = open(&fs, &clock);
    assert_eq!(db.last_seen_ms(), None);
    append(&db, &[(1, 1, 1.0)]);
    db.close().unwrap();
    drop(db);
    clock.0.store(99, Ordering::Relaxed);
    assert_eq!(open(&fs, &clock).last_seen_ms(), Some(77));
}

/// Reliability contract P12: what was acknowledged before a query began is in its answer exactly
/// once, whatever runs beside it.
#[test]
fn queries_beside_flush_compaction_and_collection_see_every_sample_once() {
    const ROUNDS: i64 = 1500;
    let dir = tempfile::tempdir().unwrap();
    let options = DbOptions {
        wal_mode: tsdb::wal::WalMode::None,
        max_wal_bytes: 64 << 10,
        ..options(&Arc::default())
    };
    let db = Db::open(Arc::new(StdFs), dir.path(), options, &mut |_| {}).unwrap().0;
    let (acked, steps, ended) = (AtomicI64::new(0), AtomicI64::new(0), AtomicBool::new(false));
    let (checks, began) = (AtomicI64::new(0), Instant::now());
    // Each round one sample in order, one late that fills a gap, and one that overwrites an old one.
    let rows = |i: i64| {
        let t = i * MINUTE;
        let i32 = |i: i64| f64::from(i32::try_from(i).unwrap());
        let old = (i * 7919) % (i + 1);
        [
            (1, t, i32(i)),
            (2, (i / 10 * 10 + 9 - i % 10) * MINUTE, i32(i)),
            (3, old * MINUTE, i32(old)),
            (3, t, i32(i)),
        ]
    };
    std::thread::scope(|scope| {
        let reader = || {
            while !ended.load(Ordering::Acquire) {
                let before = acked.load(Ordering::Acquire);
                let found = read(&db);
                let after = acked.load(Ordering::Acquire) + 1;
                for i in 0..before {
                    for (series, t, v) in rows(i) {
                        assert_eq!(found.get(&(series, t)), Some(&v), "{series}@{t}, {before}");
                    }
                }
                let most = usize::try_from(after).unwrap() * 3;
                assert!(found.len() <= most, "{} of {most}", found.len());
                checks.fetch_add(1, Ordering::Release);
            }
        };
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        let maintenance = scope.spawn(|| {
            for n in 0.. {
                if ended.load(Ordering::Acquire) {
                    break;
                }
                steps.store(n, Ordering::Release);
                match n % 4 {
                    0 if n % 8 == 0 => db.flush_all().map(drop).unwrap(),
                    0 => db.flush_step().map(drop).unwrap(),
                    1 => while db.compact_step().unwrap() {},
                    2 => db.checkpoint_step().map(drop).unwrap(),
                    _ => {
                        db.gc_step();
                    }
                }
            }
        });
        // On a busy machine one of the threads may get little done: the others wait for it.
        let is_enough = || checks.load(Ordering::Acquire) > 5 && db.stats().compactions > 3;
        for i in 0.. {
            if i >= ROUNDS && (is_enough() || began.elapsed() > Duration::from_mins(2)) {
                break;
            }
            while i / 15 > steps.load(Ordering::Acquire) && !maintenance.is_finished() {
                std::thread::yield_now();
            }
            append(&db, &rows(i));
            acked.store(i + 1, Ordering::Release);
        }
        ended.store(true, Ordering::Release);
        maintenance.join().unwrap();
        for reader in readers {
            reader.join().unwrap();
        }
        assert!(is_enough(), "{checks:?}, {:?}", db.stats());
    });
}
