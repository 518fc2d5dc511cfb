//! The series key of a line: measurement and tags. A receiver that knows the raw bytes already
//! needs nothing of this; the first time, [`RawKey::parse`] checks all of the key's grammar.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use crate::{
    error::Reason,
    escape::{Place, unescape},
};

/// The bytes of a line up to its first unescaped space: measurement and tags as the sender wrote
/// them, **not yet checked**. Equal bytes are the same series, so a hash of them can stand for it;
/// one series may have several such keys, because the order of tags is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawKey<'a>(&'a [u8]);

/// What an empty tag value (`host=`) means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyTags {
    /// An error, as in InfluxDB.
    #[default]
    Refuse,
    /// No such tag, as in VictoriaMetrics.
    Drop,
}

impl<'a> RawKey<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The key as sent. Never empty.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Checks the key.
    ///
    /// # Errors
    /// What is wrong with it: empty names, missing `=`, control characters, text that is not
    /// UTF-8, or a tag key that is there twice.
    pub fn parse(self, empty: EmptyTags) -> Result<SeriesKey<'a>, Reason<'a>> {
        self.parse_at(empty).map_err(|(_, reason)| reason)
    }

    /// As [`RawKey::parse`], with the offset of the failing byte.
    pub(crate) fn parse_at(self, empty: EmptyTags) -> Result<SeriesKey<'a>, (usize, Reason<'a>)> {
        let end =
            name_end(self.0, 0, Place::Measurement).map_err(|at| (at, Reason::ControlInName))?;
        let measurement = utf8(self.0, 0, end)?;
        if measurement.is_empty() {
            return Err((end, Reason::MissingMeasurement));
        }
        let mut at = end;
        while at < self.0.len() {
            at = check_tag(self.0, at + 1, empty)?;
        }
        let tags = utf8(self.0, end, self.0.len())?;
        let key = SeriesKey { measurement, tags };
        if has_duplicate(key) {
            return Err((self.0.len(), Reason::DuplicateTags));
        }
        Ok(key)
    }
}

/// Checks the tag that starts at `start` and returns where it ends: at a comma or with the key.
fn check_tag(key: &[u8], start: usize, empty: EmptyTags) -> Result<usize, (usize, Reason<'_>)> {
    let equals = name_end(key, start, Place::Name).map_err(|at| (at, Reason::ControlInName))?;
    if equals == start {
        return Err((equals, Reason::MissingTagKey));
    }
    utf8(key, start, equals)?;
    if key.get(equals) != Some(&b'=') {
        return Err((equals, Reason::MissingTagValue));
    }
    let end = value_end(key, equals + 1).map_err(|at| (at, Reason::ControlInName))?;
    utf8(key, equals + 1, end)?;
    match key.get(end) {
        Some(b'=') => Err((end, Reason::InvalidTagFormat)),
        _ if end == equals + 1 && empty == EmptyTags::Refuse => Err((end, Reason::MissingTagValue)),
        _ => Ok(end),
    }
}

/// Where the measurement or tag key at `start` ends: at a separator or with the bytes. A control
/// character is an error at its offset.
fn name_end(bytes: &[u8], start: usize, place: Place) -> Result<usize, usize> {
    let mut escaped = false;
    for (at, &b) in bytes.iter().enumerate().skip(start) {
        match b {
            b',' if !escaped => return Ok(at),
            b'=' if !escaped && place == Place::Name => return Ok(at),
            0..=0x1f | 0x7f => return Err(at),
            _ => {}
        }
        escaped = b == b'\\';
    }
    Ok(bytes.len())
}

/// Where the tag value at `start` ends. Control characters are data here, but CR and LF are not.
fn value_end(bytes: &[u8], start: usize) -> Result<usize, usize> {
    let mut escaped = false;
    for (at, &b) in bytes.iter().enumerate().skip(start) {
        match b {
            b',' | b'=' if !escaped => return Ok(at),
            b'\r' | b'\n' => return Err(at),
            _ => {}
        }
        escaped = b == b'\\';
    }
    Ok(bytes.len())
}

fn utf8(bytes: &[u8], start: usize, end: usize) -> Result<&str, (usize, Reason<'_>)> {
    let token = bytes.get(start..end).unwrap_or_default();
    str::from_utf8(token).map_err(|_| (start, Reason::InvalidUtf8))
}

/// Whether two tags have one key. Raw keys do, because unescaping is one to one. Sorted, because
/// a quadratic search over a sender's thousands of tags would be a weapon.
fn has_duplicate(key: SeriesKey<'_>) -> bool {
    let mut keys: Vec<&str> = key.tags().map(|tag| tag.key).collect();
    keys.sort_unstable();
    keys.array_windows().any(|[a, b]| a == b)
}

/// A checked series key: a measurement and tags with distinct keys, all UTF-8 and not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesKey<'a> {
    measurement: &'a str,
    /// From the first comma on.
    tags: &'a str,
}

impl<'a> SeriesKey<'a> {
    /// The measurement, unescaped.
    pub fn measurement(self) -> Cow<'a, str> {
        unescape(self.measurement, Place::Measurement)
    }

    /// The tags in the sender's order, without those that are empty (see [`EmptyTags::Drop`]).
    pub fn tags(self) -> Tags<'a> {
        Tags(self.tags)
    }
}

/// The tags of a [`SeriesKey`], in the sender's order.
#[derive(Debug, Clone)]
pub struct Tags<'a>(&'a str);

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        loop {
            let (_comma, rest) = self.0.split_at_checked(1)?;
            // The checks of `RawKey::parse` hold: each tag is a key, `=` and a value.
            let equals = name_end(rest.as_bytes(), 0, Place::Name).ok()?;
            let (key, rest) = rest.split_at_checked(equals)?;
            let (_equals, rest) = rest.split_at_checked(1)?;
            let end = value_end(rest.as_bytes(), 0).ok()?;
            let (value, rest) = rest.split_at_checked(end)?;
            self.0 = rest;
            if !value.is_empty() {
                return Some(Tag { key, value });
            }
        }
    }
}

/// One tag, still escaped. Neither part is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'a> {
    key: &'a str,
    value: &'a str,
}

impl<'a> Tag<'a> {
    /// The key, unescaped.
    pub fn key(self) -> Cow<'a, str> {
        unescape(self.key, Place::Name)
    }

    /// The value, unescaped.
    pub fn value(self) -> Cow<'a, str> {
        unescape(self.value, Place::Name)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn parse(key: &[u8], empty: EmptyTags) -> Result<Vec<String>, String> {
        let key = RawKey::new(key).parse(empty).map_err(|reason| reason.to_string())?;
        let tags = key.tags().map(|tag| format!("{}={}", tag.key(), tag.value()));
        Ok([key.measurement().into_owned()].into_iter().chain(tags).collect())
    }

    #[test]
    fn names_are_unescaped_and_quotes_are_data() {
        let cases: [(&str, &[&str]); 6] = [
            ("m", &["m"]),
            (r"m\ x\,y\=z=,b=2,a=1", &[r"m x,y\=z=", "b=2", "a=1"]),
            (r"m,a\ b\,c\=d=e\ f\,g\=h", &["m", "a b,c=d=e f,g=h"]),
            (r#""m",t="a""#, &["\"m\"", "t=\"a\""]),
            (r"m,p=C:\Windows\x", &["m", r"p=C:\Windows\x"]),
            ("m,t=a\tb\0", &["m", "t=a\tb\0"]),
        ];
        for (key, want) in cases {
            assert_eq!(parse(key.as_bytes(), EmptyTags::Refuse).unwrap(), want, "{key:?}");
        }
    }

    #[test]
    fn broken_keys_have_the_reasons_of_1x() {
        let cases: [(&[u8], &str); 18] = [
            (b",t=a", "missing measurement"),
            (b"m,", "missing tag key"),
            (b"m,,t=a", "missing tag key"),
            (b"m,=a", "missing tag key"),
            (b"m,t=a,", "missing tag key"),
            (b"m,t", "missing tag value"),
            (b"m,t,u=b", "missing tag value"),
            (b"m,t=", "missing tag value"),
            (b"m,t=,u=b", "missing tag value"),
            (b"m,t=a=b", "invalid tag format"),
            (b"m,t==", "invalid tag format"),
            (br"m,t=a\,u=b", "invalid tag format"),
            (b"m,t=a,u=c,t=b", "duplicate tags"),
            (b"m\tx", "control character in a name"),
            (b"m,t\x7f=a", "control character in a name"),
            (b"m,t=a\rb", "control character in a name"),
            (b"m\xff", "invalid UTF-8"),
            (b"m,t=\xc3", "invalid UTF-8"),
        ];
        for (key, want) in cases {
            assert_eq!(parse(key, EmptyTags::Refuse).unwrap_err(), want, "{key:?}");
        }
    }

    #[test]
    fn empty_tags_can_be_dropped() {
        assert_eq!(parse(b"m,t=,u=b,v=", EmptyTags::Drop).unwrap(), ["m", "u=b"]);
        assert!(parse(b"m,=,u=b", EmptyTags::Drop).is_err(), "an empty key stays an error");
    }

    #[test]
    fn a_duplicate_among_many_tags_is_found() {
        for n in [1, 2, 3000] {
            let mut key = String::from("m");
            (0..n).for_each(|i| write!(key, ",k{i}=v").unwrap());
            assert_eq!(parse(key.as_bytes(), EmptyTags::Refuse).unwrap().len(), n + 1);
            key.push_str(",k0=w");
            assert_eq!(parse(key.as_bytes(), EmptyTags::Refuse).unwrap_err(), "duplicate tags");
        }
    }
}
