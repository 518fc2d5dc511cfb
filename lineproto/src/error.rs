//! Why a line was refused, in the words of InfluxDB 1.x: senders and users match on them.
//! Rules that 1.x does not have (UTF-8, control characters, the length limit) have our words.

use std::fmt;

/// A refused line. The lines around it are not affected.
///
/// Displays as 1.x writes it, ``unable to parse '<line>': <reason>``, with bytes that are not
/// UTF-8 replaced. The line is quoted in full: cap the report with [`LineError::quoted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineError<'a> {
    /// The line on which the point starts, counted from 1.
    pub number: u64,
    /// Where the line starts in the body, in bytes.
    pub offset: usize,
    /// The refused line without leading spaces and without its line end. It holds line feeds
    /// where a quoted string does.
    pub line: &'a [u8],
    /// What is wrong with it.
    pub reason: Reason<'a>,
}

impl LineError<'_> {
    /// The message with at most `max_bytes` bytes of the line, cut at a character.
    pub fn quoted(&self, max_bytes: usize) -> String {
        let continues = |at: &usize| self.line.get(*at).is_some_and(|b| (0x80..0xc0).contains(b));
        // Back to the start of the character that the cut would split; none is longer than 4.
        let cut = (max_bytes.saturating_sub(3)..=max_bytes).rev().find(|at| !continues(at));
        let shown = self.line.get(..cut.unwrap_or(max_bytes)).unwrap_or(self.line);
        let dots = if shown.len() < self.line.len() { "..." } else { "" };
        let text = String::from_utf8_lossy(shown);
        format!("unable to parse '{text}{dots}': {}", self.reason)
    }
}

impl fmt::Display for LineError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = String::from_utf8_lossy(self.line);
        write!(f, "unable to parse '{line}': {}", self.reason)
    }
}

impl std::error::Error for LineError<'_> {}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason<'a> {
    /// The line starts with a comma.
    #[error("missing measurement")]
    MissingMeasurement,
    /// An empty tag key: `=a`, a doubled or a trailing comma.
    #[error("missing tag key")]
    MissingTagKey,
    /// An empty tag value, or a key without `=`.
    #[error("missing tag value")]
    MissingTagValue,
    /// An unescaped `=` in a tag value; often a value that ends with a backslash.
    #[error("invalid tag format")]
    InvalidTagFormat,
    /// A tag key that is there twice.
    #[error("duplicate tags")]
    DuplicateTags,
    /// Nothing after the series key.
    #[error("missing fields")]
    MissingFields,
    /// A field without `=`, a space or comma where none may be, or text after a closing quote.
    #[error("invalid field format")]
    InvalidFieldFormat,
    /// `=1`.
    #[error("missing field key")]
    MissingFieldKey,
    /// `f=`.
    #[error("missing field value")]
    MissingFieldValue,
    /// A value that starts like a number and is none.
    #[error("invalid number")]
    InvalidNumber,
    /// A broken exponent, or a magnitude beyond a double.
    #[error("invalid float")]
    InvalidFloat,
    /// An integer beyond 64 bits; the text is without its suffix.
    #[error("unable to parse integer {0}: strconv.ParseInt: parsing \"{0}\": value out of range")]
    IntegerRange(&'a str),
    /// An unsigned integer beyond 64 bits; the text is without its suffix.
    #[error("unable to parse unsigned {0}: strconv.ParseUint: parsing \"{0}\": value out of range")]
    UnsignedRange(&'a str),
    /// An unquoted value that is neither a number nor a boolean.
    #[error("invalid boolean")]
    InvalidBoolean,
    /// A string that the body does not close.
    #[error("unbalanced quotes")]
    UnbalancedQuotes,
    /// A timestamp that is not an optional `-` and digits.
    #[error("bad timestamp")]
    BadTimestamp,
    /// Something after the timestamp.
    #[error("point is invalid")]
    PointIsInvalid,
    /// A timestamp beyond 64 bits.
    #[error("strconv.ParseInt: parsing \"{0}\": value out of range")]
    TimestampRange(&'a str),
    /// A timestamp beyond 64 bits of nanoseconds once the precision is applied.
    #[error("time outside range -9223372036854775806 - 9223372036854775806")]
    TimeOutsideRange,
    /// A control character in a measurement or in the key of a tag or field, or a CR in a tag
    /// value.
    #[error("control character in a name")]
    ControlInName,
    /// A control character in a comment.
    #[error("control character in a comment")]
    ControlInComment,
    /// Text that is not UTF-8.
    #[error("invalid UTF-8")]
    InvalidUtf8,
    /// A line over the limit, in bytes.
    #[error("line is {bytes} bytes, limit {limit}")]
    LineTooLong {
        /// Length of the line.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_line_is_cut_at_a_character() {
        let quoted = |line: &str, max_bytes| {
            let line = line.as_bytes();
            LineError { number: 1, offset: 0, line, reason: Reason::MissingFields }
                .quoted(max_bytes)
        };
        for (max_bytes, want) in
            [(9, "aü😀b"), (8, "aü😀b"), (7, "aü😀..."), (6, "aü..."), (2, "a..."), (0, "...")]
        {
            let want = format!("unable to parse '{want}': missing fields");
            assert_eq!(quoted("aü😀b", max_bytes), want, "{max_bytes}");
        }
    }
}
