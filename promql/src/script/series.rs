//! Series notation: `metric{labels} 1 2 3+4x5 {{schema:0 count:1}}` (contract 4.3).

use std::sync::Arc;

use model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Labels, NAME_LABEL, Span};

use crate::ast::Expr;
use crate::histogram::arithmetic;
use crate::{ParseOptions, parse as parse_query, parse_duration};

/// Most values that one item may stand for; a typo must not fill the memory.
const MAX_REPEAT: usize = 10_000_000;

/// One value of a series; `None` in a list of them stands for a missing one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// A series line: its labels and values.
#[derive(Debug, Clone)]
pub(super) struct SeriesLine {
    pub(super) labels: Labels,
    pub(super) values: Vec<Option<Item>>,
    /// For each value when its counting began, as ms after its own time; empty where no line with
    /// the mark of start timestamps said so.
    pub(super) start_offsets: Vec<Option<i64>>,
}

/// What is left of a line.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn skip_space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn eat(&mut self, prefix: &str) -> bool {
        self.0.strip_prefix(prefix).map(|rest| self.0 = rest).is_some()
    }

    fn take_while(&mut self, mut keep: impl FnMut(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !keep(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    /// A quoted string with its quotes, read as a value.
    fn string(&mut self) -> Result<String, String> {
        let quote = self.0.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
        let quote = quote.ok_or_else(|| format!("expected a string at {:?}", self.0))?;
        let mut escaped = false;
        let end = self.0.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == quote && !escaped;
            escaped = *c == '\\' && !escaped && quote != '`';
            ends
        });
        let (end, _) = end.ok_or("unterminated string")?;
        let (text, rest) = self.0.split_at(end + 1);
        self.0 = rest;
        unquoted(text)
    }

    /// A number, signed where `signed`, in decimal or as `Inf` or `NaN`.
    fn number(&mut self, signed: bool) -> Option<f64> {
        let text = self.0;
        let mut at = usize::from(signed && text.starts_with(['+', '-']));
        let body = &text[at..];
        if body
            .get(..3)
            .is_some_and(|w| w.eq_ignore_ascii_case("inf") || w.eq_ignore_ascii_case("nan"))
        {
            at += 3;
        } else {
            let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
            let whole = digits(body);
            at += whole;
            let mut fraction = 0;
            if text[at..].starts_with('.') {
                fraction = digits(&text[at + 1..]);
                at += 1 + fraction;
            }
            if whole + fraction == 0 {
                return None;
            }
            if text[at..].starts_with(['e', 'E']) {
                let sign = usize::from(text[at + 1..].starts_with(['+', '-']));
                let exponent = digits(&text[at + 1 + sign..]);
                if exponent > 0 {
                    at += 1 + sign + exponent;
                }
            }
        }
        let (number, rest) = text.split_at(at);
        self.0 = rest;
        number.parse().ok()
    }

    /// A duration with or without a sign, ms.
    fn offset(&mut self) -> Result<i64, String> {
        let negative = self.0.starts_with('-');
        if self.0.starts_with(['+', '-']) {
            self.0 = &self.0[1..];
        }
        let text = self.take_while(|c| c.is_ascii_digit() || matches!(c, 'a'..='w' | 'y'));
        let ms = parse_duration(text).map_err(|e| e.to_string())?;
        Ok(if negative { -ms } else { ms })
    }

    /// `xN`: how many times more.
    fn times(&mut self) -> Result<Option<usize>, String> {
        if !self.eat("x") {
            return Ok(None);
        }
        let digits = self.take_while(|c| c.is_ascii_digit());
        let n: usize = digits.parse().map_err(|_| "expected a number of repetitions".to_owned())?;
        if n > MAX_REPEAT {
            return Err(format!("{n} repetitions, limit {MAX_REPEAT}"));
        }
        Ok(Some(n))
    }
}

/// The value of a string in quotes, which is a query of its own.
pub(super) fn unquoted(text: &str) -> Result<String, String> {
    let ast = parse_query(text, &ParseOptions::default()).map_err(|e| e.to_string())?;
    match ast.expr(ast.root()) {
        Expr::String(value) => Ok(value.as_str().to_owned()),
        _ => Err(format!("{text:?} is no string")),
    }
}

/// Reads a series line.
pub(super) fn parse(line: &str) -> Result<SeriesLine, String> {
    let mut cursor = Cursor(line);
    let labels = labels(&mut cursor)?;
    let values = values(&mut cursor)?;
    Ok(SeriesLine { labels, values, start_offsets: Vec::new() })
}

/// Reads a series line that may carry the mark of start timestamps: the labels, whether it does,
/// and the rest of the line.
pub(super) fn parse_head(line: &str) -> Result<(Labels, bool, &str), String> {
    let mut cursor = Cursor(line);
    let labels = labels(&mut cursor)?;
    let start_times = cursor.eat("@st");
    Ok((labels, start_times, cursor.0))
}

/// Reads the values of a series line.
pub(super) fn parse_values(text: &str) -> Result<Vec<Option<Item>>, String> {
    values(&mut Cursor(text))
}

/// Reads the offsets of a line with the mark of start timestamps: `_`, `-1m`, `-30s-1mx2`.
pub(super) fn parse_start_offsets(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut out = Vec::new();
    for item in text.split_whitespace() {
        let mut cursor = Cursor(item);
        let missing = cursor.eat("_");
        let (first, mut step) = if missing { (0, 0) } else { (cursor.offset()?, 0) };
        if !missing && cursor.0.starts_with(['+', '-']) {
            step = cursor.offset()?;
            if !cursor.0.starts_with('x') {
                return Err(format!("expected a number of repetitions in {item:?}"));
            }
        }
        let times = cursor.times()?;
        if !cursor.0.is_empty() {
            return Err(format!("unexpected {:?} in start times", cursor.0));
        }
        if missing {
            out.extend(std::iter::repeat_n(None, times.unwrap_or(1)));
            continue;
        }
        let mut offset = first;
        for _ in 0..=times.unwrap_or(0) {
            out.push(Some(offset));
            offset += step;
        }
    }
    Ok(out)
}

fn labels(cursor: &mut Cursor<'_>) -> Result<Labels, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let name = cursor.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'));
    if !name.is_empty() {
        pairs.push((NAME_LABEL.to_owned(), name.to_owned()));
    }
    cursor.skip_space_before_brace();
    if cursor.eat("{") {
        loop {
            cursor.skip_space();
            if cursor.eat("}") {
                break;
            }
            let quoted = cursor.0.starts_with(['"', '\'', '`']);
            let label = if quoted {
                cursor.string()?
            } else {
                cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '_').to_owned()
            };
            cursor.skip_space();
            if cursor.eat("=") {
                cursor.skip_space();
                pairs.push((label, cursor.string()?));
            } else if quoted {
                pairs.push((NAME_LABEL.to_owned(), label));
            } else {
                return Err(format!("expected a label at {:?}", cursor.0));
            }
            cursor.skip_space();
            if !cursor.eat(",") && !cursor.0.starts_with('}') {
                return Err(format!("expected a comma at {:?}", cursor.0));
            }
        }
    } else if name.is_empty() {
        return Err(format!("expected a series at {:?}", cursor.0));
    }
    Labels::from_pairs(pairs).map_err(|e| e.to_string())
}

impl Cursor<'_> {
    /// Between a name and its braces there may be space.
    fn skip_space_before_brace(&mut self) {
        let rest = self.0.trim_start_matches([' ', '\t']);
        if rest.starts_with('{') && !rest.starts_with("{{") {
            self.0 = rest;
        }
    }
}

fn values(cursor: &mut Cursor<'_>) -> Result<Vec<Option<Item>>, String> {
    let mut out = Vec::new();
    loop {
        cursor.skip_space();
        if cursor.0.is_empty() {
            return Ok(out);
        }
        item(cursor, &mut out)?;
        if !cursor.0.is_empty() && !cursor.0.starts_with([' ', '\t']) {
            return Err(format!("unexpected {:?} in series values", cursor.0));
        }
    }
}

fn item(cursor: &mut Cursor<'_>, out: &mut Vec<Option<Item>>) -> Result<(), String> {
    if cursor.eat("_") {
        let n = cursor.times()?.unwrap_or(1);
        out.extend(std::iter::repeat_n(None, n));
        return Ok(());
    }
    if cursor.0.starts_with("{{") {
        return histograms(cursor, out);
    }
    if cursor.eat("stale") {
        out.push(Some(Item::Float(model::stale_nan())));
        return Ok(());
    }
    let first =
        cursor.number(true).ok_or_else(|| format!("unexpected {:?} in series values", cursor.0))?;
    let negative = cursor.0.starts_with('-');
    let step = if cursor.0.starts_with(['+', '-']) {
        cursor.0 = &cursor.0[1..];
        let step = cursor.number(false).ok_or("expected a number after the sign")?;
        Some(if negative { -step } else { step })
    } else {
        None
    };
    let times = cursor.times()?;
    if step.is_some() && times.is_none() {
        return Err("expected a number of repetitions".to_owned());
    }
    // Prometheus adds up, so that rounding accumulates.
    let mut v = first;
    for _ in 0..=times.unwrap_or(0) {
        out.push(Some(Item::Float(v)));
        v += step.unwrap_or(0.0);
    }
    Ok(())
}

fn histograms(cursor: &mut Cursor<'_>, out: &mut Vec<Option<Item>>) -> Result<(), String> {
    let first = histogram(cursor)?;
    let sign = cursor.0.chars().next().filter(|c| matches!(c, '+' | '-'));
    let step = match sign {
        Some(_) if cursor.0[1..].starts_with("{{") => {
            cursor.0 = &cursor.0[1..];
            Some(histogram(cursor)?)
        }
        _ => None,
    };
    let times = cursor.times()?.unwrap_or(0);
    let mut h = first;
    for i in 0..=times {
        out.push(Some(Item::Histogram(Arc::new(h.clone()))));
        if i < times
            && let Some(step) = &step
        {
            let next = match sign {
                Some('+') => arithmetic::sum(&h, step),
                _ => arithmetic::difference(&h, step),
            };
            h = next.map_err(|e| e.to_string())?.0;
        }
    }
    Ok(())
}

/// `{{key:value ...}}`
fn histogram(cursor: &mut Cursor<'_>) -> Result<FloatHistogram, String> {
    let inside = cursor.0.strip_prefix("{{").and_then(|rest| rest.split_once("}}"));
    let (mut body, rest) = inside.ok_or("unterminated histogram")?;
    cursor.0 = rest;
    let mut h = FloatHistogram {
        hint: CounterResetHint::Unknown,
        schema: 0,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 0.0,
        sum: 0.0,
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        positive_buckets: Vec::new(),
        negative_buckets: Vec::new(),
        custom_values: Vec::new(),
    };
    let (mut offset, mut negative_offset) = (0, 0);
    loop {
        body = body.trim_start();
        if body.is_empty() {
            break;
        }
        let (key, value) = body.split_once(':').ok_or_else(|| format!("no value in {body:?}"))?;
        let value = value.trim_start();
        let end = if value.starts_with('[') {
            value.find(']').ok_or("unterminated list")? + 1
        } else {
            value.find(char::is_whitespace).unwrap_or(value.len())
        };
        let (value, rest) = value.split_at(end);
        body = rest;
        match key.trim_end() {
            "schema" => h.schema = parse_number(value)?,
            "sum" => h.sum = float(value)?,
            "count" => h.count = float(value)?,
            "z_bucket" => h.zero_count = float(value)?,
            "z_bucket_w" => h.zero_threshold = float(value)?,
            "buckets" => h.positive_buckets = list(value)?,
            "n_buckets" => h.negative_buckets = list(value)?,
            "custom_values" => h.custom_values = list(value)?,
            "offset" => offset = parse_number(value)?,
            "n_offset" => negative_offset = parse_number(value)?,
            "counter_reset_hint" => h.hint = hint(value)?,
            key => return Err(format!("unknown histogram key {key:?}")),
        }
    }
    if !h.custom_values.is_empty() && h.schema != CUSTOM_BUCKETS_SCHEMA {
        return Err("custom values need schema -53".to_owned());
    }
    let spans = |offset: i32, buckets: &[f64]| match u32::try_from(buckets.len()) {
        Ok(0) => Ok(Vec::new()),
        Ok(length) => Ok(vec![Span { offset, length }]),
        Err(_) => Err("too many buckets".to_owned()),
    };
    h.positive_spans = spans(offset, &h.positive_buckets)?;
    h.negative_spans = spans(negative_offset, &h.negative_buckets)?;
    Ok(h)
}

fn parse_number(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("{text:?} is no integer"))
}

fn float(text: &str) -> Result<f64, String> {
    let mut cursor = Cursor(text);
    let v = cursor.number(true).filter(|_| cursor.0.is_empty());
    v.ok_or_else(|| format!("{text:?} is no number"))
}

fn list(text: &str) -> Result<Vec<f64>, String> {
    let inside = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    inside.ok_or_else(|| format!("{text:?} is no list"))?.split_whitespace().map(float).collect()
}

fn hint(text: &str) -> Result<CounterResetHint, String> {
    Ok(match text {
        "unknown" => CounterResetHint::Unknown,
        "reset" => CounterResetHint::Reset,
        "not_reset" => CounterResetHint::NotReset,
        "gauge" => CounterResetHint::Gauge,
        _ => return Err(format!("unknown counter reset hint {text:?}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(text: &str) -> Vec<Option<f64>> {
        parse_values(text)
            .unwrap()
            .into_iter()
            .map(|v| match v {
                Some(Item::Float(v)) => Some(v),
                Some(Item::Histogram(_)) => panic!("no histogram here"),
                None => None,
            })
            .collect()
    }

    #[test]
    fn items_expand_as_the_language_says() {
        let some = |v: &[f64]| v.iter().copied().map(Some).collect::<Vec<_>>();
        for (text, want) in [
            ("5", vec![5.0]),
            ("5x3", vec![5.0; 4]),
            ("1+2x3", vec![1.0, 3.0, 5.0, 7.0]),
            ("10-3x2", vec![10.0, 7.0, 4.0]),
            ("-1-2x2", vec![-1.0, -3.0, -5.0]),
            ("1e3 .5 Inf -inf", vec![1000.0, 0.5, f64::INFINITY, f64::NEG_INFINITY]),
            ("0x3", vec![0.0; 4]),
        ] {
            assert_eq!(floats(text), some(&want), "{text}");
        }
        assert_eq!(floats("_ 1 _x2"), [None, Some(1.0), None, None]);
        assert!(model::is_stale(floats("stale")[0].unwrap()));
        for bad in ["1+2", "1y", "-1+-2x2", "{{schema:x}}", "{{a:1}}", "{{", "1x99999999999", "_y"]
        {
            assert!(parse_values(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn start_offsets_expand_as_the_language_says() {
        let (s, m) = (1000, 60_000);
        for (text, want) in [
            ("_ -1m", vec![None, Some(-m)]),
            ("_x2 +1m0s", vec![None, None, Some(m)]),
            ("-30s-1mx2", vec![Some(-30 * s), Some(-90 * s), Some(-150 * s)]),
            ("0-1mx1 -0ms", vec![Some(0), Some(-m), Some(0)]),
            ("-1sx1 1ms+1sx1", vec![Some(-s), Some(-s), Some(1), Some(1001)]),
            ("1y", vec![Some(365 * 24 * 60 * m)]),
        ] {
            assert_eq!(parse_start_offsets(text).as_ref(), Ok(&want), "{text}");
        }
        for bad in ["5", "-1m-1m", "--1m", "1mx", "x3", "stale", "1m!", "-", "_+1mx2"] {
            assert!(parse_start_offsets(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_may_be_quoted_or_absent() {
        for (text, want) in [
            ("a{b=\"c\"} 1", r#"{__name__="a", b="c"}"#),
            ("{} 1", "{}"),
            (r#"{"a.b", c='}"'} 1"#, r#"{__name__="a.b", c="}\""}"#),
            ("a:b 1", r#"{__name__="a:b"}"#),
        ] {
            assert_eq!(parse(text).unwrap().labels.to_string(), want);
        }
        assert!(parse("a{b} 1").is_err() && parse(" 1").is_err());
    }

    #[test]
    fn a_histogram_has_one_span_a_side() {
        let values = parse_values("{{schema:1 count:3 buckets:[1 2] offset:-1}}+{{schema:1 count:3 buckets:[1 2] offset:-1}}x1").unwrap();
        let Some(Item::Histogram(h)) = &values[1] else { panic!("a histogram was written") };
        assert_eq!((h.count, h.positive_buckets.as_slice()), (6.0, &[2.0, 4.0][..]));
        assert_eq!(h.positive_spans, [Span { offset: -1, length: 2 }]);
    }
}
