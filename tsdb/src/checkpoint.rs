#![doc = include_str!("../docs/format/checkpoint.md")]
#![deny(clippy::indexing_slicing)]

mod series;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::encoding::varint::{Reader, put_u64};
use crate::encoding::{crc, crc_append};
use crate::fs::{Fs, FsFile, FsRead};
use crate::head::index::HeadIndex;
use crate::head::open::OpenStore;
use crate::head::series::Series;
use crate::sabotage::{self, Sabotage};
use crate::wal::record::Record;
use series::FrameBuilder;
pub use series::{FrameSeries, SeriesFrame};

const MAGIC: &[u8; 4] = b"SBCK";
const VERSION: u8 = 3;
const HEADER_BYTES: usize = 25;
const FRAME_HEADER_BYTES: usize = 9;
const MAX_FRAME: u32 = 64 << 20;
/// A frame is closed when it is this long.
const FRAME_TARGET: usize = 256 << 10;
/// No series takes less: reference, schema, flags, newest time, number of chunks.
const MIN_SERIES_BYTES: u64 = 5;
/// Bytes of a checkpoint that are written before they are synced.
const SYNC_BYTES: u64 = 2 << 20;
/// Most threads that read frames of series.
const MAX_THREADS: usize = 4;

/// Kinds of frames. Two is that of version 1.
mod kind {
    pub(super) const RECORD: u8 = 1;
    pub(super) const SERIES: u8 = 3;
    pub(super) const END: u8 = 255;
}

/// The file of the checkpoint at `segment`.
pub fn path(wal_dir: &Path, segment: u64) -> PathBuf {
    wal_dir.join(format!("{segment:010}.ckpt"))
}

/// Whether a file of this name is a checkpoint, finished or not.
pub fn is_one(name: &str) -> bool {
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    name.strip_suffix(".ckpt").is_some_and(|n| n.parse::<u64>().is_ok())
}

/// Whether a finished checkpoint other than `named` covers records behind `seq`, the last that is known.
/// An interrupted step leaves one whose records the log has; this one was named by a manifest that lost
/// its end.
///
/// # Errors
/// What the file system says.
pub fn is_one_lost(fs: &dyn Fs, dir: &Path, named: Option<u64>, seq: u64) -> io::Result<bool> {
    let entries = fs.read_dir(dir)?;
    let numbers = entries.iter().filter_map(|entry| entry.name.strip_suffix(".ckpt")?.parse().ok());
    Ok(numbers
        .filter(|number| Some(*number) != named)
        .any(|number| Checkpoint::open(fs, dir, number).is_ok_and(|found| found.seq > seq)))
}

/// Writes a checkpoint; nothing is published until [`CheckpointWriter::finish`].
#[derive(Debug)]
pub struct CheckpointWriter<'a> {
    fs: &'a dyn Fs,
    dir: &'a Path,
    segment: u64,
    file: Box<dyn FsFile>,
    frame: FrameBuilder,
    num_series: u64,
    synced: u64,
}

impl<'a> CheckpointWriter<'a> {
    /// Begins the checkpoint at `segment`, whose newest earlier record is `seq`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(fs: &'a dyn Fs, dir: &'a Path, segment: u64, seq: u64) -> io::Result<Self> {
        let tmp = tmp_path(dir, segment);
        if fs.exists(&tmp)? {
            fs.remove_file(&tmp)?;
        }
        let mut file = fs.create(&tmp)?;
        let mut header = MAGIC.to_vec();
        header.push(VERSION);
        header.extend_from_slice(&segment.to_le_bytes());
        header.extend_from_slice(&seq.to_le_bytes());
        header.extend_from_slice(&crc(&header).to_le_bytes());
        file.append(&header)?;
        Ok(Self {
            fs,
            dir,
            segment,
            file,
            frame: FrameBuilder::default(),
            num_series: 0,
            synced: 0,
        })
    }

    /// Adds a series with what of it is not below `boundary`, its histograms excepted. For callers
    /// that hold locks: no I/O.
    pub fn series(
        &mut self,
        series: &Series,
        store: &OpenStore,
        (slot, index): (u32, &HeadIndex),
        boundary: i64,
    ) {
        self.frame.push(series, store, (slot, index), boundary);
    }

    /// Writes the series so far if they fill a frame. For callers that hold no locks.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_full_frame(&mut self) -> io::Result<()> {
        if self.frame.len() < FRAME_TARGET { Ok(()) } else { self.write_series() }
    }

    fn write_series(&mut self) -> io::Result<()> {
        let Some((payload, num_series)) = std::mem::take(&mut self.frame).finish() else {
            return Ok(());
        };
        self.num_series += num_series;
        self.write(kind::SERIES, &payload)?;
        // In small pieces: a log that syncs must not wait for all of it.
        if self.file.len() - self.synced >= SYNC_BYTES {
            self.file.sync()?;
            self.synced = self.file.len();
        }
        Ok(())
    }

    /// Writes a record: late samples, histograms, metadata, databases. The series that it names are
    /// added before or afterwards.
    ///
    /// # Errors
    /// What the file system says.
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
        self.write_series()?;
        let mut payload = Vec::new();
        record.encode(&mut payload);
        self.write(kind::RECORD, &payload)
    }

    fn write(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let len = u32::try_from(payload.len()).ok().filter(|n| *n <= MAX_FRAME);
        let len = len.ok_or_else(|| io::Error::other("a checkpoint frame is over 64 MiB"))?;
        let sum = crc_append(crc_append(crc(&len.to_le_bytes()), &[kind]), payload);
        let mut frame = Vec::with_capacity(FRAME_HEADER_BYTES + payload.len());
        frame.extend_from_slice(&len.to_le_bytes());
        frame.extend_from_slice(&sum.to_le_bytes());
        frame.push(kind);
        frame.extend_from_slice(payload);
        self.file.append(&frame)
    }

    /// Publishes the checkpoint: it is durable under its name when this returns. Returns its length.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(mut self) -> io::Result<u64> {
        self.write_series()?;
        let mut end = Vec::new();
        put_u64(&mut end, self.num_series);
        self.write(kind::END, &end)?;
        if !sabotage::is(Sabotage::RenameBeforeSync) {
            self.file.sync()?;
        }
        self.fs.rename(&tmp_path(self.dir, self.segment), &path(self.dir, self.segment))?;
        self.fs.sync_dir(self.dir)?;
        Ok(self.file.len())
    }
}

fn tmp_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("{segment:010}.ckpt.tmp"))
}

/// What reading a checkpoint found besides its parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckpointReport {
    /// Sequence number of the newest record that it covers.
    pub seq: u64,
    /// Its length.
    pub bytes: u64,
    /// Frames that were damaged and skipped.
    pub damaged_frames: u64,
    /// Whether the end is missing.
    pub truncated: bool,
}

/// A checkpoint that is read. Damaged frames are skipped and counted.
#[derive(Debug)]
pub struct Checkpoint {
    file: Arc<dyn FsRead>,
    /// The frames of series.
    series: Vec<Frame>,
    /// The records, in order.
    records: Vec<Frame>,
    num_series: u64,
    damaged_frames: AtomicU64,
    seq: u64,
    truncated: bool,
}

/// Where a frame stands.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: u8,
    sum: u32,
    at: u64,
    len: u32,
}

impl Checkpoint {
    /// Opens the checkpoint at `segment` and finds its frames.
    ///
    /// # Errors
    /// What the file system says; `InvalidData` where the header is not that of this checkpoint.
    pub fn open(fs: &dyn Fs, dir: &Path, segment: u64) -> io::Result<Self> {
        let file = fs.open_scan(&path(dir, segment))?;
        let seq = parse_header(&file.bytes(0, HEADER_BYTES as u64)?, segment)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "bad checkpoint header"))?;
        let (mut series, mut records) = (Vec::new(), Vec::new());
        let (mut damaged, mut truncated, mut num_series) = (0, true, 0);
        let mut at = HEADER_BYTES as u64;
        while at + FRAME_HEADER_BYTES as u64 <= file.len() {
            let head = file.bytes(at, FRAME_HEADER_BYTES as u64)?;
            let mut r = Reader::new(&head);
            let (Some(len), Some(sum), Some(kind)) = (r.u32_le(), r.u32_le(), r.u8()) else {
                break;
            };
            at += FRAME_HEADER_BYTES as u64;
            if len > MAX_FRAME || u64::from(len) > file.len() - at {
                // The length itself is damaged: nothing behind it can be found.
                damaged += 1;
                break;
            }
            let frame = Frame { kind, sum, at, len };
            at += u64::from(len);
            match kind {
                kind::SERIES => series.push(frame),
                kind::RECORD => records.push(frame),
                kind::END if frame.is_whole(&*file) => {
                    truncated = false;
                    let payload = file.bytes(frame.at, u64::from(len))?;
                    num_series = Reader::new(&payload).u64().unwrap_or(0);
                    // Nothing comes behind it.
                    damaged += u64::from(at < file.len());
                    break;
                }
                _ => damaged += 1,
            }
        }
        let damaged_frames = AtomicU64::new(damaged);
        Ok(Self { file, series, records, num_series, damaged_frames, seq, truncated })
    }

    /// Sequence number of the newest record that it covers.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// About how many series it has: no more than there is room for.
    pub fn num_series(&self) -> usize {
        let bytes: u64 = self.series.iter().map(|frame| u64::from(frame.len)).sum();
        usize::try_from(self.num_series.min(bytes / MIN_SERIES_BYTES)).unwrap_or(0)
    }

    /// Hands all frames of series to `restore`, from as many threads as there are processors and in
    /// no order; all of them before this returns.
    ///
    /// # Errors
    /// What the file system says.
    pub fn series(&self, restore: &(dyn Fn(&SeriesFrame<'_>) + Sync)) -> io::Result<()> {
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        let work = || {
            while let Some(frame) = self.series.get(next.fetch_add(1, Ordering::Relaxed)) {
                let read = frame.visit(&*self.file, &mut |payload| {
                    let frame = SeriesFrame::decode(payload);
                    frame.map(|frame| restore(&frame))
                });
                match read {
                    Ok(Some(())) => {}
                    Ok(None) => {
                        self.damaged_frames.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => *failed.lock() = Some(error),
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 1..threads.min(MAX_THREADS).min(self.series.len()) {
                scope.spawn(work);
            }
            work();
        });
        failed.into_inner().map_or(Ok(()), Err)
    }

    /// Hands the records to `visit`, in order.
    ///
    /// # Errors
    /// What the file system says.
    pub fn records(&self, mut visit: impl FnMut(Record)) -> io::Result<()> {
        for frame in &self.records {
            let read = frame.visit(&*self.file, &mut |payload| {
                let record = Record::decode(payload).ok();
                record.map(&mut visit)
            });
            if read?.is_none() {
                self.damaged_frames.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// What was found, once everything has been read.
    pub fn report(&self) -> CheckpointReport {
        CheckpointReport {
            seq: self.seq,
            bytes: self.file.len(),
            damaged_frames: self.damaged_frames.load(Ordering::Relaxed),
            truncated: self.truncated,
        }
    }
}

impl Frame {
    /// What `read` makes of the payload; `None` where that is nothing, or the payload is not what
    /// was written.
    fn visit<T>(
        &self,
        file: &dyn FsRead,
        read: &mut dyn FnMut(&[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let payload = file.bytes(self.at, u64::from(self.len))?;
        let sum = crc_append(crc_append(crc(&self.len.to_le_bytes()), &[self.kind]), &payload);
        Ok(if sum == self.sum { read(&payload) } else { None })
    }

    fn is_whole(&self, file: &dyn FsRead) -> bool {
        matches!(self.visit(file, &mut |_| Some(())), Ok(Some(())))
    }
}

fn parse_header(header: &[u8], segment: u64) -> Option<u64> {
    let (body, sum) = header.split_last_chunk::<4>()?;
    let mut r = Reader::new(body);
    let good = r.take(4)? == MAGIC
        && r.u8()? == VERSION
        && r.u64_le()? == segment
        && crc(body) == u32::from_le_bytes(*sum);
    r.u64_le().filter(|_| good)
}

#[cfg(test)]
mod tests;
