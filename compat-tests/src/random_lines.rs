//! Random line protocol: lines that every InfluxDB takes, in every way that they may be written;
//! lines that none takes; and lines with a few bytes changed, of which nobody knows.

mod words;

use std::fmt::Write as _;

use crate::promql::Labels;
use crate::rng::{Rng, now_ms};

use words::{
    BAD, BOOLEANS, COMMENTS, EDITS, FIELDS, FLOATS, INTEGERS, MEASUREMENTS, STRINGS, TAG_KEYS,
    TAG_VALUES,
};

/// Names of `precision` that both servers know, and their units, ns.
const PRECISIONS: [(&str, i64); 8] = [
    ("", 1),
    ("ns", 1),
    ("n", 1),
    ("u", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
/// The measurement of lines without a time.
pub const CLOCK: &str = "clock";

/// Longest line that is changed.
const MAX_MUTATED_BYTES: usize = 180;

/// A point that a line holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Its measurement.
    pub measurement: String,
    /// Its tags.
    pub tags: Labels,
    /// Its fields that are no strings.
    pub fields: Vec<String>,
    /// Its time, ns; none where the server's clock gives it.
    pub t_ns: Option<i64>,
}

/// The body of a request.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Its `precision`.
    pub precision: &'static str,
    /// Its lines.
    pub body: Vec<u8>,
    /// Its points, in order.
    pub points: Vec<Written>,
}

/// Makes lines; the same ones for each seed but for the clock.
#[derive(Debug)]
pub struct Generator {
    rng: Rng,
    now_ns: i64,
    num_clock: u64,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Type {
    Float,
    Integer,
    Boolean,
    String,
}

impl Generator {
    /// A generator.
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), now_ns: now_ms() * 1_000_000, num_clock: 0 }
    }

    /// Some lines for the database `db`, at most ten of them bad.
    pub fn batch(&mut self, db: &str) -> Batch {
        let (precision, unit) = PRECISIONS[self.index(PRECISIONS.len())];
        let mut batch = Batch { precision, body: Vec::new(), points: Vec::new() };
        let (num_lines, mut num_bad) = (self.rng.between(1, 40), 0);
        // Some requests hold nothing that is good, or nothing at all.
        let only = self.rng.below(12);
        for _ in 0..num_lines {
            let line = match self.rng.below(20) {
                0 => self.one_of(COMMENTS),
                1 => self.one_of(&["", " ", "   "]),
                _ if only == 0 => continue,
                2 => {
                    num_bad += 1;
                    if num_bad > 10 { String::new() } else { self.one_of(BAD) }
                }
                _ if only == 1 => continue,
                _ => {
                    let (line, point) = self.line(db, unit);
                    batch.points.push(point);
                    line
                }
            };
            batch.body.extend_from_slice(line.as_bytes());
            batch.body.push(b'\n');
        }
        if self.rng.one_in(3) {
            batch.body.pop();
        }
        batch
    }

    /// A line with a few bytes changed, short enough to be quoted whole, and the precision to send
    /// it with.
    pub fn mutated(&mut self) -> (Vec<u8>, &'static str) {
        let (precision, unit) = PRECISIONS[self.index(PRECISIONS.len())];
        let mut line = loop {
            let (line, _) = self.line("", unit);
            if line.len() < MAX_MUTATED_BYTES {
                break line.into_bytes();
            }
        };
        for _ in 0..self.rng.between(1, 4) {
            self.edit(&mut line);
        }
        (line, precision)
    }

    fn edit(&mut self, line: &mut Vec<u8>) {
        let at = self.index(line.len().max(1));
        let byte = match self.rng.below(60) {
            0 => u8::try_from(self.rng.below(256)).expect("a byte"),
            1 => b'\r',
            2 => b'\t',
            3 => b'\n',
            _ => EDITS[self.index(EDITS.len())],
        };
        match self.rng.below(6) {
            0 if !line.is_empty() => {
                line.remove(at);
            }
            1 if !line.is_empty() => line[at] = byte,
            // A piece twice, or gone.
            2 => {
                let end = (at + self.index(8)).min(line.len());
                let piece = line[at..end].to_vec();
                line.splice(at..at, piece);
            }
            3 => {
                let end = (at + self.index(8)).min(line.len());
                line.drain(at..end);
            }
            _ => line.insert(at, byte),
        }
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.rng.below(len as u64)).expect("an index")
    }

    fn one_of(&mut self, all: &[&str]) -> String {
        all[self.index(all.len())].to_owned()
    }

    /// A good line, without its line feed.
    fn line(&mut self, db: &str, unit: i64) -> (String, Written) {
        let is_clock = self.rng.one_in(40) && !db.is_empty();
        let measurement = if is_clock { CLOCK.to_owned() } else { self.one_of(MEASUREMENTS) };
        let mut tags = Labels::new();
        for _ in 0..[0, 1, 1, 2, 4][self.index(5)] {
            let value = match self.rng.below(3) {
                0 => self.rng.below(4).to_string(),
                _ => self.one_of(TAG_VALUES),
            };
            tags.insert(self.one_of(TAG_KEYS), value);
        }
        if !db.is_empty() && self.rng.one_in(40) {
            tags.insert("db".to_owned(), format!("not {db}"));
        }
        // Ignored here: what it tells apart in InfluxDB must be told apart by another tag.
        if let Some(value) = tags.get("__name__").cloned() {
            tags.insert("named".to_owned(), value);
        }
        if is_clock {
            self.num_clock += 1;
            tags.insert("number".to_owned(), self.num_clock.to_string());
        }
        let mut pairs: Vec<(&String, &String)> = tags.iter().collect();
        if self.rng.one_in(3) {
            pairs.reverse();
        }
        let mut line = " ".repeat(self.padding(0));
        line += &escape(&measurement, ", ");
        for (key, value) in pairs {
            let _ = write!(line, ",{}={}", escape(key, ",= "), escape(value, ",= "));
        }
        line += &" ".repeat(self.padding(1));
        let mut fields: Vec<(&str, Type)> = Vec::new();
        for i in 0..[1, 1, 2, 3, 5][self.index(5)] {
            // Twice the same in a line: the last wins.
            let field = FIELDS[self.index(FIELDS.len())];
            if i > 0 {
                line.push(',');
            }
            let _ = write!(line, "{}={}", escape(field.0, ",= "), self.value(field.1));
            fields.push(field);
        }
        let t_ns = (!is_clock).then(|| self.time(unit));
        if let Some(t_ns) = t_ns {
            let _ = write!(line, "{}{}", " ".repeat(self.padding(1)), t_ns / unit);
        }
        line += &" ".repeat(self.padding(0));
        fields.retain(|(_, kind)| *kind != Type::String);
        let fields = fields.into_iter().map(|(name, _)| name.to_owned()).collect();
        (line, Written { measurement, tags, fields, t_ns })
    }

    /// `least` spaces, seldom more.
    fn padding(&mut self, least: usize) -> usize {
        if self.rng.one_in(15) { least + self.index(3) } else { least }
    }

    /// A time in whole units, often one that was there before, in any order.
    fn time(&mut self, unit: i64) -> i64 {
        // Far enough back that it cannot be taken for the clock of the server.
        let now = self.now_ns - 14_400_000_000_000;
        let base =
            [now, now, 1_700_000_000_000_000_000, 0, -1_000_000_000_000_000_000][self.index(5)];
        let part = [0, 1, 999, 1_000, 999_999, 1_000_000][self.index(6)];
        let whole = [0, 1_000_000_000, 60_000_000_000, 3_600_000_000_000][self.index(4)];
        let t_ns = base + whole * self.rng.below(3).cast_signed() + part;
        t_ns - t_ns % unit
    }

    fn value(&mut self, kind: Type) -> String {
        match kind {
            Type::Float => match self.rng.below(5) {
                0 => self.one_of(FLOATS),
                1 => self.finite().to_string(),
                2 => format!("{:e}", self.finite()),
                3 => format!("{:.25}", self.rng.unit()),
                _ => format!("{}.{}", self.rng.below(1_000), self.rng.below(1_000)),
            },
            Type::Integer => match self.rng.below(3) {
                0 => self.one_of(INTEGERS),
                1 => format!("{}i", self.rng.bits().cast_signed()),
                _ => format!("-{}i", self.rng.below(1_000)),
            },
            Type::Boolean => self.one_of(BOOLEANS),
            Type::String => self.one_of(STRINGS),
        }
    }

    /// Any float that is a number, small and huge ones too.
    fn finite(&mut self) -> f64 {
        loop {
            let value = f64::from_bits(self.rng.bits());
            if value.is_finite() {
                return value;
            }
        }
    }
}

/// `text` with a backslash before each of `special`.
fn escape(text: &str, special: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if special.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_the_same_for_a_seed_and_hold_points_of_every_kind() {
        let batches = |seed| {
            let mut generator = Generator::new(seed);
            generator.now_ns = 0;
            (0..100).map(|_| generator.batch("d")).collect::<Vec<_>>()
        };
        assert_eq!(format!("{:?}", batches(1)), format!("{:?}", batches(1)));
        let all = batches(2);
        assert!(all.iter().any(|batch| batch.points.is_empty()));
        let points: Vec<&Written> = all.iter().flat_map(|batch| &batch.points).collect();
        assert!(points.iter().any(|p| p.fields.is_empty()), "strings alone");
        assert!(points.iter().any(|p| p.t_ns.is_none()));
        assert!(points.iter().any(|p| p.t_ns < Some(0)));
        assert!(points.iter().any(|p| p.tags.contains_key("__name__")));
    }

    #[test]
    fn an_escaped_name_has_a_backslash_before_what_would_end_it() {
        assert_eq!(escape("a,b c=d", ",= "), "a\\,b\\ c\\=d");
    }
}
