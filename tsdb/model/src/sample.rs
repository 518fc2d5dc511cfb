//! One value of a series at a time, the stale marker, metric metadata, and Go's string quoting,
//! in which labels are printed everywhere.

use std::fmt::Write as _;

/// The NaN payload that ends a series (Prometheus `value.StaleNaN`).
pub const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

/// The stale marker as a float. Compare bits, never values: NaN differs from itself.
pub const fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN)
}

/// Whether `v` is the stale marker and not an ordinary NaN.
pub const fn is_stale(v: f64) -> bool {
    v.to_bits() == STALE_NAN
}

/// A float sample.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub t_ms: i64,
    /// The value; its bits are kept, also those of a NaN.
    pub v: f64,
}

/// What kind of metric a name is, as its sender said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum MetricType {
    /// Not said.
    #[default]
    Unknown,
    /// A counter.
    Counter,
    /// A gauge.
    Gauge,
    /// A classic or native histogram.
    Histogram,
    /// A histogram whose counts may go down.
    GaugeHistogram,
    /// Precomputed quantiles.
    Summary,
    /// A constant 1 that carries labels.
    Info,
    /// A set of booleans.
    Stateset,
}

impl MetricType {
    /// The OpenMetrics word, as `/api/v1/metadata` prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::Stateset => "stateset",
        }
    }

    /// The enum number of remote write 1.0 and 2.0 (they agree); any other number is `None`.
    pub const fn from_number(n: i32) -> Option<Self> {
        Some(match n {
            0 => Self::Unknown,
            1 => Self::Counter,
            2 => Self::Gauge,
            3 => Self::Histogram,
            4 => Self::GaugeHistogram,
            5 => Self::Summary,
            6 => Self::Info,
            7 => Self::Stateset,
            _ => return None,
        })
    }

    /// The inverse of [`MetricType::from_number`].
    pub const fn number(self) -> i32 {
        match self {
            Self::Unknown => 0,
            Self::Counter => 1,
            Self::Gauge => 2,
            Self::Histogram => 3,
            Self::GaugeHistogram => 4,
            Self::Summary => 5,
            Self::Info => 6,
            Self::Stateset => 7,
        }
    }
}

/// Type, help and unit of a metric family.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricMetadata {
    /// The metric type.
    pub kind: MetricType,
    /// The help text, at most 1 KiB (limit L27).
    pub help: String,
    /// The unit, often empty.
    pub unit: String,
}

/// `text` in double quotes with the escapes of Go's `strconv.Quote` (`%q`).
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            ' '..='~' => out.push(c),
            c if is_go_print(c) => out.push(c),
            c if (c as u32) < 0x80 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if (c as u32) < 0x1_0000 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => {
                let _ = write!(out, "\\U{:08x}", c as u32);
            }
        }
    }
    out.push('"');
    out
}

/// Go's `unicode.IsPrint` for characters above ASCII, by way of the standard library's idea of
/// what `Debug` must escape; combining marks are printable in Go and escaped in Rust, so they are
/// let through.
fn is_go_print(c: char) -> bool {
    if (c as u32) < 0xa0 || c == '\u{ad}' {
        return false;
    }
    let mut escaped = c.escape_debug();
    escaped.next() != Some('\\') || is_combining(c)
}

fn is_combining(c: char) -> bool {
    matches!(c as u32, 0x300..=0x36f | 0x483..=0x489 | 0x591..=0x5bd | 0x610..=0x61a
        | 0x64b..=0x65f | 0x900..=0x903 | 0x1ab0..=0x1ace | 0x1dc0..=0x1dff | 0x20d0..=0x20f0
        | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stale_marker_is_a_nan_with_its_own_bits() {
        assert!(stale_nan().is_nan() && is_stale(stale_nan()));
        assert!(!is_stale(f64::NAN) && !is_stale(f64::from_bits(0x7ff8_0000_0000_0001)));
    }

    #[test]
    fn quoting_follows_go() {
        for (text, want) in [
            ("a\"b\\", r#""a\"b\\""#),
            ("\n\t\u{7f}\u{1}", r#""\n\t\x7f\x01""#),
            ("é\u{a0}\u{200b}", "\"é\\u00a0\\u200b\""),
            ("e\u{301}", "\"e\u{301}\""),
        ] {
            assert_eq!(go_quote(text), want);
        }
    }
}
