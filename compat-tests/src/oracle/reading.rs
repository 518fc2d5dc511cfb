//! Reads back what a server has of a sender, by every door that lists it.

use std::collections::{BTreeMap, BTreeSet};

use super::Verdict;
use super::ledger::Samples;
use super::operation::{Sender, value_of};
use crate::http::Client;
use crate::promql::{Query, labels};
use crate::rng::now_ms;

/// How far behind now the newest sample may be asked for.
const AHEAD_MS: i64 = 7_200_000;

/// All samples of `sender`, and in `verdict` what is there twice or listed differently elsewhere.
pub(super) fn read(sender: &Sender, client: &mut Client, verdict: &mut Verdict) -> Samples {
    let selector = sender.selector(None);
    let at = now_ms() + AHEAD_MS;
    let answer = Query::at(&format!("{selector}[3d]"), at).run(client);
    if answer.status != 200 || !answer.warnings.is_empty() {
        let (status, error, warnings) = (answer.status, &answer.error, &answer.warnings);
        verdict.find(format!("{selector}: {status} {error} {warnings:?}"));
    }
    let mut stored = Samples::new();
    let mut counts = BTreeMap::new();
    for series in answer.series() {
        let number = series.labels.get("s").and_then(|s| s.parse().ok()).unwrap_or(u64::MAX);
        let num_samples = series.floats.len() + series.histograms.len();
        if counts.insert(number, num_samples).is_some() {
            verdict.double += 1;
            verdict.find(format!("{selector}: series {number} twice"));
        }
        let floats = series.floats.iter().copied();
        let histograms = series.histograms.iter().map(|(t_ms, histogram)| {
            let value = value_of(histogram).unwrap_or_else(|| {
                verdict.phantom += 1;
                verdict.find(format!("{selector}: s={number} t={t_ms}: nobody sent {histogram:?}"));
                f64::NAN
            });
            (*t_ms, value)
        });
        for (t_ms, value) in floats.chain(histograms.collect::<Vec<_>>()) {
            if stored.insert((number, t_ms), value).is_some() {
                verdict.double += 1;
                verdict.find(format!("{selector}: s={number} t={t_ms} twice"));
            }
        }
    }
    index_agrees(&selector, client, &counts, verdict);
    stored
}

/// The index must name the series that have samples and no others, by each way to ask.
fn index_agrees(
    selector: &str,
    client: &mut Client,
    counts: &BTreeMap<u64, usize>,
    verdict: &mut Verdict,
) {
    let names: BTreeSet<String> = counts.keys().map(u64::to_string).collect();
    let only = [("match[]", selector)];
    let mut list = |path: &str| {
        let answer = client.post_form(path, &only).or_else(|_| client.get(path, &only));
        answer.expect("the label APIs answer").json()["data"].clone()
    };
    let series = list("/api/v1/series");
    let series = series.as_array().into_iter().flatten();
    let listed: Vec<String> = series.filter_map(|one| labels(one)?.remove("s")).collect();
    let mut differ = |what: &str, got: BTreeSet<String>, want: &BTreeSet<String>| {
        if got != *want {
            let (more, less): (Vec<_>, Vec<_>) =
                (got.difference(want).take(3).collect(), want.difference(&got).take(3).collect());
            verdict.find(format!("{selector}: {what} has also {more:?} and lacks {less:?}"));
        }
    };
    let texts = |json: &serde_json::Value| -> BTreeSet<String> {
        let all = json.as_array().into_iter().flatten();
        all.filter_map(|one| Some(one.as_str()?.to_owned())).collect()
    };
    let num_listed = listed.len();
    differ("the series API", listed.into_iter().collect(), &names);
    // These two may name what was deleted until the head forgets it, as Prometheus does.
    let is_missing = |listed: BTreeSet<String>, want: &BTreeSet<String>| {
        want.difference(&listed).cloned().collect::<BTreeSet<String>>()
    };
    let label = (!names.is_empty()).then(|| "s".to_owned()).into_iter().collect();
    let missing = is_missing(texts(&list("/api/v1/labels")), &label);
    differ("what the label API lacks", missing, &BTreeSet::new());
    let values = client.get("/api/v1/label/s/values", &only).expect("the label API answers");
    let missing = is_missing(texts(&values.json()["data"]), &names);
    differ("what the value API lacks", missing, &BTreeSet::new());
    let query = Query::at(&format!("count_over_time({selector}[3d])"), now_ms() + AHEAD_MS);
    let count = |one: &crate::promql::Series| {
        Some(format!("{} of {}", one.floats.first()?.1, one.labels.get("s")?))
    };
    let got = query.run(client).series().iter().filter_map(count).collect();
    differ("counting", got, &counts.iter().map(|(s, n)| format!("{n} of {s}")).collect());
    if num_listed > names.len() {
        verdict.double += 1;
        verdict.find(format!("{selector}: the series API lists a series twice"));
    }
}
