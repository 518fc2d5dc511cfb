//! The write-ahead log over the real and the simulated disk.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test, its helpers included")]

mod commit;
mod crash;
mod damage;
mod faults;

use std::path::Path;
use std::sync::Arc;

use tsdb::fs::Fs;
use tsdb::fs::sim::SimFs;
use tsdb::wal::record::{Record, Rows, SeriesRef};
use tsdb::wal::{Position, ReplayReport, Wal, WalError, WalMode, WalOptions};

/// Bytes of a frame beside its payload, and of a segment's header.
const FRAME_BYTES: usize = 36;
const HEADER_BYTES: usize = 32;

/// A record that tells its number, about `bytes` long.
fn record(n: u64, bytes: usize) -> Record {
    Record {
        in_order: Rows {
            refs: vec![SeriesRef(n), SeriesRef(n + 1)],
            times: vec![1000, 1000],
            values: vec![1.5, f64::from_bits(n)],
        },
        databases: vec!["x".repeat(bytes)],
        ..Record::default()
    }
}

fn payload(n: u64, bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    record(n, bytes).encode(&mut out);
    out
}

/// The log of a disk whose root directory is the data directory, with small segments.
fn options(mode: WalMode) -> WalOptions {
    WalOptions { mode, segment_bytes: 8192, run: 7, ..WalOptions::new(Path::new("/")) }
}

/// A replayed record is its number of bytes and the whole.
type Records = Vec<(u64, Record)>;

fn open_from(
    fs: &SimFs,
    options: &WalOptions,
    from: Position,
) -> Result<(Wal, Records, ReplayReport), WalError> {
    let mut records = Vec::new();
    let fs: Arc<dyn Fs> = Arc::new(fs.clone());
    let (wal, report) = Wal::open(fs, options.clone(), from, &mut |seq, record| {
        records.push((seq, record));
        Ok(())
    })?;
    Ok((wal, records, report))
}

fn open(fs: &SimFs, options: &WalOptions) -> (Wal, Records, ReplayReport) {
    open_from(fs, options, Position::START).unwrap()
}

fn enqueue(wal: &Wal, n: u64, bytes: usize) -> Result<u64, WalError> {
    let payload = payload(n, bytes);
    Ok(wal.enqueue(wal.reserve(payload.len())?, payload))
}

fn write(wal: &Wal, n: u64, bytes: usize, mode: WalMode) -> Result<u64, WalError> {
    let seq = enqueue(wal, n, bytes)?;
    wal.commit(seq, mode)?;
    Ok(seq)
}

/// A small generator (xorshift), for workloads that a seed repeats.
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % n
    }
}
