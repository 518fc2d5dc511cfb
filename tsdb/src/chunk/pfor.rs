//! Miniblocks: up to 128 integers, packed by patched frame of reference in the plan that is shortest for them
//! (Zukowski et al., "Super-Scalar RAM-CPU Cache Compression", 2006).
//!
//! A miniblock is a byte, plan times 64 plus width `w`, then by plan:
//!
//! | plan | content |
//! |---|---|
//! | 0 | zig-zag residuals, `w` bits each; width 63 stands for 64 bits |
//! | 1 | as 0 for the low bits; before them the number of exceptions, the width of their high bits (plus 128 where no residual is negative and none is zig-zag coded), their places; behind them the high bits |
//! | 2 | the least residual (zig-zag), then what each is more, `w` bits each |
//! | 3 | a bit per residual that is not 0, then those, zig-zag less 1, `w` bits each |
//! | 0 with width 62 | a byte, the width `w`, then as 3 for residuals of which none is negative: without zig-zag |
//!
//! Packed bits are little-endian; widths are at most 57, so that a value is one unaligned load of eight
//! bytes and a shift.

use super::ChunkError;
use crate::encoding::bits::{BitReader, BitWriter};
use crate::encoding::varint::{Reader, put_i64, unzigzag, zigzag};

/// Residuals in a miniblock.
pub(super) const MINIBLOCK: usize = 128;
const MAX_WIDTH: u32 = 57;
/// Stands for 64 bits, unpacked.
const WIDTH_64: u32 = 63;
/// Stands for [`Plan::Rising`].
const WIDTH_RISING: u32 = 62;
/// Residuals are as they are, not zig-zag coded: in the byte of the width of the high bits.
const UNSIGNED: u8 = 0x80;

/// How a miniblock is packed, and what that costs in bytes besides the plan byte.
#[derive(Debug, Clone, Copy)]
enum Plan {
    ZigZag {
        width: u32,
    },
    Patched {
        width: u32,
        high: u32,
        num: usize,
        unsigned: bool,
    },
    Least {
        least: i64,
        width: u32,
    },
    Sparse {
        width: u32,
    },
    /// As `Sparse` where no residual is negative: buckets that are hit now and then.
    Rising {
        width: u32,
    },
}

/// The bits of a residual.
const fn coded(v: i64, unsigned: bool) -> u64 {
    if unsigned { v.cast_unsigned() } else { zigzag(v) }
}

fn plan(residuals: &[i64]) -> Plan {
    let num = residuals.len();
    let (mut least, mut most, mut zeros) = (i64::MAX, i64::MIN, 0);
    for v in residuals {
        least = least.min(*v);
        most = most.max(*v);
        zeros += usize::from(*v == 0);
    }
    // What only rises needs no bit for the sign.
    let no_sign = least >= 0;
    // How many residuals have each number of bits.
    let mut sizes = [0_u8; 65];
    for v in residuals {
        sizes[(64 - coded(*v, no_sign).leading_zeros()) as usize] += 1;
    }
    let widest = sizes.iter().rposition(|n| *n > 0).unwrap_or(0);
    let widest = u32::try_from(widest).expect("at most 64");
    let zigzags = zigzag(most).max(zigzag(least));
    let zigzag_width = 64 - zigzags.leading_zeros();
    let is_wide = zigzag_width > MAX_WIDTH;
    let mut best = Plan::ZigZag { width: if is_wide { WIDTH_64 } else { zigzag_width } };
    let mut cost = if is_wide { num * 8 } else { packed_len(num, zigzag_width) };
    let mut offer = |plan: Plan, bytes: usize| {
        if bytes < cost {
            (best, cost) = (plan, bytes);
        }
    };
    let mut exceptions = 0;
    for width in (0..widest).rev() {
        exceptions += usize::from(sizes[width as usize + 1]);
        if width <= MAX_WIDTH {
            let high = widest - width;
            let bytes = 2 + exceptions + packed_len(num, width) + packed_len(exceptions, high);
            offer(Plan::Patched { width, high, num: exceptions, unsigned: no_sign }, bytes);
        }
    }
    let spread = 64 - most.wrapping_sub(least).cast_unsigned().leading_zeros();
    if spread <= MAX_WIDTH {
        let least_len = ((64 - zigzag(least).leading_zeros()).div_ceil(7)).max(1) as usize;
        offer(Plan::Least { least, width: spread }, least_len + packed_len(num, spread));
    }
    let width = 64 - zigzags.saturating_sub(1).leading_zeros();
    if width <= MAX_WIDTH {
        offer(Plan::Sparse { width }, num.div_ceil(8) + packed_len(num - zeros, width));
    }
    let width = 64 - most.saturating_sub(1).leading_zeros();
    if no_sign && most > 0 && width <= MAX_WIDTH {
        let bytes = 1 + num.div_ceil(8) + packed_len(num - zeros, width);
        offer(Plan::Rising { width }, bytes);
    }
    best
}

/// Appends at most [`MINIBLOCK`] residuals.
pub(super) fn encode(residuals: &[i64], out: &mut Vec<u8>) {
    let plan = plan(residuals);
    let head = |plan: u8, width: u32| plan << 6 | u8::try_from(width).expect("at most 63");
    let zigzags = || residuals.iter().map(|v| zigzag(*v));
    match plan {
        Plan::ZigZag { width: WIDTH_64 } => {
            out.push(head(0, WIDTH_64));
            zigzags().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        }
        Plan::ZigZag { width } => {
            out.push(head(0, width));
            pack(zigzags(), width, out);
        }
        Plan::Patched { width, high, num, unsigned } => {
            out.push(head(1, width));
            out.push(u8::try_from(num).expect("at most 128"));
            let flag = if unsigned { UNSIGNED } else { 0 };
            out.push(u8::try_from(high).expect("at most 64") | flag);
            let all = || residuals.iter().map(|v| coded(*v, unsigned));
            let exceptions = || all().enumerate().filter(|(_, v)| 64 - v.leading_zeros() > width);
            out.extend(exceptions().map(|(i, _)| u8::try_from(i).expect("at most 127")));
            pack(all().map(|v| v & mask(width)), width, out);
            let mut w = BitWriter::new();
            exceptions().for_each(|(_, v)| w.write(v >> width, high));
            w.copy_to(out);
        }
        Plan::Least { least, width } => {
            out.push(head(2, width));
            put_i64(out, least);
            pack(residuals.iter().map(|v| v.wrapping_sub(least).cast_unsigned()), width, out);
        }
        Plan::Sparse { width } => {
            out.push(head(3, width));
            pack_sparse(residuals, width, false, out);
        }
        Plan::Rising { width } => {
            out.push(head(0, WIDTH_RISING));
            out.push(u8::try_from(width).expect("at most 57"));
            pack_sparse(residuals, width, true, out);
        }
    }
}

/// Appends a bit per residual that is not 0, then those, less 1.
fn pack_sparse(residuals: &[i64], width: u32, unsigned: bool, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + residuals.len().div_ceil(8), 0);
    for (i, _) in residuals.iter().enumerate().filter(|(_, v)| **v != 0) {
        out[start + i / 8] |= 1 << (i % 8);
    }
    let nonzero = residuals.iter().filter(|v| **v != 0);
    pack(nonzero.map(|v| coded(*v, unsigned) - 1), width, out);
}

/// Reads a miniblock of `len` residuals.
pub(super) fn decode(
    r: &mut Reader<'_>,
    len: usize,
    residuals: &mut [i64; MINIBLOCK],
) -> Result<(), ChunkError> {
    const SHORT: ChunkError = ChunkError("miniblock ends early");
    let head = r.u8().ok_or(SHORT)?;
    let (plan, width) = (head >> 6, u32::from(head & 63));
    let is_special = plan == 0 && (width == WIDTH_64 || width == WIDTH_RISING);
    if width > MAX_WIDTH && !is_special {
        return Err(ChunkError("miniblock of impossible width"));
    }
    let mut packed = [0_u64; MINIBLOCK];
    match plan {
        0 if width == WIDTH_64 => {
            let bytes = r.take(len * 8).ok_or(SHORT)?;
            for (v, b) in residuals.iter_mut().zip(bytes.as_chunks::<8>().0) {
                *v = unzigzag(u64::from_le_bytes(*b));
            }
        }
        0 if width == WIDTH_RISING => {
            let width = u32::from(r.u8().ok_or(SHORT)?);
            if width > MAX_WIDTH {
                return Err(ChunkError("miniblock of impossible width"));
            }
            unpack_sparse(r, len, width, residuals, |p| p.wrapping_add(1).cast_signed())?;
        }
        0 => {
            unpack(r, len, width, &mut packed)?;
            unzigzag_all(&packed, residuals);
        }
        1 => {
            let num = usize::from(r.u8().ok_or(SHORT)?);
            let high = r.u8().ok_or(SHORT)?;
            let (high, unsigned) = (u32::from(high & !UNSIGNED), high & UNSIGNED != 0);
            if width + high > 64 {
                return Err(ChunkError("exceptions of impossible width"));
            }
            let places = r.take(num).ok_or(SHORT)?;
            unpack(r, len, width, &mut packed)?;
            let mut bits = BitReader::new(r.take(packed_len(num, high)).ok_or(SHORT)?);
            for place in places {
                let v = packed.get_mut(usize::from(*place));
                *v.ok_or(ChunkError("exception outside the miniblock"))? |=
                    bits.read(high) << width;
            }
            if unsigned {
                for (v, p) in residuals.iter_mut().zip(&packed) {
                    *v = p.cast_signed();
                }
            } else {
                unzigzag_all(&packed, residuals);
            }
        }
        2 => {
            let least = r.i64().ok_or(SHORT)?;
            unpack(r, len, width, &mut packed)?;
            for (v, p) in residuals.iter_mut().zip(&packed) {
                *v = least.wrapping_add(p.cast_signed());
            }
        }
        _ => unpack_sparse(r, len, width, residuals, |p| unzigzag(p.wrapping_add(1)))?,
    }
    Ok(())
}

/// Reads what [`pack_sparse`] wrote.
fn unpack_sparse(
    r: &mut Reader<'_>,
    len: usize,
    width: u32,
    residuals: &mut [i64; MINIBLOCK],
    value: impl Fn(u64) -> i64,
) -> Result<(), ChunkError> {
    const SHORT: ChunkError = ChunkError("miniblock ends early");
    let mut packed = [0_u64; MINIBLOCK];
    let bitmap = r.take(len.div_ceil(8)).ok_or(SHORT)?;
    let mut bytes = [0; MINIBLOCK / 8];
    bytes.get_mut(..bitmap.len()).ok_or(SHORT)?.copy_from_slice(bitmap);
    let mut bits = u128::from_le_bytes(bytes);
    unpack(r, bits.count_ones() as usize, width, &mut packed)?;
    residuals.fill(0);
    for p in packed {
        if bits == 0 {
            break;
        }
        if let Some(v) = residuals.get_mut(bits.trailing_zeros() as usize) {
            *v = value(p);
        }
        bits &= bits - 1;
    }
    Ok(())
}

fn unzigzag_all(packed: &[u64; MINIBLOCK], residuals: &mut [i64; MINIBLOCK]) {
    for (v, p) in residuals.iter_mut().zip(packed) {
        *v = unzigzag(*p);
    }
}

const fn mask(width: u32) -> u64 {
    if width == 0 { 0 } else { u64::MAX >> (64 - width) }
}

const fn packed_len(num: usize, width: u32) -> usize {
    (num * width as usize).div_ceil(8)
}

/// Appends values of `width <= 57` bits.
fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut word, mut pending) = (0_u64, 0);
    for v in values {
        word |= v << pending;
        pending += width;
        while pending >= 8 {
            out.push(word.to_le_bytes()[0]);
            word >>= 8;
            pending -= 8;
        }
    }
    if pending > 0 {
        out.push(word.to_le_bytes()[0]);
    }
}

/// Longest run of packed bits, and room for the load of the last value.
const BUFFER: usize = MINIBLOCK * MAX_WIDTH as usize / 8 + 8;

/// Takes `num` values of `width <= 57` bits; those behind them become 0.
fn unpack(
    r: &mut Reader<'_>,
    num: usize,
    width: u32,
    out: &mut [u64; MINIBLOCK],
) -> Result<(), ChunkError> {
    let bytes = r.take(packed_len(num, width)).ok_or(ChunkError("packed bits end early"))?;
    if width == 0 {
        return Ok(());
    }
    let mut buffer = [0; BUFFER];
    let room = buffer.get_mut(..bytes.len());
    room.ok_or(ChunkError("too many packed bits"))?.copy_from_slice(bytes);
    // A loop for each width, in which places and shifts are constants.
    macro_rules! by_width {
        ($($w:literal)*) => {
            match width {
                $($w => unpack_width::<$w>(&buffer, out),)*
                _ => return Err(ChunkError("miniblock of impossible width")),
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29
        30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57);
    Ok(())
}

#[expect(clippy::indexing_slicing, reason = "the compiler proves that i * W / 8 + 8 <= BUFFER")]
fn unpack_width<const W: usize>(buffer: &[u8; BUFFER], out: &mut [u64; MINIBLOCK]) {
    for (i, v) in out.iter_mut().enumerate() {
        let mut word = [0; 8];
        word.copy_from_slice(&buffer[i * W / 8..i * W / 8 + 8]);
        *v = u64::from_le_bytes(word) >> (i * W % 8) & (u64::MAX >> (64 - W));
    }
}
