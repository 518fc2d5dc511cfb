//! One binary operation on two values (contract 3.9, 3.13).

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use super::{Cell, Row, State};
use crate::annotations::{Annotations, Place};
use crate::ast::BinaryOp;
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
    pub(crate) place: Place,
    float: fn(f64, f64) -> f64,
}

/// What a pair of values gives.
pub(crate) enum Outcome {
    /// A side has no value.
    Absent,
    /// A comparison that does not hold.
    Filtered,
    Float(f64),
    Histogram(Arc<FloatHistogram>, Option<Note>),
    /// The operator is not defined for the pair.
    Refused(Note),
}

/// The kind of a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Float,
    Histogram,
}

/// What is to be said about a pair.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Note {
    /// The operator is not defined for values of these kinds.
    Kinds(Kind, Kind),
    /// Exponential and custom buckets.
    Layouts,
    /// What adding or subtracting two histograms had to say.
    Histograms(arithmetic::Outcome),
}

/// Which operand a filtering comparison hands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Left,
    /// The scalar is on the left: the vector's value is the right one.
    Right,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Histogram => "histogram",
        }
    }
}

impl Operator {
    pub(crate) fn new(op: BinaryOp, return_bool: bool, place: Place) -> Self {
        Self { op, return_bool, place, float: float_op(op) }
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
                (v, s) if scalar_left => self.outcome(s, v, keep),
                (v, s) => self.outcome(v, s, keep),
            };
            row.clear(step);
            match outcome {
                Outcome::Absent | Outcome::Filtered => {}
                Outcome::Float(v) => row.set_float(step, v),
                Outcome::Histogram(h, _) => row.set_histogram(step, h),
                Outcome::Refused(note) => self.tell(note, &mut state.annotations),
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

    /// `lhs op rhs`.
    pub(crate) fn outcome(&self, lhs: Cell<'_>, rhs: Cell<'_>, keep: Keep) -> Outcome {
        let histogram = |h| Outcome::Histogram(Arc::new(h), None);
        match (lhs, rhs) {
            (Cell::Absent, _) | (_, Cell::Absent) => Outcome::Absent,
            (Cell::Float(a), Cell::Float(b)) if !self.op.is_trim() => {
                let result = (self.float)(a, b);
                if !self.op.is_comparison() || self.return_bool {
                    Outcome::Float(result)
                } else if result == 0.0 {
                    Outcome::Filtered
                } else {
                    Outcome::Float(if keep == Keep::Left { a } else { b })
                }
            }
            (Cell::Histogram(a), Cell::Histogram(b)) => self.histograms(a, b),
            (Cell::Histogram(h), Cell::Float(v)) => match self.op {
                BinaryOp::Mul => histogram(arithmetic::product(h, v)),
                BinaryOp::Div => histogram(arithmetic::quotient(h, v)),
                BinaryOp::TrimUpper => histogram(trim::trim(h, v, trim::Keep::Below)),
                BinaryOp::TrimLower => histogram(trim::trim(h, v, trim::Keep::Above)),
                _ => Outcome::Refused(Note::Kinds(Kind::Histogram, Kind::Float)),
            },
            (Cell::Float(v), Cell::Histogram(h)) => match self.op {
                BinaryOp::Mul => histogram(arithmetic::product(h, v)),
                _ => Outcome::Refused(Note::Kinds(Kind::Float, Kind::Histogram)),
            },
            (Cell::Float(_), Cell::Float(_)) => {
                Outcome::Refused(Note::Kinds(Kind::Float, Kind::Float))
            }
        }
    }

    fn histograms(&self, a: &Arc<FloatHistogram>, b: &Arc<FloatHistogram>) -> Outcome {
        match self.op {
            BinaryOp::Eql | BinaryOp::Neq => {
                let holds = compare::equals(a, b) == (self.op == BinaryOp::Eql);
                match (self.return_bool, holds) {
                    (true, _) => Outcome::Float(if holds { 1.0 } else { 0.0 }),
                    (false, true) => Outcome::Histogram(Arc::clone(a), None),
                    (false, false) => Outcome::Filtered,
                }
            }
            BinaryOp::Add => sum(arithmetic::sum(a, b)),
            BinaryOp::Sub => sum(arithmetic::difference(a, b).map(|(mut h, said)| {
                h.hint = CounterResetHint::Gauge;
                (h, said)
            })),
            _ => Outcome::Refused(Note::Kinds(Kind::Histogram, Kind::Histogram)),
        }
    }

    /// Adds the annotation that `note` is.
    pub(crate) fn tell(&self, note: Note, annotations: &mut Annotations) {
        let op = self.op.as_str();
        match note {
            Note::Kinds(lhs, rhs) => annotations.info(
                format!(
                    "incompatible sample types encountered for binary operator \"{op}\": \
                     {} {op} {}",
                    lhs.as_str(),
                    rhs.as_str()
                ),
                self.place,
            ),
            Note::Layouts => annotations.warn(
                format!("incompatible bucket layout encountered for binary operator {op}"),
                self.place,
            ),
            Note::Histograms(said) => {
                let subtracted = self.op == BinaryOp::Sub;
                let operation =
                    if subtracted { Operation::Subtraction } else { Operation::Addition };
                annotations.histogram_outcome(said, operation, self.place);
            }
        }
    }
}

fn sum(result: Result<(FloatHistogram, arithmetic::Outcome), IncompatibleSchemas>) -> Outcome {
    match result {
        Err(IncompatibleSchemas) => Outcome::Refused(Note::Layouts),
        Ok((h, said)) => {
            let any = said.conflicting_resets || said.mismatched_bounds;
            Outcome::Histogram(Arc::new(h), any.then_some(Note::Histograms(said)))
        }
    }
}
