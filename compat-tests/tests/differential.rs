//! Random queries over awkward data: the server answers as a real Prometheus does.
//!
//! `COMPAT_QUERIES` sets how many (5000); a long run is
//! `COMPAT_QUERIES=50000 cargo test --release -p compat-tests --test differential`.
//! `COMPAT_EXPERIMENTAL=0` leaves out what stands behind feature flags. In a long run each row of
//! the table of expected differences must be seen.

#[path = "differential/expected.rs"]
mod expected;

use std::collections::BTreeMap;

use compat_tests::awkward::{fleet, requests};
use compat_tests::http::Client;
use compat_tests::peers::Peer;
use compat_tests::promql::{Answer, Data, Query, Series, close};
use compat_tests::random_promql::{Generator, RandomQuery};
use compat_tests::remote_write;
use compat_tests::report::{Failures, say};
use compat_tests::rng::seed;
use compat_tests::server::Server;

use expected::EXPECTED;

/// Queries of a run that is long enough to meet every expected difference.
const LONG: usize = 50_000;
/// Largest share of queries that may be set aside because the answer is not defined.
const UNDEFINED_ONE_IN: usize = 20;

fn variable(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn load(client: &mut Client, seed: u64) {
    for request in requests(&fleet(seed)) {
        let response = remote_write::write(client, request).expect("an answer to a write");
        assert_eq!(response.status / 100, 2, "{}", response.brief());
    }
}

/// Values of the first step, in the order of the answer.
fn values(answer: &Answer) -> Vec<f64> {
    answer.series().iter().filter_map(|series| series.floats.first().map(|f| f.1)).collect()
}

/// Compares what has a defined order: instant vectors that were sorted or ranked as a whole.
fn same_order(query: &Query, ours: &Answer, theirs: &Answer) -> Result<(), String> {
    let ranked = ["sort(", "sort_desc(", "topk (", "bottomk ("];
    let whole = ranked.iter().any(|name| query.expr.starts_with(name))
        && encloses(&query.expr)
        && matches!(theirs.data, Data::Vector(_));
    let (got, want) = (values(ours), values(theirs));
    if whole && !got.iter().zip(&want).all(|(a, b)| close(*a, *b)) {
        return Err(format!("order {got:?}, want {want:?}"));
    }
    Ok(())
}

/// Whether the first parenthesis of `expr` is closed by its last byte. Texts in it hold none that
/// are not in pairs, but for a regular expression that is an error anyway.
fn encloses(expr: &str) -> bool {
    let mut depth = 0_usize;
    for (at, byte) in expr.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => return at + 1 == expr.len(),
            b')' => depth -= 1,
            _ => {}
        }
    }
    false
}

/// Whether the peer itself does not repeat its answer: it walks some results in the order of a hash
/// table, which shows in the last digits of sums that cancel.
fn is_unsteady(query: &Query, want: &Answer, peer: &mut Client) -> bool {
    (0..20).any(|_| query.run(peer).same_as(want).is_err())
}

/// Whether something in the query picks among equal elements, so that either answer is right.
fn is_undefined(query: &RandomQuery, peer: &mut Client) -> bool {
    query.picks.iter().any(|pick| {
        let from = Query { expr: pick.from.clone(), when: query.query.when };
        let answer = from.run(peer);
        if !pick.by_value {
            // The order of a selector's series is that of the load; that of all else is not defined.
            return answer.series().len() > 1 && pick.from.contains('(');
        }
        has_ties(answer.series())
    })
}

/// Whether two series have the same value at the same time.
fn has_ties(all: &[Series]) -> bool {
    let mut at: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (t, value) in all.iter().flat_map(|series| &series.floats) {
        at.entry(*t).or_default().push(*value);
    }
    at.values_mut().any(|values| {
        values.sort_by(f64::total_cmp);
        values.windows(2).any(|pair| close(pair[0], pair[1]))
    })
}

#[test]
fn random_queries_have_the_answers_of_prometheus() {
    let what = "random queries beside Prometheus";
    let config = "storage: {tsdb: {out_of_order_time_window: 2h}}\n";
    let features = "promql-experimental-functions,promql-duration-expr";
    let peer_flag = format!("--enable-feature={features}");
    let Some(peer) = Peer::prometheus(config, &[&peer_flag], what) else { return };
    let our_flag = format!("--enable-feature={features},promql-binop-fill-modifiers");
    let server = Server::start(&[&our_flag]);
    let (seed, num_queries) = (seed(), variable("COMPAT_QUERIES", 5_000));
    say(&format!("differential: COMPAT_SEED={seed} COMPAT_QUERIES={num_queries}"));

    let (mut ours, mut theirs) = (server.client(), peer.client());
    load(&mut ours, seed);
    load(&mut theirs, seed);
    let mut generator = Generator::new(seed, variable("COMPAT_EXPERIMENTAL", 1) == 1);
    let mut failures = Failures::default();
    let mut seen = vec![0_usize; EXPECTED.len()];
    let (mut undefined, mut errors, mut empty) = (0_usize, 0_usize, 0_usize);
    for _ in 0..num_queries {
        let random = generator.query();
        let (got, want) = (random.query.run(&mut ours), random.query.run(&mut theirs));
        errors += usize::from(want.status != 200);
        empty += usize::from(want.status == 200 && want.series().is_empty());
        let mut result = got.same_as(&want).and_then(|()| same_order(&random.query, &got, &want));
        if result.is_err() {
            let row = EXPECTED.iter().position(|row| (row.explains)(&random, &got, &want));
            if let Some(row) = row {
                seen[row] += 1;
                result = Ok(());
            } else if is_undefined(&random, &mut theirs)
                || is_unsteady(&random.query, &want, &mut theirs)
            {
                undefined += 1;
                result = Ok(());
            }
        }
        failures.check(&random.query.to_string(), result);
    }
    say(&format!("differential: {errors} errors, {empty} empty, {undefined} not defined"));
    for (row, count) in EXPECTED.iter().zip(&seen) {
        say(&format!("differential: expected {count} times: {} ({})", row.what, row.contract));
    }
    failures.finish("differential");
    assert!(undefined * UNDEFINED_ONE_IN <= num_queries, "{undefined} answers not defined");
    for (row, count) in EXPECTED.iter().zip(&seen) {
        let vanished = num_queries >= LONG && *count == 0;
        assert!(!vanished, "expected, not seen: {} (contract {})", row.what, row.contract);
    }
}
