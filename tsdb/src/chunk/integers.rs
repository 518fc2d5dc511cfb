//! Columns of integers: differences, and the packing that is shortest for them.
//!
//! Layout: head byte (bits 0-1 transform, bit 2 divisor given, bit 3 bins); first value (zig-zag); divisor; for
//! transform 2 the first difference (zig-zag); with bit 3 the table of [`bins`](super::bins); the skip
//! table; the residuals, by 512: up to four miniblocks of [`pfor`], or a group of
//! [`bins`](super::bins).
//!
//! With `y = (v - first) / divisor`, the residuals of the second and later values are `y` itself
//! (transform 0), its difference to the one before (1), or the difference of differences (2).
//! The skip table has, per 512 residuals except the first: bytes since the entry before, and, where the
//! transform needs them, `y` less that of the entry before and the difference (zig-zag).
//!
//! Arithmetic wraps, so that any integers can be stored.

use std::ops::Range;

use super::ChunkError;
use super::bins::{self, Decoder, GROUP, Table};
use super::pfor::{self, MINIBLOCK};
use crate::encoding::varint::{Reader, put_i64, put_u64, zigzag};

const HAS_DIVISOR: u8 = 4;
const HAS_BINS: u8 = 8;
/// Residuals for which bins must save a byte, because they take longer to decode than miniblocks.
const WORTH: usize = 32;
/// Bytes of a group that miniblocks take at most where bins are not tried: a bit a residual.
const SPARSE: usize = GROUP / 8;

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

    let head = out.len();
    out.push(transform as u8 | if divisor == 1 { 0 } else { HAS_DIVISOR });
    put_i64(out, *first);
    if divisor != 1 {
        put_u64(out, divisor.cast_unsigned());
    }
    if transform == Transform::Delta2 {
        put_i64(out, first_delta);
    }
    let mut at = Position { y: 0, delta: first_delta };
    let mut groups = Vec::with_capacity(ys.len().div_ceil(GROUP));
    let mut residuals = Vec::with_capacity(ys.len());
    for ys in ys.chunks(GROUP) {
        groups.push(at);
        for y in ys {
            let delta = y.wrapping_sub(at.y);
            residuals.push(match transform {
                Transform::Raw => *y,
                Transform::Delta => delta,
                Transform::Delta2 => delta.wrapping_sub(at.delta),
            });
            at = Position { y: *y, delta };
        }
    }
    let start = out.len();
    put_groups(&residuals, &groups, transform, out, |group, body| {
        group.chunks(MINIBLOCK).for_each(|residuals| pfor::encode(residuals, body));
    });
    let bytes = out.len() - start;
    if bytes <= groups.len() * SPARSE {
        return;
    }
    let Some((table, with_bins)) = Table::of(&residuals) else { return };
    if with_bins + residuals.len() / WORTH < bytes {
        out.truncate(start);
        out[head] |= HAS_BINS;
        table.write(out);
        put_groups(&residuals, &groups, transform, out, |group, body| {
            bins::write_group(&table, group, body);
        });
    }
}

/// Appends the skip table and the groups, before which the column stands at `positions`.
fn put_groups(
    residuals: &[i64],
    positions: &[Position],
    transform: Transform,
    out: &mut Vec<u8>,
    write: impl Fn(&[i64], &mut Vec<u8>),
) {
    let mut body = Vec::new();
    let (mut marked_y, mut marked_len) = (0_i64, 0);
    for (i, (group, at)) in residuals.chunks(GROUP).zip(positions).enumerate() {
        if i > 0 {
            put_u64(out, (body.len() - marked_len) as u64);
            if transform != Transform::Raw {
                put_i64(out, at.y.wrapping_sub(marked_y));
            }
            if transform == Transform::Delta2 {
                put_i64(out, at.delta);
            }
            (marked_y, marked_len) = (at.y, body.len());
        }
        write(group, &mut body);
    }
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
    if wanted.is_empty() {
        return Ok(());
    }
    let mut bins = (head & HAS_BINS != 0).then(Decoder::new);
    if let Some(bins) = &mut bins {
        bins.read_table(&mut r).ok_or(ChunkError("damaged table of bins"))?;
    }
    let (mut body, mut next) = skip(&mut r, transform, count - 1, wanted.start, &mut at)?;
    let mut give = |residuals: &mut [i64; MINIBLOCK], next: usize| {
        integrate(transform, &mut at, residuals);
        if divisor != 1 || first != 0 {
            for v in &mut *residuals {
                *v = v.wrapping_mul(divisor).wrapping_add(first);
            }
        }
        let from = wanted.start.saturating_sub(next);
        let to = (wanted.end - next).min(MINIBLOCK);
        if let Some(run) = residuals.get(from..to).filter(|run| !run.is_empty()) {
            each(run);
        }
    };
    if let Some(bins) = &mut bins {
        while next < wanted.end {
            bins.read_group(&mut body, (wanted.end - next).min(GROUP))?;
            for residuals in bins.group.as_chunks_mut().0 {
                if next < wanted.end {
                    give(residuals, next);
                }
                next += MINIBLOCK;
            }
        }
        return Ok(());
    }
    let mut residuals = [0; MINIBLOCK];
    while next < wanted.end {
        let len = (count - 1 - next).min(MINIBLOCK);
        pfor::decode(&mut body, len, &mut residuals)?;
        give(&mut residuals, next);
        next += len;
    }
    Ok(())
}

/// Reads the skip table and moves to the last entry not behind residual `wanted`: the bytes
/// from there and the number of their first residual.
fn skip<'a>(
    r: &mut Reader<'a>,
    transform: Transform,
    num_residuals: usize,
    wanted: usize,
    at: &mut Position,
) -> Result<(Reader<'a>, usize), ChunkError> {
    const SHORT: ChunkError = ChunkError("skip table ends early");
    let (mut offset, mut next) = (0_usize, 0);
    let mut marked = Position::default();
    for i in 1..num_residuals.div_ceil(GROUP) {
        let len = r.len().ok_or(SHORT)?;
        if transform != Transform::Raw {
            marked.y = marked.y.wrapping_add(r.i64().ok_or(SHORT)?);
        }
        if transform == Transform::Delta2 {
            marked.delta = r.i64().ok_or(SHORT)?;
        }
        if i * GROUP <= wanted {
            (offset, next, *at) = (offset.saturating_add(len), i * GROUP, marked);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encoding::varint::unzigzag;

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
        let skewed = (1..1500_usize, any::<u64>()).prop_map(|(len, seed)| skewed(len, seed));
        let values = prop_oneof![plain, skewed];
        (values, 0..3_usize, prop_oneof![Just(1_i64), Just(4096), Just(10)]).prop_map(
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

    /// Numbers of all lengths, short ones more often, as the increments of counters are.
    fn skewed(len: usize, seed: u64) -> Vec<i64> {
        let mut state = seed | 1;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 11
        };
        let mut step = || {
            let bits = random() % 9 + random() % 9;
            let size = (random() & ((1 << bits) - 1)).cast_signed();
            if random() % 8 == 0 { -size } else { size }
        };
        (0..len).map(|_| step()).collect()
    }

    #[test]
    fn skewed_residuals_go_to_bins_and_take_less() {
        for len in [300, 480, 513, 2048] {
            let values = skewed(len, 9);
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            assert_eq!(bytes[0] & HAS_BINS, HAS_BINS);
            let mut blocks = Vec::new();
            values[1..].chunks(MINIBLOCK).for_each(|group| pfor::encode(group, &mut blocks));
            assert!(bytes.len() * 100 < blocks.len() * 95, "{} {}", bytes.len(), blocks.len());
        }
    }

    #[test]
    fn residuals_that_are_too_long_or_all_alike_go_to_miniblocks() {
        let mut values = skewed(480, 3);
        values[17] = 1 << 50;
        let mut bytes = Vec::new();
        encode(&values, &mut bytes);
        assert_eq!(bytes[0] & HAS_BINS, 0);
        assert_eq!(round_trip(&values, 0..480), values);
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
