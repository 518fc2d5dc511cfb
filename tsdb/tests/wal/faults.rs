//! Writes and syncs that fail: R3 and R4 of the reliability contract.

use tsdb::fs::sim::{CrashPolicy, Fault, FaultError, Op};

use super::*;

const KINDS: [(Op, FaultError); 8] = [
    (Op::Append, FaultError::Io),
    (Op::Append, FaultError::NoSpace),
    (Op::Append, FaultError::ShortWrite),
    (Op::Sync, FaultError::Io),
    (Op::Create, FaultError::NoSpace),
    (Op::SyncDir, FaultError::Io),
    (Op::Truncate, FaultError::Io),
    (Op::Remove, FaultError::Io),
];

/// Writes `n` records, recovering where the log is read-only, and returns how many were acked.
fn write_all(wal: &Wal, mode: WalMode, sent: &mut Vec<usize>, n: usize, rng: &mut Rng) -> usize {
    let mut acked = 0;
    for _ in 0..n {
        let bytes = usize::try_from(rng.below(3000)).unwrap();
        let Ok(seq) = enqueue(wal, sent.len() as u64, bytes) else {
            let _ = wal.try_recover();
            continue;
        };
        sent.push(bytes);
        assert_eq!(seq, sent.len() as u64);
        if wal.commit(seq, mode).is_ok() {
            acked = sent.len();
        } else {
            let _ = wal.try_recover();
        }
    }
    acked
}

/// Replays and compares: a prefix of what was sent, at least `acked` long.
fn check(fs: &SimFs, options: &WalOptions, sent: &[usize], acked: usize, what: &str) {
    let (_, records, report) = open(fs, options);
    assert!(records.len() >= acked, "{what}: {} of {acked} acked: {report:?}", records.len());
    for (i, (seq, replayed)) in records.iter().enumerate() {
        assert_eq!(*seq, i as u64 + 1, "{what}: {report:?}");
        assert_eq!(*replayed, record(i as u64, sent[i]), "{what}");
    }
}

#[test]
fn nothing_acked_is_lost_when_one_operation_fails_at_any_point() {
    for (op, error) in KINDS {
        for nth in 0..40 {
            let fs = SimFs::new(nth);
            let options = options(WalMode::EveryWrite);
            fs.fail(Fault { path: "wal/".to_owned(), ..Fault::once(op, nth, error) });
            let (wal, ..) = open(&fs, &options);
            let _ = wal.try_recover();
            let (mut sent, mut rng) = (Vec::new(), Rng::new(nth));
            let acked = write_all(&wal, WalMode::EveryWrite, &mut sent, 30, &mut rng);
            assert_eq!(acked, 30, "{op:?} {error:?} {nth}: a single failure is repaired at once");
            for policy in CrashPolicy::ALL {
                let what = format!("{op:?} {error:?} {nth} {policy:?}");
                check(&fs.crash(policy, nth), &options, &sent, acked, &what);
            }
        }
    }
}

#[test]
fn a_failure_that_stays_makes_the_log_read_only_and_it_returns_by_itself() {
    for mode in [WalMode::EveryWrite, WalMode::Periodic] {
        for (op, error) in KINDS.into_iter().take(6) {
            for nth in [0, 1, 2, 3, 5, 8] {
                let fs = SimFs::new(nth);
                let options = options(mode);
                let what = format!("{mode:?} {op:?} {error:?} {nth}");
                let (wal, ..) = open(&fs, &options);
                let (mut sent, mut rng) = (Vec::new(), Rng::new(nth));
                // Segments are made less often than records are written.
                let rare = matches!(op, Op::Create | Op::SyncDir);
                fs.fail(Fault::sticky(op, if rare { nth / 4 } else { nth }, error));
                let before = write_all(&wal, mode, &mut sent, 30, &mut rng);
                if mode == WalMode::EveryWrite {
                    assert!(wal.read_only().is_some() && sent.len() < 30, "{what}");
                    assert!(matches!(wal.reserve(1), Err(WalError::ReadOnly(_))));
                    assert!(wal.cut().is_err() && wal.sync().is_err());
                }
                fs.clear_faults();
                let _ = wal.try_recover();
                assert_eq!(wal.read_only(), None, "{what}");
                let acked = write_all(&wal, mode, &mut sent, 5, &mut rng).max(before);
                assert_eq!(acked, sent.len(), "{what}");
                wal.sync().unwrap();
                check(&fs.crash(CrashPolicy::DropUnsynced, nth), &options, &sent, acked, &what);
            }
        }
    }
}

#[test]
fn a_process_that_dies_read_only_loses_nothing_acked() {
    for mode in [WalMode::EveryWrite, WalMode::Periodic] {
        for (op, error) in KINDS.into_iter().take(6) {
            for nth in 0..12 {
                let fs = SimFs::new(nth);
                let options = WalOptions { max_unsynced_bytes: 4000, ..options(mode) };
                let (wal, ..) = open(&fs, &options);
                let (mut sent, mut rng) = (Vec::new(), Rng::new(nth));
                fs.fail(Fault::sticky(op, nth, error));
                let acked = write_all(&wal, mode, &mut sent, 30, &mut rng);
                let what = format!("{mode:?} {op:?} {error:?} {nth}");
                let after = fs.crash(CrashPolicy::KeepAll, nth);
                check(&after, &options, &sent, acked, &what);
            }
        }
    }
}

#[test]
fn a_record_that_only_a_failed_segment_held_is_not_acked_as_written() {
    let fs = SimFs::new(1);
    let options = options(WalMode::Periodic);
    let (wal, ..) = open(&fs, &options);
    write(&wal, 0, 10, WalMode::Periodic).unwrap();
    // The next record fails, and the segment that is made in its place cannot be synced.
    fs.fail(Fault::once(Op::Append, 0, FaultError::Io));
    fs.fail(Fault::sticky(Op::Sync, 0, FaultError::Io));
    assert!(write(&wal, 1, 20, WalMode::Periodic).is_err());
    assert_eq!((wal.written_seq(), wal.durable_seq()), (1, 0));
    check(&fs.crash(CrashPolicy::KeepAll, 0), &options, &[10, 20], 1, "the first was acked");
}

#[test]
fn random_failures_lose_nothing_acked() {
    for seed in 0..60 {
        let fs = SimFs::new(seed);
        let options = options(WalMode::EveryWrite);
        let (wal, ..) = open(&fs, &options);
        let (mut sent, mut rng, mut acked) = (Vec::new(), Rng::new(seed), 0);
        for _ in 0..30 {
            let (op, error) = KINDS[usize::try_from(rng.below(8)).unwrap()];
            let times = 1 + rng.below(4);
            fs.fail(Fault { times, ..Fault::once(op, rng.below(20), error) });
            acked = write_all(&wal, WalMode::EveryWrite, &mut sent, 4, &mut rng).max(acked);
        }
        assert!(acked > 50);
        for policy in CrashPolicy::ALL {
            check(&fs.crash(policy, seed), &options, &sent, acked, &format!("{seed} {policy:?}"));
        }
    }
}

#[test]
fn a_full_disk_costs_nothing_acked_and_leaves_no_files_behind() {
    let fs = SimFs::new(3);
    let options = options(WalMode::EveryWrite);
    let (wal, ..) = open(&fs, &options);
    let (mut sent, mut rng) = (Vec::new(), Rng::new(3));
    for round in 1..10 {
        let used = wal.size_bytes();
        fs.set_capacity(used + rng.below(20_000));
        write_all(&wal, WalMode::EveryWrite, &mut sent, 20, &mut rng);
        assert!(wal.read_only().is_some());
        let segments = wal.num_segments();
        for _ in 0..20 {
            assert!(wal.try_recover().is_err());
        }
        let files = fs.read_dir(&options.dir).unwrap().len();
        assert_eq!((files, wal.num_segments()), (segments, segments));
        fs.set_capacity(1 << 30);
        wal.try_recover().unwrap();
        let resumed = write_all(&wal, WalMode::EveryWrite, &mut sent, 3, &mut rng);
        assert_eq!(resumed, sent.len(), "round {round}");
    }
    check(&fs.crash(CrashPolicy::DropUnsynced, 0), &options, &sent, sent.len(), "full");
}

#[test]
fn a_full_disk_at_start_is_ready_for_reads_and_returns_by_itself() {
    let fs = SimFs::new(1);
    let options = options(WalMode::EveryWrite);
    let (wal, ..) = open(&fs, &options);
    for n in 0..10 {
        write(&wal, n, 100, WalMode::EveryWrite).unwrap();
    }
    // Half a record at the end, which could not even be copied.
    let path = Path::new("/wal/00000001.wal");
    fs.edit(path, |data| data.truncate(data.len() - 5)).unwrap();
    drop(wal);
    fs.set_capacity(0);
    let (wal, records, report) = open(&fs, &options);
    assert_eq!((records.len(), report.quarantined_bytes), (9, 0));
    assert!(report.torn_bytes > 0 && wal.read_only().is_some() && wal.reserve(1).is_err());
    fs.set_capacity(1 << 20);
    wal.try_recover().unwrap();
    assert_eq!(write(&wal, 9, 100, WalMode::EveryWrite).unwrap(), 10);
    // The bytes that could not be copied outlive the log.
    let cut = wal.cut().unwrap();
    wal.remove_before(cut.segment).unwrap();
    assert!(fs.exists(Path::new("/quarantine/00000001.wal")).unwrap());
    assert!(!fs.exists(path).unwrap());
}
