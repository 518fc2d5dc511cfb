//! Columns of integers, patched frame of reference: miniblocks of 128 differences, each packed in
//! the plan that is shortest for it.
//!
//! Layout: head byte (bits 0-1 transform, bit 2 divisor given); first value (zig-zag); divisor; for transform
//! 2 the first difference (zig-zag); the skip table; the miniblocks.
//!
//! With `y = (v - first) / divisor`, the residuals of the second and later values are `y` itself
//! (transform 0), its difference to the one before (1), or the difference of differences (2).
//! The skip table has, per 512 residuals except the first: bytes since the entry before, and, where the
//! transform needs them, `y` less that of the entry before and the difference (zig-zag). A
//! miniblock is a byte, plan times 64 plus width `w`, then by plan:
//!
//! | plan | content |
//! |---|---|
//! | 0 | zig-zag residuals, `w` bits each; width 63 stands for 64 bits |
//! | 1 | as 0 for the low bits; before them the number of exceptions, the width of their high bits (plus 128 where no residual is negative and none is zig-zag coded), their places; behind them the high bits |
//! | 2 | the least residual (zig-zag), then what each is more, `w` bits each |
//! | 3 | a bit per residual that is not 0, then those, zig-zag less 1, `w` bits each |
//! | 0 with width 62 | a byte, the width `w`, then as 3 for residuals of which none is negative: without zig-zag |
//!
//! Arithmetic wraps, so that any integers can be stored. Packed bits are little-endian; widths are
//! at most 57, so that a value is one unaligned load of eight bytes and a shift.

use std::ops::Range;

use super::ChunkError;
use crate::encoding::bits::{BitReader, BitWriter};
use crate::encoding::varint::{Reader, put_i64, put_u64, unzigzag, zigzag};

/// Residuals in a miniblock.
pub const MINIBLOCK: usize = 128;
/// Miniblocks from one entry of the skip table to the next: 3 bytes per 512 samples are nothing,
/// per 128 they would be 2 % of the size, and what they would save is 0.3 microseconds a read.
const SKIP: usize = 4;
const MAX_WIDTH: u32 = 57;
/// Stands for 64 bits, unpacked.
const WIDTH_64: u32 = 63;
/// Stands for [`Plan::Rising`].
const WIDTH_RISING: u32 = 62;
/// Residuals are as they are, not zig-zag coded: in the byte of the width of the high bits.
const UNSIGNED: u8 = 0x80;
const HAS_DIVISOR: u8 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transform {
    Raw,
    Delta,
    Delta2,
}

/// Where a decoder stands: the last `y` and the last difference.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    y: i64,
    delta: i64,
}

/// Appends `values`, which are not empty.
pub fn encode(values: &[i64], out: &mut Vec<u8>) {
    let Some((first, rest)) = values.split_first() else { return };
    let divisor = divisor(*first, rest);
    let ys = rest.iter().map(|v| match divisor {
        1 => v.wrapping_sub(*first),
        _ => (v - first) / divisor,
    });
    let ys: Vec<i64> = ys.collect();
    let (transform, first_delta) = choose(&ys);

    out.push(transform as u8 | if divisor == 1 { 0 } else { HAS_DIVISOR });
    put_i64(out, *first);
    if divisor != 1 {
        put_u64(out, divisor.cast_unsigned());
    }
    if transform == Transform::Delta2 {
        put_i64(out, first_delta);
    }
    let (mut table, mut body) = (Vec::new(), Vec::new());
    let mut at = Position { y: 0, delta: first_delta };
    let (mut marked_y, mut marked_len) = (0_i64, 0);
    let mut residuals = [0_i64; MINIBLOCK];
    for (i, ys) in ys.chunks(MINIBLOCK).enumerate() {
        if i > 0 && i % SKIP == 0 {
            put_u64(&mut table, (body.len() - marked_len) as u64);
            if transform != Transform::Raw {
                put_i64(&mut table, at.y.wrapping_sub(marked_y));
            }
            if transform == Transform::Delta2 {
                put_i64(&mut table, at.delta);
            }
            (marked_y, marked_len) = (at.y, body.len());
        }
        for (residual, y) in residuals.iter_mut().zip(ys) {
            let delta = y.wrapping_sub(at.y);
            *residual = match transform {
                Transform::Raw => *y,
                Transform::Delta => delta,
                Transform::Delta2 => delta.wrapping_sub(at.delta),
            };
            at = Position { y: *y, delta };
        }
        encode_miniblock(&residuals[..ys.len()], &mut body);
    }
    out.extend_from_slice(&table);
    out.extend_from_slice(&body);
}

/// Decodes the values `range` of a column of `count`: calls `each` with runs of at most
/// [`MINIBLOCK`] values, in order.
///
/// # Errors
/// [`ChunkError`] where the bytes end early or name an impossible width.
pub fn decode(
    bytes: &[u8],
    count: usize,
    range: Range<usize>,
    mut each: impl FnMut(&[i64]),
) -> Result<(), ChunkError> {
    const SHORT: ChunkError = ChunkError("integer column ends early");
    if range.is_empty() {
        return Ok(());
    }
    let mut r = Reader::new(bytes);
    let head = r.u8().ok_or(SHORT)?;
    let transform = match head & 3 {
        0 => Transform::Raw,
        1 => Transform::Delta,
        2 => Transform::Delta2,
        _ => return Err(ChunkError("unknown transform")),
    };
    let first = r.i64().ok_or(SHORT)?;
    let divisor = if head & HAS_DIVISOR == 0 { 1 } else { r.u64().ok_or(SHORT)?.cast_signed() };
    let mut at = Position::default();
    if transform == Transform::Delta2 {
        at.delta = r.i64().ok_or(SHORT)?;
    }
    // Residual i is of value i + 1; the first value has none.
    if range.start == 0 {
        each(&[first]);
    }
    let wanted = range.start.saturating_sub(1)..range.end - 1;
    let (mut body, mut next) = skip(&mut r, transform, count - 1, wanted.start, &mut at)?;
    let mut residuals = [0_i64; MINIBLOCK];
    while next < wanted.end {
        let len = (count - 1 - next).min(MINIBLOCK);
        decode_miniblock(&mut body, len, &mut residuals)?;
        integrate(transform, &mut at, &mut residuals);
        if divisor != 1 || first != 0 {
            for v in &mut residuals {
                *v = v.wrapping_mul(divisor).wrapping_add(first);
            }
        }
        let from = wanted.start.saturating_sub(next);
        let to = (wanted.end - next).min(len);
        if let Some(run) = residuals.get(from..to).filter(|run| !run.is_empty()) {
            each(run);
        }
        next += len;
    }
    Ok(())
}

/// Reads the skip table and moves to the last entry not behind residual `wanted`: the miniblocks
/// from there and the number of their first residual.
fn skip<'a>(
    r: &mut Reader<'a>,
    transform: Transform,
    num_residuals: usize,
    wanted: usize,
    at: &mut Position,
) -> Result<(Reader<'a>, usize), ChunkError> {
    const SHORT: ChunkError = ChunkError("skip table ends early");
    let step = SKIP * MINIBLOCK;
    let (mut offset, mut next) = (0_usize, 0);
    let mut marked = Position::default();
    for i in 1..num_residuals.div_ceil(step) {
        let len = r.len().ok_or(SHORT)?;
        if transform != Transform::Raw {
            marked.y = marked.y.wrapping_add(r.i64().ok_or(SHORT)?);
        }
        if transform == Transform::Delta2 {
            marked.delta = r.i64().ok_or(SHORT)?;
        }
        if i * step <= wanted {
            (offset, next, *at) = (offset.saturating_add(len), i * step, marked);
        }
    }
    let body = r.rest().get(offset..).ok_or(SHORT)?;
    Ok((Reader::new(body), next))
}

/// Turns residuals into `y`s. Those behind a short miniblock's end are turned too and not used.
fn integrate(transform: Transform, at: &mut Position, residuals: &mut [i64; MINIBLOCK]) {
    match transform {
        Transform::Raw => {}
        Transform::Delta => {
            let mut y = at.y;
            for v in residuals {
                y = y.wrapping_add(*v);
                *v = y;
            }
            at.y = y;
        }
        Transform::Delta2 => {
            let Position { mut y, mut delta } = *at;
            for v in residuals {
                delta = delta.wrapping_add(*v);
                y = y.wrapping_add(delta);
                *v = y;
            }
            *at = Position { y, delta };
        }
    }
}

/// The greatest common divisor of the distances to the first value; 1 where one is too far.
fn divisor(first: i64, rest: &[i64]) -> i64 {
    let mut divisor = 0;
    for v in rest {
        let Some(distance) = v.checked_sub(first).filter(|d| *d != i64::MIN) else { return 1 };
        divisor = gcd(divisor, distance.unsigned_abs());
        if divisor == 1 {
            return 1;
        }
    }
    i64::try_from(divisor).unwrap_or(1).max(1)
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The transform whose residuals have the fewest bits in all, and the first difference.
fn choose(ys: &[i64]) -> (Transform, i64) {
    let bits = |v: i64| u64::from(64 - zigzag(v).leading_zeros());
    let first_delta = ys.first().copied().unwrap_or(0);
    let mut at = Position { y: 0, delta: first_delta };
    let (mut raw, mut delta, mut delta2) = (0, 0, 0);
    for y in ys {
        let step = y.wrapping_sub(at.y);
        raw += bits(*y);
        delta += bits(step);
        delta2 += bits(step.wrapping_sub(at.delta));
        at = Position { y: *y, delta: step };
    }
    if raw <= delta && raw <= delta2 {
        (Transform::Raw, 0)
    } else if delta <= delta2 {
        (Transform::Delta, 0)
    } else {
        (Transform::Delta2, first_delta)
    }
}

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
    // How many residuals have each number of bits.
    let (mut sizes, mut unsigned_sizes) = ([0_usize; 65], [0_usize; 65]);
    let (mut least, mut most, mut zeros) = (i64::MAX, i64::MIN, 0);
    for v in residuals {
        sizes[(64 - zigzag(*v).leading_zeros()) as usize] += 1;
        unsigned_sizes[(64 - v.leading_zeros()) as usize] += 1;
        least = least.min(*v);
        most = most.max(*v);
        zeros += usize::from(*v == 0);
    }
    let widest = sizes.iter().rposition(|n| *n > 0).unwrap_or(0);
    let widest = u32::try_from(widest).expect("at most 64");
    let mut best = Plan::ZigZag { width: if widest > MAX_WIDTH { WIDTH_64 } else { widest } };
    let mut cost = if widest > MAX_WIDTH { num * 8 } else { packed_len(num, widest) };
    let mut offer = |plan: Plan, bytes: usize| {
        if bytes < cost {
            (best, cost) = (plan, bytes);
        }
    };
    // What only rises needs no bit for the sign.
    let no_sign = least >= 0;
    let (sizes, widest) =
        if no_sign { (unsigned_sizes, widest.saturating_sub(1)) } else { (sizes, widest) };
    let mut exceptions = 0;
    for width in (0..widest).rev() {
        exceptions += sizes[width as usize + 1];
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
    let of_nonzero = residuals.iter().filter(|v| **v != 0).map(|v| zigzag(*v) - 1).max();
    let width = of_nonzero.map_or(0, |v| 64 - v.leading_zeros());
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

fn encode_miniblock(residuals: &[i64], out: &mut Vec<u8>) {
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
fn decode_miniblock(
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[i64], range: Range<usize>) -> Vec<i64> {
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        encode(values, &mut bytes);
        decode(&bytes, values.len(), range, |run| out.extend_from_slice(run)).unwrap();
        out
    }

    fn column() -> impl Strategy<Value = Vec<i64>> {
        let step = prop_oneof![
            6 => -20..20_i64, 3 => Just(0), 2 => 0..100_000_i64, 1 => any::<i64>(),
        ];
        let plain = proptest::collection::vec(step, 1..1500);
        (plain, 0..3_usize, prop_oneof![Just(1_i64), Just(4096), Just(10)]).prop_map(
            |(mut values, sums, factor)| {
                for _ in 0..sums {
                    let mut sum = 0_i64;
                    for v in &mut values {
                        sum = sum.wrapping_add(*v);
                        *v = sum;
                    }
                }
                for v in &mut values {
                    *v = v.wrapping_mul(factor);
                }
                values
            },
        )
    }

    #[test]
    fn each_width_comes_back() {
        for width in 0..=64_u32 {
            let top = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
            for len in [1, 2, 127, 128, 129, 700] {
                let values: Vec<i64> =
                    (0..len).map(|i| unzigzag(if i % 3 == 0 { top } else { top / 2 })).collect();
                assert_eq!(round_trip(&values, 0..values.len()), values, "{width} bits, {len}");
            }
        }
    }

    #[test]
    fn multiples_are_divided_and_rare_changes_take_bits() {
        let size = |values: &[i64]| {
            let mut out = Vec::new();
            encode(values, &mut out);
            out.len()
        };
        let pages: Vec<i64> = (0..480).map(|i| 1_000_000_000 + (i * 7919 % 100) * 4096).collect();
        assert!(size(&pages) < 480 * 8 / 8 + 20, "{}", size(&pages));
        let rare: Vec<i64> = (0..480).map(|i| i / 60 % 2).collect();
        assert!(size(&rare) < 80, "{}", size(&rare));
        let line: Vec<i64> = (0..2000).map(|i| i * 12345).collect();
        assert!(size(&line) < 60, "{}", size(&line));
    }

    proptest! {
        #[test]
        fn any_range_comes_back(values in column(), cut in any::<[prop::sample::Index; 2]>()) {
            let (a, b) = (cut[0].index(values.len() + 1), cut[1].index(values.len() + 1));
            let range = a.min(b)..a.max(b);
            prop_assert_eq!(round_trip(&values, range.clone()), &values[range]);
        }

        #[test]
        fn damage_never_panics(
            values in column(), at in any::<prop::sample::Index>(), with in any::<u8>(),
        ) {
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            let at = at.index(bytes.len());
            bytes[at] = with;
            let mut num = 0;
            let _ = decode(&bytes, values.len(), 0..values.len(), |run| num += run.len());
            prop_assert!(num <= values.len());
            bytes.truncate(at);
            let _ = decode(&bytes, values.len(), 0..values.len(), |_| {});
        }
    }
}
