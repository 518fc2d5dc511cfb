//! What storage leaves out because nobody looks at it changes no answer: queries over blocks, deletes,
//! late samples and the head, with and without it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use model::{
    Estimate, HistogramValue, IntHistogram, Labels, Matcher, NamesRequest, NeverInterrupted,
    Queryable, ReadError, STALE_NAN, Selection, SeriesBuf, SeriesSet,
};
use promql::engine::{
    Engine, EngineOptions, QueryContext, QueryError, QueryResult, SampleValue, Value, When,
};
use promql::explain::Counts;
use proptest::collection::vec;
use proptest::prelude::*;
use tsdb::append::{AppendBatch, AppendPolicy, DuplicatePolicy};
use tsdb::fs::Fs;
use tsdb::fs::sim::SimFs;
use tsdb::tombstones::Deletion;
use tsdb::{Db, DbOptions};

const QUERIES: &[&str] = &[
    "rate(m[RANGE])",
    "increase(m[RANGE])",
    "increase(m[RANGE] offset 90s)",
    "increase(m[RANGE] @ 2000)",
    "delta(m[RANGE])",
    "resets(m[RANGE])",
    "changes(m[RANGE])",
    "irate(m[RANGE])",
    "idelta(m[RANGE])",
    "count_over_time(m[RANGE])",
    "present_over_time(m[RANGE])",
    "absent_over_time(m{i=\"0\"}[RANGE])",
    "first_over_time(m[RANGE])",
    "last_over_time(m[RANGE])",
    "ts_of_first_over_time(m[RANGE])",
    "ts_of_last_over_time(m[RANGE])",
    "ts_of_max_over_time(m[RANGE])",
    "max_over_time(m[RANGE])",
    "min_over_time(m[RANGE] offset -60s)",
    "sum_over_time(m[RANGE])",
    "quantile_over_time(0.4, m[RANGE])",
    "increase(m[RANGE] anchored)",
    "max_over_time(increase(m[RANGE])[10m:1m])",
    "sum(max_over_time(m[RANGE])) - sum(min_over_time(m[RANGE]))",
    "m[RANGE]",
];

/// The database without the wish.
struct Plain<'a>(&'a Db);

struct PlainSet(Box<dyn SeriesSet>);

impl Queryable for Plain<'_> {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet>, ReadError> {
        Ok(Box::new(PlainSet(self.0.select(selection)?)))
    }

    fn label_names(&self, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        self.0.label_names(request)
    }

    fn label_values(&self, name: &str, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        self.0.label_values(name, request)
    }
}

impl SeriesSet for PlainSet {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, i: usize) -> Result<Labels, ReadError> {
        self.0.labels(i)
    }

    fn read(&self, i: usize, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        self.0.read(i, buf)
    }

    fn estimate(&self) -> Estimate {
        self.0.estimate()
    }
}

/// A time in seconds and a number that stands for a value.
type Rows = Vec<(u16, u8)>;

/// What happens to a database, in turn.
#[derive(Debug, Clone)]
enum Event {
    /// Each series gets samples behind all that it has: gaps in seconds, and values.
    Append(Vec<Rows>),
    /// One series gets samples anywhere.
    Late(u8, Rows),
    Histogram(u8),
    Flush,
    Compact,
    /// A series loses a range, in seconds.
    Delete(u8, u16, u16),
}

fn rows(len: usize) -> impl Strategy<Value = Rows> {
    vec((prop_oneof![9 => 1..20_u16, 1 => 100..900_u16], any::<u8>()), 0..len)
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => vec(rows(60), SERIES).prop_map(Event::Append),
        1 => (any::<u8>(), rows(4)).prop_map(|(i, rows)| Event::Late(i, rows)),
        1 => any::<u8>().prop_map(Event::Histogram),
        5 => Just(Event::Flush),
        2 => Just(Event::Compact),
        1 => (any::<u8>(), 0..5000_u16, 0..300_u16).prop_map(|(i, a, n)| Event::Delete(i, a, a + n)),
    ];
    vec(event, 1..20)
}

const SERIES: usize = 3;

fn value(v: u8, sum: &mut f64) -> f64 {
    match v {
        0 => f64::from_bits(STALE_NAN),
        1 => f64::NAN,
        2 => f64::INFINITY,
        3 => f64::NEG_INFINITY,
        4 => -0.0,
        5 => 0.0,
        6 => {
            *sum = 0.0;
            0.0
        }
        v if v % 2 == 0 => *sum,
        v => {
            *sum += f64::from(v) / 10.0;
            *sum
        }
    }
}

fn labels(i: usize) -> Labels {
    let i = i.to_string();
    Labels::from_pairs([("__name__", "m"), ("i", &i)]).unwrap()
}

fn append(db: &Db, i: usize, samples: &[(i64, f64)]) {
    let mut batch = AppendBatch::default();
    let series = batch.push_series(db.alias_hasher().hash(0, i.to_string().as_bytes()));
    for (t, v) in samples {
        batch.push_sample(series, *t, *v);
    }
    db.append(&batch, &policy(), &mut |_| Ok(labels(i))).unwrap();
}

fn append_histogram(db: &Db, i: usize, t_ms: i64) {
    let histogram = IntHistogram {
        hint: model::CounterResetHint::Unknown,
        schema: 0,
        zero_threshold: 0.5,
        zero_count: 3,
        count: 3,
        sum: 1.5,
        positive_spans: vec![],
        negative_spans: vec![],
        positive_deltas: vec![],
        negative_deltas: vec![],
        custom_values: vec![],
    };
    let mut batch = AppendBatch::default();
    let series = batch.push_series(db.alias_hasher().hash(0, i.to_string().as_bytes()));
    batch.histograms.push((series, t_ms, HistogramValue::Int(Arc::new(histogram))));
    db.append(&batch, &policy(), &mut |_| Ok(labels(i))).unwrap();
}

fn policy() -> AppendPolicy {
    AppendPolicy {
        duplicates: DuplicatePolicy::Refuse,
        min_time_ms: i64::MIN,
        max_time_ms: i64::MAX,
        wal_mode: None,
    }
}

fn fill(db: &Db, events: &[Event]) {
    let (mut now, mut sums) = (0_i64, [0.0; SERIES]);
    for event in events {
        match event {
            Event::Append(all) => {
                let mut last = now;
                for (i, rows) in all.iter().enumerate() {
                    let mut t = now;
                    let samples = rows.iter().map(|(gap, v)| {
                        t += i64::from(*gap) * 1000;
                        (t, value(*v, &mut sums[i]))
                    });
                    append(db, i, &samples.collect::<Vec<_>>());
                    last = last.max(t);
                }
                now = last;
            }
            Event::Late(i, rows) => {
                let sample = |(t, v): &(u16, u8)| (i64::from(*t) * 1700, f64::from(*v));
                append(db, usize::from(*i) % SERIES, &rows.iter().map(sample).collect::<Vec<_>>());
            }
            Event::Histogram(i) => {
                now += 1000;
                append_histogram(db, usize::from(*i) % SERIES, now);
            }
            Event::Flush => {
                db.flush_all().unwrap();
            }
            Event::Compact => while db.compact_step().unwrap() {},
            Event::Delete(i, from, to) => {
                let i = usize::from(*i) % SERIES;
                let selectors = vec![vec![Matcher::equal("i", &i.to_string())]];
                let (mint, maxt) = (i64::from(*from) * 1000, i64::from(*to) * 1000);
                let deletion = Deletion { selectors, mint, maxt };
                db.delete(&deletion, 1000, &(Arc::new(NeverInterrupted) as _)).unwrap();
            }
        }
    }
}

/// All that a client can see of a result, floats by their bits.
fn text(result: &Result<QueryResult, QueryError>) -> String {
    let result = match result {
        Ok(result) => result,
        Err(e) => return format!("{e:?}"),
    };
    let mut out = String::new();
    match &result.value {
        Value::Vector(samples) => {
            for s in samples {
                let value = match &s.value {
                    SampleValue::Float(v) => format!("{:x}", v.to_bits()),
                    SampleValue::Histogram(h) => format!("{h:?}"),
                };
                writeln!(out, "{} {} {value}", s.labels, s.t_ms).unwrap();
            }
        }
        Value::Matrix(series) => {
            for s in series {
                let floats: Vec<_> = s.floats.iter().map(|(t, v)| (t, v.to_bits())).collect();
                writeln!(out, "{} {floats:x?} {:?}", s.labels, s.histograms).unwrap();
            }
        }
        other => writeln!(out, "{other:?}").unwrap(),
    }
    let stats = result.stats;
    writeln!(
        out,
        "{:?} {:?} read {} looked {} peak {} series {} steps {:?}",
        result.annotations,
        result.storage_warnings,
        stats.samples_read,
        stats.queryable_samples,
        stats.peak_samples,
        stats.num_series,
        result.samples_per_step,
    )
    .unwrap();
    out
}

thread_local! {
    static LEFT_OUT: Cell<u64> = const { Cell::new(0) };
}

fn check(events: &[Event], (end_s, range_s, step_s): (i64, i64, i64), max_samples: u64) {
    let fs = SimFs::new(1);
    let dir = Path::new("/db");
    fs.create_dir(dir).unwrap();
    let options = DbOptions { min_free_bytes: 0, block_range_ms: 600_000, ..DbOptions::default() };
    let db = Db::open(Arc::new(fs), dir, options, &mut |_| {}).unwrap().0;
    fill(&db, events);
    let parse = promql::ParseOptions::all();
    let engine = Engine::new(EngineOptions { parse, max_samples, ..EngineOptions::default() });
    let context = QueryContext { per_step_stats: true, ..QueryContext::default() };
    for query in QUERIES {
        check_trace(&engine, &db, &query.replace("RANGE", &format!("{range_s}s")), end_s * 1000);
        let query = query.replace("RANGE", &format!("{range_s}s"));
        let compare = |ask: &dyn Fn(&dyn Queryable) -> Result<QueryResult, QueryError>| {
            let (got, want) = (ask(&db), ask(&Plain(&db)));
            assert_eq!(text(&got), text(&want), "{query}");
            if let Ok(result) = got {
                LEFT_OUT.set(LEFT_OUT.get() + result.stats.samples_left_out);
            }
        };
        compare(&|db| engine.instant(db, &query, end_s * 1000, &context));
        let times = (end_s * 200, end_s * 1000, step_s * 1000);
        compare(&|db| engine.range(db, &query, times, &context));
    }
}

/// What a trace says of the samples that were read is the same too, and of those left out what the
/// statistics say.
fn check_trace(engine: &Engine, db: &Db, query: &str, t_ms: i64) {
    let ast = promql::parse(query, &promql::ParseOptions::all()).unwrap();
    let context = QueryContext::default();
    let ask = |queryable: &dyn Queryable| {
        engine.analyze(queryable, &ast, When::Instant { t_ms }, &context, || 0)
    };
    let (Ok((result, got)), Ok((_, want))) = (ask(db), ask(&Plain(db))) else { return };
    let left_out: u64 = got.nodes.iter().map(|node| node.counts.samples_left_out).sum();
    assert_eq!(left_out, result.stats.samples_left_out, "{query}");
    for (got, want) in got.nodes.iter().zip(&want.nodes) {
        assert_eq!(Counts { samples_left_out: 0, ..got.counts }, want.counts, "{query}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_left_out_changes_no_answer(
        events in events(),
        end_s in 0..9000_i64,
        range_s in prop_oneof![1..600_i64, 600..9000_i64],
        step_s in prop_oneof![200..900_i64, 900..9000_i64],
        max_samples in prop_oneof![3 => Just(1_000_000_u64), 1 => 10..300_u64],
    ) {
        check(&events, (end_s, range_s, step_s), max_samples);
    }
}

#[test]
fn much_is_left_out_of_full_blocks() {
    let full = |v: u8| Event::Append(vec![vec![(10, v); 300]; SERIES]);
    let events = [full(9), Event::Flush, full(11), Event::Flush, Event::Compact, full(13)];
    LEFT_OUT.set(0);
    check(&events, (9000, 9000, 9000), 1_000_000);
    assert!(LEFT_OUT.get() > 20_000, "{}", LEFT_OUT.get());
}
