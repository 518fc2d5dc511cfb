//! Warnings and infos that an evaluation leaves (contract 3.14).

use std::collections::BTreeMap;

use crate::ast::Pos;
use crate::functions::notes::{self, Operation};
use crate::histogram::arithmetic::Outcome;

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
}
