//! The `.test` language (contract, section 4): load series, evaluate queries, compare.
//!
//! ```text
//! load 5m
//!   requests_total{job="a"} 0+10x10
//!
//! eval instant at 50m rate(requests_total[5m])
//!   {job="a"} 0.03333333333333333
//! ```
//!
//! Each `eval instant` is evaluated again with its selectors pinned to the time, at other times,
//! and as a range query, as Prometheus's own runner does.

mod command;
mod compare;
mod nhcb;
mod pin;
mod run;
mod series;

pub use run::{Case, expressions, load, run};

/// The script is not in the language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// Line in the script, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub message: String,
}

impl ScriptError {
    fn new(line: u32, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}
