//! The value of a string literal, which need not be UTF-8: `"\xff"` spells a byte that is none.

use std::fmt::Write as _;

use model::go_quote;

/// What a string literal means. Labels, matchers and templates take its text; what must be UTF-8
/// asks first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    text: String,
    /// The bytes, where they are not UTF-8 and `text` has U+FFFD in their place.
    raw: Option<Box<[u8]>>,
}

impl Text {
    /// The text that `bytes` are.
    pub fn new(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self { text, raw: None },
            Err(e) => Self {
                text: String::from_utf8_lossy(e.as_bytes()).into_owned(),
                raw: Some(e.into_bytes().into()),
            },
        }
    }

    /// The text, with U+FFFD for what is not UTF-8, as JSON would show it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As [`Text::as_str`].
    pub fn into_string(self) -> String {
        self.text
    }

    /// Whether all bytes are UTF-8, as those of a label must be.
    pub const fn is_utf8(&self) -> bool {
        self.raw.is_none()
    }

    /// In double quotes with the escapes of Go's `strconv.Quote`; reads back as the same value.
    pub fn quoted(&self) -> String {
        let Some(raw) = &self.raw else { return go_quote(&self.text) };
        let mut out = String::from("\"");
        for chunk in raw.utf8_chunks() {
            let valid = go_quote(chunk.valid());
            out.push_str(&valid[1..valid.len() - 1]);
            for byte in chunk.invalid() {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
        out.push('"');
        out
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), raw: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf8_is_known_and_printed_byte_by_byte() {
        for (bytes, text, quoted) in [
            (&b"a\"b"[..], "a\"b", r#""a\"b""#),
            (b"a\xc5z", "a\u{fffd}z", r#""a\xc5z""#),
            (b"\xff\xfe\"\xc3\xa9", "\u{fffd}\u{fffd}\"é", r#""\xff\xfe\"é""#),
            (b"\xf0\x9f\xa6", "\u{fffd}", r#""\xf0\x9f\xa6""#),
        ] {
            let got = Text::new(bytes.to_vec());
            assert_eq!((got.as_str(), got.quoted().as_str()), (text, quoted));
            assert_eq!(got.is_utf8(), std::str::from_utf8(bytes).is_ok());
        }
        assert_ne!(Text::new(b"\xff".to_vec()), Text::from("\u{fffd}"));
    }
}
