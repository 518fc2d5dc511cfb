//! What is wrong with a query text.

use std::fmt;

use crate::ast::Pos;

/// The first error of a query, with the text and place that Prometheus gives.
///
/// Displays as `<line>:<column>: parse error: <message>`; lines and columns (in bytes) count
/// from 1. An empty text has no places, so it says `unknown position` instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Where the error stands in the text.
    pub pos: Pos,
    /// What is wrong, without the place.
    pub message: String,
    /// The limit that the text is over (L16, L17), by the name under which refusals are counted.
    pub limit: Option<&'static str>,
    /// Line and column of `pos.start`; `None` for the empty text.
    place: Option<(u32, u32)>,
}

impl ParseError {
    /// An error at `pos` of `text`.
    pub fn new(text: &str, pos: Pos, message: impl Into<String>) -> Self {
        Self { pos, message: message.into(), limit: None, place: place(text, pos.start) }
    }

    /// The error of a text over `limit`.
    #[must_use]
    pub fn over(self, limit: &'static str) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Line and column of the error, from 1; `None` for the empty text.
    pub fn line_column(&self) -> Option<(u32, u32)> {
        self.place
    }
}

/// Line and column of byte `at`.
fn place(text: &str, at: u32) -> Option<(u32, u32)> {
    if text.is_empty() {
        return None;
    }
    let before = &text.as_bytes()[..text.len().min(at as usize)];
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let line = before.split(|b| *b == b'\n').count();
    let count = |n: usize| u32::try_from(n).expect("a query is shorter than 4 GiB");
    Some((count(line), count(before.len() - line_start + 1)))
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{line}:{column}: parse error: {}", self.message),
            None => write!(f, "unknown position: parse error: {}", self.message),
        }
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_bytes_from_one() {
        for (text, at, want) in [
            ("foo", 0, "1:1: parse error: m"),
            ("foo", 3, "1:4: parse error: m"),
            ("a\nbc\nd", 3, "2:2: parse error: m"),
            ("é\né$", 5, "2:3: parse error: m"),
            ("", 0, "unknown position: parse error: m"),
        ] {
            let error = ParseError::new(text, Pos { start: at, end: at }, "m");
            assert_eq!(error.to_string(), want, "{text:?} at {at}");
        }
    }
}
