//! What a run says to people: lines that the test runner does not capture, and tables.

use std::fmt::Write as _;
use std::io::Write as _;

/// Prints `line` at once, also from a test that passes.
///
/// The test runner captures `eprintln!`; what a run skipped or measured must be seen anyway.
pub fn say(line: &str) {
    // A closed stderr is no reason to fail a test.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says that `what` was not tested, and why.
pub fn skipped(what: &str, why: &str) {
    say(&format!("skipped: {what} ({why})"));
}

/// Collects differences so that one run shows all of them.
#[derive(Debug, Default)]
pub struct Failures {
    checks: usize,
    lines: Vec<String>,
}

impl Failures {
    /// Counts one check and keeps what is wrong with it, under `name`.
    pub fn check(&mut self, name: &str, result: Result<(), String>) {
        self.checks += 1;
        if let Err(why) = result {
            self.lines.push(format!("{name}: {why}"));
        }
    }

    /// Checks made so far.
    pub fn checks(&self) -> usize {
        self.checks
    }

    /// The failures so far.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Ends the test: fails with every difference, or says what was checked.
    ///
    /// # Panics
    /// When a check failed, or when there was none: a table that became empty proves nothing.
    pub fn finish(self, what: &str) {
        assert!(self.checks > 0, "{what}: nothing was checked");
        if self.lines.is_empty() {
            say(&format!("{what}: {} checks", self.checks));
            return;
        }
        let shown = self.lines.iter().take(60).fold(String::new(), |mut out, line| {
            let cut: String = line.chars().take(1_000).collect();
            let _ = writeln!(out, "  {cut}");
            out
        });
        panic!("{what}: {} of {} checks failed\n{shown}", self.lines.len(), self.checks);
    }
}

/// A table of text, columns padded.
#[derive(Debug, Default)]
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with these column heads.
    pub fn new(head: &[&str]) -> Self {
        Self(vec![head.iter().map(|&cell| cell.to_owned()).collect()])
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.0.push(cells);
    }

    /// The table as text, a line per row.
    pub fn print(&self) -> String {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.0.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0)).collect();
        let mut out = String::new();
        for row in &self.0 {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(out, "| {cell:width$} ");
            }
            out.push_str("|\n");
        }
        out
    }
}
