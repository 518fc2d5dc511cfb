//! The query API: typed answers, and when two of them are the same.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::http::{Client, Response};

/// Relative difference of two values that are the same.
///
/// Sums may be formed in another order; more than this is another answer.
pub const TOLERANCE: f64 = 1e-12;

/// The labels of a series.
pub type Labels = BTreeMap<String, String>;

/// A native histogram as the API writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Count and sum.
    pub totals: [f64; 2],
    /// Rule, lower bound, upper bound and count of each bucket.
    pub buckets: Vec<[f64; 4]>,
}

/// One series of a vector or matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Times (ms) and values.
    pub floats: Vec<(i64, f64)>,
    /// Times (ms) and histograms.
    pub histograms: Vec<(i64, Histogram)>,
}

/// What a query gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Series at one time.
    Vector(Vec<Series>),
    /// Series over time.
    Matrix(Vec<Series>),
    /// Time (ms) and value.
    Scalar(i64, f64),
    /// Time (ms) and text.
    Text(i64, String),
    /// No data: an error.
    None,
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `errorType`, empty on success.
    pub error_type: String,
    /// `error`, empty on success.
    pub error: String,
    /// What was evaluated.
    pub data: Data,
    /// Warnings, as texts.
    pub warnings: Vec<String>,
    /// Infos, as texts.
    pub infos: Vec<String>,
}

/// A query and when to evaluate it.
#[derive(Debug, Clone)]
pub struct Query {
    /// The expression.
    pub expr: String,
    /// At one time or over a range; times in ms.
    pub when: When,
}

/// Times in ms.
#[derive(Debug, Clone, Copy)]
pub enum When {
    /// An instant query.
    At(i64),
    /// A range query: start, end, step.
    Range(i64, i64, i64),
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.when {
            When::At(t) => write!(f, "{} @{}", self.expr, seconds(t)),
            When::Range(start, end, step) => {
                write!(
                    f,
                    "{} {}..{} step {}",
                    self.expr,
                    seconds(start),
                    seconds(end),
                    seconds(step)
                )
            }
        }
    }
}

impl Query {
    /// An instant query at `t_ms`.
    pub fn at(expr: &str, t_ms: i64) -> Self {
        Self { expr: expr.to_owned(), when: When::At(t_ms) }
    }

    /// A range query.
    pub fn range(expr: &str, start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        Self { expr: expr.to_owned(), when: When::Range(start_ms, end_ms, step_ms) }
    }

    /// Sends the query as a form, as dashboards do.
    ///
    /// # Panics
    /// When there is no answer, or one that is not in the API's shape.
    pub fn run(&self, client: &mut Client) -> Answer {
        let response = match self.when {
            When::At(t) => {
                let params = [("query", self.expr.as_str()), ("time", &seconds(t))];
                client.post_form("/api/v1/query", &params)
            }
            When::Range(start, end, step) => {
                let (start, end, step) = (seconds(start), seconds(end), seconds(step));
                let params = [
                    ("query", self.expr.as_str()),
                    ("start", &start),
                    ("end", &end),
                    ("step", &step),
                ];
                client.post_form("/api/v1/query_range", &params)
            }
        };
        let response = response.unwrap_or_else(|e| panic!("{self}: {e}"));
        Answer::parse(&response).unwrap_or_else(|e| panic!("{self}: {e}"))
    }
}

/// `t_ms` as the API takes it: seconds with up to three decimals.
pub fn seconds(t_ms: i64) -> String {
    let (sign, t) = if t_ms < 0 { ("-", t_ms.unsigned_abs()) } else { ("", t_ms.unsigned_abs()) };
    match t % 1000 {
        0 => format!("{sign}{}", t / 1000),
        ms => format!("{sign}{}.{ms:03}", t / 1000),
    }
}

impl Answer {
    /// Reads an answer of the query API.
    ///
    /// # Errors
    /// When it does not have the API's shape.
    pub fn parse(response: &Response) -> Result<Self, String> {
        let json: Value = serde_json::from_slice(&response.body)
            .map_err(|e| format!("{e} in {}", response.brief()))?;
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        let texts = |name: &str| -> Vec<String> {
            let list = json[name].as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let data = match text("status").as_str() {
            "success" => {
                data(&json["data"]).ok_or_else(|| format!("shape of {}", response.brief()))?
            }
            "error" => Data::None,
            _ => return Err(format!("status of {}", response.brief())),
        };
        Ok(Self {
            status: response.status,
            error_type: text("errorType"),
            error: text("error"),
            data,
            warnings: texts("warnings"),
            infos: texts("infos"),
        })
    }

    /// The series of a vector or matrix; none otherwise.
    pub fn series(&self) -> &[Series] {
        match &self.data {
            Data::Vector(series) | Data::Matrix(series) => series,
            _ => &[],
        }
    }

    /// The one float of a vector with one series, or of a scalar.
    pub fn single(&self) -> Option<f64> {
        match &self.data {
            Data::Scalar(_, value) => Some(*value),
            Data::Vector(series) if series.len() == 1 => series[0].floats.first().map(|f| f.1),
            _ => None,
        }
    }

    /// Whether `self` is the answer `want`: status, error type, data, and whether there are
    /// warnings and infos. The order of series is not looked at.
    ///
    /// # Errors
    /// The first difference.
    pub fn same_as(&self, want: &Self) -> Result<(), String> {
        let differ = |what: &str, got: &dyn fmt::Debug, want: &dyn fmt::Debug| {
            Err(format!("{what} {got:?}, want {want:?}"))
        };
        if (self.status, &self.error_type) != (want.status, &want.error_type) {
            let got = (self.status, &self.error_type, &self.error);
            return differ("error", &got, &(want.status, &want.error_type, &want.error));
        }
        match (&self.data, &want.data) {
            (Data::None, Data::None) => {}
            (Data::Scalar(t, v), Data::Scalar(want_t, want_v)) => {
                if t != want_t || !close(*v, *want_v) {
                    return differ("scalar", &(t, v), &(want_t, want_v));
                }
            }
            (Data::Text(t, v), Data::Text(want_t, want_v)) => {
                if (t, v) != (want_t, want_v) {
                    return differ("string", &(t, v), &(want_t, want_v));
                }
            }
            (Data::Vector(got), Data::Vector(want)) | (Data::Matrix(got), Data::Matrix(want)) => {
                same_series(got, want)?;
            }
            (got, want) => return differ("type", got, want),
        }
        if self.warnings.is_empty() != want.warnings.is_empty() {
            return differ("warnings", &self.warnings, &want.warnings);
        }
        if self.infos.is_empty() != want.infos.is_empty() {
            return differ("infos", &self.infos, &want.infos);
        }
        Ok(())
    }
}

/// Whether two values are the same: both NaN, equal, or within [`TOLERANCE`].
#[expect(clippy::float_cmp, reason = "infinities and zeros are equal or not")]
pub fn close(a: f64, b: f64) -> bool {
    let near = || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs());
    a == b || (a.is_nan() && b.is_nan()) || (a.is_finite() && b.is_finite() && near())
}

fn same_series(got: &[Series], want: &[Series]) -> Result<(), String> {
    let by_labels = |all: &[Series]| -> BTreeMap<Labels, Series> {
        all.iter().map(|series| (series.labels.clone(), series.clone())).collect()
    };
    let (got_map, want_map) = (by_labels(got), by_labels(want));
    if got_map.len() != got.len() {
        return Err("the same labels twice".to_owned());
    }
    if let Some(missing) = want_map.keys().find(|labels| !got_map.contains_key(*labels)) {
        return Err(format!("{} series, want {}; missing {missing:?}", got.len(), want.len()));
    }
    if let Some(extra) = got_map.keys().find(|labels| !want_map.contains_key(*labels)) {
        return Err(format!("{} series, want {}; not wanted {extra:?}", got.len(), want.len()));
    }
    for (labels, want) in &want_map {
        let got = &got_map[labels];
        let times = |series: &Series| series.floats.iter().map(|f| f.0).collect::<Vec<_>>();
        if times(got) != times(want) {
            return Err(format!("{labels:?}: {:?}, want {:?}", got.floats, want.floats));
        }
        if let Some((g, w)) =
            got.floats.iter().zip(&want.floats).find(|(got, want)| !close(got.1, want.1))
        {
            return Err(format!("{labels:?}: {g:?}, want {w:?}"));
        }
        if got.histograms.len() != want.histograms.len() {
            let counts = (got.histograms.len(), want.histograms.len());
            return Err(format!("{labels:?}: {} histograms, want {}", counts.0, counts.1));
        }
        for (got, want) in got.histograms.iter().zip(&want.histograms) {
            let (a, b) = (&got.1, &want.1);
            let numbers = |h: &Histogram| -> Vec<f64> {
                h.totals.iter().chain(h.buckets.iter().flatten()).copied().collect()
            };
            let (left, right) = (numbers(a), numbers(b));
            let equal =
                left.len() == right.len() && left.iter().zip(right).all(|(a, b)| close(*a, b));
            if got.0 != want.0 || !equal {
                return Err(format!("{labels:?}: {got:?}, want {want:?}"));
            }
        }
    }
    Ok(())
}

fn data(json: &Value) -> Option<Data> {
    let result = &json["result"];
    Some(match json["resultType"].as_str()? {
        "scalar" => Data::Scalar(time(&result[0])?, number(&result[1])?),
        "string" => Data::Text(time(&result[0])?, result[1].as_str()?.to_owned()),
        "vector" => Data::Vector(result.as_array()?.iter().map(series).collect::<Option<_>>()?),
        "matrix" => Data::Matrix(result.as_array()?.iter().map(series).collect::<Option<_>>()?),
        _ => return None,
    })
}

fn series(json: &Value) -> Option<Series> {
    let mut series =
        Series { labels: labels(&json["metric"])?, floats: vec![], histograms: vec![] };
    let points = |one: &str, many: &str| -> Vec<Value> {
        let one = json.get(one).into_iter().cloned();
        one.chain(json[many].as_array().into_iter().flatten().cloned()).collect()
    };
    for point in points("value", "values") {
        series.floats.push((time(&point[0])?, number(&point[1])?));
    }
    for point in points("histogram", "histograms") {
        series.histograms.push((time(&point[0])?, histogram(&point[1])?));
    }
    Some(series)
}

fn histogram(json: &Value) -> Option<Histogram> {
    let bucket = |b: &Value| -> Option<[f64; 4]> {
        Some([b[0].as_f64()?, number(&b[1])?, number(&b[2])?, number(&b[3])?])
    };
    let buckets = json["buckets"].as_array().into_iter().flatten();
    Some(Histogram {
        totals: [number(&json["count"])?, number(&json["sum"])?],
        buckets: buckets.map(bucket).collect::<Option<_>>()?,
    })
}

/// The labels in a JSON object of strings.
pub fn labels(json: &Value) -> Option<Labels> {
    let pair = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    json.as_object()?.iter().map(pair).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "times of the API are whole milliseconds")]
fn time(json: &Value) -> Option<i64> {
    Some((json.as_f64()? * 1000.0).round() as i64)
}

/// A value: always a string in the API.
fn number(json: &Value) -> Option<f64> {
    let text = json.as_str()?;
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        let response = Response { status: 200, headers: vec![], body: body.as_bytes().to_vec() };
        Answer::parse(&response).expect("an answer")
    }

    fn vector(inner: &str) -> Answer {
        answer(&format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{inner}]}}}}"#
        ))
    }

    #[test]
    fn answers_differ_where_clients_would_see_it() {
        let one = vector(r#"{"metric":{"a":"b"},"value":[1.5,"1"]}"#);
        let same = vector(r#"{"metric":{"a":"b"},"value":[1.500,"1.0000000000000002"]}"#);
        assert_eq!(one.same_as(&same), Ok(()));
        for other in [
            vector(""),
            vector(r#"{"metric":{"a":"c"},"value":[1.5,"1"]}"#),
            vector(r#"{"metric":{"a":"b"},"value":[1.501,"1"]}"#),
            vector(r#"{"metric":{"a":"b"},"value":[1.5,"1.00000000001"]}"#),
            vector(r#"{"metric":{"a":"b"},"value":[1.5,"NaN"]}"#),
            vector(r#"{"metric":{"a":"b"},"histogram":[1.5,{"count":"1","sum":"1"}]}"#),
            answer(r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"1"]}}"#),
            answer(r#"{"status":"error","errorType":"bad_data","error":"x"}"#),
        ] {
            assert!(one.same_as(&other).is_err(), "{other:?}");
            assert!(other.same_as(&one).is_err(), "{other:?}");
        }
    }

    #[test]
    fn special_values_equal_themselves() {
        for text in ["NaN", "+Inf", "-Inf", "-0", "5e-324"] {
            let a = vector(&format!(r#"{{"metric":{{}},"value":[0,"{text}"]}}"#));
            assert_eq!(a.same_as(&a.clone()), Ok(()), "{text}");
        }
        assert!(!close(f64::INFINITY, f64::NEG_INFINITY) && !close(f64::NAN, 0.0));
        assert!(!close(f64::INFINITY, f64::MAX));
    }

    #[test]
    fn seconds_have_three_decimals_or_none() {
        let cases = [(0, "0"), (1500, "1.500"), (-1, "-0.001"), (-2000, "-2"), (7, "0.007")];
        for (t_ms, want) in cases {
            assert_eq!(seconds(t_ms), want);
        }
    }
}
