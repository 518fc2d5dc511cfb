//! The public compliance queries, at times that are on no border of anything, at one time and over
//! ranges: the server gives the answers of a real Prometheus to all of them.

use compat_tests::compliance::{FIRST_MS, LENGTH_MS, fleet, queries};
use compat_tests::peers::Peer;
use compat_tests::promql::Query;
use compat_tests::remote_write;
use compat_tests::report::{Failures, say};
use compat_tests::rng::{Rng, seed};
use compat_tests::server::Server;

/// Features that both run with.
const FEATURES: &str = "--enable-feature=promql-experimental-functions";

#[test]
fn all_compliance_queries_have_the_answers_of_prometheus() {
    let what = "compliance queries beside Prometheus";
    let config = "storage: {tsdb: {out_of_order_time_window: 2h}}\n";
    let Some(peer) = Peer::prometheus(config, &[FEATURES], what) else { return };
    let server = Server::start(&[FEATURES]);
    let seed = seed();
    say(&format!("compliance: COMPAT_SEED={seed}"));
    let (mut ours, mut theirs) = (server.client(), peer.client());
    for client in [&mut ours, &mut theirs] {
        let response = remote_write::write(client, fleet(seed)).expect("an answer to a write");
        assert_eq!(response.status / 100, 2, "{}", response.brief());
    }
    let mut rng = Rng::new(seed);
    let mut failures = Failures::default();
    let mut full = 0_usize;
    for expr in queries() {
        // Late enough that most windows are full, and early enough that some are not.
        let mut time = || FIRST_MS + rng.below(LENGTH_MS.unsigned_abs()).cast_signed();
        let (at, start, end) = (time(), time(), time());
        let (start, end) = (start.min(end), start.max(end));
        for query in [
            Query::at(&expr, at),
            Query::at(&expr, FIRST_MS + LENGTH_MS - 60_101),
            Query::range(&expr, start, end, 10_000),
            Query::range(&expr, FIRST_MS + 1_200_013, FIRST_MS + LENGTH_MS + 301_007, 37_019),
        ] {
            let (got, want) = (query.run(&mut ours), query.run(&mut theirs));
            full += usize::from(!want.series().is_empty());
            failures.check(&query.to_string(), got.same_as(&want));
        }
    }
    let (all, equal) = (failures.checks(), failures.checks() - failures.lines().len());
    say(&format!("compliance: {equal} of {all} answers equal, {full} of them with series"));
    assert!(full * 2 > all, "most answers are empty");
    failures.finish("compliance");
}
