//! The unit of the timestamps in a body, and its name at each door.

use crate::error::Reason;

/// The unit in which a body gives its timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Nanoseconds, the default of every door but v3.
    #[default]
    Nanosecond,
    /// Microseconds.
    Microsecond,
    /// Milliseconds.
    Millisecond,
    /// Seconds.
    Second,
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
    /// Guessed from each timestamp's magnitude, as the v3 door does: below 5e9 seconds, below
    /// 5e12 milliseconds, below 5e15 microseconds, else nanoseconds.
    Auto,
}

/// A name that a door does not know. Displays as that door answers it, with status 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrecisionError {
    /// At `/write`.
    #[error("invalid precision \"{0}\" (use n, u, ms, s, m or h)")]
    V1(String),
    /// At `/api/v2/write`.
    #[error("invalid precision; valid precision units are ns, us, ms, and s")]
    V2,
    /// At `/api/v3/write_lp`.
    #[error("invalid precision \"{0}\" (use auto, second, millisecond, microsecond or nanosecond)")]
    V3(String),
}

impl Precision {
    /// The `precision` parameter of `/write`, as 1.8 and later read it; empty is as good as none.
    ///
    /// # Errors
    /// [`PrecisionError::V1`] for any other name, in any other case.
    pub fn parse_v1(name: &str) -> Result<Self, PrecisionError> {
        match name {
            "" | "n" | "ns" => Ok(Self::Nanosecond),
            "u" => Ok(Self::Microsecond),
            "ms" => Ok(Self::Millisecond),
            "s" => Ok(Self::Second),
            "m" => Ok(Self::Minute),
            "h" => Ok(Self::Hour),
            other => Err(PrecisionError::V1(other.to_owned())),
        }
    }

    /// The `precision` parameter of `/api/v2/write`; empty is as good as none.
    ///
    /// # Errors
    /// [`PrecisionError::V2`] for any other name, in any other case.
    pub fn parse_v2(name: &str) -> Result<Self, PrecisionError> {
        match name {
            "" | "ns" => Ok(Self::Nanosecond),
            "us" => Ok(Self::Microsecond),
            "ms" => Ok(Self::Millisecond),
            "s" => Ok(Self::Second),
            _ => Err(PrecisionError::V2),
        }
    }

    /// The `precision` parameter of `/api/v3/write_lp`; empty is as good as none, which is
    /// [`Precision::Auto`] here.
    ///
    /// # Errors
    /// [`PrecisionError::V3`] for any other name, in any other case.
    pub fn parse_v3(name: &str) -> Result<Self, PrecisionError> {
        match name {
            "" | "auto" => Ok(Self::Auto),
            "nanosecond" | "ns" | "n" => Ok(Self::Nanosecond),
            "microsecond" | "us" | "u" => Ok(Self::Microsecond),
            "millisecond" | "ms" => Ok(Self::Millisecond),
            "second" | "s" => Ok(Self::Second),
            other => Err(PrecisionError::V3(other.to_owned())),
        }
    }

    /// Nanoseconds in one unit; a timestamp with [`Precision::Auto`] has the unit of its size.
    fn unit_ns(self, timestamp: i64) -> i64 {
        match self {
            Self::Nanosecond => 1,
            Self::Microsecond => 1_000,
            Self::Millisecond => 1_000_000,
            Self::Second => 1_000_000_000,
            Self::Minute => 60_000_000_000,
            Self::Hour => 3_600_000_000_000,
            Self::Auto => match timestamp.unsigned_abs() {
                0..5_000_000_000 => 1_000_000_000,
                5_000_000_000..5_000_000_000_000 => 1_000_000,
                5_000_000_000_000..5_000_000_000_000_000 => 1_000,
                _ => 1,
            },
        }
    }

    /// A timestamp of this unit in nanoseconds.
    #[inline]
    pub(crate) fn scale(self, timestamp: i64) -> Result<i64, Reason<'static>> {
        timestamp.checked_mul(self.unit_ns(timestamp)).ok_or(Reason::TimeOutsideRange)
    }

    /// The server's clock as a line without a timestamp has it: `now_ns` cut down to this unit.
    pub fn truncate(self, now_ns: i64) -> i64 {
        let unit = if self == Self::Auto { 1 } else { self.unit_ns(0) };
        // Only times within an hour of the smallest i64 have no such multiple.
        now_ns.checked_sub(now_ns.rem_euclid(unit)).unwrap_or(now_ns)
    }
}

/// Milliseconds of a time in nanoseconds, rounded down.
///
/// This truncates from 1970 on, as the other receivers do. Before 1970 it still rounds towards
/// the past, so that every millisecond collects the same million nanoseconds and order is kept;
/// truncation would put two of them into millisecond 0.
#[inline]
pub fn timestamp_ms(ns: i64) -> i64 {
    ns.div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_door_knows_its_own_names() {
        let parse = [Precision::parse_v1, Precision::parse_v2, Precision::parse_v3];
        let units = [
            ("", ["ns", "ns", "auto"]),
            ("n", ["ns", "-", "ns"]),
            ("ns", ["ns", "ns", "ns"]),
            ("u", ["us", "-", "us"]),
            ("us", ["-", "us", "us"]),
            ("µ", ["-", "-", "-"]),
            ("ms", ["ms", "ms", "ms"]),
            ("s", ["s", "s", "s"]),
            ("m", ["m", "-", "-"]),
            ("h", ["h", "-", "-"]),
            ("auto", ["-", "-", "auto"]),
            ("second", ["-", "-", "s"]),
            ("millisecond", ["-", "-", "ms"]),
            ("microsecond", ["-", "-", "us"]),
            ("nanosecond", ["-", "-", "ns"]),
            ("S", ["-", "-", "-"]),
            (" s", ["-", "-", "-"]),
        ];
        for (name, want) in units {
            let got = parse.map(|parse| match parse(name) {
                Ok(Precision::Nanosecond) => "ns",
                Ok(Precision::Microsecond) => "us",
                Ok(Precision::Millisecond) => "ms",
                Ok(Precision::Second) => "s",
                Ok(Precision::Minute) => "m",
                Ok(Precision::Hour) => "h",
                Ok(Precision::Auto) => "auto",
                Err(_) => "-",
            });
            assert_eq!(got, want, "{name:?}");
        }
        assert_eq!(
            Precision::parse_v1("us").unwrap_err().to_string(),
            "invalid precision \"us\" (use n, u, ms, s, m or h)"
        );
    }

    #[test]
    fn a_unit_scales_to_nanoseconds_or_overflows() {
        assert_eq!(Precision::Hour.scale(2), Ok(7_200_000_000_000));
        assert_eq!(Precision::Nanosecond.scale(i64::MIN), Ok(i64::MIN));
        assert_eq!(Precision::Second.scale(9_223_372_036), Ok(9_223_372_036_000_000_000));
        assert_eq!(Precision::Second.scale(9_223_372_037), Err(Reason::TimeOutsideRange));
        assert_eq!(Precision::Microsecond.scale(i64::MIN), Err(Reason::TimeOutsideRange));
    }

    #[test]
    fn auto_goes_by_magnitude() {
        for (timestamp, ns) in [
            (1_700_000_000, 1_700_000_000_000_000_000),
            (-4_999_999_999, -4_999_999_999_000_000_000),
            (5_000_000_000, 5_000_000_000_000_000),
            (1_700_000_000_000, 1_700_000_000_000_000_000),
            (4_999_999_999_999_999, 4_999_999_999_999_999_000),
            (5_000_000_000_000_000, 5_000_000_000_000_000),
            (i64::MIN, i64::MIN),
        ] {
            assert_eq!(Precision::Auto.scale(timestamp), Ok(ns), "{timestamp}");
        }
    }

    #[test]
    fn the_clock_is_cut_to_the_unit_and_milliseconds_round_down() {
        assert_eq!(Precision::Second.truncate(1_999_999_999), 1_000_000_000);
        assert_eq!(Precision::Second.truncate(-1), -1_000_000_000);
        assert_eq!(Precision::Auto.truncate(1_999_999_999), 1_999_999_999);
        assert_eq!(Precision::Hour.truncate(i64::MIN), i64::MIN);
        assert_eq!([1_999_999, 0, -1, -1_000_001].map(timestamp_ms), [1, 0, -1, -2]);
    }
}
