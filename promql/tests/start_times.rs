//! Start times of samples through the engine (contract 3.11, `use-start-timestamps`).

use promql::ParseOptions;
use promql::engine::{Engine, EngineOptions, QueryContext, SampleValue, Value};
use promql::test_storage::TestStorage;

const MINUTE: i64 = 60_000;

fn engine(start_timestamps: bool) -> Engine {
    Engine::new(EngineOptions {
        start_timestamps,
        parse: ParseOptions::all(),
        ..EngineOptions::default()
    })
}

/// The floats of `query` at ten minutes, with the value of the label `x`.
fn floats(engine: &Engine, storage: &TestStorage, query: &str) -> Vec<(String, f64)> {
    let result = engine.instant(storage, query, 10 * MINUTE, &QueryContext::default());
    let result = result.expect("the query is good");
    let Value::Vector(samples) = result.value else { panic!("{query} is no vector") };
    let value = |v: &SampleValue| match v {
        SampleValue::Float(v) => *v,
        SampleValue::Histogram(h) => h.count,
    };
    samples.iter().map(|s| (s.labels.get("x").to_owned(), value(&s.value))).collect()
}

fn labels(x: &str) -> model::Labels {
    model::Labels::from_pairs([("__name__", "m_total"), ("x", x)]).expect("two labels")
}

/// Values 1, 2, 3 ... a minute apart from one minute on, each counted since the one before.
fn deltas(storage: &mut TestStorage, x: &str) {
    for i in 1..=10_i32 {
        let t_ms = i64::from(i) * MINUTE;
        let stamp = (t_ms - MINUTE, t_ms);
        storage.append_with_start(&labels(x), stamp, f64::from(i)).expect("times increase");
    }
}

#[test]
fn starts_count_only_with_the_feature() {
    let mut storage = TestStorage::new();
    deltas(&mut storage, "a");
    for (query, off, on) in [
        // In (5 m, 10 m] are 6 to 10. They rise by 4; with a reset each by 34, and by 6 more from
        // where the counter was zero.
        ("increase(m_total[5m])", 5.0, 40.0),
        ("irate(m_total[5m])", 1.0 / 60.0, 10.0 / 60.0),
        ("resets(m_total[5m])", 0.0, 4.0),
        ("resets(m_total[5m] anchored)", 0.0, 5.0),
        ("increase(m_total[5m] anchored)", 5.0, 5.0),
        ("delta(m_total[5m])", 5.0, 5.0),
        ("max_over_time(m_total[5m])", 10.0, 10.0),
    ] {
        for (engine, want) in [(engine(false), off), (engine(true), on)] {
            let got = floats(&engine, &storage, query);
            assert_eq!(got.len(), 1, "{query}");
            assert!((got[0].1 - want).abs() < 1e-9, "{query}: {} not {want}", got[0].1);
        }
    }
    assert_eq!(floats(&engine(false), &storage, "start_timestamp(m_total)"), []);
    assert_eq!(floats(&engine(true), &storage, "start_timestamp(m_total)"), [("a".into(), 540.0)]);
    assert_eq!(floats(&engine(true), &storage, "start_timestamp(m_total * 1)"), []);
}

#[test]
fn a_subquery_has_no_starts() {
    let mut storage = TestStorage::new();
    deltas(&mut storage, "a");
    let plain = floats(&engine(false), &storage, "increase(m_total[5m:1m])");
    assert_eq!(floats(&engine(true), &storage, "increase(m_total[5m:1m])"), plain);
}

#[test]
fn stale_markers_take_their_starts_with_them() {
    let mut storage = TestStorage::new();
    let with_gap = labels("gap");
    for (i, v) in [(6, 6.0), (7, model::stale_nan()), (8, 8.0), (9, 9.0), (10, 10.0)] {
        // The marker claims a start that would make it a reset.
        let start = if i == 7 { 7 * MINUTE - 1 } else { 5 * MINUTE + 30_000 };
        storage.append_with_start(&with_gap, (start, i * MINUTE), v).unwrap();
    }
    let got = floats(&engine(true), &storage, "increase(m_total[5m])");
    assert_eq!(got, [("gap".to_owned(), 10.0)]);
    assert_eq!(floats(&engine(true), &storage, "resets(m_total[5m])"), [("gap".to_owned(), 0.0)]);
}

/// Windows are kept from series to series while the times are the same; a series that is computed
/// another way must not leave the windows of an earlier one behind.
#[test]
fn a_series_on_the_slow_way_does_not_spoil_the_windows_of_the_next() {
    let value = |i: i64| f64::from(i32::try_from(i).unwrap());
    for slow_by_histogram in [false, true] {
        let mut storage = TestStorage::new();
        for i in 1..=40 {
            storage.append(&labels("a"), i * 15_000, value(i)).unwrap();
        }
        for i in 1..=10 {
            storage.append(&labels("c"), i * MINUTE, value(i)).unwrap();
            if slow_by_histogram {
                storage.append(&labels("b"), i * MINUTE, value(i)).unwrap();
            }
        }
        if slow_by_histogram {
            // Outside of the window of the rate, inside of what a range query reads.
            let h = model::FloatHistogram {
                hint: model::CounterResetHint::Unknown,
                schema: 0,
                zero_threshold: 0.0,
                zero_count: 0.0,
                count: 0.0,
                sum: 0.0,
                positive_spans: vec![],
                negative_spans: vec![],
                positive_buckets: vec![],
                negative_buckets: vec![],
                custom_values: vec![],
            };
            storage.append_histogram(&labels("b"), 10 * MINUTE + 1, h).unwrap();
        } else {
            deltas(&mut storage, "b");
        }
        let engine = engine(true);
        let context = QueryContext::default();
        let ends = (8 * MINUTE, 11 * MINUTE, MINUTE);
        let all = engine.range(&storage, "increase(m_total[4m])", ends, &context).unwrap();
        let alone =
            engine.range(&storage, "increase(m_total{x=\"c\"}[4m])", ends, &context).unwrap();
        let (Value::Matrix(all), Value::Matrix(alone)) = (all.value, alone.value) else {
            panic!("a range query gives a matrix")
        };
        assert_eq!(all.last(), alone.last(), "slow by histogram: {slow_by_histogram}");
    }
}
