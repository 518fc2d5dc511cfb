//! The warnings and infos of two answers, compared to the letter but for what the contract (3.14) says
//! otherwise than 3.5.

use std::collections::BTreeSet;

use compat_tests::promql::{Answer, Query};

/// Most texts of one severity in an answer, and one that counts the others.
const MAX_TEXTS: usize = 11;

/// Texts that name the metric in 3.5, and in its successors only under delayed name removal.
const NAMELESS: &[&str] = &[
    "bucket label \"le\" is missing or has a malformed value of ",
    "input to histogram_quantile needed to be fixed for monotonicity ",
    "vector contains a mix of classic and native histograms",
];

/// What stands before the numbers that the monotonicity info has in the successors of 3.5.
const NUMBERS: &str = ", from buckets ";

/// What 3.5 does not warn of.
const SORT: &str = "sort is ineffective for range queries ";

/// Whether both answers to `query` have the same warnings and infos, in any order.
///
/// # Errors
/// The texts that differ.
pub(crate) fn same_texts(query: &Query, got: &Answer, want: &Answer) -> Result<(), String> {
    for (got, want) in [(&got.warnings, &want.warnings), (&got.infos, &want.infos)] {
        if got.len().max(want.len()) == MAX_TEXTS {
            // Which of them are left out is not defined.
            continue;
        }
        let (ours, theirs) = (set(got), set(want));
        let more: Vec<_> = ours.difference(&theirs).collect();
        let mut missing: Vec<_> = theirs.difference(&ours).collect();
        // Without the names texts are equal, of which the last place is kept.
        missing.retain(|(text, _)| !is_nameless(text) || !ours.iter().any(|our| our.0 == *text));
        let inside = |a: &Said, b: &Said| a.0 == b.0 && is_inside(&query.expr, &a.1, &b.1);
        let paired = more.len() == missing.len()
            && more.iter().all(|a| missing.iter().any(|b| inside(a, b)));
        if !paired {
            return Err(format!("{more:?} too many, {missing:?} missing"));
        }
    }
    Ok(())
}

/// A text without what is known to differ, and the place that it names.
type Said = (String, String);

fn set(texts: &[String]) -> BTreeSet<Said> {
    texts.iter().map(|text| said(text)).filter(|(text, _)| !text.starts_with(SORT)).collect()
}

fn said(text: &str) -> Said {
    let (text, place) = text.rsplit_once(" (").unwrap_or((text, ""));
    let mut text = text.split_once(": ").map_or(text, |(_, of)| of);
    if is_nameless(text) {
        text = text.split(" for metric name ").next().unwrap_or(text);
        text = text.split(NUMBERS).next().unwrap_or(text);
    }
    (text.to_owned(), place.to_owned())
}

fn is_nameless(text: &str) -> bool {
    NAMELESS.iter().any(|start| text.starts_with(start))
}

/// Whether place `ours` is what is inside of the parentheses at place `theirs`: of an argument in
/// parentheses 3.5 names these.
fn is_inside(expr: &str, ours: &str, theirs: &str) -> bool {
    let column = |place: &str| -> Option<usize> {
        place.strip_prefix("1:")?.strip_suffix(')')?.parse().ok()
    };
    let (Some(at), Some(before)) = (column(ours), column(theirs)) else { return false };
    // Columns are bytes.
    let mut between = expr.bytes().skip(before.saturating_sub(1)).take(at.saturating_sub(before));
    before < at && between.all(|byte| byte == b'(')
}
