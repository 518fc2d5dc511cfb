//! Warnings and infos that an evaluation leaves (contract 3.14).

use std::collections::BTreeMap;
use std::fmt;

use crate::ParseError;
use crate::ast::Pos;
use crate::functions::notes::{self, Operation};
use crate::histogram::arithmetic::Outcome;
use crate::number;

/// What is said once per text: identical annotations merge, and name the place that Prometheus comes
/// to last.
#[derive(Debug, Clone, Default)]
pub struct Annotations {
    entries: BTreeMap<Key, (Place, Detail)>,
}

/// What an annotation is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The part of the query; none where a function is given a subquery, of which Prometheus has
    /// forgotten where it was when it evaluates the function. It then names the beginning.
    pub pos: Option<Pos>,
    /// When Prometheus is done with the function or operator that says so, among the parts of the
    /// query: of equal texts it keeps the last.
    pub turn: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    severity: Severity,
    text: String,
}

/// How the texts begin, all of them (contract 3.14). A text that is not in this table is a defect, so
/// that whoever adds one meets the test that asks for a script of each.
pub const TEXTS: &[(Severity, &str)] = &[
    (Severity::Warning, "ratio value should be between -1 and 1, got "),
    (Severity::Warning, "quantile value should be between 0 and 1, got "),
    (Severity::Warning, "bucket label \"le\" is missing or has a malformed value of "),
    (Severity::Warning, "encountered a mix of histograms and floats for metric name "),
    (Severity::Warning, "encountered a mix of histograms and floats for aggregation"),
    (Severity::Warning, "vector contains a mix of classic and native histograms"),
    (Severity::Warning, "vector contains a mix of histograms with exponential and custom buckets "),
    (Severity::Warning, "this native histogram metric is not a counter: "),
    (Severity::Warning, "this native histogram metric is not a gauge: "),
    (Severity::Warning, "incompatible bucket layout encountered for binary operator "),
    (Severity::Warning, "sort is ineffective for range queries "),
    (Severity::Warning, "conflicting counter resets during histogram addition"),
    (Severity::Warning, "conflicting counter resets during histogram subtraction"),
    (Severity::Warning, "conflicting counter resets during histogram aggregation"),
    (Severity::Warning, "sample has start time that overlaps with previous sample timestamp "),
    (Severity::Info, "metric might not be a counter, name does not end in "),
    (Severity::Info, "metric might not be a counter, __type__ label is not set to "),
    (Severity::Info, "input to histogram_quantile needed to be fixed for monotonicity "),
    (Severity::Info, "input to histogram_quantile has NaN observations, result is NaN"),
    (Severity::Info, "input to histogram_quantile has NaN observations, result is skewed higher"),
    (Severity::Info, "input to histogram_fraction has NaN observations, "),
    (Severity::Info, "incompatible sample types encountered for binary operator "),
    (Severity::Info, "ignored histogram in "),
    (Severity::Info, "ignored histograms in a range containing both floats and histograms "),
    (Severity::Info, "mismatched custom buckets were reconciled during addition"),
    (Severity::Info, "mismatched custom buckets were reconciled during subtraction"),
    (Severity::Info, "mismatched custom buckets were reconciled during aggregation"),
];

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
    pub fn warn(&mut self, text: impl Into<String>, place: Place) {
        self.add(Severity::Warning, text.into(), place, None);
    }

    /// Adds an info; `text` is without the prefix `PromQL info: ` and the position.
    pub fn info(&mut self, text: impl Into<String>, place: Place) {
        self.add(Severity::Info, text.into(), place, None);
    }

    /// Adds the monotonicity info; `text` is what stands before `, from buckets`.
    pub fn monotonicity(&mut self, text: impl Into<String>, place: Place, numbers: Monotonicity) {
        self.add(Severity::Info, text.into(), place, Some(numbers));
    }

    /// Adds what the addition or subtraction of histograms had to say.
    pub fn histogram_outcome(&mut self, outcome: Outcome, operation: Operation, place: Place) {
        if outcome.conflicting_resets {
            self.warn(notes::conflicting_resets(operation), place);
        }
        if outcome.mismatched_bounds {
            self.info(notes::mismatched_bounds(operation), place);
        }
    }

    fn add(
        &mut self,
        severity: Severity,
        text: String,
        place: Place,
        numbers: Option<Monotonicity>,
    ) {
        debug_assert!(
            TEXTS.iter().any(|(of, start)| *of == severity && text.starts_with(start)),
            "{text:?} is not in the table of texts"
        );
        let (last, detail) = self.entries.entry(Key { severity, text }).or_default();
        if place.turn >= last.turn {
            *last = place;
        }
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
        for (key, (place, detail)) in other.entries {
            self.add(key.severity, key.text, place, detail.monotonicity);
        }
    }

    /// The same annotations about another occurrence of the part that they are about, which begins
    /// where `to` does and not where `from` does.
    #[must_use]
    pub(crate) fn moved(&self, from: Place, to: Place) -> Self {
        let starts = [from, to].map(|place| place.pos.unwrap_or_default().start);
        let move_pos = |at: u32| at.wrapping_sub(starts[0]).wrapping_add(starts[1]);
        let moved = self.entries.iter().map(|(key, (place, detail))| {
            let pos = place.pos.map(|p| Pos { start: move_pos(p.start), end: move_pos(p.end) });
            let turn = place.turn.wrapping_sub(from.turn).wrapping_add(to.turn);
            (key.clone(), (Place { pos, turn }, detail.clone()))
        });
        Self { entries: moved.collect() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Severity, text, place and numbers of each, warnings first.
    pub fn iter(&self) -> impl Iterator<Item = (Severity, &str, Place, &Detail)> {
        self.entries
            .iter()
            .map(|(key, (place, detail))| (key.severity, key.text.as_str(), *place, detail))
    }

    /// Each annotation as Prometheus prints it: prefix, text and the line and column of its place
    /// in `query`.
    pub fn render_all(&self, query: &str) -> Vec<(Severity, String)> {
        self.iter()
            .map(|(severity, text, place, detail)| {
                let prefix = match severity {
                    Severity::Warning => "PromQL warning: ",
                    Severity::Info => "PromQL info: ",
                };
                let numbers =
                    detail.monotonicity.map_or_else(String::new, |numbers| numbers.to_string());
                let pos = place.pos.unwrap_or_default();
                let (line, column) =
                    ParseError::new(query, pos, "").line_column().unwrap_or((1, 1));
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
        let at = |start| Place { pos: Some(Pos { start, end: start + 1 }), turn: 1 };
        annotations.warn(notes::invalid_quantile(2.0), at(5));
        annotations.info("ignored histogram in min aggregation", at(0));
        let (warnings, infos) = annotations.render("ab\ncd");
        let quantile = "PromQL warning: quantile value should be between 0 and 1, got 2 (2:3)";
        assert_eq!(warnings, [quantile]);
        assert_eq!(infos, ["PromQL info: ignored histogram in min aggregation (1:1)"]);
    }

    #[test]
    fn more_than_ten_are_counted() {
        let mut annotations = Annotations::new();
        for i in 0..13 {
            annotations.info(format!("ignored histogram in {i:02} aggregation"), Place::default());
        }
        let (_, infos) = annotations.render("x");
        assert_eq!((infos.len(), infos[10].as_str()), (11, "3 more info annotations omitted"));
    }

    #[test]
    fn equal_texts_are_one_at_the_last_place() {
        let mut annotations = Annotations::new();
        for (q, start, turn) in [(2.0, 4, 3), (2.0, 9, 5), (2.0, 7, 5), (2.0, 12, 2), (3.0, 1, 8)] {
            let pos = Some(Pos { start, end: start + 1 });
            annotations.warn(notes::invalid_quantile(q), Place { pos, turn });
        }
        let starts: Vec<Option<u32>> =
            annotations.iter().map(|(_, _, place, _)| place.pos.map(|pos| pos.start)).collect();
        assert_eq!(starts, [Some(7), Some(1)]);
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
