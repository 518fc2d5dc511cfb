//! A part that occurs twice is evaluated once, and nobody can tell from the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{
    Estimate, Labels, NamesRequest, Queryable, ReadError, Selection, SeriesBuf, SeriesSet,
};
use promql::engine::{Engine, QueryContext, QueryResult, Value};
use promql::test_storage::TestStorage;

const SERIES: u64 = 48;

/// Counts the series that are read.
struct Counted(TestStorage, Arc<AtomicU64>);

struct CountedSet(Box<dyn SeriesSet>, Arc<AtomicU64>);

impl Queryable for Counted {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet>, ReadError> {
        Ok(Box::new(CountedSet(self.0.select(selection)?, Arc::clone(&self.1))))
    }
    fn label_names(&self, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        self.0.label_names(request)
    }
    fn label_values(&self, name: &str, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        self.0.label_values(name, request)
    }
}

impl SeriesSet for CountedSet {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn labels(&self, i: usize) -> Result<Labels, ReadError> {
        self.0.labels(i)
    }
    fn read(&self, i: usize, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read(i, buf)
    }
    fn estimate(&self) -> Estimate {
        self.0.estimate()
    }
}

fn storage() -> Counted {
    let mut storage = TestStorage::new();
    for i in 0..SERIES {
        let labels = Labels::from_pairs([
            ("__name__", "m"),
            ("g", &(i % 3).to_string()),
            ("i", &i.to_string()),
            ("le", ["1", "+Inf"][usize::try_from(i % 2).expect("0 or 1")]),
        ]);
        let labels = labels.expect("the names differ");
        for t in 0..100_u32 {
            let v = f64::from(t * 7 % 31) * 0.1;
            storage.append(&labels, i64::from(t) * 10_000, v).expect("times increase");
        }
    }
    Counted(storage, Arc::default())
}

/// The answer and how many series were read for it.
fn run(storage: &Counted, query: &str, max_bytes: u64) -> (QueryResult, u64) {
    storage.1.store(0, Ordering::Relaxed);
    let context = QueryContext { max_bytes, ..QueryContext::default() };
    let result = Engine::default().range(storage, query, (0, 990_000, 10_000), &context);
    (result.expect(query), storage.1.load(Ordering::Relaxed))
}

/// Labels and bits.
fn rows(result: &QueryResult) -> Vec<(String, Vec<(i64, u64)>)> {
    let Value::Matrix(series) = &result.value else { panic!("a range query gives a matrix") };
    let bits = |f: &[(i64, f64)]| f.iter().map(|(t, v)| (*t, v.to_bits())).collect();
    series.iter().map(|s| (s.labels.to_string(), bits(&s.floats))).collect()
}

/// Queries with a part twice, how many selectors are read, and the same query with another text of one
/// occurrence.
const QUERIES: [(&str, u64, &str); 10] = [
    ("sum(rate(m[1m])) / sum(rate(m[1m]))", 1, "sum(rate(m[1m])) / sum(rate(m[1m] offset 0s))"),
    ("m + m", 1, "m + m offset 0s"),
    ("m / on (g) group_left sum by (g) (m)", 2, "m offset 0s / on (g) group_left sum by (g) (m)"),
    ("sum by (g) (m) / sum by (g) (m)", 1, "sum by (g) (m) / sum by (g) (m offset 0s)"),
    ("sum by (g) (m) / count by (g) (m)", 1, "sum by (g) (m) / count by (g) (m offset 0s)"),
    ("topk(2, m) or bottomk(2, m)", 1, "topk(2, m) or bottomk(2, m offset 0s)"),
    (
        "histogram_quantile(0.9, sum by (le) (rate(m[1m]))) - \
         histogram_quantile(0.5, sum by (le) (rate(m[1m])))",
        1,
        "histogram_quantile(0.9, sum by (le) (rate(m[1m]))) - \
         histogram_quantile(0.5, sum by (le) (rate(m[1m] offset 0s)))",
    ),
    ("abs(m) > 1 and abs(m) < 2", 1, "abs(m) > 1 and abs(m offset 0s) < 2"),
    ("m - scalar(sum(m)) + scalar(sum(m))", 2, "m - scalar(sum(m)) + scalar(sum(m offset 0s))"),
    ("(sum(m) + 1) * (sum(m) + 1)", 1, "(sum(m) + 1) * (sum(m offset 0s) + 1)"),
];

#[test]
fn a_part_that_occurs_twice_is_read_once() {
    let storage = storage();
    for (query, selectors, apart) in QUERIES {
        let ((got, reads), (want, more)) =
            (run(&storage, query, 1 << 30), run(&storage, apart, 1 << 30));
        assert_eq!(rows(&got), rows(&want), "{query}");
        assert_eq!(reads, selectors * SERIES, "{query}");
        assert!(more > reads || selectors == 2, "{apart} has no common part");
        let stats = |r: &QueryResult| (r.stats.queryable_samples, r.stats.num_series);
        assert_eq!(stats(&got), stats(&want), "{query}");
    }
}

#[test]
fn what_is_said_of_one_occurrence_is_said_of_the_last() {
    let query = "sum(rate(m[1m])) + 1 / sum(rate(m[1m]))";
    let (result, reads) = run(&storage(), query, 1 << 30);
    assert_eq!(reads, SERIES);
    let (_, infos) = result.annotations.render(query);
    let places: Vec<&str> =
        infos.iter().filter_map(|text| text.rsplit_once(' ')).map(|p| p.1).collect();
    // Equal texts are one, with the place of the last.
    assert_eq!(places, ["(1:33)"], "{infos:?}");
}

#[test]
fn rows_that_do_not_fit_are_made_again() {
    let storage = storage();
    let query = "avg(rate(m[1m]) + rate(m[1m]))";
    let (want, _) = run(&storage, query, 1 << 30);
    let (got, reads) = run(&storage, query, 150_000);
    assert_eq!(reads, 2 * SERIES, "a quarter of the budget does not hold the rows");
    assert_eq!(rows(&got), rows(&want));
}
