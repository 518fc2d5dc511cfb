//! Backslash escapes. A backslash escapes only the separators of the place it stands in; before
//! any other byte, another backslash included, it is an ordinary byte and stays.
//!
//! So a separator is escaped exactly when the byte before it is a backslash, and unescaping never
//! maps two texts to one.

use std::borrow::Cow;

/// The place of a name, which decides what a backslash escapes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A measurement: comma and space.
    Measurement,
    /// A tag key, tag value or field key: comma, space and `=`.
    Name,
    /// A string: the quote and the backslash.
    String,
}

impl Place {
    /// Whether `\` before `c` is an escape here.
    pub(crate) fn escapes(self, c: char) -> bool {
        match self {
            Self::Measurement => matches!(c, ',' | ' '),
            Self::Name => matches!(c, ',' | ' ' | '='),
            Self::String => matches!(c, '"' | '\\'),
        }
    }
}

/// `raw` without its escapes; borrowed when it has no backslash.
pub(crate) fn unescape(raw: &str, place: Place) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next_if(|&next| place.escapes(next)) } else { None };
        text.push(escaped.unwrap_or(c));
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_separators_of_a_place_are_escaped() {
        for (raw, measurement, name, string) in [
            (r"a\ b\,c\=d", r"a b,c\=d", "a b,c=d", r"a\ b\,c\=d"),
            (r"C:\Windows\x", r"C:\Windows\x", r"C:\Windows\x", r"C:\Windows\x"),
            (r"a\\b", r"a\\b", r"a\\b", r"a\b"),
            (r"a\\ b", r"a\ b", r"a\ b", r"a\ b"),
            (r#"q\"q"#, r#"q\"q"#, r#"q\"q"#, "q\"q"),
            (r"\n\t", r"\n\t", r"\n\t", r"\n\t"),
            ("end\\", "end\\", "end\\", "end\\"),
            (r"ü\ ü", "ü ü", "ü ü", r"ü\ ü"),
        ] {
            assert_eq!(unescape(raw, Place::Measurement), measurement);
            assert_eq!(unescape(raw, Place::Name), name);
            assert_eq!(unescape(raw, Place::String), string);
        }
    }

    #[test]
    fn text_without_a_backslash_is_borrowed() {
        assert!(matches!(unescape("usage_idle", Place::Name), Cow::Borrowed("usage_idle")));
    }
}
