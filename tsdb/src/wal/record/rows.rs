//! Float rows as columns: tags of values, runs of refs, runs of time steps, bytes of values.

#![deny(clippy::indexing_slicing)]

use super::{Corrupt, Rows, SeriesRef, corrupt};
use crate::encoding::varint::{Reader, put_i64, put_u64, unzigzag, zigzag};

/// Classes of a value, one nibble each; `docs/format/wal.md` has the table.
mod class {
    pub(super) const ZERO: u8 = 0;
    pub(super) const REPEAT: u8 = 1;
    /// One to six bytes of a zig-zag integer are classes 2 to 7.
    pub(super) const INT: u8 = 2;
    pub(super) const MAX_INT_BYTES: u8 = 6;
    /// One or two bytes of the zig-zag difference to the row before are classes 8 and 9.
    pub(super) const STEP: u8 = 8;
    pub(super) const MAX_STEP_BYTES: u8 = 2;
    /// A decimal with at most three places, as a zig-zag LEB128 count of thousandths.
    pub(super) const MILLI: u8 = 10;
    /// Four to eight leading bytes of the bits, the rest zero, are classes 11 to 15.
    pub(super) const BITS: u8 = 11;
    pub(super) const MIN_BITS_BYTES: u8 = 4;
}

/// Integers of this size and below are exact in an `f64`, and their zig-zag form fits the six
/// bytes of the longest integer class.
const MAX_INT: f64 = 140_737_488_355_328.0;
const _: () = assert!(MAX_INT.to_bits() == from_int(1 << 47).to_bits());

/// Appends the columns of `rows`.
pub(super) fn encode(rows: &Rows, out: &mut Vec<u8>) {
    let n = rows.refs.len();
    assert!(n == rows.times.len() && n == rows.values.len(), "columns of equal length");
    put_u64(out, n as u64);
    let tags_at = out.len();
    out.resize(tags_at + n.div_ceil(2), 0);
    encode_refs(&rows.refs, out);
    encode_times(&rows.times, out);
    encode_values(&rows.values, tags_at, out);
}

/// Reads what [`encode`] wrote. The number of rows is believed only as far as its tags are there,
/// so that a few bytes cannot ask for a big allocation.
pub(super) fn decode(input: &mut Reader<'_>) -> Result<Rows, Corrupt> {
    let n = input.len().ok_or(corrupt("number of rows"))?;
    let tags = input.take(n.div_ceil(2)).ok_or(corrupt("tags of values"))?;
    let mut rows = Rows {
        refs: Vec::with_capacity(n),
        times: Vec::with_capacity(n),
        values: Vec::with_capacity(n),
    };
    decode_refs(input, n, &mut rows.refs).ok_or(corrupt("runs of refs"))?;
    decode_times(input, n, &mut rows.times).ok_or(corrupt("runs of times"))?;
    decode_values(input, tags, n, &mut rows.values).ok_or(corrupt("values"))?;
    Ok(rows)
}

/// Runs of refs that stay equal or rise by one: `length << 1 | step`, then the difference of the
/// first to the ref before it.
#[expect(clippy::indexing_slicing, reason = "places in what is being encoded, not read")]
fn encode_refs(refs: &[SeriesRef], out: &mut Vec<u8>) {
    let mut rest = refs;
    let mut before = 0_u64;
    while let [first, after @ ..] = rest {
        let step = match after.first() {
            Some(second) if second.0.wrapping_sub(first.0) <= 1 => second.0.wrapping_sub(first.0),
            _ => 0,
        };
        let more = rest.windows(2).take_while(|w| w[1].0.wrapping_sub(w[0].0) == step).count();
        put_u64(out, (more as u64 + 1) << 1 | step);
        put_i64(out, first.0.wrapping_sub(before).cast_signed());
        before = rest[more].0;
        rest = &rest[more + 1..];
    }
}

fn decode_refs(input: &mut Reader<'_>, n: usize, refs: &mut Vec<SeriesRef>) -> Option<()> {
    let mut before = 0_u64;
    while refs.len() < n {
        let head = input.u64()?;
        let (len, step) = (usize::try_from(head >> 1).ok()?, head & 1);
        if len == 0 || len > n - refs.len() {
            return None;
        }
        let first = before.wrapping_add(input.i64()?.cast_unsigned());
        before = first.wrapping_add(step.wrapping_mul(len as u64 - 1));
        refs.extend((0..len as u64).map(|i| SeriesRef(first.wrapping_add(step.wrapping_mul(i)))));
    }
    Some(())
}

/// The first time, then runs of equal differences: a request with one time for all rows is one run.
#[expect(clippy::indexing_slicing, reason = "places in what is being encoded, not read")]
fn encode_times(times: &[i64], out: &mut Vec<u8>) {
    let [first, ..] = times else { return };
    put_i64(out, *first);
    let mut rest = times;
    while let [a, b, ..] = rest {
        let step = b.wrapping_sub(*a);
        let len = rest.windows(2).take_while(|w| w[1].wrapping_sub(w[0]) == step).count();
        put_u64(out, len as u64);
        put_i64(out, step);
        rest = &rest[len..];
    }
}

fn decode_times(input: &mut Reader<'_>, n: usize, times: &mut Vec<i64>) -> Option<()> {
    if n == 0 {
        return Some(());
    }
    let mut t_ms = input.i64()?;
    times.push(t_ms);
    while times.len() < n {
        let (len, step) = (input.len()?, input.i64()?);
        if len == 0 || len > n - times.len() {
            return None;
        }
        times.extend((0..len).map(|_| {
            t_ms = t_ms.wrapping_add(step);
            t_ms
        }));
    }
    Some(())
}

/// The number as an integer, if it is one that the integer classes hold. The comparison is of
/// bits: it keeps `-0.0` out.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "checked by bits")]
fn exact_int(v: f64) -> Option<i64> {
    let int = v as i64;
    (v.abs() < MAX_INT && (int as f64).to_bits() == v.to_bits()).then_some(int)
}

/// The number in thousandths, if dividing them by 1000 gives back every bit.
#[expect(clippy::cast_possible_truncation, reason = "below MAX_INT")]
fn exact_milli(v: f64) -> Option<i64> {
    let milli = (v * 1000.0).round();
    (milli.abs() < MAX_INT && from_milli(milli as i64).to_bits() == v.to_bits())
        .then_some(milli as i64)
}

#[expect(clippy::cast_precision_loss, reason = "what was encoded is exact")]
const fn from_int(int: i64) -> f64 {
    int as f64
}

fn from_milli(milli: i64) -> f64 {
    from_int(milli) / 1000.0
}

/// Bytes that `v` takes without its leading zero bytes, at least one.
fn num_bytes(v: u64) -> u8 {
    let bits = 64 - (v | 1).leading_zeros();
    u8::try_from(bits.div_ceil(8)).unwrap_or(8)
}

#[expect(clippy::indexing_slicing, reason = "places in what is being encoded, not read")]
fn encode_values(values: &[f64], tags_at: usize, out: &mut Vec<u8>) {
    // Most values take up to eight bytes; the loop then never grows the vector.
    out.reserve(values.len() * 8);
    let (mut before, mut before_int) = (0_u64, 0_i64);
    for (i, v) in values.iter().enumerate() {
        let tag = encode_value(*v, before, &mut before_int, out);
        before = v.to_bits();
        out[tags_at + i / 2] |= tag << (4 * (i % 2));
    }
}

/// Appends the bytes of `v` and returns its class. `before_int` is the latest integer.
#[inline]
fn encode_value(v: f64, before: u64, before_int: &mut i64, out: &mut Vec<u8>) -> u8 {
    let bits = v.to_bits();
    if bits == 0 {
        return class::ZERO;
    }
    if bits == before {
        return class::REPEAT;
    }
    if let Some(int) = exact_int(v) {
        let (whole, step) = (zigzag(int), zigzag(int - *before_int));
        *before_int = int;
        let (whole_len, step_len) = (num_bytes(whole), num_bytes(step));
        if step_len < whole_len && step_len <= class::MAX_STEP_BYTES {
            put_low(step, step_len, out);
            return class::STEP + step_len - 1;
        }
        debug_assert!(whole_len <= class::MAX_INT_BYTES, "bounded by MAX_INT");
        put_low(whole, whole_len, out);
        return class::INT + whole_len - 1;
    }
    let bits_len =
        (8 - u8::try_from(bits.trailing_zeros() / 8).unwrap_or(7)).max(class::MIN_BITS_BYTES);
    if bits_len > class::MIN_BITS_BYTES
        && let Some(milli) = exact_milli(v)
    {
        put_i64(out, milli);
        return class::MILLI;
    }
    put_low(bits.swap_bytes(), bits_len, out);
    class::BITS + bits_len - class::MIN_BITS_BYTES
}

/// Appends the low `len` bytes of `v`, lowest first.
#[inline]
fn put_low(v: u64, len: u8, out: &mut Vec<u8>) {
    // A copy of constant size and a cut are faster than a copy of variable size.
    let end = out.len() + usize::from(len);
    out.extend_from_slice(&v.to_le_bytes());
    out.truncate(end);
}

#[inline]
fn take_low(input: &mut Reader<'_>, len: u8) -> Option<u64> {
    let len = usize::from(len);
    let rest = input.rest();
    let word = if let Some(word) = rest.first_chunk::<8>() {
        u64::from_le_bytes(*word) & (u64::MAX >> (64 - 8 * len))
    } else {
        let mut word = [0; 8];
        word.get_mut(..len)?.copy_from_slice(rest.get(..len)?);
        u64::from_le_bytes(word)
    };
    input.take(len)?;
    Some(word)
}

fn decode_values(
    input: &mut Reader<'_>,
    tags: &[u8],
    n: usize,
    values: &mut Vec<f64>,
) -> Option<()> {
    let (mut before, mut before_int) = (0.0_f64, 0_i64);
    let nibbles = tags.iter().flat_map(|tag| [tag & 15, tag >> 4]);
    for tag in nibbles.take(n) {
        before = decode_value(tag, input, before, &mut before_int)?;
        values.push(before);
    }
    // The unused half of the last tag byte is zero, so that a record has one encoding.
    (n.is_multiple_of(2) || tags.last().is_some_and(|tag| tag >> 4 == 0)).then_some(())
}

#[inline]
fn decode_value(tag: u8, input: &mut Reader<'_>, before: f64, before_int: &mut i64) -> Option<f64> {
    Some(match tag {
        class::ZERO => 0.0,
        class::REPEAT => before,
        class::INT..class::STEP => {
            *before_int = unzigzag(take_low(input, tag - class::INT + 1)?);
            from_int(*before_int)
        }
        class::STEP..class::MILLI => {
            let step = unzigzag(take_low(input, tag - class::STEP + 1)?);
            *before_int = before_int.wrapping_add(step);
            from_int(*before_int)
        }
        class::MILLI => from_milli(input.i64()?),
        _ => {
            let len = (tag - class::BITS + class::MIN_BITS_BYTES).min(8);
            f64::from_bits(take_low(input, len)?.swap_bytes())
        }
    })
}
