//! What the scripts of the `promql` crate expect, asked of a real Prometheus and of the server.
//!
//! The scripts prove the engine against what they say; this proves what they say. An `eval` that
//! Prometheus 3.5 answers differently stands behind a comment that cites the contract and says why;
//! one that agrees after all fails.

use std::path::PathBuf;

use compat_tests::peers::{Peer, find};
use compat_tests::promql::Answer;
use compat_tests::remote_write;
use compat_tests::report::{Failures, say};
use compat_tests::script::{Eval, Section, agrees, parse, same_texts};
use compat_tests::server::{Server, repository};

/// Features that a 3.5 knows.
const PEER_FEATURES: &str = "--enable-feature=promql-experimental-functions,\
    promql-delayed-name-removal,promql-duration-expr,native-histograms";
/// The features with which scripts are run, as the server calls them.
const FEATURES: &str = "--enable-feature=promql-experimental-functions,\
    promql-delayed-name-removal,promql-duration-expr,promql-extended-range-selectors,\
    promql-binop-fill-modifiers";
/// As many samples as scripts are run with.
const MAX_SAMPLES: &str = "--query.max-samples=10000";

/// The scripts with their names, sorted.
fn scripts() -> Vec<(String, Vec<Section>)> {
    let dir = repository().join("promql/tests/scripts");
    let entries = std::fs::read_dir(&dir).expect("the repository has scripts");
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a readable directory").path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).expect("a readable file");
        let sections = parse(&text).unwrap_or_else(|e| panic!("{name}:{e}"));
        (name, sections)
    };
    let only = std::env::var("COMPAT_SCRIPT").unwrap_or_default();
    paths.iter().map(read).filter(|(name, _)| name.contains(&only)).collect()
}

/// What is to be said about one `eval`: the peer against the script, and the server against both.
fn judge(eval: &Eval, ours: &Answer, theirs: &Answer) -> Result<(), String> {
    let expected = agrees(eval, theirs);
    let same = || ours.same_as(theirs).and_then(|()| same_texts(ours, theirs));
    match (&eval.differs, expected) {
        (None, Err(e)) => Err(format!("Prometheus: {e}")),
        (None, Ok(())) => same().map_err(|e| format!("not as Prometheus: {e}")),
        (Some(why), Ok(())) if same().is_ok() => Err(format!("is listed, but agrees: ({why}")),
        (Some(_), _) => agrees(eval, ours),
    }
}

#[test]
fn scripts_expect_what_prometheus_answers() {
    let what = "scripts beside Prometheus";
    if find("prometheus", what).is_none() {
        return;
    }
    let mut failures = Failures::default();
    let (mut listed, mut not_loaded) = (0, 0);
    for (name, sections) in scripts() {
        for section in sections {
            if section.cannot_load.is_some() {
                not_loaded += section.evals.len();
                continue;
            }
            let flags = [PEER_FEATURES, MAX_SAMPLES];
            let Some(peer) = Peer::prometheus("", &flags, what) else { return };
            let server = Server::start(&[FEATURES, MAX_SAMPLES]);
            let (mut ours, mut theirs) = (server.client(), peer.client());
            for request in &section.requests {
                for client in [&mut ours, &mut theirs] {
                    let response = remote_write::write(client, request.clone());
                    let response = response.expect("an answer to a write");
                    assert_eq!(response.status / 100, 2, "{name}: {}", response.brief());
                }
            }
            for eval in &section.evals {
                listed += usize::from(eval.differs.is_some());
                let (got, want) = (eval.query.run(&mut ours), eval.query.run(&mut theirs));
                let place = format!("{name}:{} {}", eval.line, eval.query);
                failures.check(&place, judge(eval, &got, &want));
            }
        }
    }
    say(&format!("scripts: {listed} not as in 3.5, {not_loaded} over what it cannot load"));
    failures.finish("scripts");
}
