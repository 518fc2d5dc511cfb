//! Text to tokens, one at a time, on demand: an error of the lexer is then reported only when no
//! earlier token made an error of the grammar, which is the order in which Prometheus finds them.
//!
//! Braces and brackets have token sets of their own: inside `{}` every word is a label name,
//! inside `[]` only durations and their operators are known.

mod number;
mod string;
mod token;

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::combinator::{recognize, value};
use nom::multi::many0_count;
use nom::sequence::preceded;

use crate::ast::{BinaryOp, Pos};
use crate::error::ParseError;
pub(crate) use string::unquote;
pub(crate) use token::{Keyword, Kind, Token, Word};

/// What the combinators of this crate answer.
pub(crate) type Scan<'a, T> = nom::IResult<&'a str, T>;

/// The lexer of one query text.
#[derive(Debug, Clone)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Tokens given out: what the linear-time test counts.
    #[cfg(test)]
    pub(crate) num_tokens: usize,
    paren_depth: usize,
    in_braces: bool,
    bracket: Bracket,
    /// Whether a duration was seen in any bracket so far: a colon before it is an error. As in
    /// Prometheus, it is never taken back.
    seen_duration: bool,
}

/// Where the lexer stands with respect to `[`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Closed,
    /// Before the first number; a colon was seen or not.
    Start {
        colon: bool,
    },
    /// After the first number.
    Open {
        colon: bool,
    },
}

impl<'a> Lexer<'a> {
    /// A lexer at the start of `text`, which is shorter than 4 GiB.
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            #[cfg(test)]
            num_tokens: 0,
            paren_depth: 0,
            in_braces: false,
            bracket: Bracket::Closed,
            seen_duration: false,
        }
    }

    /// The next token; after the end it is [`Kind::Eof`] again and again.
    ///
    /// # Errors
    /// Text that no token begins with.
    pub(crate) fn next_token(&mut self) -> Result<Token, ParseError> {
        #[cfg(test)]
        {
            self.num_tokens += 1;
        }
        match self.bracket {
            _ if self.in_braces => self.in_braces(),
            Bracket::Start { colon } => self.in_bracket(colon),
            Bracket::Closed | Bracket::Open { .. } => self.in_statement(),
        }
    }

    /// A token outside of braces.
    fn in_statement(&mut self) -> Result<Token, ParseError> {
        self.skip_blank();
        let Some(c) = self.peek_char() else { return self.end() };
        if let Some(token) = self.operator() {
            return Ok(token);
        }
        match c {
            '=' if self.rest().starts_with("=~") => {
                Err(self.error("unexpected character after '=': '~'"))
            }
            '=' => Ok(self.emit(Kind::Eql, 1)),
            '!' => {
                let next = quote_char(self.rest()[1..].chars().next());
                Err(self.error(format!("unexpected character after '!': {next}")))
            }
            '0'..='9' => self.number_or_duration(),
            '.' if self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.number_or_duration()
            }
            '"' | '\'' | '`' => self.string(),
            'a'..='z' | 'A'..='Z' | '_' | ':' => match self.bracket {
                Bracket::Closed => Ok(self.word()),
                bracket => self.word_in_bracket(c, bracket),
            },
            '(' => Ok(self.left_paren()),
            ')' => self.right_paren(),
            '{' => {
                self.in_braces = true;
                Ok(self.emit(Kind::LeftBrace, 1))
            }
            '[' => self.left_bracket(),
            ']' => self.right_bracket(),
            c => Err(self.error(format!("unexpected character: {}", quote_char(Some(c))))),
        }
    }

    /// A token between `{` and `}`.
    fn in_braces(&mut self) -> Result<Token, ParseError> {
        self.skip_blank();
        let Some(c) = self.peek_char() else {
            return Err(self.error("unexpected end of input inside braces"));
        };
        let mut operators = alt((
            value(Kind::EqlRegex, tag("=~")),
            value(Kind::NeqRegex, tag("!~")),
            value(Kind::Op(BinaryOp::Neq), tag("!=")),
            value(Kind::Eql, tag("=")),
            value(Kind::Comma, tag(",")),
        ));
        let scan: Scan<'_, Kind> = operators.parse(self.rest());
        if let Ok((rest, kind)) = scan {
            return Ok(self.emit(kind, self.rest().len() - rest.len()));
        }
        match c {
            'a'..='z' | 'A'..='Z' | '_' => {
                let word: Scan<'_, &str> = take_while1(is_word).parse(self.rest());
                let len = word.map_or(1, |(_, word)| word.len());
                Ok(self.emit(Kind::Identifier, len))
            }
            '"' | '\'' | '`' => self.string(),
            '!' => {
                let next = quote_char(self.rest()[1..].chars().next());
                Err(self.error(format!("unexpected character after '!' inside braces: {next}")))
            }
            '{' => Err(self.error("unexpected left brace '{'")),
            '}' => {
                self.in_braces = false;
                Ok(self.emit(Kind::RightBrace, 1))
            }
            c => {
                Err(self
                    .error(format!("unexpected character inside braces: {}", quote_char(Some(c)))))
            }
        }
    }

    /// A token between `[` and the first number.
    fn in_bracket(&mut self, colon: bool) -> Result<Token, ParseError> {
        self.skip_space();
        let Some(c) = self.peek_char() else {
            return Err(self.error("unexpected end of input in duration expression"));
        };
        match c {
            ':' => {
                self.bracket = Bracket::Start { colon: true };
                let token = self.emit(Kind::Colon, 1);
                if !self.seen_duration {
                    let what = "unexpected colon before duration in duration expression";
                    return Err(self.error(what));
                }
                if colon {
                    return Err(self.error("unexpected repeated colon in duration expression"));
                }
                Ok(token)
            }
            ']' => self.right_bracket(),
            '(' => Ok(self.left_paren()),
            ')' => self.right_paren(),
            '0'..='9' => self.number_in_bracket(colon),
            '.' if self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.number_in_bracket(colon)
            }
            '+' | '-' | '*' | '/' | '%' | '^' | ',' => {
                Ok(self.operator().expect("each of these is an operator"))
            }
            c => self.duration_word().ok_or_else(|| {
                let c = quote_char(Some(c));
                self.error(format!("unexpected character in duration expression: {c}"))
            }),
        }
    }

    fn number_in_bracket(&mut self, colon: bool) -> Result<Token, ParseError> {
        self.seen_duration = true;
        self.bracket = Bracket::Open { colon };
        self.number_or_duration()
    }

    /// A word or colon after the first number of a bracket.
    fn word_in_bracket(&mut self, c: char, bracket: Bracket) -> Result<Token, ParseError> {
        if c == ':' {
            if bracket == (Bracket::Open { colon: true }) {
                return Err(self.error("unexpected colon ':'"));
            }
            self.bracket = Bracket::Open { colon: true };
            return Ok(self.emit(Kind::Colon, 1));
        }
        self.duration_word().ok_or_else(|| {
            self.error(format!("unexpected character: {}, expected ':'", quote_char(Some(c))))
        })
    }

    /// `step`, `range`, `min_of` or `max_of`.
    fn duration_word(&mut self) -> Option<Token> {
        let word: Scan<'_, &str> =
            take_while1(|c: char| c.is_ascii_alphabetic() || c == '_').parse(self.rest());
        let (_, word) = word.ok()?;
        let kind = Kind::duration_word(&word.to_ascii_lowercase())?;
        self.seen_duration = true;
        Some(self.emit(kind, word.len()))
    }

    /// An operator or punctuation mark that needs no look at the state.
    fn operator(&mut self) -> Option<Token> {
        use BinaryOp::{
            Add, Div, Eql, Gte, Gtr, Lss, Lte, Mod, Mul, Neq, Pow, Sub, TrimLower, TrimUpper,
        };
        let mut comparison = alt((
            value(Kind::Op(Eql), tag("==")),
            value(Kind::Op(Neq), tag("!=")),
            value(Kind::Op(Lte), tag("<=")),
            value(Kind::Op(Gte), tag(">=")),
            value(Kind::Op(TrimUpper), tag("</")),
            value(Kind::Op(TrimLower), tag(">/")),
            value(Kind::Op(Lss), tag("<")),
            value(Kind::Op(Gtr), tag(">")),
        ));
        let mut arithmetic = alt((
            value(Kind::Op(Add), tag("+")),
            value(Kind::Op(Sub), tag("-")),
            value(Kind::Op(Mul), tag("*")),
            value(Kind::Op(Div), tag("/")),
            value(Kind::Op(Mod), tag("%")),
            value(Kind::Op(Pow), tag("^")),
            value(Kind::Comma, tag(",")),
            value(Kind::At, tag("@")),
        ));
        let rest = self.rest();
        let scan: Scan<'_, Kind> = match comparison.parse(rest) {
            Err(_) => arithmetic.parse(rest),
            found => found,
        };
        let (after, kind) = scan.ok()?;
        Some(self.emit(kind, rest.len() - after.len()))
    }

    /// A keyword, an identifier or a metric identifier.
    fn word(&mut self) -> Token {
        let rest = self.rest();
        let scan: Scan<'_, &str> = take_while1(|c| is_word(c) || c == ':').parse(rest);
        let word = scan.map_or("", |(_, word)| word);
        let kind = match Kind::keyword(word) {
            // These became keywords late, so they stay names wherever they can.
            Some(Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !rest[word.len()..].trim_start_matches(is_space).starts_with('(') =>
            {
                Kind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => Kind::MetricIdentifier,
            None => Kind::Identifier,
        };
        self.emit(kind, word.len())
    }

    fn left_paren(&mut self) -> Token {
        self.paren_depth += 1;
        self.emit(Kind::LeftParen, 1)
    }

    fn right_paren(&mut self) -> Result<Token, ParseError> {
        let token = self.emit(Kind::RightParen, 1);
        match self.paren_depth.checked_sub(1) {
            Some(depth) => self.paren_depth = depth,
            None => return Err(self.error("unexpected right parenthesis ')'")),
        }
        Ok(token)
    }

    fn left_bracket(&mut self) -> Result<Token, ParseError> {
        if self.bracket != Bracket::Closed {
            return Err(self.error("unexpected left bracket '['"));
        }
        self.bracket = Bracket::Start { colon: false };
        Ok(self.emit(Kind::LeftBracket, 1))
    }

    fn right_bracket(&mut self) -> Result<Token, ParseError> {
        if self.bracket == Bracket::Closed {
            return Err(self.error("unexpected right bracket ']'"));
        }
        self.bracket = Bracket::Closed;
        Ok(self.emit(Kind::RightBracket, 1))
    }

    fn number_or_duration(&mut self) -> Result<Token, ParseError> {
        match number::scan(self.rest()) {
            Ok((len, kind)) => Ok(self.emit(kind, len)),
            Err(read) => {
                let read = model::go_quote(&self.rest()[..read]);
                Err(self.error(format!("bad number or duration syntax: {read}")))
            }
        }
    }

    fn string(&mut self) -> Result<Token, ParseError> {
        match string::scan(self.rest()) {
            Ok(len) => Ok(self.emit(Kind::String, len)),
            Err(what) => Err(self.error(what)),
        }
    }

    /// The end of the text.
    fn end(&mut self) -> Result<Token, ParseError> {
        if self.paren_depth != 0 {
            return Err(self.error("unclosed left parenthesis"));
        }
        if self.bracket != Bracket::Closed {
            return Err(self.error("unclosed left bracket"));
        }
        Ok(self.emit(Kind::Eof, 0))
    }

    /// Skips blanks and comments.
    fn skip_blank(&mut self) {
        let comment = preceded(tag("#"), take_while(|c| c != '\n' && c != '\r'));
        let skipped: Scan<'_, &str> =
            recognize(many0_count(alt((take_while1(is_space), comment)))).parse(self.rest());
        self.at += skipped.map_or(0, |(_, blank)| blank.len());
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(is_space).len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek_char(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn emit(&mut self, kind: Kind, len: usize) -> Token {
        let start = self.at;
        self.at += len;
        Token { kind, pos: Pos { start: offset(start), end: offset(self.at) } }
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        let pos = Pos { start: offset(self.at), end: offset(self.text.len()) };
        ParseError::new(self.text, pos, message)
    }
}

/// A place as the tree keeps it.
fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("the parser refuses texts this long")
}

/// The four characters between tokens.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// The characters of names.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A character in single quotes as Go prints it; the end of the text is `'\u{fffd}'`.
fn quote_char(c: Option<char>) -> String {
    match c {
        None => "'\u{fffd}'".to_owned(),
        Some('\'') => "'\\''".to_owned(),
        Some('"') => "'\"'".to_owned(),
        Some(c) => {
            let quoted = model::go_quote(c.encode_utf8(&mut [0; 4]));
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}
