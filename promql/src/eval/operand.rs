//! One binary operation on two values (contract 3.9, 3.13).

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use super::{Cell, Row, State};
use crate::ast::{BinaryOp, Pos};
use crate::elementary;
use crate::functions::notes::Operation;
use crate::histogram::{IncompatibleSchemas, arithmetic, compare, trim};

/// The operation on floats; a comparison answers 1 or 0.
pub(crate) fn float_op(op: BinaryOp) -> fn(f64, f64) -> f64 {
    #![expect(clippy::float_cmp, reason = "the language compares floats exactly")]
    const fn number(truth: bool) -> f64 {
        if truth { 1.0 } else { 0.0 }
    }
    match op {
        BinaryOp::Add => |a, b| a + b,
        BinaryOp::Sub => |a, b| a - b,
        BinaryOp::Mul => |a, b| a * b,
        BinaryOp::Div => |a, b| a / b,
        BinaryOp::Mod => |a, b| a % b,
        BinaryOp::Pow => elementary::pow,
        BinaryOp::Atan2 => elementary::atan2,
        BinaryOp::Eql => |a, b| number(a == b),
        BinaryOp::Neq => |a, b| number(a != b),
        BinaryOp::Gtr => |a, b| number(a > b),
        BinaryOp::Lss => |a, b| number(a < b),
        BinaryOp::Gte => |a, b| number(a >= b),
        BinaryOp::Lte => |a, b| number(a <= b),
        BinaryOp::TrimUpper | BinaryOp::TrimLower => |_, _| f64::NAN,
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => {
            unreachable!("a set operator has no value of its own")
        }
    }
}

/// The operator with what it needs at each step.
pub(crate) struct Operator {
    pub(crate) op: BinaryOp,
    pub(crate) return_bool: bool,
    pub(crate) pos: Pos,
    float: fn(f64, f64) -> f64,
}

/// What a pair of values gives.
enum Outcome {
    Nothing,
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// Which operand a filtering comparison hands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Left,
    /// The scalar is on the left: the vector's value is the right one.
    Right,
}

impl Operator {
    pub(crate) fn new(op: BinaryOp, return_bool: bool, pos: Pos) -> Self {
        Self { op, return_bool, pos, float: float_op(op) }
    }

    /// Puts `lhs op rhs` into `out` at `step`. Whether there is a result.
    pub(crate) fn apply(
        &self,
        (lhs, rhs): (Cell<'_>, Cell<'_>),
        keep: Keep,
        out: &mut Row,
        step: usize,
        state: &mut State,
    ) -> bool {
        match self.outcome(lhs, rhs, keep, state) {
            Outcome::Nothing => return false,
            Outcome::Float(v) => out.set_float(step, v),
            Outcome::Histogram(h) => out.set_histogram(step, h),
        }
        true
    }

    /// `row op value` or `value op row` at every step, in place.
    pub(crate) fn apply_scalar(
        &self,
        row: &mut Row,
        scalar: impl Fn(usize) -> f64,
        scalar_left: bool,
        state: &mut State,
    ) {
        let keep = if scalar_left { Keep::Right } else { Keep::Left };
        if row.is_float() && !self.op.is_trim() {
            self.apply_floats(row, scalar, scalar_left);
            return;
        }
        for step in 0..row.steps() {
            let outcome = match (row.cell(step), Cell::Float(scalar(step))) {
                (Cell::Absent, _) => continue,
                (v, s) if scalar_left => self.outcome(s, v, keep, state),
                (v, s) => self.outcome(v, s, keep, state),
            };
            row.clear(step);
            match outcome {
                Outcome::Nothing => {}
                Outcome::Float(v) => row.set_float(step, v),
                Outcome::Histogram(h) => row.set_histogram(step, h),
            }
        }
    }

    fn apply_floats(&self, row: &mut Row, scalar: impl Fn(usize) -> f64, scalar_left: bool) {
        let filter = self.op.is_comparison() && !self.return_bool;
        for step in 0..row.steps() {
            let (v, s) = (row.floats[step], scalar(step));
            let result = if scalar_left { (self.float)(s, v) } else { (self.float)(v, s) };
            if !filter {
                row.floats[step] = result;
            } else if result == 0.0 {
                row.present.clear(step);
            }
        }
    }

    fn outcome(&self, lhs: Cell<'_>, rhs: Cell<'_>, keep: Keep, state: &mut State) -> Outcome {
        match (lhs, rhs) {
            (Cell::Absent, _) | (_, Cell::Absent) => Outcome::Nothing,
            (Cell::Float(a), Cell::Float(b)) if !self.op.is_trim() => {
                let result = (self.float)(a, b);
                if !self.op.is_comparison() || self.return_bool {
                    Outcome::Float(result)
                } else if result == 0.0 {
                    Outcome::Nothing
                } else {
                    Outcome::Float(if keep == Keep::Left { a } else { b })
                }
            }
            (Cell::Histogram(a), Cell::Histogram(b)) => self.histograms(a, b, state),
            (Cell::Histogram(h), Cell::Float(v)) => match self.op {
                BinaryOp::Mul => Outcome::Histogram(Arc::new(arithmetic::product(h, v))),
                BinaryOp::Div => Outcome::Histogram(Arc::new(arithmetic::quotient(h, v))),
                BinaryOp::TrimUpper => {
                    Outcome::Histogram(Arc::new(trim::trim(h, v, trim::Keep::Below)))
                }
                BinaryOp::TrimLower => {
                    Outcome::Histogram(Arc::new(trim::trim(h, v, trim::Keep::Above)))
                }
                _ => self.incompatible("histogram", "float", state),
            },
            (Cell::Float(v), Cell::Histogram(h)) => match self.op {
                BinaryOp::Mul => Outcome::Histogram(Arc::new(arithmetic::product(h, v))),
                _ => self.incompatible("float", "histogram", state),
            },
            (Cell::Float(_), Cell::Float(_)) => self.incompatible("float", "float", state),
        }
    }

    fn incompatible(&self, lhs: &str, rhs: &str, state: &mut State) -> Outcome {
        state.annotations.info(
            format!(
                "incompatible sample types encountered for binary operator \"{}\": {lhs} {} {rhs}",
                self.op.as_str(),
                self.op.as_str()
            ),
            self.pos,
        );
        Outcome::Nothing
    }

    fn histograms(
        &self,
        a: &Arc<FloatHistogram>,
        b: &Arc<FloatHistogram>,
        state: &mut State,
    ) -> Outcome {
        let equal = || compare::equals(a, b);
        match self.op {
            BinaryOp::Eql | BinaryOp::Neq => {
                let holds = equal() == (self.op == BinaryOp::Eql);
                match (self.return_bool, holds) {
                    (true, _) => Outcome::Float(if holds { 1.0 } else { 0.0 }),
                    (false, true) => Outcome::Histogram(Arc::clone(a)),
                    (false, false) => Outcome::Nothing,
                }
            }
            BinaryOp::Add | BinaryOp::Sub => self.sum(a, b, state),
            _ => self.incompatible("histogram", "histogram", state),
        }
    }

    fn sum(&self, a: &FloatHistogram, b: &FloatHistogram, state: &mut State) -> Outcome {
        let subtract = self.op == BinaryOp::Sub;
        let operation = if subtract { Operation::Subtraction } else { Operation::Addition };
        let result = if subtract { arithmetic::difference(a, b) } else { arithmetic::sum(a, b) };
        match result {
            Err(IncompatibleSchemas) => {
                let op = self.op.as_str();
                let text =
                    format!("incompatible bucket layout encountered for binary operator {op}");
                state.annotations.warn(text, self.pos);
                Outcome::Nothing
            }
            Ok((mut h, outcome)) => {
                state.annotations.histogram_outcome(outcome, operation, self.pos);
                if subtract {
                    h.hint = CounterResetHint::Gauge;
                }
                Outcome::Histogram(Arc::new(h))
            }
        }
    }
}
