//! Histograms as text: as `count_values` and dumps show them, and as the test language writes them.

use std::fmt::Write as _;

use model::{CounterResetHint, FloatHistogram, Span};

use super::buckets::{self, entries};
use super::is_custom;
use crate::number::format_g;

/// `{count:14, sum:5, [-0.001,0.001]:6, (0.5,1]:3}`: ascending, empty buckets left out, brackets
/// say which bounds are inside.
pub fn to_text(h: &FloatHistogram) -> String {
    let mut out = format!("{{count:{}, sum:{}", format_g(h.count), format_g(h.sum));
    let negative = entries(&h.negative_spans, &h.negative_buckets);
    let mut list: Vec<_> = negative.map(|(i, c)| buckets::negative(h, i, c)).collect();
    list.reverse();
    if !is_custom(h) {
        list.push(buckets::zero(h));
    }
    let positive = entries(&h.positive_spans, &h.positive_buckets);
    list.extend(positive.map(|(i, c)| buckets::positive(h, i, c)));
    for bucket in list.iter().filter(|b| b.count != 0.0) {
        let _ = write!(
            out,
            ", {}{},{}{}:{}",
            if bucket.lower_inclusive { '[' } else { '(' },
            format_g(bucket.lower),
            format_g(bucket.upper),
            if bucket.upper_inclusive { ']' } else { ')' },
            format_g(bucket.count),
        );
    }
    out.push('}');
    out
}

/// `{{schema:1 count:10 sum:-5 offset:1 buckets:[1 2]}}`: what the test language reads; keys with
/// default values are left out (contract 4.3).
pub fn to_test_expression(h: &FloatHistogram) -> String {
    let mut parts = Vec::new();
    if h.schema != 0 {
        parts.push(format!("schema:{}", h.schema));
    }
    for (key, v) in [
        ("count", h.count),
        ("sum", h.sum),
        ("z_bucket", h.zero_count),
        ("z_bucket_w", h.zero_threshold),
    ] {
        if v != 0.0 {
            parts.push(format!("{key}:{}", format_g(v)));
        }
    }
    if is_custom(h) {
        parts.push(format!("custom_values:[{}]", list(&h.custom_values)));
    }
    match h.hint {
        CounterResetHint::Unknown => {}
        CounterResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
        CounterResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
        CounterResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
    }
    for (prefix, spans, counts) in [
        ("", &h.positive_spans, &h.positive_buckets),
        ("n_", &h.negative_spans, &h.negative_buckets),
    ] {
        let Some((offset, counts)) = one_run(spans, counts) else { continue };
        if offset != 0 {
            parts.push(format!("{prefix}offset:{offset}"));
        }
        parts.push(format!("{prefix}buckets:[{}]", list(&counts)));
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

/// Longest run of buckets that is written out with its gaps.
const MAX_RUN: usize = 1 << 16;

/// Index of the first populated bucket and the counts from there to the last, gaps as zeros.
fn one_run(spans: &[Span], counts: &[f64]) -> Option<(i32, Vec<f64>)> {
    let populated = || entries(spans, counts).filter(|b| b.1 != 0.0);
    let first = populated().next()?.0;
    let mut out = Vec::new();
    for (index, count) in populated() {
        let at = usize::try_from(i64::from(index) - i64::from(first)).unwrap_or(0).min(MAX_RUN);
        out.resize(out.len().max(at), 0.0);
        out.push(count);
    }
    Some((first, out))
}

fn list(values: &[f64]) -> String {
    values.iter().map(|v| format_g(*v)).collect::<Vec<_>>().join(" ")
}
