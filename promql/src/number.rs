//! Numbers as Go prints them: `strconv` formats `'f'`, `'e'` and `'g'`, and the rule of the HTTP
//! API for sample values (contract 1.2).

use std::fmt::Write as _;

/// Most significant digits a float needs.
const MAX_DIGITS: usize = 17;

/// Decimal digits of a finite number without its sign: `0.d1 d2 d3... * 10^point`.
struct Decimal {
    digits: [u8; MAX_DIGITS],
    len: usize,
    point: i32,
}

impl Decimal {
    /// Reads digits, point and exponent from `text`, which is a number without a sign.
    fn parse(text: &[u8]) -> Self {
        let (mantissa, exponent) = match text.iter().position(|c| *c == b'e') {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])),
            None => (text, 0),
        };
        let mut decimal = Self { digits: [b'0'; MAX_DIGITS], len: 0, point: exponent };
        let mut after_point = false;
        for &c in mantissa {
            if c == b'.' {
                after_point = true;
            } else if decimal.len == 0 && c == b'0' {
                decimal.point -= i32::from(after_point);
            } else {
                decimal.point += i32::from(!after_point);
                if decimal.len < MAX_DIGITS {
                    decimal.digits[decimal.len] = c;
                    decimal.len += 1;
                }
            }
        }
        while decimal.len > 0 && decimal.digits[decimal.len - 1] == b'0' {
            decimal.len -= 1;
        }
        if decimal.len == 0 {
            decimal.point = 0;
        }
        decimal
    }

    fn shortest(v: f64) -> Self {
        Self::parse(zmij::Buffer::new().format_finite(v.abs()).as_bytes())
    }

    /// Rounded to `precision` significant digits, at least one and at most 17.
    fn rounded(v: f64, precision: usize) -> Self {
        let places = precision.clamp(1, MAX_DIGITS) - 1;
        Self::parse(format!("{:.places$e}", v.abs()).as_bytes())
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.len]
    }

    /// The exponent of the first digit.
    fn exponent(&self) -> i32 {
        if self.len == 0 { 0 } else { self.point - 1 }
    }

    fn push_plain(&self, out: &mut Vec<u8>) {
        let digits = self.digits();
        let point = usize::try_from(self.point).unwrap_or(0);
        if point == 0 {
            out.push(b'0');
        } else {
            out.extend_from_slice(&digits[..point.min(digits.len())]);
            out.extend(std::iter::repeat_n(b'0', point.saturating_sub(digits.len())));
        }
        if digits.len() > point {
            out.push(b'.');
            let zeros = usize::try_from(-self.point).unwrap_or(0);
            out.extend(std::iter::repeat_n(b'0', zeros));
            out.extend_from_slice(&digits[point..]);
        }
    }

    fn push_exponent(&self, out: &mut Vec<u8>) {
        match self.digits() {
            [] => out.push(b'0'),
            [one] => out.push(*one),
            [first, rest @ ..] => {
                out.extend_from_slice(&[*first, b'.']);
                out.extend_from_slice(rest);
            }
        }
        let exponent = self.exponent();
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(exponent.abs()).as_bytes());
    }
}

fn parse_exponent(text: &[u8]) -> i32 {
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let n = digits.iter().fold(0, |n, c| n * 10 + i32::from(c - b'0'));
    if text.first() == Some(&b'-') { -n } else { n }
}

/// Writes `NaN`, `+Inf` or `-Inf` and says so; a finite number's minus sign otherwise.
fn push_special_or_sign(out: &mut Vec<u8>, v: f64) -> bool {
    if v.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if v.is_infinite() {
        out.extend_from_slice(if v > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        if v.is_sign_negative() {
            out.push(b'-');
        }
        return false;
    }
    true
}

/// Appends `v` as the HTTP API prints the value of a sample: `'f'`, but `'e'` for a number that is
/// not zero and is below 1e-6 or from 1e21 on (contract 1.2).
pub fn push_sample_value(out: &mut Vec<u8>, v: f64) {
    let size = v.abs();
    // In this range the shortest text needs no exponent, so it is the answer but for a ".0".
    if (1e-4..1e15).contains(&size) {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(v).as_bytes();
        out.extend_from_slice(text.strip_suffix(b".0").unwrap_or(text));
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        push_e(out, v);
    } else {
        push_f(out, v);
    }
}

/// Appends `v` in format `'f'` with as few digits as name it: `strconv.FormatFloat(v, 'f', -1, 64)`.
pub fn push_f(out: &mut Vec<u8>, v: f64) {
    if !push_special_or_sign(out, v) {
        Decimal::shortest(v).push_plain(out);
    }
}

/// Appends `v` in format `'e'` with as few digits as name it; the exponent has two digits or more.
pub fn push_e(out: &mut Vec<u8>, v: f64) {
    if !push_special_or_sign(out, v) {
        Decimal::shortest(v).push_exponent(out);
    }
}

/// Appends `v` in format `%g`: exponents below -4 and from 6 on in format `'e'`.
pub fn push_g(out: &mut Vec<u8>, v: f64) {
    if push_special_or_sign(out, v) {
        return;
    }
    let decimal = Decimal::shortest(v);
    push_general(out, &decimal, 6);
}

/// Appends `v` in format `%.Ng`: at most `precision` significant digits.
pub fn push_g_rounded(out: &mut Vec<u8>, v: f64, precision: usize) {
    if push_special_or_sign(out, v) {
        return;
    }
    let decimal = Decimal::rounded(v, precision);
    let mut limit = i32::try_from(precision.max(1)).unwrap_or(i32::MAX);
    let len = i32::try_from(decimal.len).unwrap_or(i32::MAX);
    if limit > len && len >= decimal.point {
        limit = len;
    }
    push_general(out, &decimal, limit);
}

fn push_general(out: &mut Vec<u8>, decimal: &Decimal, limit: i32) {
    // Zero has no digits and counts as below one here.
    if decimal.point - 1 < -4 || decimal.point > limit {
        decimal.push_exponent(out);
    } else {
        decimal.push_plain(out);
    }
}

fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::with_capacity(24);
    push(&mut out);
    String::from_utf8(out).expect("numbers are printed in ASCII")
}

/// [`push_sample_value`] as a string.
pub fn sample_value(v: f64) -> String {
    text(|out| push_sample_value(out, v))
}

/// `strconv.FormatFloat(v, 'f', -1, 64)`: what `count_values` makes its labels of.
pub fn format_f(v: f64) -> String {
    text(|out| push_f(out, v))
}

/// `strconv.FormatFloat(v, 'e', -1, 64)`: the value of an alert.
pub fn format_e(v: f64) -> String {
    text(|out| push_e(out, v))
}

/// `fmt.Sprintf("%g", v)`.
pub fn format_g(v: f64) -> String {
    text(|out| push_g(out, v))
}

/// `fmt.Sprintf("%.Ng", v)`.
pub fn format_g_rounded(v: f64, precision: usize) -> String {
    text(|out| push_g_rounded(out, v, precision))
}

/// `fmt.Sprintf("%f", v)`: six decimals.
pub fn format_f6(v: f64) -> String {
    let mut out = String::new();
    if v.is_finite() {
        let _ = write!(out, "{v:.6}");
    } else {
        out.push_str(&format_f(v));
    }
    out
}

/// A float as OpenMetrics writes it in a label: never without a point or an exponent.
pub fn format_openmetrics(v: f64) -> String {
    let mut out = format_g(v);
    if v.is_finite() && !out.contains(['.', 'e']) {
        out.push_str(".0");
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unreadable_literal, reason = "golden values, compared to the bit")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sample_values_follow_the_contract() {
        for (v, want) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (1e-6, "0.000001"),
            (1e-7, "1e-07"),
            (9.9e-7, "9.9e-07"),
            (1.234e-5, "0.00001234"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (123_456_789_012_345_680.0, "123456789012345680"),
            (1e15, "1000000000000000"),
            (0.1 + 0.2, "0.30000000000000004"),
            (3.333333333333333e307, "3.333333333333333e+307"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(sample_value(v), want);
        }
    }

    #[test]
    fn other_formats_follow_go() {
        assert_eq!(format_f(1e21), "1000000000000000000000");
        assert_eq!(format_f(1e-7), "0.0000001");
        assert_eq!(format_e(1.0), "1e+00");
        assert_eq!(format_e(0.0), "0e+00");
        assert_eq!(format_e(-123.0), "-1.23e+02");
        assert_eq!(format_f6(1.5), "1.500000");
        assert_eq!(format_f6(f64::INFINITY), "+Inf");
        for (v, want) in [(1e5, "100000"), (1e6, "1e+06"), (1e-4, "0.0001"), (1e-5, "1e-05")] {
            assert_eq!(format_g(v), want);
        }
        assert_eq!(format_g(123_456_789.0), "1.23456789e+08");
        for (v, want) in [(100.0, "1e+02"), (5.0, "5"), (0.25, "0.25"), (1.0 / 3.0, "0.33")] {
            assert_eq!(format_g_rounded(v, 2), want);
        }
        assert_eq!(format_g_rounded(123.456, 4), "123.5");
        assert_eq!(format_g_rounded(0.0, 4), "0");
        assert_eq!(format_openmetrics(1.0), "1.0");
        assert_eq!(format_openmetrics(0.0), "0.0");
        assert_eq!(format_openmetrics(0.99), "0.99");
        assert_eq!(format_openmetrics(f64::INFINITY), "+Inf");
    }

    proptest! {
        /// Every format but the rounded one names the same float when read again.
        #[test]
        fn texts_read_back(bits in any::<u64>()) {
            let v = f64::from_bits(bits);
            prop_assume!(v.is_finite());
            for text in [sample_value(v), format_f(v), format_e(v), format_g(v)] {
                prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits, "{}", text);
            }
            prop_assert_eq!(format_g_rounded(v, 17).parse::<f64>().unwrap().to_bits(), bits);
        }

        /// Around the limits of the fast path both paths print the same.
        #[test]
        fn the_fast_path_changes_nothing(m in 1_u32..100_000, e in -25..25) {
            let v = f64::from(m) * 10_f64.powi(e);
            if (1e-6..1e21).contains(&v) {
                prop_assert_eq!(sample_value(v), format_f(v));
            }
        }
    }
}
