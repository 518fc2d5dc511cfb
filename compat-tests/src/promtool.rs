//! promtool, as users run it against a server.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::peers;

/// An installed promtool.
#[derive(Debug)]
pub struct Promtool(PathBuf);

impl Promtool {
    /// The installed one; says `skipped: <what>` when there is none.
    pub fn find(what: &str) -> Option<Self> {
        peers::find("promtool", what).map(Self)
    }

    /// Runs it with `arguments`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(&self.0).args(arguments).output().expect("promtool runs")
    }

    /// Exit code, the lines of its output sorted, and its errors.
    ///
    /// Sorted, because the order of an instant vector is not specified.
    pub fn lines(&self, arguments: &[&str]) -> (Option<i32>, Vec<String>, String) {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        (output.status.code(), lines, String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
