//! Floats as integers, coded by [`integers`]: what people measure are decimal numbers and counts,
//! and their differences are short where their bits are not.
//!
//! Layout: a byte with the exponent `e` in bits 0-3, the mode in bits 4-5, bit 6 stale markers, bit 7
//! exceptions. Then the places of stale markers (number; differences), the exceptions (number; differences
//! of places; eight bytes each), in mode 2 the length of the column of `k` and the column, the
//! column of integers `i`. Holes repeat the integer before.
//!
//! | mode | value |
//! |---|---|
//! | 0 | `i / 10^e`: the double nearest to a decimal number |
//! | 1 | `i * 10^-e`: what programs make that multiply milliseconds by 0.001 |
//! | 2 | `i / 10^e`, then `k` doubles further: what other arithmetic makes of decimals |
//! | 3 | the bits of the double, in the order of numbers |

use std::ops::Range;

use model::{STALE_NAN, is_stale};

use super::{ChunkError, integers};
use crate::encoding::varint::{Reader, put_u64};

const HAS_STALE: u8 = 0x40;
const HAS_EXCEPTIONS: u8 = 0x80;
/// Largest exponent.
const MAX_E: usize = 14;
const POWERS: [f64; MAX_E + 1] =
    [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];
const INVERSES: [f64; MAX_E + 1] =
    [1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14];
/// Integers above are not exact in a double.
const MAX_INTEGER: f64 = 9_007_199_254_740_992.0;
/// Furthest `k` of mode 2.
const MAX_ULPS: i64 = 4;
/// Values that are looked at to find an exponent.
const SAMPLES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Divide,
    Multiply,
    Ulps,
    Bits,
}

/// The integers of a chunk, before they are coded.
#[derive(Debug)]
struct Column {
    mode: Mode,
    e: usize,
    integers: Vec<i64>,
    ulps: Vec<i64>,
    exceptions: Vec<usize>,
}

/// Appends `values` if they are decimals with few exceptions; `false`, and nothing, if not.
pub fn encode(values: &[f64], out: &mut Vec<u8>) -> bool {
    let found = [Mode::Divide, Mode::Multiply, Mode::Ulps]
        .into_iter()
        .find_map(|mode| exponent(values, mode).and_then(|e| column(values, mode, e)));
    if let Some(column) = &found {
        write(values, column, out);
    }
    found.is_some()
}

/// Appends `values` as ordered bits.
pub fn encode_bits(values: &[f64], out: &mut Vec<u8>) {
    let mut integers: Vec<i64> = values.iter().map(|v| ordered(v.to_bits())).collect();
    let is_hole: Vec<bool> = values.iter().map(|v| is_stale(*v)).collect();
    fill_holes(&mut integers, &is_hole);
    let (ulps, exceptions) = (Vec::new(), Vec::new());
    write(values, &Column { mode: Mode::Bits, e: 0, integers, ulps, exceptions }, out);
}

/// Appends the values `range` of a chunk of `count`.
///
/// # Errors
/// [`ChunkError`] where the bytes are not such a chunk.
pub fn decode(
    bytes: &[u8],
    count: usize,
    range: Range<usize>,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    const SHORT: ChunkError = ChunkError("decimal column ends early");
    if range.is_empty() {
        return Ok(());
    }
    let start = out.len();
    let mut r = Reader::new(bytes);
    let head = r.u8().ok_or(SHORT)?;
    let e = usize::from(head & 15);
    let (power, inverse) = match (POWERS.get(e), INVERSES.get(e)) {
        (Some(power), Some(inverse)) => (*power, *inverse),
        _ => return Err(ChunkError("exponent out of range")),
    };
    let stale = if head & HAS_STALE == 0 { Vec::new() } else { places(&mut r).ok_or(SHORT)? };
    let exceptions =
        if head & HAS_EXCEPTIONS == 0 { Vec::new() } else { places(&mut r).ok_or(SHORT)? };
    let raw = r.take(exceptions.len() * 8).ok_or(SHORT)?;
    let (raw, _) = raw.as_chunks::<8>();
    out.reserve(range.len());
    let wanted = range.clone();
    match head >> 4 & 3 {
        0 if e == 0 => extend(out, r.rest(), count, wanted, float)?,
        0 => extend(out, r.rest(), count, wanted, |i| float(i) / power)?,
        1 => extend(out, r.rest(), count, wanted, |i| float(i) * inverse)?,
        2 => {
            let mut ulps = Vec::with_capacity(range.len());
            let column = r.bytes().ok_or(SHORT)?;
            integers::decode(column, count, wanted.clone(), |run| ulps.extend_from_slice(run))?;
            extend(out, r.rest(), count, wanted, |i| float(i) / power)?;
            for (v, k) in out.iter_mut().skip(start).zip(ulps) {
                *v = f64::from_bits(v.to_bits().wrapping_add_signed(k));
            }
        }
        _ => extend(out, r.rest(), count, wanted, |i| f64::from_bits(unordered(i)))?,
    }
    let mut patch = |place: usize, bits: u64| -> Result<(), ChunkError> {
        if place >= count {
            return Err(ChunkError("exception outside the chunk"));
        }
        if range.contains(&place)
            && let Some(v) = out.get_mut(start + place - range.start)
        {
            *v = f64::from_bits(bits);
        }
        Ok(())
    };
    for (place, bits) in exceptions.into_iter().zip(raw) {
        patch(place, u64::from_le_bytes(*bits))?;
    }
    stale.into_iter().try_for_each(|place| patch(place, STALE_NAN))
}

/// Appends what `value` makes of the integers `range` of a column.
#[inline]
fn extend(
    out: &mut Vec<f64>,
    column: &[u8],
    count: usize,
    range: Range<usize>,
    value: impl Fn(i64) -> f64,
) -> Result<(), ChunkError> {
    integers::decode(column, count, range, |run| out.extend(run.iter().map(|i| value(*i))))
}

#[inline]
#[expect(clippy::cast_precision_loss, reason = "the encoder stores integers up to 2^53")]
const fn float(i: i64) -> f64 {
    i as f64
}

/// The nearest integer, if it is exact in a double.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the bounds are checked")]
fn integer(v: f64) -> Option<i64> {
    let rounded = v.round_ties_even();
    (rounded.abs() <= MAX_INTEGER).then_some(rounded as i64)
}

/// The integer and the distance in doubles that give `v` in a mode.
#[inline]
fn represent(v: f64, mode: Mode, e: usize) -> Option<(i64, i64)> {
    let i = integer(v * POWERS[e])?;
    let made = match mode {
        Mode::Multiply => float(i) * INVERSES[e],
        _ => float(i) / POWERS[e],
    };
    let ulps = v.to_bits().cast_signed().wrapping_sub(made.to_bits().cast_signed());
    let most = if mode == Mode::Ulps { MAX_ULPS } else { 0 };
    (ulps.unsigned_abs() <= most.unsigned_abs()).then_some((i, ulps))
}

/// The smallest exponent that represents nearly all of a few values.
fn exponent(values: &[f64], mode: Mode) -> Option<usize> {
    let step = values.len().div_ceil(SAMPLES).max(1);
    let (mut e, mut seen, mut bad) = (0, 0, 0);
    for v in values.iter().step_by(step).filter(|v| !is_stale(**v)) {
        seen += 1;
        match (e..=MAX_E).find(|e| represent(*v, mode, *e).is_some()) {
            Some(enough) => e = enough,
            None => bad += 1,
        }
    }
    (bad * 4 <= seen).then_some(e)
}

/// The integers of `values` in a mode, with as small an exponent from `e` up as leaves few exceptions.
fn column(values: &[f64], mode: Mode, mut e: usize) -> Option<Column> {
    let most = values.len() / 32 + 1;
    loop {
        let mut column = Column {
            mode,
            e,
            integers: Vec::with_capacity(values.len()),
            ulps: Vec::with_capacity(if mode == Mode::Ulps { values.len() } else { 0 }),
            exceptions: Vec::new(),
        };
        let mut is_hole = vec![false; values.len()];
        for (at, v) in values.iter().enumerate() {
            let (i, ulps) = match represent(*v, mode, e) {
                Some(found) if !is_stale(*v) => found,
                _ => {
                    is_hole[at] = true;
                    if !is_stale(*v) {
                        column.exceptions.push(at);
                    }
                    (0, 0)
                }
            };
            column.integers.push(i);
            if mode == Mode::Ulps {
                column.ulps.push(ulps);
            }
        }
        if column.exceptions.len() <= most {
            fill_holes(&mut column.integers, &is_hole);
            return Some(column);
        }
        // Those that failed may need a larger exponent; most of them must then be content.
        let larger = |at: &usize| (e..=MAX_E).find(|e| represent(values[*at], mode, *e).is_some());
        e = column
            .exceptions
            .iter()
            .take(SAMPLES)
            .filter_map(larger)
            .max()
            .filter(|new| *new > e)?;
    }
}

/// Gives each hole the integer before it, and leading ones the first there is.
fn fill_holes(integers: &mut [i64], is_hole: &[bool]) {
    let first = is_hole.iter().position(|hole| !hole).unwrap_or(0);
    let mut before = integers.get(first).copied().unwrap_or(0);
    for (i, hole) in integers.iter_mut().zip(is_hole) {
        if *hole {
            *i = before;
        }
        before = *i;
    }
}

fn write(values: &[f64], column: &Column, out: &mut Vec<u8>) {
    let stale: Vec<usize> = (0..values.len()).filter(|at| is_stale(values[*at])).collect();
    let e = u8::try_from(column.e).expect("at most 14");
    out.push(
        e | (column.mode as u8) << 4
            | if stale.is_empty() { 0 } else { HAS_STALE }
            | if column.exceptions.is_empty() { 0 } else { HAS_EXCEPTIONS },
    );
    for places in [&stale, &column.exceptions] {
        if !places.is_empty() {
            put_places(out, places);
        }
    }
    for at in &column.exceptions {
        out.extend_from_slice(&values[*at].to_le_bytes());
    }
    if column.mode == Mode::Ulps {
        let mut ulps = Vec::new();
        integers::encode(&column.ulps, &mut ulps);
        put_u64(out, ulps.len() as u64);
        out.extend(ulps);
    }
    integers::encode(&column.integers, out);
}

fn put_places(out: &mut Vec<u8>, places: &[usize]) {
    put_u64(out, places.len() as u64);
    let mut before = 0;
    for place in places {
        put_u64(out, (place - before) as u64);
        before = *place;
    }
}

fn places(r: &mut Reader<'_>) -> Option<Vec<usize>> {
    let num = r.len()?;
    // A place takes a byte at least.
    if num > r.rest().len() {
        return None;
    }
    let mut place = 0_usize;
    let mut next = || {
        place = place.checked_add(r.len()?)?;
        Some(place)
    };
    (0..num).map(|_| next()).collect()
}

/// Bits as integers in the order of numbers: of negative ones all but the sign is flipped.
const fn ordered(bits: u64) -> i64 {
    let v = bits.cast_signed();
    v ^ ((v >> 63).cast_unsigned() >> 1).cast_signed()
}

/// The inverse of [`ordered`], which is its own.
const fn unordered(v: i64) -> u64 {
    ordered(v.cast_unsigned()).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::tests::float as any_float;
    use proptest::prelude::*;

    fn round_trip(bytes: &[u8], values: &[f64]) {
        let mut out = Vec::new();
        decode(bytes, values.len(), 0..values.len(), &mut out).unwrap();
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&out), bits(values));
    }

    #[test]
    fn each_kind_of_arithmetic_finds_its_mode() {
        let from = |make: &dyn Fn(f64) -> f64| -> Vec<f64> {
            (0..480).map(|i| make(f64::from(i * i * 37 + 11))).collect()
        };
        for (mode, most_bytes, values) in [
            (Mode::Divide, 1000, from(&|i| i / 100.0)),
            (Mode::Divide, 1000, from(&|i| i)),
            (Mode::Multiply, 1000, from(&|i| i * 0.001)),
            (Mode::Ulps, 1300, from(&|i| i / 1000.0 / 1000.0)),
        ] {
            let mut bytes = Vec::new();
            assert!(encode(&values, &mut bytes));
            assert_eq!(bytes[0] >> 4 & 3, mode as u8, "{:?}", &values[..3]);
            assert!(bytes.len() < most_bytes, "{mode:?}: {}", bytes.len());
            round_trip(&bytes, &values);
        }
    }

    #[test]
    fn stale_markers_cost_a_byte_and_other_oddities_nine() {
        let mut values: Vec<f64> = (0..480).map(|i| f64::from(i) / 10.0).collect();
        let size = |values: &[f64]| {
            let mut bytes = Vec::new();
            assert!(encode(values, &mut bytes));
            round_trip(&bytes, values);
            bytes.len()
        };
        let plain = size(&values);
        for at in [0, 7, 200, 479] {
            values[at] = model::stale_nan();
        }
        let stale = size(&values);
        assert!(stale <= plain + 40, "{plain} {stale}");
        values[9] = -0.0;
        values[10] = f64::NAN;
        let odd = size(&values);
        assert!(odd <= stale + 40, "{stale} {odd}");
    }

    #[test]
    fn order_of_bits_is_order_of_numbers() {
        let sorted = [f64::NEG_INFINITY, -1.5, -1.0, -0.0, 0.0, 1e-300, 2.0, f64::INFINITY];
        assert!(sorted.map(|v| ordered(v.to_bits())).is_sorted());
        assert!(sorted.iter().all(|v| unordered(ordered(v.to_bits())) == v.to_bits()));
    }

    proptest! {
        #[test]
        fn bits_come_back(values in proptest::collection::vec(any_float(), 1..400)) {
            let mut bytes = Vec::new();
            if encode(&values, &mut bytes) {
                round_trip(&bytes, &values);
            }
            bytes.clear();
            encode_bits(&values, &mut bytes);
            round_trip(&bytes, &values);
        }
    }
}
