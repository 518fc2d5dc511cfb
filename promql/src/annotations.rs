//! Warnings and infos that an evaluation leaves (contract 3.14).

use std::collections::BTreeMap;
use std::fmt;

use crate::ParseError;
use crate::ast::Pos;
use crate::functions::notes::{self, Operation};
use crate::histogram::arithmetic::Outcome;
use crate::number;

/// What is said once per text and place: identical annotations merge.
#[derive(Debug, Clone, Default)]
pub struct Annotations {
    entries: BTreeMap<Key, Detail>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    severity: Severity,
    text: String,
    pos: (u32, u32),
}

/// How much an annotation says about the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The answer is probably not what was wanted.
    Warning,
    /// The reader should know.
    Info,
}

/// What repeated annotations of one text add up to; only the monotonicity repair of
/// `histogram_quantile` has numbers to merge.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Detail {
    /// Smallest and largest bucket bound repaired, largest difference, samples, first and last
    /// time in ms.
    pub monotonicity: Option<Monotonicity>,
}

/// The numbers of the monotonicity info.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Monotonicity {
    /// Smallest bucket bound that was repaired.
    pub min_bound: f64,
    /// Largest bucket bound that was repaired.
    pub max_bound: f64,
    /// Largest difference in count.
    pub max_diff: f64,
    /// Number of samples repaired.
    pub samples: u64,
    /// First evaluation time, ms.
    pub first_ms: i64,
    /// Last evaluation time, ms.
    pub last_ms: i64,
}

impl Annotations {
    /// No annotations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a warning; `text` is without the prefix `PromQL warning: ` and the position.
    pub fn warn(&mut self, text: impl Into<String>, pos: Pos) {
        self.add(Severity::Warning, text.into(), pos, None);
    }

    /// Adds an info; `text` is without the prefix `PromQL info: ` and the position.
    pub fn info(&mut self, text: impl Into<String>, pos: Pos) {
        self.add(Severity::Info, text.into(), pos, None);
    }

    /// Adds the monotonicity info; `text` is what stands before `, from buckets`.
    pub fn monotonicity(&mut self, text: impl Into<String>, pos: Pos, numbers: Monotonicity) {
        self.add(Severity::Info, text.into(), pos, Some(numbers));
    }

    /// Adds what the addition or subtraction of histograms had to say.
    pub fn histogram_outcome(&mut self, outcome: Outcome, operation: Operation, pos: Pos) {
        if outcome.conflicting_resets {
            self.warn(notes::conflicting_resets(operation), pos);
        }
        if outcome.mismatched_bounds {
            self.info(notes::mismatched_bounds(operation), pos);
        }
    }

    fn add(&mut self, severity: Severity, text: String, pos: Pos, numbers: Option<Monotonicity>) {
        let key = Key { severity, text, pos: (pos.start, pos.end) };
        let detail = self.entries.entry(key).or_default();
        detail.monotonicity = match (detail.monotonicity, numbers) {
            (Some(a), Some(b)) => Some(Monotonicity {
                min_bound: a.min_bound.min(b.min_bound),
                max_bound: a.max_bound.max(b.max_bound),
                max_diff: a.max_diff.max(b.max_diff),
                samples: a.samples + b.samples,
                first_ms: a.first_ms.min(b.first_ms),
                last_ms: a.last_ms.max(b.last_ms),
            }),
            (a, b) => a.or(b),
        };
    }

    /// Takes over the annotations of a part of the evaluation.
    pub fn merge(&mut self, other: Self) {
        for (key, detail) in other.entries {
            let pos = Pos { start: key.pos.0, end: key.pos.1 };
            self.add(key.severity, key.text, pos, detail.monotonicity);
        }
    }

    /// The same annotations about another occurrence of the text that they are about, which begins at
    /// byte `to` and not at byte `from`.
    #[must_use]
    pub(crate) fn moved(&self, from: u32, to: u32) -> Self {
        let move_place = |at: u32| at.wrapping_sub(from).wrapping_add(to);
        let moved = self.entries.iter().map(|(key, detail)| {
            let pos = (move_place(key.pos.0), move_place(key.pos.1));
            (Key { pos, ..key.clone() }, detail.clone())
        });
        Self { entries: moved.collect() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Severity, text, place and numbers of each, warnings first.
    pub fn iter(&self) -> impl Iterator<Item = (Severity, &str, Pos, &Detail)> {
        self.entries
            .iter()
            .map(|(k, d)| (k.severity, k.text.as_str(), Pos { start: k.pos.0, end: k.pos.1 }, d))
    }

    /// Each annotation as Prometheus prints it: prefix, text and the line and column of its place
    /// in `query`.
    pub fn render_all(&self, query: &str) -> Vec<(Severity, String)> {
        self.iter()
            .map(|(severity, text, pos, detail)| {
                let prefix = match severity {
                    Severity::Warning => "PromQL warning: ",
                    Severity::Info => "PromQL info: ",
                };
                let numbers =
                    detail.monotonicity.map_or_else(String::new, |numbers| numbers.to_string());
                let place = ParseError::new(query, pos, "").line_column();
                let (line, column) = place.unwrap_or((1, 1));
                (severity, format!("{prefix}{text}{numbers} ({line}:{column})"))
            })
            .collect()
    }

    /// Warnings and infos for an answer: at most ten of each, and how many more there are.
    pub fn render(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        for (severity, text) in self.render_all(query) {
            match severity {
                Severity::Warning => warnings.push(text),
                Severity::Info => infos.push(text),
            }
        }
        for (texts, kind) in [(&mut warnings, "warning"), (&mut infos, "info")] {
            let omitted = texts.len().saturating_sub(MAX_RENDERED);
            if omitted > 0 {
                texts.truncate(MAX_RENDERED);
                texts.push(format!("{omitted} more {kind} annotations omitted"));
            }
        }
        (warnings, infos)
    }
}

/// Most annotations of one severity in an answer.
const MAX_RENDERED: usize = 10;

impl fmt::Display for Monotonicity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            number::format_g(self.min_bound),
            number::format_g(self.max_bound),
            number::format_g_rounded(self.max_diff, 2),
            self.samples,
            rfc3339(self.first_ms),
            rfc3339(self.last_ms),
        )
    }
}

/// `2023-11-14T22:13:20Z`: UTC, fractions of a second cut off.
fn rfc3339(t_ms: i64) -> String {
    let (days, seconds) = (t_ms.div_euclid(86_400_000), t_ms.rem_euclid(86_400_000) / 1000);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The proleptic Gregorian date of a day counted from 1970-01-01. Years are taken to begin in
/// March, so that the leap day is their last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_columns() {
        let mut annotations = Annotations::new();
        annotations.warn("w", Pos { start: 5, end: 6 });
        annotations.info("i", Pos { start: 0, end: 1 });
        let (warnings, infos) = annotations.render("ab\ncd");
        assert_eq!(warnings, ["PromQL warning: w (2:3)"]);
        assert_eq!(infos, ["PromQL info: i (1:1)"]);
    }

    #[test]
    fn more_than_ten_are_counted() {
        let mut annotations = Annotations::new();
        for i in 0..13 {
            annotations.info(format!("{i:02}"), Pos::default());
        }
        let (_, infos) = annotations.render("x");
        assert_eq!((infos.len(), infos[10].as_str()), (11, "3 more info annotations omitted"));
    }

    #[test]
    fn times_are_printed_in_utc() {
        for (t_ms, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_700_000_000_999, "2023-11-14T22:13:20Z"),
            (-1000, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(t_ms), want);
        }
    }
}
