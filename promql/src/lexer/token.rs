//! The tokens of the language and the words that errors describe them with.

use crate::ast::{AggregateOp, BinaryOp, Pos};
use model::go_quote;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Eof,
    /// A name without a colon that is no keyword.
    Identifier,
    /// A name with a colon.
    MetricIdentifier,
    Number,
    Duration,
    String,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Eql,
    /// `=~`
    EqlRegex,
    /// `!~`
    NeqRegex,
    At,
    /// `!=` is also the operator of a matcher.
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
    /// A word that is a function in expressions and has a meaning of its own after `@` or in
    /// durations.
    Word(Word),
}

/// The reserved words that modify an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
}

/// The words that are functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Start,
    End,
    Step,
    Range,
    MinOf,
    MaxOf,
}

/// A token and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) pos: Pos,
}

impl Kind {
    /// The keyword, operator or number that `word` is, in any case; `None` for a plain name.
    pub(super) fn keyword(word: &str) -> Option<Self> {
        use BinaryOp::{And, Atan2, Or, Unless};
        const LONGEST: usize = "count_values".len();
        if word.len() > LONGEST {
            return None;
        }
        let lower = word.to_ascii_lowercase();
        if let Some(op) = AggregateOp::ALL.into_iter().find(|op| op.as_str() == lower) {
            return Some(Self::Aggregate(op));
        }
        Some(match lower.as_str() {
            "and" => Self::Op(And),
            "or" => Self::Op(Or),
            "unless" => Self::Op(Unless),
            "atan2" => Self::Op(Atan2),
            "offset" => Self::Keyword(Keyword::Offset),
            "smoothed" => Self::Keyword(Keyword::Smoothed),
            "anchored" => Self::Keyword(Keyword::Anchored),
            "by" => Self::Keyword(Keyword::By),
            "without" => Self::Keyword(Keyword::Without),
            "on" => Self::Keyword(Keyword::On),
            "ignoring" => Self::Keyword(Keyword::Ignoring),
            "group_left" => Self::Keyword(Keyword::GroupLeft),
            "group_right" => Self::Keyword(Keyword::GroupRight),
            "fill" => Self::Keyword(Keyword::Fill),
            "fill_left" => Self::Keyword(Keyword::FillLeft),
            "fill_right" => Self::Keyword(Keyword::FillRight),
            "bool" => Self::Keyword(Keyword::Bool),
            "start" => Self::Word(Word::Start),
            "end" => Self::Word(Word::End),
            "inf" | "nan" => Self::Number,
            _ => return Self::duration_word(&lower),
        })
    }

    /// The words that durations know, given in lower case.
    pub(super) fn duration_word(lower: &str) -> Option<Self> {
        Some(Self::Word(match lower {
            "step" => Word::Step,
            "range" => Word::Range,
            "min_of" => Word::MinOf,
            "max_of" => Word::MaxOf,
            _ => return None,
        }))
    }

    /// Whether the token can be the name of a metric.
    pub(crate) fn is_metric_name(self) -> bool {
        use BinaryOp::{And, Or, Unless};
        use Keyword::{Anchored, By, Fill, FillLeft, FillRight, Offset, Smoothed, Without};
        matches!(
            self,
            Self::Identifier
                | Self::MetricIdentifier
                | Self::Aggregate(_)
                | Self::Word(_)
                | Self::Op(And | Or | Unless)
                | Self::Keyword(
                    Offset | Smoothed | Anchored | By | Without | Fill | FillLeft | FillRight
                )
        )
    }

    /// Whether an expression can begin with the token.
    pub(crate) fn starts_operand(self) -> bool {
        use BinaryOp::{Add, Sub};
        matches!(
            self,
            Self::Number
                | Self::Duration
                | Self::String
                | Self::LeftBrace
                | Self::LeftParen
                | Self::Op(Add | Sub)
        ) || self.is_metric_name()
    }

    /// Whether the token can be a label in a grouping list.
    pub(crate) fn is_grouping_label(self) -> bool {
        use BinaryOp::{And, Atan2, Or, Unless};
        match self {
            Self::Identifier
            | Self::MetricIdentifier
            | Self::Aggregate(_)
            | Self::Word(_)
            | Self::Op(And | Or | Unless | Atan2) => true,
            Self::Keyword(keyword) => keyword != Keyword::Without,
            _ => false,
        }
    }
}

impl Token {
    /// The text of the token.
    pub(crate) fn text(self, query: &str) -> &str {
        &query[self.pos.start as usize..self.pos.end as usize]
    }

    /// The token as errors name it: `identifier "b"`, `<op:+>`, `end of input`.
    pub(crate) fn describe(self, query: &str) -> String {
        let text = self.text(query);
        match self.kind {
            Kind::Eof => "end of input".to_owned(),
            Kind::Identifier => format!("identifier {}", go_quote(text)),
            Kind::MetricIdentifier => format!("metric identifier {}", go_quote(text)),
            Kind::Number => format!("number {}", abridged(text)),
            Kind::Duration => format!("duration {}", abridged(text)),
            Kind::String => format!("string {}", abridged(text)),
            Kind::Keyword(_) => format!("<{text}>"),
            Kind::Aggregate(_) => format!("<aggr:{text}>"),
            Kind::Op(_) | Kind::EqlRegex | Kind::NeqRegex | Kind::At => format!("<op:{text}>"),
            _ => abridged(text),
        }
    }
}

/// `text` quoted; of more than ten bytes only the first ten characters.
fn abridged(text: &str) -> String {
    if text.len() <= 10 {
        return go_quote(text);
    }
    let end = text.char_indices().nth(10).map_or(text.len(), |(i, _)| i);
    format!("{}...", go_quote(&text[..end]))
}
