//! The modifiers of aggregations and binary operators: `by`, `on`, `group_left`, `fill`.

use super::{Parser, Place};
use crate::ast::{Cardinality, VectorMatching};
use crate::error::ParseError;
use crate::lexer::{Keyword, Kind, unquote};

/// What stands between a binary operator and its right operand.
#[derive(Debug, Default)]
pub(super) struct Modifiers {
    pub(super) return_bool: bool,
    pub(super) matching: VectorMatching,
}

const OPEN: Place = Place { context: "grouping opts", expected: r#""(""# };
const LABEL: Place = Place { context: "grouping opts", expected: "label" };
const NEXT: Place = Place { context: "grouping opts", expected: r#""," or ")""# };

impl Parser<'_> {
    /// `(a, "b c", d)`; a comma may stand last.
    pub(super) fn grouping(&mut self) -> Result<Vec<String>, ParseError> {
        self.expect(Kind::LeftParen, OPEN)?;
        let mut labels = Vec::new();
        loop {
            if self.accept(Kind::RightParen)?.is_some() {
                return Ok(labels);
            }
            let token = self.peek()?;
            let label = match token.kind {
                Kind::String => unquote(self.text_of(token)),
                kind if kind.is_grouping_label() => self.text_of(token).into(),
                _ => return Err(self.unexpected_in(token, LABEL)),
            };
            self.next()?;
            if label.as_str().is_empty() || !label.is_utf8() {
                let what = format!("invalid label name for grouping: {}", label.quoted());
                return Err(self.error(token.pos, what));
            }
            labels.push(label.into_string());
            let token = self.peek()?;
            match token.kind {
                Kind::Comma => {
                    self.next()?;
                }
                Kind::RightParen => {}
                _ => return Err(self.unexpected_in(token, NEXT)),
            }
        }
    }

    /// `bool on (...) group_left (...) fill (0)`, each of them optional. An error that none of
    /// them has words for is one of `outer`.
    pub(super) fn modifiers(&mut self, outer: Place) -> Result<Modifiers, ParseError> {
        let mut modifiers = Modifiers::default();
        let matching = &mut modifiers.matching;
        modifiers.return_bool = self.accept(Kind::Keyword(Keyword::Bool))?.is_some();
        if let Kind::Keyword(keyword @ (Keyword::On | Keyword::Ignoring)) = self.peek()?.kind {
            self.next()?;
            matching.labels = self.grouping()?;
            matching.on = keyword == Keyword::On;
            let card = match self.peek()?.kind {
                Kind::Keyword(Keyword::GroupLeft) => Cardinality::ManyToOne,
                Kind::Keyword(Keyword::GroupRight) => Cardinality::OneToMany,
                _ => Cardinality::OneToOne,
            };
            if card != Cardinality::OneToOne {
                self.next()?;
                matching.card = card;
                if self.peek()?.kind == Kind::LeftParen {
                    matching.include = self.grouping()?;
                }
            }
        }
        match self.peek()?.kind {
            Kind::Keyword(Keyword::Fill) => {
                let value = self.fill_value(outer)?;
                (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
            }
            Kind::Keyword(Keyword::FillLeft) => {
                matching.fill_left = Some(self.fill_value(outer)?);
                if self.peek()?.kind == Kind::Keyword(Keyword::FillRight) {
                    matching.fill_right = Some(self.fill_value(outer)?);
                }
            }
            Kind::Keyword(Keyword::FillRight) => {
                matching.fill_right = Some(self.fill_value(outer)?);
                if self.peek()?.kind == Kind::Keyword(Keyword::FillLeft) {
                    matching.fill_left = Some(self.fill_value(outer)?);
                }
            }
            _ => {}
        }
        Ok(modifiers)
    }

    /// The keyword, then `(0)`, `(-1h)`.
    fn fill_value(&mut self, outer: Place) -> Result<f64, ParseError> {
        self.next()?;
        self.expect(Kind::LeftParen, outer)?;
        let negative = self.sign()?.is_some_and(|(negative, _)| negative);
        let token = self.peek()?;
        let Some((value, _)) = self.number()? else {
            return Err(self.unexpected_in(token, outer));
        };
        self.expect(Kind::RightParen, outer)?;
        Ok(if negative { -value } else { value })
    }
}
