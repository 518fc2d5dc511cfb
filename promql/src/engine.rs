//! The public entry: a query, a [`Queryable`] and a time or a range in, a [`QueryResult`] out.

use std::sync::Arc;

use model::{
    Accountant, Estimate, FloatHistogram, Interrupt, Interrupted, Labels, NeverInterrupted,
    OverBudget, Queryable, ReadError,
};

use crate::annotations::Annotations;
use crate::ast::Ast;
use crate::eval::run::run;
use crate::eval::trace::Trace;
use crate::executor::{Executor, InCaller};
use crate::explain::Explained;
use crate::{ParseOptions, parse};

/// What holds for every query of an [`Engine`].
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How far back an instant selector looks, ms.
    pub lookback_ms: i64,
    /// Most samples in memory at once (limit L19).
    pub max_samples: u64,
    /// Most series that the selectors of one query may select (limit L19).
    pub max_series: u64,
    /// Most samples that the selectors of one query together may be estimated to read: more is refused
    /// before anything is read.
    pub max_read_samples: u64,
    /// The same of encoded bytes.
    pub max_read_bytes: u64,
    /// Most steps of a subquery (limit L18).
    pub max_subquery_points: u64,
    /// Step of a subquery that names none, ms.
    pub default_subquery_step_ms: i64,
    /// `promql-delayed-name-removal`: names are dropped at the end and not by each function.
    pub delayed_name_removal: bool,
    /// `type-and-unit-labels`: `__type__` says whether a metric is a counter.
    pub type_and_unit_labels: bool,
    /// `use-start-timestamps`: rates see when the counting of a sample began.
    pub start_timestamps: bool,
    /// What the parser lets through.
    pub parse: ParseOptions,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            max_samples: 50_000_000,
            max_series: 500_000,
            max_read_samples: 20_000_000_000,
            max_read_bytes: 1 << 36,
            max_subquery_points: 100_000,
            default_subquery_step_ms: 60_000,
            delayed_name_removal: false,
            type_and_unit_labels: false,
            start_timestamps: false,
            parse: ParseOptions::default(),
        }
    }
}

/// What holds for one query.
#[derive(Clone)]
pub struct QueryContext {
    /// Polled at least every 10 ms of work; carries deadline and cancellation.
    pub interrupt: Arc<dyn Interrupt>,
    /// Where the query's buffers are charged.
    pub memory: Accountant,
    /// Most bytes that this query may hold (limit L20).
    pub max_bytes: u64,
    /// Overrides [`EngineOptions::lookback_ms`], ms.
    pub lookback_ms: Option<i64>,
    /// Runs the parts of big selections.
    pub executor: Arc<dyn Executor>,
    /// Whether [`QueryResult::samples_per_step`] is wanted.
    pub per_step_stats: bool,
}

impl Default for QueryContext {
    /// No deadline, no memory budget but the 1 GiB of limit L20, and one thread.
    fn default() -> Self {
        Self {
            interrupt: Arc::new(NeverInterrupted),
            memory: Accountant::unlimited(),
            max_bytes: 1 << 30,
            lookback_ms: None,
            executor: Arc::new(InCaller),
            per_step_stats: false,
        }
    }
}

/// Why there is no result. The display text is what Prometheus answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The text is no query, or its durations come to nothing sensible: `bad_data`.
    #[error("{0}")]
    Parse(String),
    /// The query cannot be evaluated on this data: `execution`.
    #[error("{0}")]
    Execution(String),
    /// More series than [`EngineOptions::max_series`]: `execution`.
    #[error("query selects {series} series, limit {limit}")]
    TooManySeries {
        /// Series so far.
        series: u64,
        /// The limit.
        limit: u64,
    },
    /// A subquery of more steps than [`EngineOptions::max_subquery_points`]: `execution`.
    #[error("subquery has {steps} steps, limit {limit}")]
    TooManySteps {
        /// Its steps.
        steps: u64,
        /// The limit.
        limit: u64,
    },
    /// More samples than [`EngineOptions::max_samples`] at once: `execution`.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// The query's own byte limit: `execution`.
    #[error("query needs {wanted} bytes of memory, limit {limit}")]
    TooManyBytes {
        /// Bytes that the query would hold.
        wanted: u64,
        /// [`QueryContext::max_bytes`].
        limit: u64,
    },
    /// Storage estimates that the query reads more than [`EngineOptions::max_read_samples`] or
    /// [`EngineOptions::max_read_bytes`]; nothing was read: `execution`.
    #[error(
        "query would read {} series with {} samples in {} bytes by estimate, limit {limit} {unit}",
        .estimate.num_series, .estimate.num_samples, .estimate.chunk_bytes
    )]
    TooCostly {
        /// What the selectors together would read.
        estimate: Estimate,
        /// The limit that this is over.
        limit: u64,
        /// What the limit counts: `samples` or `bytes`.
        unit: &'static str,
    },
    /// The budget of the process is exhausted; a later attempt may succeed: `timeout`, 503.
    #[error("{0}")]
    OverBudget(OverBudget),
    /// The interrupt says that nobody waits any more: `canceled`.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// The interrupt says that the deadline has passed: `timeout`.
    #[error("query timed out in expression evaluation")]
    TimedOut,
    /// Storage could not be read: `internal`.
    #[error("{0}")]
    Storage(ReadError),
}

impl QueryError {
    pub(crate) fn execution(text: impl Into<String>) -> Self {
        Self::Execution(text.into())
    }
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

/// A float or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// One series of a matrix; times are in ms and strictly increasing, no time is in both lists.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MatrixSeries {
    /// The label set.
    pub labels: Labels,
    /// Float samples.
    pub floats: Vec<(i64, f64)>,
    /// Histogram samples.
    pub histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

/// One element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSample {
    /// The label set.
    pub labels: Labels,
    /// The evaluation time, ms.
    pub t_ms: i64,
    /// The value.
    pub value: SampleValue,
}

/// What a query evaluates to.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Scalar {
        /// The evaluation time, ms.
        t_ms: i64,
        /// The number.
        v: f64,
    },
    /// A string literal.
    String {
        /// The evaluation time, ms.
        t_ms: i64,
        /// The text.
        text: String,
    },
    /// An instant vector, in the order of `sort` or `topk` where the query has one on top.
    Vector(Vec<VectorSample>),
    /// Series over time, sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// What the evaluation cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Samples read from storage, each counted once for each selector that read it.
    pub samples_read: u64,
    /// Those of them that storage knew without decoding them, or that it told by others.
    pub samples_left_out: u64,
    /// Samples that the steps looked at, as Prometheus counts `totalQueryableSamples`: a sample
    /// counts once for every window it is in.
    pub queryable_samples: u64,
    /// Most samples held at once.
    pub peak_samples: u64,
    /// Series selected.
    pub num_series: u64,
    /// Most bytes held at once.
    pub peak_bytes: u64,
}

/// A value, and what the reader of it should know.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// The value.
    pub value: Value,
    /// PromQL warnings and infos.
    pub annotations: Annotations,
    /// Warnings of storage, such as quarantined data in the range.
    pub storage_warnings: Vec<String>,
    /// What it cost.
    pub stats: QueryStats,
    /// What each step cost, where [`QueryContext::per_step_stats`] asks for it.
    pub samples_per_step: Option<SamplesPerStep>,
}

/// What each step of a query cost: its time in ms, and samples.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SamplesPerStep {
    /// Samples that it looked at; together [`QueryStats::queryable_samples`].
    pub queryable: Vec<(i64, u64)>,
    /// Samples that were read for it and for no step before it; together
    /// [`QueryStats::samples_read`]. What a subquery reads counts at the first step.
    pub read: Vec<(i64, u64)>,
}

/// The time or the times of a query, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// One time.
    Instant {
        /// The time.
        t_ms: i64,
    },
    /// `start_ms`, `start_ms + step_ms` and so on, up to and with `end_ms`.
    Range {
        /// The first time.
        start_ms: i64,
        /// No time is after it.
        end_ms: i64,
        /// More than 0.
        step_ms: i64,
    },
}

/// Evaluates queries; holds options alone, so that one serves all threads.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    /// What holds for every query.
    pub options: EngineOptions,
}

impl Engine {
    /// An engine with these options.
    pub const fn new(options: EngineOptions) -> Self {
        Self { options }
    }

    /// Evaluates the query `text` at one time.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn instant(
        &self,
        queryable: &dyn Queryable,
        text: &str,
        t_ms: i64,
        context: &QueryContext,
    ) -> Result<QueryResult, QueryError> {
        self.instant_ast(queryable, &self.parse(text)?, t_ms, context)
    }

    /// Evaluates the query `text` over a range; see [`Engine::range_ast`].
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn range(
        &self,
        queryable: &dyn Queryable,
        text: &str,
        range_ms: (i64, i64, i64),
        context: &QueryContext,
    ) -> Result<QueryResult, QueryError> {
        self.range_ast(queryable, &self.parse(text)?, range_ms, context)
    }

    fn parse(&self, text: &str) -> Result<Ast, QueryError> {
        parse(text, &self.options.parse).map_err(|e| QueryError::Parse(e.to_string()))
    }

    /// Evaluates `ast` at one time.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn instant_ast(
        &self,
        queryable: &dyn Queryable,
        ast: &Ast,
        t_ms: i64,
        context: &QueryContext,
    ) -> Result<QueryResult, QueryError> {
        self.run(queryable, ast, When::Instant { t_ms }, context, &mut None)
    }

    /// Evaluates `ast` at `start_ms`, `start_ms + step_ms` and so on, up to and with `end_ms`.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn range_ast(
        &self,
        queryable: &dyn Queryable,
        ast: &Ast,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
        context: &QueryContext,
    ) -> Result<QueryResult, QueryError> {
        let when = When::Range { start_ms, end_ms, step_ms };
        self.run(queryable, ast, when, context, &mut None)
    }

    /// The operators that would evaluate `ast` and what their selectors are estimated to read.
    /// Series are selected, as [`Queryable::select`] does, and no sample is read.
    ///
    /// # Errors
    /// [`QueryError`] of what can be told before samples are read, such as too many series.
    pub fn explain(
        &self,
        queryable: &dyn Queryable,
        ast: &Ast,
        when: When,
        context: &QueryContext,
    ) -> Result<Explained, QueryError> {
        let mut trace = Some(Trace::new(ast.len(), || 0, true));
        self.run(queryable, ast, when, context, &mut trace)?;
        Ok(explained(ast, trace))
    }

    /// Evaluates `ast` and says what each operator did. `clock` gives nanoseconds since any fixed
    /// moment and is read twice a row and operator.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn analyze(
        &self,
        queryable: &dyn Queryable,
        ast: &Ast,
        when: When,
        context: &QueryContext,
        clock: fn() -> u64,
    ) -> Result<(QueryResult, Explained), QueryError> {
        let mut trace = Some(Trace::new(ast.len(), clock, false));
        let result = self.run(queryable, ast, when, context, &mut trace)?;
        Ok((result, explained(ast, trace)))
    }

    fn run(
        &self,
        queryable: &dyn Queryable,
        ast: &Ast,
        when: When,
        context: &QueryContext,
        trace: &mut Option<Trace>,
    ) -> Result<QueryResult, QueryError> {
        run((&self.options, context), queryable, ast, when, trace)
    }
}

fn explained(ast: &Ast, trace: Option<Trace>) -> Explained {
    Explained::new(ast, &trace.expect("a run without an error gives back its trace"))
}
