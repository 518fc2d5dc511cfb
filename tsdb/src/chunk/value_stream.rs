//! The values of open chunks as a stream, coded one by one: as integers times a scale while all are
//! decimal numbers with few digits, else by exclusive or as in Gorilla (VLDB 2015).
//!
//! The first byte is the scale: 0 multiples of 4096, 1 integers, `s` multiples of `10^(1 - s)` up to
//! `10^-12`, 255 exclusive or. Then bits, for each value:
//!
//! | scaled | exclusive or | |
//! |---|---|---|
//! | `0` | `0` | as the one before, which is zero for the first |
//! | `10`, k bits | `10`, the bits of the last window | a difference no wider than the last width |
//! | `110`, 6 bits width less one, as many bits | `11`, 5 bits leading zeros, 6 bits width, as many bits | a difference and its width |
//! | `111` | | a stale marker, which changes nothing for those behind it |
//!
//! Differences of integers are zig-zag coded. A value that does not fit its chunk's scale has the chunk
//! encoded anew, which happens few times because scales only grow finer ([`ValueState::finer`]).

use model::{STALE_NAN, is_stale};

use super::Truncated;
use crate::encoding::bits::BitReader;

/// The scale of chunks that are coded by exclusive or.
pub const XOR: u8 = u8::MAX;
/// Multiples of this are scale 0: sizes of memory are multiples of a page.
const PAGE: f64 = 4096.0;
/// `10^s` for scale `s + 1`.
const POWERS: [f64; 13] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];
const NUM_SCALES: u8 = 14;
/// Adding it leaves an integer of at most 2^51 in the low bits of a double.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
const MAX_INTEGER: f64 = 2_251_799_813_685_248.0;

/// Where bits go.
pub trait BitSink {
    /// Appends the low `n <= 64` bits of `v`; higher bits of `v` are zero.
    fn write(&mut self, v: u64, n: u32);
}

impl BitSink for crate::encoding::bits::BitWriter {
    fn write(&mut self, v: u64, n: u32) {
        Self::write(self, v, n);
    }
}

/// Where a stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueState {
    /// The first byte of the stream.
    pub scale: u8,
    /// Scaled: the last width, 0 before the first. Exclusive or: leading zeros of the window, 255 before
    /// the first.
    pub window: u8,
    /// Exclusive or: bits of the window.
    pub width: u8,
    /// Bits of the last value; zero before the first.
    pub last: u64,
    /// Scaled: the last integer.
    pub integer: i64,
}

impl ValueState {
    /// An empty stream in `scale`.
    const fn new(scale: u8) -> Self {
        let window = if scale == XOR { u8::MAX } else { 0 };
        Self { scale, window, width: 0, last: 0, integer: 0 }
    }

    /// An empty stream for values of which `v` is the first.
    pub fn starting_with(v: f64) -> Self {
        if is_stale(v) {
            return Self::new(0);
        }
        let scale = (0..NUM_SCALES).find(|scale| represent(v, *scale).is_some());
        Self::new(scale.unwrap_or(XOR))
    }

    /// An empty stream for `values` and `v` behind them, which does not fit this one.
    #[must_use]
    pub fn finer(&self, values: &[f64], v: f64) -> Self {
        let fits = |v: f64, scale: u8| is_stale(v) || represent(v, scale).is_some();
        let finer = self.scale.saturating_add(1)..NUM_SCALES;
        let scale = finer.into_iter().find(|scale| fits(v, *scale));
        let all = scale.filter(|scale| values.iter().all(|v| fits(*v, *scale)));
        Self::new(all.unwrap_or(XOR))
    }

    /// Whether a checkpoint could have held it.
    pub fn is_sound(&self) -> bool {
        let xor_window = self.window == u8::MAX
            || u32::from(self.window) + u32::from(self.width) <= 64 && self.width > 0;
        match self.scale {
            XOR => xor_window,
            scale => {
                scale < NUM_SCALES && self.window <= 64 && self.integer.unsigned_abs() <= 1 << 51
            }
        }
    }

    /// Appends `v`; `false`, and nothing, where it does not fit the scale.
    #[inline]
    pub fn append(&mut self, v: f64, out: &mut impl BitSink) -> bool {
        let bits = v.to_bits();
        if self.scale == XOR {
            self.append_xor(bits ^ self.last, out);
        } else if let Some(integer) = represent(v, self.scale) {
            self.append_difference(integer - self.integer, out);
            self.integer = integer;
        } else if is_stale(v) {
            out.write(0b111, 3);
        } else {
            return false;
        }
        self.last = bits;
        true
    }

    #[inline]
    fn append_difference(&mut self, difference: i64, out: &mut impl BitSink) {
        let coded = (difference << 1 ^ difference >> 63).cast_unsigned();
        if coded == 0 {
            out.write(0, 1);
            return;
        }
        let (width, last) = (64 - coded.leading_zeros(), u32::from(self.window));
        // Keep the width unless a new one saves more than its seven bits of header, or is needed.
        if width <= last && last <= width + 7 {
            out.write(0b10 << last | coded, 2 + last);
        } else {
            out.write((0b110 << 6 | u64::from(width - 1)) << width | coded, 9 + width);
            self.window = width.to_le_bytes()[0];
        }
    }

    #[inline]
    fn append_xor(&mut self, xor: u64, out: &mut impl BitSink) {
        if xor == 0 {
            out.write(0, 1);
            return;
        }
        let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        let (window, width) = (u32::from(self.window), u32::from(self.width));
        let significant = 64 - leading - trailing;
        // Reuse the window unless a new one saves more than its eleven bits of header.
        if self.window != u8::MAX
            && leading >= window
            && trailing >= 64 - window - width
            && width < significant + 11
        {
            out.write(0b10, 2);
            out.write(xor >> (64 - window - width), width);
            return;
        }
        out.write(0b11 << 11 | u64::from(leading) << 6 | u64::from(significant & 63), 13);
        out.write(xor >> trailing, significant);
        self.window = leading.to_le_bytes()[0];
        self.width = significant.to_le_bytes()[0];
    }
}

/// The integer that gives the bits of `v` in a scale.
#[inline]
fn represent(v: f64, scale: u8) -> Option<i64> {
    let power = match scale {
        0 => 1.0 / PAGE,
        scale => POWERS[usize::from(scale) - 1],
    };
    let scaled = v * power;
    if scaled.is_nan() || scaled.abs() > MAX_INTEGER {
        return None;
    }
    let integer = (scaled + ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits()).cast_signed();
    (value(integer, scale).to_bits() == v.to_bits()).then_some(integer)
}

#[inline]
fn value(integer: i64, scale: u8) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "integers are at most 2^51")]
    let integer = integer as f64;
    match scale {
        0 => integer * PAGE,
        1 => integer,
        scale => integer / POWERS[usize::from(scale) - 1],
    }
}

/// Appends values `skip..skip + take` of the `count` values of a stream to `out`.
///
/// # Errors
/// [`Truncated`] where the bytes end early or begin with no scale; `out` may then hold some values.
pub fn decode_values(
    bytes: &[u8],
    count: u16,
    skip: usize,
    take: usize,
    out: &mut Vec<f64>,
) -> Result<(), Truncated> {
    let end = (skip + take).min(usize::from(count));
    if end == 0 {
        return Ok(());
    }
    let (scale, stream) = bytes.split_first().ok_or(Truncated)?;
    let start = out.len();
    out.reserve(end);
    match *scale {
        XOR => decode_xor(stream, end, out)?,
        1 => decode_scaled(stream, end, out, |i| value(i, 1))?,
        scale @ 0..NUM_SCALES => decode_scaled(stream, end, out, |i| value(i, scale))?,
        _ => return Err(Truncated),
    }
    out.drain(start..start + skip.min(end));
    Ok(())
}

#[inline]
fn decode_scaled(
    stream: &[u8],
    mut left: usize,
    out: &mut Vec<f64>,
    value: impl Fn(i64) -> f64,
) -> Result<(), Truncated> {
    let mut bits = BitReader::new(stream);
    let (mut integer, mut v, mut width) = (0_i64, value(0), 0_u32);
    while left > 0 {
        // One look for marker, header and mostly the bits too.
        let word = bits.front();
        let repeats = word.leading_zeros().min(BitReader::FRONT);
        if repeats > 0 {
            let run = left.min(repeats as usize);
            out.extend(std::iter::repeat_n(v, run));
            bits.pass(run);
            left -= run;
            continue;
        }
        left -= 1;
        let mut header = 2;
        if word >> 62 == 0b11 {
            if word >> 61 == 0b111 {
                bits.pass(3);
                out.push(f64::from_bits(STALE_NAN));
                continue;
            }
            header = 9;
            width = u32::from((word << 3 >> 58).to_le_bytes()[0]) + 1;
        }
        let coded = if width > 0 && header + width <= BitReader::FRONT {
            bits.pass((header + width) as usize);
            word << header >> (64 - width)
        } else {
            bits.pass(header as usize);
            bits.read(width)
        };
        integer = integer.wrapping_add((coded >> 1).cast_signed() ^ -((coded & 1).cast_signed()));
        v = value(integer);
        out.push(v);
    }
    if bits.overrun() { Err(Truncated) } else { Ok(()) }
}

fn decode_xor(stream: &[u8], mut left: usize, out: &mut Vec<f64>) -> Result<(), Truncated> {
    let mut bits = BitReader::new(stream);
    let (mut v, mut window, mut width) = (0_u64, 0, 0);
    while left > 0 {
        let word = bits.front();
        let repeats = word.leading_zeros().min(BitReader::FRONT);
        if repeats > 0 {
            let run = left.min(repeats as usize);
            out.extend(std::iter::repeat_n(f64::from_bits(v), run));
            bits.pass(run);
            left -= run;
            continue;
        }
        let mut header = 2;
        if word >> 62 == 0b11 {
            header = 13;
            window = (word << 2 >> 59).to_le_bytes()[0].into();
            width = match (word << 7 >> 58).to_le_bytes()[0] {
                0 => 64,
                n => u32::from(n),
            };
        }
        let trailing = 64_u32.checked_sub(window + width).ok_or(Truncated)?;
        let xor = if width > 0 && header + width <= BitReader::FRONT {
            bits.pass((header + width) as usize);
            word << header >> (64 - width)
        } else {
            bits.pass(header as usize);
            bits.read(width)
        };
        v ^= xor << (trailing & 63);
        out.push(f64::from_bits(v));
        left -= 1;
    }
    if bits.overrun() { Err(Truncated) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::bits::BitWriter;
    use proptest::prelude::*;

    /// As an open chunk does it.
    fn encode(values: &[f64]) -> Vec<u8> {
        let mut state = ValueState::starting_with(values[0]);
        let mut bits = BitWriter::new();
        for (n, v) in values.iter().enumerate() {
            while !state.append(*v, &mut bits) {
                state = state.finer(&values[..n], *v);
                bits = BitWriter::new();
                for v in &values[..n] {
                    assert!(state.append(*v, &mut bits), "a finer scale fits what is there");
                }
            }
            assert!(state.is_sound());
        }
        let mut out = vec![state.scale];
        bits.copy_to(&mut out);
        out
    }

    fn decode(bytes: &[u8], count: usize, skip: usize, take: usize) -> Result<Vec<u64>, Truncated> {
        let mut out = vec![1.5_f64];
        decode_values(bytes, u16::try_from(count).unwrap(), skip, take, &mut out)?;
        assert_eq!(out.remove(0).to_bits(), 1.5_f64.to_bits());
        Ok(out.into_iter().map(f64::to_bits).collect())
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn every_kind_of_value_has_the_scale_that_it_needs() {
        let stale = f64::from_bits(STALE_NAN);
        for (scale, values) in [
            (0, &[0.0, 4096.0, -8192.0, stale, 1e9 * 4096.0][..]),
            (1, &[0.0, 1.0, stale, stale, -7.0, 2_251_799_813_685_248.0]),
            (2, &[8192.0, 1.5, -0.1]),
            (13, &[1.0, 1e-12, 0.123_456_789_012]),
            (XOR, &[1.0, -0.0]),
            (XOR, &[1.0, f64::NAN, stale]),
            (XOR, &[f64::INFINITY]),
            (XOR, &[f64::MIN_POSITIVE]),
            (XOR, &[std::f64::consts::PI]),
            (XOR, &[1e300, 4_503_599_627_370_497.0]),
            (XOR, &[0.5, 1e15]),
        ] {
            let bytes = encode(values);
            assert_eq!(bytes[0], scale, "{values:?}");
            assert_eq!(decode(&bytes, values.len(), 0, values.len()).unwrap(), bits(values));
        }
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        for values in [&[1.5, 2.25, f64::NAN][..], &[3.0, 1e9, 1e9 + 1.0]] {
            let bytes = encode(values);
            for n in 0..bytes.len() {
                assert_eq!(decode(&bytes[..n], 3, 0, 3), Err(Truncated));
            }
        }
        assert_eq!(decode(&[NUM_SCALES, 0, 0], 3, 0, 3), Err(Truncated));
    }

    proptest! {
        #[test]
        fn decoding_inverts_encoding(
            values in proptest::collection::vec(prop_oneof![
                any::<u64>().prop_map(f64::from_bits),
                (0..1000_i32).prop_map(f64::from),
                (any::<i32>(), 0..4).prop_map(|(v, e)| f64::from(v) / 10_f64.powi(e)),
                (any::<i32>(), any::<u16>()).prop_map(|(v, w)| f64::from(v) * f64::from(w)),
                Just(f64::from_bits(STALE_NAN)),
                Just(1.25),
            ], 1..300),
            finest in 0..6_usize, skip in 0..300_usize, take in 0..300_usize,
        ) {
            // Mostly of one kind, as real ones are.
            let kinds: [&dyn Fn(f64) -> bool; 6] = [&|_| true, &|v| v.fract() == 0.0, &|v| v.abs() < 1e9,
                &|v| is_stale(v) || v.fract() == 0.0, &|v| v.to_bits() == 1.25_f64.to_bits(), &|v| !v.is_nan()];
            let values: Vec<f64> = values.into_iter().filter(|v| kinds[finest](*v)).collect();
            prop_assume!(!values.is_empty());
            let bytes = encode(&values);
            let skip = skip.min(values.len());
            let end = (skip + take).min(values.len());
            prop_assert_eq!(decode(&bytes, values.len(), skip, take).unwrap(), bits(&values[skip..end]));
        }

        #[test]
        fn any_bytes_decode_to_as_many_values_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), scale in 0..16_u8, count in 0..480_usize,
        ) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() { *first = if scale < 15 { scale } else { XOR } }
            if let Ok(values) = decode(&bytes, count, 0, count) {
                prop_assert_eq!(values.len(), count);
            }
        }
    }
}
