//! The write-ahead log over the real and the simulated disk.

use std::path::Path;
use std::sync::Arc;

use tsdb::fs::Fs;
use tsdb::fs::std::StdFs;
use tsdb::wal::record::{Record, Rows, SeriesRef};
use tsdb::wal::{ReplayReport, SegmentIndex, Wal, WalError, WalMode, WalOptions};

fn record(n: u64) -> Record {
    Record {
        in_order: Rows {
            refs: vec![SeriesRef(n), SeriesRef(n + 1)],
            times: vec![1000, 1000],
            values: vec![1.5, f64::from_bits(n)],
        },
        ..Record::default()
    }
}

fn payload(n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    record(n).encode(&mut out);
    out
}

fn options(dir: &Path) -> WalOptions {
    WalOptions { segment_bytes: 400, ..WalOptions::new(dir) }
}

type Replayed = (Wal, Vec<(u64, Record)>, ReplayReport);

fn open(fs: &Arc<dyn Fs>, options: &WalOptions) -> Result<Replayed, WalError> {
    let mut records = Vec::new();
    let (wal, report) =
        Wal::open(Arc::clone(fs), options.clone(), SegmentIndex(0), &mut |seq, record| {
            records.push((seq, record));
            Ok(())
        })?;
    Ok((wal, records, report))
}

fn write(wal: &Wal, n: u64, mode: WalMode) -> Result<u64, WalError> {
    let reservation = wal.reserve(100)?;
    let seq = wal.enqueue(reservation, payload(n));
    wal.commit(seq, mode)?;
    Ok(seq)
}

#[test]
fn what_was_committed_is_replayed_in_order_over_several_segments() {
    let dir = tempfile::tempdir().unwrap();
    let fs: Arc<dyn Fs> = Arc::new(StdFs);
    let options = options(dir.path());
    let mut want = Vec::new();
    for run in 0..3 {
        let (wal, records, report) = open(&fs, &options).unwrap();
        assert_eq!(records, want);
        assert_eq!((report.records, report.last_seq), (run * 10, run * 10));
        assert_eq!((report.damaged_regions, report.torn_bytes, report.missing_records), (0, 0, 0));
        for n in run * 10..run * 10 + 10 {
            assert_eq!(write(&wal, n, WalMode::EveryWrite).unwrap(), n + 1);
            want.push((n + 1, record(n)));
        }
        assert_eq!((wal.durable_seq(), wal.written_seq()), (run * 10 + 10, run * 10 + 10));
        wal.close().unwrap();
        assert!(matches!(wal.reserve(1), Err(WalError::Closed)));
    }
}
