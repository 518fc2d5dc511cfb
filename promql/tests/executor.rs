//! The answer does not depend on how a big selection is split: same bits, annotations, statistics
//! and errors with any number of threads, in whatever order they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::{
    Estimate, Labels, NamesRequest, Queryable, ReadError, STALE_NAN, Selection, SeriesBuf,
    SeriesSet,
};
use promql::engine::{Engine, QueryContext, QueryResult, SampleValue, Value};
use promql::executor::{Executor, Task};
use promql::test_storage::TestStorage;

const SERIES: u32 = 2_400;
const SAMPLES: i64 = 500;
const STEP_MS: i64 = 15_000;

/// Runs parts in threads of their own, or one after the other from the last to the first.
struct Threads {
    width: usize,
    backwards: bool,
    runs: AtomicUsize,
}

impl Threads {
    fn new(width: usize, backwards: bool) -> Arc<Self> {
        Arc::new(Self { width, backwards, runs: AtomicUsize::new(0) })
    }
}

impl Executor for Threads {
    fn width(&self) -> usize {
        self.width
    }

    fn run(&self, parts: usize, task: Task) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        if self.backwards {
            (0..parts).rev().for_each(|part| task(part));
            return;
        }
        std::thread::scope(|scope| {
            for part in 0..parts {
                let task = &task;
                scope.spawn(move || task(part));
            }
        });
    }
}

/// Counters with resets, gaps and stale markers, scraped at 40 times, and a few that are no counters by
/// their name.
fn storage() -> TestStorage {
    let mut storage = TestStorage::new();
    let mut noise = 1_u64;
    for n in 0..SERIES {
        let name = if n % 2 == 0 { "a_total" } else { "b" };
        let labels = Labels::from_pairs([
            ("__name__", name),
            ("group", &(n % 7).to_string()),
            ("i", &n.to_string()),
            ("le", ["0.1", "1", "+Inf"][n as usize % 3]),
        ])
        .expect("the names differ");
        let mut v = f64::from(n) * 0.1;
        for scrape in 0..SAMPLES {
            noise =
                noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            let t_ms = scrape * STEP_MS + i64::from(n % 40) * 37;
            match noise >> 55 {
                0 => v = 0.0,
                1 => continue,
                2 => {
                    storage
                        .append(&labels, t_ms, f64::from_bits(STALE_NAN))
                        .expect("times increase");
                    continue;
                }
                step => v += f64::from(u32::try_from(step).expect("nine bits")) * 0.37,
            }
            storage.append(&labels, t_ms, v).expect("times increase");
        }
    }
    storage
}

const QUERIES: [&str; 12] = [
    "sum by (group) (rate(a_total[5m]))",
    "sum without (i, le) (rate({__name__=~\"a_total|b\", group=\"3\"}[5m]))",
    "avg by (group) (b)",
    "sum(rate(b[2m]))",
    "stddev by (le) (a_total)",
    "topk by (group) (2, increase(a_total[10m]))",
    "histogram_quantile(0.9, sum by (le, group) (rate(a_total[5m])))",
    "max by (group) (max_over_time(a_total[5m])) - min by (group) (min_over_time(a_total[5m]))",
    "quantile by (group) (0.3, -delta(b[5m]))",
    "count_values by (group) (\"v\", ceil(resets(a_total[30m])))",
    "sum by (__name__) ({__name__=~\"a_total|b\"})",
    "avg by (group) (avg_over_time(b[5m] offset 1m))",
];

fn run(
    queryable: &dyn Queryable,
    query: &str,
    executor: Option<Arc<Threads>>,
) -> Result<QueryResult, String> {
    let mut context = QueryContext::default();
    if let Some(executor) = executor {
        context.executor = executor;
    }
    let range = (0, SAMPLES * STEP_MS, 120_000);
    Engine::default().range(queryable, query, range, &context).map_err(|e| e.to_string())
}

/// Everything of the answer that can be seen, floats as bits.
fn seen(result: &QueryResult) -> String {
    let Value::Matrix(series) = &result.value else { panic!("a range query gives a matrix") };
    let rows: Vec<_> = series
        .iter()
        .map(|s| {
            let bits: Vec<(i64, u64)> = s.floats.iter().map(|(t, v)| (*t, v.to_bits())).collect();
            (s.labels.clone(), bits, &s.histograms)
        })
        .collect();
    let stats =
        (result.stats.samples_read, result.stats.queryable_samples, result.stats.num_series);
    format!("{rows:?} {:?} {stats:?}", result.annotations.render_all(""))
}

#[test]
fn answers_are_the_same_with_any_number_of_threads() {
    let storage = storage();
    for query in QUERIES {
        let want = seen(&run(&storage, query, None).unwrap());
        for (width, backwards) in [(1, false), (2, false), (3, false), (7, false), (3, true)] {
            let threads = Threads::new(width, backwards);
            let got = seen(&run(&storage, query, Some(Arc::clone(&threads))).unwrap());
            assert!(got == want, "{query} with {width} threads");
            let split = threads.runs.load(Ordering::Relaxed) > 0;
            let is_small = query.contains("group=");
            assert_eq!(split, width > 1 && !is_small, "{query} with {width} threads");
        }
    }
}

/// A storage some of whose series cannot be read.
struct Damaged(TestStorage);

struct DamagedSet(Box<dyn SeriesSet>);

impl Queryable for Damaged {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet>, ReadError> {
        Ok(Box::new(DamagedSet(self.0.select(selection)?)))
    }
    fn label_names(&self, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        self.0.label_names(request)
    }
    fn label_values(&self, name: &str, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        self.0.label_values(name, request)
    }
}

impl SeriesSet for DamagedSet {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn labels(&self, i: usize) -> Result<Labels, ReadError> {
        self.0.labels(i)
    }
    fn read(&self, i: usize, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        if i >= 700 {
            return Err(ReadError::Corrupt(format!("series {i}")));
        }
        self.0.read(i, buf)
    }
    fn estimate(&self) -> Estimate {
        self.0.estimate()
    }
}

#[test]
fn the_error_is_that_of_the_first_series_that_has_one() {
    let storage = Damaged(storage());
    for width in [1, 2, 3, 7] {
        for backwards in [false, true] {
            let threads = Threads::new(width, backwards);
            let error = run(&storage, "sum(rate(a_total[5m]))", Some(threads)).unwrap_err();
            assert_eq!(error, "corrupt data: series 700", "{width} threads");
        }
    }
}

#[test]
fn an_instant_query_may_be_split_too() {
    let storage = storage();
    let at = |executor: Option<Arc<Threads>>| {
        let mut context = QueryContext::default();
        if let Some(executor) = executor {
            context.executor = executor;
        }
        let query = "sum by (group) (sum_over_time({__name__=~\"a_total|b\"}[2h]))";
        let result = Engine::default().instant(&storage, query, SAMPLES * STEP_MS, &context);
        let Value::Vector(samples) = result.unwrap().value else { panic!("a vector") };
        let bits = samples.into_iter().map(|s| match s.value {
            SampleValue::Float(v) => (s.labels, v.to_bits()),
            SampleValue::Histogram(_) => panic!("no histogram was stored"),
        });
        bits.collect::<Vec<_>>()
    };
    let want = at(None);
    assert_eq!(want.len(), 7);
    for width in [2, 3, 7] {
        assert_eq!(at(Some(Threads::new(width, false))), want);
    }
}
