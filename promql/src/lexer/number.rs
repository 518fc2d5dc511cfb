//! Numbers and durations as the scanner takes them. Some that it takes the parser refuses, so
//! that the errors are those of Prometheus.

use super::Kind;

/// Length and kind of the number or duration at the start of `text`, which is a digit or a dot
/// with a digit.
///
/// # Errors
/// How many bytes were read when it stopped being either; they are part of the message.
pub(super) fn scan(text: &str) -> Result<(usize, Kind), usize> {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    if cursor.number() {
        return Ok((cursor.at, Kind::Number));
    }
    if cursor.duration_after_digits() {
        return Ok((cursor.at, Kind::Duration));
    }
    Err(cursor.at)
}

/// All that it steps over is ASCII, so it never stops inside a character.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn is(&self, set: impl Fn(u8) -> bool) -> bool {
        self.peek().is_some_and(set)
    }

    fn accept(&mut self, set: impl Fn(u8) -> bool) -> bool {
        let accepted = self.is(set);
        self.at += usize::from(accepted);
        accepted
    }

    /// Whether the next character could continue a word.
    fn at_word(&self) -> bool {
        self.is(|b| b.is_ascii_alphanumeric() || b == b'_')
    }

    /// `[0x] digits`, with dots, exponents and underscores between them. Where it answers no the
    /// cursor stands after what was read.
    fn number(&mut self) -> bool {
        let mut is_hex = false;
        if self.accept(|b| b == b'0') && self.accept(|b| matches!(b, b'x' | b'X')) {
            self.accept(|b| b == b'_');
            is_hex = true;
        }
        let digit = move |b: u8| if is_hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
        let exponent = |b: u8| matches!(b, b'e' | b'E');
        self.accept(|b| b == b'.');
        self.accept(digit);
        let (mut seen_dot, mut seen_exponent) = (false, false);
        while self.is(|b| digit(b) || exponent(b) || matches!(b, b'.' | b'_')) {
            if (seen_dot && self.accept(|b| b == b'.')) || (seen_exponent && self.accept(exponent))
            {
                return false;
            }
            if self.accept(|b| b == b'.') {
                seen_dot = true;
                if self.accept(|b| matches!(b, b'_' | b'.')) || is_hex {
                    return false;
                }
            } else if self.accept(exponent) {
                seen_exponent = true;
                self.accept(|b| matches!(b, b'+' | b'-'));
                if self.accept(|b| matches!(b, b'.' | b'_') || exponent(b)) || self.peek().is_none()
                {
                    return false;
                }
            } else if self.accept(|b| b == b'_') {
                if self.accept(|b| matches!(b, b'.' | b'_') || exponent(b)) || self.peek().is_none()
                {
                    return false;
                }
            } else {
                while self.accept(digit) {}
            }
        }
        !self.at_word()
    }

    /// The units after the first number, then number and unit by turns.
    fn duration_after_digits(&mut self) -> bool {
        if !self.accept(|b| b"smhdwy".contains(&b)) {
            return false;
        }
        // For `ms`; what is no unit after all is found when the duration is read.
        self.accept(|b| b == b's');
        while self.accept(|b| b.is_ascii_digit()) {
            while self.accept(|b| b.is_ascii_digit()) {}
            if !self.accept(|b| b"smhdw".contains(&b)) {
                return false;
            }
            self.accept(|b| b == b's');
        }
        // The character that spoils it is part of the message.
        !self.accept(|b| b.is_ascii_alphanumeric() || b == b'_')
    }
}
