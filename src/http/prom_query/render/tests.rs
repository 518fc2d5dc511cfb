use super::*;
use promql::annotations::{Annotations, Place};
use promql::ast::Pos;
use promql::engine::{QueryStats, SamplesPerStep};

fn result(value: Value) -> QueryResult {
    QueryResult {
        value,
        annotations: Annotations::new(),
        storage_warnings: Vec::new(),
        stats: QueryStats::default(),
        samples_per_step: None,
    }
}

fn answer(value: Value) -> String {
    let rendering = Rendering { max_bytes: 1 << 20, stats: None, explained: None };
    String::from_utf8(rendering.answer(&result(value), &Notes::default()).unwrap()).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn sample(t_ms: i64, v: f64) -> VectorSample {
    VectorSample { labels: labels(&[("a", "<")]), t_ms, value: SampleValue::Float(v) }
}

#[test]
fn scalars_and_strings_have_plain_times() {
    assert_eq!(
        answer(Value::Scalar { t_ms: 1050, v: 1e21 }),
        r#"{"status":"success","data":{"resultType":"scalar","result":[1.05,"1000000000000000000000"]}}"#
    );
    assert_eq!(
        answer(Value::String { t_ms: 4000, text: "a<b".to_owned() }),
        r#"{"status":"success","data":{"resultType":"string","result":[4,"a\u003cb"]}}"#
    );
}

#[test]
fn samples_have_three_decimals_and_exponents_at_the_ends() {
    assert_eq!(
        answer(Value::Vector(Vec::new())),
        r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#
    );
    assert_eq!(
        answer(Value::Vector(vec![sample(1050, 1e21), sample(2000, f64::NEG_INFINITY)])),
        concat!(
            r#"{"status":"success","data":{"resultType":"vector","result":["#,
            r#"{"metric":{"a":"\u003c"},"value":[1.050,"1e+21"]},"#,
            r#"{"metric":{"a":"\u003c"},"value":[2,"-Inf"]}]}}"#
        )
    );
    let series = MatrixSeries {
        labels: Labels::empty(),
        floats: vec![(0, 1e-7), (1500, f64::NAN)],
        histograms: Vec::new(),
    };
    assert_eq!(
        answer(Value::Matrix(vec![series])),
        concat!(
            r#"{"status":"success","data":{"resultType":"matrix","result":["#,
            r#"{"metric":{},"values":[[0,"1e-07"],[1.500,"NaN"]]}]}}"#
        )
    );
}

#[test]
fn truncation_counts_series_and_leaves_scalars() {
    let mut vector = Value::Vector(vec![sample(0, 1.0), sample(0, 2.0)]);
    assert!(!truncate(&mut vector, 0) && !truncate(&mut vector, 2) && truncate(&mut vector, 1));
    assert_eq!(vector, Value::Vector(vec![sample(0, 1.0)]));
    assert!(!truncate(&mut Value::Scalar { t_ms: 0, v: 1.0 }, 1));
}

#[test]
fn a_long_answer_is_refused_while_it_grows() {
    let rendering = Rendering { max_bytes: 100, stats: None, explained: None };
    let value = Value::Vector(vec![sample(0, 1.0); 10]);
    let error = rendering.answer(&result(value), &Notes::default()).unwrap_err();
    assert!(
        matches!(error, Failure::OverLimit { message, .. } if message.contains("limit of 100 bytes"))
    );
}

#[test]
fn annotations_and_statistics_follow_the_data() {
    let mut result = result(Value::Vector(Vec::new()));
    let at = |start| Place { pos: Some(Pos { start, end: start + 1 }), turn: 0 };
    result.annotations.warn("quantile value should be between 0 and 1, got 2", at(4));
    result.annotations.info(
        "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"x\"",
        at(0),
    );
    result.storage_warnings.push("block x is quarantined".to_owned());
    result.stats.samples_read = 7;
    let (queryable, read) = (vec![(1000, 3), (1500, 4)], vec![(1000, 7), (1500, 0)]);
    result.samples_per_step = Some(SamplesPerStep { queryable, read });
    let second = Duration::from_secs(1);
    let rendering = Rendering {
        max_bytes: 1 << 20,
        explained: None,
        stats: Some(Timings { queued: second, evaluated: 3 * second }),
    };
    let answer = rendering.answer(&result, &Notes::of("sum(x)", &result)).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(
        json["warnings"],
        serde_json::json!([
            "block x is quarantined",
            "PromQL warning: quantile value should be between 0 and 1, got 2 (1:5)"
        ])
    );
    assert_eq!(
        json["infos"],
        serde_json::json!([
            "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"x\" (1:1)"
        ])
    );
    let stats = &json["data"]["stats"];
    assert_eq!(
        (stats["timings"]["evalTotalTime"].as_f64(), stats["samples"]["samplesRead"].as_u64()),
        (Some(2.0), Some(7))
    );
    assert_eq!(
        (
            &stats["samples"]["totalQueryableSamplesPerStep"],
            &stats["samples"]["samplesReadPerStep"]
        ),
        (&serde_json::json!([[1, 3], [1.5, 4]]), &serde_json::json!([[1, 7], [1.5, 0]]))
    );
}
