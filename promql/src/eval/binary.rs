//! Binary operators. A chain `a op b op c ...` is one operator: its links are stages through which
//! the rows of the leftmost operand are pushed, so that its length costs no stack. The stages up
//! to the last one between two vectors run to completion one after the other, so that one
//! right-hand side is in memory at a time.

mod one_to_many;
mod sets;

use std::collections::VecDeque;

use super::merge::{Equal, merge};
use super::scalar::{self, Scalars};
use super::state::Held;
use super::{Operator, Query, Row, Rows, State, Steps, operand};
use crate::ast::{Binary, Cardinality, Expr, NodeId, ValueType};
use crate::engine::QueryError;
use crate::plan::Plan;

/// One link of a chain: rows in, rows out.
trait Stage {
    /// Takes a row of the left side; what is known of the result so far goes to `out`.
    fn push(&mut self, row: Row, out: &mut Vec<Row>, state: &mut State) -> Result<(), QueryError>;

    /// Reads what it needs of the right side before the left one comes.
    fn read_right(&mut self, _: &mut State) -> Result<(), QueryError> {
        Ok(())
    }

    /// The left side has ended: the rest of the result.
    fn finish(&mut self, _: &mut Vec<Row>, _: &mut State) -> Result<(), QueryError> {
        Ok(())
    }
}

/// A link not yet opened.
struct Link<'q> {
    binary: &'q Binary,
    /// The operator node, whose place annotations name.
    id: NodeId,
    /// What the left side is; the chain begins with the right side where it is a scalar.
    scalar_left: Option<Scalars>,
}

/// The operator of a chain.
pub(crate) struct Chain<'q> {
    query: &'q Query<'q>,
    steps: Steps,
    source: Option<Rows<'q>>,
    /// Links not yet opened.
    links: VecDeque<Link<'q>>,
    /// How many of them run to completion before the next one is opened.
    complete: usize,
    /// Open links.
    stages: Vec<Box<dyn Stage + 'q>>,
    /// How many of these have read their right side.
    num_read: usize,
    ready: VecDeque<Row>,
    /// Rows between two links that ran to completion.
    held: Held,
}

/// The operator of the binary expression `id`, whose value is a vector.
pub(crate) fn build<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let (mut links, mut at) = (Vec::new(), id);
    // Parts that do not change with the step are evaluated apart, unless all of the chain is.
    let whole = query.plan.node(id).invariant;
    while let Expr::Binary(binary) = query.ast.expr(at)
        && query.plan.node(at).ty == ValueType::Vector
        && (steps.count == 1 || whole == query.plan.node(at).invariant)
    {
        links.push(Link { binary, id: at, scalar_left: None });
        at = query.unwrapped(binary.lhs);
    }
    links.reverse();
    let source = if query.plan.node(at).ty == ValueType::Scalar {
        let left = scalar::eval(query, at, steps, state)?;
        links[0].scalar_left = Some(left);
        super::build(query, links[0].binary.rhs, steps, state)?
    } else {
        super::build(query, at, steps, state)?
    };
    if state.is_dry() {
        build_right_sides(query, &links, steps, state)?;
    }
    Ok(Box::new(Chain {
        query,
        steps,
        source: Some(source),
        complete: num_complete(&links, query.plan),
        links: links.into(),
        stages: Vec::new(),
        num_read: 0,
        ready: VecDeque::new(),
        held: Held::default(),
    }))
}

/// Builds the right sides, which else are built one after the other as the chain runs.
fn build_right_sides(
    query: &Query<'_>,
    links: &[Link<'_>],
    steps: Steps,
    state: &mut State,
) -> Result<(), QueryError> {
    for link in links.iter().filter(|link| link.scalar_left.is_none()) {
        if link.is_scalar(query.plan) {
            scalar::eval(query, link.binary.rhs, steps, state)?;
        } else {
            drop(super::build(query, link.binary.rhs, steps, state)?);
        }
    }
    Ok(())
}

/// How many links must run to completion so that one right-hand side is in memory at a time: all
/// before the last one between vectors.
fn num_complete(links: &[Link<'_>], plan: &Plan) -> usize {
    let vector = |link: &&Link<'_>| !link.is_scalar(plan);
    let last = links.iter().rposition(|link| vector(&link)).unwrap_or(0);
    if links.iter().filter(vector).count() > 1 { last } else { 0 }
}

impl Link<'_> {
    fn is_scalar(&self, plan: &Plan) -> bool {
        self.scalar_left.is_some() || plan.node(self.binary.rhs).ty == ValueType::Scalar
    }
}

impl<'q> Chain<'q> {
    /// Runs the links before the last one between vectors, and opens the rest. Right sides nest as
    /// deep as the text says, so they are read from a small stack frame.
    fn open(&mut self, state: &mut State) -> Result<(), QueryError> {
        while self.open_next(state)? {
            self.read_right(state)?;
            self.run_completed(state)?;
        }
        Ok(())
    }

    fn open_next(&mut self, state: &mut State) -> Result<bool, QueryError> {
        let Some(link) = self.links.pop_front() else { return Ok(false) };
        state.poll()?;
        self.open_link(link, state)?;
        Ok(true)
    }

    fn read_right(&mut self, state: &mut State) -> Result<(), QueryError> {
        while self.num_read < self.stages.len() {
            self.stages[self.num_read].read_right(state)?;
            self.num_read += 1;
        }
        Ok(())
    }

    /// Runs the open stages to completion where that is their lot: their rows become the source.
    fn run_completed(&mut self, state: &mut State) -> Result<(), QueryError> {
        if self.complete == 0 {
            return Ok(());
        }
        self.complete -= 1;
        self.num_read = 0;
        for mut stage in std::mem::take(&mut self.stages) {
            let rows = run(self.source.take(), stage.as_mut(), state)?;
            let samples = rows.iter().map(Row::samples).sum();
            let bytes = rows.iter().map(Row::heap_bytes).sum();
            state.hold_exactly(&mut self.held, samples, bytes)?;
            self.source = Some(Box::new(Buffered(rows.into_iter())));
        }
        Ok(())
    }

    /// Adds the stages of `link`.
    fn open_link(&mut self, link: Link<'q>, state: &mut State) -> Result<(), QueryError> {
        let (query, binary) = (self.query, link.binary);
        if !link.is_scalar(query.plan) {
            let right = super::build(query, binary.rhs, self.steps, state)?;
            self.stages.push(self.vector_stage(binary, link.id, right));
            return Ok(());
        }
        let (scalars, scalar_left, vector) = match link.scalar_left {
            Some(scalars) => (scalars, true, binary.rhs),
            None => (scalar::eval(query, binary.rhs, self.steps, state)?, false, binary.lhs),
        };
        let drops_name = super::matching::changes_metric(binary.op) || binary.return_bool;
        let operator =
            operand::Operator::new(binary.op, binary.return_bool, query.place(link.id, link.id));
        self.stages.push(Box::new(WithScalar {
            query,
            operator,
            scalars,
            scalar_left,
            drops_name,
        }));
        let unique = query.options.delayed_name_removal || query.plan.node(vector).one_name;
        if drops_name && !unique {
            self.stages.push(Box::new(Join { rows: Vec::new(), held: Held::default() }));
        }
        Ok(())
    }

    fn vector_stage(&self, binary: &'q Binary, id: NodeId, right: Rows<'q>) -> Box<dyn Stage + 'q> {
        let (query, steps) = (self.query, self.steps);
        if binary.op.is_set() {
            sets::stage(binary, right, steps)
        } else {
            let place = query.place(id, id);
            Box::new(one_to_many::OneToMany::new(query, binary, place, right, steps))
        }
    }

    /// Pushes `rows` through the stages from `first` on.
    fn push_through(
        &mut self,
        first: usize,
        mut rows: Vec<Row>,
        state: &mut State,
    ) -> Result<(), QueryError> {
        for stage in &mut self.stages[first..] {
            // Without this the end of the rows would cost the square of the chain's length.
            if rows.is_empty() {
                return Ok(());
            }
            let mut out = Vec::new();
            for row in rows {
                stage.push(row, &mut out, state)?;
            }
            rows = out;
        }
        self.ready.extend(rows);
        Ok(())
    }
}

/// All rows that `stage` makes of those of `source`.
fn run(
    source: Option<Rows<'_>>,
    stage: &mut dyn Stage,
    state: &mut State,
) -> Result<Vec<Row>, QueryError> {
    let mut out = Vec::new();
    if let Some(mut source) = source {
        while let Some(row) = source.next(state)? {
            stage.push(row, &mut out, state)?;
        }
    }
    stage.finish(&mut out, state)?;
    Ok(out)
}

impl Chain<'_> {
    /// Takes a row of the source, or its end, through the stages. `false` after the end.
    fn advance(&mut self, state: &mut State) -> Result<bool, QueryError> {
        let Some(source) = &mut self.source else { return Ok(false) };
        if let Some(row) = source.next(state)? {
            self.push_through(0, vec![row], state)?;
            return Ok(true);
        }
        self.source = None;
        for i in 0..self.stages.len() {
            self.finish(i, state)?;
        }
        self.stages.clear();
        state.release(&mut self.held);
        Ok(true)
    }

    fn finish(&mut self, i: usize, state: &mut State) -> Result<(), QueryError> {
        let mut out = Vec::new();
        self.stages[i].finish(&mut out, state)?;
        self.push_through(i + 1, out, state)
    }
}

impl Operator for Chain<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        self.open(state)?;
        while self.ready.is_empty() {
            if !self.advance(state)? {
                return Ok(None);
            }
        }
        Ok(self.ready.pop_front())
    }
}

/// Rows in a buffer.
struct Buffered(std::vec::IntoIter<Row>);

impl Operator for Buffered {
    fn next(&mut self, _: &mut State) -> Result<Option<Row>, QueryError> {
        Ok(self.0.next())
    }
}

/// Vector and scalar.
struct WithScalar<'q> {
    query: &'q Query<'q>,
    operator: operand::Operator,
    scalars: Scalars,
    scalar_left: bool,
    drops_name: bool,
}

impl Stage for WithScalar<'_> {
    fn push(
        &mut self,
        mut row: Row,
        out: &mut Vec<Row>,
        state: &mut State,
    ) -> Result<(), QueryError> {
        state.worked(row.steps() as u64)?;
        if self.drops_name {
            self.query.drop_name(&mut row);
        }
        match &self.scalars {
            Scalars::Const(v) => {
                self.operator.apply_scalar(&mut row, |_| *v, self.scalar_left, state);
            }
            Scalars::PerStep(values) => {
                self.operator.apply_scalar(&mut row, |i| values[i], self.scalar_left, state);
            }
        }
        if row.any() {
            out.push(row);
        } else {
            state.recycle(row);
        }
        Ok(())
    }
}

/// Joins the rows that a dropped name made equal.
struct Join {
    rows: Vec<Row>,
    held: Held,
}

impl Stage for Join {
    fn push(&mut self, row: Row, _: &mut Vec<Row>, state: &mut State) -> Result<(), QueryError> {
        state.hold_row(&mut self.held, &row)?;
        self.rows.push(row);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Row>, state: &mut State) -> Result<(), QueryError> {
        out.extend(merge(std::mem::take(&mut self.rows), Equal::Join)?);
        state.release(&mut self.held);
        Ok(())
    }
}

/// Whether the left side is the one that has one series per group.
fn one_is_left(binary: &Binary) -> bool {
    binary.matching.card == Cardinality::OneToMany
}
