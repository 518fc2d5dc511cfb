//! Every case of the line-protocol corpus through `POST /write` (influx contract 1.15).
//!
//! A text is refused when any of its lines is: 400 with a JSON error. Else it is 204, and its
//! numbers and booleans are there in `PromQL`; strings are not stored.

use std::collections::{BTreeMap, BTreeSet};

use compat_tests::corpus;
use compat_tests::http::{Client, target};
use compat_tests::promql::{Labels, Query, close};
use compat_tests::report::{Failures, say};
use compat_tests::rng::now_ms;
use compat_tests::server::Server;
use serde_json::Value;

/// How far a range selector reaches back: to 1926.
const REACH_MS: i64 = 100 * 365 * 86_400_000;
/// Points further ahead are refused.
const MAX_FUTURE_MS: i64 = 600_000;

/// A sample that must be readable.
#[derive(Debug)]
struct Expected {
    labels: Labels,
    t_ms: i64,
    value: f64,
    /// The text had no time for it, as far as one can tell: the server's clock counts too.
    may_be_now: bool,
}

/// What one case must do.
#[derive(Debug, Default)]
struct Case {
    samples: Vec<Expected>,
    num_strings: usize,
    is_in_future: bool,
}

fn text(value: &Value) -> String {
    String::from_utf8(corpus::bytes(value)).expect("accepted names are UTF-8")
}

/// A number or boolean as a sample value; none for strings.
#[expect(clippy::cast_precision_loss, reason = "integers are stored as floats")]
fn number(value: &Value) -> Option<f64> {
    if let Some(int) = value.get("int") {
        return Some(int.as_i64().expect("an i64") as f64);
    }
    if let Some(uint) = value.get("uint") {
        return Some(uint.as_u64().expect("a u64") as f64);
    }
    if let Some(float) = value.get("float") {
        return Some(float.as_f64().expect("a float"));
    }
    value.get("bool").map(|b| f64::from(u8::from(b.as_bool().expect("a boolean"))))
}

fn expected(points: &[Value], default_ns: i64, unit_ns: i64, db: &str) -> Case {
    let mut case = Case::default();
    let mut by_identity: BTreeMap<(Labels, i64), (f64, bool)> = BTreeMap::new();
    for point in points {
        let t_ns = point["time"].as_i64().expect("a time in ns");
        let t_ms = t_ns.div_euclid(1_000_000);
        case.is_in_future |= t_ms > now_ms() + MAX_FUTURE_MS;
        let mut labels = Labels::from([("db".to_owned(), db.to_owned())]);
        for tag in point["tags"].as_array().into_iter().flatten() {
            let key = text(&tag["key"]);
            if key != "__name__" {
                labels.insert(key, text(&tag["value"]));
            }
        }
        for field in point["fields"].as_array().into_iter().flatten() {
            let Some(value) = number(&field["value"]) else {
                case.num_strings += 1;
                continue;
            };
            let name = format!("{}_{}", text(&point["name"]), text(&field["key"]));
            let mut labels = labels.clone();
            labels.insert("__name__".to_owned(), name);
            // The last of several values wins, in a line and in a request.
            // A server's own time is cut to the unit of the request.
            let is_default = t_ns == default_ns - default_ns.rem_euclid(unit_ns);
            by_identity.insert((labels, t_ms), (value, is_default));
        }
    }
    for ((labels, t_ms), (value, may_be_now)) in by_identity {
        case.samples.push(Expected { labels, t_ms, value, may_be_now });
    }
    case
}

/// The `precision` of a request, and its unit in ns.
fn precision(name: &str) -> (&'static str, i64) {
    match name {
        "1ns" => ("ns", 1),
        "1µs" => ("u", 1_000),
        "1ms" => ("ms", 1_000_000),
        "1s" => ("s", 1_000_000_000),
        other => panic!("precision {other}"),
    }
}

/// Reads back what `case` stored and compares; says how many samples could not be looked at.
fn read_back(client: &mut Client, db: &str, case: &Case) -> Result<usize, String> {
    let now = now_ms();
    let mut dbs: BTreeSet<&str> = case.samples.iter().map(|s| s.labels["db"].as_str()).collect();
    dbs.insert(db);
    let mut stored = BTreeMap::new();
    for db in dbs {
        let query = format!("{{db={}}}[100y]", serde_json::to_string(db).expect("a string"));
        let answer = Query::at(&query, now + MAX_FUTURE_MS).run(client);
        if answer.status != 200 {
            return Err(format!("{query}: {} {}", answer.status, answer.error));
        }
        for series in answer.series() {
            for &(t_ms, value) in &series.floats {
                stored.insert((series.labels.clone(), t_ms), value);
            }
        }
    }
    let (mut unreachable, mut seen) = (0, 0);
    for sample in &case.samples {
        if sample.t_ms <= now + MAX_FUTURE_MS - REACH_MS {
            unreachable += 1;
            continue;
        }
        seen += 1;
        let exact = stored.get(&(sample.labels.clone(), sample.t_ms));
        let recent = || {
            let from = (sample.labels.clone(), now - 300_000);
            let to = (sample.labels.clone(), now + 1_000);
            stored.range(from..=to).map(|(_, value)| value).next_back()
        };
        let got = exact.or_else(|| sample.may_be_now.then(recent).flatten()).copied();
        if !got.is_some_and(|got| close(got, sample.value)) {
            return Err(format!("{got:?}, want {sample:?}; stored {stored:?}"));
        }
    }
    // Tags called `db` share their label with other cases, so more may be there.
    if stored.len() > seen && case.samples.iter().all(|s| s.labels["db"] == db) {
        return Err(format!("{} samples, want {seen}: {stored:?}", stored.len()));
    }
    Ok(unreachable)
}

#[test]
fn every_case_is_judged_and_stored_as_the_corpus_says() {
    let Some(corpus) = corpus::json("influx/line-protocol-corpus.json", "the line-protocol corpus")
    else {
        return;
    };
    let server = Server::start(&[]);
    let mut client = server.client();
    let mut failures = Failures::default();
    let cases = corpus["decode"].as_object().expect("decode cases");
    let (mut refused, mut accepted, mut strings, mut future, mut unreachable) = (0, 0, 0, 0, 0);
    for (index, (key, case)) in cases.iter().enumerate() {
        let input = &case["input"];
        let body = corpus::bytes(&input["text"]);
        let db = format!("c{index}");
        let (unit, unit_ns) = precision(input["precision"].as_str().expect("a precision"));
        let target = target("/write", &[("db", &db), ("precision", unit)]);
        let name = format!("{key} {:?}", String::from_utf8_lossy(&body));
        let response = match client.post(&target, &body) {
            Ok(response) => response,
            Err(error) => {
                failures.check(&name, Err(format!("no answer: {error}")));
                continue;
            }
        };
        if !case["output"]["error"].is_null() {
            refused += 1;
            let is_error = response.status == 400 && response.json()["error"].is_string();
            let why = format!("{}, want 400 with a JSON error", response.brief());
            failures.check(&name, if is_error { Ok(()) } else { Err(why) });
            continue;
        }
        let points = case["output"]["result"].as_array().map(Vec::as_slice).unwrap_or_default();
        let default_ns = input["defaultTime"].as_i64().expect("a time in ns");
        let want = expected(points, default_ns, unit_ns, &db);
        strings += want.num_strings;
        if want.is_in_future {
            future += 1;
            let error = response.json()["error"].as_str().unwrap_or_default().to_owned();
            let good = response.status == 400 && error.contains("points beyond retention policy");
            let why = format!("{}, want points beyond retention policy", response.brief());
            failures.check(&name, if good { Ok(()) } else { Err(why) });
            continue;
        }
        accepted += 1;
        if response.status != 204 || !response.body.is_empty() {
            failures.check(&name, Err(format!("{}, want 204", response.brief())));
            continue;
        }
        let read = read_back(&mut client, &db, &want);
        failures.check(&name, read.map(|skipped| unreachable += skipped));
    }
    say(&format!(
        "line_protocol_corpus: {accepted} texts stored, {refused} refused, {future} too far in the \
         future; {strings} strings not stored, {unreachable} samples checked by acceptance alone"
    ));
    failures.finish("line_protocol_corpus");
}
