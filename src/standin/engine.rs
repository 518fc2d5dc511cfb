//! The engine's public types, and an evaluation that knows numbers, sums of two numbers, strings
//! and plain selectors.

use std::sync::Arc;

use model::{
    Accountant, FloatHistogram, Interrupt, Interrupted, Labels, MatchOp, Matcher, OverBudget,
    Queryable, ReadError, Selection, SeriesBuf,
};
use promql::annotations::Annotations;

#[derive(Debug, Clone, Default)]
pub(crate) struct Features {
    pub(crate) experimental_functions: bool,
    pub(crate) extended_range_selectors: bool,
    pub(crate) binop_fill_modifiers: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct EngineOptions {
    pub(crate) lookback_ms: i64,
    pub(crate) max_samples: u64,
    pub(crate) max_series: u64,
    pub(crate) max_subquery_points: u64,
    pub(crate) default_subquery_step_ms: i64,
    pub(crate) delayed_name_removal: bool,
    pub(crate) type_and_unit_labels: bool,
    pub(crate) features: Features,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            max_samples: 50_000_000,
            max_series: 500_000,
            max_subquery_points: 100_000,
            default_subquery_step_ms: 60_000,
            delayed_name_removal: false,
            type_and_unit_labels: false,
            features: Features::default(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct QueryContext {
    pub(crate) interrupt: Arc<dyn Interrupt>,
    pub(crate) memory: Accountant,
    pub(crate) max_bytes: u64,
    pub(crate) lookback_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("{0}")]
    Parse(String),
    #[error("{0}")]
    Execution(String),
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    #[error("query needs {wanted} bytes of memory, limit {limit}")]
    TooManyBytes { wanted: u64, limit: u64 },
    #[error("{0}")]
    OverBudget(OverBudget),
    #[error("query was canceled in expression evaluation")]
    Canceled,
    #[error("query timed out in expression evaluation")]
    TimedOut,
    #[error("{0}")]
    Storage(ReadError),
}

impl From<Interrupted> for QueryError {
    fn from(reason: Interrupted) -> Self {
        match reason {
            Interrupted::Canceled => Self::Canceled,
            Interrupted::TimedOut => Self::TimedOut,
        }
    }
}

impl From<ReadError> for QueryError {
    fn from(e: ReadError) -> Self {
        match e {
            ReadError::Interrupted(reason) => reason.into(),
            ReadError::OverBudget(e) => Self::OverBudget(e),
            ReadError::Corrupt(_) | ReadError::Io(_) => Self::Storage(e),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SampleValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct MatrixSeries {
    pub(crate) labels: Labels,
    pub(crate) floats: Vec<(i64, f64)>,
    pub(crate) histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VectorSample {
    pub(crate) labels: Labels,
    pub(crate) t_ms: i64,
    pub(crate) value: SampleValue,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Scalar { t_ms: i64, v: f64 },
    String { t_ms: i64, text: String },
    Vector(Vec<VectorSample>),
    Matrix(Vec<MatrixSeries>),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QueryStats {
    pub(crate) samples_read: u64,
    pub(crate) queryable_samples: u64,
    pub(crate) peak_samples: u64,
    pub(crate) num_series: u64,
    pub(crate) peak_bytes: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct QueryResult {
    pub(crate) value: Value,
    pub(crate) annotations: Annotations,
    pub(crate) storage_warnings: Vec<String>,
    pub(crate) stats: QueryStats,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Engine {
    pub(crate) options: EngineOptions,
}

enum Parsed {
    Number(f64),
    Text(String),
    Selector(Vec<Matcher>),
}

fn parsed(query: &str) -> Result<Parsed, String> {
    let query = query.trim();
    if query.is_empty() {
        return Err("unknown position: parse error: no expression found in input".to_owned());
    }
    if let Ok(v) = query.parse() {
        return Ok(Parsed::Number(v));
    }
    if let Some((a, b)) = query.split_once('+')
        && let (Ok(a), Ok(b)) = (a.trim().parse::<f64>(), b.trim().parse::<f64>())
    {
        return Ok(Parsed::Number(a + b));
    }
    if let Some(text) = query.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        return Ok(Parsed::Text(text.to_owned()));
    }
    selector(query).map(Parsed::Selector)
}

pub(crate) fn selector(text: &str) -> Result<Vec<Matcher>, String> {
    let (name, rest) = text.split_once('{').unwrap_or((text, "}"));
    if !name.is_empty() && !model::is_legacy_name(&name.replace(':', "_")) {
        return Err(format!("1:1: parse error: unexpected character in {name}"));
    }
    let Some(rest) = rest.strip_suffix('}') else {
        return Err(format!(
            "1:{}: parse error: unexpected end of input inside braces",
            text.len() + 1
        ));
    };
    let mut matchers = Vec::new();
    if !name.is_empty() {
        matchers.push(Matcher::equal(model::NAME_LABEL, name));
    }
    for part in rest.split(',').filter(|part| !part.is_empty()) {
        for (text, op) in
            [("=~", MatchOp::Re), ("!~", MatchOp::Nre), ("!=", MatchOp::Ne), ("=", MatchOp::Eq)]
        {
            if let Some((name, value)) = part.split_once(text) {
                let value = value.trim_matches('"');
                matchers.push(Matcher::new(op, name.trim(), value).map_err(|e| e.to_string())?);
                break;
            }
        }
    }
    Ok(matchers)
}

pub(crate) fn selectors(query: &str, _: &Engine) -> Result<Vec<Vec<Matcher>>, String> {
    Ok(match parsed(query)? {
        Parsed::Selector(matchers) => vec![matchers],
        _ => Vec::new(),
    })
}

pub(crate) fn prettify(query: &str, _: &Engine) -> Result<String, String> {
    parsed(query).map(|_| query.trim().to_owned())
}

impl Engine {
    pub(crate) fn instant(
        &self,
        data: &dyn Queryable,
        query: &str,
        t_ms: i64,
        context: &QueryContext,
    ) -> Result<QueryResult, QueryError> {
        let value = match parsed(query).map_err(QueryError::Parse)? {
            Parsed::Number(v) => Value::Scalar { t_ms, v },
            Parsed::Text(text) => Value::String { t_ms, text },
            Parsed::Selector(matchers) => {
                let series = self.rows(data, matchers, &[t_ms], context)?;
                Value::Vector(
                    series
                        .into_iter()
                        .map(|s| VectorSample {
                            t_ms,
                            value: SampleValue::Float(s.floats[0].1),
                            labels: s.labels,
                        })
                        .collect(),
                )
            }
        };
        Ok(done(value))
    }

    pub(crate) fn range(
        &self,
        data: &dyn Queryable,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        context: &QueryContext,
    ) -> Result<QueryResult, QueryError> {
        let steps: Vec<i64> =
            (0..=(end_ms - start_ms) / step_ms).map(|i| start_ms + i * step_ms).collect();
        let value = match parsed(query).map_err(QueryError::Parse)? {
            Parsed::Number(v) => Value::Matrix(vec![MatrixSeries {
                floats: steps.iter().map(|t| (*t, v)).collect(),
                ..MatrixSeries::default()
            }]),
            Parsed::Text(_) => {
                return Err(QueryError::Parse(
                    "invalid expression type \"string\" for range query, must be Scalar or instant Vector".to_owned(),
                ));
            }
            Parsed::Selector(matchers) => {
                Value::Matrix(self.rows(data, matchers, &steps, context)?)
            }
        };
        Ok(done(value))
    }

    fn rows(
        &self,
        data: &dyn Queryable,
        matchers: Vec<Matcher>,
        steps: &[i64],
        context: &QueryContext,
    ) -> Result<Vec<MatrixSeries>, QueryError> {
        context.interrupt.check()?;
        let lookback = context.lookback_ms.unwrap_or(self.options.lookback_ms);
        let (first, last) = (steps[0], steps[steps.len() - 1]);
        let set = data.select(&Selection::new(
            matchers,
            first.saturating_sub(lookback).saturating_add(1),
            last,
        ))?;
        let mut out = Vec::new();
        let mut buf = SeriesBuf::new();
        for i in 0..set.len() {
            set.read(i, &mut buf)?;
            let mut floats = Vec::new();
            for &t in steps {
                let n = buf.times().partition_point(|x| *x <= t);
                if n > 0
                    && buf.times()[n - 1] > t.saturating_sub(lookback)
                    && !model::is_stale(buf.values()[n - 1])
                {
                    floats.push((t, buf.values()[n - 1]));
                }
            }
            if !floats.is_empty() {
                out.push(MatrixSeries { labels: set.labels(i), floats, histograms: Vec::new() });
            }
        }
        Ok(out)
    }
}

fn done(value: Value) -> QueryResult {
    QueryResult {
        value,
        annotations: Annotations::new(),
        storage_warnings: Vec::new(),
        stats: QueryStats::default(),
    }
}

pub(crate) struct Bucket {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

impl Bucket {
    pub(crate) fn boundary_rule(&self) -> u8 {
        0
    }
}

pub(crate) fn buckets(_: &FloatHistogram) -> Vec<Bucket> {
    Vec::new()
}
