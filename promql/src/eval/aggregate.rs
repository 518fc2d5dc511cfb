//! Aggregations. Rows are folded into their groups and dropped, so that the memory is groups times
//! steps; only `topk`, `quantile` and their like keep more.

mod accumulator;
mod count_values;
mod fold;
mod group;
mod pick;
mod rank;

use fold::Fold;

use super::scalar::{self, Scalars};
use super::{Query, Rows, State, Steps};
use crate::annotations::Place;
use crate::ast::{Aggregate, AggregateOp, Expr, NodeId, ValueType};
use crate::engine::QueryError;

/// What the aggregation operators share.
pub(crate) struct Input<'q> {
    aggregate: &'q Aggregate,
    source: Rows<'q>,
    steps: usize,
    /// The place that annotations name: that of the aggregated expression, and for ranks that of the
    /// aggregation, as in Prometheus.
    place: Place,
}

/// The operator of an aggregation.
pub(crate) fn build<'q>(
    query: &'q Query<'q>,
    aggregate: &'q Aggregate,
    id: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    // Aggregations nest as deep as the text says, so what is on the stack meanwhile is little.
    let source = super::build(query, aggregate.expr, steps, state)?;
    let param = match aggregate.param {
        Some(id) if aggregate.op.param() == Some(ValueType::Scalar) => {
            Some(scalar::eval(query, id, steps, state)?)
        }
        _ => None,
    };
    let named = match aggregate.op {
        AggregateOp::Topk | AggregateOp::Bottomk => id,
        _ => aggregate.expr,
    };
    let place = query.place(named, id);
    assemble(query, Input { aggregate, source, steps: steps.count, place }, (id, param), state)
}

/// The smallest and the largest value of a parameter, which are all that Prometheus warns about; NaN
/// where one is.
fn extremes(param: &Scalars, steps: usize) -> (f64, f64) {
    let values = || (0..steps).map(|step| param.at(step));
    if values().any(f64::is_nan) {
        return (f64::NAN, f64::NAN);
    }
    (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
}

fn assemble<'q>(
    query: &'q Query<'q>,
    input: Input<'q>,
    (id, param): (NodeId, Option<Scalars>),
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let aggregate = input.aggregate;
    let param_place = query.place(aggregate.param.unwrap_or(id), id);
    let param = param.unwrap_or(Scalars::Const(f64::NAN));
    Ok(match aggregate.op {
        AggregateOp::Sum => Box::new(Fold::<accumulator::Total>::new(input)),
        AggregateOp::Avg => Box::new(Fold::<accumulator::Average>::new(input)),
        AggregateOp::Count => Box::new(Fold::<accumulator::Count>::new(input)),
        AggregateOp::Group => Box::new(Fold::<accumulator::Group>::new(input)),
        AggregateOp::Min => Box::new(Fold::<accumulator::Min>::new(input)),
        AggregateOp::Max => Box::new(Fold::<accumulator::Max>::new(input)),
        AggregateOp::Stddev => Box::new(Fold::<accumulator::Stddev>::new(input)),
        AggregateOp::Stdvar => Box::new(Fold::<accumulator::Stdvar>::new(input)),
        AggregateOp::Quantile => rank::quantile(input, param, param_place, state),
        AggregateOp::Topk | AggregateOp::Bottomk => Box::new(rank::Top::new(input, &param)?),
        AggregateOp::Limitk => Box::new(pick::First::new(input, &param)?),
        AggregateOp::LimitRatio => pick::ratio(input, &param, param_place, state)?,
        AggregateOp::CountValues => {
            let id = query.unwrapped(aggregate.param.expect("the type checker asks for a label"));
            let Expr::String(label) = query.ast.expr(id) else {
                unreachable!("the type checker asks for a string")
            };
            Box::new(count_values::CountValues::new(input, label)?)
        }
    })
}
