//! The conformance corpora, read where they are and never copied.

use std::path::PathBuf;

use serde_json::Value;

use crate::report::skipped;

/// The path of `name` in `$COMPAT_CORPUS`; says `skipped: <what>` when it is not there.
pub fn path(name: &str, what: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("COMPAT_CORPUS") else {
        skipped(what, "COMPAT_CORPUS is not set");
        return None;
    };
    let path = PathBuf::from(root).join(name);
    if !path.exists() {
        skipped(what, &format!("{name} is not in COMPAT_CORPUS"));
        return None;
    }
    Some(path)
}

/// The JSON file `name` in `$COMPAT_CORPUS`, as [`path`].
///
/// # Panics
/// When the file is there and is not JSON.
pub fn json(name: &str, what: &str) -> Option<Value> {
    let path = path(name, what)?;
    let bytes = std::fs::read(&path).expect("the corpus is readable");
    Some(serde_json::from_slice(&bytes).expect("the corpus is JSON"))
}

/// Bytes of a corpus text: a string, or `{"binary": base64}`, or `{"base64": base64}`.
///
/// # Panics
/// When it is neither.
pub fn bytes(value: &Value) -> Vec<u8> {
    if let Some(text) = value.as_str() {
        return text.as_bytes().to_vec();
    }
    let text = value.get("binary").or_else(|| value.get("base64")).and_then(Value::as_str);
    base64(text.expect("a corpus text is a string or base64"))
}

/// Standard base64 with padding.
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut held) = (Vec::with_capacity(text.len() * 3 / 4), 0_u32, 0);
    for byte in text.bytes().take_while(|&b| b != b'=') {
        let digit = ALPHABET.iter().position(|&a| a == byte).expect("base64 digits only");
        bits = (bits << 6) | u32::try_from(digit).expect("below 64");
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from((bits >> held) & 0xff).expect("masked"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_every_remainder() {
        let cases: [(&str, &[u8]); 5] =
            [("", b""), ("YQ==", b"a"), ("YWI=", b"ab"), ("YWJj", b"abc"), ("/+8=", b"\xff\xef")];
        for (text, want) in cases {
            assert_eq!(base64(text), want, "{text}");
        }
    }
}
