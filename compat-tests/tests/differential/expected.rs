//! Where the server differs from the peer on purpose: it follows a newer Prometheus.

use compat_tests::promql::{Answer, When};
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

/// Whether the query has one of `words`.
fn says(query: &RandomQuery, words: &[&str]) -> bool {
    words.iter().any(|word| query.query.expr.contains(word))
}

/// Whether the only difference is that we warn.
fn only_we_warn(ours: &Answer, theirs: &Answer, text: &str) -> bool {
    let warned = Answer { warnings: ours.warnings.clone(), ..theirs.clone() };
    theirs.warnings.is_empty()
        && ours.same_as(&warned).is_ok()
        && ours.warnings.iter().all(|warning| warning.contains(text))
}

/// All of them. Over a long run each must be seen.
pub(crate) const EXPECTED: &[Expected] = &[
    Expected {
        what: "functions and modifiers that 3.5 does not parse",
        contract: "3.1",
        explains: |query, ours, theirs| {
            let future = [
                "start())",
                "end() -",
                "max_of",
                "histogram_quantiles",
                "fill (",
                "first_over_time",
            ];
            theirs.error_type == "bad_data" && ours.error_type != "bad_data" && says(query, &future)
        },
    },
    Expected {
        what: "a sort in a range query or subquery is warned about",
        contract: "3.11, 3.14",
        explains: |query, ours, theirs| {
            (matches!(query.query.when, When::Range(..)) || says(query, &[":"]))
                && says(query, &["sort(", "sort_desc(", "sort_by_label"])
                && only_we_warn(ours, theirs, "sort is ineffective for range queries")
        },
    },
    Expected {
        what: "the parameters of ranks and ratios are checked where there is nothing to rank",
        contract: "3.8",
        explains: |query, ours, theirs| {
            let texts = ["Ratio value is NaN", "Parameter value is NaN", "overflows", "underflows"];
            theirs.status == 200
                && ours.error_type == "execution"
                && texts.iter().any(|text| ours.error.contains(text))
                && says(query, &["topk", "bottomk", "limitk", "limit_ratio"])
        },
    },
    Expected {
        what: "mad_over_time is NaN where any value is; 3.5 sorts NaN lowest",
        contract: "3.11",
        explains: |query, ours, theirs| {
            says(query, &["mad_over_time"]) && (ours.status, theirs.status) == (200, 200)
        },
    },
    Expected {
        what: "histogram_fraction of unsorted buckets, in the first bucket, and of +Inf alone",
        contract: "3.11",
        explains: |query, ours, theirs| {
            says(query, &["histogram_fraction"]) && (ours.status, theirs.status) == (200, 200)
        },
    },
    Expected {
        what: "timestamp of a selector with @ and an offset; 3.5 forgets the offset",
        contract: "3.11",
        explains: |query, _, _| {
            says(query, &["timestamp("]) && says(query, &[" offset "]) && says(query, &[" @ "])
        },
    },
    Expected {
        what: "info at the offset of its argument, and of series that come and go",
        contract: "3.11",
        explains: |query, _, _| says(query, &["info("]),
    },
    Expected {
        what: "many-to-one is an error also where a comparison filters the surplus out",
        contract: "3.9",
        explains: |_, ours, theirs| {
            theirs.status == 200
                && ours.error_type == "execution"
                && ours.error.starts_with("multiple matches for labels: many-to-one")
        },
    },
    Expected {
        what: "label_replace, label_join and unary minus merge series that take turns",
        contract: "3.10",
        explains: |query, ours, theirs| {
            ours.status == 200
                && theirs.error == "vector cannot contain metrics with the same labelset"
                && says(query, &["label_replace", "label_join", "-("])
        },
    },
];
