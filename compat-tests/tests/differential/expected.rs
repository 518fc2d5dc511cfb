//! Where the server differs from the peer on purpose: it follows a newer Prometheus.

use compat_tests::promql::Answer;
use compat_tests::random_promql::RandomQuery;

/// A difference that is meant.
#[derive(Debug)]
pub(crate) struct Expected {
    /// What differs.
    pub(crate) what: &'static str,
    /// The section of the Prometheus contract that says so.
    pub(crate) contract: &'static str,
    /// Whether this difference explains these two answers: ours, then the peer's.
    pub(crate) explains: fn(&RandomQuery, &Answer, &Answer) -> bool,
}

/// All of them. Over a long run each must be seen.
pub(crate) const EXPECTED: &[Expected] = &[
    Expected {
        what: "functions and modifiers that 3.5 does not parse",
        contract: "3.1",
        explains: |query, ours, theirs| {
            let words = ["start()", "end()", "max_of", "histogram_quantiles", "fill (", "first_over_time"];
            theirs.error_type == "bad_data"
                && ours.error_type != "bad_data"
                && words.iter().any(|word| query.query.expr.contains(word))
        },
    },
];
