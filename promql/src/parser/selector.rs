//! Vector selectors: `name{label="value"}`, and what may follow them: `@`, `offset`, `anchored`.

use super::{Parser, Place};
use crate::ast::{At, BinaryOp, DurationSpec, Expr, NodeId, Pos, VectorSelector};
use crate::error::ParseError;
use crate::lexer::{Kind, Token, Word, unquote};
use model::{MatchOp, Matcher, NAME_LABEL};

const MATCHER: Place = Place { context: "label matching", expected: r#"identifier or "}""# };
const OPERATOR: Place = Place { context: "label matching", expected: "label matching operator" };
const VALUE: Place = Place { context: "label matching", expected: "string" };
const NEXT: Place = Place { context: "label matching", expected: r#""," or "}""# };
const TIMESTAMP: Place = Place { context: "@", expected: "timestamp" };

impl Parser<'_> {
    /// A selector whose name, `name`, was taken.
    pub(super) fn selector(&mut self, name: Token) -> Result<(VectorSelector, Pos), ParseError> {
        if let Some(brace) = self.accept(Kind::LeftBrace)? {
            return self.selector_in_braces(Some(name), brace);
        }
        let text = self.text_of(name);
        let matchers = vec![Matcher::equal(NAME_LABEL, text)];
        let name_text = Some(text.to_owned());
        Ok((VectorSelector { name: name_text, matchers, ..Default::default() }, name.pos))
    }

    /// A selector whose name, if any, and opening brace were taken.
    pub(super) fn selector_in_braces(
        &mut self,
        name: Option<Token>,
        brace: Token,
    ) -> Result<(VectorSelector, Pos), ParseError> {
        let mut matchers = Vec::new();
        let close = loop {
            if let Some(close) = self.accept(Kind::RightBrace)? {
                break close;
            }
            matchers.push(self.matcher()?);
            let token = self.peek()?;
            match token.kind {
                Kind::Comma => {
                    self.next()?;
                }
                Kind::RightBrace => {}
                _ => return Err(self.unexpected_in(token, NEXT)),
            }
        };
        let start = name.unwrap_or(brace).pos.start;
        let name = name.map(|name| self.text_of(name).to_owned());
        matchers.extend(name.as_deref().map(|name| Matcher::equal(NAME_LABEL, name)));
        let selector = VectorSelector { name, matchers, ..Default::default() };
        Ok((selector, Pos { start, end: close.pos.end }))
    }

    /// `label="value"`, `"a label"=~"value"` or `"a metric name"`.
    fn matcher(&mut self) -> Result<Matcher, ParseError> {
        let token = self.peek()?;
        let is_quoted = token.kind == Kind::String;
        let label = match token.kind {
            Kind::Identifier => self.text_of(token).to_owned(),
            Kind::String => unquote(self.text_of(token)).into_string(),
            _ => return Err(self.unexpected_in(token, MATCHER)),
        };
        self.next()?;
        self.spend(1, token.pos)?;
        let operator = self.peek()?;
        let op = match operator.kind {
            Kind::Eql => MatchOp::Eq,
            Kind::Op(BinaryOp::Neq) => MatchOp::Ne,
            Kind::EqlRegex => MatchOp::Re,
            Kind::NeqRegex => MatchOp::Nre,
            _ if is_quoted => return Ok(Matcher::equal(NAME_LABEL, &label)),
            _ => return Err(self.unexpected_in(operator, OPERATOR)),
        };
        self.next()?;
        let value = self.expect(Kind::String, VALUE)?;
        let pos = Pos { start: token.pos.start, end: value.pos.end };
        let value = unquote(self.text_of(value)).into_string();
        if matches!(op, MatchOp::Re | MatchOp::Nre) {
            self.spend(super::NODES_PER_REGEX, pos)?;
        }
        Matcher::new(op, &label, &value).map_err(|error| {
            let refused = self.error(pos, error.to_string());
            if error.is_over_limit() { refused.over("regex") } else { refused }
        })
    }

    /// The `@` that was taken: `@ 1.5`, `@ start()`.
    pub(super) fn at_modifier(&mut self, target: NodeId) -> Result<(), ParseError> {
        let token = self.peek()?;
        if let Kind::Word(word @ (Word::Start | Word::End)) = token.kind {
            self.next()?;
            self.expect(Kind::LeftParen, TIMESTAMP)?;
            self.expect(Kind::RightParen, TIMESTAMP)?;
            return self.set_at(target, if word == Word::Start { At::Start } else { At::End });
        }
        let negative = self.sign()?.is_some_and(|(negative, _)| negative);
        let token = self.peek()?;
        let Some((seconds, _)) = self.number()? else {
            return Err(self.unexpected_in(token, TIMESTAMP));
        };
        let seconds = if negative { -seconds } else { seconds };
        // The bounds of an i64, as floats.
        let bound = 2_f64.powi(63);
        if seconds.is_nan() || seconds >= bound || seconds <= -bound {
            let shown = match seconds {
                s if s.is_nan() => "NaN".to_owned(),
                f64::INFINITY => "+Inf".to_owned(),
                f64::NEG_INFINITY => "-Inf".to_owned(),
                s => format!("{s:.6}"),
            };
            let message = format!("timestamp out of bounds for @ modifier: {shown}");
            return Err(self.error(self.ast.pos(target), message));
        }
        #[expect(clippy::cast_possible_truncation, reason = "saturates far outside of time")]
        let t_ms = (seconds * 1000.0).round() as i64;
        self.set_at(target, At::Time(t_ms))
    }

    fn set_at(&mut self, target: NodeId, new: At) -> Result<(), ParseError> {
        let selector = self.modified(target);
        let at = match &mut self.ast.node_mut(selector).expr {
            Expr::Vector(selector) => &mut selector.at,
            Expr::Subquery(subquery) => &mut subquery.at,
            _ => return Err(self.misplaced(target, "@ modifier")),
        };
        if at.is_some() {
            let message = "@ <timestamp> may not be set multiple times";
            return Err(self.error(self.ast.pos(target), message));
        }
        *at = Some(new);
        self.ast.node_mut(target).pos.end = self.last_closing;
        Ok(())
    }

    /// Sets the offset of a selector or subquery.
    pub(super) fn set_offset(
        &mut self,
        target: NodeId,
        new: DurationSpec,
    ) -> Result<(), ParseError> {
        let selector = self.modified(target);
        let offset = match &mut self.ast.node_mut(selector).expr {
            Expr::Vector(selector) => &mut selector.offset,
            Expr::Subquery(subquery) => &mut subquery.offset,
            _ => return Err(self.misplaced(target, "offset modifier")),
        };
        if !matches!(offset, DurationSpec::Ms(0)) {
            return Err(self.error(self.ast.pos(target), "offset may not be set multiple times"));
        }
        *offset = new;
        self.ast.node_mut(target).pos.end = self.last_closing;
        Ok(())
    }

    /// `anchored` (or `smoothed`) after `target`. The node does not grow by it.
    pub(super) fn extend_range(
        &mut self,
        target: NodeId,
        anchored: bool,
    ) -> Result<(), ParseError> {
        let word = if anchored { "anchored" } else { "smoothed" };
        let selector = self.modified(target);
        let message = match &mut self.ast.node_mut(selector).expr {
            _ if !self.options.extended_range_selectors => {
                format!("{word} modifier is experimental and not enabled")
            }
            Expr::Vector(selector) => {
                selector.anchored |= anchored;
                selector.smoothed |= !anchored;
                if !(selector.anchored && selector.smoothed) {
                    return Ok(());
                }
                "anchored and smoothed modifiers cannot be used together".to_owned()
            }
            Expr::Subquery(_) => format!("{word} modifier is not supported for subqueries"),
            _ => format!("{word} modifier not implemented"),
        };
        Err(self.error(self.ast.pos(target), message))
    }

    /// The node that keeps the modifiers of `target`: of a range, its selector.
    fn modified(&self, target: NodeId) -> NodeId {
        match self.ast.expr(target) {
            Expr::Matrix { selector, .. } => *selector,
            _ => target,
        }
    }

    fn misplaced(&self, target: NodeId, what: &str) -> ParseError {
        let message = format!(
            "{what} must be preceded by an instant vector selector or range vector selector or a \
             subquery"
        );
        self.error(self.ast.pos(target), message)
    }
}
