//! Function calls: from the name to the operator.

use super::element::{floats, nameless};
use super::scalar::{self, Scalars};
use super::selector::{self, seconds};
use super::{Cell, Operator, Query, Row, Rows, State, Steps};
use super::{absent, histogram, info, label, range, range_function};
use crate::annotations::Place;
use crate::ast::{Expr, NodeId, Text, ValueType};
use crate::engine::QueryError;
use crate::functions::{Function, dispatch, math};

/// A call with all that its operator needs.
pub(crate) struct Call<'q> {
    pub(crate) query: &'q Query<'q>,
    pub(crate) id: NodeId,
    pub(crate) args: &'q [NodeId],
    pub(crate) steps: Steps,
}

impl<'q> Call<'q> {
    /// The string argument `i`.
    pub(crate) fn literal(&self, i: usize) -> &'q Text {
        match self.query.ast.expr(self.query.unwrapped(self.args[i])) {
            Expr::String(text) => text,
            _ => unreachable!("the type checker asks for a string"),
        }
    }

    /// The text of the string argument `i`.
    pub(crate) fn text(&self, i: usize) -> &'q str {
        self.literal(i).as_str()
    }

    /// The scalar argument `i`.
    pub(crate) fn scalar(&self, i: usize, state: &mut State) -> Result<Scalars, QueryError> {
        scalar::eval(self.query, self.args[i], self.steps, state)
    }

    /// The rows of the vector argument `i`.
    pub(crate) fn rows(&self, i: usize, state: &mut State) -> Result<Rows<'q>, QueryError> {
        super::build(self.query, self.args[i], self.steps, state)
    }

    /// The place of argument `i`.
    pub(crate) fn place(&self, i: usize) -> Place {
        self.query.place(self.args[i], self.id)
    }

    /// Applies `f` to the floats of argument `i`.
    fn floats(
        &self,
        i: usize,
        state: &mut State,
        f: impl Fn(f64, usize) -> f64 + 'q,
    ) -> Result<Rows<'q>, QueryError> {
        floats(self.query, self.args[i], self.steps, state, f)
    }
}

/// The operator of a call whose value is a vector.
pub(crate) fn build<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    function: &'static Function,
    args: &'q [NodeId],
    steps: Steps,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let call = Call { query, id, args, steps };
    if let Some(kernel) = dispatch::range_kernel(function.name) {
        return build_range(&call, function.name, kernel, state);
    }
    if let Some(f) = dispatch::element_kernel(function.name) {
        if args.is_empty() {
            return Ok(constant(steps, |step| f(seconds(steps.at(step)))));
        }
        return call.floats(0, state, move |v, _| f(v));
    }
    match function.name {
        "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => {
            super::sort::build(&call, function.name, state)
        }
        "label_replace" => label::replace(&call, state),
        "label_join" => label::join(&call, state),
        "info" => info::build(&call, state),
        name if name.starts_with("histogram_") => histogram::build(&call, name, state),
        name => build_other(&call, name, state),
    }
}

fn build_other<'q>(
    call: &Call<'q>,
    name: &'static str,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let (query, args, steps) = (call.query, call.args, call.steps);
    match name {
        "absent" => absent::build(query, args[0], steps, state),
        "absent_over_time" => absent::build_over_time(query, args[0], steps, state),
        "vector" => {
            let v = call.scalar(0, state)?;
            Ok(constant(steps, |step| v.at(step)))
        }
        "timestamp" => timestamp(call, state),
        "start_timestamp" => start_timestamp(call, state),
        "clamp" => {
            let (low, high) = (call.scalar(1, state)?, call.scalar(2, state)?);
            nameless(query, args[0], steps, state, move |row, _| {
                row.histograms.clear();
                for step in 0..row.steps() {
                    if high.at(step) < low.at(step) {
                        row.present.clear(step);
                    } else {
                        row.floats[step] =
                            math::clamp(row.floats[step], low.at(step), high.at(step));
                    }
                }
                Ok(())
            })
        }
        "clamp_min" => {
            let low = call.scalar(1, state)?;
            call.floats(0, state, move |v, step| math::max_of(low.at(step), v))
        }
        "clamp_max" => {
            let high = call.scalar(1, state)?;
            call.floats(0, state, move |v, step| math::min_of(high.at(step), v))
        }
        "round" => {
            let to = match args.len() {
                1 => Scalars::Const(1.0),
                _ => call.scalar(1, state)?,
            };
            call.floats(0, state, move |v, step| math::round(v, to.at(step)))
        }
        _ => Err(QueryError::Execution(format!("unknown function with name {name:?}"))),
    }
}

fn build_range<'q>(
    call: &Call<'q>,
    name: &'static str,
    kernel: dispatch::RangeKernel,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let (query, mut scalars, mut vector) = (call.query, Vec::new(), None);
    // Annotations name the first argument, whichever the range vector is.
    let place = call.place(0);
    let mut one_name = false;
    for (i, id) in call.args.iter().enumerate() {
        if query.plan.node(*id).ty == ValueType::Matrix {
            vector = Some(range::build(query, *id, call.steps, kernel.needs, state)?);
            one_name = query.plan.node(*id).one_name;
        } else {
            scalars.push(call.scalar(i, state)?);
        }
    }
    let vector = vector.expect("the type checker asks for a range vector");
    let kernel = match vector.modifier {
        None => kernel,
        Some(modifier) => dispatch::extended_kernel(name, modifier)
            .ok_or_else(|| QueryError::Execution(modifier.refusal(name)))?,
    };
    Ok(range_function::build(query, name, kernel, vector, scalars, (place, one_name)))
}

/// One row without labels.
struct Constant(Option<Row>);

impl Operator for Constant {
    fn next(&mut self, _: &mut State) -> Result<Option<Row>, QueryError> {
        Ok(self.0.take())
    }
}

/// The row `{}` with these values.
fn constant<'q>(steps: Steps, f: impl Fn(usize) -> f64) -> Rows<'q> {
    let mut row = Row::empty(model::Labels::empty(), false, steps.count);
    row.present.fill();
    for (step, v) in row.floats.iter_mut().enumerate() {
        *v = f(step);
    }
    Box::new(Constant(Some(row)))
}

/// When the counting of the sample began. Only a selector knows, and only with
/// `use-start-timestamps`: else there is no answer.
fn start_timestamp<'q>(call: &Call<'q>, state: &mut State) -> Result<Rows<'q>, QueryError> {
    let id = call.query.unwrapped(call.args[0]);
    match call.query.ast.expr(id) {
        Expr::Vector(selector) if call.query.options.start_timestamps && !selector.smoothed => {
            of_selector(call, id, selector::Emit::Start, state)
        }
        _ => nameless(call.query, id, call.steps, state, |row, _| {
            (0..row.steps()).for_each(|step| row.clear(step));
            Ok(())
        }),
    }
}

/// What a selector emits in place of values, without names.
fn of_selector<'q>(
    call: &Call<'q>,
    id: NodeId,
    emit: selector::Emit,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let query = call.query;
    let rows = selector::build(query, id, call.steps, emit, state)?;
    let rows = super::element::Map::boxed(rows, move |row, _| {
        query.drop_name(row);
        Ok(())
    });
    Ok(query.merged(rows, id))
}

/// The time of the sample where the argument is a selector, else of the step.
fn timestamp<'q>(call: &Call<'q>, state: &mut State) -> Result<Rows<'q>, QueryError> {
    let (query, steps) = (call.query, call.steps);
    let id = query.unwrapped(call.args[0]);
    if let Expr::Vector(_) = query.ast.expr(id) {
        return of_selector(call, id, selector::Emit::Time, state);
    }
    nameless(query, id, steps, state, move |row, _| {
        for step in 0..row.steps() {
            if !matches!(row.cell(step), Cell::Absent) {
                row.clear(step);
                row.set_float(step, seconds(steps.at(step)));
            }
        }
        row.histograms.clear();
        Ok(())
    })
}
