//! A cardinality bomb against a small memory budget: the process stays below its limit as the kernel
//! counts, known series go on, the refusal names the limit, and the memory comes back.
//!
//! The whole bomb: `BOMB_SERIES=10000000 cargo test --release -p tsdb --test memory -- --nocapture`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::{ACCOUNTS, Account, Accountant, Labels};
use tsdb::append::{AppendBatch, AppendPolicy, AppendReport, DuplicatePolicy, Refusal};
use tsdb::fs::std::StdFs;
use tsdb::wal::WalMode;
use tsdb::{Db, DbOptions};

const KNOWN: u32 = 500;
const BATCH: u32 = 1000;
const STEP_MS: i64 = 15_000;
const START_MS: i64 = 1_700_000_000_000;
const MIB: u64 = 1 << 20;

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

/// A figure of `/proc/self/status`, bytes.
fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// Begins the peak of the kernel anew, where that is allowed.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn note_resident(memory: &Accountant) {
    memory.note_resident(status("RssAnon"), status("RssFile"));
}

/// What the owner does where memory is short: what can be read again goes, and what was freed goes back.
fn give_back(db: &Db, memory: &Accountant) {
    db.drop_caches();
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "a function of C")]
        // SAFETY: it takes the allocator's own locks and touches free memory only.
        let _ = unsafe { libc::malloc_trim(0) };
    }
    note_resident(memory);
}

fn trace(what: &str, db: &Db, memory: &Accountant) {
    if std::env::var_os("BOMB_TRACE").is_none() {
        return;
    }
    let stats = db.stats();
    let by: Vec<String> =
        ACCOUNTS.iter().map(|a| format!("{} {}", a.as_str(), memory.used_by(*a) / MIB)).collect();
    eprintln!(
        "{what}: anonymous {} file {} peak {} MiB; {}; {} series, {} blocks, {} flushes",
        status("RssAnon") / MIB,
        status("RssFile") / MIB,
        status("VmHWM") / MIB,
        by.join(" "),
        stats.num_series,
        stats.num_blocks,
        stats.flushes,
    );
}

/// What the threads of the owner do until `stop`.
fn maintain(db: &Db, memory: &Accountant, stop: &AtomicBool) {
    std::thread::scope(|scope| {
        let every = |ms: u64, step: &dyn Fn()| {
            while !stop.load(Ordering::Relaxed) {
                step();
                std::thread::sleep(Duration::from_millis(ms));
            }
        };
        scope.spawn(move || every(10, &|| note_resident(memory)));
        scope.spawn(move || {
            every(500, &|| {
                if memory.used_percent() >= 70 {
                    give_back(db, memory);
                }
            });
        });
        scope.spawn(move || {
            every(20, &|| {
                db.flush_step().unwrap();
                db.checkpoint_step().unwrap();
                db.gc_step();
            });
        });
        // For want of memory a compaction rests.
        scope.spawn(move || every(20, &|| drop(db.compact_step())));
    });
}

fn open(dir: &Path, memory: &Accountant) -> Db {
    let options =
        DbOptions { memory: memory.clone(), wal_mode: WalMode::OsDefault, ..DbOptions::default() };
    Db::open(Arc::new(StdFs), dir, options, &mut |_| {}).unwrap().0
}

#[test]
fn a_cardinality_bomb_is_refused_and_known_series_go_on() {
    let bomb: u32 = std::env::var("BOMB_SERIES").map_or(300_000, |n| n.parse().unwrap());
    let limit = std::env::var("BOMB_LIMIT_MIB").map_or(64, |n| n.parse().unwrap()) * MIB;
    let memory = Accountant::new(limit);
    let _upkeep = memory.charge_always(Account::Compaction, Db::upkeep_bytes(&memory));
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), &memory);
    let mut t = START_MS;
    assert_eq!(append(&db, KNOWN, 0, t).new_series, u64::from(KNOWN));

    let stop = AtomicBool::new(false);
    let (mut taken, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        let upkeep = scope.spawn(|| maintain(&db, &memory, &stop));
        let began = Instant::now();
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
            if from % (BATCH * 50) == KNOWN {
                trace(&format!("{from} {:?}", began.elapsed()), &db, &memory);
            }
        }
        stop.store(true, Ordering::Relaxed);
        upkeep.join().unwrap();
    });
    trace("end", &db, &memory);
    eprintln!(
        "bomb of {bomb}: {taken} series taken, {refused} refused, peak {} of {} MiB",
        status("VmHWM") / MIB,
        limit / MIB
    );
    assert!(status("VmHWM") <= limit, "{} of {limit}", status("VmHWM"));

    // What the maintenance thread does.
    while db.flush_step().unwrap() || db.gc_step() || db.checkpoint_step().unwrap() {}
    give_back(&db, &memory);
    trace("collected", &db, &memory);
    let report = append(&db, KNOWN + bomb, BATCH, t + STEP_MS);
    assert_eq!((report.new_series, report.refused), (u64::from(BATCH), 0));
    assert!(!db.stats().refuses_series);

    // Recovery keeps to the budget, too.
    let before = status("RssAnon");
    assert!(before < limit / 3, "{before} bytes are held when the bomb is gone");
    drop(db);
    trace_reopen(dir.path(), &memory);
}

fn trace_reopen(dir: &Path, memory: &Accountant) {
    reset_peak();
    let db = open(dir, memory);
    trace("open again", &db, memory);
    assert!(memory.used_percent() < 90, "{} %", memory.used_percent());
    assert!(db.stats().num_series >= u64::from(KNOWN + BATCH));
}
