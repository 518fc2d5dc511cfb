//! `/federate`: the newest sample of each selected series in the text format (contract 1.9).
//!
//! Native histograms are left out, as Prometheus does in this format for all but those with custom
//! buckets.

use std::collections::BTreeMap;

use hyper::StatusCode;
use model::{Interrupt, Labels, Matcher, Queryable, Selection, SeriesBuf, is_stale};
use promql::number;
use std::sync::Arc;

use super::Context;
use super::error::Failure;
use super::params::Params;
use super::prom_labels::{bounded, failure, read_bytes};
use super::reply::Reply;
use crate::app::now_ms;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// Newest samples by metric name and labels: the order of the answer.
type Newest = BTreeMap<(String, Labels), (i64, f64)>;

pub(super) async fn federate(cx: &Context, params: Params) -> Result<Reply, Failure> {
    let selectors = params.all("match[]").map(promql::parse_selector);
    let selectors: Vec<Vec<Matcher>> =
        selectors.collect::<Result<_, _>>().map_err(|e| Failure::BadData(e.to_string()))?;
    let maxt = now_ms();
    let mint = maxt.saturating_sub(cx.config.lookback_delta.as_i64());
    let body = read_bytes(cx, move |data, interrupt, max_bytes| {
        let mut newest = Newest::new();
        for matchers in selectors {
            let mut selection = Selection::new(matchers, mint, maxt);
            selection.interrupt = interrupt.clone();
            collect(data, &selection, interrupt, &mut newest)?;
        }
        bounded(print(&newest), max_bytes)
    });
    Ok(Reply::new(StatusCode::OK, CONTENT_TYPE, body.await?))
}

fn collect(
    data: &dyn Queryable,
    selection: &Selection,
    interrupt: &Arc<dyn Interrupt>,
    newest: &mut Newest,
) -> Result<(), Failure> {
    let set = data.select(selection).map_err(failure)?;
    let mut buf = SeriesBuf::new();
    for i in 0..set.len() {
        if i % 1024 == 0 {
            interrupt.check().map_err(|e| failure(e.into()))?;
        }
        set.read(i, &mut buf).map_err(failure)?;
        let (Some(&t_ms), Some(&v)) = (buf.times().last(), buf.values().last()) else { continue };
        if is_stale(v) || buf.histograms().last().is_some_and(|(t, _)| *t > t_ms) {
            continue;
        }
        let labels = set.labels(i).map_err(failure)?;
        let name = labels.metric_name();
        if !name.is_empty() {
            newest.insert((name.to_owned(), labels), (t_ms, v));
        }
    }
    Ok(())
}

fn print(newest: &Newest) -> Vec<u8> {
    let mut out = Vec::new();
    let mut family = None;
    for ((name, labels), (t_ms, v)) in newest {
        let printed = escape_name(name, true);
        if family.replace(name) != Some(name) {
            out.extend_from_slice(format!("# TYPE {printed} untyped\n").as_bytes());
        }
        out.extend_from_slice(printed.as_bytes());
        out.push(b'{');
        for (label, value) in labels.into_iter().filter(|(label, _)| *label != model::NAME_LABEL) {
            let value = escape_value(value);
            out.extend_from_slice(format!("{}=\"{value}\",", escape_name(label, false)).as_bytes());
        }
        // Whoever scrapes this must not put its own instance on the series.
        if labels.get("instance").is_empty() {
            out.extend_from_slice(b"instance=\"\"");
        } else {
            out.pop();
        }
        out.extend_from_slice(b"} ");
        number::push_g(&mut out, *v);
        out.extend_from_slice(format!(" {t_ms}\n").as_bytes());
    }
    out
}

/// A name in the old character set: what is not of it becomes `_`. Metric names may have colons.
fn escape_name(name: &str, colons: bool) -> String {
    let mut out: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || (colons && c == ':') { c } else { '_' })
        .collect();
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.replace_range(..1, "_");
    }
    out
}

fn escape_value(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_typed_once_and_instance_is_always_there() {
        let mut newest = Newest::new();
        for (pairs, v) in [
            (&[("__name__", "b.1"), ("instance", "x"), ("p", "a\"\\\n")][..], f64::NAN),
            (&[("__name__", "a"), ("1é", "v")], 1_234_567.0),
            (&[("__name__", "a")], f64::INFINITY),
        ] {
            let labels = Labels::from_pairs(pairs.iter().copied()).unwrap();
            newest.insert((labels.metric_name().to_owned(), labels), (1500, v));
        }
        assert_eq!(
            String::from_utf8(print(&newest)).unwrap(),
            "# TYPE a untyped\n\
             a{__=\"v\",instance=\"\"} 1.234567e+06 1500\n\
             a{instance=\"\"} +Inf 1500\n\
             # TYPE b_1 untyped\n\
             b_1{instance=\"x\",p=\"a\\\"\\\\\\n\"} NaN 1500\n"
        );
    }
}
