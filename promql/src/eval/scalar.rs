//! Scalar expressions: one float a step.

use super::operand::float_op;
use super::{Cell, Query, State, Steps};
use crate::ast::{Expr, NodeId};
use crate::engine::QueryError;

/// A scalar over the steps.
#[derive(Debug, Clone)]
pub(crate) enum Scalars {
    /// The same at every step.
    Const(f64),
    /// One value a step.
    PerStep(Vec<f64>),
}

impl Scalars {
    pub(crate) fn at(&self, step: usize) -> f64 {
        match self {
            Self::Const(v) => *v,
            Self::PerStep(values) => values[step],
        }
    }

    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::Const(v) => Self::Const(f(v)),
            Self::PerStep(mut values) => {
                for v in &mut values {
                    *v = f(*v);
                }
                Self::PerStep(values)
            }
        }
    }

    pub(crate) fn zip(self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (a, Self::Const(b)) => a.map(|a| f(a, b)),
            (Self::Const(a), b) => b.map(|b| f(a, b)),
            (Self::PerStep(mut a), Self::PerStep(b)) => {
                for (a, b) in a.iter_mut().zip(b) {
                    *a = f(*a, b);
                }
                Self::PerStep(a)
            }
        }
    }
}

/// Evaluates the scalar expression `id`.
pub(crate) fn eval(
    query: &Query<'_>,
    id: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<Scalars, QueryError> {
    if query.plan.node(id).invariant && steps.count > 1 {
        let once = eval(query, id, Steps::once(steps.start_ms), state)?;
        return Ok(Scalars::Const(once.at(0)));
    }
    let id = query.unwrapped(id);
    match query.ast.expr(id) {
        Expr::Number { value, .. } => Ok(Scalars::Const(*value)),
        Expr::Unary { negative, expr } => {
            let v = eval(query, *expr, steps, state)?;
            Ok(if *negative { v.map(|v| -v) } else { v })
        }
        Expr::Binary(_) => chain(query, id, steps, state),
        Expr::Call { function, args } => call(query, function.name, args, steps, state),
        _ => unreachable!("the type checker lets only scalars through here"),
    }
}

/// A chain of operators, folded from its left end: its length is the text's.
fn chain(
    query: &Query<'_>,
    id: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<Scalars, QueryError> {
    let (mut links, mut at) = (Vec::new(), id);
    while let Expr::Binary(binary) = query.ast.expr(at) {
        links.push(binary);
        at = query.unwrapped(binary.lhs);
    }
    let mut value = eval(query, at, steps, state)?;
    for binary in links.into_iter().rev() {
        state.worked(steps.count as u64)?;
        let rhs = eval(query, binary.rhs, steps, state)?;
        value = value.zip(rhs, float_op(binary.op));
    }
    Ok(value)
}

fn call(
    query: &Query<'_>,
    name: &str,
    args: &[NodeId],
    steps: Steps,
    state: &mut State,
) -> Result<Scalars, QueryError> {
    let seconds = super::selector::seconds;
    Ok(match name {
        "pi" => Scalars::Const(std::f64::consts::PI),
        "time" => Scalars::PerStep((0..steps.count).map(|i| seconds(steps.at(i))).collect()),
        "start" => Scalars::Const(seconds(query.start_ms)),
        "end" => Scalars::Const(seconds(query.end_ms)),
        "range" => Scalars::Const(seconds(query.end_ms - query.start_ms)),
        "step" => Scalars::Const(seconds(query.step_ms)),
        "min_of" | "max_of" => {
            let a = eval(query, args[0], steps, state)?;
            let b = eval(query, args[1], steps, state)?;
            let min = name == "min_of";
            a.zip(b, move |a, b| {
                if a.is_nan() || b.is_nan() {
                    f64::NAN
                } else if min {
                    a.min(b)
                } else {
                    a.max(b)
                }
            })
        }
        "scalar" => of_vector(query, args[0], steps, state)?,
        _ => unreachable!("{name} is no scalar function"),
    })
}

/// `scalar(v)`: the value where exactly one series has a float.
fn of_vector(
    query: &Query<'_>,
    id: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<Scalars, QueryError> {
    let mut values = vec![f64::NAN; steps.count];
    let mut seen = vec![0_u8; steps.count];
    let mut rows = super::build(query, id, steps, state)?;
    if state.is_dry() {
        // Any number will do for building what depends on it.
        return Ok(Scalars::Const(0.0));
    }
    while let Some(row) = rows.next(state)? {
        for step in 0..steps.count {
            if let Cell::Float(v) = row.cell(step) {
                seen[step] = seen[step].saturating_add(1);
                values[step] = if seen[step] == 1 { v } else { f64::NAN };
            }
        }
        state.recycle(row);
    }
    Ok(Scalars::PerStep(values))
}
