//! The XOR encoding of Gorilla (`VLDB` 2015), values only: each value is combined by exclusive or with the one before,
//! and the meaningful bits are written, inside the window of the value before where they fit.
//!
//! `0`: same value. `10`: bits in the last window. `11`, 5 bits leading zeros (at most 31), 6 bits
//! length less one, bits: a new window. The first value is 64 bits.

use std::ops::Range;

use super::ChunkError;
use crate::encoding::bits::{BitReader, BitWriter};

/// Appends `values`.
pub fn encode(values: &[f64], out: &mut Vec<u8>) {
    let Some((first, rest)) = values.split_first() else { return };
    let mut w = BitWriter::new();
    w.write(first.to_bits(), 64);
    let mut before = first.to_bits();
    // The window: leading zeros and length. No value fits a window of length 0.
    let (mut leading, mut len) = (0, 0);
    for v in rest {
        let xor = v.to_bits() ^ before;
        before = v.to_bits();
        if xor == 0 {
            w.write(0, 1);
            continue;
        }
        let (lead, trail) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        if len > 0 && lead >= leading && trail >= 64 - leading - len {
            w.write(0b10, 2);
        } else {
            (leading, len) = (lead, 64 - lead - trail);
            w.write(0b11, 2);
            w.write(u64::from(leading), 5);
            w.write(u64::from(len - 1), 6);
        }
        w.write(xor >> (64 - leading - len), len);
    }
    w.copy_to(out);
}

/// Appends the values `range`.
///
/// # Errors
/// [`ChunkError`] where the stream ends early or names a window that does not fit 64 bits.
pub fn decode(bytes: &[u8], range: Range<usize>, out: &mut Vec<f64>) -> Result<(), ChunkError> {
    if range.is_empty() {
        return Ok(());
    }
    let mut r = BitReader::new(bytes);
    let mut v = r.read(64);
    let (mut leading, mut len) = (0, 0);
    out.reserve(range.len());
    for i in 0..range.end {
        if i > 0 {
            match r.ones(2) {
                0 => {}
                kind => {
                    if kind == 2 {
                        let window = r.read(11);
                        leading = u32::try_from(window >> 6).unwrap_or(u32::MAX);
                        len = u32::try_from(window & 63).unwrap_or(u32::MAX) + 1;
                    }
                    if len == 0 || leading + len > 64 {
                        return Err(ChunkError("xor window outside the value"));
                    }
                    v ^= r.read(len) << (64 - leading - len);
                }
            }
        }
        if i >= range.start {
            out.push(f64::from_bits(v));
        }
    }
    if r.overrun() {
        return Err(ChunkError("xor stream ends early"));
    }
    Ok(())
}
