//! Rows that come while a checkpoint is being written: what it holds of them and what the log holds
//! behind it make the same database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use model::{
    CounterResetHint, HistogramValue, IntHistogram, Labels, Queryable, Selection, SeriesBuf, Span,
};
use tsdb::append::{AppendBatch, AppendPolicy, DuplicatePolicy};
use tsdb::db::OpenReport;
use tsdb::fs::sim::{CrashPolicy, SimFs};
use tsdb::fs::{DirEntry, Fs, FsFile, FsRead, LockGuard, Space};
use tsdb::{Db, DbOptions};

/// What is done at the next write to a checkpoint.
type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// The simulated disk, with something else that happens in the middle of a checkpoint.
struct Hooked(SimFs, Hook);

struct HookedFile(Box<dyn FsFile>, Hook);

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FsFile for HookedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let hook = if self.0.len() > 0 { self.1.lock().unwrap().take() } else { None };
        if let Some(hook) = hook {
            hook();
        }
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl Fs for Hooked {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let file = self.0.create(path)?;
        let is_checkpoint = path.to_string_lossy().ends_with(".ckpt.tmp");
        Ok(if is_checkpoint { Box::new(HookedFile(file, Arc::clone(&self.1))) } else { file })
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.0.open_append(path)
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FsRead>> {
        self.0.open_read(path)
    }

    fn open_scan(&self, path: &Path) -> io::Result<Arc<dyn FsRead>> {
        self.0.open_scan(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.read_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.0.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.0.space(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }
}

fn open(fs: Arc<dyn Fs>, seed: u64) -> (Db, OpenReport) {
    // Every step writes a checkpoint.
    let options =
        DbOptions { seed, checkpoint_wal_bytes: 0, min_free_bytes: 0, ..DbOptions::default() };
    Db::open(fs, Path::new("/"), options, &mut |_| {}).unwrap()
}

fn histogram() -> HistogramValue {
    HistogramValue::Int(Arc::new(IntHistogram {
        hint: CounterResetHint::Unknown,
        schema: 0,
        zero_threshold: 0.0,
        zero_count: 0,
        count: 1,
        sum: 1.0,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        negative_spans: vec![],
        positive_deltas: vec![1],
        negative_deltas: vec![],
        custom_values: vec![],
    }))
}

/// Writes one row: a float, or a histogram where there is no value.
fn write(db: &Db, series: u32, t: i64, value: Option<f64>) {
    let mut batch = AppendBatch::default();
    let target = batch.push_series(db.alias_hasher().hash(0, &series.to_le_bytes()));
    match value {
        Some(value) => batch.push_sample(target, t, value),
        None => batch.histograms.push((target, t, histogram())),
    }
    let policy = AppendPolicy {
        duplicates: DuplicatePolicy::Overwrite,
        min_time_ms: i64::MIN,
        max_time_ms: i64::MAX - 1,
        wal_mode: None,
    };
    let labels =
        |_| Ok(Labels::from_pairs([("__name__", "m"), ("i", &*series.to_string())]).unwrap());
    assert_eq!(db.append(&batch, &policy, &mut { labels }).unwrap().stored, 1);
}

/// Series and times of all samples.
fn read(db: &Db) -> BTreeSet<(u32, i64)> {
    let set = db.select(&Selection::new(vec![], i64::MIN, i64::MAX)).unwrap();
    let (mut out, mut buf) = (BTreeSet::new(), SeriesBuf::new());
    for i in 0..set.len() {
        let series = set.labels(i).unwrap().get("i").parse().unwrap();
        set.read(i, &mut buf).unwrap();
        let times = buf.times().iter().chain(buf.histograms().iter().map(|(t, _)| t));
        out.extend(times.map(|t| (series, *t)));
    }
    out
}

/// What `before` and `meanwhile` wrote is there after a kill behind a checkpoint, in the middle of
/// which `meanwhile` ran, and nothing looks damaged.
fn race(before: impl Fn(&Db), meanwhile: impl FnOnce(&Db) + Send + 'static) {
    let (disk, hook) = (SimFs::new(1), Hook::default());
    let (db, _) = open(Arc::new(Hooked(disk.clone(), Arc::clone(&hook))), 1);
    let db = Arc::new(db);
    before(&db);
    let other = Arc::clone(&db);
    *hook.lock().unwrap() = Some(Box::new(move || meanwhile(&other)));
    assert!(db.checkpoint_step().unwrap());
    assert!(hook.lock().unwrap().is_none(), "the checkpoint was written in several pieces");
    let want = read(&db);
    let (db, report) = open(Arc::new(disk.crash(CrashPolicy::KeepAll, 1)), 2);
    assert_eq!((report.orphaned_rows, report.damaged_regions), (0, 0));
    let found = read(&db);
    let missing: Vec<_> = want.difference(&found).take(3).collect();
    assert!(missing.is_empty() && found.len() == want.len(), "{missing:?}");
}

#[test]
fn a_series_that_is_made_meanwhile_by_a_late_row_is_no_damage() {
    let before = |db: &Db| {
        write(db, 0, 10_000_000, Some(1.0));
        db.flush_all().unwrap();
        write(db, 0, 10_000_001, None);
        write(db, 1, 1000, Some(1.0));
    };
    race(before, |db| write(db, 2, 2000, Some(2.0)));
}

#[test]
fn a_float_between_histograms_that_come_meanwhile_is_not_lost() {
    let before = |db: &Db| {
        // Two runs of slots, with histograms in both.
        for series in 0..130 {
            write(db, series, 1000, None);
        }
    };
    race(before, |db| {
        for series in 0..130 {
            write(db, series, 2000, Some(1.0));
            write(db, series, 3000, None);
        }
    });
}
