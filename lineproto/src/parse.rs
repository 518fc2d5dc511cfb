//! The line scanner: finds the series key with memchr, reads the fields and the time, and after
//! an error resumes at the next line feed that follows the failing byte.

#![deny(clippy::indexing_slicing)]

use crate::{
    error::{LineError, Reason},
    field::{self, Failure, Field, byte, is_line_end},
    key::{EmptyTags, RawKey, SeriesKey},
    number,
    precision::Precision,
};

/// Longest line that [`Lines::new`] accepts, in bytes.
pub const DEFAULT_MAX_LINE_BYTES: usize = 256 << 10;

/// The points of a body, one at a time.
///
/// Blank lines and comments are passed over. A lending iterator: a [`Line`] borrows the buffer
/// of fields, so there is no allocation per line.
#[derive(Debug)]
pub struct Lines<'a> {
    body: &'a [u8],
    precision: Precision,
    max_line_bytes: usize,
    at: usize,
    /// The number of the line that holds `at`.
    number: u64,
    fields: Vec<Field<'a>>,
}

/// A point: its fields and time are checked, its series key is **not yet** (see [`Line::series`]).
#[derive(Debug)]
pub struct Line<'a, 'l> {
    /// The line on which the point starts, counted from 1.
    pub number: u64,
    /// Where the point starts in the body, in bytes.
    pub offset: usize,
    /// Nanoseconds since 1970, or `None` when the sender left the time to the receiver (see
    /// [`Precision::truncate`]).
    pub timestamp_ns: Option<i64>,
    line: &'a [u8],
    key: RawKey<'a>,
    fields: &'l [Field<'a>],
}

impl<'a, 'l> Line<'a, 'l> {
    /// The bytes of the series key, **unchecked**: enough to look up a series that was seen
    /// before, and nothing else.
    #[inline]
    pub fn key(&self) -> RawKey<'a> {
        self.key
    }

    /// Checks the series key. A receiver that keeps no table of known keys calls this for every
    /// line; one that does calls it for every key that is not in the table.
    ///
    /// # Errors
    /// The error of this line, as [`Lines::next_line`] would have given it.
    pub fn series(&self, empty: EmptyTags) -> Result<SeriesKey<'a>, LineError<'a>> {
        self.key.parse(empty).map_err(|reason| self.error(reason))
    }

    /// This line as refused for `reason`.
    pub fn error(&self, reason: Reason<'a>) -> LineError<'a> {
        LineError { number: self.number, offset: self.offset, line: self.line, reason }
    }

    /// The fields in the sender's order, at least one; a key may be there twice, and the later
    /// one counts.
    #[inline]
    pub fn fields(&self) -> &'l [Field<'a>] {
        self.fields
    }

    /// The point as sent, without leading spaces and line end.
    pub fn bytes(&self) -> &'a [u8] {
        self.line
    }
}

impl<'a> Lines<'a> {
    /// The lines of `body`, whose timestamps are in `precision`.
    pub fn new(body: &'a [u8], precision: Precision) -> Self {
        let max_line_bytes = DEFAULT_MAX_LINE_BYTES;
        Self { body, precision, max_line_bytes, at: 0, number: 1, fields: Vec::new() }
    }

    /// With another limit on the bytes of a line.
    #[must_use]
    pub fn with_max_line_bytes(self, max_line_bytes: usize) -> Self {
        Self { max_line_bytes, ..self }
    }

    /// The next point, or why a line is none; `None` at the end of the body.
    ///
    /// # Errors
    /// The first thing wrong with the line. The call after it goes on behind the next line feed
    /// that follows the failing byte.
    #[inline]
    #[expect(clippy::type_complexity, reason = "the shape of every fallible lending iterator")]
    pub fn next_line(&mut self) -> Option<Result<Line<'a, '_>, LineError<'a>>> {
        let start = match self.skip_blank() {
            Ok(start) => start?,
            Err(failure) => return Some(Err(self.refuse(self.at, failure))),
        };
        match self.scan(start) {
            Ok(scanned) => Some(Ok(self.accept(start, scanned))),
            Err(failure) => Some(Err(self.refuse(start, failure))),
        }
    }

    /// Passes over spaces, blank lines and comments. Stops at a point, at the end (`None`), or at
    /// the start of a broken comment.
    fn skip_blank(&mut self) -> Result<Option<usize>, Failure<'a>> {
        loop {
            let Some(&first) = self.body.get(self.at) else { return Ok(None) };
            match first {
                b' ' => self.at += 1,
                b'\n' => {
                    self.at += 1;
                    self.number += 1;
                }
                b'\r' if is_line_end(self.body, self.at) => self.at += 1,
                b'#' => self.at = comment_end(self.body, self.at)?,
                _ => return Ok(Some(self.at)),
            }
        }
    }

    /// Scans the point at `start`.
    fn scan(&mut self, start: usize) -> Result<Scanned, Failure<'a>> {
        let body = self.body;
        let key_end = key_end(body, start)?;
        self.scan_fields(start, key_end).map_err(|failure| {
            // A broken key often breaks the fields too; 1.x reports what comes first.
            match RawKey::new(slice(body, start, key_end)).parse_at(EmptyTags::Drop) {
                Ok(_) => failure,
                Err((at, reason)) => (start + at, reason),
            }
        })
    }

    fn scan_fields(&mut self, start: usize, key_end: usize) -> Result<Scanned, Failure<'a>> {
        let body = self.body;
        let mut at = skip_spaces(body, key_end);
        if is_line_end(body, at) {
            return Err((at, Reason::MissingFields));
        }
        self.fields.clear();
        let mut strings = false;
        loop {
            let (field, end) = field::scan(body, at)?;
            strings |= matches!(field.value, field::Value::Str(_));
            // A line over the limit is scanned to its end, which quotes hide, but kept no longer.
            if end - start <= self.max_line_bytes {
                self.fields.push(field);
            }
            at = end;
            if byte(body, at) != b',' {
                break;
            }
            at += 1;
        }
        let fields_end = at;
        at = skip_spaces(body, at);
        let mut timestamp_ns = None;
        if !is_line_end(body, at) {
            if at == fields_end {
                return Err((at, Reason::InvalidFieldFormat));
            }
            let (timestamp, end) = number::scan_timestamp(body, at)?;
            at = skip_spaces(body, end);
            if !is_line_end(body, at) {
                let joined = at == end;
                return Err((at, if joined { Reason::BadTimestamp } else { Reason::PointIsInvalid }));
            }
            timestamp_ns = Some(self.precision.scale(timestamp).map_err(|r| (end, r))?);
        }
        if at - start > self.max_line_bytes {
            let too_long = Reason::LineTooLong { bytes: at - start, limit: self.max_line_bytes };
            return Err((at, too_long));
        }
        Ok(Scanned { key_end, end: at, strings, timestamp_ns })
    }

    #[inline]
    fn accept(&mut self, start: usize, scanned: Scanned) -> Line<'a, '_> {
        let line = slice(self.body, start, scanned.end);
        let number = self.number;
        if scanned.strings {
            self.number += line_feeds(line);
        }
        self.at = scanned.end;
        Line {
            number,
            offset: start,
            timestamp_ns: scanned.timestamp_ns,
            line,
            key: RawKey::new(slice(self.body, start, scanned.key_end)),
            fields: &self.fields,
        }
    }

    #[cold]
    fn refuse(&mut self, start: usize, (failed_at, reason): Failure<'a>) -> LineError<'a> {
        let rest = slice(self.body, failed_at, self.body.len());
        let end = memchr::memchr(b'\n', rest).map_or(self.body.len(), |lf| failed_at + lf);
        let whole = slice(self.body, start, end);
        let number = self.number;
        self.number += line_feeds(whole);
        self.at = end;
        let line = whole.strip_suffix(b"\r").unwrap_or(whole);
        LineError { number, offset: start, line, reason }
    }
}

/// What the scan of a good line found.
struct Scanned {
    key_end: usize,
    /// Of the line, without its line end.
    end: usize,
    /// Whether there are strings, which may hold line feeds.
    strings: bool,
    timestamp_ns: Option<i64>,
}

fn slice(body: &[u8], start: usize, end: usize) -> &[u8] {
    body.get(start..end).unwrap_or_default()
}

fn line_feeds(line: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', line).count() as u64
}

#[inline]
fn skip_spaces(body: &[u8], mut at: usize) -> usize {
    while byte(body, at) == b' ' {
        at += 1;
    }
    at
}

/// Where the series key at `start` ends: at the first space that no backslash escapes. A line
/// that ends before it has no fields.
#[inline]
fn key_end(body: &[u8], start: usize) -> Result<usize, Failure<'_>> {
    let mut at = start;
    loop {
        let rest = body.get(at..).unwrap_or_default();
        let found = memchr::memchr2(b' ', b'\n', rest).unwrap_or(rest.len());
        at += found;
        if byte(body, at) == b'\n' {
            return Err(no_fields(body, start, at));
        }
        if at == start || body.get(at - 1) != Some(&b'\\') {
            return Ok(at);
        }
        at += 1;
    }
}

/// The failure of a line of only a key: that of the key if it has one.
#[cold]
fn no_fields(body: &[u8], start: usize, end: usize) -> Failure<'_> {
    let key = slice(body, start, end);
    let key = RawKey::new(key.strip_suffix(b"\r").unwrap_or(key));
    match key.parse_at(EmptyTags::Drop) {
        Ok(_) => (end, Reason::MissingFields),
        Err((at, reason)) => (start + at, reason),
    }
}

/// Where the comment at `start` ends: before its LF or with the body.
fn comment_end(body: &[u8], start: usize) -> Result<usize, Failure<'_>> {
    let rest = slice(body, start, body.len());
    let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    let text = slice(rest, 0, end);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    match text.iter().position(u8::is_ascii_control) {
        None => Ok(start + end),
        Some(at) => Err((start + at, Reason::ControlInComment)),
    }
}
