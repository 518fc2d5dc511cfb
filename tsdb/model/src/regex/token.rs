//! Tokens that need no state: escapes and counts; and the messages about them.

use super::RegexError;

/// The message of Go's `syntax.Error`.
pub(super) fn error(what: &str, text: &str) -> RegexError {
    RegexError(format!("error parsing regexp: {what}: `{text}`"))
}

/// The part of `start` before `after`, which is a suffix of it.
pub(super) fn difference<'a>(start: &'a str, after: &str) -> &'a str {
    start.split_at(start.len() - after.len()).0
}

/// The counts of `{n}`, `{n,}` or `{n,m}` and what follows; `None` where the brace is a literal.
/// A number that is too large to read stays too large.
pub(super) fn counts(text: &str) -> Option<(u32, Option<u32>, &str)> {
    let (min, rest) = number(text.strip_prefix('{')?)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => {
            let (max, rest) = number(rest)?;
            (Some(max), rest)
        }
    };
    Some((min, max, rest.strip_prefix('}')?))
}

/// Decimal digits without a leading zero.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}

/// The code point of the escape at the start of `text`, and what follows it.
pub(super) fn escape(text: &str) -> Result<(u32, &str), RegexError> {
    let mut chars = text.chars();
    let _backslash = chars.next();
    let Some(c) = chars.next() else {
        return Err(error("trailing backslash at end of expression", ""));
    };
    let code = match c {
        '0'..='7' => octal(c, &mut chars),
        'x' => hex(&mut chars),
        'a' => Some(0x07),
        'f' => Some(0x0c),
        'n' => Some(0x0a),
        'r' => Some(0x0d),
        't' => Some(0x09),
        'v' => Some(0x0b),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
        _ => None,
    };
    let after = chars.as_str();
    match code {
        Some(code) => Ok((code, after)),
        None => Err(error("invalid escape sequence", difference(text, after))),
    }
}

/// Up to three octal digits; a single one that is not zero would be a back reference.
fn octal(first: char, chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let mut code = first.to_digit(8)?;
    let mut num_digits = 1;
    while let Some(digit) =
        chars.clone().next().and_then(|c| c.to_digit(8)).filter(|_| num_digits < 3)
    {
        let _digit = chars.next();
        code = code * 8 + digit;
        num_digits += 1;
    }
    if num_digits == 1 && first != '0' { None } else { Some(code) }
}

/// Two hexadecimal digits, or any number of them in braces.
fn hex(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let first = chars.next()?;
    if first != '{' {
        let second = chars.next();
        return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
    }
    let (mut code, mut num_digits) = (0, 0);
    loop {
        match chars.next()? {
            '}' => return if num_digits > 0 { Some(code) } else { None },
            c => code = code * 16 + c.to_digit(16)?,
        }
        if code > u32::from(char::MAX) {
            return None;
        }
        num_digits += 1;
    }
}
