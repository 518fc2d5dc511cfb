//! Warnings and infos of an answer, as texts with the place in the query.

use promql::annotations::{Detail, Severity};
use promql::ast::Pos;
use promql::number;

use crate::http::params::format_rfc3339;
use crate::standin::engine::QueryResult;

/// Annotations of one kind that an answer holds; the rest is counted.
const MAX_NOTES: usize = 10;

/// What the reader of an answer should know.
#[derive(Debug, Default)]
pub(super) struct Notes {
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Notes {
    /// The annotations of a result; `query` is the text that their places refer to.
    pub(super) fn of(query: &str, result: &QueryResult) -> Self {
        let mut notes = Self::default();
        notes.warnings.extend(result.storage_warnings.iter().cloned());
        for (severity, text, pos, detail) in result.annotations.iter() {
            let (prefix, list) = match severity {
                Severity::Warning => ("PromQL warning: ", &mut notes.warnings),
                Severity::Info => ("PromQL info: ", &mut notes.infos),
            };
            list.push(format!("{prefix}{text}{}{}", numbers(detail), place(query, pos)));
        }
        notes
    }

    /// Adds a warning of the API.
    pub(super) fn warn(&mut self, text: &str) {
        self.warnings.push(text.to_owned());
    }

    /// The warnings to answer with.
    pub(super) fn warnings(&self) -> Vec<String> {
        first(&self.warnings, "warning")
    }

    /// The infos to answer with.
    pub(super) fn infos(&self) -> Vec<String> {
        first(&self.infos, "info")
    }
}

fn first(all: &[String], kind: &str) -> Vec<String> {
    let mut kept: Vec<String> = all.iter().take(MAX_NOTES).cloned().collect();
    if all.len() > MAX_NOTES {
        kept.push(format!("{} more {kind} annotations omitted", all.len() - MAX_NOTES));
    }
    kept
}

fn numbers(detail: &Detail) -> String {
    let Some(m) = detail.monotonicity else { return String::new() };
    format!(
        ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
        number::format_g(m.min_bound),
        number::format_g(m.max_bound),
        number::format_g_rounded(m.max_diff, 2),
        m.samples,
        format_rfc3339(m.first_ms),
        format_rfc3339(m.last_ms),
    )
}

/// ` (line:column)`, both from 1, the column in bytes.
fn place(query: &str, pos: Pos) -> String {
    let at = (pos.start as usize).min(query.len());
    let before = &query.as_bytes()[..at];
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    let column = at - before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
    format!(" ({line}:{})", column + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_from_one() {
        for (at, want) in [(0, " (1:1)"), (2, " (1:3)"), (4, " (2:1)"), (99, " (2:4)")] {
            assert_eq!(place("abc\nxyz", Pos { start: at, end: at }), want);
        }
    }

    #[test]
    fn ten_of_a_kind_and_the_number_of_the_rest() {
        let mut notes = Notes::default();
        for i in 0..12 {
            notes.warn(&format!("w{i}"));
        }
        let warnings = notes.warnings();
        assert_eq!(
            (warnings.len(), warnings[10].as_str()),
            (11, "2 more warning annotations omitted")
        );
        assert!(notes.infos().is_empty());
    }
}
