//! Explaining a query reads no sample, and says what running it would.

use std::sync::atomic::{AtomicU64, Ordering};

use model::{
    Estimate, Labels, NamesRequest, Queryable, ReadError, Selection, SeriesBuf, SeriesSet,
};
use promql::engine::{Engine, EngineOptions, QueryContext, QueryError, When};
use promql::test_storage::TestStorage;
use promql::{ParseOptions, parse};

const QUERIES: &[&str] = &[
    "m",
    "m @ 95",
    "m[30s]",
    "m smoothed",
    "sum by (g) (rate(m[30s]))",
    "topk(scalar(n{i=\"0\"}) + 1, m)",
    "quantile(scalar(n{i=\"0\"}), m)",
    "limit_ratio(scalar(n{i=\"0\"}), m)",
    "m + on (g, i) n * 2 - m",
    "m and n or m unless n",
    "max_over_time(rate(m[20s])[40s:5s])",
    "absent(m) or absent_over_time(n[10s])",
    "label_replace(m, \"i\", \"x\", \"i\", \"7\")",
    "count_values(\"v\", m)",
    "sort_desc(timestamp(m))",
    "info(m)",
    "histogram_quantile(scalar(n{i=\"0\"}), m)",
    "scalar(sum(m))",
    "vector(scalar(sum(m)))",
    "1 + 2",
    "\"text\"",
];

/// Four series of ten samples each.
fn storage() -> TestStorage {
    let mut storage = TestStorage::new();
    for (name, g, i) in [("m", "a", "0"), ("m", "b", "1"), ("n", "a", "0"), ("n", "b", "1")] {
        let pairs = [("__name__", name), ("g", g), ("i", i), ("job", "j"), ("instance", i)];
        let labels = Labels::from_pairs(pairs).expect("good labels");
        for t in 1..=10_i32 {
            storage.append(&labels, i64::from(t) * 10_000, f64::from(t)).expect("times increase");
        }
    }
    storage
}

/// Selects as the storage inside does; a read fails.
struct Unreadable(TestStorage);

struct UnreadableSet(Box<dyn SeriesSet>);

impl Queryable for Unreadable {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet>, ReadError> {
        Ok(Box::new(UnreadableSet(self.0.select(selection)?)))
    }

    fn label_names(&self, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        self.0.label_names(request)
    }

    fn label_values(&self, name: &str, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        self.0.label_values(name, request)
    }
}

impl SeriesSet for UnreadableSet {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, i: usize) -> Result<Labels, ReadError> {
        self.0.labels(i)
    }

    fn read(&self, _: usize, _: &mut SeriesBuf) -> Result<(), ReadError> {
        Err(ReadError::Io("read".to_owned()))
    }

    fn estimate(&self) -> Estimate {
        self.0.estimate()
    }
}

fn engine() -> Engine {
    let parse = ParseOptions::all();
    Engine::new(EngineOptions { parse, ..EngineOptions::default() })
}

/// A clock that ticks once a reading.
fn ticks() -> u64 {
    static NOW: AtomicU64 = AtomicU64::new(0);
    NOW.fetch_add(1, Ordering::Relaxed)
}

#[test]
fn what_is_explained_is_what_is_run() {
    let unreadable = Unreadable(storage());
    let (engine, context) = (engine(), QueryContext::default());
    let range = When::Range { start_ms: 50_000, end_ms: 90_000, step_ms: 10_000 };
    for query in QUERIES {
        let ast = parse(query, &ParseOptions::all()).expect("a good query");
        for when in [When::Instant { t_ms: 100_000 }, range] {
            let plain = match when {
                When::Instant { t_ms } => engine.instant_ast(&unreadable.0, &ast, t_ms, &context),
                When::Range { start_ms, end_ms, step_ms } => {
                    engine.range_ast(&unreadable.0, &ast, (start_ms, end_ms, step_ms), &context)
                }
            };
            let explained = engine.explain(&unreadable, &ast, when, &context);
            let analyzed = engine.analyze(&unreadable.0, &ast, when, &context, ticks);
            let (plain, explained, (result, analyzed)) = match (plain, explained, analyzed) {
                (Ok(plain), Ok(explained), Ok(analyzed)) => (plain, explained, analyzed),
                (Err(e), Err(explained), Err(analyzed)) => {
                    assert!(matches!(e, QueryError::Parse(_)), "{query}: {e}");
                    assert_eq!((&e, &e), (&explained, &analyzed), "{query}");
                    continue;
                }
                other => panic!("{query}: {other:?}"),
            };
            assert_eq!(format!("{:?}", plain.value), format!("{:?}", result.value), "{query}");
            assert_eq!(plain.stats, result.stats, "{query}");
            let facts = |e: &promql::explain::Explained| -> Vec<_> {
                e.nodes.iter().map(|n| (n.depth, n.name, n.pos, n.steps, n.estimate)).collect()
            };
            assert_eq!(facts(&explained), facts(&analyzed), "{query}");
            assert!(explained.nodes.iter().all(|n| n.counts.series_read == 0), "{query}");
            let read: u64 = analyzed.nodes.iter().map(|n| n.counts.samples_read).sum();
            assert_eq!(read, result.stats.samples_read, "{query}");
            assert!(read <= analyzed.estimate().num_samples, "{query}");
        }
    }
}

#[test]
fn the_tree_is_printed_with_what_each_operator_did() {
    let ast = parse("sum by (g) (rate(m[30s])) / 2", &ParseOptions::all()).expect("a good query");
    let when = When::Range { start_ms: 50_000, end_ms: 90_000, step_ms: 20_000 };
    let context = QueryContext::default();
    let explained = engine().explain(&storage(), &ast, when, &context).expect("a good query");
    let want = "\
/ steps=3
  sum steps=3
    rate steps=3
      range
        selector series<=2 samples<=20 bytes<=0
  number
";
    assert_eq!(explained.to_string(), want);
    let clock = || 0;
    let (_, analyzed) =
        engine().analyze(&storage(), &ast, when, &context, clock).expect("a good query");
    let want = "\
/ steps=3 gave=6 of 2 series
  sum steps=3 gave=6 of 2 series
    rate steps=3 gave=6 of 2 series
      range
        selector series<=2 samples<=20 bytes<=0 read=14 of 2 series
  number
";
    assert_eq!(analyzed.to_string(), want);
    let (_, timed) =
        engine().analyze(&storage(), &ast, when, &context, ticks).expect("a good query");
    let nanos: Vec<u64> = timed.nodes.iter().take(3).map(|n| n.counts.nanos).collect();
    assert!(nanos.windows(2).all(|w| w[0] > w[1]), "a parent's time holds its children's");
}

#[test]
fn a_long_chain_is_explained_and_printed() {
    let text = vec!["m"; 3000].join("+");
    let ast = parse(&text, &ParseOptions::all()).expect("a good query");
    let when = When::Instant { t_ms: 100_000 };
    let context = QueryContext::default();
    let explained = engine().explain(&storage(), &ast, when, &context).expect("a good query");
    assert_eq!(explained.nodes.len(), 5999);
    assert_eq!(explained.to_string().lines().count(), 5999);
    assert_eq!(explained.estimate().num_series, 6000);
}
