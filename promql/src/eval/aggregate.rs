//! Aggregations. Rows are folded into their groups and dropped, so that the memory is groups times
//! steps; only `topk`, `quantile` and their like keep more.

mod count_values;
mod fold;
mod group;
mod pick;
mod rank;

use super::scalar;
use super::{Query, Rows, State, Steps};
use crate::ast::{Aggregate, AggregateOp, Expr, NodeId, Pos};
use crate::engine::QueryError;

/// What the aggregation operators share.
pub(crate) struct Input<'q> {
    aggregate: &'q Aggregate,
    source: Rows<'q>,
    steps: usize,
    /// The place of the aggregated expression, for annotations.
    pos: Pos,
}

/// The operator of the aggregation `id`.
pub(crate) fn build<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    aggregate: &'q Aggregate,
    steps: Steps,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let _ = id;
    let source = super::build(query, aggregate.expr, steps, state)?;
    let pos = query.ast.pos(aggregate.expr);
    let input = Input { aggregate, source, steps: steps.count, pos };
    let param = |state: &mut State| {
        let id = aggregate.param.expect("the type checker asks for a parameter");
        Ok::<_, QueryError>((scalar::eval(query, id, steps, state)?, query.ast.pos(id)))
    };
    Ok(match aggregate.op {
        AggregateOp::Sum => Box::new(fold::Fold::<fold::Total>::new(input)),
        AggregateOp::Avg => Box::new(fold::Fold::<fold::Average>::new(input)),
        AggregateOp::Count => Box::new(fold::Fold::<fold::Count>::new(input)),
        AggregateOp::Group => Box::new(fold::Fold::<fold::Group>::new(input)),
        AggregateOp::Min => Box::new(fold::Fold::<fold::Min>::new(input)),
        AggregateOp::Max => Box::new(fold::Fold::<fold::Max>::new(input)),
        AggregateOp::Stddev => Box::new(fold::Fold::<fold::Stddev>::new(input)),
        AggregateOp::Stdvar => Box::new(fold::Fold::<fold::Stdvar>::new(input)),
        AggregateOp::Quantile => {
            let (q, pos) = param(state)?;
            rank::quantile(input, &q, pos, state)
        }
        AggregateOp::Topk | AggregateOp::Bottomk => {
            let (k, _) = param(state)?;
            Box::new(rank::Top::new(input, &k)?)
        }
        AggregateOp::Limitk => {
            let (k, _) = param(state)?;
            Box::new(pick::First::new(input, &k)?)
        }
        AggregateOp::LimitRatio => {
            let (ratio, pos) = param(state)?;
            pick::ratio(input, ratio, pos, state)?
        }
        AggregateOp::CountValues => {
            let id = query.unwrapped(aggregate.param.expect("the type checker asks for a label"));
            let Expr::String(label) = query.ast.expr(id) else {
                unreachable!("the type checker asks for a string")
            };
            Box::new(count_values::CountValues::new(input, label)?)
        }
    })
}
