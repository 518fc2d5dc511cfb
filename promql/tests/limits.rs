//! What a query may not do: overflow the stack, outgrow its budgets, outlive its deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{
    Account, Accountant, Estimate, Interrupt, Interrupted, Labels, NamesRequest, Queryable,
    ReadError, Selection, SeriesBuf, SeriesSet,
};
use promql::ParseOptions;
use promql::engine::{Engine, EngineOptions, QueryContext, QueryError, Value, When};
use promql::test_storage::TestStorage;

/// `n` series `m{i="..."}` of 100 samples, 10 s apart.
fn storage(n: u32) -> TestStorage {
    let mut storage = TestStorage::new();
    for i in 0..n {
        let labels =
            Labels::from_pairs([("__name__", "m"), ("i", &i.to_string())]).expect("two names");
        for t in 0..100_i32 {
            storage.append(&labels, i64::from(t) * 10_000, f64::from(t)).expect("times increase");
        }
    }
    storage
}

fn instant(query: &str) -> Result<Value, QueryError> {
    let context = QueryContext::default();
    Engine::default().instant(&storage(3), query, 500_000, &context).map(|r| r.value)
}

/// Runs `f` on a thread with the smallest stack that a server thread has.
fn on_a_small_stack<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let thread = thread.spawn_scoped(scope, f).expect("a thread starts");
        thread.join().expect("the stack suffices")
    })
}

fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn the_deepest_nesting_fits_a_thread_stack() {
    for (query, samples) in [
        (nested("(", "m", ")", 500), 3),
        (nested("abs(", "m", ")", 500), 3),
        (nested("sum(", "m", ")", 500), 1),
        (nested("-(", "m", ")", 250), 3),
        (nested("1+(", "m", ")", 500), 3),
        (nested("m+(", "m", ")", 500), 3),
        (nested("m or (", "m", ")", 500), 3),
        (nested("m == on (i) group_right () (", "m", ")", 500), 3),
        (nested("label_join(", "m", ",\"l\",\"-\")", 500), 3),
        (nested("topk(2,", "m", ")", 500), 2),
        (nested("max_over_time(", "m", "[10s:10s])", 250), 3),
        (nested("histogram_quantile(0.5,", "m", ")", 500), 0),
        (nested("vector(scalar(", "sum(m)", "))", 250), 1),
    ] {
        match on_a_small_stack(|| instant(&query)).unwrap() {
            Value::Vector(got) => assert_eq!(got.len(), samples, "{}", &query[..20]),
            other => panic!("{other:?}"),
        }
    }
    let scalar = nested("1+(", "1", ")", 500);
    let got = on_a_small_stack(|| instant(&scalar)).unwrap();
    assert_eq!(got, Value::Scalar { t_ms: 500_000, v: 501.0 });
}

#[test]
fn a_chain_of_operators_costs_no_stack() {
    const TERMS: u32 = 60_000;
    let chain = |term: &str, op: &str| vec![term; TERMS as usize].join(op);
    let got = on_a_small_stack(|| instant(&chain("1", "+"))).unwrap();
    assert_eq!(got, Value::Scalar { t_ms: 500_000, v: f64::from(TERMS) });
    let got = on_a_small_stack(|| instant(&format!("m{}", "+1".repeat(TERMS as usize)))).unwrap();
    let Value::Vector(got) = got else { panic!("a vector was asked for") };
    assert_eq!(got.len(), 3);
    let chain = vec!["m"; 5_000].join("+");
    let Value::Vector(got) = on_a_small_stack(|| instant(&chain)).unwrap() else {
        panic!("a vector was asked for")
    };
    assert_eq!(got[0].value, promql::engine::SampleValue::Float(50.0 * 5_000.0));
}

#[test]
fn the_sample_limit_counts_what_is_in_memory_at_once() {
    let options = EngineOptions { max_samples: 250, ..EngineOptions::default() };
    let (engine, storage) = (Engine::new(options), storage(10));
    let run =
        |query: &str| engine.range(&storage, query, (0, 990_000, 10_000), &QueryContext::default());
    assert_eq!(run("m").unwrap_err(), QueryError::TooManySamples);
    assert_eq!(
        QueryError::TooManySamples.to_string(),
        "query processing would load too many samples into memory in query execution"
    );
    let result = run("sum(m)").expect("series after series fits");
    assert!(result.stats.peak_samples <= 250);
    assert_eq!((result.stats.samples_read, result.stats.num_series), (1000, 10));
}

#[test]
fn bytes_are_charged_and_given_back() {
    let (engine, storage) = (Engine::default(), storage(50));
    let memory = Accountant::new(1 << 20);
    let context =
        QueryContext { memory: memory.clone(), max_bytes: 300_000, ..QueryContext::default() };
    let run = |query: &str, context: &QueryContext| {
        engine.range(&storage, query, (0, 990_000, 1000), context)
    };
    assert!(matches!(run("m", &context), Err(QueryError::TooManyBytes { limit: 300_000, .. })));
    run("sum(m)", &context).expect("one group fits");
    let context = QueryContext { max_bytes: u64::MAX, ..context };
    let hog = memory.charge(Account::Head, (1 << 20) - 50_000).unwrap();
    assert!(matches!(run("m", &context), Err(QueryError::OverBudget(_))));
    drop(hog);
    for query in ["m", "m + m", "topk(3, m)", "m or m", "quantile(0.5, m)", "sort(m)"] {
        run(query, &context).expect(query);
    }
    assert_eq!(memory.used(), 0, "nothing is held after a query");
}

#[test]
fn series_and_subquery_steps_are_limited() {
    let options =
        EngineOptions { max_series: 5, max_subquery_points: 10, ..EngineOptions::default() };
    let engine = Engine::new(options);
    let run = |query: &str| engine.instant(&storage(6), query, 0, &QueryContext::default());
    assert_eq!(run("m").unwrap_err().to_string(), "query selects 6 series, limit 5");
    assert_eq!(
        run("max_over_time(m{i=\"1\"}[11s:1s])").unwrap_err().to_string(),
        "subquery has 11 steps, limit 10"
    );
}

/// Fires after a number of polls.
struct After {
    polls: AtomicU64,
    reason: Interrupted,
}

impl Interrupt for After {
    fn check(&self) -> Result<(), Interrupted> {
        match self.polls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.reason),
        }
    }
}

#[test]
fn an_interrupt_ends_the_query_wherever_it_is() {
    let storage = storage(20);
    for (reason, want, text) in [
        (Interrupted::TimedOut, QueryError::TimedOut, "query timed out in expression evaluation"),
        (
            Interrupted::Canceled,
            QueryError::Canceled,
            "query was canceled in expression evaluation",
        ),
    ] {
        assert_eq!(want.to_string(), text);
        for query in ["sum(rate(m[1m]))", "m * m", "max_over_time(m[5m:10s])", "topk(1, m)"] {
            let run = |polls: u64| {
                let interrupt = Arc::new(After { polls: polls.into(), reason });
                let context = QueryContext { interrupt, ..QueryContext::default() };
                Engine::default().range(&storage, query, (0, 990_000, 10_000), &context)
            };
            for polls in 0..20 {
                assert_eq!(run(polls).unwrap_err(), want, "{query} after {polls}");
            }
            run(u64::MAX).unwrap();
        }
    }
}

#[test]
fn times_at_the_ends_of_the_range_do_not_overflow() {
    let storage = storage(1);
    let engine = Engine::default();
    for t_ms in [i64::MIN, i64::MIN / 2, i64::MAX / 2, i64::MAX] {
        for query in ["m", "rate(m[1h])", "m offset 1h", "m offset -1h", "max_over_time(m[1h:1m])"]
        {
            let result = engine.instant(&storage, query, t_ms, &QueryContext::default());
            let Value::Vector(got) = result.unwrap().value else { panic!("a vector") };
            assert!(got.is_empty(), "{query} at {t_ms}");
        }
    }
}

/// A storage that tells its reader of each series that is read.
struct Watched<F>(TestStorage, Arc<F>);

struct WatchedSet<F>(Box<dyn SeriesSet>, Arc<F>);

impl<F: Fn() + Send + Sync + 'static> Queryable for Watched<F> {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet>, ReadError> {
        Ok(Box::new(WatchedSet(self.0.select(selection)?, Arc::clone(&self.1))))
    }
    fn label_names(&self, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        self.0.label_names(request)
    }
    fn label_values(&self, name: &str, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        self.0.label_values(name, request)
    }
}

impl<F: Fn() + Send + Sync> SeriesSet for WatchedSet<F> {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn labels(&self, i: usize) -> Result<Labels, ReadError> {
        self.0.labels(i)
    }
    fn read(&self, i: usize, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        (self.1)();
        self.0.read(i, buf)
    }
    fn estimate(&self) -> Estimate {
        self.0.estimate()
    }
}

#[test]
fn a_query_that_would_read_too_much_is_refused_before_it_reads() {
    let options = EngineOptions { max_read_samples: 1000, ..EngineOptions::default() };
    let engine = Engine::new(options);
    let storage = Watched(storage(10), Arc::new(|| panic!("nothing may be read")));
    let range = (0, 990_000, 10_000);
    for (query, series) in [
        ("m + m{i=\"1\"}", 11),
        ("m{i=\"1\"} + m{i=\"2\"} + sum(m)", 12),
        ("m{i=\"1\"} + m{i=\"2\"} + m{i=\"3\"} + m{i!=\"9\"}", 12),
        ("sum(rate(m[1m])) + scalar(count(m))", 20),
        ("max_over_time(m[5m:1m]) or m{i=\"3\"}", 11),
    ] {
        let got = engine.range(&storage, query, range, &QueryContext::default()).unwrap_err();
        let estimate = Estimate { num_series: series, num_samples: series * 100, chunk_bytes: 0 };
        assert_eq!(
            got,
            QueryError::TooCostly { estimate, limit: 1000, unit: "samples" },
            "{query}"
        );
        let text = format!(
            "query would read {series} series with {series}00 samples in 0 bytes by estimate, \
             limit 1000 samples"
        );
        assert_eq!(got.to_string(), text);
        // What it would cost can be asked for.
        let ast = promql::parse(query, &ParseOptions::default()).unwrap();
        let when = When::Range { start_ms: 0, end_ms: 990_000, step_ms: 10_000 };
        let explained = engine.explain(&storage, &ast, when, &QueryContext::default()).unwrap();
        assert_eq!(explained.estimate(), estimate, "{query}");
    }
    let enough = engine.range(&storage.0, "sum(rate(m[1m]))", range, &QueryContext::default());
    assert_eq!(enough.unwrap().stats.samples_read, 1000, "the limit itself is allowed");
}

/// Fires as soon as three series have been read, as a deadline does while storage is slow.
struct Third(Arc<AtomicU64>);

impl Interrupt for Third {
    fn check(&self) -> Result<(), Interrupted> {
        if self.0.load(Ordering::Relaxed) < 3 { Ok(()) } else { Err(Interrupted::TimedOut) }
    }
}

#[test]
fn slow_storage_is_left_at_the_next_series() {
    let reads = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&reads);
    let storage = Watched(
        storage(20),
        Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }),
    );
    for query in ["sum(rate(m[1m]))", "m", "topk(2, m)", "absent_over_time(m[1m])"] {
        reads.store(0, Ordering::Relaxed);
        let interrupt = Arc::new(Third(Arc::clone(&reads)));
        let context = QueryContext { interrupt, ..QueryContext::default() };
        let got = Engine::default().range(&storage, query, (0, 990_000, 10_000), &context);
        assert_eq!(got.unwrap_err(), QueryError::TimedOut, "{query}");
        assert_eq!(reads.load(Ordering::Relaxed), 3, "{query}: no series after the deadline");
    }
}

/// Counts its polls.
#[derive(Default)]
struct Polls(AtomicU64);

impl Interrupt for Polls {
    fn check(&self) -> Result<(), Interrupted> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn a_giant_series_is_polled_within() {
    // A poll for at most this many samples of work: at 10 ns a sample that is a few milliseconds.
    const SAMPLES_PER_POLL: u64 = 300_000;
    const SAMPLES: i32 = 3_000_000;
    let mut storage = TestStorage::new();
    let labels = Labels::from_pairs([("__name__", "m")]).expect("one name");
    for t in 0..SAMPLES {
        storage.append(&labels, i64::from(t), f64::from(t % 1000)).expect("times increase");
    }
    let end_ms = i64::from(SAMPLES);
    for (query, step_ms) in [
        ("sum(rate(m[1m]))", 30_000),
        ("rate(m[1h])", end_ms),
        ("max_over_time(m[2m])", 60_000),
        ("changes(m[1m])", 60_000),
        ("quantile_over_time(0.5, m[10s])", 10_000),
    ] {
        let interrupt = Arc::new(Polls::default());
        let context = QueryContext { interrupt: interrupt.clone(), ..QueryContext::default() };
        let result = Engine::default().range(&storage, query, (0, end_ms, step_ms), &context);
        let work = result.unwrap().stats.samples_read;
        let polls = interrupt.0.load(Ordering::Relaxed);
        assert!(polls >= work / SAMPLES_PER_POLL, "{query}: {polls} polls for {work} samples");
    }
}

/// Fires at a poll and from then on; counts all.
struct FiresAt(u64, Polls);

impl Interrupt for FiresAt {
    fn check(&self) -> Result<(), Interrupted> {
        self.1.check()?;
        let polls = self.1.0.load(Ordering::Relaxed);
        if polls < self.0 { Ok(()) } else { Err(Interrupted::Canceled) }
    }
}

#[test]
fn one_giant_window_is_polled_within_and_left_at_once() {
    // A poll for at most this many samples of work of the slowest kernel: a millisecond.
    const SAMPLES_PER_POLL: u64 = 1 << 16;
    const SAMPLES: i32 = 1_000_000;
    let mut storage = TestStorage::new();
    let labels = Labels::from_pairs([("__name__", "m")]).expect("one name");
    for t in 1..=SAMPLES {
        storage.append(&labels, i64::from(t), f64::from(t % 1000)).expect("times increase");
    }
    let parse = promql::ParseOptions::all();
    let engine = Engine::new(EngineOptions { parse, ..EngineOptions::default() });
    let ask = |query: &str, fires_at| {
        let interrupt = Arc::new(FiresAt(fires_at, Polls::default()));
        let context = QueryContext { interrupt: interrupt.clone(), ..QueryContext::default() };
        let result = engine.instant(&storage, query, i64::from(SAMPLES), &context);
        (result.map(|r| r.stats.samples_read), interrupt.1.0.load(Ordering::Relaxed))
    };
    // What it takes to read the samples.
    let (work, reading) = ask("last_over_time(m[1h])", u64::MAX);
    for query in [
        "sum_over_time(m[1h])",
        "avg_over_time(m[1h])",
        "min_over_time(m[1h])",
        "max_over_time(m[1h])",
        "ts_of_max_over_time(m[1h])",
        "stddev_over_time(m[1h])",
        "stdvar_over_time(m[1h])",
        "quantile_over_time(0.5, m[1h])",
        "mad_over_time(m[1h])",
        "changes(m[1h])",
        "resets(m[1h])",
        "deriv(m[1h])",
        "predict_linear(m[1h], 60)",
        "double_exponential_smoothing(m[1h], 0.5, 0.5)",
        "changes(m[1h] anchored)",
    ] {
        let (result, polls) = ask(query, u64::MAX);
        assert_eq!(result, work, "{query}");
        let within = polls - reading;
        assert!(within >= *work.as_ref().unwrap() / SAMPLES_PER_POLL, "{query}: {within} polls");
        let (result, polls) = ask(query, reading + 3);
        assert_eq!(result, Err(QueryError::Canceled), "{query}");
        // One that has parts asks once in each before it gives up.
        assert!(polls <= reading + 5, "{query} went on for {polls} polls");
    }
}
