//! Calendar functions of seconds since the epoch, in UTC (contract 3.11). The value is cut to whole
//! seconds towards zero.

const DAY_S: i128 = 86_400;

/// A day of the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Date {
    year: i64,
    /// 1 to 12.
    month: i64,
    /// 1 to 31.
    day: i64,
}

/// Whole seconds. Go's conversion of what does not fit is the least integer, on the processors
/// that Prometheus is mostly run on.
fn whole_seconds(v: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    if (-LIMIT..LIMIT).contains(&v) { v as i64 } else { i64::MIN }
}

/// Whole seconds as Go's calendar sees them: it counts from a year so far back that only the least
/// integers precede it, and those wrap around.
fn seconds(v: f64) -> i128 {
    const FIRST_S: i64 = -9_223_371_966_579_724_800;
    let seconds = whole_seconds(v);
    i128::from(seconds) + if seconds < FIRST_S { 1 << 64 } else { 0 }
}

/// Whole days, rounded down.
fn days(v: f64) -> i64 {
    i64::try_from(seconds(v).div_euclid(DAY_S)).expect("2^64 seconds are 2^48 days")
}

fn second_of_day(v: f64) -> i64 {
    i64::try_from(seconds(v).rem_euclid(DAY_S)).expect("a day has 86,400 seconds")
}

/// The date `days` after 1970-01-01: count from the first of March of a year divisible by 400, so
/// that the leap day is the last of its year, era, century and cycle.
fn date(days: i64) -> Date {
    const ERA: i64 = 146_097;
    let shifted = days + 719_468;
    let era = shifted.div_euclid(ERA);
    let day_of_era = shifted.rem_euclid(ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    Date { year: era * 400 + year_of_era + i64::from(month <= 2), month, day }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn length_of_month(date: Date) -> i64 {
    match date.month {
        2 if is_leap(date.year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[expect(clippy::cast_precision_loss, reason = "calendar numbers are small")]
fn number(n: i64) -> f64 {
    n as f64
}

/// `day_of_month(v)`: 1 to 31.
pub fn day_of_month(v: f64) -> f64 {
    number(date(days(v)).day)
}

/// `day_of_week(v)`: Sunday is 0.
pub fn day_of_week(v: f64) -> f64 {
    number((days(v) + 4).rem_euclid(7))
}

/// `day_of_year(v)`: 1 to 366.
pub fn day_of_year(v: f64) -> f64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let date = date(days(v));
    let month = usize::try_from(date.month - 1).expect("months are 1 to 12");
    let leap_day = i64::from(date.month > 2 && is_leap(date.year));
    number(BEFORE[month] + leap_day + date.day)
}

/// `days_in_month(v)`: 28 to 31.
pub fn days_in_month(v: f64) -> f64 {
    number(length_of_month(date(days(v))))
}

/// `hour(v)`: 0 to 23.
pub fn hour(v: f64) -> f64 {
    number(second_of_day(v) / 3600)
}

/// `minute(v)`: 0 to 59.
pub fn minute(v: f64) -> f64 {
    number(second_of_day(v) / 60 % 60)
}

/// `month(v)`: 1 to 12.
pub fn month(v: f64) -> f64 {
    number(date(days(v)).month)
}

/// `year(v)`
pub fn year(v: f64) -> f64 {
    number(date(days(v)).year)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "exact values")]
    use super::*;

    #[test]
    fn dates_of_known_seconds() {
        for (s, year_, month_, day, week, yday, hour_, minute_, length) in [
            (0.0, 1970.0, 1.0, 1.0, 4.0, 1.0, 0.0, 0.0, 31.0),
            (1_700_000_000.0, 2023.0, 11.0, 14.0, 2.0, 318.0, 22.0, 13.0, 30.0),
            (951_782_400.0, 2000.0, 2.0, 29.0, 2.0, 60.0, 0.0, 0.0, 29.0),
            (-1.0, 1969.0, 12.0, 31.0, 3.0, 365.0, 23.0, 59.0, 31.0),
            (-0.9, 1970.0, 1.0, 1.0, 4.0, 1.0, 0.0, 0.0, 31.0),
            (-2_208_988_800.0, 1900.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 31.0),
            (4_107_542_400.0, 2100.0, 3.0, 1.0, 1.0, 60.0, 0.0, 0.0, 31.0),
        ] {
            let got = [year, month, day_of_month, day_of_week, day_of_year, hour, minute];
            let want = [year_, month_, day, week, yday, hour_, minute_];
            assert_eq!(got.map(|f| f(s)), want, "{s}");
            assert_eq!(days_in_month(s), length, "{s}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let mut yesterday = date(-146_097);
        for n in -146_096..146_097 {
            let today = date(n);
            let next_month = yesterday.day == length_of_month(yesterday);
            let want = match (next_month, yesterday.month) {
                (false, _) => Date { day: yesterday.day + 1, ..yesterday },
                (true, 12) => Date { year: yesterday.year + 1, month: 1, day: 1 },
                (true, m) => Date { month: m + 1, day: 1, ..yesterday },
            };
            assert_eq!(today, want);
            yesterday = today;
        }
    }

    #[test]
    fn numbers_that_are_no_time_have_a_date_all_the_same() {
        for v in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300] {
            assert!((1.0..=12.0).contains(&month(v)) && (0.0..=23.0).contains(&hour(v)));
        }
    }
}
