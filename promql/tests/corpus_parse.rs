//! Every expression of Prometheus's own test scripts parses, or fails as the script says.

use promql::{ParseOptions, parse};

/// What a script says of an expression that fails.
struct Expected {
    /// Whether some line says that it fails.
    fails: bool,
    /// The message, or a pattern for it.
    message: Option<String>,
}

#[test]
#[expect(clippy::print_stdout, reason = "a skipped corpus is said")]
fn the_expressions_of_the_corpus_parse() {
    let Ok(corpus) = std::env::var("COMPAT_CORPUS") else {
        println!("skipped: COMPAT_CORPUS is not set");
        return;
    };
    let (mut num_parsed, mut wrong) = (0, Vec::new());
    for script in scripts(&std::path::Path::new(&corpus).join("promqltest")) {
        for (place, query, expected) in expressions(&script) {
            match parse(&query, &ParseOptions::all()) {
                Ok(ast) => {
                    num_parsed += 1;
                    let printed = ast.to_string();
                    let again = parse(&printed, &ParseOptions::all()).map(|ast| ast.to_string());
                    if again.as_ref() != Ok(&printed) {
                        wrong.push(format!("{place}: {query}\n  {printed}\n  {again:?}"));
                    }
                }
                Err(error) if !expected.fails => wrong.push(format!("{place}: {query}\n  {error}")),
                Err(error) => {
                    let said = expected.message.unwrap_or_default();
                    if !error.to_string().contains(&said) {
                        wrong.push(format!("{place}: {query}\n  got  {error}\n  want {said}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(num_parsed > 1000, "only {num_parsed} expressions found");
}

/// Path and text of each script.
#[expect(clippy::disallowed_methods, reason = "the corpus is outside of the project")]
fn scripts(dir: &std::path::Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(dir).expect("COMPAT_CORPUS has the scripts");
    entries
        .map(|entry| {
            let path = entry.expect("the directory can be read").path();
            let text = std::fs::read_to_string(&path).expect("a script is text");
            (path.display().to_string(), text)
        })
        .collect()
}

/// Place, text and expectation of each `eval` in a script.
fn expressions((path, text): &(String, String)) -> Vec<(String, String, Expected)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (at, num_words) = match words.as_slice() {
            [eval, "instant", "at", ..] if eval.starts_with("eval") => (4, words.len()),
            [eval, "range", "from", _, "to", _, "step", ..] if eval.starts_with("eval") => {
                (8, words.len())
            }
            _ => continue,
        };
        if num_words <= at {
            continue;
        }
        // The expression is the rest of the line, with its own blanks.
        let mut rest = line.trim_start();
        for _ in 0..at {
            rest = rest.trim_start().split_once(char::is_whitespace).map_or("", |(_, rest)| rest);
        }
        let details = lines[i + 1..].iter().map(|l| l.trim()).take_while(|l| !l.is_empty());
        let mut expected = Expected { fails: words[0] == "eval_fail", message: None };
        for detail in details {
            let message = detail
                .strip_prefix("expect fail msg:")
                .or_else(|| detail.strip_prefix("expected_fail_message "));
            expected.fails |= detail.starts_with("expect fail");
            expected.message = message.map(|m| m.trim().to_owned()).or(expected.message);
        }
        found.push((format!("{path}:{}", i + 1), rest.trim().to_owned(), expected));
    }
    found
}
