#![doc = include_str!("../docs/format/checkpoint.md")]
#![deny(clippy::indexing_slicing)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::ColumnId;

use crate::chunk::gorilla::SealedChunk;
use crate::encoding::varint::{Reader, put_bytes, put_i64, put_u64};
use crate::encoding::{crc, crc_append};
use crate::fs::{Fs, FsFile};
use crate::head::restore::ChunkState;
use crate::wal::record::{Record, SeriesRef};

const MAGIC: &[u8; 4] = b"SBCK";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 25;
const FRAME_HEADER_BYTES: usize = 9;
const MAX_FRAME: u32 = 64 << 20;
/// A frame is closed when it is this long.
const FRAME_TARGET: usize = 256 << 10;

const RECORD: u8 = 1;
const CHUNKS: u8 = 2;
const END: u8 = 255;

/// The file of the checkpoint at `segment`.
pub fn path(wal_dir: &Path, segment: u64) -> PathBuf {
    wal_dir.join(format!("{segment:010}.ckpt"))
}

/// Whether a file of this name is a checkpoint, finished or not.
pub fn is_one(name: &str) -> bool {
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    name.strip_suffix(".ckpt").is_some_and(|n| n.parse::<u64>().is_ok())
}

/// Writes a checkpoint; nothing is published until [`CheckpointWriter::finish`].
#[derive(Debug)]
pub struct CheckpointWriter<'a> {
    fs: &'a dyn Fs,
    dir: &'a Path,
    segment: u64,
    file: Box<dyn FsFile>,
    chunks: Vec<u8>,
    num_series: u64,
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
        Ok(Self { fs, dir, segment, file, chunks: Vec::new(), num_series: 0 })
    }

    /// Writes a record: definitions, late samples, histograms, metadata, databases.
    ///
    /// # Errors
    /// What the file system says.
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
        self.num_series += record.series.len() as u64;
        let mut payload = Vec::new();
        record.encode(&mut payload);
        self.frame(RECORD, &payload)
    }

    /// Writes the chunks of a series that an earlier record defined.
    ///
    /// # Errors
    /// What the file system says.
    pub fn chunks(&mut self, state: &ChunkState) -> io::Result<()> {
        let out = &mut self.chunks;
        put_u64(out, state.id.0);
        put_i64(out, state.logged_t);
        put_i64(out, state.late_t);
        out.push(u8::from(state.logged.is_some()));
        if let Some(bits) = state.logged {
            out.extend_from_slice(&bits.to_le_bytes());
        }
        put_u64(out, state.chunks.len() as u64);
        for chunk in &state.chunks {
            put_i64(out, chunk.mint);
            put_i64(out, chunk.maxt);
            put_u64(out, u64::from(chunk.count));
            out.extend_from_slice(&chunk.column.0.to_le_bytes());
            put_bytes(out, &chunk.times);
            put_bytes(out, &chunk.values);
        }
        if self.chunks.len() >= FRAME_TARGET { self.flush_chunks() } else { Ok(()) }
    }

    fn flush_chunks(&mut self) -> io::Result<()> {
        let payload = std::mem::take(&mut self.chunks);
        if payload.is_empty() { Ok(()) } else { self.frame(CHUNKS, &payload) }
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
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
        self.flush_chunks()?;
        let mut end = Vec::new();
        put_u64(&mut end, self.num_series);
        self.frame(END, &end)?;
        self.file.sync()?;
        self.fs.rename(&tmp_path(self.dir, self.segment), &path(self.dir, self.segment))?;
        self.fs.sync_dir(self.dir)?;
        Ok(self.file.len())
    }
}

fn tmp_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("{segment:010}.ckpt.tmp"))
}

/// A part of a checkpoint.
#[derive(Debug)]
pub enum Part {
    /// A record to replay.
    Record(Record),
    /// Chunks of a defined series.
    Chunks(ChunkState),
}

/// What reading a checkpoint found besides its parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckpointReport {
    /// Sequence number of the newest record that it covers.
    pub seq: u64,
    /// Frames that were damaged and skipped.
    pub damaged_frames: u64,
    /// Whether the end is missing.
    pub truncated: bool,
}

/// Reads the checkpoint at `segment` and hands its parts to `visit`, each with the sequence number
/// of the newest record that the checkpoint covers. Damaged frames are skipped and counted.
///
/// # Errors
/// What the file system says; `InvalidData` where the header is not that of this checkpoint.
pub fn read(
    fs: &dyn Fs,
    dir: &Path,
    segment: u64,
    mut visit: impl FnMut(u64, Part),
) -> io::Result<CheckpointReport> {
    let file = fs.open_scan(&path(dir, segment))?;
    let header = file.bytes(0, HEADER_BYTES as u64)?;
    let seq = parse_header(&header, segment)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "bad checkpoint header"))?;
    let mut report = CheckpointReport { seq, damaged_frames: 0, truncated: true };
    let mut at = HEADER_BYTES as u64;
    while at + FRAME_HEADER_BYTES as u64 <= file.len() {
        let head = file.bytes(at, FRAME_HEADER_BYTES as u64)?;
        let mut r = Reader::new(&head);
        let (Some(len), Some(sum), Some(kind)) = (r.u32_le(), r.u32_le(), r.u8()) else { break };
        at += FRAME_HEADER_BYTES as u64;
        if len > MAX_FRAME || u64::from(len) > file.len() - at {
            // The length itself is damaged: nothing behind it can be found.
            report.damaged_frames += 1;
            break;
        }
        let payload = file.bytes(at, u64::from(len))?;
        at += u64::from(len);
        if crc_append(crc_append(crc(&len.to_le_bytes()), &[kind]), &payload) != sum
            || parse_frame(kind, &payload, &mut |part| visit(seq, part)).is_none()
        {
            report.damaged_frames += 1;
        } else if kind == END {
            report.truncated = false;
            break;
        }
    }
    Ok(report)
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

fn parse_frame(kind: u8, payload: &[u8], visit: &mut impl FnMut(Part)) -> Option<()> {
    match kind {
        RECORD => visit(Part::Record(Record::decode(payload).ok()?)),
        CHUNKS => {
            let mut r = Reader::new(payload);
            while !r.is_empty() {
                visit(Part::Chunks(parse_chunks(&mut r)?));
            }
        }
        END => {}
        _ => return None,
    }
    Some(())
}

fn parse_chunks(r: &mut Reader<'_>) -> Option<ChunkState> {
    let id = SeriesRef(r.u64()?);
    let (logged_t, late_t) = (r.i64()?, r.i64()?);
    let logged = match r.u8()? {
        0 => None,
        1 => Some(r.u64_le()?),
        _ => return None,
    };
    let mut chunks = Vec::new();
    for _ in 0..r.u64()? {
        let (mint, maxt) = (r.i64()?, r.i64()?);
        let count = u16::try_from(r.u64()?).ok()?;
        let column = ColumnId(u128::from_le_bytes(r.take(16)?.try_into().ok()?));
        let (times, values) = (r.bytes()?.into(), r.bytes()?.into());
        chunks.push(Arc::new(SealedChunk { mint, maxt, count, column, times, values }));
    }
    Some(ChunkState { id, logged_t, late_t, logged, chunks })
}

#[cfg(test)]
mod tests;
