//! Fields: the scanners of keys and values, and what they give.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use crate::{
    error::Reason,
    escape::{Place, unescape},
    number,
    word::{num_plain, word},
};

/// One field of a line: a key and a typed value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    key: &'a [u8],
    /// The value.
    pub value: Value<'a>,
}

impl<'a> Field<'a> {
    /// The key as sent, with its escapes. Equal bytes are the same key; not empty, UTF-8.
    #[inline]
    pub fn raw_key(&self) -> &'a [u8] {
        self.key
    }

    /// The key, unescaped.
    pub fn key(&self) -> Cow<'a, str> {
        // The scanner refused a key that is not UTF-8.
        unescape(str::from_utf8(self.key).unwrap_or_default(), Place::Name)
    }
}

/// A field value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A finite double, correctly rounded.
    Float(f64),
    /// With suffix `i`.
    Int(i64),
    /// With suffix `u`.
    Uint(u64),
    /// Any of the ten spellings.
    Bool(bool),
    /// In double quotes.
    Str(Text<'a>),
}

impl Value<'_> {
    /// The value as a sample: integers rounded to a double, booleans as 1 and 0, strings not.
    #[inline]
    pub fn as_sample(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "integers beyond 2^53 round, as documented")]
        match *self {
            Self::Float(v) => Some(v),
            Self::Int(v) => Some(v as f64),
            Self::Uint(v) => Some(v as f64),
            Self::Bool(v) => Some(f64::from(u8::from(v))),
            Self::Str(_) => None,
        }
    }
}

/// The text of a string value between its quotes, still escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// The text, unescaped.
    pub fn get(self) -> Cow<'a, str> {
        unescape(self.0, Place::String)
    }
}

/// A reason and the offset of the byte at which it showed.
pub(crate) type Failure<'a> = (usize, Reason<'a>);

/// The byte at `at`. The end of the body reads as a line feed, which ends whatever is open.
#[inline]
pub(crate) fn byte(body: &[u8], at: usize) -> u8 {
    body.get(at).copied().unwrap_or(b'\n')
}

/// Whether a line ends at `at`: at LF, CR LF, or the end of the body with or without a CR.
#[inline]
pub(crate) fn is_line_end(body: &[u8], at: usize) -> bool {
    match byte(body, at) {
        b'\n' => true,
        b'\r' => byte(body, at + 1) == b'\n',
        _ => false,
    }
}

/// Whether an unquoted value ends before `b`.
#[inline]
pub(crate) fn ends_value(b: u8) -> bool {
    matches!(b, b',' | b' ' | b'\n' | b'\r')
}

/// The unquoted token that starts at `start`.
pub(crate) fn token(body: &[u8], start: usize) -> &[u8] {
    let rest = body.get(start..).unwrap_or_default();
    let end = rest.iter().position(|&b| ends_value(b)).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

/// Scans the field at `start` and returns it with the offset after its value.
#[inline]
pub(crate) fn scan(body: &[u8], start: usize) -> Result<(Field<'_>, usize), Failure<'_>> {
    let equals = key_end(body, start)?;
    let key = body.get(start..equals).unwrap_or_default();
    let (value, end) = scan_value(body, equals + 1)?;
    Ok((Field { key, value }, end))
}

/// Where the key at `start` ends: at its `=`.
#[inline]
fn key_end(body: &[u8], start: usize) -> Result<usize, Failure<'_>> {
    let mut bits = 0;
    let mut at = start;
    // Most keys are letters and underscores, and end with the first byte that is neither.
    while let Some(word) = word(body, at) {
        let num_plain = num_plain(word);
        at += num_plain;
        if num_plain < 8 {
            break;
        }
    }
    loop {
        let b = byte(body, at);
        bits |= b;
        if b <= b'=' || b == 0x7f {
            let escaped = at > start && body.get(at - 1) == Some(&b'\\');
            match b {
                b'=' | b',' | b' ' if escaped => {}
                b'=' => break,
                b',' | b' ' | b'\n' => return Err((at, Reason::InvalidFieldFormat)),
                0..=0x1f | 0x7f => return Err((at, control_in_key(body, at))),
                _ => {}
            }
        }
        at += 1;
    }
    if at == start {
        return Err((at, Reason::MissingFieldKey));
    }
    if bits >= 0x80 && str::from_utf8(body.get(start..at).unwrap_or_default()).is_err() {
        return Err((start, Reason::InvalidUtf8));
    }
    Ok(at)
}

#[cold]
fn control_in_key(body: &[u8], at: usize) -> Reason<'static> {
    if is_line_end(body, at) { Reason::InvalidFieldFormat } else { Reason::ControlInName }
}

#[inline]
fn scan_value(body: &[u8], start: usize) -> Result<(Value<'_>, usize), Failure<'_>> {
    match byte(body, start) {
        b'-' | b'.' | b'0'..=b'9' => number::scan(body, start),
        b'"' => scan_string(body, start + 1),
        first if ends_value(first) => Err((start, Reason::MissingFieldValue)),
        _ => scan_bool(body, start),
    }
}

fn scan_bool(body: &[u8], start: usize) -> Result<(Value<'_>, usize), Failure<'_>> {
    let token = token(body, start);
    let value = match token {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => true,
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => false,
        // 1.x takes these for the start of NaN.
        [b'n' | b'N', ..] => return Err((start, Reason::InvalidNumber)),
        _ => return Err((start, Reason::InvalidBoolean)),
    };
    Ok((Value::Bool(value), start + token.len()))
}

/// The string whose text starts at `start`, after its quote.
fn scan_string(body: &[u8], start: usize) -> Result<(Value<'_>, usize), Failure<'_>> {
    let mut at = start;
    let close = loop {
        let rest = body.get(at..).unwrap_or_default();
        let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
            return Err((body.len(), Reason::UnbalancedQuotes));
        };
        at += found;
        if byte(body, at) == b'"' {
            break at;
        }
        // What follows a backslash cannot close the string, escape or not.
        at += 2;
    };
    let text = body.get(start..close).unwrap_or_default();
    let text = str::from_utf8(text).map_err(|_| (close, Reason::InvalidUtf8))?;
    if !ends_value(byte(body, close + 1)) {
        return Err((close + 1, Reason::InvalidFieldFormat));
    }
    Ok((Value::Str(Text(text)), close + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<Value<'_>, String> {
        scan_value(text.as_bytes(), 0).map(|(value, _)| value).map_err(|(_, r)| r.to_string())
    }

    #[test]
    fn booleans_have_ten_spellings() {
        for (text, want) in [("t", true), ("T", true), ("true", true), ("True", true)] {
            assert_eq!(value(text), Ok(Value::Bool(want)));
        }
        for text in ["f", "F", "false", "False", "FALSE"] {
            assert_eq!(value(text), Ok(Value::Bool(false)));
        }
        assert_eq!(value("TRUE"), Ok(Value::Bool(true)));
        for text in ["tRUE", "tr", "yes", "on", "+1", "'a'", "Inf", "\u{fc}"] {
            assert_eq!(value(text), Err("invalid boolean".to_owned()), "{text}");
        }
        assert_eq!(value("nil"), Err("invalid number".to_owned()));
    }

    #[test]
    fn strings_keep_all_but_their_two_escapes() {
        for (raw, want) in [
            (r#""""#, ""),
            (r#""x\"y\\z""#, r#"x"y\z"#),
            (r#""x\ny\,""#, r"x\ny\,"),
            ("\"a\r\nb\t,= #\"", "a\r\nb\t,= #"),
            (r#""\\\"""#, r#"\""#),
        ] {
            let Ok(Value::Str(text)) = value(raw) else { panic!("{raw}: {:?}", value(raw)) };
            assert_eq!(text.get(), want);
        }
        for raw in [r#"""#, r#""x"#, r#""x\""#, r#""x\"#, r#""x\\\""#] {
            assert_eq!(value(raw), Err("unbalanced quotes".to_owned()), "{raw}");
        }
        for raw in [r#""x"y"#, r#""x""y""#] {
            assert_eq!(value(raw), Err("invalid field format".to_owned()), "{raw}");
        }
        assert!(matches!(scan_value(b"\"\xff\"", 0), Err((_, Reason::InvalidUtf8))));
    }

    #[test]
    fn a_value_can_be_read_as_a_sample() {
        for (text, want) in [("1.5", 1.5), ("-3i", -3.0), ("18446744073709551615u", 2f64.powi(64))]
        {
            assert_eq!(value(text).unwrap().as_sample(), Some(want));
        }
        assert_eq!(value("T").unwrap().as_sample(), Some(1.0));
        assert_eq!(value("\"1\"").unwrap().as_sample(), None);
    }
}
