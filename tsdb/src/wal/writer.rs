//! Writes segments. One thread at a time has the writer; it keeps every record in memory until it
//! is durable, so that a segment that failed can be left behind (reliability contract R3, R4).

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::segment::{FRAME_BYTES, FrameHeader, HEADER_BYTES, SegmentHeader, SegmentIndex};
use super::{Position, WalMode};
use crate::encoding::crc;
use crate::fs::{Fs, FsFile};
use crate::sabotage::{self, Sabotage};

/// Bytes of one append at most, a bigger record excepted.
const APPEND_BYTES: usize = 4 << 20;

/// A record on its way to the disk.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) seq: u64,
    payload: Vec<u8>,
    payload_crc: u32,
}

impl Pending {
    /// The record; its sequence number is still to be set.
    pub(super) fn new(payload: Vec<u8>) -> Self {
        let payload_crc = crc(&payload);
        Self { seq: 0, payload, payload_crc }
    }

    /// Bytes that it takes in a segment, and about as many in memory.
    pub(super) fn bytes(&self) -> usize {
        FRAME_BYTES + self.payload.len()
    }
}

/// A segment on disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentInfo {
    pub(super) len: u64,
    /// Has damage that could not be copied, so it must outlive the log.
    pub(super) keep: bool,
}

/// The segments on disk, shared with those who only want their sizes.
pub(super) type Segments = Arc<Mutex<BTreeMap<SegmentIndex, SegmentInfo>>>;

#[derive(Debug)]
struct Open {
    index: SegmentIndex,
    file: Box<dyn FsFile>,
    /// Whether the file's name is durable.
    named: bool,
    has_records: bool,
    /// Whether older segments hold its records too, as far as anybody was told of them.
    copies: bool,
}

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) dir: PathBuf,
    pub(super) mode: WalMode,
    pub(super) run: u32,
    pub(super) segment_bytes: u64,
    pub(super) max_unsynced_bytes: usize,
    pub(super) segments: Segments,
    current: Option<Open>,
    next_index: SegmentIndex,
    /// Records that are not durable, in order; the first `written` are in the current segment.
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    written: usize,
    /// A segment failed, and what it left unsynced is not durable yet.
    relogging: bool,
    durable_seq: u64,
    written_seq: u64,
    bytes_written: u64,
    buffer: Vec<u8>,
}

/// What [`Writer::new`] needs; the names say it.
#[derive(Debug)]
pub(super) struct WriterOptions {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) dir: PathBuf,
    pub(super) mode: WalMode,
    pub(super) run: u32,
    pub(super) segment_bytes: u64,
    pub(super) max_unsynced_bytes: usize,
    pub(super) segments: Segments,
    pub(super) next_index: SegmentIndex,
    pub(super) last_seq: u64,
}

impl Writer {
    pub(super) fn new(options: WriterOptions) -> Self {
        let WriterOptions { fs, dir, mode, run, segment_bytes, .. } = options;
        Self {
            fs,
            dir,
            mode,
            run,
            segment_bytes,
            max_unsynced_bytes: options.max_unsynced_bytes,
            segments: options.segments,
            current: None,
            next_index: options.next_index,
            pending: VecDeque::new(),
            pending_bytes: 0,
            written: 0,
            relogging: false,
            durable_seq: options.last_seq,
            written_seq: options.last_seq,
            bytes_written: 0,
            buffer: Vec::new(),
        }
    }

    /// The last record that is durable.
    pub(super) const fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    /// The last record that was handed to the kernel.
    pub(super) const fn written_seq(&self) -> u64 {
        self.written_seq
    }

    /// Bytes appended to segments, a second time for those that were written again.
    pub(super) const fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// Bytes of the records that are held in memory.
    pub(super) const fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Takes over records, in order.
    pub(super) fn push(&mut self, records: &mut VecDeque<Pending>) {
        self.pending_bytes += records.iter().map(Pending::bytes).sum::<usize>();
        self.pending.append(records);
    }

    /// Writes all records and, if `sync` or too much is unsynced, makes them durable. A segment
    /// that fails is left behind and everything that is not durable is written to a new one.
    ///
    /// # Errors
    /// The new one failed too. The records are kept, and the next call tries them again.
    pub(super) fn flush(&mut self, sync: bool) -> io::Result<()> {
        let Err(error) = self.try_flush(sync) else { return Ok(()) };
        tracing::warn!(%error, pending = self.pending.len(),
            "log segment failed; writing its unsynced records to a new one");
        self.try_flush(true)
    }

    /// Makes sure that there is a segment, durably: it fixes what the replay before it decided.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn pin(&mut self) -> io::Result<()> {
        self.try_flush(true)
            .and_then(|()| self.ensure_segment())
            .and_then(|()| self.sync_current())
            .inspect_err(|_| self.abandon())
    }

    /// Makes everything durable and lets the next record begin a segment.
    ///
    /// # Errors
    /// As [`Writer::flush`].
    pub(super) fn cut(&mut self) -> io::Result<Position> {
        self.flush(true)?;
        if self.current.as_ref().is_some_and(|open| open.has_records) {
            self.current = None;
        }
        let segment = self.current.as_ref().map_or(self.next_index, |open| open.index);
        Ok(Position { segment, seq: self.durable_seq + 1 })
    }

    fn try_flush(&mut self, sync: bool) -> io::Result<()> {
        let result = self.write_pending().and_then(|()| {
            if sync || self.pending_bytes > self.max_unsynced_bytes {
                self.sync_current()
            } else {
                Ok(())
            }
        });
        if result.is_err() {
            if !sabotage::is(Sabotage::FragmentKept) {
                self.abandon();
            }
        } else if self.relogging && self.written == 0 {
            self.relogging = false;
            if let Some(open) = &mut self.current {
                open.copies = false;
            }
        }
        result
    }

    fn write_pending(&mut self) -> io::Result<()> {
        while let Some(next) = self.pending.get(self.written) {
            let bytes = next.bytes() as u64;
            if let Some(open) = &self.current
                && open.has_records
                && open.file.len() + bytes > self.segment_bytes
            {
                // Synced before the next segment gets a record, so that no hole can form.
                self.sync_current()?;
                self.current = None;
            }
            self.ensure_segment()?;
            self.append_some()?;
        }
        Ok(())
    }

    /// Appends the records that fit the segment and one write, at least one.
    fn append_some(&mut self) -> io::Result<()> {
        let open = self.current.as_mut().expect("the caller made a segment");
        self.buffer.clear();
        let mut taken = 0;
        for record in self.pending.iter().skip(self.written) {
            let end = self.buffer.len() + record.bytes();
            let full = end > APPEND_BYTES || open.file.len() + end as u64 > self.segment_bytes;
            if taken > 0 && full {
                break;
            }
            let unsynced = record.seq - 1 - self.durable_seq;
            let frame = FrameHeader::new(
                (open.index, self.run, self.mode),
                (record.seq, u32::try_from(unsynced).unwrap_or(u32::MAX)),
                (
                    u32::try_from(record.payload.len()).expect("limited when enqueued"),
                    record.payload_crc,
                ),
            );
            self.buffer.extend_from_slice(&frame.encode());
            self.buffer.extend_from_slice(&record.payload);
            taken += 1;
        }
        let good_len = open.file.len();
        if let Err(error) = open.file.append(&self.buffer) {
            // Frees the space and leaves no fragment; if it fails, the reader skips the fragment.
            if !sabotage::is(Sabotage::FragmentKept) {
                let _ = open.file.truncate(good_len);
            }
            return Err(error);
        }
        self.bytes_written += self.buffer.len() as u64;
        open.has_records = true;
        self.written += taken;
        // A segment of copies goes again if it fails, and then what it alone holds is not written.
        if !open.copies {
            let last = self.pending.get(self.written - 1).expect("one record was written");
            self.written_seq = self.written_seq.max(last.seq);
        }
        let len = open.file.len();
        self.segments.lock().insert(open.index, SegmentInfo { len, keep: false });
        if self.buffer.capacity() > 2 * APPEND_BYTES {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Makes what is in the current segment durable.
    fn sync_current(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.current else { return Ok(()) };
        if self.written == 0 && open.named {
            return Ok(());
        }
        if !sabotage::is(Sabotage::NoWalSync) {
            open.file.sync()?;
        }
        if !open.named {
            self.fs.sync_dir(&self.dir)?;
            open.named = true;
        }
        for record in self.pending.drain(..self.written) {
            self.durable_seq = record.seq;
            self.pending_bytes -= record.bytes();
        }
        self.written = 0;
        self.written_seq = self.written_seq.max(self.durable_seq);
        Ok(())
    }

    fn ensure_segment(&mut self) -> io::Result<()> {
        if self.current.is_some() {
            return Ok(());
        }
        let index = self.next_index;
        let mut file = self.fs.create(&self.dir.join(index.file_name()))?;
        self.next_index = index.next();
        let header = SegmentHeader {
            mode: self.mode,
            segment: index,
            run: self.run,
            first_seq: self.durable_seq + 1,
        };
        let written = file.append(&header.encode());
        self.current =
            Some(Open { index, file, named: false, has_records: false, copies: self.relogging });
        let info = SegmentInfo { len: HEADER_BYTES as u64, keep: false };
        self.segments.lock().insert(index, info);
        written
    }

    /// Never touches the current segment again: after a failed sync its descriptor is not to be
    /// trusted. Everything that is not durable is to be written again.
    fn abandon(&mut self) {
        self.relogging |= self.written > 0;
        self.written = 0;
        // A file that holds nothing of its own goes, so that attempts on a full disk leave no
        // files behind.
        if let Some(open) = self.current.take()
            && !open.named
            && (open.copies || !open.has_records)
            && self.fs.remove_file(&self.dir.join(open.index.file_name())).is_ok()
        {
            self.segments.lock().remove(&open.index);
        }
    }
}
