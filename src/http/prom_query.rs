//! `/api/v1/query`, `query_range`, and what else takes a query text.

mod render;
mod request;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use promql::ParseOptions;
use promql::ast::{Ast, Expr};
use promql::engine::{Engine, EngineOptions, QueryContext, QueryError, When};

use super::Context;
use super::error::Failure;
use super::json::Json;
use super::params::Params;
use super::reply::Reply;
use crate::app::now_ms;
use crate::blocking::Deadline;
use crate::config::Config;
use render::Notes;
use render::Rendering;
use request::{Explain, Options, Range};
pub(super) use request::{invalid, time_or};

/// `/api/v1/query`.
pub(super) async fn instant(cx: &Context, params: Params) -> Result<Reply, Failure> {
    let limit = limit(&params)?;
    let t_ms = request::time_or(&params, "time", now_ms())?;
    let options = Options::parse(&params, limit)?;
    let query = params.get("query").to_owned();
    evaluate(cx, query, options, When::Instant { t_ms }).await
}

/// `/api/v1/query_range`.
pub(super) async fn range(cx: &Context, params: Params) -> Result<Reply, Failure> {
    let limit = limit(&params)?;
    let Range { start_ms, end_ms, step_ms } = Range::parse(&params)?;
    let options = Options::parse(&params, limit)?;
    let query = params.get("query").to_owned();
    evaluate(cx, query, options, When::Range { start_ms, end_ms, step_ms }).await
}

fn limit(params: &Params) -> Result<usize, Failure> {
    super::params::parse_limit(params.get("limit")).map_err(|why| request::invalid("limit", &why))
}

/// Runs a query in the query pool and writes its answer there.
async fn evaluate(
    cx: &Context,
    query: String,
    options: Options,
    when: When,
) -> Result<Reply, Failure> {
    cx.admit_query()?;
    let db = cx.database()?;
    let began = cx.began;
    let time = cx.config.query_timeout.0.min(options.timeout_ms.unwrap_or(u64::MAX));
    let deadline = Deadline::new(std::time::Duration::from_millis(time));
    let context = QueryContext {
        interrupt: deadline.flag(),
        memory: cx.app.memory.clone(),
        max_bytes: cx.config.query_max_bytes.0,
        lookback_ms: options.lookback_ms,
        executor: Arc::clone(&cx.app.query_threads) as _,
        per_step_stats: options.stats.as_deref() == Some("all")
            && cx.config.enable_feature.has("promql-per-step-stats"),
    };
    let (engine, max_bytes) = (engine(&cx.config), cx.config.query_max_response_bytes.as_usize());
    let pool = &cx.app.queries;
    let permit = pool.enter(query.len() as u64).await?;
    let queued = began.elapsed();
    let call = pool.run(permit, move || {
        let ast = parse_query(&query, &engine.options.parse)?;
        let data = db.as_ref();
        if options.explain == Some(Explain::Plan) {
            let explained = engine.explain(data, &ast, when, &context).map_err(failure)?;
            return Ok(render::plan(&explained));
        }
        let (mut result, explained) = match (options.explain, when) {
            (Some(_), _) => engine
                .analyze(data, &ast, when, &context, nanoseconds)
                .map(|(result, explained)| (result, Some(explained))),
            (None, When::Instant { t_ms }) => {
                engine.instant_ast(data, &ast, t_ms, &context).map(|result| (result, None))
            }
            (None, When::Range { start_ms, end_ms, step_ms }) => engine
                .range_ast(data, &ast, (start_ms, end_ms, step_ms), &context)
                .map(|result| (result, None)),
        }
        .map_err(failure)?;
        let evaluated = began.elapsed();
        let mut notes = Notes::of(&query, &result);
        if render::truncate(&mut result.value, options.limit) {
            notes.warn("results truncated due to limit");
        }
        if let Some(text) = options.stats_warning() {
            notes.warn(&text);
        }
        let stats = options.stats.is_some().then_some(render::Timings { queued, evaluated });
        let rendering = Rendering { max_bytes, stats, explained };
        rendering.answer(&result, &notes)
    });
    let body = deadline.over(call).await??;
    Ok(Reply::json(body))
}

fn parse_query(text: &str, options: &ParseOptions) -> Result<Ast, Failure> {
    promql::parse(text, options).map_err(|e| {
        match (e.limit, request::invalid("query", &e.to_string())) {
            (Some(limit), Failure::BadData(message)) => Failure::TooLargeToAsk { message, limit },
            (_, failure) => failure,
        }
    })
}

/// Nanoseconds since the first call.
fn nanoseconds() -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGIN.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn engine(config: &Config) -> Engine {
    let on = |name| config.enable_feature.has(name);
    Engine::new(EngineOptions {
        lookback_ms: config.lookback_delta.as_i64(),
        max_samples: config.query_max_samples,
        max_series: config.query_max_series,
        max_read_samples: config.query_max_read_samples,
        max_read_bytes: config.query_max_read_bytes.0,
        default_subquery_step_ms: config.evaluation_interval.as_i64(),
        delayed_name_removal: on("promql-delayed-name-removal"),
        type_and_unit_labels: on("type-and-unit-labels"),
        start_timestamps: on("use-start-timestamps"),
        parse: parse_options(config),
        ..EngineOptions::default()
    })
}

fn parse_options(config: &Config) -> ParseOptions {
    let on = |name| config.enable_feature.has(name);
    ParseOptions {
        experimental_functions: on("promql-experimental-functions"),
        extended_range_selectors: on("promql-extended-range-selectors"),
        binop_fill_modifiers: on("promql-binop-fill-modifiers"),
        ..ParseOptions::default()
    }
}

fn parsed(cx: &Context, params: &Params) -> Result<Ast, String> {
    promql::parse(params.get("query"), &parse_options(&cx.config)).map_err(|e| e.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failure(e: QueryError) -> Failure {
    let text = e.to_string();
    match e {
        QueryError::Parse(_) => request::invalid("query", &text),
        QueryError::Execution(_) => Failure::Execution(text),
        QueryError::TooManySeries { .. } => {
            Failure::OverLimit { message: text, limit: "query_series" }
        }
        QueryError::TooManySteps { .. } => {
            Failure::OverLimit { message: text, limit: "subquery_points" }
        }
        QueryError::TooManySamples => Failure::OverLimit { message: text, limit: "query_samples" },
        QueryError::TooManyBytes { .. } => {
            Failure::OverLimit { message: text, limit: "query_bytes" }
        }
        QueryError::TooCostly { .. } => Failure::OverLimit { message: text, limit: "query_read" },
        QueryError::OverBudget(e) if e.is_part => {
            let message = format!("{text} (query-memory-percent)");
            Failure::Busy { message, limit: "queries_bytes" }
        }
        QueryError::OverBudget(_) => Failure::Busy { message: text, limit: "memory" },
        QueryError::Canceled => Failure::Canceled(text),
        QueryError::TimedOut => Failure::Timeout(text),
        QueryError::Storage(_) => Failure::Internal(text),
    }
}

/// `/api/v1/query_exemplars`: exemplars are counted when they come and not stored yet.
pub(super) fn exemplars(cx: &Context, params: &Params) -> Result<Reply, Failure> {
    let start = request::time_or(params, "start", i64::MIN)?;
    let end = request::time_or(params, "end", i64::MAX)?;
    if end < start {
        return Err(request::invalid("end", "end timestamp must not be before start timestamp"));
    }
    let ast = parsed(cx, params).map_err(Failure::BadData)?;
    if !ast.iter().any(|(_, node)| matches!(node.expr, Expr::Vector(_))) {
        return Ok(Reply::empty());
    }
    Ok(success(|json| {
        json.raw("[]");
    }))
}

/// `/api/v1/format_query`.
pub(super) fn format(cx: &Context, params: &Params) -> Result<Reply, Failure> {
    let ast = parsed(cx, params).map_err(|e| invalid("query", &e))?;
    Ok(success(|json| {
        json.string(&promql::prettify(&ast));
    }))
}

/// `/api/v1/parse_query`.
pub(super) fn parse(cx: &Context, params: &Params) -> Result<Reply, Failure> {
    let ast = parsed(cx, params).map_err(|e| invalid("query", &e))?;
    Ok(success(|json| {
        json.raw(&promql::to_json(&ast));
    }))
}

/// A successful answer whose data `write` writes.
pub(super) fn success(write: impl FnOnce(&mut Json)) -> Reply {
    let mut json = Json::with_capacity(256);
    json.raw("{\"status\":\"success\",\"data\":");
    write(&mut json);
    json.raw("}");
    Reply::json(json.into_bytes())
}

/// As [`success`], with warnings.
pub(super) fn success_with(warnings: &[String], write: impl FnOnce(&mut Json)) -> Vec<u8> {
    let mut json = Json::with_capacity(1024);
    json.raw("{\"status\":\"success\",\"data\":");
    write(&mut json);
    if !warnings.is_empty() {
        json.raw(",\"warnings\":").strings(warnings);
    }
    json.raw("}");
    json.into_bytes()
}
