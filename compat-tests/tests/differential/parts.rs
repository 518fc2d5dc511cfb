//! Where in a query two answers part: the smallest parts of it that the two servers answer differently.

use compat_tests::awkward::{FIRST_MS, LAST_MS};
use compat_tests::promql::{Query, When, seconds};

/// The time (ms) that parts are asked about, wider than that of the series.
const AROUND_MS: i64 = 20 * 60_000;
/// Between two steps, ms.
const STEP_MS: i64 = 15_000;

/// The parts of `query` in order of length: what stands in parentheses, and calls and aggregations. Not
/// all of them are expressions. Each is asked over all of the series, because the steps of a
/// subquery are not those of the query.
pub(crate) fn parts(query: &Query) -> Vec<Query> {
    let (start, end) = match query.when {
        When::At(t) => (t, t),
        When::Range(start, end, _) => (start, end),
    };
    let at = |t: i64| format!(" @ {}", seconds(t));
    let expr = query.expr.replace(" @ start()", &at(start)).replace(" @ end()", &at(end));
    let mut texts: Vec<&str> = Vec::new();
    for (open, _) in expr.match_indices('(') {
        let Some(close) = closing(&expr, open) else { continue };
        texts.push(&expr[open + 1..close]);
        let begin = word_before(&expr, open);
        texts.push(&expr[begin..=close]);
        // `sum by (a) (x)` and `sum (x) by (a)`.
        if let Some(next) = expr[close + 1..].strip_prefix(" (") {
            let next = expr.len() - next.len() - 1;
            let op = word_before(&expr, begin.saturating_sub(1));
            texts.extend(closing(&expr, next).map(|close| &expr[op..=close]));
        }
        for word in [" by (", " without ("] {
            if expr[close + 1..].starts_with(word) {
                let list = closing(&expr, close + word.len());
                let op = word_before(&expr, open.saturating_sub(1));
                texts.extend(list.map(|close| &expr[op..=close]));
            }
        }
        texts.push(&expr[word_before(&expr, open.saturating_sub(1))..=close]);
    }
    texts.retain(|text| !text.is_empty() && *text != expr);
    texts.sort_unstable_by_key(|text| (text.len(), *text));
    texts.dedup();
    let (first, last) = (FIRST_MS - AROUND_MS, LAST_MS + AROUND_MS);
    texts.into_iter().map(|text| Query::range(text, first, last, STEP_MS)).collect()
}

/// Where the parenthesis that opens at `open` is closed.
fn closing(expr: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in expr.bytes().enumerate().skip(open) {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at),
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Where the word begins that ends at `end`.
fn word_before(expr: &str, end: usize) -> usize {
    let is_word = |c: &u8| c.is_ascii_alphanumeric() || *c == b'_';
    end - expr.as_bytes()[..end].iter().rev().take_while(|c| is_word(c)).count()
}
