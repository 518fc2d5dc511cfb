//! From a parsed query to its value.

use std::cell::RefCell;
use std::sync::Arc;

use model::{Labels, Need, Queryable};

use super::looked::Looked;
use super::merge::{Equal, merge};
use super::names::without_name;
use super::state::Held;
use super::trace::Trace;
use super::{Cell, Query, Row, State, Steps, range, scalar};
use crate::ast::{Ast, Expr, NodeId, ValueType};
use crate::engine::{
    EngineOptions, MatrixSeries, QueryContext, QueryError, QueryResult, SampleValue,
    SamplesPerStep, Value, VectorSample, When,
};
use crate::functions::rate::extended;
use crate::functions::window::{Starts, Window};
use crate::plan::Plan;

/// Evaluates `ast` and keeps the record in `trace`, where one is given; a dry one gives a value
/// without meaning.
pub(crate) fn run(
    (options, context): (&EngineOptions, &QueryContext),
    queryable: &dyn Queryable,
    ast: &Ast,
    when: When,
    trace: &mut Option<Trace>,
) -> Result<QueryResult, QueryError> {
    let (steps, end_ms, step_ms) = match when {
        When::Instant { t_ms } => (Steps::once(t_ms), t_ms, 0),
        When::Range { start_ms, end_ms, step_ms } => {
            (Steps::new(start_ms, end_ms, step_ms.max(1)), end_ms, step_ms)
        }
    };
    let plan = Plan::new(ast, steps, end_ms, options)?;
    let query = Query {
        ast,
        plan: &plan,
        queryable,
        options,
        interrupt: Arc::clone(&context.interrupt),
        lookback_ms: context.lookback_ms.unwrap_or(options.lookback_ms),
        start_ms: steps.start_ms,
        end_ms,
        step_ms: if steps.start_ms == end_ms { 0 } else { step_ms },
        shared: RefCell::default(),
    };
    let root = query.unwrapped(ast.root());
    let instant = matches!(when, When::Instant { .. });
    if trace.is_none() && num_selectors(ast) > SELECTED_FIRST {
        let mut dry = State::new(context, options)?;
        dry.dry_out();
        build_root(&query, root, (steps, instant), &mut dry)?;
    }
    let mut state = State::new(context, options)?;
    // The rows in flight and the scalars are not charged one by one; this is what they need.
    let mut in_flight = Held::default();
    let scratch_bytes = (steps.count as u64).saturating_mul(IN_FLIGHT_BYTES_PER_STEP);
    state.hold(&mut in_flight, 0, scratch_bytes)?;
    state.poll()?;
    state.looked = Looked::new(context.per_step_stats.then_some(steps.count));
    state.trace = trace.take();
    let value = if state.is_dry() {
        build_root(&query, root, (steps, instant), &mut state)?
    } else if instant {
        instant_value(&query, root, steps, &mut state)?
    } else {
        range_value(&query, root, steps, &mut state)?
    };
    let stats = state.stats();
    let at = |counts: &[u64]| (0..).zip(counts).map(|(i, n)| (steps.at(i), *n)).collect();
    let samples_per_step = context.per_step_stats.then(|| SamplesPerStep {
        queryable: at(&state.looked.queryable_at),
        read: at(&state.looked.read_at),
    });
    *trace = state.trace;
    Ok(QueryResult {
        value,
        annotations: state.annotations,
        storage_warnings: state.storage_warnings,
        stats,
        samples_per_step,
    })
}

/// Up to so many selectors select before any of them reads, so that what they cost is known.
const SELECTED_FIRST: usize = 2;

/// How many selectors the query has, counted up to one more than matters.
fn num_selectors(ast: &Ast) -> usize {
    let selectors = ast.iter().filter(|(_, node)| matches!(node.expr, Expr::Vector(_)));
    selectors.take(SELECTED_FIRST + 1).count()
}

/// A few rows of floats with their presence.
const IN_FLIGHT_BYTES_PER_STEP: u64 = 8 * 16;

/// Builds the operators and asks nothing of them.
fn build_root(
    query: &Query<'_>,
    root: NodeId,
    (steps, instant): (Steps, bool),
    state: &mut State,
) -> Result<Value, QueryError> {
    match query.plan.node(root).ty {
        // These have no value over a range, which is an error of its own.
        ValueType::String | ValueType::Matrix if !instant => {
            return range_value(query, root, steps, state);
        }
        _ if steps.count == 0 => {}
        ValueType::Scalar => drop(scalar::eval(query, root, steps, state)?),
        ValueType::Vector => drop(super::build(query, root, steps, state)?),
        ValueType::Matrix => drop(range::build(query, root, steps, Need::All, state)?),
        ValueType::String => {}
    }
    Ok(Value::Vector(Vec::new()))
}

fn instant_value(
    query: &Query<'_>,
    root: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<Value, QueryError> {
    let t_ms = steps.start_ms;
    Ok(match query.plan.node(root).ty {
        ValueType::Scalar => {
            Value::Scalar { t_ms, v: scalar::eval(query, root, steps, state)?.at(0) }
        }
        ValueType::String => match query.ast.expr(root) {
            Expr::String(text) => Value::String { t_ms, text: text.as_str().to_owned() },
            _ => unreachable!("no operation gives a string"),
        },
        ValueType::Vector => {
            let (rows, _) = all_rows(query, root, steps, state)?;
            Value::Vector(rows.into_iter().filter_map(|row| vector_sample(row, t_ms)).collect())
        }
        ValueType::Matrix => Value::Matrix(raw_matrix(query, root, steps, state)?),
    })
}

fn vector_sample(row: Row, t_ms: i64) -> Option<VectorSample> {
    let value = match row.cell(0) {
        Cell::Absent => return None,
        Cell::Float(v) => SampleValue::Float(v),
        Cell::Histogram(h) => SampleValue::Histogram(Arc::clone(h)),
    };
    Some(VectorSample { labels: row.labels, t_ms, value })
}

fn range_value(
    query: &Query<'_>,
    root: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<Value, QueryError> {
    let ty = query.plan.node(root).ty;
    let mut series: Vec<MatrixSeries> = match ty {
        ValueType::Scalar => {
            let v = scalar::eval(query, root, steps, state)?;
            let floats = (0..steps.count).map(|i| (steps.at(i), v.at(i))).collect();
            vec![MatrixSeries { labels: Labels::empty(), floats, histograms: Vec::new() }]
        }
        ValueType::Vector => {
            let (rows, mut held) = all_rows(query, root, steps, state)?;
            let mut series = Vec::with_capacity(rows.len());
            for row in rows {
                let (row_bytes, samples) = (row.heap_bytes(), row.present.count() as u64);
                state.exchange(&mut held, row_bytes, samples * size_of::<(i64, f64)>() as u64)?;
                series.push(matrix_series(row, steps));
            }
            series
        }
        ValueType::String | ValueType::Matrix => {
            return Err(QueryError::Parse(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                ty.documented()
            )));
        }
    };
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(Value::Matrix(series))
}

fn matrix_series(row: Row, steps: Steps) -> MatrixSeries {
    let floats = row.present.iter().map(|i| (steps.at(i), row.floats[i])).collect();
    let histograms = row.histograms.into_iter().enumerate();
    let histograms = histograms.filter_map(|(i, h)| Some((steps.at(i), h?))).collect();
    MatrixSeries { labels: row.labels, floats, histograms }
}

/// All rows of the vector expression `root`, their names dropped where they must be, and what they
/// hold of the budget.
fn all_rows(
    query: &Query<'_>,
    root: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<(Vec<Row>, Held), QueryError> {
    if steps.count == 0 {
        return Ok((Vec::new(), Held::default()));
    }
    let mut held = Held::default();
    let mut out = Vec::new();
    let mut rows = super::build(query, root, steps, state)?;
    while let Some(mut row) = rows.next(state)? {
        state.hold_row(&mut held, &row)?;
        if row.drop_name {
            row.labels = without_name(&row.labels);
        }
        out.push(row);
    }
    Ok((merge(out, Equal::Join)?, held))
}

/// The samples of a range vector at their own times.
fn raw_matrix(
    query: &Query<'_>,
    root: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<Vec<MatrixSeries>, QueryError> {
    let mut vector = range::build(query, root, steps, Need::All, state)?;
    let end_ms = vector.references.at(0);
    let start_ms = end_ms.saturating_sub(vector.range_ms);
    let mut held = Held::default();
    let mut out = Vec::new();
    while let Some((labels, drop_name)) = vector.source.as_mut().next(state)? {
        let series = vector.source.as_mut().series();
        if let Some(modifier) = vector.modifier {
            let window = Window {
                times: series.times,
                values: series.values,
                histograms: &[],
                starts: Starts::default(),
                start_ms,
                end_ms,
                step_ms: end_ms,
            };
            let (mut times, mut values) = (Vec::new(), Vec::new());
            extended::bare_points(&window, modifier, &mut times, &mut values);
            if !times.is_empty() {
                state.hold(&mut held, times.len() as u64, times.len() as u64 * 16)?;
                let floats = times.into_iter().zip(values).collect();
                out.push(MatrixSeries { labels, floats, histograms: Vec::new() });
            }
            continue;
        }
        let inside = |t_ms: i64| t_ms > start_ms && t_ms <= end_ms;
        let floats: Vec<(i64, f64)> = series
            .times
            .iter()
            .zip(series.values)
            .filter(|(t, _)| inside(**t))
            .map(|(t, v)| (*t, *v))
            .collect();
        let histograms: Vec<_> =
            series.histograms.iter().filter(|(t, _)| inside(*t)).cloned().collect();
        if floats.is_empty() && histograms.is_empty() {
            continue;
        }
        let samples: u64 = floats.len() as u64
            + histograms.iter().map(|(_, h)| super::row::histogram_samples(h)).sum::<u64>();
        state.looked_at(0, samples);
        state.hold(&mut held, samples, samples * 16 + labels.heap_bytes() as u64)?;
        let labels = if drop_name { without_name(&labels) } else { labels };
        out.push(MatrixSeries { labels, floats, histograms });
    }
    out.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(out)
}
