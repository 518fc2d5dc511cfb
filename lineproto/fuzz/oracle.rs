//! A second decoder, slow and plain: one text, one cursor, the first error ends it. It follows the
//! rules of the public corpus's reference decoder, and [`check`] holds the real one to it.

use lineproto::{EmptyTags, LineError, Lines, Precision, Value};

/// A field value; floats as bits, so that -0 is not 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    Float(u64),
    Int(i64),
    Uint(u64),
    Bool(bool),
    Str(String),
}

/// A decoded point, its tags sorted by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) measurement: String,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) fields: Vec<(String, Field)>,
    pub(crate) time: Option<i64>,
}

/// What [`Lines`] makes of a body: its points, and its errors with those of the series keys.
pub(crate) fn parse(body: &[u8], precision: Precision) -> (Vec<Point>, Vec<LineError<'_>>) {
    let (mut points, mut errors) = (Vec::new(), Vec::new());
    let mut lines = Lines::new(body, precision);
    while let Some(line) = lines.next_line() {
        match line.and_then(|line| line.series(EmptyTags::Refuse).map(|series| (line, series))) {
            Err(error) => errors.push(error),
            Ok((line, series)) => {
                let own = |field: &lineproto::Field<'_>| {
                    let value = match field.value {
                        Value::Float(v) => Field::Float(v.to_bits()),
                        Value::Int(v) => Field::Int(v),
                        Value::Uint(v) => Field::Uint(v),
                        Value::Bool(v) => Field::Bool(v),
                        Value::Str(text) => Field::Str(text.get().into_owned()),
                    };
                    (field.key().into_owned(), value)
                };
                let mut tags: Vec<_> = series
                    .tags()
                    .map(|tag| (tag.key().into_owned(), tag.value().into_owned()))
                    .collect();
                tags.sort();
                points.push(Point {
                    measurement: series.measurement().into_owned(),
                    tags,
                    fields: line.fields().iter().map(own).collect(),
                    time: line.timestamp_ns,
                });
            }
        }
    }
    (points, errors)
}

/// Holds [`Lines`] to the decoder below, and to its own promises about errors.
///
/// # Panics
/// When the two differ.
pub(crate) fn check(body: &[u8]) {
    let (points, errors) = parse(body, Precision::Nanosecond);
    match decode(body) {
        Some(want) => {
            assert_eq!(errors, [], "refused");
            assert_eq!(points, want);
        }
        None => assert!(!errors.is_empty(), "accepted as {points:?}"),
    }
    let mut lines_before = 0;
    for error in errors {
        assert!(error.number > lines_before, "a line is reported once, in order");
        lines_before = error.number;
        assert_eq!(body.get(error.offset..error.offset + error.line.len()), Some(error.line));
        let feeds = body.iter().take(error.offset).filter(|&&b| b == b'\n').count();
        assert_eq!(error.number, feeds as u64 + 1);
        assert!(error.quoted(16).len() < 400 || error.line.len() > 16);
    }
}

/// The points of `body`, or `None` if any of it is wrong.
pub(crate) fn decode(body: &[u8]) -> Option<Vec<Point>> {
    let mut cursor = Cursor(body);
    let mut points = Vec::new();
    loop {
        while cursor.eat(b" ") || cursor.line_end() {
            if cursor.0.is_empty() {
                return Some(points);
            }
        }
        match cursor.0.first() {
            None => return Some(points),
            Some(b'#') => cursor.comment()?,
            Some(_) => points.push(cursor.point()?),
        }
    }
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn eat(&mut self, text: &[u8]) -> bool {
        self.0.strip_prefix(text).map(|rest| self.0 = rest).is_some()
    }

    /// At LF, CR LF, CR and the end, or the end; eats it.
    fn line_end(&mut self) -> bool {
        if self.0 == b"\r" {
            self.0 = b"";
        }
        self.0.is_empty() || self.eat(b"\n") || self.eat(b"\r\n")
    }

    fn spaces(&mut self) -> usize {
        let before = self.0.len();
        while self.eat(b" ") {}
        before - self.0.len()
    }

    fn comment(&mut self) -> Option<()> {
        while !self.line_end() {
            let (&b, rest) = self.0.split_first()?;
            self.0 = rest;
            if b.is_ascii_control() {
                return None;
            }
        }
        Some(())
    }

    /// Bytes up to one of `stops`, with `\` before one of `escapes` removed.
    fn name(&mut self, stops: &[u8], escapes: &[u8], control: bool) -> Option<String> {
        let mut text = Vec::new();
        loop {
            match *self.0 {
                [b'\\', next, ..] if escapes.contains(&next) => {
                    text.push(next);
                    self.0 = &self.0[2..];
                }
                [b, ..] if stops.contains(&b) || (!control && b.is_ascii_control()) => break,
                [] => break,
                [b, ..] => {
                    text.push(b);
                    self.0 = &self.0[1..];
                }
            }
        }
        if text.is_empty() { None } else { String::from_utf8(text).ok() }
    }

    fn point(&mut self) -> Option<Point> {
        let measurement = self.name(b", ", b", ", false)?;
        let mut tags = Vec::new();
        while self.eat(b",") {
            let key = self.name(b",= ", b",= ", false)?;
            if !self.eat(b"=") {
                return None;
            }
            tags.push((key, self.name(b",= \r\n", b",= ", true)?));
        }
        tags.sort();
        if tags.windows(2).any(|pair| pair[0].0 == pair[1].0) || self.spaces() == 0 {
            return None;
        }
        let mut fields = Vec::new();
        loop {
            let key = self.name(b",= ", b",= ", false)?;
            if !self.eat(b"=") {
                return None;
            }
            fields.push((key, self.value()?));
            if !self.eat(b",") {
                break;
            }
        }
        let mut time = None;
        let gap = self.spaces();
        if !self.line_end() {
            let token = self.token(b" \r\n");
            let digits = token.strip_prefix('-').unwrap_or(&token);
            if gap == 0 || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            time = Some(token.parse().ok()?);
            self.spaces();
            if !self.line_end() {
                return None;
            }
        }
        Some(Point { measurement, tags, fields, time })
    }

    fn token(&mut self, stops: &[u8]) -> String {
        let end = self.0.iter().position(|b| stops.contains(b)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        String::from_utf8_lossy(token).into_owned()
    }

    fn value(&mut self) -> Option<Field> {
        if self.eat(b"\"") {
            let mut text = Vec::new();
            loop {
                let (&b, rest) = self.0.split_first()?;
                self.0 = rest;
                match (b, rest.first()) {
                    (b'"', _) => return String::from_utf8(text).ok().map(Field::Str),
                    (b'\\', Some(&next @ (b'"' | b'\\'))) => {
                        text.push(next);
                        self.0 = &self.0[1..];
                    }
                    _ => text.push(b),
                }
            }
        }
        let token = self.token(b", \r\n");
        match token.as_str() {
            "t" | "T" | "true" | "True" | "TRUE" => return Some(Field::Bool(true)),
            "f" | "F" | "false" | "False" | "FALSE" => return Some(Field::Bool(false)),
            _ => {}
        }
        // What the standard library takes and the format does not.
        if !token.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.') {
            return None;
        }
        let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if let Some(digits) = token.strip_suffix('i') {
            return digits.parse().ok().map(Field::Int);
        }
        if let Some(digits) = token.strip_suffix('u') {
            return digits.parse().ok().filter(|_| all_digits(digits)).map(Field::Uint);
        }
        if !token.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) {
            return None;
        }
        token.parse().ok().filter(|v: &f64| v.is_finite()).map(|v| Field::Float(v.to_bits()))
    }
}
