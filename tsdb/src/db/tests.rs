//! Interleavings of appends, steps and restarts that no sequence of public calls brings about
//! reliably, played out by hand.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::{
    CounterResetHint, HistogramValue, IntHistogram, Labels, MetricMetadata, MetricType, Queryable,
    Selection, SeriesBuf,
};
use parking_lot::Mutex;

use super::Db;
use crate::DbOptions;
use crate::append::{
    AppendBatch, AppendError, AppendPolicy, AppendReport, DuplicatePolicy, Refusal,
};
use crate::fs::sim::{CrashPolicy, Fault, FaultError, Op, SimFs};
use crate::fs::{DirEntry, Fs, FsFile, FsRead, LockGuard, Space};
use crate::head::read::SeriesSnapshot;
use crate::wal::WalMode;

const DIR: &str = "/db";
const POLICY: AppendPolicy = AppendPolicy {
    duplicates: DuplicatePolicy::Overwrite,
    min_time_ms: i64::MIN,
    max_time_ms: i64::MAX,
    wal_mode: None,
};

fn open_on(fs: Arc<dyn Fs>, options: DbOptions) -> Db {
    static PROCESSES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    fs.create_dir(Path::new(DIR)).unwrap();
    let seed = PROCESSES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    Db::open(fs, Path::new(DIR), DbOptions { seed, ..options }, &mut |_| {}).unwrap().0
}

fn open(fs: &SimFs) -> Db {
    open_on(Arc::new(fs.clone()), DbOptions::default())
}

/// What a restart finds when the process dies and the disk keeps everything, or only what was
/// synced.
fn restart(fs: &SimFs, db: Db, policy: CrashPolicy) -> (SimFs, Db) {
    drop(db);
    let fs = fs.crash(policy, 1);
    let db = open(&fs);
    (fs, db)
}

fn labels(series: u8) -> Labels {
    Labels::from_pairs([("__name__", format!("m{series}"))]).unwrap()
}

fn batch(db: &Db, rows: &[(u8, i64, f64)]) -> AppendBatch {
    let mut batch = AppendBatch::default();
    for (s, t, v) in rows {
        let series = batch.push_series(db.alias_hasher().hash(0, &[*s]));
        batch.push_sample(series, *t, *v);
    }
    batch
}

fn append_as(db: &Db, rows: &[(u8, i64, f64)], policy: &AppendPolicy) -> AppendReport {
    db.append(&batch(db, rows), policy, &mut |i| Ok(labels(rows[i as usize].0))).unwrap()
}

fn append(db: &Db, rows: &[(u8, i64, f64)]) {
    assert_eq!(append_as(db, rows, &POLICY).stored, rows.len() as u64);
}

fn read(db: &Db) -> Vec<(String, i64, f64)> {
    let set = db.select(&Selection::new(vec![], i64::MIN, i64::MAX)).unwrap();
    let (mut out, mut buf) = (Vec::new(), SeriesBuf::new());
    for i in 0..set.len() {
        let name = set.labels(i).unwrap().metric_name().to_owned();
        set.read(i, &mut buf).unwrap();
        out.extend(buf.times().iter().zip(buf.values()).map(|(t, v)| (name.clone(), *t, *v)));
    }
    out
}

fn sample(series: u8, t: i64, v: f64) -> (String, i64, f64) {
    (format!("m{series}"), t, v)
}

/// Called when a file whose path ends so is made.
type Hook = (&'static str, Box<dyn FnOnce() + Send>);

/// A disk with an appointment: something happens right before a file is made.
#[derive(Clone)]
struct Appointed {
    fs: SimFs,
    hook: Arc<Mutex<Option<Hook>>>,
}

impl std::fmt::Debug for Appointed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appointed").finish_non_exhaustive()
    }
}

impl Fs for Appointed {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let hook = self.hook.lock().take_if(|(end, _)| path.to_string_lossy().ends_with(*end));
        if let Some((_, run)) = hook {
            run();
        }
        self.fs.create(path)
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.fs.open_append(path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FsRead>> {
        self.fs.open_read(path)
    }
    fn open_scan(&self, path: &Path) -> io::Result<Arc<dyn FsRead>> {
        self.fs.open_scan(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fs.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.fs.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.fs.remove_dir(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.fs.create_dir(path)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.fs.read_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.fs.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.fs.lock(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.fs.space(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.fs.exists(path)
    }
}

#[test]
fn closing_after_a_failed_late_flush_keeps_what_came_later() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[(1, 1000, 1.0), (1, 10, 2.0)]);
    fs.fail(Fault {
        path: "chunks".to_owned(),
        ..Fault::sticky(Op::Create, 0, FaultError::NoSpace)
    });
    assert!(db.flush_all().is_err());
    fs.clear_faults();
    append(&db, &[(1, 20, 3.0)]);
    db.close().unwrap();
    let (_, db) = restart(&fs, db, CrashPolicy::KeepAll);
    assert_eq!(read(&db), [sample(1, 10, 2.0), sample(1, 20, 3.0), sample(1, 1000, 1.0)]);
}

#[test]
fn late_rows_of_an_older_checkpoint_do_not_beat_their_corrections_in_a_block() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[(1, 1000, 1.0), (1, 10, 2.0)]);
    db.write_checkpoint(&mut db.maintenance.lock(), super::steps::Keep::Series).unwrap();
    append(&db, &[(1, 10, 3.0)]);
    assert!(db.flush_late(&mut db.maintenance.lock()).unwrap());
    // The power goes before the next checkpoint.
    let (_, db) = restart(&fs, db, CrashPolicy::KeepAll);
    assert_eq!(read(&db), [sample(1, 10, 3.0), sample(1, 1000, 1.0)]);
}

#[test]
fn a_corrected_newest_value_is_known_after_its_late_flush() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[(1, 1000, 1.0)]);
    append(&db, &[(1, 1000, 2.0)]);
    assert!(db.flush_late(&mut db.maintenance.lock()).unwrap());
    let (_, db) = restart(&fs, db, CrashPolicy::KeepAll);
    let refuse = AppendPolicy { duplicates: DuplicatePolicy::Refuse, ..POLICY };
    assert_eq!(append_as(&db, &[(1, 1000, 2.0)], &refuse).repeated, 1);
    assert_eq!(append_as(&db, &[(1, 1000, 1.0)], &refuse).refused, 1);
    assert_eq!(read(&db), [sample(1, 1000, 2.0)]);
}

#[test]
fn a_checkpoint_holds_nothing_that_the_log_could_still_lose() {
    let fs = SimFs::new(1);
    let disk = Appointed { fs: fs.clone(), hook: Arc::default() };
    let db = Arc::new(open_on(Arc::new(disk.clone()), DbOptions::default()));
    append(&db, &[(1, 1000, 1.0)]);
    let writer = Arc::clone(&db);
    // A request that is logged and waits for the sync while the checkpoint is written.
    let logged = move || {
        let rows = [(1, 2000, 2.0)];
        let judged = writer
            .head
            .judge(&batch(&writer, &rows), &POLICY, &mut |_| unreachable!("no series is new"));
        let mut payload = Vec::new();
        judged.record.encode(&mut payload);
        let seq = writer.wal.enqueue(writer.wal.reserve(8).unwrap(), payload);
        writer.head.pend(judged, seq);
    };
    *disk.hook.lock() = Some((".ckpt.tmp", Box::new(logged)));
    db.write_checkpoint(&mut db.maintenance.lock(), super::steps::Keep::Series).unwrap();
    assert!(disk.hook.lock().is_none(), "the request came in between");
    let db = Arc::into_inner(db).expect("the request is over");
    let (_, db) = restart(&fs, db, CrashPolicy::DropUnsynced);
    // The client never got an answer and sends it again.
    append(&db, &[(1, 2000, 2.0)]);
    assert_eq!(read(&db), [sample(1, 1000, 1.0), sample(1, 2000, 2.0)]);
}

#[test]
fn closing_waits_for_appends_that_began_before() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[(1, 1000, 1.0)]);
    std::thread::scope(|scope| {
        let (done, closed) = std::sync::mpsc::channel();
        let rows = [(1, 2000, 2.0), (2, 2000, 3.0)];
        let report = db.append(&batch(&db, &rows), &POLICY, &mut |i| {
            let (db, done) = (&db, done.clone());
            scope.spawn(move || done.send(db.close().is_ok()));
            // It either ends in this time, which is the bug, or waits for this very call.
            let _ = closed.recv_timeout(Duration::from_millis(200));
            Ok(labels(rows[i as usize].0))
        });
        assert_eq!(report.unwrap().stored, 2);
    });
    let (_, db) = restart(&fs, db, CrashPolicy::KeepAll);
    assert_eq!(read(&db), [sample(1, 1000, 1.0), sample(1, 2000, 2.0), sample(2, 2000, 3.0)]);
}

#[test]
fn a_failing_checkpoint_never_lets_the_log_grow_past_twice_its_bound() {
    const BOUND: u64 = 64 << 10;
    let fs = SimFs::new(1);
    let options = DbOptions { wal_limit_bytes: BOUND, ..DbOptions::default() };
    let db = open_on(Arc::new(fs.clone()), options);
    // Neither blocks nor checkpoints can be written; the log can.
    for path in ["chunks", ".ckpt"] {
        let path = path.to_owned();
        fs.fail(Fault { path, ..Fault::sticky(Op::Create, 0, FaultError::NoSpace) });
    }
    let write = |t: i64| {
        let rows: Vec<_> = (1..=50).map(|n| (n, t, 0.1)).collect();
        db.append(&batch(&db, &rows), &POLICY, &mut |i| Ok(labels(rows[i as usize].0)))
    };
    let (mut stored, mut refused, mut failed) = (0, 0, 0);
    for t in 1..2000 {
        match write(t) {
            Ok(_) => stored += 1,
            Err(AppendError::LogFull { bytes, limit: BOUND }) if bytes > BOUND => refused += 1,
            Err(e) => panic!("{e}"),
        }
        failed += u32::from(db.checkpoint_step().is_err());
        assert!(db.stats().wal_bytes < 2 * BOUND, "{} bytes", db.stats().wal_bytes);
    }
    assert!(stored > 100 && refused > 100 && failed > 100, "{stored} {refused} {failed}");
    fs.clear_faults();
    assert!(db.checkpoint_step().unwrap());
    assert!(db.stats().wal_bytes < BOUND);
    assert_eq!(write(3000).unwrap().stored, 50);
    let (_, db) = restart(&fs, db, CrashPolicy::KeepAll);
    assert_eq!(read(&db).len(), (stored + 1) * 50);
}

#[test]
fn extreme_times_are_flushed_or_refused() {
    let fs = SimFs::new(1);
    let db = open_on(Arc::new(fs.clone()), DbOptions { max_head_bytes: 0, ..DbOptions::default() });
    let report = append_as(&db, &[(1, i64::MAX, 1.0)], &POLICY);
    assert_eq!(report.refusals, [(0, Refusal::TooFarInFuture)]);
    append(&db, &[(1, i64::MIN, 1.0), (2, i64::MIN + 5, 2.0)]);
    db.flush_step().unwrap();
    append(&db, &[(1, i64::MAX - 1, 3.0), (2, 0, 4.0)]);
    db.flush_step().unwrap();
    append(&db, &[(2, i64::MAX - 1, 5.0)]);
    let want = [
        sample(1, i64::MIN, 1.0),
        sample(1, i64::MAX - 1, 3.0),
        sample(2, i64::MIN + 5, 2.0),
        sample(2, 0, 4.0),
        sample(2, i64::MAX - 1, 5.0),
    ];
    assert_eq!(read(&db), want);
    db.close().unwrap();
    let (_, db) = restart(&fs, db, CrashPolicy::DropUnsynced);
    assert_eq!(read(&db), want);
}

#[test]
fn without_a_log_rows_stay_visible_across_checkpoints() {
    let fs = SimFs::new(1);
    let options = DbOptions { wal_mode: WalMode::None, ..DbOptions::default() };
    let db = open_on(Arc::new(fs), options);
    append(&db, &[(1, 1000, 1.0)]);
    append(&db, &[(1, 2000, 1.0)]);
    let (before, written) = (db.wal.last_seq(), db.wal.written_seq());
    db.flush_all().unwrap();
    assert_eq!((db.wal.last_seq(), db.wal.written_seq()), (before, written));
}

#[test]
fn more_metadata_than_a_frame_takes_is_checkpointed() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    let entry =
        MetricMetadata { kind: MetricType::Gauge, help: "h".repeat(1024), unit: String::new() };
    for part in 0..7_u32 {
        let names = (0..10_000).map(|n| (format!("m{part}_{n}"), entry.clone()));
        let batch = AppendBatch { metadata: names.collect(), ..AppendBatch::default() };
        db.append(&batch, &POLICY, &mut |_| unreachable!("no series is new")).unwrap();
    }
    db.flush_all().unwrap();
    let (_, db) = restart(&fs, db, CrashPolicy::KeepAll);
    assert_eq!(db.metadata(None).len(), 70_000);
}

#[test]
fn a_histogram_in_a_checkpoint_is_known_as_the_newest_value() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    let histogram = HistogramValue::Int(Arc::new(IntHistogram {
        hint: CounterResetHint::default(),
        schema: 0,
        zero_threshold: 0.0,
        zero_count: 0,
        count: 0,
        sum: 1.0,
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        positive_deltas: Vec::new(),
        negative_deltas: Vec::new(),
        custom_values: Vec::new(),
    }));
    let mut batch = AppendBatch::default();
    let series = batch.push_series(db.alias_hasher().hash(0, b"h"));
    batch.histograms.push((series, 1000, histogram));
    db.append(&batch, &POLICY, &mut |_| Ok(labels(1))).unwrap();
    db.write_checkpoint(&mut db.maintenance.lock(), super::steps::Keep::Series).unwrap();
    let (_, db) = restart(&fs, db, CrashPolicy::KeepAll);
    batch.series[0] = db.alias_hasher().hash(0, b"h");
    let report = db.append(&batch, &POLICY, &mut |_| Ok(labels(1))).unwrap();
    assert_eq!((report.repeated, report.late), (1, 0));
}

#[test]
fn late_rows_behind_a_lost_checkpoint_are_replayed() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    for t in 0..50 {
        append(&db, &[(1, 1000 + t, 1.0), (1, t, 1.0)]);
    }
    db.flush_all().unwrap();
    let segment = db.maintenance.lock().manifest.state().checkpoint.unwrap();
    drop(db);
    fs.edit(&crate::checkpoint::path(&Path::new(DIR).join("wal"), segment), Vec::clear).unwrap();
    let db = open(&fs);
    append(&db, &[(1, 7, 2.0)]);
    let (_, db) = restart(&fs, db, CrashPolicy::KeepAll);
    let found: BTreeMap<_, _> = read(&db).into_iter().map(|(_, t, v)| (t, v.to_bits())).collect();
    assert_eq!((found.len(), found[&7]), (100, 2.0_f64.to_bits()));
}

#[test]
fn a_damaged_checkpoint_goes_to_the_quarantine_when_it_is_replaced() {
    let fs = SimFs::new(1);
    let db = open(&fs);
    append(&db, &[(1, 1000, 1.0)]);
    db.write_checkpoint(&mut db.maintenance.lock(), super::steps::Keep::Series).unwrap();
    let segment = db.maintenance.lock().manifest.state().checkpoint.unwrap();
    drop(db);
    let path = crate::checkpoint::path(&Path::new(DIR).join("wal"), segment);
    fs.edit(&path, |bytes| bytes[40] ^= 1).unwrap();
    let db = open(&fs);
    append(&db, &[(1, 2000, 1.0)]);
    db.flush_all().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let kept = fs.read_dir(&Path::new(DIR).join("quarantine")).unwrap();
    assert!(kept.iter().any(|entry| entry.name == name), "{kept:?}");
}

/// A clock that a test sets.
#[derive(Debug, Default)]
struct Manual(std::sync::atomic::AtomicU64);

impl crate::options::Clock for Manual {
    fn now_ms(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[test]
fn late_rows_are_flushed_when_they_are_old_however_few() {
    let (fs, clock) = (SimFs::new(1), Arc::<Manual>::default());
    let set = |now| clock.0.store(now, std::sync::atomic::Ordering::Relaxed);
    let options = DbOptions { clock: clock.clone(), max_late_age_ms: 100, ..DbOptions::default() };
    let db = open_on(Arc::new(fs.clone()), options.clone());
    append(&db, &[(1, 50, 1.0)]);
    set(1000);
    assert!(!db.flush_step().unwrap(), "nothing is late");
    append(&db, &[(1, 10, 2.0)]);
    for (now, flushed) in [(1000, false), (1099, false), (1100, true), (5000, false)] {
        set(now);
        assert_eq!(db.flush_step().unwrap(), flushed, "{now}");
    }
    let want = [sample(1, 10, 2.0), sample(1, 50, 1.0)];
    assert_eq!((read(&db), db.stats().late_samples, db.stats().num_blocks), (want.to_vec(), 0, 1));

    // A clock that is set back does not flush at once, and not never.
    append(&db, &[(1, 20, 3.0)]);
    for (now, flushed) in [(5000, false), (200, false), (299, false), (300, true)] {
        set(now);
        assert_eq!(db.flush_step().unwrap(), flushed, "{now}");
    }
    drop(db);
    let db = open_on(Arc::new(fs), options);
    let want = [sample(1, 10, 2.0), sample(1, 20, 3.0), sample(1, 50, 1.0)];
    assert_eq!((read(&db), db.stats().late_samples), (want.to_vec(), 0));
}

#[test]
fn a_flush_for_want_of_memory_frees_what_it_has_written() {
    let fs = SimFs::new(1);
    let options = DbOptions { max_head_bytes: 3000, ..DbOptions::default() };
    let db = open_on(Arc::new(fs.clone()), options);
    // 500 samples fill a chunk and begin another one, 400 do not fill one; all in one block range.
    let mut want = BTreeMap::new();
    for (series, count) in [(1, 500_u64), (2, 400)] {
        for i in 0..count {
            // Values that do not compress.
            let noise = i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64) >> 12;
            let v = f64::from_bits(0x3ff0_0000_0000_0000 | noise);
            let t = i64::try_from(i * 10_000).unwrap();
            append(&db, &[(series, t, v)]);
            want.insert((series, t), v);
        }
    }
    let before = db.head.chunk_bytes();
    assert!(before > 3000 && db.flush_step().unwrap());
    assert!(db.gc_step());
    // The newest minute of the newest series is what may stay.
    assert!(db.head.chunk_bytes() < 500, "{} of {before} bytes", db.head.chunk_bytes());
    assert!(!db.flush_step().unwrap(), "there is nothing left worth a block");
    let all: Vec<_> = want.iter().map(|((s, t), v)| sample(*s, *t, *v)).collect();
    assert_eq!(read(&db), all);
    let (_, db) = restart(&fs, db, CrashPolicy::KeepAll);
    assert_eq!(read(&db), all);
}

#[test]
fn a_block_is_the_same_whether_its_chunks_were_encoded_in_the_head_or_not() {
    let mut blocks = Vec::new();
    // A chunk of the first two hours, and behind it as many samples as let each series take its turn, or none.
    for behind in [80, 1] {
        let fs = SimFs::new(1);
        let db = open_on(Arc::new(fs.clone()), DbOptions::default());
        let mut want = Vec::new();
        for i in 0..240 + behind {
            let t = i * 30_000;
            let v = f64::from(u32::try_from(i * i % 1000).unwrap()) / 8.0;
            append(&db, &[(1, t, v), (2, t, v * 3.0), (3, t, 1.0 / (v + 3.0))]);
            want.extend([sample(1, t, v), sample(2, t, v * 3.0), sample(3, t, 1.0 / (v + 3.0))]);
        }
        let slots = db.head.index().all().iter().collect::<Vec<_>>();
        let mut snapshot = SeriesSnapshot::default();
        for slot in slots {
            let series = db.head.index().series(slot);
            db.head.snapshot(slot, series, (0, 7_199_999), &mut snapshot);
            assert_eq!(snapshot.encoded(0, 7_199_999).is_some(), behind == 80);
            assert_eq!(snapshot.encoded(0, 7_000_000), None, "only a part of it");
        }
        assert!(db.flush_below(&mut db.maintenance(), 7_200_000).unwrap());
        want.sort_by(|a, b| a.partial_cmp(b).unwrap());
        assert_eq!(read(&db), want);
        let block = db.views.load().blocks[0].meta().clone();
        blocks.push((block.num_samples, block.chunks.len, block.chunks.xxh3_128));
    }
    assert_eq!(blocks[0], blocks[1]);
}
