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
    bytes: &'a [u8],
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
        LineError { number: self.number, offset: self.offset, line: self.bytes, reason }
    }

    /// The fields in the sender's order, at least one; a key may be there twice, and the later
    /// one counts.
    #[inline]
    pub fn fields(&self) -> &'l [Field<'a>] {
        self.fields
    }

    /// The point as sent, without leading spaces and line end.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
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
    pub fn next_line(&mut self) -> Option<Result<Line<'a, '_>, LineError<'a>>> {
        let start = match self.skip_blank() {
            Ok(start) => start?,
            Err(failure) => return Some(Err(self.refuse(self.at, failure))),
        };
        match self.scan(start) {
            Ok(scanned) => Some(Ok(self.accept(start, &scanned))),
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
                return Err((
                    at,
                    if joined { Reason::BadTimestamp } else { Reason::PointIsInvalid },
                ));
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
    fn accept(&mut self, start: usize, scanned: &Scanned) -> Line<'a, '_> {
        let bytes = slice(self.body, start, scanned.end);
        let number = self.number;
        if scanned.strings {
            self.number += line_feeds(bytes);
        }
        self.at = scanned.end;
        Line {
            number,
            offset: start,
            timestamp_ns: scanned.timestamp_ns,
            bytes,
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
        // A string that nothing closes runs to the end of the body, whose line end is none of it.
        let line = whole.strip_suffix(b"\n").unwrap_or(whole);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `number:fields` of good lines, `number!line!reason` of bad ones.
    fn outline(lines: Lines<'_>) -> Vec<String> {
        let (mut lines, mut outline) = (lines, Vec::new());
        while let Some(line) = lines.next_line() {
            let line = line.and_then(|line| line.series(EmptyTags::Refuse).map(|_| line));
            outline.push(match line {
                Ok(line) => format!("{}:{}", line.number, line.fields().len()),
                Err(error) => {
                    let line = String::from_utf8_lossy(error.line);
                    format!("{}!{line}!{}", error.number, error.reason)
                }
            });
        }
        outline
    }

    fn lines(body: &str) -> Lines<'_> {
        Lines::new(body.as_bytes(), Precision::Nanosecond)
    }

    #[test]
    fn a_bad_line_costs_only_itself() {
        let body = "m f=1\nbad\n\n  m,t= f=1 1 \r\nm f=2 2\nm f=x\"\nm f=3,g=4 3";
        assert_eq!(
            outline(lines(body)),
            [
                "1:1",
                "2!bad!missing fields",
                "4!m,t= f=1 1 !missing tag value",
                "5:1",
                "6!m f=x\"!invalid boolean",
                "7:2",
            ]
        );
    }

    #[test]
    fn line_feeds_in_strings_count_as_lines_but_end_none() {
        assert_eq!(
            outline(lines("m f=\"a\n\nb\",g=1\nm f=1\nm\nm f=1")),
            ["1:2", "4:1", "5!m!missing fields", "6:1"]
        );
        assert_eq!(outline(lines("# \"\nm f=1\n#")), ["2:1"]);
    }

    #[test]
    fn an_unclosed_quote_ends_at_the_line_of_the_failing_byte() {
        assert_eq!(
            outline(lines("m f=\"x 1\nm f=\"y\" 2\nm f=3 3")),
            ["1!m f=\"x 1\nm f=\"y\" 2!invalid field format", "3:1"]
        );
        assert_eq!(
            outline(lines("m f=\"x 1\nm f=2 2")),
            ["1!m f=\"x 1\nm f=2 2!unbalanced quotes"]
        );
    }

    #[test]
    fn a_broken_key_is_reported_before_broken_fields() {
        for (body, reason) in [
            ("m,p=C:\\ f=1 1", "invalid tag format"),
            ("m,t=a,t=b f=", "duplicate tags"),
            ("m,t f", "missing tag value"),
            ("m,t=a", "missing fields"),
            ("m,t=a \r", "missing fields"),
            ("m,t", "missing tag value"),
        ] {
            let line = body.trim_end_matches('\r');
            assert_eq!(outline(lines(body)), [format!("1!{line}!{reason}")]);
        }
    }

    #[test]
    fn a_line_over_the_limit_is_refused_to_its_end_and_not_kept() {
        let long = format!(
            "m f=1,s=\"{}\nm g=1\n\",{}h=1 1\nm f=1,g=2",
            "x".repeat(50),
            "n=1,".repeat(40)
        );
        let mut limited = lines(&long).with_max_line_bytes(64);
        let error = limited.next_line().unwrap().unwrap_err();
        let bytes = long.rfind('\n').unwrap();
        assert_eq!(error.reason, Reason::LineTooLong { bytes, limit: 64 });
        assert_eq!(
            error.to_string().len(),
            "unable to parse '': line is 241 bytes, limit 64".len() + bytes
        );
        assert!(limited.fields.capacity() < 8, "fields past the limit are not stored");
        assert_eq!(outline(limited), ["4:2"]);
        assert_eq!(outline(lines("m f=1").with_max_line_bytes(5)), ["1:1"]);
    }

    #[test]
    fn times_are_scaled_and_may_be_absent() {
        let mut lines = Lines::new(b"m f=1 -2\nm f=1\nm f=1 9223372036855", Precision::Millisecond);
        assert_eq!(lines.next_line().unwrap().unwrap().timestamp_ns, Some(-2_000_000));
        assert_eq!(lines.next_line().unwrap().unwrap().timestamp_ns, None);
        assert_eq!(lines.next_line().unwrap().unwrap_err().reason, Reason::TimeOutsideRange);
        assert!(lines.next_line().is_none());
    }

    #[test]
    fn equal_bytes_name_equal_series_and_fields() {
        let body = "cpu,host=a\\ b x\\,y=1 1\ncpu,host=a\\ b x\\,y=2 2";
        let mut lines = lines(body);
        let line = lines.next_line().unwrap().unwrap();
        let key = line.key();
        assert_eq!(
            (key.bytes(), line.fields().first().unwrap().raw_key()),
            (&b"cpu,host=a\\ b"[..], &b"x\\,y"[..])
        );
        assert_eq!(line.fields().first().unwrap().key(), "x,y");
        assert_eq!(lines.next_line().unwrap().unwrap().key(), key);
    }
}
