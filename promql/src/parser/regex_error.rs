//! What is wrong with a regular expression, in the words of Go's `regexp`, which clients match on.

use model::RegexError;
use regex_syntax::ast::ErrorKind;

/// The message for the expression `source`, which was refused with `error`. A limit of ours and
/// whatever Go has no words for keep their own.
pub(super) fn in_go_words(source: &str, error: &RegexError) -> String {
    match go_words(source) {
        Some((what, part)) => format!("error parsing regexp: {what}: `{part}`"),
        None => format!("error parsing regexp: {error}"),
    }
}

/// What Go would say, and the part of `source` that it would show.
fn go_words(source: &str) -> Option<(&'static str, &str)> {
    use ErrorKind::{
        ClassEscapeInvalid, ClassRangeInvalid, ClassRangeLiteral, ClassUnclosed, DecimalEmpty,
        DecimalInvalid, EscapeUnexpectedEof, EscapeUnrecognized, FlagDuplicate, FlagUnexpectedEof,
        FlagUnrecognized, GroupNameDuplicate, GroupNameEmpty, GroupNameInvalid,
        GroupNameUnexpectedEof, GroupUnclosed, GroupUnopened, RepetitionCountInvalid,
        RepetitionMissing, UnicodeClassInvalid, UnsupportedBackreference, UnsupportedLookAround,
    };
    if source.len() > MAX_EXPLAINED {
        return None;
    }
    let error = regex_syntax::ast::parse::Parser::new().parse(source).err()?;
    let span = error.span();
    let part = source.get(span.start.offset..span.end.offset)?;
    let from = source.get(span.start.offset..)?;
    Some(match error.kind() {
        GroupUnclosed => ("missing closing )", source),
        GroupUnopened => ("unexpected )", source),
        ClassUnclosed => ("missing closing ]", from),
        ClassRangeInvalid | ClassRangeLiteral | UnicodeClassInvalid => {
            ("invalid character class range", part)
        }
        RepetitionMissing => {
            ("missing argument to repetition operator", from.get(..1).unwrap_or_default())
        }
        RepetitionCountInvalid | DecimalEmpty | DecimalInvalid => ("invalid repeat count", part),
        EscapeUnexpectedEof => ("trailing backslash at end of expression", ""),
        EscapeUnrecognized | ClassEscapeInvalid | UnsupportedBackreference => {
            ("invalid escape sequence", part)
        }
        GroupNameDuplicate { .. } => ("duplicate capture group name", part),
        GroupNameUnexpectedEof | GroupNameEmpty | GroupNameInvalid => {
            ("invalid named capture", from_group(source, span.start.offset))
        }
        UnsupportedLookAround | FlagUnrecognized | FlagUnexpectedEof | FlagDuplicate { .. } => {
            ("invalid or unsupported Perl syntax", part)
        }
        _ => return None,
    })
}

/// Longest expression that is read again to explain it.
const MAX_EXPLAINED: usize = 1 << 16;

/// The text from the group's parenthesis that stands before `at`.
fn from_group(source: &str, at: usize) -> &str {
    let open = source[..at].rfind('(').unwrap_or(at);
    &source[open..]
}
