//! The evaluator: a tree of operators, each of which yields one series' results over all steps at
//! a time.
//!
//! The contract of an operator: [`Operator::next`] gives the next row, in the order in which
//! Prometheus would process the series, each label set once (under delayed name removal: each
//! label set with its name still in it), none without a value, and `None` at the end and for ever
//! after. Nothing is read before the first call. A row is as long as the operator's steps.
//!
//! Operators nest as deep as the text nests parentheses and calls, which the parser limits; a
//! chain of binary operators is one operator ([`binary`]).

pub(crate) mod absent;
pub(crate) mod aggregate;
pub(crate) mod binary;
pub(crate) mod call;
pub(crate) mod element;
pub(crate) mod histogram;
pub(crate) mod info;
pub(crate) mod kept;
pub(crate) mod label;
pub(crate) mod looked;
pub(crate) mod matching;
pub(crate) mod merge;
pub(crate) mod names;
pub(crate) mod operand;
pub(crate) mod per_series;
pub(crate) mod range;
pub(crate) mod range_function;
pub(crate) mod repeat;
pub(crate) mod row;
pub(crate) mod run;
pub(crate) mod scalar;
pub(crate) mod selector;
pub(crate) mod series;
pub(crate) mod shared;
pub(crate) mod smoothed;
pub(crate) mod sort;
pub(crate) mod state;
pub(crate) mod subquery;
pub(crate) mod trace;
pub(crate) mod windows;

pub(crate) use names::is_metadata_label;
pub(crate) use row::{Bits, Cell, Row};
use shared::SharedSlot;
pub(crate) use state::State;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{Interrupt, Queryable, WindowGrid};

use crate::annotations::Place;
use crate::ast::{Ast, Expr, NodeId};
use crate::engine::{EngineOptions, QueryError};
use crate::plan::{Class, Plan};

/// The times at which something is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Steps {
    pub(crate) start_ms: i64,
    /// At least 1.
    pub(crate) step_ms: i64,
    pub(crate) count: usize,
}

impl Steps {
    /// The steps from `start_ms` to at most `end_ms`.
    pub(crate) fn new(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        let span = end_ms.saturating_sub(start_ms);
        let count = if span < 0 { 0 } else { (span / step_ms).saturating_add(1) };
        Self { start_ms, step_ms, count: usize::try_from(count).unwrap_or(usize::MAX) }
    }

    pub(crate) const fn once(t_ms: i64) -> Self {
        Self { start_ms: t_ms, step_ms: 1, count: 1 }
    }

    #[expect(clippy::cast_possible_wrap, reason = "the count came from an i64")]
    pub(crate) const fn at(&self, step: usize) -> i64 {
        self.start_ms + step as i64 * self.step_ms
    }
}

/// When a selector looks, for each step: `@` or the step's time, less the offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct References {
    pub(crate) steps: Steps,
    at_ms: Option<i64>,
    offset_ms: i64,
}

impl References {
    pub(crate) fn new(steps: Steps, at_ms: Option<i64>, offset_ms: i64) -> Self {
        Self { steps, at_ms, offset_ms }
    }

    /// The reference time of a step; never decreases from step to step.
    pub(crate) fn at(&self, step: usize) -> i64 {
        self.at_ms.unwrap_or_else(|| self.steps.at(step)).saturating_sub(self.offset_ms)
    }

    pub(crate) fn first(&self) -> i64 {
        self.at(0)
    }

    pub(crate) fn last(&self) -> i64 {
        self.at(self.steps.count - 1)
    }

    /// The different windows of `range_ms` that end at the reference times.
    pub(crate) fn windows(&self, range_ms: i64) -> WindowGrid {
        let count = if self.at_ms.is_some() { 1 } else { self.steps.count as u64 };
        let step_ms = self.steps.step_ms;
        WindowGrid { first_end_ms: self.first(), step_ms, count, range_ms }
    }
}

/// What all operators of one query share.
pub(crate) struct Query<'q> {
    pub(crate) ast: &'q Ast,
    pub(crate) plan: &'q Plan,
    pub(crate) queryable: &'q dyn Queryable,
    pub(crate) options: &'q EngineOptions,
    pub(crate) interrupt: Arc<dyn Interrupt>,
    /// How far back instant selectors look, ms.
    pub(crate) lookback_ms: i64,
    /// Start, end and step of the query itself, ms; the step is 0 for an instant query.
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) step_ms: i64,
    /// The parts that occur more than once, by the steps that they are evaluated at.
    pub(crate) shared: RefCell<HashMap<(Class, Steps), SharedSlot>>,
}

/// Yields rows; see the module for the contract.
pub(crate) trait Operator {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError>;
}

/// An operator of any kind.
pub(crate) type Rows<'q> = Box<dyn Operator + 'q>;

impl Query<'_> {
    /// The node below parentheses.
    pub(crate) fn unwrapped(&self, mut id: NodeId) -> NodeId {
        while let Expr::Paren(inner) = self.ast.expr(id) {
            id = *inner;
        }
        id
    }

    /// The place of `argument` in what node `by` says of it.
    pub(crate) fn place(&self, argument: NodeId, by: NodeId) -> Place {
        let argument = self.unwrapped(argument);
        let subquery = matches!(self.ast.expr(argument), Expr::Subquery(_));
        let pos = (!subquery).then(|| self.ast.pos(argument));
        Place { pos, turn: self.plan.node(by).turn }
    }
}

/// The operator for the vector expression `id` over `steps`.
///
/// # Errors
/// What can be said of the expression before data is read.
pub(crate) fn build<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    if query.plan.node(id).invariant && steps.count > 1 {
        let once = build_counted(query, id, Steps::once(steps.start_ms), state)?;
        return Ok(Box::new(repeat::Repeat::new(once, steps)));
    }
    build_counted(query, id, steps, state)
}

fn build_counted<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let id = query.unwrapped(id);
    let Some((class, uses)) = query.plan.class(id).filter(|_| !state.is_dry()) else {
        return build_alone(query, id, steps, state);
    };
    // Where all operators are to be seen, those that will not be asked are built too.
    let built = match state.trace {
        Some(_) => Some(build_alone(query, id, steps, state)?),
        None => None,
    };
    let slot = Rc::clone(query.shared.borrow_mut().entry((class, steps)).or_default());
    Ok(Box::new(shared::Shared::new(query, (id, steps), (slot, uses), built)))
}

/// The operator of `id`, whatever else is like it.
pub(crate) fn build_alone<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let rows = build_node(query, id, steps, state)?;
    Ok(match &mut state.trace {
        None => rows,
        Some(trace) => trace.counted(id, steps.count, rows),
    })
}

fn build_node<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    match query.ast.expr(id) {
        Expr::Vector(_) => selector::build(query, id, steps, selector::Emit::Value, state),
        Expr::Call { function, args } => call::build(query, id, function, args, steps, state),
        Expr::Aggregate(aggregate) => aggregate::build(query, aggregate, id, steps, state),
        Expr::Binary(_) => binary::build(query, id, steps, state),
        Expr::Unary { negative, expr } => {
            element::build_unary(query, *expr, *negative, steps, state)
        }
        Expr::Number { .. }
        | Expr::String(_)
        | Expr::Matrix { .. }
        | Expr::Subquery(_)
        | Expr::Paren(_) => {
            unreachable!("the type checker lets only vectors through here")
        }
    }
}
