//! Quoted strings: `"..."` and `'...'` with escapes, `` `...` `` without.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_till1, take_while_m_n};
use nom::character::complete::anychar;
use nom::combinator::{map, map_opt};
use nom::multi::fold_many0;
use nom::sequence::preceded;

use super::Scan;
use crate::ast::Text;

/// Length in bytes of the string at the start of `text`, quotes included.
///
/// # Errors
/// The message of what is wrong with it.
pub(super) fn scan(text: &str) -> Result<usize, String> {
    let quote = text.chars().next().unwrap_or('"');
    let raw = quote == '`';
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            // Go cannot tell this character from bytes that are no UTF-8.
            char::REPLACEMENT_CHARACTER => return Err("invalid UTF-8 rune".to_owned()),
            '\\' if !raw => {
                check_escape(&text[at + 1..], quote)?;
                // A quote or backslash that is escaped means nothing more.
                chars.next();
            }
            '\n' if !raw => break,
            c if c == quote => return Ok(at + 1),
            _ => {}
        }
    }
    Err(format!("unterminated {} string", if raw { "raw" } else { "quoted" }))
}

/// Checks the escape sequence whose backslash stands before `text`.
fn check_escape(text: &str, quote: char) -> Result<(), String> {
    let Some(first) = text.chars().next() else {
        return Err("escape sequence not terminated".to_owned());
    };
    let (prefix, count, radix, max) = match first {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
        c if c == quote => return Ok(()),
        '0'..='7' => (0, 3, 8, 255),
        'x' => (1, 2, 16, 255),
        'u' => (1, 4, 16, u32::from(char::MAX)),
        'U' => (1, 8, 16, u32::from(char::MAX)),
        c => return Err(format!("unknown escape sequence {}", code_point(c))),
    };
    let mut digits = text[prefix..].chars();
    let mut code: u32 = 0;
    for _ in 0..count {
        let Some(c) = digits.next() else {
            return Err("escape sequence not terminated".to_owned());
        };
        let Some(digit) = c.to_digit(radix) else {
            return Err(format!("illegal character {} in escape sequence", code_point(c)));
        };
        // Eight hexadecimal digits fit exactly.
        code = code * radix + digit;
    }
    if code > max || (0xd800..0xe000).contains(&code) {
        return Err("escape sequence is an invalid Unicode code point".to_owned());
    }
    Ok(())
}

/// Go's `%#U`: `U+007A 'z'`, the character only where it can be printed.
fn code_point(c: char) -> String {
    let quoted = model::go_quote(c.encode_utf8(&mut [0; 4]));
    let shown = &quoted[1..quoted.len() - 1];
    let is_printable = !shown.starts_with('\\') || matches!(c, '"' | '\\');
    let code = u32::from(c);
    if is_printable { format!("U+{code:04X} '{c}'") } else { format!("U+{code:04X}") }
}

/// The value of the string token `text`, which [`scan`] found good.
pub(crate) fn unquote(text: &str) -> Text {
    let inner = text.get(1..text.len().max(2) - 1).unwrap_or_default();
    if text.starts_with('`') || !inner.contains('\\') {
        return inner.into();
    }
    let plain = map(take_till1(|c| c == '\\'), |run: &str| run.as_bytes().to_vec());
    let escape = preceded(tag("\\"), alt((number, character)));
    let mut all = fold_many0(alt((plain, escape)), Vec::new, |mut bytes: Vec<u8>, more| {
        bytes.extend(more);
        bytes
    });
    let scan: Scan<'_, Vec<u8>> = all.parse(inner);
    Text::new(scan.map_or_else(|_| Vec::new(), |(_, bytes)| bytes))
}

/// `x41`, `101`, `u00e9`, `U0001f98d`: a byte or a character by its number.
fn number(text: &str) -> Scan<'_, Vec<u8>> {
    let byte =
        |radix| move |digits: &str| u8::from_str_radix(digits, radix).ok().map(|byte| vec![byte]);
    let code = |digits: &str| {
        let c = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?;
        Some(c.to_string().into_bytes())
    };
    let hex = |count| take_while_m_n(count, count, |c: char| c.is_ascii_hexdigit());
    alt((
        map_opt(take_while_m_n(3, 3, |c: char| c.is_digit(8)), byte(8)),
        map_opt(preceded(tag("x"), hex(2)), byte(16)),
        map_opt(preceded(tag("u"), hex(4)), code),
        map_opt(preceded(tag("U"), hex(8)), code),
    ))
    .parse(text)
}

/// `n`, `\`, `"`: a character by its name.
fn character(text: &str) -> Scan<'_, Vec<u8>> {
    map(anychar, |c| {
        let c = match c {
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            c => c,
        };
        c.to_string().into_bytes()
    })
    .parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_the_characters_they_name() {
        for (text, want) in [
            (r#""""#, ""),
            (r#""a'b""#, "a'b"),
            (r"'a\'b\\'", r"a'b\"),
            (r#""\a\b\f\n\r\t\v""#, "\x07\x08\x0c\n\r\t\x0b"),
            (r#""\x41\102\u00e9\U0001f98d""#, "ABé🦍"),
            (r#""\xc3\xa9""#, "é"),
            (r#""\xff!""#, "\u{fffd}!"),
            (r"`a\n`", r"a\n"),
            ("`a\nb`", "a\nb"),
        ] {
            assert_eq!(scan(text), Ok(text.len()), "{text}");
            assert_eq!(unquote(text).as_str(), want, "{text}");
        }
    }

    #[test]
    fn a_bad_string_says_what_is_wrong() {
        for (text, want) in [
            ("\"abc", "unterminated quoted string"),
            ("\"ab\nc\"", "unterminated quoted string"),
            ("`abc", "unterminated raw string"),
            (r#""\z""#, "unknown escape sequence U+007A 'z'"),
            (r#""\'""#, "unknown escape sequence U+0027 '''"),
            ("\"\\\u{1}\"", "unknown escape sequence U+0001"),
            (r#""\400""#, "escape sequence is an invalid Unicode code point"),
            (r#""\uD800""#, "escape sequence is an invalid Unicode code point"),
            (r#""\U00110000""#, "escape sequence is an invalid Unicode code point"),
            (r#""\xg""#, "illegal character U+0067 'g' in escape sequence"),
            (r#""\09""#, "illegal character U+0039 '9' in escape sequence"),
            (r#""\"#, "escape sequence not terminated"),
            (r#""\x4"#, "escape sequence not terminated"),
            ("\"\u{fffd}\"", "invalid UTF-8 rune"),
        ] {
            assert_eq!(scan(text), Err(want.to_owned()), "{text}");
        }
    }
}
