//! One label test of a selector.

use std::fmt;

use crate::labels::is_legacy_name;
use crate::regex::{Regex, RegexError};
use crate::sample::go_quote;

/// The operator of a matcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `=~`, fully anchored
    Re,
    /// `!~`, fully anchored
    Nre,
}

impl MatchOp {
    /// The operator as PromQL writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Re => "=~",
            Self::Nre => "!~",
        }
    }
}

/// A test of one label's value. A series without the label has the empty value.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The operator.
    pub op: MatchOp,
    /// The label's name.
    pub name: String,
    /// The value or the regular expression, as written.
    pub value: String,
    regex: Option<Regex>,
}

/// Equal as text; the compiled expression follows from it.
impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (self.op, &self.name, &self.value) == (other.op, &other.name, &other.value)
    }
}

impl Eq for Matcher {}

impl Matcher {
    /// A matcher; for `=~` and `!~` the value is compiled.
    ///
    /// # Errors
    /// [`RegexError`] where the expression is not RE2 or over limit L17.
    pub fn new(op: MatchOp, name: &str, value: &str) -> Result<Self, RegexError> {
        let regex = match op {
            MatchOp::Re | MatchOp::Nre => Some(Regex::anchored(value)?),
            MatchOp::Eq | MatchOp::Ne => None,
        };
        Ok(Self { op, name: name.to_owned(), value: value.to_owned(), regex })
    }

    /// An equality matcher, which cannot fail.
    pub fn equal(name: &str, value: &str) -> Self {
        Self { op: MatchOp::Eq, name: name.to_owned(), value: value.to_owned(), regex: None }
    }

    /// Whether a label value passes; pass the empty string for an absent label.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Eq, _) => self.value == value,
            (MatchOp::Ne, _) => self.value != value,
            (MatchOp::Re, Some(re)) => re.is_match(value),
            (MatchOp::Nre, Some(re)) => !re.is_match(value),
            (MatchOp::Re | MatchOp::Nre, None) => unreachable!("new() compiles every expression"),
        }
    }

    /// Whether a series without the label passes.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The compiled expression of `=~` and `!~`.
    pub fn regex(&self) -> Option<&Regex> {
        self.regex.as_ref()
    }
}

/// Name (quoted unless it is a legacy name), operator, Go-quoted value.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_legacy_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            f.write_str(&go_quote(&self.name))?;
        }
        write!(f, "{}{}", self.op.as_str(), go_quote(&self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_judges_present_and_absent() {
        for (op, value, on, yes) in [
            (MatchOp::Eq, "a", "a", true),
            (MatchOp::Eq, "", "", true),
            (MatchOp::Ne, "a", "", true),
            (MatchOp::Re, "a|b", "b", true),
            (MatchOp::Re, "a|b", "ab", false),
            (MatchOp::Re, "a.c", "a\nc", true),
            (MatchOp::Nre, "a.*", "abc", false),
            (MatchOp::Nre, "a.*", "", true),
        ] {
            let m = Matcher::new(op, "l", value).unwrap();
            assert_eq!(m.matches(on), yes, "{m} on {on:?}");
        }
    }
}
