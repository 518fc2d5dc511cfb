//! The fuzz corpus and past crashes, on the stable compiler. The checks are those of the targets
//! in `fuzz/`.

#[path = "../fuzz/tiny_store.rs"]
mod tiny_store;

use promql::{
    ParseOptions, parse, parse_duration, parse_number, parse_selector, prettify, to_json,
};

/// Calls `check` with each text of a corpus, cut and spoiled in every place: many texts of one.
#[expect(clippy::disallowed_methods, reason = "the corpus lies in files")]
fn each_text(corpus: &str, check: fn(&str)) {
    let dir = format!("{}/fuzz/corpus/{corpus}", env!("CARGO_MANIFEST_DIR"));
    let mut num_texts = 0;
    for entry in std::fs::read_dir(dir).expect("the corpus is in the repository") {
        let path = entry.expect("the directory can be read").path();
        let bytes = std::fs::read(path).expect("the file can be read");
        for cut in 0..=bytes.len() {
            check(&String::from_utf8_lossy(&bytes[..cut]));
            let mut spoiled = bytes.clone();
            if let Some(byte) = spoiled.get_mut(cut) {
                *byte ^= 0x08;
            }
            check(&String::from_utf8_lossy(&spoiled));
        }
        num_texts += 1;
    }
    assert!(num_texts >= 10);
}

#[test]
fn the_fuzz_corpus_does_no_harm() {
    each_text("parse", replay);
}

#[test]
fn what_is_evaluated_ends_without_a_panic_and_gives_its_memory_back() {
    each_text("eval", tiny_store::evaluate);
    each_text("parse", tiny_store::evaluate);
}

fn replay(text: &str) {
    let all = ParseOptions::all();
    let _ = (parse_selector(text), parse_duration(text), parse_number(text));
    match parse(text, &all) {
        Err(error) => assert!(error.pos.start as usize <= text.len(), "{text:?}"),
        Ok(ast) => {
            let printed = ast.to_string();
            // Prometheus prints a plus before it, which before a power is an operator.
            if printed.contains("+Inf") {
                return;
            }
            for again in [printed.clone(), prettify(&ast)] {
                let again = parse(&again, &all).map(|ast| ast.to_string());
                assert_eq!(again, Ok(printed.clone()), "{text:?}");
            }
            assert!(to_json(&ast).starts_with('{'));
        }
    }
}
