//! No text makes the parsers panic, and an error stands inside the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promql::{ParseOptions, parse, parse_duration, parse_number, parse_selector};

fuzz_target!(|text: &str| {
    for options in [ParseOptions::default(), ParseOptions::all()] {
        if let Err(error) = parse(text, &options) {
            assert!(error.pos.start as usize <= text.len());
        }
    }
    let _ = (parse_selector(text), parse_duration(text), parse_number(text));
});
