//! Durations in brackets and after `offset`: literals, and expressions over them.

use super::{Parser, Place};
use crate::ast::{BinaryOp, DurationExpr, DurationExprKind, DurationOp, DurationSpec, Pos};
use crate::error::ParseError;
use crate::lexer::{Kind, Token, Word};

const OFFSET: Place = Place { context: "offset", expected: "number, duration, step(), or range()" };

/// Seconds that no count of nanoseconds in an i64 reaches.
const MAX_SECONDS: f64 = 9_223_372_036.854_775;

/// An operand and the depth of its tree, which must stay small because it is made of boxes.
struct Operand {
    expr: DurationExpr,
    depth: usize,
}

/// What waits for its right side.
enum Frame {
    Unary(bool, Pos),
    Binary(DurationOp, Pos, Operand),
    Paren(Pos),
    /// `min_of(` or `max_of(`.
    First(DurationOp, Pos),
    /// `min_of(a,` or `max_of(a,`.
    Second(DurationOp, Pos, Operand),
}

impl Parser<'_> {
    /// A number or duration as a float, and whether it is a duration; `None` for another token,
    /// which stays.
    pub(super) fn number(&mut self) -> Result<Option<(f64, bool)>, ParseError> {
        let token = self.peek()?;
        let text = self.text_of(token);
        match token.kind {
            Kind::Number => {
                self.next()?;
                let value = super::parse_number(text).map_err(|error| {
                    self.error(token.pos, format!("error parsing number: {error}"))
                })?;
                Ok(Some((value, false)))
            }
            Kind::Duration => {
                self.next()?;
                let ms = super::parse_duration(text)
                    .map_err(|error| self.error(token.pos, error.to_string()))?;
                Ok(Some((seconds(ms), true)))
            }
            _ => Ok(None),
        }
    }

    /// A sign: whether it is a minus, and its token.
    pub(super) fn sign(&mut self) -> Result<Option<(bool, Token)>, ParseError> {
        let token = self.peek()?;
        match token.kind {
            Kind::Op(BinaryOp::Sub | BinaryOp::Add) => {
                self.next()?;
                Ok(Some((token.kind == Kind::Op(BinaryOp::Sub), token)))
            }
            _ => Ok(None),
        }
    }

    /// A duration in brackets, which a literal must make positive.
    pub(super) fn positive_duration(&mut self, place: Place) -> Result<DurationSpec, ParseError> {
        let expr = self.duration(Vec::new(), place)?;
        if let DurationExprKind::Number { value, .. } = expr.kind
            && value <= 0.0
        {
            return Err(self.error(expr.pos, "duration must be greater than 0"));
        }
        self.spec(expr)
    }

    /// The duration of an `offset`. Unlike in brackets, arithmetic goes on only after a
    /// parenthesis without a sign: `foo offset 5m * 2` is a product of vectors.
    pub(super) fn offset_duration(&mut self) -> Result<DurationSpec, ParseError> {
        let sign = self.sign()?;
        let token = self.peek()?;
        let is_operand = matches!(token.kind, Kind::Number | Kind::Duration | Kind::Word(_));
        let expr = match (sign, token.kind) {
            (None, Kind::LeftParen) => self.duration(Vec::new(), OFFSET)?,
            (Some((negative, sign)), Kind::LeftParen) => {
                // The plus stays: without it arithmetic would go on behind the parenthesis.
                let Operand { expr, depth } = self.parenthesis(OFFSET)?;
                let pos = Pos { start: sign.pos.start, end: expr.pos.end };
                let kind = DurationExprKind::Unary { negative, expr: Box::new(expr) };
                self.deeper(kind, pos, depth)?.expr
            }
            (Some((negative, sign)), Kind::Op(BinaryOp::Add | BinaryOp::Sub)) => {
                self.duration(vec![Frame::Unary(negative, sign.pos)], OFFSET)?
            }
            (None, _) if is_operand => self.duration_operand(OFFSET)?.expr,
            (Some((negative, sign)), Kind::Number | Kind::Duration) => {
                let literal = self.number()?;
                let (value, duration) = literal.expect("the token is a literal");
                self.check_range(value, sign.pos)?;
                let kind = DurationExprKind::Number { value, duration };
                let operand = Operand { expr: DurationExpr { kind, pos: token.pos }, depth: 1 };
                self.signed(negative, sign.pos, operand)?.expr
            }
            (Some((negative, sign)), _) if is_operand => {
                let operand = self.duration_operand(OFFSET)?;
                self.signed(negative, sign.pos, operand)?.expr
            }
            _ => return Err(self.unexpected_in(token, OFFSET)),
        };
        self.spec(expr)
    }

    /// A literal, `step()`, `range()`, `min_of(...)` or `max_of(...)`.
    fn duration_operand(&mut self, place: Place) -> Result<Operand, ParseError> {
        let token = self.peek()?;
        if let Kind::Word(Word::MinOf | Word::MaxOf) = token.kind {
            return self.parenthesis(place);
        }
        self.simple_operand(place)?.ok_or_else(|| self.unexpected_in(token, place))
    }

    /// A literal, `step()` or `range()`; `None` for another token, which stays.
    fn simple_operand(&mut self, place: Place) -> Result<Option<Operand>, ParseError> {
        let token = self.peek()?;
        let mut pos = token.pos;
        let kind = match token.kind {
            Kind::Word(word @ (Word::Step | Word::Range)) => {
                self.next()?;
                self.expect(Kind::LeftParen, place)?;
                pos.end = self.expect(Kind::RightParen, place)?.pos.end;
                if word == Word::Step { DurationExprKind::Step } else { DurationExprKind::Range }
            }
            _ => match self.number()? {
                Some((value, duration)) => {
                    self.check_range(value, pos)?;
                    DurationExprKind::Number { value, duration }
                }
                None => return Ok(None),
            },
        };
        Ok(Some(Operand { expr: DurationExpr { kind, pos }, depth: 1 }))
    }

    /// `(...)`, `min_of(...)` or `max_of(...)` as a whole, without what may follow it.
    fn parenthesis(&mut self, place: Place) -> Result<Operand, ParseError> {
        self.climb(Vec::new(), place, true)
    }

    /// A whole duration expression, with what was taken of it in `frames`.
    fn duration(&mut self, frames: Vec<Frame>, place: Place) -> Result<DurationExpr, ParseError> {
        Ok(self.climb(frames, place, false)?.expr)
    }

    /// Operators, signs and parentheses wait in `frames` for what is right of them. With
    /// `only_first` it ends when the first parenthesis is closed.
    fn climb(
        &mut self,
        mut frames: Vec<Frame>,
        place: Place,
        only_first: bool,
    ) -> Result<Operand, ParseError> {
        loop {
            let token = self.peek()?;
            if frames.len() > self.options.limits.nesting {
                return Err(self.too_deep(token.pos));
            }
            let mut operand = match token.kind {
                Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                    self.next()?;
                    frames.push(Frame::Unary(op == BinaryOp::Sub, token.pos));
                    continue;
                }
                Kind::LeftParen => {
                    self.next()?;
                    frames.push(Frame::Paren(token.pos));
                    continue;
                }
                Kind::Word(word @ (Word::MinOf | Word::MaxOf)) => {
                    self.next()?;
                    self.expect(Kind::LeftParen, place)?;
                    let op =
                        if word == Word::MinOf { DurationOp::MinOf } else { DurationOp::MaxOf };
                    frames.push(Frame::First(op, token.pos));
                    continue;
                }
                _ => match self.simple_operand(place)? {
                    Some(operand) => operand,
                    None => return Err(self.unexpected_in(token, place)),
                },
            };
            // The operand is complete: an operator, a comma or the end of what is open follows.
            loop {
                let token = self.peek()?;
                let op = arithmetic(token.kind);
                operand = self.reduce_duration(&mut frames, operand, op.map_or(0, precedence))?;
                if let Some(op) = op {
                    self.next()?;
                    frames.push(Frame::Binary(op, token.pos, operand));
                    break;
                }
                match (frames.pop(), token.kind) {
                    (None, _) => return Ok(operand),
                    (Some(Frame::Paren(open)), Kind::RightParen) => {
                        let pos = Pos { start: open.start, end: self.next()?.pos.end };
                        operand = self.wrapped(operand, pos)?;
                    }
                    (Some(Frame::First(op, open)), Kind::Comma) => {
                        self.next()?;
                        frames.push(Frame::Second(op, open, operand));
                        break;
                    }
                    (Some(Frame::Second(op, open, first)), Kind::RightParen) => {
                        let pos = Pos { start: open.start, end: self.next()?.pos.end };
                        operand = self.combined(op, first, operand, pos)?;
                    }
                    _ => return Err(self.unexpected_in(token, place)),
                }
                if only_first && frames.is_empty() {
                    return Ok(operand);
                }
            }
        }
    }

    /// Closes the operators that bind at least as tightly as one of `precedence` that follows.
    fn reduce_duration(
        &self,
        frames: &mut Vec<Frame>,
        mut operand: Operand,
        follows: u8,
    ) -> Result<Operand, ParseError> {
        loop {
            let closes = match frames.last() {
                Some(Frame::Unary(..)) => follows <= precedence(DurationOp::Mul),
                Some(Frame::Binary(DurationOp::Pow, ..)) => follows < precedence(DurationOp::Pow),
                Some(Frame::Binary(op, ..)) => follows <= precedence(*op),
                _ => false,
            };
            operand = match frames.pop_if(|_| closes) {
                Some(Frame::Unary(negative, sign)) => self.signed(negative, sign, operand)?,
                Some(Frame::Binary(op, at, lhs)) => {
                    if let DurationExprKind::Number { value: 0.0, .. } = operand.expr.kind {
                        match op {
                            DurationOp::Div => return Err(self.error(at, "division by zero")),
                            DurationOp::Mod => return Err(self.error(at, "modulo by zero")),
                            _ => {}
                        }
                    }
                    let pos = Pos { start: lhs.expr.pos.start, end: operand.expr.pos.end };
                    self.combined(op, lhs, operand, pos)?
                }
                _ => return Ok(operand),
            };
        }
    }

    fn combined(
        &self,
        op: DurationOp,
        lhs: Operand,
        rhs: Operand,
        pos: Pos,
    ) -> Result<Operand, ParseError> {
        let depth = lhs.depth.max(rhs.depth);
        let (lhs, rhs) = (Box::new(lhs.expr), Box::new(rhs.expr));
        self.deeper(DurationExprKind::Binary { op, lhs, rhs }, pos, depth)
    }

    /// A sign before `operand`: a literal takes it in, a plus before anything else is dropped.
    fn signed(
        &self,
        negative: bool,
        sign: Pos,
        mut operand: Operand,
    ) -> Result<Operand, ParseError> {
        if let DurationExprKind::Number { value, .. } = &mut operand.expr.kind {
            *value = if negative { -*value } else { *value };
            operand.expr.pos.start = sign.start;
            return Ok(operand);
        }
        if !negative {
            return Ok(operand);
        }
        let pos = Pos { start: sign.start, end: operand.expr.pos.end };
        let kind = DurationExprKind::Unary { negative, expr: Box::new(operand.expr) };
        self.deeper(kind, pos, operand.depth)
    }

    /// Parentheses around `operand`; a second pair says nothing more.
    fn wrapped(&self, mut operand: Operand, pos: Pos) -> Result<Operand, ParseError> {
        if let DurationExprKind::Paren(_) = operand.expr.kind {
            operand.expr.pos = pos;
            return Ok(operand);
        }
        self.deeper(DurationExprKind::Paren(Box::new(operand.expr)), pos, operand.depth)
    }

    fn deeper(
        &self,
        kind: DurationExprKind,
        pos: Pos,
        depth: usize,
    ) -> Result<Operand, ParseError> {
        if depth >= self.options.limits.nesting {
            return Err(self.too_deep(pos));
        }
        Ok(Operand { expr: DurationExpr { kind, pos }, depth: depth + 1 })
    }

    fn check_range(&self, value: f64, pos: Pos) -> Result<(), ParseError> {
        if value.abs() <= MAX_SECONDS {
            return Ok(());
        }
        Err(self.error(pos, "duration out of range"))
    }

    fn spec(&self, expr: DurationExpr) -> Result<DurationSpec, ParseError> {
        let DurationExprKind::Number { value, .. } = expr.kind else {
            return Ok(DurationSpec::Expr(Box::new(expr)));
        };
        self.check_range(value, expr.pos)?;
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
        let ns = (value * 1e9).round() as i64;
        Ok(DurationSpec::Ms(ns / 1_000_000))
    }
}

/// Milliseconds as seconds, the way Go divides them: the whole part and the rest by themselves.
fn seconds(ms: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "as Prometheus converts it")]
    let (whole, rest) = ((ms / 1000) as f64, (ms % 1000 * 1_000_000) as f64);
    whole + rest / 1e9
}

fn arithmetic(kind: Kind) -> Option<DurationOp> {
    Some(match kind {
        Kind::Op(BinaryOp::Add) => DurationOp::Add,
        Kind::Op(BinaryOp::Sub) => DurationOp::Sub,
        Kind::Op(BinaryOp::Mul) => DurationOp::Mul,
        Kind::Op(BinaryOp::Div) => DurationOp::Div,
        Kind::Op(BinaryOp::Mod) => DurationOp::Mod,
        Kind::Op(BinaryOp::Pow) => DurationOp::Pow,
        _ => return None,
    })
}

/// How tightly an operator binds; 0 is for what is no operator.
fn precedence(op: DurationOp) -> u8 {
    match op {
        DurationOp::Add | DurationOp::Sub => 1,
        DurationOp::Mul | DurationOp::Div | DurationOp::Mod => 2,
        DurationOp::Pow => 3,
        DurationOp::MinOf | DurationOp::MaxOf => 0,
    }
}
