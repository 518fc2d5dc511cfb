//! A data directory whose checksums say nothing, so that changed bytes reach every decoder behind them: shared
//! by the fuzz target `directory` and by `tests/decoders.rs`. Needs the feature `sabotage`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use model::{
    CounterResetHint, HistogramValue, IntHistogram, Interrupt, Labels, MatchOp, Matcher,
    MetricMetadata, NamesRequest, NeverInterrupted, Queryable, Selection, SeriesBuf, Span,
};
use tsdb::append::{AppendBatch, AppendPolicy, DuplicatePolicy};
use tsdb::fs::Fs;
use tsdb::fs::sim::{CrashPolicy, SimFs};
use tsdb::sabotage::{Sabotage, choose};
use tsdb::tombstones::Deletion;
use tsdb::verify::verify;
use tsdb::{Db, DbOptions};

const DIR: &str = "/db";
/// Bytes of an edit: file, three of the offset, what to do, with what.
const EDIT: usize = 6;

/// The directory before it is damaged, and its files.
struct Pristine {
    fs: SimFs,
    files: Vec<PathBuf>,
}

/// Damages the directory as `edits` say, and does everything with it that a server does. What comes of it
/// may be errors and other values, no panic. Says whether it opened.
pub(crate) fn check(edits: &[u8]) -> bool {
    static PRISTINE: OnceLock<Pristine> = OnceLock::new();
    choose(Some(Sabotage::CrcIgnored));
    let pristine = PRISTINE.get_or_init(populated);
    let fs = pristine.fs.crash(CrashPolicy::KeepAll, 1);
    for edit in edits.chunks_exact(EDIT) {
        let [file, a, b, c, what, with] = edit else { continue };
        let path = &pristine.files[usize::from(*file) % pristine.files.len()];
        let at = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
        fs.edit(path, |bytes| damage(bytes, at, *what, *with)).expect("the file is there");
    }
    let checked = verify(&fs, Path::new(DIR), &mut |_| {});
    drop(checked);
    let Some(db) = open(&fs) else { return false };
    read(&db);
    let steps: [&dyn Fn() -> bool; 5] = [
        &|| db.flush_all().is_ok(),
        &|| db.compact_step().is_ok(),
        &|| db.checkpoint_step().is_ok(),
        &|| db.gc_step(),
        &|| db.close().is_ok(),
    ];
    for step in steps {
        step();
    }
    read(&db);
    true
}

fn damage(bytes: &mut Vec<u8>, at: usize, what: u8, with: u8) {
    if bytes.is_empty() {
        return;
    }
    let at = at % bytes.len();
    match what % 8 {
        0 => bytes.truncate(at),
        1 => {
            let from = usize::from(with) % bytes.len();
            let taken: Vec<u8> = bytes.iter().skip(from).take(8).copied().collect();
            bytes.splice(at..at, taken);
        }
        2 => {
            bytes.remove(at);
        }
        3 => bytes.iter_mut().skip(at).take(8).for_each(|byte| *byte = with),
        4 => bytes[at] ^= 1 << (with % 8),
        _ => bytes[at] = with,
    }
}

fn open(fs: &SimFs) -> Option<Db> {
    let options = DbOptions { seed: 7, min_free_bytes: 0, ..DbOptions::default() };
    Db::open(Arc::new(fs.clone()), Path::new(DIR), options, &mut |_| {}).ok().map(|(db, _)| db)
}

/// Everything, by every door of the index.
fn read(db: &Db) {
    let all = Selection::new(vec![], i64::MIN, i64::MAX);
    let job = Matcher::new(MatchOp::Re, "job", "j.*[0-4]").expect("a valid expression");
    let some = Selection::new(vec![job, Matcher::equal("n", "7")], 100_000, 400_000);
    for selection in [all, some] {
        let Ok(set) = db.select(&selection) else { continue };
        let mut buf = SeriesBuf::new();
        for series in 0..set.len() {
            let labels = set.labels(series);
            drop(labels);
            let read = set.read(series, &mut buf);
            drop(read);
        }
    }
    let interrupt: Arc<dyn Interrupt> = Arc::new(NeverInterrupted);
    let request = NamesRequest { matchers: vec![], mint: i64::MIN, maxt: i64::MAX, interrupt };
    for name in db.label_names(&request).unwrap_or_default() {
        let values = db.label_values(&name, &request);
        drop(values);
    }
}

fn histogram(count: u64) -> HistogramValue {
    HistogramValue::Int(Arc::new(IntHistogram {
        hint: CounterResetHint::Unknown,
        schema: 2,
        zero_threshold: 0.001,
        zero_count: count,
        count: 3 * count,
        sum: 1.5,
        positive_spans: vec![Span { offset: -2, length: 1 }, Span { offset: 3, length: 1 }],
        negative_spans: Vec::new(),
        positive_deltas: vec![i64::try_from(count).expect("small"), 0],
        negative_deltas: Vec::new(),
        custom_values: Vec::new(),
    }))
}

/// Blocks of rows in order and late ones, a tombstone, a checkpoint with open and sealed chunks, and a log
/// behind it; every kind of sample, and enough series for several pages of each kind.
fn populated() -> Pristine {
    let fs = SimFs::new(1);
    fs.create_dir(Path::new(DIR)).expect("the disk is empty");
    let db = open(&fs).expect("an empty directory");
    let labels = |n: u32| {
        let (zone, job, n) = ("z".repeat(n as usize % 9), format!("j{}", n % 7), n.to_string());
        let pairs =
            [("__name__", if n.len() > 2 { "long" } else { "m" }), ("job", &job), ("n", &n)];
        let zone = Some(("zone", &*zone)).filter(|(_, zone)| !zone.is_empty());
        Labels::from_pairs(pairs.into_iter().chain(zone)).expect("valid labels")
    };
    let policy = AppendPolicy {
        duplicates: DuplicatePolicy::Overwrite,
        min_time_ms: i64::MIN,
        max_time_ms: i64::MAX,
        wal_mode: None,
    };
    let append = |numbers: &[u32], t: i64| {
        let mut batch = AppendBatch::default();
        for n in numbers {
            let series = batch.push_series(db.alias_hasher().hash(0, &n.to_le_bytes()));
            let v = f64::from(*n) + f64::from(u32::try_from(t / 1000).expect("small"));
            let value = match n % 5 {
                0 => {
                    let value = histogram(u64::from(*n) + t.unsigned_abs());
                    batch.histograms.push((series, t, value));
                    continue;
                }
                1 => v.sqrt(),
                2 => v / 10.0,
                3 if t % 45_000 == 0 => f64::from_bits(model::STALE_NAN),
                _ => f64::from(*n),
            };
            batch.push_sample(series, t, value);
        }
        let metadata = MetricMetadata { help: "help".to_owned(), ..MetricMetadata::default() };
        batch.metadata.push(("m".to_owned(), metadata));
        batch.databases.push("db".to_owned());
        db.append(&batch, &policy, &mut |i| Ok(labels(numbers[i as usize]))).expect("a good disk");
    };
    let all: Vec<u32> = (0..150).collect();
    for scrape in 0..30 {
        append(&all, scrape * 15_000);
    }
    append(&[1, 2, 3, 5], 7);
    db.flush_all().expect("a good disk");
    let never: Arc<dyn Interrupt> = Arc::new(NeverInterrupted);
    let selectors = vec![vec![Matcher::equal("job", "j3")]];
    let deletion = Deletion { selectors, mint: 0, maxt: 200_000 };
    db.delete(&deletion, 1000, &never).expect("a good disk");
    for scrape in 30..60 {
        append(&all, scrape * 15_000);
    }
    for scrape in 600..640 {
        append(&all[..20], scrape * 15_000);
    }
    db.flush_step().expect("a good disk");
    append(&[1, 151, 5], 9_700_000);
    append(&[1, 2], 8);
    drop(db);
    let fs = fs.crash(CrashPolicy::KeepAll, 1);
    let mut files = Vec::new();
    list(&fs, Path::new(DIR), &mut files);
    files.sort();
    Pristine { fs, files }
}

fn list(fs: &SimFs, dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs.read_dir(dir).expect("a directory") {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            list(fs, &path, out);
        } else if entry.name != "LOCK" {
            out.push(path);
        }
    }
}
