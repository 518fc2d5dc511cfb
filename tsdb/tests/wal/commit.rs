//! Appending, committing, cutting, removing: the disk works.

use tsdb::fs::std::StdFs;

use super::*;

#[test]
fn what_was_committed_is_replayed_in_order_over_restarts_and_segments() {
    let dir = tempfile::tempdir().unwrap();
    let options = WalOptions { segment_bytes: 400, ..WalOptions::new(dir.path()) };
    let mut want = Vec::new();
    for run in 0..3 {
        let mut records = Vec::new();
        let mut apply = |seq, record| {
            records.push((seq, record));
            Ok(())
        };
        let (wal, report) =
            Wal::open(Arc::new(StdFs), options.clone(), Position::START, &mut apply).unwrap();
        assert_eq!(records, want);
        let damage = (report.damaged_regions, report.torn_bytes, report.missing_records);
        assert_eq!((report.records, report.last_seq, damage), (run * 10, run * 10, (0, 0, 0)));
        for n in run * 10..run * 10 + 10 {
            assert_eq!(write(&wal, n, 9, WalMode::EveryWrite).unwrap(), n + 1);
            want.push((n + 1, record(n, 9)));
        }
        assert_eq!((wal.durable_seq(), wal.written_seq()), (run * 10 + 10, run * 10 + 10));
        let on_disk: u64 = StdFs.read_dir(&options.dir).unwrap().iter().map(|e| e.len).sum();
        assert_eq!(wal.size_bytes(), on_disk);
        wal.close().unwrap();
        assert!(matches!(wal.reserve(1), Err(WalError::Closed)));
    }
}

#[test]
fn one_sync_serves_everything_that_is_queued() {
    let fs = SimFs::new(1);
    let (wal, ..) = open(&fs, &options(WalMode::EveryWrite));
    let before = fs.syncs();
    let seqs: Vec<u64> = (0..50).map(|n| enqueue(&wal, n, 9).unwrap()).collect();
    assert_eq!((wal.written_seq(), wal.durable_seq()), (0, 0), "enqueuing does no I/O");
    for seq in seqs {
        wal.commit(seq, WalMode::EveryWrite).unwrap();
    }
    assert_eq!(fs.syncs() - before, 1);
}

#[test]
fn eight_threads_commit_and_each_ack_is_durable() {
    let fs = SimFs::new(1);
    let options = options(WalMode::EveryWrite);
    let (wal, ..) = open(&fs, &options);
    let per_thread = 200;
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let wal = &wal;
            scope.spawn(move || {
                let mut last = 0;
                for i in 0..per_thread {
                    let seq = write(wal, thread * 1000 + i, 20, WalMode::EveryWrite).unwrap();
                    assert!(seq > last && wal.durable_seq() >= seq);
                    last = seq;
                }
            });
        }
    });
    assert!(fs.syncs() <= 8 * per_thread + 200, "at most one sync a record and a segment");
    let after = fs.crash(tsdb::fs::sim::CrashPolicy::DropUnsynced, 0);
    let (_, records, report) = open(&after, &options);
    assert_eq!(report.records, 8 * per_thread);
    let mut next = [0; 8];
    for (i, (seq, record)) in records.iter().enumerate() {
        assert_eq!(*seq, i as u64 + 1);
        let n = record.in_order.refs[0].0;
        let thread = usize::try_from(n / 1000).unwrap();
        assert_eq!(n % 1000, next[thread], "the order of each thread");
        next[thread] += 1;
    }
}

#[test]
fn weaker_modes_sync_when_asked_at_the_end_of_a_segment_and_at_the_bound() {
    let fs = SimFs::new(1);
    let bound = WalOptions { max_unsynced_bytes: 3000, ..options(WalMode::Periodic) };
    let (wal, ..) = open(&fs, &bound);
    let before = fs.syncs();
    let seq = write(&wal, 0, 100, WalMode::Periodic).unwrap();
    write(&wal, 1, 100, WalMode::OsDefault).unwrap();
    assert_eq!((wal.written_seq(), wal.durable_seq(), fs.syncs()), (seq + 1, 0, before));
    wal.sync().unwrap();
    assert_eq!((wal.durable_seq(), fs.syncs()), (seq + 1, before + 1));
    wal.sync().unwrap();
    assert_eq!(fs.syncs(), before + 1, "nothing to sync");
    let unsynced = write(&wal, 2, 2000, WalMode::Periodic).unwrap();
    assert!(wal.durable_seq() < unsynced);
    let over = write(&wal, 3, 2000, WalMode::Periodic).unwrap();
    assert_eq!(wal.durable_seq(), over);
    write(&wal, 4, 2000, WalMode::Periodic).unwrap();
    write(&wal, 5, 7000, WalMode::None).unwrap();
    assert_eq!(wal.written_seq(), over + 1, "not waited for and not written");
    write(&wal, 6, 10, WalMode::EveryWrite).unwrap();
    assert_eq!((wal.durable_seq(), wal.num_segments()), (over + 3, 2));
}

#[test]
fn a_cut_splits_the_log_and_what_is_before_it_can_go() {
    let fs = SimFs::new(1);
    let options = options(WalMode::Periodic);
    let (wal, ..) = open(&fs, &options);
    let unused = wal.cut().unwrap();
    assert_eq!(wal.cut().unwrap(), unused, "an empty segment needs no cut");
    for n in 0..5 {
        write(&wal, n, 3000, WalMode::Periodic).unwrap();
    }
    let cut = wal.cut().unwrap();
    assert_eq!((wal.durable_seq(), wal.num_segments()), (5, 3));
    for n in 5..7 {
        write(&wal, n, 10, WalMode::Periodic).unwrap();
    }
    let (_, from_cut, _) = open_from(&fs, &options, cut).unwrap();
    assert_eq!(from_cut, [(6, record(5, 10)), (7, record(6, 10))]);
    wal.remove_before(cut.segment).unwrap();
    assert_eq!(wal.num_segments(), 1);
    drop(wal);
    let (wal, records, report) = open_from(&fs, &options, cut).unwrap();
    assert_eq!((records.len(), report.missing_records, wal.last_seq()), (2, 0, 7));
    assert_eq!(open(&fs, &options).2.gaps, [(1, 5)], "who does not know of the cut misses them");
}

#[test]
fn sequence_numbers_go_on_when_all_segments_are_gone() {
    let fs = SimFs::new(1);
    let options = options(WalMode::EveryWrite);
    let (wal, ..) = open(&fs, &options);
    write(&wal, 0, 10, WalMode::EveryWrite).unwrap();
    let cut = wal.cut().unwrap();
    wal.remove_before(cut.segment).unwrap();
    drop(wal);
    let (wal, ..) = open_from(&fs, &options, cut).unwrap();
    assert_eq!(wal.last_seq(), 1);
    drop(wal);
    let (wal, records, _) = open(&fs, &options);
    assert_eq!((wal.last_seq(), records), (1, vec![]), "the header remembers");
    assert_eq!(write(&wal, 1, 10, WalMode::EveryWrite).unwrap(), 2);
}

#[test]
fn no_log_writes_nothing_and_replays_what_is_there() {
    let fs = SimFs::new(1);
    let (wal, ..) = open(&fs, &options(WalMode::EveryWrite));
    write(&wal, 0, 10, WalMode::EveryWrite).unwrap();
    drop(wal);
    let ops = fs.ops();
    let (wal, records, _) = open(&fs, &options(WalMode::None));
    assert_eq!(records.len(), 1);
    assert_eq!(write(&wal, 1, 10, WalMode::EveryWrite).unwrap(), 2);
    wal.close().unwrap();
    assert_eq!((fs.ops(), wal.durable_seq()), (ops, 2));
}

#[test]
fn memory_is_bounded_by_waiting_for_the_disk() {
    let fs = SimFs::new(1);
    let small = WalOptions { max_pending_bytes: 1000, ..options(WalMode::Periodic) };
    let (wal, ..) = open(&fs, &small);
    for n in 0..100 {
        enqueue(&wal, n, 200).unwrap();
        assert!(wal.last_seq() - wal.durable_seq() <= 5, "the reservation wrote and synced");
    }
    let big = enqueue(&wal, 100, 5000).unwrap();
    wal.commit(big, WalMode::EveryWrite).unwrap();
    let too_large = wal.reserve(tsdb::wal::MAX_PAYLOAD_BYTES + 1).unwrap_err().to_string();
    assert_eq!(too_large, "log record is 268435457 bytes, limit 268435456");
    // A reservation that is not used is given back.
    for _ in 0..10 {
        drop(wal.reserve(900).unwrap());
    }
}

#[test]
fn a_caller_that_refuses_a_record_stops_the_replay() {
    let fs = SimFs::new(1);
    let options = options(WalMode::EveryWrite);
    write(&open(&fs, &options).0, 0, 10, WalMode::EveryWrite).unwrap();
    let fs: Arc<dyn Fs> = Arc::new(fs);
    let error = Wal::open(fs, options, Position::START, &mut |_, _| Err("no memory".into()));
    let text = error.unwrap_err().to_string();
    assert_eq!(text, "replay of the write-ahead log stopped: no memory");
}
