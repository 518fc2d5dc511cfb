//! What the target `eval` checks; the replay on the stable compiler includes this file too.

use std::sync::OnceLock;

use model::{
    Accountant, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Labels, STALE_NAN, Span,
};
use promql::ParseOptions;
use promql::engine::{Engine, EngineOptions, QueryContext, QueryError, Value, When};
use promql::test_storage::TestStorage;

/// Counters, gauges, classic and native histograms, gaps, stale markers and special values.
fn store() -> &'static TestStorage {
    static STORE: OnceLock<TestStorage> = OnceLock::new();
    STORE.get_or_init(|| {
        let mut store = TestStorage::new();
        for (n, le) in ["0.1", "1", "+Inf", "no bound"].into_iter().enumerate() {
            for job in ["a", "b"] {
                let labels = [("__name__", "m"), ("job", job), ("le", le)];
                let labels = Labels::from_pairs(labels).expect("the names differ");
                for i in 0..20_i32 {
                    let v = match i % 9 {
                        3 if n == 1 => f64::from_bits(STALE_NAN),
                        4 if n == 2 => f64::NAN,
                        5 if n == 3 => f64::INFINITY,
                        7 => 0.0,
                        _ => f64::from(i * 3) * [0.5, 1.0, -2.0, 1e300][n],
                    };
                    store.append(&labels, i64::from(i) * 10_000, v).expect("times increase");
                }
            }
        }
        for (name, schema) in [("h", 0), ("c", CUSTOM_BUCKETS_SCHEMA)] {
            let labels = Labels::from_pairs([("__name__", name)]).expect("one name");
            for i in 0..10_u32 {
                let h = FloatHistogram {
                    hint: CounterResetHint::Unknown,
                    schema,
                    count: f64::from(i * 3),
                    sum: f64::from(i),
                    positive_spans: vec![Span { offset: 0, length: 2 }],
                    positive_buckets: vec![f64::from(i), f64::from(i * 2)],
                    custom_values: if schema == 0 { Vec::new() } else { vec![1.0, 2.0] },
                    zero_threshold: 0.0,
                    zero_count: 0.0,
                    negative_spans: Vec::new(),
                    negative_buckets: Vec::new(),
                };
                store.append_histogram(&labels, i64::from(i) * 20_000, h).expect("times increase");
            }
        }
        store
    })
}

/// Evaluates `text` at one time, over a range and explained, within small budgets.
pub(crate) fn evaluate(text: &str) {
    let options = EngineOptions {
        max_samples: 100_000,
        max_series: 1_000,
        max_subquery_points: 1_000,
        parse: ParseOptions::all(),
        ..EngineOptions::default()
    };
    let Ok(ast) = promql::parse(text, &options.parse) else { return };
    let engine = Engine::new(options);
    let memory = Accountant::new(64 << 20);
    let context =
        QueryContext { memory: memory.clone(), max_bytes: 16 << 20, ..QueryContext::default() };
    let range = When::Range { start_ms: 5_000, end_ms: 185_000, step_ms: 30_000 };
    for when in [When::Instant { t_ms: 120_000 }, range] {
        let result = match when {
            When::Instant { t_ms } => engine.instant_ast(store(), &ast, t_ms, &context),
            When::Range { start_ms, end_ms, step_ms } => {
                engine.range_ast(store(), &ast, (start_ms, end_ms, step_ms), &context)
            }
        };
        if let Ok(Value::Matrix(series)) = result.as_ref().map(|r| &r.value) {
            // The samples of a range vector at one time are as they were stored, never empty.
            assert!(series.iter().all(|s| s.floats.is_sorted_by(|a, b| a.0 < b.0)), "{text:?}");
        }
        let explained = engine.explain(store(), &ast, when, &context);
        if let (Ok(_), Err(e)) = (&result, &explained) {
            panic!("{text:?} runs and is not explained: {e}");
        }
        if let Err(QueryError::Storage(e)) = result {
            panic!("{text:?}: {e}");
        }
    }
    assert_eq!(memory.used(), 0, "{text:?} holds memory after its end");
}
