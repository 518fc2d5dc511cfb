//! The parameters of queries, judged in Prometheus's order with its texts.

use crate::http::error::Failure;
use crate::http::params::{Params, parse_duration, parse_time};

/// Steps after the first that a range may have (limit L18): 11 001 points are allowed.
const MAX_STEPS: i64 = 11_000;

/// `invalid parameter "name": why`.
pub(in crate::http) fn invalid(name: &str, why: &str) -> Failure {
    Failure::BadData(format!("invalid parameter \"{name}\": {why}"))
}

/// A required time.
///
/// # Errors
/// [`Failure::BadData`].
pub(in crate::http) fn time(params: &Params, name: &str) -> Result<i64, Failure> {
    parse_time(params.get(name)).map_err(|why| invalid(name, &why))
}

/// A time that may be left out.
///
/// # Errors
/// [`Failure::BadData`].
pub(in crate::http) fn time_or(params: &Params, name: &str, default: i64) -> Result<i64, Failure> {
    match params.get(name) {
        "" => Ok(default),
        text => parse_time(text)
            .map_err(|why| invalid(name, &format!("invalid time value for '{name}': {why}"))),
    }
}

/// The steps of a range query.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "units end a name")]
pub(super) struct Range {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) step_ms: i64,
}

impl Range {
    pub(super) fn parse(params: &Params) -> Result<Self, Failure> {
        let start_ms = time(params, "start")?;
        let end_ms = time(params, "end")?;
        if end_ms < start_ms {
            let why = "end timestamp must not be before start time";
            return Err(invalid("end", why));
        }
        let step_ms = parse_duration(params.get("step")).map_err(|why| invalid("step", &why))?;
        // Below a millisecond there is no step either: times are milliseconds.
        if step_ms <= 0 {
            let why = "zero or negative query resolution step widths are not accepted. Try a \
                       positive integer";
            return Err(invalid("step", why));
        }
        let steps = end_ms.checked_sub(start_ms).map(|span| span / step_ms);
        if steps.is_none_or(|steps| steps > MAX_STEPS) {
            let message = "exceeded maximum resolution of 11,000 points per timeseries. Try \
                           decreasing the query resolution (?step=XX)";
            return Err(Failure::TooLargeToAsk { message: message.to_owned(), limit: "points" });
        }
        Ok(Self { start_ms, end_ms, step_ms })
    }
}

/// What both kinds of queries can be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// Series to answer with at most; 0 for all.
    pub(super) limit: usize,
    pub(super) timeout_ms: Option<u64>,
    pub(super) lookback_ms: Option<i64>,
    /// The `stats` parameter, where it is not empty.
    pub(super) stats: Option<String>,
    pub(super) explain: Option<Explain>,
}

/// What to tell about the evaluation (ours, not Prometheus's).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Explain {
    /// The operators and what they are estimated to read, in place of an answer.
    Plan,
    /// What each operator did, beside the answer.
    Analyze,
}

impl Options {
    pub(super) fn parse(params: &Params, limit: usize) -> Result<Self, Failure> {
        let timeout_ms = match params.get("timeout") {
            "" => None,
            text => {
                let ms = parse_duration(text).map_err(|why| invalid("timeout", &why))?;
                let ms = u64::try_from(ms).ok().filter(|ms| *ms > 0);
                Some(ms.ok_or_else(|| invalid("timeout", "timeout must be positive"))?)
            }
        };
        let lookback_ms = match params.get("lookback_delta") {
            "" => None,
            text => {
                let ms = parse_duration(text).map_err(|why| {
                    Failure::BadData(format!("error parsing lookback delta duration: {why}"))
                })?;
                Some(ms).filter(|ms| *ms > 0)
            }
        };
        let explain = match params.get("explain") {
            "" => None,
            "plan" => Some(Explain::Plan),
            "analyze" => Some(Explain::Analyze),
            other => {
                let other = model::go_quote(other);
                let why = format!("{other} is neither \"plan\" nor \"analyze\"");
                return Err(invalid("explain", &why));
            }
        };
        let stats = Some(params.get("stats").to_owned()).filter(|text| !text.is_empty());
        Ok(Self { limit, timeout_ms, lookback_ms, stats, explain })
    }

    pub(super) fn stats_warning(&self) -> Option<String> {
        let text = self.stats.as_deref().filter(|text| !matches!(*text, "true" | "all"))?;
        Some(format!(
            "value {} for parameter \"stats\" is deprecated and will be rejected in the next \
             major release, use \"true\" or \"all\"",
            model::go_quote(text)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(query: &str) -> Result<Range, Failure> {
        Range::parse(&Params::parse(query, "").unwrap())
    }

    fn message(result: Result<Range, Failure>) -> String {
        match result.unwrap_err() {
            Failure::BadData(text) | Failure::TooLargeToAsk { message: text, .. } => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ranges_are_judged_in_prometheus_order() {
        for (query, want) in [
            ("", "invalid parameter \"start\": cannot parse \"\" to a valid timestamp"),
            ("start=x&end=y", "invalid parameter \"start\": cannot parse \"x\""),
            ("start=2&end=y", "invalid parameter \"end\": cannot parse \"y\""),
            (
                "start=2&end=1&step=x",
                "invalid parameter \"end\": end timestamp must not be before start time",
            ),
            ("start=1&end=2", "invalid parameter \"step\": cannot parse \"\" to a valid duration"),
            ("start=1&end=2&step=0", "invalid parameter \"step\": zero or negative"),
            ("start=1&end=2&step=-1", "invalid parameter \"step\": zero or negative"),
            ("start=1&end=2&step=1e-9", "invalid parameter \"step\": zero or negative"),
            ("start=1&end=2&step=NaN", "invalid parameter \"step\": zero or negative"),
            (
                "start=1&end=2&step=Inf",
                "invalid parameter \"step\": cannot parse \"Inf\" to a valid duration. It overflows int64",
            ),
            ("start=0&end=11001&step=1", "exceeded maximum resolution of 11,000 points"),
            ("start=-9e15&end=9e15&step=1", "exceeded maximum resolution of 11,000 points"),
        ] {
            assert!(message(range(query)).starts_with(want), "{query}: {:?}", range(query));
        }
    }

    #[test]
    fn eleven_thousand_and_one_points_are_allowed() {
        for (query, want) in [
            ("start=0&end=11000&step=1", (0, 11_000_000, 1000)),
            ("start=0&end=11000.999&step=1", (0, 11_000_999, 1000)),
            ("start=1.5&end=1.5&step=5m", (1500, 1500, 300_000)),
        ] {
            let got = range(query).unwrap();
            assert_eq!((got.start_ms, got.end_ms, got.step_ms), want);
        }
    }

    #[test]
    fn options_are_optional_and_checked() {
        let options = |query: &str| Options::parse(&Params::parse(query, "").unwrap(), 0);
        let plain = options("").unwrap();
        assert_eq!(
            (plain.timeout_ms, plain.lookback_ms, plain.stats_warning()),
            (None, None, None)
        );
        let set = options("timeout=1.5&lookback_delta=1m&stats=1").unwrap();
        assert_eq!((set.timeout_ms, set.lookback_ms), (Some(1500), Some(60_000)));
        assert!(set.stats_warning().unwrap().starts_with("value \"1\" for parameter \"stats\""));
        assert_eq!(options("lookback_delta=-5").unwrap().lookback_ms, None);
        assert_eq!(options("explain=plan").unwrap().explain, Some(Explain::Plan));
        assert_eq!(options("explain=analyze").unwrap().explain, Some(Explain::Analyze));
        let Failure::BadData(text) = options("explain=x").unwrap_err() else { panic!() };
        assert_eq!(
            text,
            "invalid parameter \"explain\": \"x\" is neither \"plan\" nor \"analyze\""
        );
        assert!(options("timeout=-1").is_err() && options("timeout=x").is_err());
        let Failure::BadData(text) = options("lookback_delta=x").unwrap_err() else { panic!() };
        assert!(text.starts_with("error parsing lookback delta duration: cannot parse \"x\""));
    }
}
