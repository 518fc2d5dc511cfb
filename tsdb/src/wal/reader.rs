//! Reads segments: one cursor a segment, merged by sequence number.
//!
//! Damage costs what it covers: a cursor searches for the next frame that is whole. Segments of
//! one run may overlap, because records whose sync failed are logged again (reliability contract
//! R4); those of a later run replace what they overlap, because the later run has decided what it
//! recovered.

#![deny(clippy::indexing_slicing)]

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::WalError;
use super::segment::{
    FRAME_BYTES, FRAME_MAGIC, FrameHeader, HEADER_BYTES, HeaderError, MAX_PAYLOAD_BYTES,
    SegmentHeader, SegmentIndex,
};
use crate::fs::{Fs, FsRead};

/// Bytes read at a time.
const WINDOW_BYTES: u64 = 256 << 10;
/// What a bad sector is taken to cost.
const SECTOR_BYTES: u64 = 4096;

/// A region of a segment that holds no whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) segment: SegmentIndex,
    pub(super) offset: u64,
    pub(super) len: u64,
    /// Reaches the end of the segment: what a crash leaves behind.
    pub(super) torn: bool,
}

/// Reads one segment from its start.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    pub(super) index: SegmentIndex,
    pub(super) file: Arc<dyn FsRead>,
    header: Option<SegmentHeader>,
    run: Option<u32>,
    /// Where the next frame is expected.
    at: u64,
    last_seq: u64,
    /// Frames from this sequence number on are replaced by a later run.
    limit: u64,
    /// The frame under the cursor and where it stands.
    head: Option<(FrameHeader, u64)>,
    window: Vec<u8>,
    window_at: u64,
    damage: Vec<Damage>,
}

impl Cursor {
    /// Opens a segment and steps to its first frame.
    ///
    /// # Errors
    /// [`WalError::NewerFormat`], or the file cannot be opened.
    pub(super) fn open(fs: &dyn Fs, dir: &Path, index: SegmentIndex) -> Result<Self, WalError> {
        let path = dir.join(index.file_name());
        let file = fs.open_scan(&path).map_err(|source| WalError::io(&path, source))?;
        let mut cursor = Self {
            index,
            file,
            header: None,
            run: None,
            at: 0,
            last_seq: 0,
            limit: u64::MAX,
            head: None,
            window: Vec::new(),
            window_at: 0,
            damage: Vec::new(),
        };
        let header_len = cursor.file.len().min(HEADER_BYTES as u64);
        match cursor.bytes(0, header_len).map(SegmentHeader::decode) {
            Ok(Ok(header)) if header.segment == index => {
                cursor.header = Some(header);
                cursor.run = Some(header.run);
                cursor.last_seq = header.first_seq.saturating_sub(1);
                cursor.at = header_len;
            }
            Ok(Err(HeaderError::Newer(version))) => {
                return Err(WalError::NewerFormat { path, version });
            }
            // Everything up to the first whole frame is one damaged region; that frame names
            // the run.
            Ok(_) | Err(_) => {}
        }
        cursor.advance();
        Ok(cursor)
    }

    /// The first sequence number of the segment, where it is known.
    pub(super) fn first_seq(&self) -> Option<u64> {
        self.header.map(|h| h.first_seq).or_else(|| self.head.map(|(frame, _)| frame.seq))
    }

    /// What the segment's header says, where it is whole: records before this were durable.
    pub(super) fn header_seq(&self) -> Option<u64> {
        self.header.map(|header| header.first_seq)
    }

    /// The run that wrote the segment, where it is known.
    pub(super) const fn run(&self) -> Option<u32> {
        self.run
    }

    /// Steps to the next whole frame.
    fn advance(&mut self) {
        self.head = None;
        if self.at >= self.file.len() {
            return;
        }
        let start = self.at;
        let mut at = Some(start);
        while let Some(candidate) = at {
            if let Some(frame) = self.frame_at(candidate) {
                if candidate > start {
                    self.damaged(start, candidate - start, false);
                }
                self.at = candidate + FRAME_BYTES as u64 + u64::from(frame.payload_len);
                self.last_seq = frame.seq;
                self.run = Some(frame.run);
                self.head = (frame.seq < self.limit).then_some((frame, candidate));
                return;
            }
            at = self.find_magic(candidate + 1);
        }
        self.at = self.file.len();
        self.damaged(start, self.at - start, true);
    }

    fn damaged(&mut self, offset: u64, len: u64, torn: bool) {
        self.damage.push(Damage { segment: self.index, offset, len, torn });
    }

    /// The frame at `at`, if there is a whole one.
    fn frame_at(&mut self, at: u64) -> Option<FrameHeader> {
        let rest = self.file.len().checked_sub(at)?.checked_sub(FRAME_BYTES as u64)?;
        let frame = FrameHeader::decode(self.bytes(at, FRAME_BYTES as u64).ok()?)?;
        let len = u64::from(frame.payload_len);
        let plausible = frame.segment == self.index
            && self.run.is_none_or(|run| run == frame.run)
            && frame.seq > self.last_seq
            && len <= rest.min(MAX_PAYLOAD_BYTES as u64);
        let payload_at = at + FRAME_BYTES as u64;
        (plausible && frame.covers(self.bytes(payload_at, len).ok()?)).then_some(frame)
    }

    /// The first place at or behind `at` where a frame may begin. Unreadable sectors are skipped.
    fn find_magic(&mut self, mut at: u64) -> Option<u64> {
        const OVERLAP: u64 = FRAME_MAGIC.len() as u64 - 1;
        while self.file.len().saturating_sub(at) > OVERLAP {
            let sector = SECTOR_BYTES - at % SECTOR_BYTES;
            let n = (sector + OVERLAP).min(self.file.len() - at);
            match self.bytes(at, n) {
                Ok(bytes) => {
                    let found = bytes.windows(FRAME_MAGIC.len()).position(|w| w == FRAME_MAGIC);
                    if let Some(found) = found {
                        return Some(at + found as u64);
                    }
                    at += n - OVERLAP;
                }
                Err(_) => at += sector,
            }
        }
        None
    }

    /// `len` bytes at `at`, which must be inside the file.
    fn bytes(&mut self, at: u64, len: u64) -> io::Result<&[u8]> {
        let inside = at.checked_sub(self.window_at).filter(|skip| {
            skip.checked_add(len).is_some_and(|end| end <= self.window.len() as u64)
        });
        let skip = if let Some(skip) = inside {
            skip
        } else {
            let ahead = len.max(WINDOW_BYTES).min(self.file.len() - at);
            // A bad sector ahead must not cost what is before it.
            let read = self.file.bytes(at, ahead).or_else(|_| self.file.bytes(at, len));
            self.window.clear();
            self.window.extend_from_slice(&read?);
            self.window_at = at;
            0
        };
        let skip = usize::try_from(skip).expect("inside the window");
        let len = usize::try_from(len).expect("inside the window");
        // A disk may give less than it was asked for.
        let inside = self.window.get(skip..).and_then(|rest| rest.get(..len));
        inside.ok_or(io::ErrorKind::UnexpectedEof.into())
    }
}

/// A record as it stands in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) frame: FrameHeader,
    pub(super) segment: SegmentIndex,
    /// Where the frame begins.
    pub(super) offset: u64,
}

/// The records of several segments in the order of their sequence numbers, each once.
#[derive(Debug, Clone)]
pub(super) struct Merge {
    /// Segments whose records come later than everything under `active`.
    waiting: VecDeque<Cursor>,
    active: Vec<Cursor>,
    finished: Vec<Damage>,
}

impl Merge {
    /// Over `cursors`, which are in segment order.
    pub(super) fn new(mut cursors: Vec<Cursor>) -> Self {
        // A later run replaces what it overlaps. `first` is the smallest first sequence number of
        // the runs behind the one at hand, `of_run` that of the run at hand.
        let (mut first, mut of_run, mut run) = (u64::MAX, u64::MAX, None);
        for cursor in cursors.iter_mut().rev() {
            let Some(first_seq) = cursor.first_seq() else { continue };
            if cursor.run != run {
                first = first.min(of_run);
                (of_run, run) = (u64::MAX, cursor.run);
            }
            of_run = of_run.min(first_seq);
            cursor.limit = first;
            // Read again when its turn comes.
            cursor.window = Vec::new();
            if cursor.head.is_some_and(|(frame, _)| frame.seq >= first) {
                cursor.head = None;
            }
        }
        Self { waiting: cursors.into(), active: Vec::new(), finished: Vec::new() }
    }

    /// The next record. `payload` receives its bytes.
    pub(super) fn next(&mut self, payload: &mut Vec<u8>) -> Option<Entry> {
        loop {
            let min = self.active.iter().filter_map(|c| c.head).map(|(f, _)| f.seq).min();
            if let Some(next) = self.waiting.front()
                && min.is_none_or(|min| next.first_seq().is_none_or(|first| first <= min))
            {
                self.retire();
                self.active.extend(self.waiting.pop_front());
                continue;
            }
            let min = min?;
            let mut entry = None;
            for cursor in &mut self.active {
                let Some((frame, offset)) = cursor.head.filter(|(f, _)| f.seq == min) else {
                    continue;
                };
                let len = u64::from(frame.payload_len);
                let segment = cursor.index;
                // It was read and checked a moment ago; if that fails now, it is gone.
                if let Ok(bytes) = cursor.bytes(offset + FRAME_BYTES as u64, len) {
                    payload.clear();
                    payload.extend_from_slice(bytes);
                    entry = Some(Entry { frame, segment, offset });
                }
                cursor.advance();
            }
            if entry.is_some() {
                return entry;
            }
        }
    }

    /// Lets go of the segments that have been read to their end.
    fn retire(&mut self) {
        for mut cursor in self.active.extract_if(.., |c| c.head.is_none()) {
            self.finished.append(&mut cursor.damage);
        }
    }

    /// The damage that has been passed, once nothing is left to read.
    pub(super) fn into_damage(mut self) -> Vec<Damage> {
        for cursor in self.active.iter_mut().chain(&mut self.waiting) {
            self.finished.append(&mut cursor.damage);
        }
        self.finished.sort_by_key(|d| (d.segment, d.offset));
        self.finished
    }

    /// Whether everything up to `seq` was durable once: a record still to come says so, or a
    /// later run than that of `entry` has settled what it found.
    pub(super) fn attests(&self, entry: &Entry, seq: u64) -> bool {
        let later_run =
            |c: &Cursor| c.index > entry.segment && c.run.is_some_and(|run| run != entry.frame.run);
        if self.active.iter().chain(&self.waiting).any(later_run) {
            return true;
        }
        let (mut ahead, mut payload) = (self.clone(), Vec::new());
        while let Some(entry) = ahead.next(&mut payload) {
            if entry.frame.durable_before() >= seq {
                return true;
            }
        }
        false
    }
}
