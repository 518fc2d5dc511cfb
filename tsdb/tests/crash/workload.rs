//! A random workload of appends, deletes, flushes, compactions, checkpoints and clean stops on a
//! simulated disk, what its client knows, and what is wrong with what a restart finds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Interrupt, Labels, Matcher, NeverInterrupted, Queryable, Selection, SeriesBuf};
use tsdb::append::{AppendBatch, AppendPolicy, DuplicatePolicy};
use tsdb::db::OpenReport;
use tsdb::fs::Fs;
use tsdb::fs::sim::{CrashPolicy, Fault, FaultError, Op, SimFs};
use tsdb::options::Clock;
use tsdb::tombstones::Deletion;
use tsdb::{Db, DbOptions};

type Samples = BTreeMap<(u8, i64), u64>;

const DIR: &str = "/db";

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn labels(series: u8) -> Labels {
    Labels::from_pairs([("__name__", format!("m{}", series % 4)), ("i", format!("{series}"))])
        .unwrap()
}

fn open(fs: &SimFs) -> Result<Db, String> {
    let (db, report) = open_with(fs, DbOptions::default())?;
    if report.orphaned_rows > 0 || !report.damaged_blocks.is_empty() {
        return Err(format!("{report:?}"));
    }
    Ok(db)
}

/// Small limits, so that every step has something to do.
fn open_with(fs: &SimFs, options: DbOptions) -> Result<(Db, OpenReport), String> {
    // Every process has a seed of its own; block names depend on it.
    static PROCESSES: AtomicU64 = AtomicU64::new(1);
    let fs: Arc<dyn Fs> = Arc::new(fs.clone());
    fs.create_dir(Path::new(DIR)).map_err(|e| e.to_string())?;
    let seed = PROCESSES.fetch_add(1, Ordering::Relaxed);
    let options = DbOptions {
        max_wal_bytes: 4 << 10,
        // Windows of ten minutes, two hours and twenty: a late batch reaches back over several.
        block_range_ms: 600_000,
        max_compacted_range_ms: 72_000_000,
        min_free_bytes: 0,
        seed,
        ..options
    };
    Db::open(fs, Path::new(DIR), options, &mut |_| {}).map_err(|e| e.to_string())
}

/// What the client knows: what was acknowledged, and the batch whose outcome it never learned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    acked: Samples,
    /// What there is if that batch or delete made it.
    unknown: Option<Samples>,
    value: u64,
    clock: i64,
    pub(crate) compactions: u64,
    pub(crate) deletes: u64,
}

impl Client {
    /// One step of the workload; `Err` once the disk is dead.
    fn step(&mut self, db: &Db, rng: &mut Rng) -> Result<(), String> {
        match rng.below(31) {
            27..=29 => self.delete(db, rng),
            30 => db.clean_tombstones().map(drop).map_err(|e| e.to_string()),
            0 => db.flush_all().map(drop).map_err(|e| e.to_string()),
            1 => db.flush_step().map(drop).map_err(|e| e.to_string()),
            2 | 3 => db.checkpoint_step().map(drop).map_err(|e| e.to_string()),
            4 => {
                db.gc_step();
                Ok(())
            }
            5..=7 => {
                let compacted = db.compact_step().map_err(|e| e.to_string())?;
                self.compactions += u64::from(compacted);
                Ok(())
            }
            n => self.append(db, n > 11, rng),
        }
    }

    fn append(&mut self, db: &Db, in_order: bool, rng: &mut Rng) -> Result<(), String> {
        let mut rows = Samples::new();
        self.clock += 900_000;
        for _ in 0..=rng.below(6) {
            let series = u8::try_from(rng.below(10)).unwrap();
            let back = if in_order { 0 } else { i64::try_from(rng.below(30_000_000)).unwrap() };
            self.value += 1;
            rows.insert((series, self.clock - back), self.value);
        }
        let (mut batch, hasher) = (AppendBatch::default(), db.alias_hasher());
        let keys: Vec<u8> = rows.keys().map(|(s, _)| *s).collect();
        for ((s, t), v) in &rows {
            let series = batch.push_series(hasher.hash(0, &[*s]));
            batch.push_sample(series, *t, f64::from_bits(*v));
        }
        let policy = AppendPolicy {
            duplicates: DuplicatePolicy::Overwrite,
            min_time_ms: i64::MIN,
            max_time_ms: i64::MAX - 1,
            wal_mode: None,
        };
        match db.append(&batch, &policy, &mut |i| Ok(labels(keys[i as usize]))) {
            Ok(report) => {
                assert_eq!(report.stored, rows.len() as u64);
                self.acked.extend(rows);
                Ok(())
            }
            Err(e) => {
                let mut after = self.acked.clone();
                after.extend(rows);
                self.unknown = Some(after);
                Err(e.to_string())
            }
        }
    }

    /// A metric, of some last hours or of all times.
    fn delete(&mut self, db: &Db, rng: &mut Rng) -> Result<(), String> {
        let metric = u8::try_from(rng.below(4)).unwrap();
        let back = i64::try_from(rng.below(40_000_000)).unwrap();
        let mint = if rng.below(3) == 0 { i64::MIN } else { self.clock - back };
        let maxt = if rng.below(2) == 0 { i64::MAX } else { self.clock - back / 3 };
        let mut after = self.acked.clone();
        after.retain(|(s, t), _| s % 4 != metric || *t < mint || maxt < *t);
        let matchers = vec![Matcher::equal("__name__", &format!("m{metric}"))];
        let what = Deletion { selectors: vec![matchers], mint, maxt };
        match db.delete(&what, 1000, &(Arc::new(NeverInterrupted) as Arc<dyn Interrupt>)) {
            Ok(report) => {
                assert_eq!(report.samples, (self.acked.len() - after.len()) as u64);
                self.deletes += u64::from(report.samples > 0);
                self.acked = after;
                Ok(())
            }
            Err(e) => {
                self.unknown = Some(after);
                Err(e.to_string())
            }
        }
    }
}

fn read(db: &Db) -> Result<Samples, String> {
    let set = db.select(&Selection::new(vec![], i64::MIN, i64::MAX)).map_err(|e| e.to_string())?;
    let (mut out, mut buf) = (Samples::new(), SeriesBuf::new());
    for i in 0..set.len() {
        let series = set.labels(i).map_err(|e| e.to_string())?.get("i").parse().unwrap();
        set.read(i, &mut buf).map_err(|e| e.to_string())?;
        for (t, v) in buf.times().iter().zip(buf.values()) {
            if out.insert((series, *t), v.to_bits()).is_some() {
                return Err(format!("{series}@{t} twice"));
            }
        }
    }
    Ok(out)
}

/// What is wrong with the recovered samples, if anything.
fn judge(client: &Client, found: &Samples) -> Result<(), String> {
    if *found == client.acked {
        return Ok(());
    }
    let with_unknown = client.unknown.as_ref().unwrap_or(&client.acked);
    if found == with_unknown {
        return Ok(());
    }
    let lost = client.acked.iter().filter(|(k, v)| found.get(k) != Some(v)).count();
    let invented = found.keys().filter(|k| !with_unknown.contains_key(k)).count();
    Err(format!("{lost} lost, {invented} invented, of {}", client.acked.len()))
}

/// Runs the workload of `seed` on `fs`; the client's knowledge when it ended or the disk died.
pub(crate) fn run(fs: &SimFs, seed: u64, steps: u32) -> Client {
    let (mut client, mut rng) = (Client::default(), Rng(seed));
    let Ok(mut db) = open(fs) else { return client };
    for step in 0..steps {
        if client.step(&db, &mut rng).is_err() {
            return client;
        }
        if step % 25 == 24 {
            if db.close().is_err() {
                return client;
            }
            drop(db);
            match open(fs) {
                Ok(again) => db = again,
                Err(_) => return client,
            }
        }
    }
    client
}

/// Cuts the power at one operation and judges what a restart finds; then the database must go on.
pub(crate) fn cut(
    seed: u64,
    at: u64,
    policy: CrashPolicy,
    sabotage: impl Fn(&SimFs),
) -> Result<(), String> {
    let fs = SimFs::new(seed);
    sabotage(&fs);
    fs.crash_at(at);
    let client = run(&fs, seed, 60);
    let after = fs.crash(policy, seed ^ at);
    let db = open(&after)?;
    let found = read(&db)?;
    judge(&client, &found)?;
    // Again, from what was found: a recovery that only looks right shows when it is built on.
    let mut next = Client { acked: found, unknown: None, ..client };
    let mut rng = Rng(at);
    for _ in 0..4 {
        next.step(&db, &mut rng)?;
    }
    drop(db);
    judge(&next, &read(&open(&after)?)?)
}

/// One operation on the log fails and the process goes on, to be killed at the end: nothing is lost, and the
/// log has no fragment of what failed.
pub(crate) fn fail(seed: u64, op: Op, nth: u64) -> Result<(), String> {
    let fs = SimFs::new(seed);
    fs.fail(Fault { path: "wal/".to_owned(), ..Fault::once(op, nth, FaultError::Io) });
    let client = run(&fs, seed, 24);
    for policy in [CrashPolicy::KeepAll, CrashPolicy::DropUnsynced] {
        let (db, report) = open_with(&fs.crash(policy, seed), DbOptions::default())?;
        if report.damaged_regions > 0 {
            return Err(format!("{policy:?}: {report:?}"));
        }
        judge(&client, &read(&db)?).map_err(|why| format!("{policy:?}: {why}"))?;
    }
    Ok(())
}

/// A wall clock that stands still.
#[derive(Debug)]
struct Noon;

const NOON_MS: i64 = 1_800_000_000_000;

impl Clock for Noon {
    fn now_ms(&self) -> u64 {
        NOON_MS.unsigned_abs()
    }
}

/// Retention drops what is older than asked for by the wall clock, and nothing else: not because a
/// sample comes from the future.
pub(crate) fn retention() -> Result<(), String> {
    const HOUR: i64 = 3_600_000;
    let fs = SimFs::new(1);
    let (db, _) = open_with(&fs, DbOptions { clock: Arc::new(Noon), ..DbOptions::default() })?;
    let mut client = Client { clock: NOON_MS - 100 * HOUR, ..Client::default() };
    let mut rng = Rng(1);
    for hours in [0, 20, 40, 60, 80, 100 + 50] {
        client.clock = NOON_MS + (hours - 100) * HOUR;
        client.append(&db, true, &mut rng)?;
        db.flush_all().map_err(|e| e.to_string())?;
    }
    db.retention_step(NOON_MS - 50 * HOUR).map_err(|e| e.to_string())?;
    client.acked.retain(|(_, t), _| *t >= NOON_MS - 50 * HOUR);
    judge(&client, &read(&db)?)
}
