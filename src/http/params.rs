//! Parameters of a URL's query and of a form body, and the kinds of values they have.

/// Parameters in the order of their precedence: those of the form body first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Parses both, percent-encoded.
    ///
    /// # Errors
    /// The first part that is not percent-encoded UTF-8.
    pub(crate) fn parse(query: &str, form: &str) -> Result<Self, String> {
        let mut params = Vec::new();
        for part in form.split('&').chain(query.split('&')).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            params.push((decode(name, true)?, decode(value, true)?));
        }
        Ok(Self(params))
    }

    /// The value of `name`, or the empty string. The form wins over the URL.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Every value of `name`.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Undoes percent-encoding; `plus` says whether `+` is a space.
pub(crate) fn decode(text: &str, plus: bool) -> Result<String, String> {
    if !text.bytes().any(|b| b == b'%' || (plus && b == b'+')) {
        return Ok(text.to_owned());
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        at += 1;
        match b {
            b'+' if plus => out.push(b' '),
            b'%' => {
                let digit = |i| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
                let byte = digit(at).zip(digit(at + 1)).map(|(high, low)| 16 * high + low);
                let Some(byte) = byte.and_then(|byte| u8::try_from(byte).ok()) else {
                    let bad: String = text.get(at - 1..).unwrap_or("%").chars().take(3).collect();
                    return Err(format!("invalid URL escape {}", model::go_quote(&bad)));
                };
                out.push(byte);
                at += 2;
            }
            b => out.push(b),
        }
    }
    String::from_utf8(out).map_err(|_| "parameter is not valid UTF-8".to_owned())
}

/// Earliest and latest times of the API: what unbounded requests print and send back.
const MIN_TIME: (&str, i64) = ("-292273086-05-16T16:47:06Z", i64::MIN);
const MAX_TIME: (&str, i64) = ("292277025-08-18T07:12:54.999999999Z", i64::MAX);

/// A time in ms: decimal seconds, RFC 3339, or one of the two texts for "unbounded". Seconds that
/// were meant as milliseconds are a time far ahead, not an error: Grafana sends them.
///
/// # Errors
/// `cannot parse "x" to a valid timestamp`.
pub(crate) fn parse_time(text: &str) -> Result<i64, String> {
    let time = match text {
        _ if text == MIN_TIME.0 => Some(MIN_TIME.1),
        _ if text == MAX_TIME.0 => Some(MAX_TIME.1),
        _ => parse_float(text).map_or_else(|| parse_rfc3339(text), seconds_to_ms),
    };
    time.ok_or_else(|| format!("cannot parse {} to a valid timestamp", model::go_quote(text)))
}

/// A float as Go's `strconv.ParseFloat` reads it: an underscore between two digits, or hexadecimal with
/// an exponent of two. What is too large to be finite is refused.
fn parse_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let hex = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X"));
    let plain = without_underscores(hex.unwrap_or(text), hex.is_some())?;
    let value = match hex {
        Some(_) if text.starts_with('-') => -hex_float(&plain)?,
        Some(_) => hex_float(&plain)?,
        None => plain.parse().ok()?,
    };
    let word = !plain.bytes().any(|b| b.is_ascii_digit());
    (word || f64::is_finite(value)).then_some(value)
}

/// `text` without its underscores; `None` where one is not between digits, or behind the `0x` that
/// was taken off.
fn without_underscores(text: &str, hex: bool) -> Option<String> {
    let bytes = text.as_bytes();
    let is_digit = |b: u8| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
    for (at, _) in text.match_indices('_') {
        let before = at.checked_sub(1).map_or(hex, |at| is_digit(bytes[at]));
        if !before || !bytes.get(at + 1).is_some_and(|b| is_digit(*b)) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

/// `a.bp-4` behind `0x`: to a few units in the last place, which is far below a millisecond.
fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 {
        return None;
    }
    let mut value = 0.0;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let exponent: i32 = exponent.parse().ok()?;
    let fraction_bits = i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    Some(value * 2_f64.powi(exponent.checked_sub(fraction_bits)?))
}

fn seconds_to_ms(seconds: f64) -> Option<i64> {
    /// Beyond this many seconds milliseconds do not fit.
    const MAX_SECONDS: f64 = 9_223_372_036_854_775.0;
    if !(-MAX_SECONDS..=MAX_SECONDS).contains(&seconds) {
        return None;
    }
    // The fraction is rounded on its own, as Prometheus does: a large whole part would eat it.
    let ms = (seconds.fract() * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "both are in range as just checked")]
    (seconds.trunc() as i64).checked_mul(1000)?.checked_add(ms as i64)
}

/// `YYYY-MM-DDTHH:MM:SS[.fraction](Z|+HH:MM|-HH:MM)` in ms, rounded down.
fn parse_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().all(u8::is_ascii_digit).then(|| text.get(from..to)?.parse().ok())?
    };
    let is = |at: usize, b: u8| (bytes.get(at) == Some(&b)).then_some(());
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    for (at, b) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        is(at, b)?;
    }
    if hour > 23 || minute > 59 || second > 59 || day < 1 || day > days_in(year, month)? {
        return None;
    }
    let mut at = 19;
    let mut ms = 0;
    if bytes.get(at) == Some(&b'.') {
        let digits = bytes.get(at + 1..)?.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        ms = format!("{:0<3}", text.get(at + 1..at + 1 + digits.min(3))?).parse().ok()?;
        at += 1 + digits;
    }
    let offset_s = match bytes.get(at)? {
        b'Z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 => {
            is(at + 3, b':')?;
            let (h, m) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if h > 24 || m > 59 {
                return None;
            }
            (h * 3600 + m * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let days = days_from_civil(year, month, day);
    Some((days * 86_400 + hour * 3600 + minute * 60 + second - offset_s) * 1000 + ms)
}

fn days_in(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    Some(match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    })
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar: years are counted from March, so
/// that the leap day is their last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A time in ms as RFC 3339 in UTC, as status pages print it.
pub(crate) fn format_rfc3339(t_ms: i64) -> String {
    let (days, of_day) = (t_ms.div_euclid(86_400_000), t_ms.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (s, ms) = (of_day / 1000, of_day % 1000);
    let fraction = if ms == 0 { String::new() } else { format!(".{ms:03}") };
    let fraction = fraction.trim_end_matches('0');
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{fraction}Z",
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}

/// A length of time in ms: decimal seconds or a Prometheus duration.
///
/// # Errors
/// `cannot parse "x" to a valid duration`, with `. It overflows int64` where it does.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let quoted = || model::go_quote(text);
    if let Some(seconds) = parse_float(text) {
        // Prometheus counts nanoseconds in 64 bits.
        if seconds.abs() * 1e9 > 9_223_372_036_854_775_807.0 {
            return Err(format!(
                "cannot parse {} to a valid duration. It overflows int64",
                quoted()
            ));
        }
        if seconds.is_nan() {
            // To Prometheus the longest time that is less than none.
            return Ok(i64::MIN / 1_000_000);
        }
        #[expect(clippy::cast_possible_truncation, reason = "in range as just checked")]
        return Ok((seconds * 1000.0) as i64);
    } else if let Ok(ms) = promql::parse_duration(text) {
        return Ok(ms);
    }
    Err(format!("cannot parse {} to a valid duration", quoted()))
}

/// A limit on the number of results: 0 for none.
///
/// # Errors
/// As Prometheus words them, without the name of the parameter.
pub(crate) fn parse_limit(text: &str) -> Result<usize, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let what = match text.parse::<i64>() {
        Ok(n) => {
            return usize::try_from(n).map_err(|_| "limit must be non-negative".to_owned());
        }
        Err(_) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            "value out of range"
        }
        Err(_) => "invalid syntax",
    };
    Err(format!("strconv.Atoi: parsing {}: {what}", model::go_quote(text)))
}

/// A time in ms as the decimal seconds that [`parse_time`] reads, for messages.
#[cfg(test)]
fn print_seconds(t_ms: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "the tests stay small")]
    promql::number::format_f(t_ms as f64 / 1000.0)
}

#[cfg(test)]
mod tests;
