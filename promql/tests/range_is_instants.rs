//! A range query is the instant queries of its steps, bit by bit: what the evaluator shares
//! between steps and series must not show.

use std::collections::BTreeMap;

use model::Labels;
use promql::engine::{Engine, EngineOptions, QueryContext, SampleValue, Value};
use promql::test_storage::TestStorage;
use promql::{ParseOptions, annotations::Annotations};
use proptest::{collection::vec, prelude::*};

const QUERIES: &[&str] = &[
    "m",
    "m offset 7s",
    "m @ 95",
    "rate(m[30s])",
    "increase(m[25s] offset 5s)",
    "delta(m[40s])",
    "irate(m[30s])",
    "sum_over_time(m[20s])",
    "avg_over_time(m[35s])",
    "max_over_time(m[30s])",
    "last_over_time(m[30s])",
    "quantile_over_time(0.3, m[40s])",
    "rate(m[30s] @ 90)",
    "increase(m[30s] anchored)",
    "rate(m[30s] smoothed)",
    "absent(m{i=\"0\"})",
    "absent_over_time(m{i=\"1\"}[9s])",
    "timestamp(m)",
    "time() - timestamp(m)",
    "sum(m)",
    "avg by (g) (m)",
    "stddev without (i) (m)",
    "min(m)",
    "quantile(0.4, m)",
    "topk by (g) (1, m)",
    "bottomk(2, m)",
    "limitk(2, m)",
    "count_values(\"v\", m > 50)",
    "m + on (i) n",
    "m > on (g, i) n",
    "m * on (i) group_left n",
    "m and n",
    "m unless on (i) n",
    "m or n * 2",
    "m + fill (0) n",
    "1 - m > bool 0",
    "max_over_time(rate(m[20s])[40s:5s])",
    "sum_over_time(m[30s:7s] offset 3s)",
    "label_replace(m, \"i\", \"x\", \"i\", \"7\")",
    "scalar(m{i=\"0\"}) + m",
    "clamp(m, 10, time())",
    "histogram_quantile(0.9, label_replace(m, \"le\", \"$1\", \"i\", \"(.)\") or label_replace(sum(m), \"le\", \"+Inf\", \"\", \"\"))",
];

/// The samples of one series: gap in seconds to the sample before, and a value; some values stand
/// for the special ones.
fn series() -> impl Strategy<Value = Vec<(u8, u8)>> {
    vec((1_u8..25, any::<u8>()), 0..25)
}

fn value(v: u8) -> f64 {
    match v {
        0..=9 => model::stale_nan(),
        10..=14 => f64::NAN,
        15..=17 => f64::INFINITY,
        18..=20 => f64::NEG_INFINITY,
        v => f64::from(v) * 1.1,
    }
}

fn storage(data: &[Vec<(u8, u8)>]) -> TestStorage {
    let mut storage = TestStorage::new();
    for (i, samples) in data.iter().enumerate() {
        let name = if i % 2 == 0 { "m" } else { "n" };
        let pairs = [
            ("__name__", name),
            ("g", if i % 4 < 2 { "a" } else { "b" }),
            ("i", &(i / 2).to_string()),
        ];
        let labels = Labels::from_pairs(pairs).expect("the names differ");
        let mut t_ms = 0;
        for (gap, v) in samples {
            t_ms += i64::from(*gap) * 1000;
            storage.append(&labels, t_ms, value(*v)).expect("times increase");
        }
    }
    storage
}

type Points = BTreeMap<(Labels, i64), u64>;

/// All NaN are one: which payload an operation keeps is the processor's choice.
fn bits(v: f64) -> u64 {
    if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() }
}

fn as_range(
    engine: &Engine,
    storage: &TestStorage,
    query: &str,
    range: (i64, i64, i64),
) -> Result<(Points, Annotations), String> {
    let result =
        engine.range(storage, query, range, &QueryContext::default()).map_err(|e| e.to_string())?;
    let Value::Matrix(series) = result.value else { return Err("no matrix".to_owned()) };
    let points = series
        .iter()
        .flat_map(|s| s.floats.iter().map(|(t, v)| ((s.labels.clone(), *t), bits(*v))))
        .collect();
    Ok((points, result.annotations))
}

fn as_instants(
    engine: &Engine,
    storage: &TestStorage,
    query: &str,
    (start, end, step): (i64, i64, i64),
) -> Result<(Points, Annotations), String> {
    let (mut points, mut annotations) = (Points::new(), Annotations::new());
    for t_ms in (start..=end).step_by(usize::try_from(step).expect("a positive step")) {
        let result = engine
            .instant(storage, query, t_ms, &QueryContext::default())
            .map_err(|e| e.to_string())?;
        let Value::Vector(samples) = result.value else { return Err("no vector".to_owned()) };
        for sample in samples {
            let SampleValue::Float(v) = sample.value else { return Err("a histogram".to_owned()) };
            points.insert((sample.labels, t_ms), bits(v));
        }
        annotations.merge(result.annotations);
    }
    Ok((points, annotations))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_range_query_is_the_instant_queries_of_its_steps(
        data in vec(series(), 1..8),
        start in 0_i64..100_000,
        length in 0_i64..200_000,
        step in 1_000_i64..40_000,
        late in any::<bool>(),
        shared in any::<bool>(),
    ) {
        let mut data = data;
        if shared {
            // Series that share their times but not their values.
            let times: Vec<u8> = data[0].iter().map(|s| s.0).collect();
            for series in &mut data {
                series.truncate(times.len());
                series.iter_mut().zip(&times).for_each(|(s, t)| s.0 = *t);
            }
        }
        let storage = storage(&data);
        let engine = Engine::new(EngineOptions {
            delayed_name_removal: late,
            lookback_ms: 20_000,
            parse: ParseOptions::all(),
            ..EngineOptions::default()
        });
        let range = (start, start + length, step);
        for query in QUERIES {
            let got = as_range(&engine, &storage, query, range);
            let want = as_instants(&engine, &storage, query, range);
            match (got, want) {
                (Ok((got, got_notes)), Ok((want, want_notes))) => {
                    prop_assert_eq!(&got, &want, "{}", query);
                    let texts = |a: &Annotations| a.render_all(query).into_iter()
                        .map(|(_, text)| text.split(", from").next().map(str::to_owned))
                        .collect::<Vec<_>>();
                    prop_assert_eq!(texts(&got_notes), texts(&want_notes), "{}", query);
                }
                (got, want) => prop_assert_eq!(got.is_err(), want.is_err(), "{}", query),
            }
        }
    }
}
