//! Numbers: the shape is checked by hand, because a host language's parser also takes `inf`,
//! `+1` and the like, and most values are then exact without a parser (Clinger, 1990): a
//! mantissa of at most 53 bits scaled by a power of ten of at most 22 is one rounded operation.

#![deny(clippy::indexing_slicing)]

use crate::{
    error::Reason,
    field::{Failure, Value, byte, ends_value, token},
    word::{every, word},
};

/// Digits that always fit an u64.
const MAX_DIGITS: usize = 19;
/// Largest integer up to which doubles are dense.
const MAX_EXACT: u64 = 1 << 53;
/// The powers of ten that are exact doubles.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The digits from `at` on, appended to `mantissa` (modulo 2^64), and where they end.
#[inline]
fn digits(body: &[u8], mut at: usize, mut mantissa: u64) -> (u64, usize) {
    // Eight at a time: counters, byte counts and timestamps are long.
    while let Some(value) = word(body, at).and_then(eight_digits) {
        mantissa = mantissa.wrapping_mul(100_000_000).wrapping_add(value);
        at += 8;
    }
    loop {
        let digit = byte(body, at).wrapping_sub(b'0');
        if digit > 9 {
            return (mantissa, at);
        }
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
}

/// The number that eight bytes spell, the first in the lowest place of `word`, if all are digits.
#[inline]
fn eight_digits(word: u64) -> Option<u64> {
    // A digit has 3 in its upper half, and keeps it when 6 is added.
    let upper = word & every(0xf0);
    let carried = word.wrapping_add(every(6)) & every(0xf0);
    if (upper | carried >> 4) != every(0x33) {
        return None;
    }
    // Neighbours are joined: eight digits, four pairs, two quadruples, one number.
    let digits = word & every(0x0f);
    let pairs = (digits.wrapping_mul(10).wrapping_add(digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((quads.wrapping_mul(10_000).wrapping_add(quads >> 32)) & 0xffff_ffff)
}

/// Scans the number at `start`: a float, or an integer with its suffix.
#[inline]
pub(crate) fn scan(body: &[u8], start: usize) -> Result<(Value<'_>, usize), Failure<'_>> {
    let negative = byte(body, start) == b'-';
    let first = start + usize::from(negative);
    let (mut mantissa, mut end) = digits(body, first, 0);
    let mut num_digits = end - first;
    let mut num_decimals = 0;
    match byte(body, end) {
        suffix @ (b'i' | b'u') if num_digits > 0 && ends_value(byte(body, end + 1)) => {
            let value = if num_digits < MAX_DIGITS {
                small_integer(mantissa, negative, suffix)
            } else {
                big_integer(body, start, end, suffix)?
            };
            return value.map(|value| (value, end + 1)).ok_or((start, Reason::InvalidNumber));
        }
        b'.' => {
            let point = end;
            (mantissa, end) = digits(body, point + 1, mantissa);
            num_decimals = end - point - 1;
            num_digits += num_decimals;
        }
        _ => {}
    }
    if num_digits == 0 || !ends_value(byte(body, end)) {
        return scientific(body, start, end, num_digits);
    }
    if num_digits > MAX_DIGITS || mantissa > MAX_EXACT {
        return general(body, start, end);
    }
    let Some(power) = POWERS.get(num_decimals) else { return general(body, start, end) };
    #[expect(clippy::cast_precision_loss, reason = "at most 2^53, so exact")]
    let value = mantissa as f64 / power;
    Ok((Value::Float(if negative { -value } else { value }), end))
}

/// An integer of at most 18 digits; `None` for a negative unsigned one.
#[inline]
fn small_integer(magnitude: u64, negative: bool, suffix: u8) -> Option<Value<'static>> {
    match (suffix, negative) {
        (b'u', false) => Some(Value::Uint(magnitude)),
        (b'u', true) => None,
        (_, false) => Some(Value::Int(magnitude.cast_signed())),
        (_, true) => Some(Value::Int(-magnitude.cast_signed())),
    }
}

/// An integer of any length, `start..end` without its suffix.
#[cold]
fn big_integer(
    body: &[u8],
    start: usize,
    end: usize,
    suffix: u8,
) -> Result<Option<Value<'_>>, Failure<'_>> {
    let digits = str::from_utf8(body.get(start..end).unwrap_or_default()).unwrap_or_default();
    match suffix {
        b'u' if digits.starts_with('-') => Ok(None),
        b'u' => match digits.parse() {
            Ok(value) => Ok(Some(Value::Uint(value))),
            Err(_) => Err((start, Reason::UnsignedRange(digits))),
        },
        _ => match digits.parse() {
            Ok(value) => Ok(Some(Value::Int(value))),
            Err(_) => Err((start, Reason::IntegerRange(digits))),
        },
    }
}

/// A float with an exponent at `at`; anything else there is an error.
#[cold]
fn scientific(
    body: &[u8],
    start: usize,
    at: usize,
    num_digits: usize,
) -> Result<(Value<'_>, usize), Failure<'_>> {
    if num_digits > 0 && matches!(byte(body, at), b'e' | b'E') {
        let sign = usize::from(matches!(byte(body, at + 1), b'+' | b'-'));
        let first = at + 1 + sign;
        let (_, end) = digits(body, first, 0);
        if end > first && ends_value(byte(body, end)) {
            return general(body, start, end);
        }
    }
    Err((at, classify(token(body, start))))
}

/// The reason 1.x gives for a `token` that starts like a number and is none: it stops at a byte
/// that no number has, and leaves what remains to its float parser.
fn classify(token: &[u8]) -> Reason<'static> {
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    let mut previous = 0;
    let (mut points, mut exponents) = (0, 0);
    for &b in digits {
        match b {
            b'0'..=b'9' => {}
            b'.' => points += 1,
            b'e' | b'E' if previous != 0 => exponents += 1,
            b'+' | b'-' if matches!(previous, b'e' | b'E') => {}
            _ => return Reason::InvalidNumber,
        }
        previous = b;
    }
    if points <= 1 && exponents > 0 { Reason::InvalidFloat } else { Reason::InvalidNumber }
}

/// A float of the right shape, correctly rounded.
fn general(body: &[u8], start: usize, end: usize) -> Result<(Value<'_>, usize), Failure<'_>> {
    match fast_float2::parse::<f64, _>(body.get(start..end).unwrap_or_default()) {
        Ok(value) if value.is_finite() => Ok((Value::Float(value), end)),
        _ => Err((start, Reason::InvalidFloat)),
    }
}

/// Scans the timestamp at `start`: an optional `-` and digits, within 64 bits.
#[inline]
pub(crate) fn scan_timestamp(body: &[u8], start: usize) -> Result<(i64, usize), Failure<'_>> {
    let negative = byte(body, start) == b'-';
    let first = start + usize::from(negative);
    let (magnitude, end) = digits(body, first, 0);
    if end == first || !matches!(byte(body, end), b' ' | b'\n' | b'\r') {
        return Err((end, Reason::BadTimestamp));
    }
    if end - first < MAX_DIGITS
        || (end - first == MAX_DIGITS && magnitude <= i64::MAX.cast_unsigned())
    {
        let magnitude = magnitude.cast_signed();
        return Ok((if negative { -magnitude } else { magnitude }, end));
    }
    let digits = str::from_utf8(body.get(start..end).unwrap_or_default()).unwrap_or_default();
    digits
        .parse()
        .map(|timestamp| (timestamp, end))
        .map_err(|_| (start, Reason::TimestampRange(digits)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Value<'_>, String> {
        match scan(text.as_bytes(), 0) {
            Ok((value, end)) => {
                assert_eq!(end, text.len());
                Ok(value)
            }
            Err((_, reason)) => Err(reason.to_string()),
        }
    }

    #[test]
    fn float_shapes_follow_the_corpus() {
        let long = "1".repeat(309);
        for text in [
            "1",
            "-1",
            "0",
            "1.0",
            "1e5",
            "1E5",
            "1e+5",
            "1e-5",
            "00",
            "007",
            "1.",
            ".5",
            "-.5",
            "1.e5",
            ".5e1",
            "5e-324",
            "1.7976931348623157e+308",
            "9007199254740993",
            "1e-400",
            "0.1",
            "123456789012345678901234567890.5",
            "9007199254740993.0000000000000000001",
            "0.00000000000000000000001",
            "18446744073709551616",
            "1e308",
            &long,
            "4.35",
        ] {
            let want: f64 = text.parse().unwrap();
            let Ok(Value::Float(got)) = parse(text) else { panic!("{text}: {:?}", parse(text)) };
            assert_eq!(got.to_bits(), want.to_bits(), "{text}");
        }
        let Ok(Value::Float(zero)) = parse("-0") else { panic!() };
        assert!(zero.is_sign_negative());
    }

    #[test]
    fn integers_are_exact_to_their_last_bit() {
        for (text, want) in [
            ("1i", Value::Int(1)),
            ("-0i", Value::Int(0)),
            ("01i", Value::Int(1)),
            ("9007199254740993i", Value::Int(9_007_199_254_740_993)),
            ("9223372036854775807i", Value::Int(i64::MAX)),
            ("-9223372036854775808i", Value::Int(i64::MIN)),
            ("000000000000000000000000012i", Value::Int(12)),
            ("0000u", Value::Uint(0)),
            ("18446744073709551615u", Value::Uint(u64::MAX)),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn broken_numbers_have_the_reasons_of_1x() {
        for text in [
            "-",
            ".",
            "-.",
            "1.5.2",
            "--1",
            "1-1",
            "1+1",
            "1.0i",
            "1e5i",
            "1ii",
            "-i",
            "12abci",
            "-1u",
            "1.0u",
            "1I",
            "1U",
            "1f",
            "1d",
            "0x10",
            "0b1",
            "1_000",
            "-Inf",
            "-nan",
            "1\"",
            ".i",
            "-12345678901234567890u",
        ] {
            assert_eq!(parse(text), Err("invalid number".to_owned()), "{text}");
        }
        for text in ["1e", "1e+", "1e1.5", "1e309", "-1e309", "1ee5", "1.e", ".e5"] {
            assert_eq!(parse(text), Err("invalid float".to_owned()), "{text}");
        }
        assert_eq!(
            parse("9223372036854775808i").unwrap_err(),
            "unable to parse integer 9223372036854775808: strconv.ParseInt: parsing \
             \"9223372036854775808\": value out of range"
        );
        assert_eq!(
            parse("18446744073709551616u").unwrap_err(),
            "unable to parse unsigned 18446744073709551616: strconv.ParseUint: parsing \
             \"18446744073709551616\": value out of range"
        );
    }

    #[test]
    fn timestamps_are_a_sign_and_digits() {
        for (text, want) in [
            ("0", 0),
            ("-1", -1),
            ("00001", 1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775807", -i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("0000000000000000000000007", 7),
        ] {
            assert_eq!(scan_timestamp(text.as_bytes(), 0), Ok((want, text.len())));
        }
        for text in ["+1", "1.5", "1e9", "1i", "0x1", "-", "--1", "1-", "\"1\"", "1,"] {
            let got = scan_timestamp(text.as_bytes(), 0);
            assert!(matches!(got, Err((_, Reason::BadTimestamp))), "{text}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "18446744073709551617"] {
            let got = scan_timestamp(text.as_bytes(), 0);
            assert_eq!(got, Err((0, Reason::TimestampRange(text))));
        }
    }

    #[test]
    fn eight_digits_are_read_at_once() {
        for text in ["00000000", "12345678", "99999999", "00000001", "10000000"] {
            let got = eight_digits(word(text.as_bytes(), 0).unwrap());
            assert_eq!(got, Some(text.parse().unwrap()));
            for at in 0..8 {
                for b in (0..=255).filter(|b: &u8| !b.is_ascii_digit()) {
                    let mut broken = text.as_bytes().to_vec();
                    *broken.get_mut(at).unwrap() = b;
                    assert_eq!(eight_digits(word(&broken, 0).unwrap()), None, "{broken:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn floats_round_as_the_standard_library_does(text in "-?[0-9]{1,25}(\\.[0-9]{0,25})?(e-?[0-9]{1,2})?") {
            let want: f64 = text.parse().unwrap();
            prop_assert_eq!(parse(&text), Ok(Value::Float(want)));
        }

        #[test]
        fn integers_agree_with_the_standard_library(text in "-?[0-9]{1,21}") {
            let with_suffix = format!("{text}i");
            prop_assert_eq!(parse(&with_suffix).ok(), text.parse().map(Value::Int).ok());
            let with_suffix = format!("{text}u");
            prop_assert_eq!(parse(&with_suffix).ok(), text.parse().map(Value::Uint).ok());
        }
    }
}
