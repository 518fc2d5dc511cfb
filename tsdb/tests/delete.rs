//! What a delete leaves behind: nothing that queries, restarts, damage or the files themselves show,
//! and everything that was written later.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{
    Interrupt, Interrupted, Labels, Matcher, NamesRequest, NeverInterrupted, Queryable, Selection,
    SeriesBuf,
};
use tsdb::append::{AppendBatch, AppendPolicy, DuplicatePolicy};
use tsdb::db::{DeleteError, DeleteReport, Scrubbed};
use tsdb::fs::Fs;
use tsdb::fs::sim::{CrashPolicy, Fault, FaultError, Op, SimFs};
use tsdb::tombstones::Deletion;
use tsdb::{Db, DbOptions};

const DIR: &str = "/db";

fn open(fs: &SimFs) -> Db {
    static PROCESSES: AtomicU64 = AtomicU64::new(1);
    fs.create_dir(Path::new(DIR)).unwrap();
    let seed = PROCESSES.fetch_add(1, Ordering::Relaxed);
    let options = DbOptions { seed, min_free_bytes: 0, ..DbOptions::default() };
    Db::open(Arc::new(fs.clone()), Path::new(DIR), options, &mut |_| {}).unwrap().0
}

/// Power cut or clean process exit, and a new start.
fn restart(fs: &SimFs, db: Db, policy: CrashPolicy) -> (SimFs, Db) {
    drop(db);
    let fs = fs.crash(policy, 1);
    let db = open(&fs);
    (fs, db)
}

fn append(db: &Db, rows: &[(&str, i64, f64)]) {
    let mut batch = AppendBatch::default();
    for (name, t, v) in rows {
        let series = batch.push_series(db.alias_hasher().hash(0, name.as_bytes()));
        batch.push_sample(series, *t, *v);
    }
    let policy = AppendPolicy {
        duplicates: DuplicatePolicy::Refuse,
        min_time_ms: i64::MIN,
        max_time_ms: i64::MAX,
        wal_mode: None,
    };
    let labels = |i: u32| Ok(Labels::from_pairs([("__name__", rows[i as usize].0)]).unwrap());
    let report = db.append(&batch, &policy, &mut { labels }).unwrap();
    assert_eq!(report.refused, 0, "{report:?}");
}

fn never() -> Arc<dyn Interrupt> {
    Arc::new(NeverInterrupted)
}

fn series(name: &str, mint: i64, maxt: i64) -> Deletion {
    Deletion { selectors: vec![vec![Matcher::equal("__name__", name)]], mint, maxt }
}

fn delete(db: &Db, what: &Deletion) -> DeleteReport {
    db.delete(what, 1000, &never()).unwrap()
}

fn read(db: &Db) -> BTreeMap<String, Vec<(i64, f64)>> {
    let set = db.select(&Selection::new(vec![], i64::MIN, i64::MAX)).unwrap();
    let (mut out, mut buf) = (BTreeMap::new(), SeriesBuf::new());
    for i in 0..set.len() {
        set.read(i, &mut buf).unwrap();
        let samples: Vec<_> =
            buf.times().iter().copied().zip(buf.values().iter().copied()).collect();
        if !samples.is_empty() {
            out.insert(set.labels(i).unwrap().metric_name().to_owned(), samples);
        }
    }
    out
}

fn names(db: &Db) -> Vec<String> {
    let interrupt = never();
    let request = NamesRequest { matchers: vec![], mint: i64::MIN, maxt: i64::MAX, interrupt };
    db.label_values("__name__", &request).unwrap()
}

fn one(name: &str, samples: &[(i64, f64)]) -> BTreeMap<String, Vec<(i64, f64)>> {
    BTreeMap::from([(name.to_owned(), samples.to_vec())])
}

#[test]
fn rows_that_are_written_after_a_delete_stay_wherever_the_deleted_ones_were() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[("a", 1000, 1.0), ("a", 2000, 2.0), ("a", 500, 3.0)]);
    db.flush_all().unwrap();
    append(&db, &[("a", 3000, 4.0), ("a", 600, 5.0), ("b", 3000, 6.0)]);
    // In blocks: 500, 1000, 2000. In the head: 600 late, 3000 in order.
    assert_eq!(
        delete(&db, &series("a", i64::MIN, i64::MAX)),
        DeleteReport { series: 1, samples: 5 }
    );
    assert_eq!(read(&db), one("b", &[(3000, 6.0)]));
    // Equal to what was deleted, and at the newest time too.
    append(&db, &[("a", 3000, 4.0), ("a", 600, 7.0), ("a", 1000, 8.0), ("a", 4000, 9.0)]);
    let mut want = one("a", &[(600, 7.0), (1000, 8.0), (3000, 4.0), (4000, 9.0)]);
    want.extend(one("b", &[(3000, 6.0)]));
    assert_eq!(read(&db), want);
    let (fs, db) = restart(&fs, db, CrashPolicy::DropUnsynced);
    assert_eq!(read(&db), want);
    db.clean_tombstones().unwrap();
    assert_eq!(read(&db), want);
    db.close().unwrap();
    let (_, db) = restart(&fs, db, CrashPolicy::DropUnsynced);
    assert_eq!(read(&db), want);
}

#[test]
fn a_delete_survives_the_loss_of_its_record_in_the_log() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[("a", 1000, 1.0)]);
    db.flush_all().unwrap();
    append(&db, &[("a", 2000, 2.0)]);
    delete(&db, &series("a", 0, 5000));
    append(&db, &[("a", 1500, 3.0)]);
    drop(db);
    let wal = Path::new(DIR).join("wal");
    let mut segments = fs.read_dir(&wal).unwrap();
    segments.retain(|entry| Path::new(&entry.name).extension() == Some("wal".as_ref()));
    let segment = wal.join(&segments.last().unwrap().name);
    let before = fs.read(&segment).unwrap();
    let at = before.windows(8).rposition(|w| w == b"__name__").unwrap();
    fs.edit(&segment, |bytes| bytes[at] ^= 1).unwrap();
    let db = open(&fs);
    assert_eq!(read(&db), one("a", &[(1500, 3.0)]));
}

#[test]
fn a_delete_survives_the_loss_of_the_whole_log() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[("a", 1000, 1.0), ("b", 1000, 1.0)]);
    db.flush_all().unwrap();
    delete(&db, &series("a", 0, 5000));
    drop(db);
    let wal = Path::new(DIR).join("wal");
    for entry in fs.read_dir(&wal).unwrap() {
        fs.remove_file(&wal.join(&entry.name)).unwrap();
    }
    let db = open(&fs);
    assert_eq!(read(&db), one("b", &[(1000, 1.0)]));
    // The log begins anew, and later deletes still come after what blocks hold.
    delete(&db, &series("b", 0, 5000));
    let (_, db) = restart(&fs, db, CrashPolicy::DropUnsynced);
    assert_eq!(read(&db), BTreeMap::new());
}

#[test]
fn after_a_clean_up_no_file_has_a_byte_of_what_is_deleted() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[("secret_name", 1000, 1.0), ("kept", 1000, 1.0)]);
    append(&db, &[("secret_name", 10, 1.0), ("kept", 10, 1.0)]);
    db.flush_all().unwrap();
    append(&db, &[("secret_name", 2000, 2.0), ("kept", 2000, 2.0), ("kept", 20, 1.0)]);
    let what = series("secret_name", i64::MIN, i64::MAX);
    assert_eq!(delete(&db, &what), DeleteReport { series: 1, samples: 3 });
    assert_eq!(names(&db), ["kept", "secret_name"], "the head still knows the series");
    assert_eq!(db.clean_tombstones().unwrap(), 2);
    assert_eq!(names(&db), ["kept"]);
    assert!(db.tombstones().is_empty());
    assert!(fs.exists(Path::new(DIR)).unwrap());
    assert_eq!(files_with(&fs, Path::new(DIR), b"secret_name"), ["MANIFEST", "meta", "meta"]);
    assert_eq!(db.clean_tombstones().unwrap(), 0);
    let (_, db) = restart(&fs, db, CrashPolicy::DropUnsynced);
    assert_eq!(names(&db), ["kept"]);
    assert_eq!(read(&db), one("kept", &[(10, 1.0), (20, 1.0), (1000, 1.0), (2000, 2.0)]));
}

/// The files that hold `text`: history and meta say what was deleted, in their own words.
fn files_with(fs: &SimFs, dir: &Path, text: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    for entry in fs.read_dir(dir).unwrap() {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            out.extend(files_with(fs, &path, text));
        } else if fs.read(&path).unwrap().windows(text.len()).any(|w| w == text) {
            out.push(entry.name);
        }
    }
    out.sort();
    out
}

#[test]
fn compaction_carries_out_a_large_delete_by_itself_and_notes_it() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[("a", 1000, 1.0), ("b", 1000, 1.0)]);
    db.flush_all().unwrap();
    assert!(!db.compact_step().unwrap());
    delete(&db, &series("a", 0, 5000));
    assert!(db.compact_step().unwrap());
    assert!(!db.compact_step().unwrap());
    assert_eq!(read(&db), one("b", &[(1000, 1.0)]));
    assert!(db.tombstones().is_empty());
    let [meta] = &db.blocks()[..] else { panic!("one block") };
    let [deleted] = &meta.deleted[..] else { panic!("{:?}", meta.deleted) };
    assert_eq!((deleted.selector.as_str(), deleted.num_samples), (r#"{__name__="a"}"#, 1));
    delete(&db, &series("b", 0, 5000));
    assert!(db.compact_step().unwrap());
    assert!(db.blocks().is_empty(), "a block of which nothing is left goes");
}

#[test]
fn a_delete_that_finds_nothing_leaves_no_tombstone() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[("a", 1000, 1.0)]);
    db.flush_all().unwrap();
    let before = db.stats().wal_last_seq;
    assert_eq!(delete(&db, &series("a", 1001, 5000)), DeleteReport::default());
    assert_eq!(delete(&db, &series("b", 0, 5000)), DeleteReport::default());
    assert_eq!((db.stats().wal_last_seq, db.tombstones().len()), (before, 0));
}

struct Now;

impl Interrupt for Now {
    fn check(&self) -> Result<(), Interrupted> {
        Err(Interrupted::Canceled)
    }
}

#[test]
fn requests_that_cannot_be_carried_out_change_nothing() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[("a", 1000, 1.0), ("b", 1000, 1.0)]);
    let all = |mint, maxt| Deletion { selectors: vec![vec![]], mint, maxt };
    let refuse = |what: Deletion, limit| db.delete(&what, limit, &never()).unwrap_err();
    assert!(matches!(refuse(all(2, 1), 9), DeleteError::Invalid(_)));
    let none = Deletion { selectors: vec![], mint: 0, maxt: 1 };
    assert!(matches!(refuse(none, 9), DeleteError::Invalid(_)));
    let long =
        Deletion { selectors: vec![vec![Matcher::equal("a", &"x".repeat(2 << 20))]], ..all(0, 1) };
    assert!(matches!(refuse(long, 9), DeleteError::Invalid(_)));
    let many = refuse(all(0, 5000), 1);
    assert!(matches!(many, DeleteError::TooManySeries { found: 2, limit: 1 }), "{many}");
    let stopped = db.delete(&all(0, 5000), 9, &(Arc::new(Now) as Arc<dyn Interrupt>));
    assert!(matches!(stopped, Err(DeleteError::Read(_))));
    assert_eq!(read(&db).len(), 2);
    db.close().unwrap();
    assert!(matches!(refuse(all(0, 5000), 9), DeleteError::Log(_)));
}

#[test]
fn a_delete_while_the_disk_refuses_is_seen_once_it_is_durable() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[("a", 1000, 1.0), ("b", 1000, 1.0)]);
    db.flush_all().unwrap();
    append(&db, &[("a", 2000, 1.0)]);
    for op in [Op::Append, Op::Create] {
        fs.fail(Fault { path: ".wal".to_owned(), ..Fault::sticky(op, 0, FaultError::NoSpace) });
    }
    let refused = db.delete(&series("a", i64::MIN, i64::MAX), 9, &never());
    assert!(matches!(refused, Err(DeleteError::Log(_))), "{refused:?}");
    assert_eq!(read(&db)["a"].len(), 2, "what a crash could take back is not seen");
    fs.clear_faults();
    db.recover_wal_step().unwrap();
    assert_eq!(read(&db), one("b", &[(1000, 1.0)]));
    let (_, db) = restart(&fs, db, CrashPolicy::DropUnsynced);
    assert_eq!(read(&db), one("b", &[(1000, 1.0)]));
}

#[test]
fn a_snapshot_opens_as_a_database_of_what_was_there() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[("a", 1000, 1.0), ("b", 1000, 2.0), ("a", 500, 3.0)]);
    db.flush_all().unwrap();
    delete(&db, &series("b", 0, 5000));
    append(&db, &[("a", 2000, 4.0), ("a", 1000, 5.0), ("c", 3000, 6.0)]);
    db.snapshot("whole", true).unwrap();
    db.snapshot("blocks", false).unwrap();
    assert!(db.snapshot("whole", true).is_err(), "a name is taken once");
    let whole = read(&db);
    delete(&db, &series("a", 0, 5000));
    db.clean_tombstones().unwrap();
    append(&db, &[("a", 4000, 7.0)]);
    drop(db);
    // As durable as the database.
    let fs = fs.crash(CrashPolicy::DropUnsynced, 1);
    let open_in = |name: &str| {
        let dir = Path::new(DIR).join("snapshots").join(name);
        Db::open(Arc::new(fs.clone()), &dir, DbOptions::default(), &mut |_| {}).unwrap()
    };
    let (snapshot, report) = open_in("whole");
    assert!(report.damaged_blocks.is_empty() && report.damaged_regions == 0, "{report:?}");
    assert_eq!(read(&snapshot), whole);
    append(&snapshot, &[("a", 1000, 8.0), ("c", 3500, 9.0), ("b", 1000, 10.0)]);
    let mut want = one("a", &[(500, 3.0), (1000, 8.0), (2000, 4.0)]);
    want.extend(one("b", &[(1000, 10.0)]));
    want.extend(one("c", &[(3000, 6.0), (3500, 9.0)]));
    assert_eq!(read(&snapshot), want);
    let (blocks, _) = open_in("blocks");
    assert_eq!(read(&blocks), one("a", &[(500, 3.0), (1000, 1.0)]));
    assert_eq!(read(&open(&fs)), {
        let mut want = one("a", &[(4000, 7.0)]);
        want.extend(one("c", &[(3000, 6.0)]));
        want
    });
}

#[test]
fn a_snapshot_that_fails_leaves_nothing_under_its_name() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[("a", 1000, 1.0)]);
    let before = fs.ops();
    db.snapshot("s", true).unwrap();
    for at in 1..=fs.ops() - before {
        let fs = SimFs::new(1);
        let db = open(&fs);
        append(&db, &[("a", 1000, 1.0)]);
        fs.crash_at(fs.ops() + at);
        let made = db.snapshot("s", true);
        drop(db);
        let fs = fs.crash(CrashPolicy::DropUnsynced, at);
        let db = open(&fs);
        assert_eq!(read(&db), one("a", &[(1000, 1.0)]));
        let there = fs.exists(&Path::new(DIR).join("snapshots/s")).unwrap();
        if there || made.is_ok() {
            let dir = Path::new(DIR).join("snapshots/s");
            let opened = Db::open(Arc::new(fs.clone()), &dir, DbOptions::default(), &mut |_| {});
            assert_eq!(read(&opened.unwrap().0), one("a", &[(1000, 1.0)]), "cut at {at}");
        }
        db.snapshot("t", true).unwrap();
        let left = fs.read_dir(&Path::new(DIR).join("snapshots")).unwrap();
        assert!(left.iter().all(|e| e.name == "s" || e.name == "t"), "{left:?}");
    }
}

#[test]
fn below_the_floor_of_free_disk_only_queries_and_deletes_go_on() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[("a", 1000, 1.0), ("b", 1000, 2.0)]);
    db.flush_all().unwrap();
    fs.set_capacity(1 << 20);
    let used = (1 << 20) - fs.space(Path::new(DIR)).unwrap().free;
    assert!(!db.disk_step(1000).unwrap());
    fs.set_capacity(used + 999);
    assert!(db.disk_step(1000).unwrap() && db.is_short_of_disk());
    let batch = AppendBatch { databases: vec!["x".to_owned()], ..AppendBatch::default() };
    let policy = AppendPolicy {
        duplicates: DuplicatePolicy::Refuse,
        min_time_ms: i64::MIN,
        max_time_ms: i64::MAX,
        wal_mode: None,
    };
    let refused = db
        .append(&batch, &policy, &mut |_| unreachable!("no series is new"))
        .unwrap_err()
        .to_string();
    assert_eq!(refused, "storage is read-only: only 999 bytes of disk are free");
    assert_eq!(read(&db).len(), 2);
    delete(&db, &series("a", 0, 5000));
    assert_eq!(read(&db), one("b", &[(1000, 2.0)]));
    assert!(!db.compact_step().unwrap(), "it would need space");
    let used = used + 999 - fs.space(Path::new(DIR)).unwrap().free;
    fs.set_capacity(used + 1500);
    assert!(!db.disk_step(1000).unwrap(), "not before there is twice the floor");
    fs.set_capacity(used + 100_000);
    assert!(db.disk_step(1000).unwrap() && !db.is_short_of_disk());
    append(&db, &[("b", 2000, 2.0)]);
    assert!(db.compact_step().unwrap());
}

#[test]
fn a_scrub_finds_what_the_disk_lost_and_answers_say_so() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[("a", 1000, 1.0)]);
    db.flush_all().unwrap();
    let id = db.blocks()[0].id;
    let mut bytes = 0;
    let mut pace = |n| {
        bytes += n;
        true
    };
    assert_eq!(db.scrub(id, &mut pace).unwrap(), Scrubbed::Sound);
    assert!(bytes > 100);
    assert_eq!(db.scrub(id, &mut |_| false).unwrap(), Scrubbed::Gone);
    drop(db);
    // Where only the hash of the whole file covers it.
    fs.edit(&Path::new(DIR).join(id.to_string()).join("index"), |bytes| bytes[17] ^= 1).unwrap();
    let db = open(&fs);
    assert_eq!(db.scrub(id, &mut |_| true).unwrap(), Scrubbed::Damaged);
    assert_eq!(db.scrub(id, &mut |_| true).unwrap(), Scrubbed::Gone);
    let set = db.select(&Selection::new(vec![], i64::MIN, i64::MAX)).unwrap();
    assert_eq!(set.warnings().len(), 1, "{:?}", set.warnings());
}
