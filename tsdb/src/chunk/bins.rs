//! Residuals in bins: an entropy code, for columns whose residuals have no common width.
//!
//! The numbers are cut into octaves by sign and bit length, and each octave into 1, 2, 4 or 8 bins
//! of one width. A residual is the Huffman code of its bin and its distance to the bin's least
//! number, as wide as the bin. So what is frequent takes few bits, and a range that is no power of
//! two pays little for it.
//!
//! Layout: the table, in bits, the most significant first: for the negative octaves, then for the
//! positive ones, the first that is used and the number from there (6 bits each), and of each the
//! logarithm of its number of bins (2 bits); then the length of each bin's code (4 bits), 0 where it
//! is not used: of the bin that is zero, then by octave, negative ones first, from small to large.
//! Codes are canonical: by length, then in this order.
//!
//! Behind it groups of 512 residuals in four lanes, residual `i` in lane `i % 4`: the length of the
//! first lane in bytes, how many more each other has than the one before (zig-zag), then the lanes.
//! A lane is a stream of bits, the most significant first. Four lanes, because the place of a residual
//! depends on the one before it: a processor decodes four side by side.

mod huffman;
mod table;

use super::ChunkError;
use crate::encoding::varint::{Reader, put_i64, put_u64};
pub(super) use table::Table;
use table::{Bin, MAX_BITS, MAX_CODE, MAX_SPLIT, OCTAVES, place};

/// Residuals in a group.
pub(super) const GROUP: usize = 512;
const LANES: usize = 4;
/// Longest group in bytes; it ends with room for the load of its last residual.
const BUFFER: usize = 1 << 12;
const CODES: usize = 1 << MAX_CODE;

/// Appends a group of residuals, of which the table knows each.
pub(super) fn write_group(table: &Table, residuals: &[i64], out: &mut Vec<u8>) {
    let mut starts = [[0; OCTAVES]; 2];
    let mut start = 1;
    for (starts, cuts) in starts.iter_mut().zip(&table.cuts) {
        for (octave, split) in (cuts.first..).zip(&cuts.splits) {
            starts[octave] = start;
            start += 1 << split;
        }
    }
    let mut lanes = [Lane::EMPTY; LANES];
    for (i, v) in residuals.iter().enumerate() {
        let bin = if *v == 0 {
            0
        } else {
            let (sign, octave, part) = place(*v);
            let cuts = &table.cuts[sign];
            starts[sign][octave] + (part >> (MAX_SPLIT - cuts.splits[octave - cuts.first]))
        };
        let len = table.lengths[bin];
        let distance = v.wrapping_sub(table.bins[bin].least).cast_unsigned();
        let width = table.bins[bin].width;
        lanes[i % LANES].write(table.codes[bin] << width | distance, len + width);
    }
    let lanes = lanes.each_ref().map(Lane::bytes);
    put_u64(out, lanes[0].len() as u64);
    for pair in lanes.windows(2) {
        let len = |lane: &[u8]| i64::try_from(lane.len()).expect("a few hundred");
        put_i64(out, len(pair[1]) - len(pair[0]));
    }
    for lane in lanes {
        out.extend_from_slice(lane);
    }
}

/// Room for a lane: each residual takes at most [`MAX_BITS`] bits, and the last is stored with the bytes behind it.
const LANE: usize = GROUP / LANES * MAX_BITS as usize / 8 + 8;

/// A stream of bits, the most significant first.
#[derive(Debug)]
struct Lane {
    bytes: [u8; LANE],
    at: usize,
    word: u64,
    pending: u32,
}

impl Lane {
    const EMPTY: Self = Self { bytes: [0; LANE], at: 0, word: 0, pending: 0 };

    /// Appends the low bits of `v`, which has no others, from 1 to [`MAX_BITS`].
    #[inline]
    fn write(&mut self, v: u64, n: u32) {
        self.word |= v << (64 - self.pending - n);
        self.pending += n;
        self.bytes[self.at..self.at + 8].copy_from_slice(&self.word.to_be_bytes());
        self.at += (self.pending / 8) as usize;
        self.word <<= self.pending / 8 * 8;
        self.pending %= 8;
    }

    /// The stream, the last byte padded with zero bits.
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.at + usize::from(self.pending > 0)]
    }
}

/// Reads groups.
#[derive(Debug)]
pub(super) struct Decoder {
    /// For each value of the next [`MAX_CODE`] bits: length of the code and width of the bin (a byte each), and above them
    /// its least number.
    entries: [u64; CODES],
    bytes: [u8; BUFFER],
    /// The residuals of the group that was read last.
    pub(super) group: [i64; GROUP],
}

impl Decoder {
    /// Without a table.
    pub(super) const fn new() -> Self {
        Self { entries: [0; CODES], bytes: [0; BUFFER], group: [0; GROUP] }
    }

    /// Reads the table.
    pub(super) fn read_table(&mut self, r: &mut Reader<'_>) -> Option<()> {
        Table::read(r, |Bin { least, width }, len, code| {
            let entry = (least << 16).cast_unsigned() | u64::from(len | width << 8);
            let from = code << (MAX_CODE - len);
            let all = self.entries.get_mut(from..from + (1 << (MAX_CODE - len)));
            all.unwrap_or_default().fill(entry);
        })
    }

    /// Reads the first `wanted` residuals of the next group.
    pub(super) fn read_group(
        &mut self,
        r: &mut Reader<'_>,
        wanted: usize,
    ) -> Result<(), ChunkError> {
        const SHORT: ChunkError = ChunkError("group ends early");
        let mut ends = [0; LANES];
        let (mut len, mut end) = (r.len().ok_or(SHORT)?, 0_usize);
        for (i, lane) in ends.iter_mut().enumerate() {
            if i > 0 {
                let more = isize::try_from(r.i64().ok_or(SHORT)?).map_err(|_| SHORT)?;
                len = len.checked_add_signed(more).ok_or(SHORT)?;
            }
            end = end.checked_add(len).ok_or(SHORT)?;
            *lane = end;
        }
        let bytes = r.take(end).ok_or(SHORT)?;
        let room = self.bytes.get_mut(..end).filter(|_| end + 8 <= BUFFER);
        room.ok_or(ChunkError("group of impossible length"))?.copy_from_slice(bytes);

        let [a, b, c, _] = ends;
        let mut at = [0, a, b, c].map(|start| start * 8);
        let group = self.group.get_mut(..wanted).unwrap_or_default();
        let (whole, rest) = group.as_chunks_mut::<LANES>();
        for residuals in whole {
            for (v, at) in residuals.iter_mut().zip(&mut at) {
                *v = next(&self.entries, &self.bytes, at);
            }
        }
        for (v, at) in rest.iter_mut().zip(&mut at) {
            *v = next(&self.entries, &self.bytes, at);
        }
        if at.iter().zip(ends).any(|(at, end)| *at > end * 8) {
            return Err(ChunkError("lane ends early"));
        }
        Ok(())
    }
}

/// The residual at a bit.
#[inline]
#[expect(clippy::indexing_slicing, reason = "the compiler sees that these places are inside")]
#[expect(clippy::cast_possible_truncation, reason = "numbers of a few bits")]
fn next(entries: &[u64; CODES], bytes: &[u8; BUFFER], at: &mut usize) -> i64 {
    let byte = (*at / 8).min(BUFFER - 8);
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[byte..byte + 8]);
    let word = u64::from_be_bytes(word) << (*at % 8);
    let entry = entries[(word >> (64 - MAX_CODE)) as usize];
    let (len, width) = (entry & 63, entry >> 8 & 63);
    *at += (len + width) as usize;
    // In two steps, because a width may be 0.
    let distance = word << len >> 1 >> (63 - width);
    (entry.cast_signed() >> 16).wrapping_add(distance.cast_signed())
}
