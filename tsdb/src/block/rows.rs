//! The chunks of each series: where their values and times are, and what is known about them
//! without decoding.
//!
//! A page begins with the base time (zig-zag) and the base offset. An entry is a series: its length
//! in bytes, then a row per chunk until it ends. A row: a byte with the encoding in bits 0-2,
//! bit 3 values inline, bit 4 counter reset, bit 5 stale marker, bit 6 bounds given; column number
//! (zig-zag, less the row before or 0); number of samples; first time (zig-zag, less the row
//! before or the base); last time less the first; length of the values; then either the values
//! or their offset in the chunks file (zig-zag, less the end of the row before or the base); the bounds: a
//! byte with their lengths in its halves, and the bytes of minimum and maximum, the most significant
//! first, trailing zero bytes dropped.

use super::BlockError;
use super::pages::PageWriter;
use super::sealed::{CRC_LEN, SealedWriter};
use crate::chunk::{Encoding, MAX_SAMPLES, put_trimmed, trimmed};
use crate::encoding::varint::{Reader, put_bytes, put_i64, put_u64};

const PAGE_BYTES: usize = 1 << 10;
/// Values that short are in the row itself.
pub(crate) const MAX_INLINE: usize = 16;

const INLINE: u8 = 0x08;
const RESET: u8 = 0x10;
const STALE: u8 = 0x20;
const BOUNDS: u8 = 0x40;

/// Where the values of a chunk are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkPlace {
    /// In the row: the bytes and how many of them count.
    Inline([u8; MAX_INLINE], u8),
    /// In the chunks file.
    File {
        /// Offset in bytes.
        offset: u64,
        /// Length in bytes, without the checksum behind it.
        len: u32,
    },
}

/// A chunk of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChunkRow {
    /// Its time column.
    pub column: u32,
    /// How its values are encoded.
    pub encoding: Encoding,
    /// Number of samples.
    pub count: u32,
    /// First time, ms.
    pub mint: i64,
    /// Last time, ms, inclusive.
    pub maxt: i64,
    /// Least and greatest value, NaN left out; `None` where there is none or it was not kept
    /// (histograms, constants).
    pub bounds: Option<(f64, f64)>,
    /// Whether a value is less than the one before it in the chunk, stale markers left out.
    pub has_reset: bool,
    /// Whether there is a stale marker.
    pub has_stale: bool,
    /// Where the values are.
    pub place: ChunkPlace,
}

impl ChunkRow {
    /// Bytes of the encoded values.
    pub fn chunk_bytes(&self) -> u64 {
        match self.place {
            ChunkPlace::Inline(_, len) => u64::from(len),
            ChunkPlace::File { len, .. } => u64::from(len),
        }
    }
}

/// What the rows of a page are relative to.
#[derive(Debug, Clone, Copy, Default)]
struct Base {
    time: i64,
    offset: u64,
}

/// Writes rows.
#[derive(Debug)]
pub(crate) struct RowWriter {
    pages: PageWriter,
    base: Base,
    num_series: u64,
    entry: Vec<u8>,
}

impl RowWriter {
    pub(crate) fn new(file: &SealedWriter, kind: u32) -> Self {
        let pages = PageWriter::new(file, kind, PAGE_BYTES);
        Self { pages, base: Base::default(), num_series: 0, entry: Vec::new() }
    }

    /// Adds the chunks of the next series.
    pub(crate) fn add(
        &mut self,
        file: &mut SealedWriter,
        rows: &[ChunkRow],
    ) -> Result<(), BlockError> {
        let fresh = self.pages.in_page() == 0;
        if fresh {
            let offset = rows.iter().find_map(|row| match row.place {
                ChunkPlace::File { offset, .. } => Some(offset),
                ChunkPlace::Inline(..) => None,
            });
            let time = rows.first().map_or(0, |row| row.mint);
            self.base = Base { time, offset: offset.unwrap_or(self.base.offset) };
        }
        self.entry.clear();
        encode(rows, self.base, &mut self.entry);
        let (base, entry) = (self.base, &self.entry);
        self.pages.entry(file, self.num_series, &[], |page| {
            if fresh {
                put_i64(page, base.time);
                put_u64(page, base.offset);
            }
            put_bytes(page, entry);
        })?;
        self.num_series += 1;
        Ok(())
    }

    pub(crate) fn finish(self, file: &mut SealedWriter) -> Result<(), BlockError> {
        self.pages.finish(file)
    }
}

fn encode(rows: &[ChunkRow], base: Base, out: &mut Vec<u8>) {
    let (mut column, mut time, mut offset) = (0, base.time, base.offset);
    for row in rows {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        out.push(
            row.encoding.number()
                | flag(matches!(row.place, ChunkPlace::Inline(..)), INLINE)
                | flag(row.has_reset, RESET)
                | flag(row.has_stale, STALE)
                | flag(row.bounds.is_some(), BOUNDS),
        );
        put_i64(out, i64::from(row.column) - i64::from(column));
        put_u64(out, u64::from(row.count));
        put_i64(out, row.mint.wrapping_sub(time));
        put_u64(out, row.maxt.wrapping_sub(row.mint).cast_unsigned());
        (column, time) = (row.column, row.mint);
        put_u64(out, row.chunk_bytes());
        match row.place {
            ChunkPlace::Inline(bytes, len) => out.extend_from_slice(&bytes[..usize::from(len)]),
            ChunkPlace::File { offset: at, len } => {
                put_i64(out, at.wrapping_sub(offset).cast_signed());
                offset = at + u64::from(len) + CRC_LEN;
            }
        }
        if let Some((min, max)) = row.bounds {
            let head = out.len();
            out.push(0);
            let (low, high) = (put_trimmed(out, min), put_trimmed(out, max));
            out[head] = u8::try_from(low << 4 | high).expect("lengths are at most eight");
        }
    }
}

/// Finds the entries of a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowCursor {
    base: Base,
    /// The next series and where its entry begins.
    next: u64,
    at: usize,
}

impl RowCursor {
    /// At the first entry of a page, which is that of series `first`.
    pub(crate) fn new(page: &[u8], first: u64) -> Option<Self> {
        let mut r = Reader::new(page);
        let base = Base { time: r.i64()?, offset: r.u64()? };
        Some(Self { base, next: first, at: page.len() - r.rest().len() })
    }

    /// Whether `series` is not behind the cursor.
    pub(crate) const fn can_reach(&self, series: u64) -> bool {
        series >= self.next
    }

    /// Moves to `series` and past it, and appends its rows.
    pub(crate) fn read(
        &mut self,
        page: &[u8],
        series: u64,
        rows: &mut Vec<ChunkRow>,
    ) -> Option<()> {
        loop {
            let mut r = Reader::new(page.get(self.at..)?);
            let entry = r.bytes()?;
            self.at = page.len() - r.rest().len();
            self.next += 1;
            if self.next > series {
                return decode(entry, self.base, rows);
            }
        }
    }
}

fn decode(entry: &[u8], base: Base, rows: &mut Vec<ChunkRow>) -> Option<()> {
    let mut r = Reader::new(entry);
    let (mut column, mut time, mut offset) = (0_i64, base.time, base.offset);
    while !r.is_empty() {
        let head = r.u8()?;
        let encoding = Encoding::from_number(head & 7)?;
        column = column.checked_add(r.i64()?)?;
        let count = u32::try_from(r.u64()?).ok()?;
        let mint = time.wrapping_add(r.i64()?);
        let maxt = mint.wrapping_add(r.u64()?.cast_signed());
        let len = r.u64()?;
        time = mint;
        let place = if head & INLINE != 0 {
            let bytes = r.take(usize::try_from(len).ok()?)?;
            let mut inline = [0; MAX_INLINE];
            inline.get_mut(..bytes.len())?.copy_from_slice(bytes);
            ChunkPlace::Inline(inline, u8::try_from(len).ok()?)
        } else {
            let at = offset.wrapping_add(r.i64()?.cast_unsigned());
            let len = u32::try_from(len).ok()?;
            offset = at.checked_add(u64::from(len) + CRC_LEN)?;
            ChunkPlace::File { offset: at, len }
        };
        let bounds = if head & BOUNDS == 0 {
            None
        } else {
            let lens = r.u8()?;
            let min = trimmed(r.take(usize::from(lens >> 4))?)?;
            Some((min, trimmed(r.take(usize::from(lens & 15))?)?))
        };
        if count == 0 || count as usize > MAX_SAMPLES || mint > maxt {
            return None;
        }
        rows.push(ChunkRow {
            column: u32::try_from(column).ok()?,
            encoding,
            count,
            mint,
            maxt,
            bounds,
            has_reset: head & RESET != 0,
            has_stale: head & STALE != 0,
            place,
        });
    }
    Some(())
}
