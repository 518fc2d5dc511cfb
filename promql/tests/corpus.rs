//! The `.test` files of other projects and our own scripts, against the engine.
//!
//! Files of other projects are read from `$COMPAT_CORPUS/promqltest`. `corpus_skips.txt` lists
//! the evaluations that are known not to pass, as `file:line reason`; one that passes must leave
//! the list.

#![expect(clippy::print_stdout, reason = "tells what was skipped and how much passes")]
#![expect(clippy::disallowed_methods, reason = "the scripts are files; the crate stays pure")]

use std::collections::BTreeMap;
use std::path::Path;

use promql::script::run;

/// The known failures: file and line to reason.
fn skips() -> BTreeMap<(String, u32), String> {
    let text = include_str!("corpus_skips.txt");
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (place, reason) = line.split_once(' ').expect("a place, a space and a reason");
            let (file, number) = place.split_once(':').expect("file:line");
            ((file.to_owned(), number.parse().expect("a line number")), reason.to_owned())
        })
        .collect()
}

/// The `.test` files of `dir` with their names, sorted.
fn scripts(dir: &Path) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = std::fs::read_dir(dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .map(|path| {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a readable file"))
        })
        .collect();
    out.sort();
    out
}

#[test]
fn our_scripts_pass() {
    let scripts = scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts"));
    assert!(!scripts.is_empty());
    let mut failures = Vec::new();
    for (file, text) in scripts {
        let cases = run(&text);
        assert!(!cases.is_empty(), "{file} evaluates nothing");
        for case in cases {
            if let Err(e) = case.result {
                failures.push(format!("{file}:{} {e}", case.line));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn the_corpus_passes_but_for_the_listed_lines() {
    let Ok(root) = std::env::var("COMPAT_CORPUS") else {
        println!("skipped: COMPAT_CORPUS is not set");
        return;
    };
    let mut skips = skips();
    let (mut failures, mut passed, mut skipped) = (Vec::new(), 0, 0);
    for (file, text) in scripts(&Path::new(&root).join("promqltest")) {
        let (mut good, mut all) = (0, 0);
        for case in run(&text) {
            all += 1;
            let skip = skips.remove(&(file.clone(), case.line));
            match (case.result, skip) {
                (Ok(()), None) => good += 1,
                (Err(_), Some(_)) => skipped += 1,
                (Ok(()), Some(reason)) => {
                    failures.push(format!("{file}:{} passes but is listed: {reason}", case.line));
                }
                (Err(e), None) => failures.push(format!("{file}:{} {e}", case.line)),
            }
        }
        println!("{file}: {good} of {all}");
        passed += good;
    }
    println!("{passed} passed, {skipped} listed, {} failed", failures.len());
    failures.extend(skips.keys().map(|(file, line)| format!("{file}:{line} is no evaluation")));
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
