//! Every byte of a small data directory is damaged in turn: the check finds it, a start with it
//! shows nothing that was not written, and a repaired directory opens.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the counts are the test's result")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Labels, Matcher, NeverInterrupted, Queryable, Selection, SeriesBuf};
use tsdb::append::{AppendBatch, AppendPolicy, DuplicatePolicy};
use tsdb::db::OpenReport;
use tsdb::fs::Fs;
use tsdb::fs::sim::{CrashPolicy, SimFs};
use tsdb::tombstones::Deletion;
use tsdb::verify::{Kind, Report, repair::repair, verify};
use tsdb::{Db, DbOptions};

const DIR: &str = "/db";

type Samples = BTreeMap<(String, i64), u64>;

fn try_open(fs: &SimFs) -> Result<(Db, OpenReport), String> {
    static PROCESSES: AtomicU64 = AtomicU64::new(1);
    let seed = PROCESSES.fetch_add(1, Ordering::Relaxed);
    let options = DbOptions { seed, min_free_bytes: 0, ..DbOptions::default() };
    Db::open(Arc::new(fs.clone()), Path::new(DIR), options, &mut |_| {}).map_err(|e| e.to_string())
}

fn append(db: &Db, rows: &[(&str, i64, f64)]) {
    let mut batch = AppendBatch::default();
    for (name, t, v) in rows {
        let series = batch.push_series(db.alias_hasher().hash(0, name.as_bytes()));
        batch.push_sample(series, *t, *v);
    }
    let policy = AppendPolicy {
        duplicates: DuplicatePolicy::Overwrite,
        min_time_ms: i64::MIN,
        max_time_ms: i64::MAX,
        wal_mode: None,
    };
    let labels =
        |i: u32| Ok(Labels::from_pairs([("__name__", rows[i as usize].0), ("job", "j")]).unwrap());
    db.append(&batch, &policy, &mut { labels }).unwrap();
}

fn read(db: &Db) -> Result<Samples, String> {
    let set = db.select(&Selection::new(vec![], i64::MIN, i64::MAX)).map_err(|e| e.to_string())?;
    let (mut out, mut buf) = (Samples::new(), SeriesBuf::new());
    for i in 0..set.len() {
        let name = set.labels(i).map_err(|e| e.to_string())?.metric_name().to_owned();
        set.read(i, &mut buf).map_err(|e| e.to_string())?;
        let samples = buf.times().iter().zip(buf.values());
        out.extend(samples.map(|(t, v)| ((name.clone(), *t), v.to_bits())));
    }
    Ok(out)
}

/// Blocks in order and late, a tombstone, a checkpoint and a log behind it; with `clean`, as a clean
/// stop leaves it. And every value that was ever acknowledged, and what is there.
fn populated(clean: bool) -> (SimFs, BTreeMap<(String, i64), Vec<u64>>, Samples) {
    let fs = SimFs::new(1);
    fs.create_dir(Path::new(DIR)).unwrap();
    let db = try_open(&fs).unwrap().0;
    let mut ever = BTreeMap::<(String, i64), Vec<u64>>::new();
    let mut write = |rows: &[(&str, i64, f64)]| {
        append(&db, rows);
        for (name, t, v) in rows {
            ever.entry(((*name).to_owned(), *t)).or_default().push(v.to_bits());
        }
    };
    for i in 0..40_u32 {
        let (t, v) = (i64::from(i) * 15_000, f64::from(i));
        write(&[("a", t, v), ("b", t, 0.1 + v * 0.7), ("gone", t, v)]);
    }
    write(&[("a", 7, 1.25), ("b", 15_000, 99.0)]);
    db.flush_all().unwrap();
    let matchers = vec![Matcher::equal("__name__", "gone")];
    let what = Deletion { selectors: vec![matchers], mint: 0, maxt: 300_000 };
    let never: Arc<dyn model::Interrupt> = Arc::new(NeverInterrupted);
    db.delete(&what, 10, &never).unwrap();
    write(&[("a", 700_000, 1.0), ("c", 700_000, 2.0)]);
    if clean {
        db.close().unwrap();
    }
    let there = read(&db).unwrap();
    drop(db);
    (fs.crash(CrashPolicy::KeepAll, 1), ever, there)
}

fn files(fs: &SimFs, dir: &Path, out: &mut Vec<(PathBuf, u64)>) {
    for entry in fs.read_dir(dir).unwrap() {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            files(fs, &path, out);
        } else if entry.name != "LOCK" {
            out.push((path, entry.len));
        }
    }
}

fn check(fs: &SimFs) -> Report {
    verify(fs, Path::new(DIR), &mut |_| {}).unwrap()
}

/// A start with the damage: an error, or values that were acknowledged once. What was deleted or
/// overwritten may come back only with a damaged region in the report.
fn start(
    fs: &SimFs,
    ever: &BTreeMap<(String, i64), Vec<u64>>,
    there: &Samples,
) -> Result<(), String> {
    let Ok((db, report)) = try_open(fs) else { return Ok(()) };
    let Ok(found) = read(&db) else { return Ok(()) };
    let warned = !report.damaged_blocks.is_empty() || report.damaged_regions > 0;
    for (key, bits) in &found {
        if !ever.get(key).is_some_and(|all| all.contains(bits)) {
            return Err(format!("{key:?} has a value that was never written"));
        }
        if there.get(key) != Some(bits) && !warned {
            return Err(format!("{key:?} came back"));
        }
    }
    Ok(())
}

fn every_damage(clean: bool) {
    let (fs, ever, there) = populated(clean);
    let sound = check(&fs);
    assert_eq!(sound.findings, [], "nothing is found where nothing is damaged");
    let mut all = Vec::new();
    files(&fs, Path::new(DIR), &mut all);
    let (mut flips, mut cuts, mut unnoticed) = (0, 0, Vec::new());
    for (path, len) in &all {
        for at in 0..*len {
            let place = usize::try_from(at).unwrap();
            let flipped = fs.crash(CrashPolicy::KeepAll, 1);
            flipped.edit(path, |bytes| bytes[place] ^= 1 << (at % 8)).unwrap();
            assert!(check(&flipped).is_damaged(), "{}: flip at {at}", path.display());
            if let Err(why) = start(&flipped, &ever, &there) {
                panic!("{}: flip at {at}: {why}", path.display());
            }
            flips += 1;
            let cut = fs.crash(CrashPolicy::KeepAll, 1);
            cut.edit(path, |bytes| bytes.truncate(place)).unwrap();
            if !check(&cut).is_damaged() {
                // A record less of the manifest may not matter: the log has its tombstone.
                let is_log = path.extension() == Some("wal".as_ref());
                let found = try_open(&cut).map(|(db, _)| read(&db).unwrap());
                assert!(is_log || found.as_ref() == Ok(&there), "{} at {at}", path.display());
                unnoticed.push((path.clone(), at));
            }
            if let Err(why) = start(&cut, &ever, &there) {
                panic!("{}: cut to {at}: {why}", path.display());
            }
            cuts += 1;
        }
    }
    println!("{} files: {flips} flips, {cuts} cuts, unnoticed cuts: {unnoticed:?}", all.len());
    // A log that ends earlier, with a whole record, is a log: nothing says what came behind it.
    assert!(unnoticed.len() <= if clean { 0 } else { 3 }, "{unnoticed:?}");
}

#[test]
fn every_flip_and_cut_of_a_directory_after_a_crash_is_found() {
    every_damage(false);
}

#[test]
fn every_flip_and_cut_of_a_directory_after_a_clean_stop_is_found() {
    every_damage(true);
}

#[test]
fn a_repair_moves_damage_aside_and_rebuilds_the_manifest() {
    let (fs, _, there) = populated(false);
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let manifest = Path::new(DIR).join("MANIFEST");
    fs.edit(&manifest, Vec::clear).unwrap();
    assert!(try_open(&fs).is_err(), "a start refuses to guess");
    let (report, done) = repair(&shared, Path::new(DIR)).unwrap();
    assert!(report.is_damaged() && done.len() == 2, "{done:?}");
    assert!(fs.exists(&Path::new(DIR).join("quarantine/MANIFEST.damaged")).unwrap());
    let db = try_open(&fs).unwrap().0;
    let mut found = read(&db).unwrap();
    // The delete was in the log, too.
    assert_eq!(found.len(), there.len());
    found.retain(|key, bits| there.get(key) != Some(bits));
    assert_eq!(found, Samples::new());
    append(&db, &[("a", 800_000, 1.0), ("new", 800_000, 1.0)]);
    db.close().unwrap();
    drop(db);
    assert!(!check(&fs).is_damaged());

    let block =
        fs.read_dir(Path::new(DIR)).unwrap().into_iter().find(|e| e.name.len() == 26).unwrap();
    let dir = Path::new(DIR).join(&block.name);
    fs.edit(&dir.join("chunks"), |bytes| bytes[20] ^= 4).unwrap();
    assert!(check(&fs).is_damaged());
    repair(&shared, Path::new(DIR)).unwrap();
    assert!(fs.exists(&Path::new(DIR).join("quarantine").join(&block.name).join("meta")).unwrap());
    assert_eq!(check(&fs).findings, []);
    assert!(read(&try_open(&fs).unwrap().0).unwrap().len() < there.len() + 2);
}

#[test]
fn what_an_interrupted_step_leaves_is_no_damage() {
    let (fs, _, _) = populated(true);
    let dir = Path::new(DIR);
    fs.create_dir(&dir.join("01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp")).unwrap();
    fs.create_dir(&dir.join("snapshots")).unwrap();
    let found = check(&fs).findings;
    assert_eq!(found.iter().map(|f| f.kind).collect::<Vec<_>>(), [Kind::Leftover]);
}

#[test]
fn a_directory_that_is_open_is_not_repaired() {
    let (fs, ..) = populated(true);
    let _db = try_open(&fs).unwrap();
    let shared: Arc<dyn Fs> = Arc::new(fs);
    assert!(repair(&shared, Path::new(DIR)).is_err());
}
