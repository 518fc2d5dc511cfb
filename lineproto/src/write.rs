//! Writing lines, for exports and tests. What is written reads back as the same point; a point
//! for which the format has no such text is refused.

use std::{borrow::Cow, fmt::Write as _};

/// A field value to write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WriteValue<'a> {
    /// Written in its shortest form, with an exponent from 1e6 on, as Go's `%g` does.
    Float(f64),
    /// Written with suffix `i`.
    Int(i64),
    /// Written with suffix `u`.
    Uint(u64),
    /// Written as `true` or `false`.
    Bool(bool),
    /// Written in quotes.
    Str(&'a str),
}

/// A point to write; tags and fields in the order in which they are written.
#[derive(Debug, Clone, Copy)]
pub struct Point<'a> {
    /// The measurement.
    pub measurement: &'a str,
    /// Keys and values.
    pub tags: &'a [(&'a str, &'a str)],
    /// Keys and values, at least one.
    pub fields: &'a [(&'a str, WriteValue<'a>)],
    /// In the unit that the receiver is told.
    pub timestamp: i64,
}

/// Why a point has no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// An empty measurement, tag key, tag value or field key.
    #[error("empty {0}")]
    Empty(&'static str),
    /// A point without fields.
    #[error("no fields")]
    NoFields,
    /// A name that would read back as something else: it ends with a backslash, holds a control
    /// character, or is a measurement that starts like a comment.
    #[error("{0} {1:?} cannot be written")]
    Name(&'static str, String),
    /// A tag key that is there twice.
    #[error("duplicate tag key {0:?}")]
    DuplicateTag(String),
    /// A float that is not finite: `NaN`, `+Inf` or `-Inf`.
    #[error("{0} cannot be written")]
    NotFinite(&'static str),
}

/// Appends `point` to `out` as a line with its line feed. On an error `out` is unchanged.
///
/// # Errors
/// [`WriteError`] when the point has no text that reads back as itself.
pub fn write_line(out: &mut String, point: &Point<'_>) -> Result<(), WriteError> {
    let start = out.len();
    write_point(out, point).inspect_err(|_| out.truncate(start))
}

fn write_point(out: &mut String, point: &Point<'_>) -> Result<(), WriteError> {
    if point.measurement.starts_with('#') {
        return Err(WriteError::Name("measurement", point.measurement.to_owned()));
    }
    write_name(out, "measurement", point.measurement, &[',', ' '])?;
    let mut keys: Vec<&str> = point.tags.iter().map(|&(key, _)| key).collect();
    keys.sort_unstable();
    if let Some([key, _]) = keys.array_windows().find(|[a, b]| a == b) {
        return Err(WriteError::DuplicateTag((*key).to_owned()));
    }
    for (key, value) in point.tags {
        out.push(',');
        write_name(out, "tag key", key, &[',', ' ', '='])?;
        out.push('=');
        write_name(out, "tag value", value, &[',', ' ', '='])?;
    }
    if point.fields.is_empty() {
        return Err(WriteError::NoFields);
    }
    let mut separator = ' ';
    for (key, value) in point.fields {
        out.push(separator);
        write_name(out, "field key", key, &[',', ' ', '='])?;
        out.push('=');
        write_value(out, *value)?;
        separator = ',';
    }
    push(out, format_args!(" {}\n", point.timestamp));
    Ok(())
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a String cannot fail");
}

fn write_name(
    out: &mut String,
    what: &'static str,
    name: &str,
    escaped: &[char],
) -> Result<(), WriteError> {
    // Control characters are legal in tag values, where only those that end a line are not.
    let control =
        |c: char| if what == "tag value" { matches!(c, '\r' | '\n') } else { c.is_ascii_control() };
    if name.is_empty() {
        return Err(WriteError::Empty(what));
    }
    if name.ends_with('\\') || name.contains(control) {
        return Err(WriteError::Name(what, name.to_owned()));
    }
    for c in name.chars() {
        if escaped.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    Ok(())
}

fn write_value(out: &mut String, value: WriteValue<'_>) -> Result<(), WriteError> {
    match value {
        WriteValue::Float(v) => out.push_str(&float(v)?),
        WriteValue::Int(v) => push(out, format_args!("{v}i")),
        WriteValue::Uint(v) => push(out, format_args!("{v}u")),
        WriteValue::Bool(v) => push(out, format_args!("{v}")),
        WriteValue::Str(text) => {
            out.push('"');
            for c in text.chars() {
                if matches!(c, '"' | '\\') {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('"');
        }
    }
    Ok(())
}

/// The shortest text that reads back as `v`, as Go's `strconv` formats with `g`: with an exponent
/// of at least two digits below 1e-4 and from 1e6 on.
fn float(v: f64) -> Result<Cow<'static, str>, WriteError> {
    if !v.is_finite() {
        let text = if v.is_nan() {
            "NaN"
        } else if v > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return Err(WriteError::NotFinite(text));
    }
    let text = format!("{v:e}");
    let (digits, exponent) = text.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a decimal exponent");
    Ok(if (-4..6).contains(&exponent) || v == 0.0 {
        format!("{v}").into()
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs()).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(
        measurement: &str,
        tags: &[(&str, &str)],
        value: WriteValue<'_>,
    ) -> Result<String, String> {
        let mut out = String::from("before\n");
        let fields = [("f", value)];
        let point = Point { measurement, tags, fields: &fields, timestamp: -7 };
        match write_line(&mut out, &point) {
            Ok(()) => Ok(out.strip_prefix("before\n").unwrap().to_owned()),
            Err(error) => {
                assert_eq!(out, "before\n", "an error leaves the output alone");
                Err(error.to_string())
            }
        }
    }

    #[test]
    fn floats_are_as_short_as_go_writes_them() {
        for (v, want) in [
            (42.0, "42"),
            (-0.64, "-0.64"),
            (6_632_243.0, "6.632243e+06"),
            (999_999.0, "999999"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (-0.0, "-0"),
        ] {
            assert_eq!(float(v).unwrap(), want);
        }
    }

    #[test]
    fn separators_are_escaped_and_backslashes_copied() {
        let got =
            line("m x,=", &[("a b", r"\,c=d"), ("q", "\"")], WriteValue::Str("a\"b\\\n")).unwrap();
        assert_eq!(got, "m\\ x\\,=,a\\ b=\\\\,c\\=d,q=\" f=\"a\\\"b\\\\\n\" -7\n");
    }

    #[test]
    fn what_would_read_back_differently_is_refused() {
        let one = WriteValue::Int(1);
        for (measurement, tags, value) in [
            ("", &[][..], one),
            ("#m", &[], one),
            ("m\\", &[], one),
            ("m\t", &[], one),
            ("m", &[("t", "")], one),
            ("m", &[("", "v")], one),
            ("m", &[("t", "a\nb")], one),
            ("m", &[("t", "C:\\")], one),
            ("m", &[("t", "1"), ("u", "1"), ("t", "2")], one),
            ("m", &[], WriteValue::Float(f64::NAN)),
        ] {
            assert!(line(measurement, tags, value).is_err(), "{measurement:?} {tags:?}");
        }
    }
}
