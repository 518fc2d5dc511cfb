//! A column of times: the first time, then the change of the distance from sample to sample.
//!
//! 64 bits first time; then per time the delta of deltas (the delta before the second time is 0):
//! `0` none, `10` 6 bits, `110` 14, `1110` 20, `1111` 64, two's complement. Six bits hold the few
//! milliseconds by which scrapes jitter, which halves the size against a first bucket of 14.

use super::ChunkError;
use crate::encoding::bits::{BitReader, BitWriter};

const WIDTHS: [u32; 4] = [6, 14, 20, 64];

/// Appends `times`, which increase strictly.
pub fn encode(times: &[i64], out: &mut Vec<u8>) {
    let Some((first, rest)) = times.split_first() else { return };
    let mut w = BitWriter::new();
    w.write(first.cast_unsigned(), 64);
    // Wrapping: the whole range of i64 is valid, so a delta may not be.
    let (mut before, mut delta) = (*first, 0_i64);
    for t in rest {
        let next = t.wrapping_sub(before);
        let change = next.wrapping_sub(delta);
        (before, delta) = (*t, next);
        if change == 0 {
            w.write(0, 1);
        } else if fits(change, 6) {
            w.write(0b10, 2);
            w.write(low(change, 6), 6);
        } else if fits(change, 14) {
            w.write(0b110, 3);
            w.write(low(change, 14), 14);
        } else if fits(change, 20) {
            w.write(0b1110, 4);
            w.write(low(change, 20), 20);
        } else {
            w.write(0b1111, 4);
            w.write(low(change, 64), 64);
        }
    }
    w.copy_to(out);
}

/// Appends the `count` times of a column.
///
/// # Errors
/// [`ChunkError`] where the stream ends early or the times do not increase.
pub fn decode(bytes: &[u8], count: usize, out: &mut Vec<i64>) -> Result<(), ChunkError> {
    if count == 0 {
        return Ok(());
    }
    if count > super::MAX_SAMPLES {
        return Err(ChunkError("too many times"));
    }
    let mut r = BitReader::new(bytes);
    let (mut t, mut delta) = (r.read(64).cast_signed(), 0_i64);
    out.reserve(count);
    out.push(t);
    for _ in 1..count {
        if let ones @ 1.. = r.ones(4) {
            let width = WIDTHS[ones as usize - 1];
            let change = (r.read(width) << (64 - width)).cast_signed() >> (64 - width);
            delta = delta.wrapping_add(change);
        }
        let next = t.wrapping_add(delta);
        if next <= t {
            return Err(ChunkError("times do not increase"));
        }
        t = next;
        out.push(t);
    }
    if r.overrun() {
        return Err(ChunkError("time column ends early"));
    }
    Ok(())
}

const fn fits(v: i64, bits: u32) -> bool {
    v >= -(1 << (bits - 1)) && v < 1 << (bits - 1)
}

const fn low(v: i64, bits: u32) -> u64 {
    v.cast_unsigned() & (u64::MAX >> (64 - bits))
}
