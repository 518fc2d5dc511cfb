//! The vocabulary of random lines.

use super::Type;

/// Measurements.
pub(super) const MEASUREMENTS: &[&str] = &[
    "m",
    "m",
    "cpu_load",
    "a b",
    "a,b",
    "k=v",
    "n\u{e4}me/x",
    "e.mo\u{1f600}",
    "back\\slash",
    "UPPER.dots-dash",
    "1digit",
    "a#b",
    "\u{a0}no space",
    "it's",
];

/// Tag keys; each may be a label.
pub(super) const TAG_KEYS: &[&str] = &[
    "host",
    "host",
    "host",
    "region",
    "k=ey",
    "t,a g",
    "n\u{e4}me",
    "le",
    "job",
    "__x",
    "C:\\x",
    "__name__",
    "1",
    "a.b-c/d",
];

/// Tag values.
pub(super) const TAG_VALUES: &[&str] = &[
    "a",
    "b",
    "a b",
    "a,b=c",
    "C:\\Windows\\x",
    "back\\\\slash",
    "\"quoted\"",
    "\u{e4}\u{f6}\u{fc}",
    "\u{1f600}",
    "\\n",
    "+Inf",
    "true",
    "0.5",
    "'",
    "#",
    "\u{feff}bom",
    "{}",
    "$1",
];

/// Fields; the name fixes the type, because a field of InfluxDB has one.
pub(super) const FIELDS: &[(&str, Type)] = &[
    ("value", Type::Float),
    ("value", Type::Float),
    ("f,l o=at", Type::Float),
    ("fl\u{f6}at", Type::Float),
    ("float\\x", Type::Float),
    ("count", Type::Integer),
    ("int eger", Type::Integer),
    ("up", Type::Boolean),
    ("d\u{f6}wn?", Type::Boolean),
    ("text", Type::String),
    ("message", Type::String),
];

/// Floats as they may be written.
pub(super) const FLOATS: &[&str] = &[
    "1",
    "-1",
    "0",
    "-0",
    "1.0",
    "1e5",
    "1E5",
    "1e+5",
    "1e-5",
    "00",
    "007",
    "1.",
    ".5",
    "-.5",
    "1.e5",
    ".5e1",
    "-0.0",
    "5e-324",
    "1.7976931348623157e+308",
    "2.2250738585072014e-308",
    "1e-400",
    "0.1",
    "9007199254740993",
    "123456789012345678901234567890",
    "0.30000000000000004",
];

/// Integers as they may be written.
pub(super) const INTEGERS: &[&str] = &[
    "1i",
    "-1i",
    "0i",
    "-0i",
    "01i",
    "9223372036854775807i",
    "-9223372036854775808i",
    "9007199254740993i",
];

/// Booleans as they may be written.
pub(super) const BOOLEANS: &[&str] =
    &["t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"];

/// Strings as they may be written.
pub(super) const STRINGS: &[&str] = &[
    "\"\"",
    "\"text\"",
    "\"a b,c=d\"",
    "\"say \\\"x\\\"\"",
    "\"back\\\\slash\"",
    "\"\\n \\t \\x\"",
    "\"two\nlines\"",
    "\"# no comment\"",
    "\"\u{e4} \u{1f600}\"",
    "\"1\"",
    "\"tab\tand\rreturn\"",
];

/// Lines that are no points.
pub(super) const COMMENTS: &[&str] = &["# a comment", "#", "#m f=1 1", "  # indented"];

/// Lines that are refused everywhere, for each reason that InfluxDB 1 has.
pub(super) const BAD: &[&str] = &[
    "bad",
    ",t=a f=1",
    "m,=a f=1",
    "m,t= f=1",
    "m,t=a,, f=1",
    "m,t f=1",
    "m,t=a=b f=1",
    "m,t=a,t=b f=1",
    "m,t=a",
    "m,t=a f",
    "m x y",
    "m f=",
    "m =1",
    "m f=1,=2",
    "m f=,g=1",
    "m f=1x",
    "m f=--1",
    "m f=1.2.3",
    "m f=NaN",
    "m f=inf",
    "m f=1e",
    "m f=1e309",
    "m f=9223372036854775808i",
    "m f=1.0i",
    "m f=yes",
    "m f='a'",
    "m f=+1",
    "m f=0x10",
    "m f=1 1x",
    "m f=1 1.5",
    "m f=1 9223372036854775808",
    "m f=1 1 1",
];

/// Bytes that edits insert.
pub(super) const EDITS: &[u8] = b"  ,,==\\\\\"\"#--+.019eEiutTfFaZx_/'\xc3";
