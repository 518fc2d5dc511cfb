//! The golden data set of the contract (appendix A), written to the server and to a real Prometheus,
//! and the same queries to both: values, errors, warnings.

use compat_tests::golden::{BASE_MS, FLOAT_QUERIES, HISTOGRAM_QUERIES, floats, histograms};
use compat_tests::http::Client;
use compat_tests::peers::Peer;
use compat_tests::promql::Query;
use compat_tests::remote_write::{self, TimeSeries};
use compat_tests::report::Failures;
use compat_tests::server::Server;

/// Features that both run with.
const FEATURES: &str = "--enable-feature=promql-experimental-functions";

fn fill(client: &mut Client, batch: Vec<TimeSeries>) -> u16 {
    remote_write::write(client, batch).expect("an answer").status
}

fn compare(what: &str, batch: &[TimeSeries], queries: &[(&str, &[i64])]) -> Option<Failures> {
    let peer = Peer::prometheus("", &[FEATURES, "--enable-feature=native-histograms"], what)?;
    let server = Server::start(&[FEATURES]);
    let (mut ours, mut theirs) = (server.client(), peer.client());
    assert_eq!(fill(&mut theirs, batch.to_vec()), 204, "Prometheus takes the data set");
    let mut failures = Failures::default();
    let status = fill(&mut ours, batch.to_vec());
    failures.check("the data set", if status == 204 { Ok(()) } else { Err(status.to_string()) });
    let mut check = |query: &Query| {
        let (got, want) = (query.run(&mut ours), query.run(&mut theirs));
        failures.check(&query.to_string(), got.same_as(&want));
    };
    for (expr, times) in queries {
        for seconds in *times {
            check(&Query::at(expr, BASE_MS + seconds * 1_000));
        }
        // Every instant query is also a range query, over the whole data set and past its end.
        check(&Query::range(expr, BASE_MS - 20_000, BASE_MS + 460_000, 20_000));
        check(&Query::range(expr, BASE_MS + 3_000, BASE_MS + 150_000, 7_000));
    }
    Some(failures)
}

#[test]
fn floats_are_evaluated_as_in_prometheus() {
    let what = "golden queries beside Prometheus";
    if let Some(failures) = compare(what, &floats(), FLOAT_QUERIES) {
        failures.finish("promql, floats");
    }
}

#[test]
fn native_histograms_are_evaluated_as_in_prometheus() {
    let what = "native histograms beside Prometheus";
    if let Some(failures) = compare(what, &histograms(), HISTOGRAM_QUERIES) {
        failures.finish("promql, native histograms");
    }
}
