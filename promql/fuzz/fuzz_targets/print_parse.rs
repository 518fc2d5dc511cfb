//! What is printed parses again and prints the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promql::{ParseOptions, parse, prettify, to_json};

fuzz_target!(|text: &str| {
    let all = ParseOptions::all();
    let Ok(ast) = parse(text, &all) else { return };
    let printed = ast.to_string();
    // Prometheus prints a plus before it, which before a power is an operator.
    if printed.contains("+Inf") {
        return;
    }
    let again = parse(&printed, &all).expect("what is printed parses");
    assert_eq!(again.to_string(), printed);
    let pretty = parse(&prettify(&ast), &all).expect("what is formatted parses");
    assert_eq!(pretty.to_string(), printed);
    assert!(to_json(&ast).starts_with('{'));
});
