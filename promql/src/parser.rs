//! Text to tree: the grammar of PromQL, with the errors of Prometheus in the order in which
//! Prometheus finds them.
//!
//! Nothing here recurses. Operators, parentheses and calls wait on a stack of frames until their
//! operands are complete (`expr`), durations do the same on stacks of their own (`duration`), so
//! the depth of a text costs heap, not stack, and only up to limit L16. Each token is read once
//! and with one token of lookahead at most, so the time is linear in the text.

mod duration;
mod expr;
mod grouping;
mod literal;
mod selector;

use crate::ast::{Ast, Expr, NodeId, Pos};
use crate::check;
use crate::error::ParseError;
use crate::lexer::{Kind, Lexer, Token};
pub use literal::{DurationError, NumberError, format_duration, parse_duration, parse_number};
use model::Matcher;

/// What the language contains and how large a query may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParseOptions {
    /// The functions and aggregations that Prometheus calls experimental
    /// (`promql-experimental-functions`).
    pub experimental_functions: bool,
    /// `anchored` and `smoothed` (`promql-extended-range-selectors`).
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left`, `fill_right` (`promql-binop-fill-modifiers`).
    pub binop_fill_modifiers: bool,
    /// How large a query may be.
    pub limits: ParseLimits,
}

impl ParseOptions {
    /// Everything on, with the default limits.
    pub fn all() -> Self {
        Self {
            experimental_functions: true,
            extended_range_selectors: true,
            binop_fill_modifiers: true,
            limits: ParseLimits::default(),
        }
    }
}

/// Limit L16 of a query: checked while parsing, before memory is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseLimits {
    /// Bytes of text.
    pub text_bytes: usize,
    /// Parentheses, calls, aggregations, unary operators and powers of powers inside each other.
    /// A chain such as `a+a+...` is no nesting.
    pub nesting: usize,
    /// Nodes of the tree. A matcher counts as one; a regular expression as
    /// [`NODES_PER_REGEX`], because compiling it takes about as long and as much memory.
    pub nodes: usize,
}

/// What a regular expression counts towards [`ParseLimits::nodes`]: a query of 1 MiB could
/// otherwise compile a hundred thousand of them, which took 6 s and 700 MiB.
pub const NODES_PER_REGEX: usize = 100;

impl Default for ParseLimits {
    fn default() -> Self {
        Self { text_bytes: 1 << 20, nesting: 512, nodes: 200_000 }
    }
}

/// Parses and type-checks a query.
///
/// # Errors
/// The first [`ParseError`], equal to that of Prometheus; or that the text is over
/// [`ParseLimits`].
pub fn parse(text: &str, options: &ParseOptions) -> Result<Ast, ParseError> {
    let mut parser = Parser::new(text, options)?;
    let root = parser.query()?;
    let mut ast = parser.ast;
    debug_assert_eq!(root, ast.root(), "the root is the last node");
    check::check(&mut ast, text)?;
    Ok(ast)
}

/// Parses a series selector as `match[]` has it: a name, braces or both, and nothing else. The
/// matcher of a name before the braces comes last.
///
/// # Errors
/// [`ParseError`]. A selector that selects everything is none: the caller decides on it.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let options = ParseOptions::default();
    let mut parser = Parser::new(text, &options)?;
    let token = parser.next()?;
    let (selector, _) = match token.kind {
        Kind::LeftBrace => parser.selector_in_braces(None, token)?,
        kind if kind.is_metric_name() => parser.selector(token)?,
        _ => return Err(parser.unexpected(token, "", "")),
    };
    let after = parser.next()?;
    if after.kind != Kind::Eof {
        return Err(parser.unexpected(after, "", ""));
    }
    Ok(selector.matchers)
}

/// The state of one parse.
struct Parser<'a> {
    text: &'a str,
    options: &'a ParseOptions,
    lexer: Lexer<'a>,
    ahead: Option<Token>,
    /// End of the last number, duration or closing bracket taken: where Prometheus lets a
    /// modified selector or a call end.
    last_closing: u32,
    ast: Ast,
    /// Nodes used up.
    spent: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, options: &'a ParseOptions) -> Result<Self, ParseError> {
        let limit = options.limits.text_bytes.min(u32::MAX as usize - 1);
        if text.len() > limit {
            let message = format!("query is {} bytes, limit {limit}", text.len());
            return Err(ParseError::new(text, Pos::default(), message).over("query_text"));
        }
        let (ast, lexer) = (Ast::new(), Lexer::new(text));
        Ok(Self { text, options, lexer, ahead: None, last_closing: 0, ast, spent: 0 })
    }

    /// The next token, which stays.
    fn peek(&mut self) -> Result<Token, ParseError> {
        if let Some(token) = self.ahead {
            return Ok(token);
        }
        let token = self.lexer.next_token()?;
        self.ahead = Some(token);
        Ok(token)
    }

    /// The next token, taken.
    fn next(&mut self) -> Result<Token, ParseError> {
        let token = self.peek()?;
        self.ahead = None;
        if matches!(
            token.kind,
            Kind::RightBrace
                | Kind::RightParen
                | Kind::RightBracket
                | Kind::Number
                | Kind::Duration
        ) {
            self.last_closing = token.pos.end;
        }
        Ok(token)
    }

    /// Takes the next token if it is a `kind`.
    fn accept(&mut self, kind: Kind) -> Result<Option<Token>, ParseError> {
        if self.peek()?.kind == kind { self.next().map(Some) } else { Ok(None) }
    }

    /// Takes the next token, which must be a `kind`; else it is unexpected in `place`.
    fn expect(&mut self, kind: Kind, place: Place) -> Result<Token, ParseError> {
        let token = self.peek()?;
        if token.kind == kind { self.next() } else { Err(self.unexpected_in(token, place)) }
    }

    /// Adds a node, unless the tree is full.
    fn push(&mut self, expr: Expr, pos: Pos) -> Result<NodeId, ParseError> {
        self.spend(1, pos)?;
        Ok(self.ast.push(expr, pos))
    }

    /// Uses up nodes before something is made of them.
    fn spend(&mut self, nodes: usize, pos: Pos) -> Result<(), ParseError> {
        self.spent += nodes;
        let (spent, limit) = (self.spent, self.options.limits.nodes);
        if spent > limit {
            let message = format!("query has {spent} nodes or more, limit {limit}");
            return Err(self.error(pos, message).over("query_nodes"));
        }
        Ok(())
    }

    fn text_of(&self, token: Token) -> &'a str {
        token.text(self.text)
    }

    fn error(&self, pos: Pos, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, pos, message)
    }

    /// The error `unexpected <token> in <context>, expected <what>`.
    fn unexpected(&self, token: Token, context: &str, expected: &str) -> ParseError {
        let mut message = format!("unexpected {}", token.describe(self.text));
        for (word, what) in [(" in ", context), (", expected ", expected)] {
            if !what.is_empty() {
                message.push_str(word);
                message.push_str(what);
            }
        }
        self.error(token.pos, message)
    }

    fn unexpected_in(&self, token: Token, place: Place) -> ParseError {
        self.unexpected(token, place.context, place.expected)
    }

    /// The error of nesting deeper than the limit.
    fn too_deep(&self, pos: Pos) -> ParseError {
        let limit = self.options.limits.nesting;
        self.error(pos, format!("query is nested {} deep, limit {limit}", limit + 1))
            .over("query_nesting")
    }
}

/// What was being read when an unexpected token came, and what would have been right. Where the
/// grammar has no words for a spot, the nearest construct around it that has them speaks.
#[derive(Debug, Clone, Copy)]
struct Place {
    context: &'static str,
    expected: &'static str,
}

#[cfg(test)]
mod tests;
