//! Our own scripts use the whole language: whatever is new in it comes with a script.

#![expect(clippy::disallowed_methods, reason = "the scripts are files; the crate stays pure")]

use std::collections::BTreeSet;
use std::path::Path;

use promql::annotations::{Severity, TEXTS};
use promql::ast::{AggregateOp, BinaryOp, Expr};
use promql::functions::FUNCTIONS;
use promql::script::expressions;
use promql::{ParseOptions, parse};

/// Texts that no script can bring about, and the test that does.
const ELSEWHERE: [(&str, &str); 1] = [(
    "metric might not be a counter, __type__ label is not set to ",
    "scripts run without type-and-unit-labels: functions::notes::tests",
)];

/// All scripts, one behind the other.
fn scripts() -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let entries = std::fs::read_dir(&dir).expect("the directory of scripts");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(entry.expect("an entry").path()).expect("a readable file")
    };
    entries.map(read).collect::<Vec<_>>().join("\n\n")
}

/// What stands in `all` and not in `used`.
fn missing<'a>(all: impl IntoIterator<Item = &'a str>, used: &BTreeSet<&str>) -> Vec<&'a str> {
    all.into_iter().filter(|name| !used.contains(name)).collect()
}

#[test]
fn scripts_evaluate_every_function_and_operator() {
    let (mut functions, mut aggregations, mut operators) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for text in expressions(&scripts()) {
        let ast = parse(&text, &ParseOptions::all()).unwrap_or_else(|e| panic!("{text}: {e}"));
        for (_, node) in ast.iter() {
            match &node.expr {
                Expr::Call { function, .. } => {
                    functions.insert(function.name);
                }
                Expr::Aggregate(aggregate) => {
                    aggregations.insert(aggregate.op.as_str());
                }
                Expr::Binary(binary) => {
                    operators.insert(binary.op.as_str());
                }
                _ => {}
            }
        }
    }
    let none: [&str; 0] = [];
    assert_eq!(missing(FUNCTIONS.iter().map(|f| f.name), &functions), none);
    assert_eq!(missing(AggregateOp::ALL.map(AggregateOp::as_str), &aggregations), none);
    assert_eq!(missing(BinaryOp::ALL.map(BinaryOp::as_str), &operators), none);
}

#[test]
fn scripts_expect_every_annotation() {
    let scripts = scripts();
    let expected = |severity: Severity, start: &str| {
        let prefix = match severity {
            Severity::Warning => "expect warn msg:PromQL warning: ",
            Severity::Info => "expect info msg:PromQL info: ",
        };
        let mut texts = scripts.lines().filter_map(|line| line.trim().strip_prefix(prefix));
        texts.any(|text| text.starts_with(start))
    };
    for (severity, start) in TEXTS {
        let elsewhere = ELSEWHERE.iter().any(|(text, _)| text == start);
        assert_ne!(expected(*severity, start), elsewhere, "{start}");
    }
}
