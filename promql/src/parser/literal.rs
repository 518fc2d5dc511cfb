//! Numbers and durations: text to value and back.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag_no_case, take_while1};
use nom::character::complete::char;
use nom::combinator::{all_consuming, opt, recognize, value};
use nom::multi::many0_count;
use nom::sequence::{pair, preceded};

use crate::lexer::Scan;
use model::go_quote;

/// Why a text is no duration; displays as Prometheus says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The empty text.
    #[error("empty duration string")]
    Empty,
    /// Not numbers with units, largest unit first, each at most once.
    #[error("not a valid duration string: {}", go_quote(.0))]
    Invalid(String),
    /// A unit that does not exist.
    #[error("unknown unit {} in duration {}", go_quote(.unit), go_quote(.text))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// More than 2^63 ns.
    #[error("duration out of range")]
    OutOfRange,
}

/// Units, largest first, in ms.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Longest duration in ms: 2^63 - 1 ns.
const MAX_MS: u64 = i64::MAX.unsigned_abs() / 1_000_000;

/// Milliseconds of `text`: `1h30m`, `0`. What Prometheus's `model.ParseDuration` takes.
///
/// # Errors
/// [`DurationError`].
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    match text {
        "0" => return Ok(0),
        "" => return Err(DurationError::Empty),
        _ => {}
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut part =
        pair(take_while1(|c: char| c.is_ascii_digit()), take_while1(|c: char| !c.is_ascii_digit()));
    let (mut rest, mut total_ms, mut units) = (text, 0_u64, UNITS.as_slice());
    while !rest.is_empty() {
        let scan: Scan<'_, (&str, &str)> = part.parse(rest);
        let (after, (number, unit)) = scan.map_err(|_| invalid())?;
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let Some((_, unit_ms)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            let (unit, text) = (unit.to_owned(), text.to_owned());
            return Err(DurationError::UnknownUnit { unit, text });
        };
        let at = units.iter().position(|(name, _)| *name == unit).ok_or_else(invalid)?;
        units = &units[at + 1..];
        total_ms = number
            .checked_mul(*unit_ms)
            .and_then(|ms| ms.checked_add(total_ms))
            .filter(|ms| *ms <= MAX_MS)
            .ok_or(DurationError::OutOfRange)?;
        rest = after;
    }
    i64::try_from(total_ms).map_err(|_| DurationError::OutOfRange)
}

/// `ms` as Prometheus prints a duration: `1h30m`, `2w`, `0s`; a negative one with a sign.
pub fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    if ms < 0 {
        out.push('-');
    }
    let mut rest = ms.unsigned_abs();
    for (unit, unit_ms) in UNITS {
        // Weeks and years only where nothing is left over.
        if rest >= unit_ms && (!matches!(unit, "y" | "w") || rest.is_multiple_of(unit_ms)) {
            out.push_str(itoa::Buffer::new().format(rest / unit_ms));
            out.push_str(unit);
            rest %= unit_ms;
        }
    }
    out
}

/// Why a text is no number; displays as Go's `strconv.ParseFloat` says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("strconv.ParseFloat: parsing {}: {what}", go_quote(.text))]
pub struct NumberError {
    text: String,
    what: &'static str,
}

/// The number `text`: decimal, float, `0x` hexadecimal, octal with a leading zero, `_` between
/// digits, `Inf` and `NaN` in any case; no sign.
///
/// # Errors
/// [`NumberError`] where the text is none of these or too large for a float.
pub fn parse_number(text: &str) -> Result<f64, NumberError> {
    let error = |what| NumberError { text: text.to_owned(), what };
    if let Some(integer) = parse_integer(text) {
        #[expect(clippy::cast_precision_loss, reason = "as Prometheus converts it")]
        return Ok(integer as f64);
    }
    let special: Scan<'_, f64> = all_consuming(alt((
        value(f64::INFINITY, alt((tag_no_case("infinity"), tag_no_case("inf")))),
        value(f64::NAN, tag_no_case("nan")),
    )))
    .parse(text);
    if let Ok((_, number)) = special {
        return Ok(number);
    }
    let scan: Scan<'_, &str> = all_consuming(float).parse(text);
    scan.map_err(|_| error("invalid syntax"))?;
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err(error("value out of range")),
        Err(_) => Err(error("invalid syntax")),
    }
}

/// An integer that fits, with the prefixes of Go.
fn parse_integer(text: &str) -> Option<i64> {
    let mut hex =
        preceded(alt((tag_no_case("0x_"), tag_no_case("0x"))), grouped(|c| c.is_ascii_hexdigit()));
    let mut octal = preceded(pair(char('0'), opt(char('_'))), grouped(|c| c.is_digit(8)));
    let mut decimal = grouped(|c| c.is_ascii_digit());
    let whole = |scan: Scan<'_, &str>, radix| match scan {
        Ok(("", digits)) => {
            let digits: String = digits.chars().filter(|c| *c != '_').collect();
            i64::from_str_radix(&digits, radix).ok()
        }
        _ => None,
    };
    if text.starts_with("0x") || text.starts_with("0X") {
        whole(hex.parse(text), 16)
    } else if text.len() > 1 && text.starts_with('0') {
        whole(octal.parse(text), 8)
    } else {
        whole(decimal.parse(text), 10)
    }
}

/// Digits with single underscores between them.
fn grouped<'a>(
    digit: impl Fn(char) -> bool + Copy,
) -> impl Parser<&'a str, Output = &'a str, Error = nom::error::Error<&'a str>> {
    recognize(pair(take_while1(digit), many0_count(preceded(char('_'), take_while1(digit)))))
}

/// `1.5e+3`; a digit stands before or after the dot.
fn float(text: &str) -> Scan<'_, &str> {
    let digits = || grouped(|c| c.is_ascii_digit());
    let mantissa = alt((
        recognize(pair(digits(), opt(pair(char('.'), opt(digits()))))),
        recognize(pair(char('.'), digits())),
    ));
    let exponent = (alt((char('e'), char('E'))), opt(alt((char('+'), char('-')))), digits());
    recognize((mantissa, opt(exponent))).parse(text)
}
