//! Damage to every byte of a small data directory, and what is wrong with what becomes of it.

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
use tsdb::verify::{Report, verify};
use tsdb::{Db, DbOptions};

pub(crate) const DIR: &str = "/db";

pub(crate) type Samples = BTreeMap<(String, i64), u64>;

pub(crate) fn try_open(fs: &SimFs) -> Result<(Db, OpenReport), String> {
    static PROCESSES: AtomicU64 = AtomicU64::new(1);
    let seed = PROCESSES.fetch_add(1, Ordering::Relaxed);
    let options = DbOptions { seed, min_free_bytes: 0, ..DbOptions::default() };
    Db::open(Arc::new(fs.clone()), Path::new(DIR), options, &mut |_| {}).map_err(|e| e.to_string())
}

pub(crate) fn append(db: &Db, rows: &[(&str, i64, f64)]) {
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

pub(crate) fn read(db: &Db) -> Result<Samples, String> {
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
pub(crate) fn populated(clean: bool) -> (SimFs, BTreeMap<(String, i64), Vec<u64>>, Samples) {
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

pub(crate) fn check(fs: &SimFs) -> Report {
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

/// How much was damaged.
#[derive(Debug, Default)]
pub(crate) struct Damaged {
    pub(crate) files: usize,
    pub(crate) flips: u64,
    pub(crate) cuts: u64,
    /// Cuts that leave a directory that could have been written like this.
    pub(crate) unnoticed: Vec<(PathBuf, u64)>,
}

/// Flips every bit, or one of each byte, and cuts every file everywhere, one at a time. With
/// `clean`, of a directory as a clean stop leaves it, else as a crash does. `tell` is called with the
/// number of each damage.
///
/// # Errors
/// The first damage that is not found, or that makes a wrong answer.
pub(crate) fn damage_all(
    clean: bool,
    every_bit: bool,
    tell: &mut dyn FnMut(u64),
) -> Result<Damaged, String> {
    let mut done = Damaged::default();
    let (fs, ever, there) = populated(clean);
    let sound = check(&fs);
    if !sound.findings.is_empty() {
        return Err(format!("found where nothing is damaged: {:?}", sound.findings));
    }
    let mut all = Vec::new();
    files(&fs, Path::new(DIR), &mut all);
    done.files = all.len();
    for (path, len) in &all {
        let name = path.display();
        for at in 0..*len {
            let place = usize::try_from(at).unwrap();
            for bit in if every_bit { 0..8 } else { at % 8..at % 8 + 1 } {
                let flipped = fs.crash(CrashPolicy::KeepAll, 1);
                flipped.edit(path, |bytes| bytes[place] ^= 1 << bit).unwrap();
                done.flips += 1;
                tell(done.flips + done.cuts);
                if !check(&flipped).is_damaged() {
                    return Err(format!("{name}: a flip of bit {bit} at {at} is not found"));
                }
                start(&flipped, &ever, &there)
                    .map_err(|why| format!("{name}: flip of bit {bit} at {at}: {why}"))?;
            }
            let cut = fs.crash(CrashPolicy::KeepAll, 1);
            cut.edit(path, |bytes| bytes.truncate(place)).unwrap();
            done.cuts += 1;
            tell(done.flips + done.cuts);
            if !check(&cut).is_damaged() {
                // A record less of the manifest may not matter: the log has its tombstone.
                let is_log = path.extension() == Some("wal".as_ref());
                let found = try_open(&cut).map(|(db, _)| read(&db).unwrap());
                if !is_log && found.as_ref() != Ok(&there) {
                    return Err(format!("{name}: a cut at {at} is not found"));
                }
                done.unnoticed.push((path.clone(), at));
            }
            start(&cut, &ever, &there).map_err(|why| format!("{name}: cut to {at}: {why}"))?;
        }
    }
    Ok(done)
}
