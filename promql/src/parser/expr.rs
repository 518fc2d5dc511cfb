//! Expressions: operands, and the stack of what waits for them.

use super::grouping::Modifiers;
use super::{Parser, Place};
use crate::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Cardinality, Expr, NodeId, Pos, Subquery,
};
use crate::error::ParseError;
use crate::functions;
use crate::lexer::{Keyword, Kind, Token, unquote};

const RANGE: Place = Place {
    context: "subquery or range selector",
    expected: "number, duration, step(), or range()",
};
const AFTER_RANGE: Place = Place { context: "subquery or range", expected: r#"":" or "]""# };
const STEP: Place = Place {
    context: "subquery selector",
    expected: r#"number, duration, step(), range(), or "]""#,
};
const AFTER_STEP: Place = Place { context: "subquery selector", expected: r#""]""# };

/// What waits for an operand.
enum Frame {
    /// `(`
    Paren(Token),
    /// `name(`, with the arguments so far.
    Call(Token, Vec<NodeId>),
    /// `sum by (a) (`, with the arguments so far.
    Aggregate(Box<OpenAggregate>),
    /// A sign.
    Unary { negative: bool, start: u32 },
    /// An operator with its left operand; whether it is a power of a power and so nests.
    Binary { op: BinaryOp, lhs: NodeId, modifiers: Box<Modifiers>, nested: bool },
}

struct OpenAggregate {
    token: Token,
    op: AggregateOp,
    grouping: Option<(Vec<String>, bool)>,
    args: Vec<NodeId>,
}

/// The frames, how many of them nest and how many are aggregations.
#[derive(Default)]
struct Stack {
    frames: Vec<Frame>,
    depth: usize,
    aggregates: usize,
}

impl Frame {
    fn nests(&self) -> bool {
        !matches!(self, Self::Binary { nested: false, .. })
    }

    fn is_aggregate(&self) -> bool {
        matches!(self, Self::Aggregate(_))
    }

    /// How tightly the frame holds the operand to its right; 0 is not at all.
    fn precedence(&self) -> u8 {
        match self {
            Self::Unary { .. } => precedence(BinaryOp::Mul),
            Self::Binary { op, .. } => precedence(*op),
            _ => 0,
        }
    }
}

impl Stack {
    fn push(&mut self, frame: Frame) {
        self.depth += usize::from(frame.nests());
        self.aggregates += usize::from(frame.is_aggregate());
        self.frames.push(frame);
    }

    fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop()?;
        self.depth -= usize::from(frame.nests());
        self.aggregates -= usize::from(frame.is_aggregate());
        Some(frame)
    }

    /// Where an unexpected token stands: inside an aggregation or nowhere in particular.
    fn place(&self) -> Place {
        Place { context: if self.aggregates > 0 { "aggregation" } else { "" }, expected: "" }
    }
}

impl Parser<'_> {
    /// The whole text as one expression.
    pub(super) fn query(&mut self) -> Result<NodeId, ParseError> {
        if self.peek()?.kind == Kind::Eof {
            return Err(self.error(Pos::default(), "no expression found in input"));
        }
        let mut stack = Stack::default();
        loop {
            let Some(operand) = self.operand(&mut stack)? else { continue };
            if let Some(root) = self.after_operand(&mut stack, operand)? {
                return Ok(root);
            }
        }
    }

    /// Reads up to the next complete operand; `None` where something was opened instead.
    fn operand(&mut self, stack: &mut Stack) -> Result<Option<NodeId>, ParseError> {
        let token = self.peek()?;
        match token.kind {
            Kind::Number | Kind::Duration => {
                let Some((value, duration)) = self.number()? else { return Ok(None) };
                self.push(Expr::Number { value, duration }, token.pos).map(Some)
            }
            Kind::String => {
                self.next()?;
                let text = unquote(self.text_of(token));
                self.push(Expr::String(text), token.pos).map(Some)
            }
            Kind::LeftBrace => {
                self.next()?;
                let (selector, pos) = self.selector_in_braces(None, token)?;
                self.push(Expr::Vector(Box::new(selector)), pos).map(Some)
            }
            Kind::LeftParen => {
                self.next()?;
                self.open(stack, Frame::Paren(token), token).map(|()| None)
            }
            Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.next()?;
                let (negative, start) = (op == BinaryOp::Sub, token.pos.start);
                self.open(stack, Frame::Unary { negative, start }, token).map(|()| None)
            }
            kind if kind.is_metric_name() => {
                self.next()?;
                self.name(stack, token)
            }
            _ => Err(self.unexpected_in(token, stack.place())),
        }
    }

    /// A name that was taken: what follows decides what it is.
    fn name(&mut self, stack: &mut Stack, token: Token) -> Result<Option<NodeId>, ParseError> {
        use Keyword::{By, Without};
        let next = self.peek()?.kind;
        match (token.kind, next) {
            (Kind::Aggregate(op), Kind::LeftParen | Kind::Keyword(By | Without)) => {
                let grouping = self.aggregate_modifier()?;
                let open = OpenAggregate { token, op, grouping, args: Vec::new() };
                self.open(stack, Frame::Aggregate(Box::new(open)), token)?;
                self.expect(Kind::LeftParen, stack.place())?;
                self.close_empty(stack)
            }
            (Kind::Identifier | Kind::Word(_), Kind::LeftParen) => {
                self.next()?;
                self.open(stack, Frame::Call(token, Vec::new()), token)?;
                self.close_empty(stack)
            }
            _ => {
                let (selector, pos) = self.selector(token)?;
                self.push(Expr::Vector(Box::new(selector)), pos).map(Some)
            }
        }
    }

    /// `()` right after a call was opened.
    fn close_empty(&mut self, stack: &mut Stack) -> Result<Option<NodeId>, ParseError> {
        if self.accept(Kind::RightParen)?.is_none() {
            return Ok(None);
        }
        match stack.pop() {
            Some(Frame::Call(token, args)) => self.call(token, args).map(Some),
            Some(Frame::Aggregate(open)) => self.aggregate(*open).map(Some),
            _ => Ok(None),
        }
    }

    /// Goes on from a complete operand until another one must be read; or to the end, and then
    /// gives the root.
    fn after_operand(
        &mut self,
        stack: &mut Stack,
        mut operand: NodeId,
    ) -> Result<Option<NodeId>, ParseError> {
        loop {
            self.postfix(operand).map(|id| operand = id)?;
            let token = self.peek()?;
            if let Kind::Op(op) = token.kind {
                operand = self.reduce(stack, operand, Some(op))?;
                self.next()?;
                let modifiers = Box::new(self.modifiers(stack.place())?);
                let nested = op == BinaryOp::Pow
                    && matches!(stack.frames.last(), Some(Frame::Binary { op, .. }) if *op == BinaryOp::Pow);
                let frame = Frame::Binary { op, lhs: operand, modifiers, nested };
                self.open(stack, frame, token)?;
                return Ok(None);
            }
            operand = self.reduce(stack, operand, None)?;
            operand = match (stack.pop(), token.kind) {
                (None, Kind::Eof) => return Ok(Some(operand)),
                (Some(Frame::Paren(open)), Kind::RightParen) => {
                    let pos = Pos { start: open.pos.start, end: self.next()?.pos.end };
                    self.push(Expr::Paren(operand), pos)?
                }
                (Some(Frame::Call(name, mut args)), Kind::RightParen) => {
                    self.next()?;
                    args.push(operand);
                    self.call(name, args)?
                }
                (Some(Frame::Aggregate(mut open)), Kind::RightParen) => {
                    self.next()?;
                    open.args.push(operand);
                    self.aggregate(*open)?
                }
                (Some(Frame::Call(name, mut args)), Kind::Comma) => {
                    args.push(operand);
                    return self.comma(stack, Frame::Call(name, args)).map(|()| None);
                }
                (Some(Frame::Aggregate(mut open)), Kind::Comma) => {
                    open.args.push(operand);
                    return self.comma(stack, Frame::Aggregate(open)).map(|()| None);
                }
                (frame, _) => {
                    if let Some(frame) = frame {
                        stack.push(frame);
                    }
                    return Err(self.unexpected_in(token, stack.place()));
                }
            };
        }
    }

    /// A comma between arguments. Without another argument it is a trailing one, whatever
    /// follows.
    fn comma(&mut self, stack: &mut Stack, frame: Frame) -> Result<(), ParseError> {
        let comma = self.next()?;
        self.open(stack, frame, comma)?;
        if !self.peek()?.kind.starts_operand() {
            let message = "trailing commas not allowed in function call args";
            return Err(self.error(comma.pos, message));
        }
        Ok(())
    }

    fn open(&mut self, stack: &mut Stack, frame: Frame, token: Token) -> Result<(), ParseError> {
        stack.push(frame);
        if stack.depth > self.options.limits.nesting {
            return Err(self.too_deep(token.pos));
        }
        Ok(())
    }

    /// Completes the operators on the stack that bind `operand` at least as tightly as `follows`.
    fn reduce(
        &mut self,
        stack: &mut Stack,
        mut operand: NodeId,
        follows: Option<BinaryOp>,
    ) -> Result<NodeId, ParseError> {
        // A power binds to the right, so a power that follows one goes first.
        let tight = follows.map_or(1, |op| precedence(op) + u8::from(op == BinaryOp::Pow));
        while stack.frames.last().is_some_and(|frame| frame.precedence() >= tight) {
            operand = match stack.pop() {
                Some(Frame::Unary { negative, start }) => self.unary(negative, start, operand)?,
                Some(Frame::Binary { op, lhs, modifiers, .. }) => {
                    self.binary(op, lhs, *modifiers, operand)?
                }
                _ => operand,
            };
        }
        Ok(operand)
    }

    /// A sign before `operand`, which a literal takes in.
    fn unary(&mut self, negative: bool, start: u32, operand: NodeId) -> Result<NodeId, ParseError> {
        let node = self.ast.node_mut(operand);
        if let Expr::Number { value, .. } = &mut node.expr {
            *value = if negative { -*value } else { *value };
            node.pos.start = start;
            return Ok(operand);
        }
        let pos = Pos { start, end: node.pos.end };
        self.push(Expr::Unary { negative, expr: operand }, pos)
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        lhs: NodeId,
        modifiers: Modifiers,
        rhs: NodeId,
    ) -> Result<NodeId, ParseError> {
        let Modifiers { return_bool, mut matching } = modifiers;
        let pos = Pos { start: self.ast.pos(lhs).start, end: self.ast.pos(rhs).end };
        let is_filled = matching.fill_left.is_some() || matching.fill_right.is_some();
        if is_filled && !self.options.binop_fill_modifiers {
            return Err(self.error(pos, "binop fill modifiers are experimental and not enabled"));
        }
        if op.is_set() && matching.card == Cardinality::OneToOne {
            matching.card = Cardinality::ManyToMany;
        }
        let binary = Binary { op, lhs, rhs, return_bool, matching };
        self.push(Expr::Binary(Box::new(binary)), pos)
    }

    /// A call whose closing parenthesis was taken.
    fn call(&mut self, name: Token, args: Vec<NodeId>) -> Result<NodeId, ParseError> {
        let text = self.text_of(name);
        let quoted = model::go_quote(text);
        let Some(function) = functions::find(text) else {
            return Err(self.error(name.pos, format!("unknown function with name {quoted}")));
        };
        if function.experimental && !self.options.experimental_functions {
            return Err(self.error(name.pos, format!("function {quoted} is not enabled")));
        }
        let pos = Pos { start: name.pos.start, end: self.last_closing };
        self.push(Expr::Call { function, args }, pos)
    }

    /// `by (...)` or `without (...)`, if it is there; whether it is `without`.
    fn aggregate_modifier(&mut self) -> Result<Option<(Vec<String>, bool)>, ParseError> {
        let without = match self.peek()?.kind {
            Kind::Keyword(Keyword::By) => false,
            Kind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.next()?;
        Ok(Some((self.grouping()?, without)))
    }

    /// An aggregation whose closing parenthesis was taken; its modifier may follow.
    fn aggregate(&mut self, open: OpenAggregate) -> Result<NodeId, ParseError> {
        let OpenAggregate { token, op, grouping, args } = open;
        let grouping = match grouping {
            None => self.aggregate_modifier()?,
            given => given,
        };
        let (grouping, without) = grouping.unwrap_or_default();
        let pos = Pos { start: token.pos.start, end: self.last_closing };
        if args.is_empty() {
            return Err(self.error(pos, "no arguments for aggregate expression provided"));
        }
        if op.experimental() && !self.options.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with \
                 --enable-feature=promql-experimental-functions",
                op.as_str()
            );
            return Err(self.error(pos, message));
        }
        let (param, expr) = match (op.param(), args.as_slice()) {
            (None, [expr]) => (None, *expr),
            (Some(_), [param, expr]) => (Some(*param), *expr),
            (param, args) => {
                let message = format!(
                    "wrong number of arguments for aggregate expression provided, expected {}, \
                     got {}",
                    1 + usize::from(param.is_some()),
                    args.len()
                );
                return Err(self.error(pos, message));
            }
        };
        let aggregate = Aggregate { op, expr, param, grouping, without };
        self.push(Expr::Aggregate(Box::new(aggregate)), pos)
    }

    /// Brackets, `offset`, `@`, `anchored` and `smoothed` after an operand: they bind tightest.
    fn postfix(&mut self, mut operand: NodeId) -> Result<NodeId, ParseError> {
        loop {
            let token = self.peek()?;
            match token.kind {
                Kind::LeftBracket => operand = self.bracket(operand)?,
                Kind::Keyword(Keyword::Offset) => {
                    self.next()?;
                    let offset = self.offset_duration()?;
                    self.set_offset(operand, offset)?;
                }
                Kind::At => {
                    self.next()?;
                    self.at_modifier(operand)?;
                }
                Kind::Keyword(word @ (Keyword::Anchored | Keyword::Smoothed)) => {
                    self.next()?;
                    self.extend_range(operand, word == Keyword::Anchored)?;
                }
                _ => return Ok(operand),
            }
        }
    }

    /// `[5m]` or `[1h:5m]`.
    fn bracket(&mut self, operand: NodeId) -> Result<NodeId, ParseError> {
        let open = self.next()?;
        let range = self.positive_duration(RANGE)?;
        let start = self.ast.pos(operand).start;
        let token = self.peek()?;
        match token.kind {
            Kind::Colon => {
                self.next()?;
                let (step, close) = if let Some(close) = self.accept(Kind::RightBracket)? {
                    (None, close)
                } else {
                    let step = self.positive_duration(STEP)?;
                    (Some(step), self.expect(Kind::RightBracket, AFTER_STEP)?)
                };
                let offset = crate::ast::DurationSpec::default();
                let subquery = Subquery { expr: operand, range, step, offset, at: None };
                let pos = Pos { start, end: close.pos.end };
                self.push(Expr::Subquery(Box::new(subquery)), pos)
            }
            Kind::RightBracket => {
                let close = self.next()?;
                let pos = Pos { start: open.pos.start, end: close.pos.end };
                if let Some(message) = self.why_no_range(operand) {
                    return Err(self.error(pos, message));
                }
                let pos = Pos { start, end: close.pos.end };
                self.push(Expr::Matrix { selector: operand, range }, pos)
            }
            _ => Err(self.unexpected_in(token, AFTER_RANGE)),
        }
    }

    /// What speaks against a range after `operand`. Like Prometheus it sees neither an offset
    /// that is an expression nor `@ start()`.
    fn why_no_range(&self, operand: NodeId) -> Option<&'static str> {
        use crate::ast::{At, DurationSpec};
        let Expr::Vector(selector) = self.ast.expr(operand) else {
            return Some("ranges only allowed for vector selectors");
        };
        match (&selector.offset, selector.at) {
            (DurationSpec::Ms(ms), _) if *ms != 0 => {
                Some("no offset modifiers allowed before range")
            }
            (_, Some(At::Time(_))) => Some("no @ modifiers allowed before range"),
            _ => None,
        }
    }
}

/// How tightly an operator binds.
fn precedence(op: BinaryOp) -> u8 {
    use BinaryOp::{Add, And, Atan2, Div, Mod, Mul, Or, Pow, Sub, Unless};
    match op {
        Or => 1,
        And | Unless => 2,
        Add | Sub => 4,
        Mul | Div | Mod | Atan2 => 5,
        Pow => 6,
        _ => 3,
    }
}
