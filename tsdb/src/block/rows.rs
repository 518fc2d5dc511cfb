//! The chunks of each series: where their values and times are, and what is known about them
//! without decoding.
//!
//! A page begins with the base offset. An entry is a series: its length in bytes, then a row per
//! chunk until it ends. A row: a byte with the encoding in bits 0-2, bit 3 values inline, bit 4 counter
//! reset, bit 5 stale marker, bit 6 bounds given, bit 7 values elsewhere than behind those of the row before;
//! column number (zig-zag, less the row before or 0); length of the values; then the values, or with bit 7
//! their offset in the chunks file (zig-zag, less the end of the row before or the base); the
//! bounds: the 24 most significant bits of a double each, little-endian, rounded away from the values
//! between them. Number and times of the samples are those of the column.

use super::BlockError;
use super::columns::Column;
use super::pages::PageWriter;
use super::sealed::{CRC_LEN, SealedWriter};
use crate::chunk::Encoding;
use crate::encoding::varint::{Reader, put_bytes, put_i64, put_u64};

const PAGE_BYTES: usize = 1 << 10;
/// Values that short are in the row itself.
pub(crate) const MAX_INLINE: usize = 16;

const INLINE: u8 = 0x08;
const RESET: u8 = 0x10;
const STALE: u8 = 0x20;
const BOUNDS: u8 = 0x40;
const ELSEWHERE: u8 = 0x80;
/// Low bits that bounds do not keep.
const LOW_BITS: u32 = 40;

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
    /// Bounds of the values, NaN left out: none is less than the first or greater than the second, and they are near
    /// the least and greatest (one part in 4096). `None` where there is none or it was not kept (histograms, constants).
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

/// Writes rows.
#[derive(Debug)]
pub(crate) struct RowWriter {
    pages: PageWriter,
    base: u64,
    num_series: u64,
    entry: Vec<u8>,
}

impl RowWriter {
    pub(crate) fn new(file: &SealedWriter, kind: u32) -> Self {
        let pages = PageWriter::new(file, kind, PAGE_BYTES);
        Self { pages, base: 0, num_series: 0, entry: Vec::new() }
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
            self.base = offset.unwrap_or(self.base);
        }
        self.entry.clear();
        encode(rows, self.base, &mut self.entry);
        let (base, entry) = (self.base, &self.entry);
        self.pages.entry(file, self.num_series, &[], |page| {
            if fresh {
                put_u64(page, base);
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

fn encode(rows: &[ChunkRow], base: u64, out: &mut Vec<u8>) {
    let (mut column, mut end) = (0, base);
    for row in rows {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        let elsewhere = match row.place {
            ChunkPlace::File { offset, .. } if offset != end => Some(offset),
            _ => None,
        };
        out.push(
            row.encoding.number()
                | flag(matches!(row.place, ChunkPlace::Inline(..)), INLINE)
                | flag(row.has_reset, RESET)
                | flag(row.has_stale, STALE)
                | flag(row.bounds.is_some(), BOUNDS)
                | flag(elsewhere.is_some(), ELSEWHERE),
        );
        put_i64(out, i64::from(row.column) - i64::from(column));
        column = row.column;
        put_u64(out, row.chunk_bytes());
        if let Some(offset) = elsewhere {
            put_i64(out, offset.wrapping_sub(end).cast_signed());
        }
        match row.place {
            ChunkPlace::Inline(bytes, len) => out.extend_from_slice(&bytes[..usize::from(len)]),
            ChunkPlace::File { offset, len } => end = offset + u64::from(len) + CRC_LEN,
        }
        if let Some((min, max)) = row.bounds {
            for bits in [below(min), below(-max)] {
                out.extend_from_slice(&bits.to_le_bytes()[..BOUND_BYTES]);
            }
        }
    }
}

/// Bytes of a bound.
const BOUND_BYTES: usize = 3;

/// The high bits of a double that is not above `v`, which is no NaN, and near it.
fn below(v: f64) -> u64 {
    let (high, low) = (v.to_bits() >> LOW_BITS, v.to_bits() << (64 - LOW_BITS));
    // Without its low bits a number is nearer to zero.
    high + u64::from(v.is_sign_negative() && low != 0)
}

/// The bound that [`below`] made the bits of.
fn bound(bytes: &[u8]) -> Option<f64> {
    let mut bits = [0; 8];
    bits.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(f64::from_bits(u64::from_le_bytes(bits) << LOW_BITS)).filter(|v| !v.is_nan())
}

/// Finds the entries of a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowCursor {
    base: u64,
    /// The next series and where its entry begins.
    next: u64,
    at: usize,
}

impl RowCursor {
    /// At the first entry of a page, which is that of series `first`.
    pub(crate) fn new(page: &[u8], first: u64) -> Option<Self> {
        let mut r = Reader::new(page);
        let base = r.u64()?;
        Some(Self { base, next: first, at: page.len() - r.rest().len() })
    }

    /// Whether `series` is not behind the cursor.
    pub(crate) const fn can_reach(&self, series: u64) -> bool {
        series >= self.next
    }

    /// Moves to `series` and past it, and appends its rows, whose columns `column` knows.
    pub(crate) fn read(
        &mut self,
        page: &[u8],
        series: u64,
        column: &mut dyn FnMut(u32) -> Option<Column>,
        rows: &mut Vec<ChunkRow>,
    ) -> Option<()> {
        loop {
            let mut r = Reader::new(page.get(self.at..)?);
            let entry = r.bytes()?;
            self.at = page.len() - r.rest().len();
            self.next += 1;
            if self.next > series {
                return decode(entry, self.base, column, rows);
            }
        }
    }
}

fn decode(
    entry: &[u8],
    base: u64,
    find: &mut dyn FnMut(u32) -> Option<Column>,
    rows: &mut Vec<ChunkRow>,
) -> Option<()> {
    let mut r = Reader::new(entry);
    let (mut column, mut end) = (0_i64, base);
    while !r.is_empty() {
        let head = r.u8()?;
        let encoding = Encoding::from_number(head & 7)?;
        column = column.checked_add(r.i64()?)?;
        let number = u32::try_from(column).ok()?;
        let Column { count, mint, maxt, .. } = find(number)?;
        let len = r.u64()?;
        let mut at = end;
        if head & ELSEWHERE != 0 {
            at = at.wrapping_add(r.i64()?.cast_unsigned());
        }
        let place = if head & INLINE != 0 {
            let bytes = r.take(usize::try_from(len).ok()?)?;
            let mut inline = [0; MAX_INLINE];
            inline.get_mut(..bytes.len())?.copy_from_slice(bytes);
            ChunkPlace::Inline(inline, u8::try_from(len).ok()?)
        } else {
            let len = u32::try_from(len).ok()?;
            end = at.checked_add(u64::from(len) + CRC_LEN)?;
            ChunkPlace::File { offset: at, len }
        };
        let bounds = if head & BOUNDS == 0 {
            None
        } else {
            Some((bound(r.take(BOUND_BYTES)?)?, -bound(r.take(BOUND_BYTES)?)?))
        };
        rows.push(ChunkRow {
            column: number,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::tests::float;
    use proptest::prelude::*;

    #[test]
    fn short_numbers_and_infinities_are_their_own_bounds() {
        for v in [0.0, -0.0, 1.0, -1.0, 4095.0, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(
                bound(&below(v).to_le_bytes()[..BOUND_BYTES]).unwrap().to_bits(),
                v.to_bits()
            );
        }
        assert_eq!(bound(&below(-f64::MAX).to_le_bytes()[..BOUND_BYTES]), Some(f64::NEG_INFINITY));
    }

    proptest! {
        #[test]
        fn a_bound_is_below_and_near(v in float()) {
            prop_assume!(!v.is_nan());
            let found = bound(&below(v).to_le_bytes()[..BOUND_BYTES]).unwrap();
            prop_assert!(found <= v);
            let near = v.abs() / 4096.0 + f64::from_bits(1 << LOW_BITS);
            prop_assert!(v.is_infinite() || v - found <= near || v < -1e308, "{} {}", v, found);
        }
    }
}
