//! Random appends of floats and histograms, flushes, compactions, checkpoints, collections and
//! restarts against a map of samples.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{
    CounterResetHint, FloatHistogram, HistogramValue, IntHistogram, Interrupt, Labels, MatchOp,
    Matcher, NeverInterrupted, Queryable, Selection, SeriesBuf, Span,
};
use proptest::prelude::*;
use tsdb::append::{AppendBatch, AppendPolicy, DuplicatePolicy, MAX_REFUSALS};
use tsdb::fs::std::StdFs;
use tsdb::tombstones::Deletion;
use tsdb::{Db, DbOptions};

/// A sample's value; floats by their bits.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Float(u64),
    Histogram(HistogramValue),
}

impl Value {
    /// A stale marker of either kind is the same end of a series: a float one that is sent to a
    /// series of histograms is stored as theirs (contract 2.6).
    fn stale_alike(self) -> Self {
        match self {
            Self::Histogram(h) if h.is_stale() => Self::Float(model::STALE_NAN),
            other => other,
        }
    }
}

type Model = BTreeMap<Labels, BTreeMap<i64, Value>>;

const HOUR: i64 = 3_600_000;

fn labels(series: u8) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("m{}", series % 3)),
        ("host", format!("h{}", series / 3)),
    ])
    .unwrap()
}

fn open(dir: &Path) -> Db {
    // Every process has a seed of its own; block names depend on it.
    static PROCESSES: AtomicU64 = AtomicU64::new(1);
    let seed = PROCESSES.fetch_add(1, Ordering::Relaxed);
    let options = DbOptions {
        max_wal_bytes: 1 << 10,
        // Windows of five minutes, an hour and ten hours: many of each in a day.
        block_range_ms: HOUR / 12,
        max_compacted_range_ms: 10 * HOUR,
        seed,
        ..DbOptions::default()
    };
    let (db, report) = Db::open(Arc::new(StdFs), dir, options, &mut |_| {}).unwrap();
    assert!(report.damaged_blocks.is_empty() && report.damaged_regions == 0, "{report:?}");
    assert_eq!(report.orphaned_rows, 0);
    db
}

#[derive(Debug, Clone)]
enum Op {
    /// Rows: series, time, value.
    Append(Vec<(u8, i64, Value)>, bool),
    Flush,
    FlushAll,
    /// As many steps as there are to do, or one.
    Compact(bool),
    Checkpoint,
    Collect,
    /// Drop without closing, as a crash of the process.
    Crash,
    Close,
    Read(i64, i64),
    /// Of the metric, on the host or on all.
    Delete(u8, Option<u8>, i64, i64),
    Clean,
}

fn float() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0..5_u32).prop_map(|v| f64::from(v).to_bits()),
        any::<u64>(),
        Just(model::STALE_NAN),
        Just((-0.0_f64).to_bits()),
    ]
}

/// Each of the buckets counts `each`.
fn int_histogram(each: u32, spans: Vec<Span>) -> HistogramValue {
    let buckets: u32 = spans.iter().map(|span| span.length).sum();
    let mut deltas = vec![0; buckets as usize];
    deltas[0] = i64::from(each);
    HistogramValue::Int(Arc::new(IntHistogram {
        hint: CounterResetHint::Unknown,
        schema: 3,
        zero_threshold: 0.25,
        zero_count: 0,
        count: u64::from(each * buckets),
        sum: f64::from(each),
        positive_spans: spans,
        negative_spans: vec![],
        positive_deltas: deltas,
        negative_deltas: vec![],
        custom_values: vec![],
    }))
}

fn histogram() -> impl Strategy<Value = HistogramValue> {
    (0..4_u64, 1..4_u32, any::<bool>()).prop_map(|(n, buckets, float)| {
        let spans = vec![Span { offset: 2, length: buckets }];
        let each = u32::try_from(n).unwrap();
        if float {
            HistogramValue::Float(Arc::new(FloatHistogram {
                hint: CounterResetHint::Unknown,
                schema: 3,
                zero_threshold: 0.25,
                zero_count: 0.0,
                count: f64::from(each * buckets),
                sum: f64::from(each),
                positive_spans: spans,
                negative_spans: vec![],
                positive_buckets: vec![f64::from(each); buckets as usize],
                negative_buckets: vec![],
                custom_values: vec![],
            }))
        } else {
            int_histogram(each, spans)
        }
    })
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![4 => float().prop_map(Value::Float), 1 => histogram().prop_map(Value::Histogram)]
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![0..20 * HOUR, (0..60_i64).prop_map(|i| i * 15_000), Just(0), -HOUR..0]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (proptest::collection::vec((0..9_u8, time(), value()), 1..=MAX_REFUSALS), any::<bool>())
            .prop_map(|(rows, overwrite)| Op::Append(rows, overwrite)),
        // A scrape: all series at one time that moves on.
        6 => (0..80_i64, any::<u64>()).prop_map(|(i, v)| {
            let value = |s: u8| Value::Float(v.wrapping_add(u64::from(s)));
            Op::Append((0..9).map(|s| (s, i * HOUR / 4, value(s))).collect(), false)
        }),
        2 => Just(Op::Flush),
        2 => Just(Op::FlushAll),
        2 => any::<bool>().prop_map(Op::Compact),
        1 => Just(Op::Checkpoint),
        2 => Just(Op::Collect),
        1 => Just(Op::Crash),
        1 => Just(Op::Close),
        2 => (time(), 0..10 * HOUR).prop_map(|(t, d)| Op::Read(t, t + d)),
        3 => (0..3_u8, proptest::option::of(0..3_u8), time(), 0..10 * HOUR, 0..6_u8).prop_map(
            |(m, h, t, d, ends)| match ends {
                0 => Op::Delete(m, h, i64::MIN, i64::MAX),
                1 => Op::Delete(m, h, t, i64::MAX),
                2 => Op::Delete(m, h, t, t),
                _ => Op::Delete(m, h, t, t + d),
            }
        ),
        1 => Just(Op::Clean),
    ]
}

/// Appends to both; the model keeps what the report does not refuse.
fn append(db: &Db, model: &mut Model, rows: &[(u8, i64, Value)], overwrite: bool) {
    // Floats come before histograms in a batch.
    let mut rows = rows.to_vec();
    rows.sort_by_key(|(.., value)| matches!(value, Value::Histogram(_)));
    let mut batch = AppendBatch::default();
    let hasher = db.alias_hasher();
    for (s, t, v) in &rows {
        let series = batch.push_series(hasher.hash(0, &[*s]));
        match v {
            Value::Float(bits) => batch.push_sample(series, *t, f64::from_bits(*bits)),
            Value::Histogram(h) => batch.histograms.push((series, *t, h.clone())),
        }
    }
    let policy = AppendPolicy {
        duplicates: if overwrite { DuplicatePolicy::Overwrite } else { DuplicatePolicy::Refuse },
        min_time_ms: i64::MIN,
        max_time_ms: i64::MAX - 1,
        wal_mode: None,
    };
    let report = db.append(&batch, &policy, &mut |i| Ok(labels(rows[i as usize].0))).unwrap();
    let refused: Vec<u32> = report.refusals.iter().map(|(i, _)| *i).collect();
    assert_eq!(report.refused, refused.len() as u64);
    assert_eq!(report.stored + report.refused, rows.len() as u64);
    for (i, (s, t, v)) in (0..).zip(rows) {
        let samples = model.entry(labels(s)).or_default();
        if refused.contains(&i) {
            // Only a contradiction at the newest time is refused, and only without overwriting.
            let newest = samples.last_key_value();
            assert!(
                !overwrite
                    && newest.is_some_and(|(nt, nv)| *nt == t && *nv != v.clone().stale_alike()),
                "{report:?}"
            );
        } else {
            samples.insert(t, v.stale_alike());
        }
    }
}

fn delete(db: &Db, model: &mut Model, metric: u8, host: Option<u8>, mint: i64, maxt: i64) {
    let (name, host) = (format!("m{metric}"), host.map(|h| format!("h{h}")));
    let mut matchers = vec![Matcher::equal("__name__", &name)];
    if let Some(host) = &host {
        matchers.push(Matcher::new(MatchOp::Re, "host", &format!("{host}|{host}")).unwrap());
    }
    let what = Deletion { selectors: vec![matchers.clone(), matchers], mint, maxt };
    let (mut series, mut samples) = (0, 0);
    for (labels, found) in model {
        if labels.metric_name() == name && host.as_ref().is_none_or(|h| labels.get("host") == h) {
            let before = found.len();
            found.retain(|t, _| *t < mint || maxt < *t);
            series += u64::from(found.len() < before);
            samples += (before - found.len()) as u64;
        }
    }
    let report = db.count_deletable(&what, 9, &never()).unwrap();
    assert_eq!((report.series, report.samples), (series, samples));
    assert_eq!(db.delete(&what, 9, &never()).unwrap(), report);
    let left = db.count_deletable(&what, 9, &never()).unwrap();
    assert_eq!((left.series, left.samples), (0, 0));
}

fn never() -> Arc<dyn Interrupt> {
    Arc::new(NeverInterrupted)
}

fn read(db: &Db, matchers: Vec<Matcher>, mint: i64, maxt: i64) -> Model {
    let set = db.select(&Selection::new(matchers, mint, maxt)).unwrap();
    let (mut out, mut buf) = (Model::new(), SeriesBuf::new());
    let mut last = None;
    for i in 0..set.len() {
        let labels = set.labels(i).unwrap();
        assert!(last.as_ref() < Some(&labels), "sorted, each once");
        set.read(i, &mut buf).unwrap();
        let is_empty = buf.times().is_empty() && buf.histograms().is_empty();
        assert_eq!(set.has_samples(i).unwrap(), !is_empty, "{labels} in {mint}..={maxt}");
        assert!(buf.times().is_sorted() && buf.histograms().is_sorted_by_key(|(t, _)| *t));
        let floats = buf.times().iter().zip(buf.values());
        let mut samples: BTreeMap<i64, Value> =
            floats.map(|(t, v)| (*t, Value::Float(v.to_bits()))).collect();
        let histograms = buf.histograms().iter();
        samples.extend(histograms.map(|(t, h)| (*t, Value::Histogram(h.clone()).stale_alike())));
        assert_eq!(samples.len(), buf.times().len() + buf.histograms().len(), "no time twice");
        if !samples.is_empty() {
            out.insert(labels.clone(), samples);
        }
        last = Some(labels);
    }
    out
}

/// Compacts until there is nothing left to do.
fn compact(db: &Db) {
    for _ in 0..200 {
        if !db.compact_step().unwrap() {
            return;
        }
    }
    panic!("compaction does not end: {:?}", db.stats());
}

fn clip(model: &Model, keep: impl Fn(&Labels) -> bool, mint: i64, maxt: i64) -> Model {
    model
        .iter()
        .filter(|(l, _)| keep(l))
        .map(|(l, s)| (l.clone(), s.range(mint..=maxt).map(|(t, v)| (*t, v.clone())).collect()))
        .filter(|(_, s): &(Labels, BTreeMap<i64, Value>)| !s.is_empty())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_database_agrees_with_a_map(ops in proptest::collection::vec(op(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut db = open(dir.path());
        let mut model = Model::new();
        for op in ops {
            match op {
                Op::Append(rows, overwrite) => append(&db, &mut model, &rows, overwrite),
                Op::Flush => { db.flush_step().unwrap(); }
                Op::FlushAll => { db.flush_all().unwrap(); }
                Op::Compact(false) => { db.compact_step().unwrap(); }
                Op::Compact(true) => compact(&db),
                Op::Checkpoint => { db.checkpoint_step().unwrap(); }
                Op::Collect => { db.gc_step(); }
                Op::Crash => {
                    drop(db);
                    db = open(dir.path());
                }
                Op::Close => {
                    db.close().unwrap();
                    drop(db);
                    db = open(dir.path());
                }
                Op::Delete(metric, host, mint, maxt) => {
                    delete(&db, &mut model, metric, host, mint, maxt);
                }
                Op::Clean => {
                    db.clean_tombstones().unwrap();
                    prop_assert!(db.tombstones().is_empty());
                }
                Op::Read(mint, maxt) => {
                    prop_assert_eq!(read(&db, vec![], mint, maxt), clip(&model, |_| true, mint, maxt));
                    let host = Matcher::new(MatchOp::Ne, "host", "h1").unwrap();
                    let name = Matcher::equal("__name__", "m0");
                    prop_assert_eq!(
                        read(&db, vec![host, name], mint, maxt),
                        clip(&model, |l| l.get("host") != "h1" && l.metric_name() == "m0", mint, maxt)
                    );
                }
            }
        }
        prop_assert_eq!(read(&db, vec![], i64::MIN, i64::MAX), clip(&model, |_| true, i64::MIN, i64::MAX));
    }
}

/// The marker of a series of histograms is one itself, and so stands behind the floats of its record.
#[test]
fn a_float_behind_a_stale_marker_at_its_time_wins() {
    let dir = tempfile::tempdir().unwrap();
    let (mut db, mut model) = (open(dir.path()), Model::new());
    let histogram = int_histogram(1, vec![Span { offset: 0, length: 2 }]);
    append(&db, &mut model, &[(3, 0, Value::Histogram(histogram))], false);
    let floats = [model::STALE_NAN, 7.0_f64.to_bits()];
    append(&db, &mut model, &floats.map(|bits| (3, 0, Value::Float(bits))), true);
    for _ in 0..2 {
        assert_eq!(read(&db, vec![], i64::MIN, i64::MAX), model);
        drop(db);
        db = open(dir.path());
    }
}
