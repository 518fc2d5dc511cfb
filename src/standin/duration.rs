//! Prometheus durations, until `promql` has them.

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DurationError(String);

const UNITS: [(&str, i64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

pub(crate) fn parse(text: &str) -> Result<i64, DurationError> {
    let bad = || DurationError(format!("not a valid duration string: {}", model::go_quote(text)));
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err(DurationError("empty duration string".to_owned()));
    }
    let (mut rest, mut total, mut from) = (text, 0_i64, 0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let n: i64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let at = UNITS.iter().position(|(name, _)| *name == &rest[..end]).ok_or_else(bad)?;
        if at < from {
            return Err(bad());
        }
        from = at + 1;
        let out_of_range = || DurationError("duration out of range".to_owned());
        let part = n.checked_mul(UNITS[at].1).ok_or_else(out_of_range)?;
        total = total.checked_add(part).ok_or_else(out_of_range)?;
        if total > i64::MAX / 1_000_000 {
            return Err(out_of_range());
        }
        rest = &rest[end..];
    }
    Ok(total)
}

pub(crate) fn format(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    for (name, unit) in &UNITS[..2] {
        if ms % unit == 0 {
            return format!("{}{name}", ms / unit);
        }
    }
    let (mut out, mut rest) = (String::new(), ms);
    for (name, unit) in &UNITS[2..] {
        if rest >= *unit {
            out.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    out
}
