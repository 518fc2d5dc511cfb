//! Answers of Prometheus 3.5.3 with `promql-experimental-functions` and without delayed name
//! removal (contract, appendix A), compared to the last bit.

use model::{Labels, LabelsBuilder};
use promql::ParseOptions;
use promql::engine::{
    Engine, EngineOptions, QueryContext, QueryError, QueryResult, SampleValue, Value,
};
use promql::number::format_f;
use promql::script::load;
use promql::test_storage::TestStorage;

/// Time zero of the data, ms.
const BASE_MS: i64 = 1_700_000_000_000;

/// Each line: interval in seconds, series, values.
const DATA: &str = r#"
15 c_total{j="a"} 0 10 20 30 40 5 15 25 35 45 55
15 c_total{j="b"} 100+10x10
30 g{j="a"} 1 3 NaN 4 2
30 g{j="b"} 7 7 8 8 1
30 s 1 2 stale
1 big{} 1e308
1 big{x="2"} 1e308
1 big{x="3"} -1e308
1 h_bucket{le="0.1"} 10
1 h_bucket{le="0.5"} 30
1 h_bucket{le="1"} 60
1 h_bucket{le="+Inf"} 100
1 hn_bucket{le="-1"} 0
1 hn_bucket{le="0"} 20
1 hn_bucket{le="+Inf"} 20
60 nh {{schema:0 count:13 sum:20.5 z_bucket:2 z_bucket_w:0.001 buckets:[3 4 0 4]}} {{schema:0 count:23 sum:40 z_bucket:4 z_bucket_w:0.001 buckets:[6 7 0 6]}}
60 nn {{schema:1 count:10 sum:-5 z_bucket:2 z_bucket_w:0.01 n_buckets:[5 3] n_offset:1}}
60 cb {{schema:-53 count:10 sum:8 custom_values:[0.5 1 2.5] buckets:[1 2 3 4]}}
"#;

/// Query, seconds after the base, series of the answer.
const INSTANT: &[(&str, f64, &str)] = &[
    ("rate(c_total[1m])", 60.0, "{a} 0.6666666666666666; {b} 0.6666666666666666"),
    ("increase(c_total[1m])", 60.0, "{a} 40; {b} 40"),
    ("increase(c_total[2m])", 150.0, "{a} 74.28571428571428; {b} 80"),
    ("rate(c_total[40s])", 100.0, "{a} 0.5416666666666666; {b} 0.6666666666666666"),
    ("rate(c_total[1m])", 170.0, "{a} 0.5277777777777778; {b} 0.5277777777777778"),
    ("irate(c_total[1m])", 75.0, "{a} 0.3333333333333333; {b} 0.6666666666666666"),
    ("idelta(c_total[1m])", 75.0, "{a} -35; {b} 10"),
    ("resets(c_total[5m])", 150.0, "{a} 1; {b} 0"),
    ("changes(g[5m])", 120.0, "{a} 4; {b} 2"),
    (r#"deriv(c_total{j="b"}[1m])"#, 60.0, "{b} 0.6666666666666666"),
    (r#"predict_linear(c_total{j="b"}[1m],60)"#, 65.0, "{b} 183.33333333333334"),
    ("c_total", 449.999, "c_total{a} 55; c_total{b} 200"),
    ("c_total", 450.0, ""),
    ("s", 59.999, "s 2"),
    ("s", 60.0, ""),
    ("sum(g)", 60.0, "{} NaN"),
    ("avg(g)", 60.0, "{} NaN"),
    ("min(g)", 60.0, "{} 8"),
    ("max(g)", 60.0, "{} 8"),
    ("count(g)", 60.0, "{} 2"),
    ("stddev(g)", 0.0, "{} 3"),
    ("quantile(0.25,g)", 0.0, "{} 2.5"),
    ("topk(1,g)", 60.0, "g{b} 8"),
    ("topk(5,g)", 60.0, "g{b} 8; g{a} NaN"),
    ("bottomk(1,g)", 60.0, "g{b} 8"),
    ("sum(big)", 0.0, "{} +Inf"),
    ("avg(big)", 0.0, "{} 3.333333333333333e+307"),
    ("avg_over_time(g[5m])", 120.0, "{a} NaN; {b} 6.2"),
    ("min_over_time(g[5m])", 120.0, "{a} 1; {b} 1"),
    ("quantile_over_time(0.5,g[5m])", 120.0, "{a} 2; {b} 7"),
    (r#"stdvar_over_time(g{j="b"}[5m])"#, 120.0, "{b} 6.960000000000001"),
    (r#"mad_over_time(g{j="b"}[5m])"#, 120.0, "{b} 1"),
    (r#"count_values("v",g)"#, 60.0, r#"{v="NaN"} 1; {v="8"} 1"#),
    (r#"double_exponential_smoothing(c_total{j="b"}[1m],0.5,0.1)"#, 60.0, "{b} 140"),
    ("histogram_quantile(0.5,h_bucket)", 0.0, "{} 0.8333333333333333"),
    ("histogram_quantile(0.05,h_bucket)", 0.0, "{} 0.05"),
    ("histogram_quantile(0.95,h_bucket)", 0.0, "{} 1"),
    ("histogram_quantile(1.5,h_bucket)", 0.0, "{} +Inf"),
    ("histogram_quantile(0.5,hn_bucket)", 0.0, "{} -0.5"),
    ("histogram_fraction(0.1,0.75,h_bucket)", 0.0, "{} 0.35"),
    ("histogram_quantile(0.1,nh)", 0.0, "{} 0.0006500000000000001"),
    ("histogram_quantile(0.5,nh)", 0.0, "{} 1.2968395546510096"),
    ("histogram_quantile(0.99,nh)", 0.0, "{} 7.821796489681863"),
    ("histogram_fraction(0,1,nh)", 0.0, "{} 0.38461538461538464"),
    ("histogram_fraction(0.7,5,nh)", 0.0, "{} 0.5254947613875941"),
    ("histogram_stddev(nh)", 0.0, "{} 2.384765187314657"),
    ("histogram_avg(nh)", 0.0, "{} 1.5769230769230769"),
    ("histogram_quantile(0.5,nn)", 0.0, "{} -1.2311444133449163"),
    ("histogram_quantile(0.2,nn)", 0.0, "{} -1.5874010519681994"),
    ("histogram_quantile(0.05,cb)", 0.0, "{} 0.25"),
    ("histogram_quantile(0.5,cb)", 0.0, "{} 2"),
    ("histogram_quantile(0.99,cb)", 0.0, "{} 2.5"),
    ("histogram_stdvar(cb)", 0.0, "{} +Inf"),
    ("histogram_count(increase(nh[2m]))", 90.0, "{} 20"),
    ("histogram_sum(increase(nh[2m]))", 90.0, "{} 39"),
    ("histogram_count(rate(nh[2m]))", 90.0, "{} 0.16666666666666666"),
    ("histogram_sum(rate(nh[2m]))", 90.0, "{} 0.325"),
    ("histogram_count(nh - nh)", 0.0, "{} 0"),
    ("histogram_count(nh * 2)", 0.0, "{} 26"),
    ("2 / nh", 0.0, ""),
    ("c_total / on(j) g", 0.0, "{a} 0; {b} 14.285714285714286"),
    ("c_total > 50", 0.0, "c_total{b} 100"),
    ("50 < c_total", 0.0, "c_total{b} 100"),
    ("c_total > bool 50", 0.0, "{a} 0; {b} 1"),
    ("c_total == on(j) c_total", 0.0, "{a} 0; {b} 100"),
    ("g or s", 30.0, "g{a} 3; g{b} 7; s 2"),
    ("g unless on() s", 30.0, ""),
    (r#"label_replace(g,"k","$1-x","j","(a)")"#, 0.0, r#"g{j="a",k="a-x"} 1; g{b} 7"#),
    (r#"label_replace(g,"j","","j","a")"#, 0.0, "g 1; g{b} 7"),
    (r#"label_join(g,"k","-","j","nope","j")"#, 0.0, r#"g{j="a",k="a--a"} 1; g{j="b",k="b--b"} 7"#),
    (r#"absent(nope{a="1",b!="2",c="3",c="4"})"#, 0.0, r#"{a="1"} 1"#),
    (r#"c_total{j="b"} @ 1700000030"#, 500.0, "c_total{b} 120"),
    (r#"c_total{j="b"} offset 30s"#, 60.0, "c_total{b} 120"),
    (r#"timestamp(c_total{j="b"})"#, 70.0, "{b} 1700000060"),
    (r#"timestamp(-c_total{j="b"})"#, 70.0, "{b} 1700000070"),
    ("round(vector(2.5))", 0.0, "{} 3"),
    ("round(vector(-2.5))", 0.0, "{} -2"),
    ("round(vector(123.456),0.1)", 0.0, "{} 123.5"),
    ("clamp(vector(5),3,1)", 0.0, ""),
    ("days_in_month(vector(951782400))", 0.0, "{} 29"),
    ("day_of_week()", 0.0, "{} 2"),
    ("5 % -3", 0.0, "scalar 2"),
    ("-5 % 3", 0.0, "scalar -2"),
    ("2 ^ -1", 0.0, "scalar 0.5"),
    ("vector(1) atan2 vector(2)", 0.0, "{} 0.4636476090008061"),
    (
        "c_total[1m]",
        60.0,
        "c_total{a} 10@15 20@30 30@45 40@60; c_total{b} 110@15 120@30 130@45 140@60",
    ),
    ("s[2m]", 90.0, "s 1@0 2@30"),
    (r#"c_total{j="b"}[1m:25s]"#, 75.0, "c_total{b} 110@25 130@50 150@75"),
];

/// Query, start, end and step in seconds after the base, series of the answer.
const RANGE: &[(&str, (i64, i64, i64), &str)] = &[
    (
        r#"rate(c_total{j="b"}[30s])"#,
        (0, 70, 20),
        "{b} 0.6666666666666666@20 0.6666666666666666@40 0.6666666666666666@60",
    ),
    (r#"count_over_time(c_total{j="b"}[30s])"#, (0, 60, 15), "{b} 1@0 2@15 2@30 2@45 2@60"),
    (r#"sum_over_time(c_total{j="b"}[1m:20s])"#, (3, 63, 30), "{b} 100@3 210@33 370@63"),
    ("sort(g)", (0, 30, 30), "g{a} 1@0 3@30; g{b} 7@0 7@30"),
];

fn storage() -> TestStorage {
    let mut storage = TestStorage::new();
    for line in DATA.lines().filter(|line| !line.is_empty()) {
        let (interval, series) = line.split_once(' ').expect("interval and series");
        let interval_ms = interval.parse::<i64>().expect("seconds") * 1000;
        load(&mut storage, series, BASE_MS, interval_ms).expect("the data is good");
    }
    storage
}

fn engine() -> Engine {
    let parse = ParseOptions { experimental_functions: true, ..ParseOptions::default() };
    Engine::new(EngineOptions { parse, ..EngineOptions::default() })
}

/// `{a}` stands for `{j="a"}`; a bare number for a scalar.
fn parse_name(text: &str) -> Labels {
    let text = text.replace("{a}", r#"{j="a"}"#).replace("{b}", r#"{j="b"}"#);
    let (name, rest) = text.split_once('{').unwrap_or((&text, "}"));
    let mut labels = LabelsBuilder::default();
    labels.set("__name__", name);
    for pair in rest.trim_end_matches('}').split(',').filter(|p| !p.is_empty()) {
        let (label, value) = pair.split_once('=').expect("a label and its value");
        labels.set(label, value.trim_matches('"'));
    }
    labels.build()
}

/// The answer as lines of labels and values.
fn render(result: &QueryResult) -> Vec<String> {
    let at = |t_ms: i64| (t_ms - BASE_MS) / 1000;
    match &result.value {
        Value::Scalar { v, .. } => vec![format!("scalar {}", format_f(*v))],
        Value::String { text, .. } => vec![text.clone()],
        Value::Vector(samples) => samples
            .iter()
            .map(|s| match &s.value {
                SampleValue::Float(v) => format!("{} {}", s.labels, sample(*v)),
                SampleValue::Histogram(_) => panic!("no query here answers a histogram"),
            })
            .collect(),
        Value::Matrix(series) => series
            .iter()
            .map(|s| {
                let points: Vec<String> =
                    s.floats.iter().map(|(t, v)| format!("{}@{}", sample(*v), at(*t))).collect();
                format!("{} {}", s.labels, points.join(" "))
            })
            .collect(),
    }
}

fn sample(v: f64) -> String {
    promql::number::sample_value(v)
}

/// The expected answer in the same form.
fn expected(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for series in text.split("; ").filter(|s| !s.is_empty()) {
        let (name, values) = series.split_once(' ').expect("a name and values");
        if name == "scalar" {
            out.push(series.to_owned());
        } else {
            out.push(format!("{} {values}", parse_name(name)));
        }
    }
    out
}

#[test]
fn instant_queries_answer_as_prometheus_does() {
    let (storage, engine) = (storage(), engine());
    let mut failures = Vec::new();
    for (query, seconds, want) in INSTANT {
        #[expect(clippy::cast_possible_truncation, reason = "whole milliseconds")]
        let t_ms = BASE_MS + (seconds * 1000.0) as i64;
        let result = engine.instant(&storage, query, t_ms, &QueryContext::default());
        let got = result.map_or_else(|e| vec![e.to_string()], |r| render(&r));
        let (mut got, mut want) = (got, expected(want));
        if !query.starts_with("topk") {
            got.sort();
            want.sort();
        }
        if got != want {
            failures.push(format!("{query} @{seconds}: got {got:?}, want {want:?}"));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn range_queries_answer_as_prometheus_does() {
    let (storage, engine) = (storage(), engine());
    for (query, (start, end, step), want) in RANGE {
        let range = (BASE_MS + start * 1000, BASE_MS + end * 1000, step * 1000);
        let result = engine.range(&storage, query, range, &QueryContext::default()).unwrap();
        assert_eq!(render(&result), expected(want), "{query}");
    }
}

#[test]
fn annotations_and_errors_are_those_of_prometheus() {
    let (storage, engine) = (storage(), engine());
    let notes = |query: &str| {
        let result = engine.instant(&storage, query, BASE_MS, &QueryContext::default()).unwrap();
        result.annotations.render(query)
    };
    let (warnings, _) = notes("histogram_quantile(1.5,h_bucket)");
    let text = "PromQL warning: quantile value should be between 0 and 1, got 1.5 (1:20)";
    assert_eq!(warnings, [text]);
    let (_, infos) = notes("2 / nh");
    let text = "PromQL info: incompatible sample types encountered for binary operator \"/\": \
                float / histogram (1:1)";
    assert_eq!(infos, [text]);
    let error = |query: &str| {
        engine.instant(&storage, query, BASE_MS, &QueryContext::default()).unwrap_err()
    };
    assert_eq!(
        error("atan2(1,2)"),
        QueryError::Parse("1:1: parse error: unexpected <op:atan2>".to_owned())
    );
    assert_eq!(
        error("g + on() g"),
        QueryError::Execution(
            "found duplicate series for the match group {} on the right hand-side of the \
             operation: [{__name__=\"g\", j=\"a\"}, {__name__=\"g\", j=\"b\"}];many-to-many \
             matching not allowed: matching labels must be unique on one side"
                .to_owned()
        )
    );
    assert_eq!(
        error(r#"c_total - on() g{j="a"}"#),
        QueryError::Execution(
            "multiple matches for labels: many-to-one matching must be explicit \
             (group_left/group_right)"
                .to_owned()
        )
    );
    assert_eq!(
        error(r#"abs({__name__=~"g|c_total"})"#),
        QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned())
    );
}
