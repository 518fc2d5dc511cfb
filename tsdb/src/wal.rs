//! The write-ahead log: one framed record per request, group commit, segments.
//!
//! A caller encodes a [`Record`], [reserves](Wal::reserve) room before it takes any
//! lock, [enqueues](Wal::enqueue) the payload under its locks, which fixes the record's place in
//! the log without any I/O, and [commits](Wal::commit) after it gave the locks back. One of those
//! who wait writes and syncs for all; who arrives meanwhile shares the next sync.
//!
//! A segment that fails is left behind, and what it had not made durable is written to a new one
//! from memory. If that fails too the log is read-only until [`Wal::try_recover`] succeeds; the
//! records stay in memory and in order, so that nothing enqueued later can overtake them.
//!
#![doc = include_str!("../docs/format/wal.md")]

pub mod record;

mod reader;
mod repair;
mod segment;
pub mod verify;
mod writer;

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::abort::AbortOnPanic;
use crate::fs::Fs;
use reader::Cursor;
use record::Record;
pub use repair::ReplayReport;
pub use segment::{MAX_PAYLOAD_BYTES, SegmentIndex};
use writer::{Pending, SegmentInfo, Segments, Writer, WriterOptions};

/// When an append is acknowledged (reliability contract, section 1). Ordered from the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub enum WalMode {
    /// After `fdatasync`, shared by the requests that wait at the same time.
    #[default]
    EveryWrite,
    /// After `write`; `fdatasync` at an interval.
    Periodic,
    /// After `write`; the kernel decides when to sync.
    OsDefault,
    /// No log at all.
    None,
}

/// A place in the log, between two records: what a checkpoint remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Everything behind the place is in this segment or later ones, everything before it in
    /// earlier ones.
    pub segment: SegmentIndex,
    /// The sequence number of the first record behind it.
    pub seq: u64,
}

impl Position {
    /// Before everything.
    pub const START: Self = Self { segment: SegmentIndex(1), seq: 1 };
}

/// An error of whoever consumes the log.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why the log refused; each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// Writing failed and so did the second attempt in a new segment. Whether the record will be
    /// durable is unknown: it is kept, and [`Wal::try_recover`] writes it.
    #[error("write-ahead log is read-only: {0}")]
    ReadOnly(Arc<str>),
    /// The record is longer than a frame can be.
    #[error("log record is {bytes} bytes, limit {limit}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// [`Wal::close`] was called.
    #[error("write-ahead log is closed")]
    Closed,
    /// A segment of a later version of this program.
    #[error("{}: log format version {version} is newer than this program", .path.display())]
    NewerFormat {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
    /// The caller of [`Wal::open`] refused a record.
    #[error("replay of the write-ahead log stopped: {0}")]
    Aborted(#[source] BoxError),
    /// The directory or a segment cannot be opened.
    #[error("{}: {source}", .path.display())]
    Io {
        /// What could not be opened.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl WalError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// Where the log is and how it behaves.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// The directory of the segments; its parent exists.
    pub dir: PathBuf,
    /// The directory that gets copies of damaged bytes; its parent exists.
    pub quarantine: PathBuf,
    /// The weakest mode that a commit will ask for. [`WalMode::None`] writes nothing.
    pub mode: WalMode,
    /// Length at which a segment ends.
    pub segment_bytes: u64,
    /// Records in memory, queued or not durable, at which [`Wal::reserve`] waits for the disk.
    pub max_pending_bytes: usize,
    /// Written bytes that are not durable at which a commit syncs whatever its mode: the
    /// records are kept in memory until then.
    pub max_unsynced_bytes: usize,
    /// Sequence numbers continue above this one, whatever the log holds.
    pub used_seq: u64,
    /// A number that no client can guess; tests fix it.
    pub run: u32,
}

impl WalOptions {
    /// The defaults, for the log of the data directory `data_dir`.
    pub fn new(data_dir: &Path) -> Self {
        let random = RandomState::new().hash_one(0_u8).to_le_bytes();
        Self {
            dir: data_dir.join("wal"),
            quarantine: data_dir.join(crate::quarantine::DIR),
            mode: WalMode::EveryWrite,
            segment_bytes: 128 << 20,
            max_pending_bytes: 64 << 20,
            max_unsynced_bytes: 16 << 20,
            used_seq: 0,
            run: u32::from_le_bytes([random[0], random[1], random[2], random[3]]),
        }
    }
}

/// The log.
#[derive(Debug)]
pub struct Wal {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    quarantine: PathBuf,
    writes: bool,
    max_pending_bytes: usize,
    segments: Segments,
    /// The last lock in the lock order; never held during I/O.
    state: Mutex<State>,
    /// Anything in `state` that somebody may wait for.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    next_seq: u64,
    /// Enqueued and not taken over by the writer.
    queue: VecDeque<Pending>,
    queue_bytes: usize,
    /// Bytes that the writer held when it was last put back.
    writer_bytes: usize,
    reserved_bytes: usize,
    written_seq: u64,
    durable_seq: u64,
    bytes_written: u64,
    read_only: Option<Arc<str>>,
    closed: bool,
    /// Absent while somebody writes.
    writer: Option<Box<Writer>>,
}

/// Room for one record; taken before any lock and given back when dropped.
#[derive(Debug)]
pub struct Reservation<'a> {
    wal: &'a Wal,
    bytes: usize,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.wal.state.lock().reserved_bytes -= self.bytes;
        self.wal.changed.notify_all();
    }
}

impl Wal {
    /// Opens the log and hands every record behind `replay_from` to `apply`, in order and each
    /// once. Sequence numbers continue behind the log's last and never below `replay_from`. Damaged regions are skipped and copied to the quarantine. New records
    /// go to a new segment, which is durable before this returns; where it cannot be made, on a
    /// full disk, the log is read-only at first.
    ///
    /// # Errors
    /// A segment is of a newer format or cannot be opened, or `apply` failed.
    pub fn open(
        fs: Arc<dyn Fs>,
        options: WalOptions,
        replay_from: Position,
        apply: &mut dyn FnMut(u64, Record) -> Result<(), BoxError>,
    ) -> Result<(Self, ReplayReport), WalError> {
        let WalOptions { dir, quarantine, mode, .. } = options;
        let found = list(&*fs, &dir)?;
        let cursors = found
            .range(replay_from.segment..)
            .map(|(index, _)| Cursor::open(&*fs, &dir, *index))
            .collect::<Result<Vec<_>, _>>()?;
        let last_run = cursors.iter().rev().find_map(Cursor::run);
        let started_at = cursors.iter().filter_map(Cursor::first_seq).max().unwrap_or(0);
        let (report, uncopied) =
            repair::replay(&*fs, &quarantine, cursors, replay_from.seq, apply)?;

        let last_seq = report.last_seq.max(started_at.max(replay_from.seq).saturating_sub(1));
        let last_seq = last_seq.max(options.used_seq);
        let next_index = found.keys().next_back().map_or(SegmentIndex(1), |last| last.next());
        let segments = Segments::default();
        segments.lock().extend(found.iter().map(|(index, len)| {
            (*index, SegmentInfo { len: *len, keep: uncopied.contains(index) })
        }));
        let mut writer = Box::new(Writer::new(WriterOptions {
            fs: Arc::clone(&fs),
            dir: dir.clone(),
            mode,
            // A run is told from the one before it by its number alone.
            run: if last_run == Some(options.run) { options.run ^ 1 } else { options.run },
            segment_bytes: options.segment_bytes,
            max_unsynced_bytes: options.max_unsynced_bytes,
            segments: Arc::clone(&segments),
            next_index: next_index.max(replay_from.segment),
            last_seq,
        }));
        let writes = mode != WalMode::None;
        let pinned = if writes { writer.pin() } else { Ok(()) };
        let wal = Self {
            fs,
            dir,
            quarantine,
            writes,
            max_pending_bytes: options.max_pending_bytes,
            segments,
            state: Mutex::new(State {
                next_seq: last_seq + 1,
                queue: VecDeque::new(),
                queue_bytes: 0,
                writer_bytes: 0,
                reserved_bytes: 0,
                written_seq: last_seq,
                durable_seq: last_seq,
                bytes_written: 0,
                read_only: pinned.err().map(|error| Arc::from(error.to_string())),
                closed: false,
                writer: Some(writer),
            }),
            changed: Condvar::new(),
        };
        Ok((wal, report))
    }

    /// Makes room in memory for a record of about `bytes`, waiting for the disk if need be. Call
    /// it before taking any lock, and hold one reservation a thread at most.
    ///
    /// # Errors
    /// [`WalError::TooLarge`], [`WalError::ReadOnly`] or [`WalError::Closed`].
    pub fn reserve(&self, bytes: usize) -> Result<Reservation<'_>, WalError> {
        if bytes > MAX_PAYLOAD_BYTES {
            return Err(WalError::TooLarge { bytes, limit: MAX_PAYLOAD_BYTES });
        }
        let mut state = self.state.lock();
        loop {
            state.check()?;
            let held = state.queue_bytes + state.writer_bytes;
            let taken = held + state.reserved_bytes;
            if taken == 0 || taken + bytes <= self.max_pending_bytes || !self.writes {
                state.reserved_bytes += bytes;
                return Ok(Reservation { wal: self, bytes });
            }
            if held > 0 && state.writer.is_some() {
                self.lead(&mut state, |writer| writer.flush(true))?;
            } else {
                self.changed.wait(&mut state);
            }
        }
    }

    /// Gives the record its sequence number and its place in the log; no I/O. For callers that
    /// hold locks: the order of calls is the order of the log.
    ///
    /// # Panics
    /// If `payload` is longer than [`MAX_PAYLOAD_BYTES`], which the reservation has refused.
    pub fn enqueue(&self, reservation: Reservation<'_>, payload: Vec<u8>) -> u64 {
        assert!(payload.len() <= MAX_PAYLOAD_BYTES, "a payload fits its reservation");
        let mut pending = Pending::new(payload);
        let seq = {
            let mut state = self.state.lock();
            let seq = state.next_seq;
            state.next_seq += 1;
            pending.seq = seq;
            if self.writes {
                state.queue_bytes += pending.bytes();
                state.queue.push_back(pending);
            } else {
                state.written_seq = seq;
                state.durable_seq = seq;
            }
            seq
        };
        drop(reservation);
        seq
    }

    /// Waits until the record `seq` and all before it are as durable as `mode` says. Call it
    /// without locks.
    ///
    /// # Errors
    /// [`WalError::ReadOnly`]: the outcome is unknown.
    pub fn commit(&self, seq: u64, mode: WalMode) -> Result<(), WalError> {
        if mode == WalMode::None {
            return Ok(());
        }
        let sync = mode == WalMode::EveryWrite;
        let mut state = self.state.lock();
        loop {
            let reached = if sync { state.durable_seq } else { state.written_seq };
            if reached >= seq {
                return Ok(());
            }
            if let Some(reason) = &state.read_only {
                return Err(WalError::ReadOnly(Arc::clone(reason)));
            }
            if state.writer.is_some() {
                self.lead(&mut state, |writer| writer.flush(sync))?;
            } else {
                self.changed.wait(&mut state);
            }
        }
    }

    /// Makes everything enqueued so far durable: what the interval of [`WalMode::Periodic`] calls.
    ///
    /// # Errors
    /// [`WalError::ReadOnly`].
    pub fn sync(&self) -> Result<(), WalError> {
        self.commit(self.last_seq(), WalMode::EveryWrite)
    }

    /// Ends the segment and makes everything before the returned place durable; that is at least
    /// what was enqueued before the call.
    ///
    /// # Errors
    /// [`WalError::ReadOnly`].
    pub fn cut(&self) -> Result<Position, WalError> {
        let mut state = self.state.lock();
        self.wait_for_writer(&mut state);
        state.check_writable()?;
        let place = self.lead(&mut state, Writer::cut)?;
        // As in `lead`. Numbers must not begin again after a restart: late blocks are ranked by them.
        Ok(if self.writes { place } else { Position { seq: state.next_seq, ..place } })
    }

    /// Removes the segments before `index`, oldest first; a checkpoint holds what they held.
    /// Segments whose damage could not be copied are moved to the quarantine instead.
    ///
    /// # Errors
    /// What the system says; the rest stays and the next call removes it.
    pub fn remove_before(&self, index: SegmentIndex) -> io::Result<()> {
        let old: Vec<_> =
            self.segments.lock().range(..index).map(|(index, info)| (*index, *info)).collect();
        if old.is_empty() {
            return Ok(());
        }
        for (index, info) in old {
            let path = self.dir.join(index.file_name());
            if info.keep {
                self.fs.create_dir(&self.quarantine)?;
                self.fs.rename(&path, &self.quarantine.join(index.file_name()))?;
                self.fs.sync_dir(&self.quarantine)?;
            } else {
                match self.fs.remove_file(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                    _ => {}
                }
            }
            self.segments.lock().remove(&index);
        }
        self.fs.sync_dir(&self.dir)
    }

    /// Leaves the read-only state if everything that waits in memory can be made durable now.
    /// Does nothing where the log is writable.
    ///
    /// # Errors
    /// [`WalError::ReadOnly`]: not yet.
    pub fn try_recover(&self) -> Result<(), WalError> {
        let mut state = self.state.lock();
        self.wait_for_writer(&mut state);
        if state.read_only.is_none() {
            return Ok(());
        }
        self.lead(&mut state, Writer::pin)?;
        state.read_only = None;
        tracing::info!("write-ahead log is writable again");
        Ok(())
    }

    /// Makes everything durable and refuses reservations from now on.
    ///
    /// # Errors
    /// [`WalError::ReadOnly`].
    pub fn close(&self) -> Result<(), WalError> {
        self.state.lock().closed = true;
        self.changed.notify_all();
        self.sync()
    }

    /// The sequence number that was given last; 0 where there was none.
    pub fn last_seq(&self) -> u64 {
        self.state.lock().next_seq - 1
    }

    /// Everything up to here is durable.
    pub fn durable_seq(&self) -> u64 {
        self.state.lock().durable_seq
    }

    /// Everything up to here was handed to the kernel.
    pub fn written_seq(&self) -> u64 {
        self.state.lock().written_seq
    }

    /// Why the log is read-only, if it is.
    pub fn read_only(&self) -> Option<Arc<str>> {
        self.state.lock().read_only.clone()
    }

    /// Length of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.segments.lock().values().map(|info| info.len).sum()
    }

    /// Bytes of records written since the start, a second time for those that were written again.
    pub fn bytes_written(&self) -> u64 {
        self.state.lock().bytes_written
    }

    /// Number of segments.
    pub fn num_segments(&self) -> usize {
        self.segments.lock().len()
    }

    fn wait_for_writer(&self, state: &mut MutexGuard<'_, State>) {
        while state.writer.is_none() {
            self.changed.wait(state);
        }
    }

    /// Writes for everybody: takes the writer out of `state`, hands it what is queued, runs `work`
    /// without the lock, and publishes what came of it. A failure makes the log read-only.
    fn lead<T>(
        &self,
        state: &mut MutexGuard<'_, State>,
        work: impl FnOnce(&mut Writer) -> io::Result<T>,
    ) -> Result<T, WalError> {
        let mut writer = state.writer.take().expect("the caller saw the writer under this lock");
        writer.push(&mut state.queue);
        state.queue_bytes = 0;
        state.writer_bytes = writer.pending_bytes();
        let result = MutexGuard::unlocked(state, || {
            let _abort = AbortOnPanic::new("the log was written");
            work(&mut writer)
        });
        // Where nothing is written the writer never learns how far the numbers got.
        if self.writes {
            state.written_seq = writer.written_seq();
            state.durable_seq = writer.durable_seq();
        }
        state.writer_bytes = writer.pending_bytes();
        state.bytes_written = writer.bytes_written();
        state.writer = Some(writer);
        let result = result.map_err(|error| {
            let reason: Arc<str> = Arc::from(error.to_string());
            if state.read_only.replace(Arc::clone(&reason)).is_none() {
                tracing::error!(%error, "write-ahead log is read-only");
            }
            WalError::ReadOnly(reason)
        });
        self.changed.notify_all();
        result
    }
}

impl State {
    fn check(&self) -> Result<(), WalError> {
        if self.closed {
            return Err(WalError::Closed);
        }
        self.check_writable()
    }

    fn check_writable(&self) -> Result<(), WalError> {
        match &self.read_only {
            Some(reason) => Err(WalError::ReadOnly(Arc::clone(reason))),
            None => Ok(()),
        }
    }
}

/// The segments in `dir`, which is made if need be. Other names are left alone.
fn list(
    fs: &dyn Fs,
    dir: &Path,
) -> Result<std::collections::BTreeMap<SegmentIndex, u64>, WalError> {
    let entries = fs.read_dir(dir).or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
        fs.create_dir(dir)?;
        if let Some(parent) = dir.parent() {
            fs.sync_dir(parent)?;
        }
        Ok(Vec::new())
    });
    let entries = entries.map_err(|source| WalError::io(dir, source))?;
    let segments = entries.into_iter().filter(|entry| !entry.is_dir);
    Ok(segments
        .filter_map(|entry| Some((SegmentIndex::from_file_name(&entry.name)?, entry.len)))
        .collect())
}
