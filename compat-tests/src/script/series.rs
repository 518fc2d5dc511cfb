//! Series notation: `metric{label="x"} 1 _ 2x3 0+10x5 stale {{schema:0 count:1 buckets:[1]}}`.

use crate::promql::{Histogram, Labels};
use crate::remote_write::{self, Sample, Span, TimeSeries, series};

/// The NaN that ends a series.
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);
/// The schema of custom buckets.
const CUSTOM: i32 = -53;

/// A value of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Native),
}

/// A native histogram as it is written; buckets count from `offset`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Native {
    schema: i32,
    count: f64,
    sum: f64,
    zero_count: f64,
    zero_threshold: f64,
    offset: i32,
    buckets: Vec<f64>,
    negative_offset: i32,
    negative_buckets: Vec<f64>,
    custom_values: Vec<f64>,
    hint: i32,
}

/// A series and its values; `None` is a missing one.
#[derive(Debug, Clone)]
pub struct Line {
    /// The labels with the name.
    pub labels: Labels,
    /// The values.
    pub values: Vec<Option<Item>>,
}

impl Line {
    /// The series with its values from time 0, `gap_ms` apart, in runs of floats and of histograms:
    /// of one request Prometheus stores all floats before the histograms.
    pub(super) fn to_wire(&self, gap_ms: i64) -> Vec<TimeSeries> {
        let labels: Vec<(&str, &str)> =
            self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut runs = vec![series(&labels, &[])];
        for (i, item) in (0_i64..).zip(&self.values) {
            let Some(item) = item else { continue };
            let last = runs.last().expect("one at least");
            let turns = match item {
                Item::Float(_) => !last.histograms.is_empty(),
                Item::Histogram(_) => !last.samples.is_empty(),
            };
            if turns {
                runs.push(series(&labels, &[]));
            }
            let (timestamp, last) = (i * gap_ms, runs.last_mut().expect("one at least"));
            match item {
                Item::Float(value) => last.samples.push(Sample { value: *value, timestamp }),
                Item::Histogram(native) => last.histograms.push(native.to_wire(timestamp)),
            }
        }
        runs
    }
}

impl Native {
    fn to_wire(&self, timestamp: i64) -> remote_write::Histogram {
        let spans = |offset: i32, counts: &[f64]| -> Vec<Span> {
            let length = u32::try_from(counts.len()).expect("a script is short");
            Some(Span { offset, length }).filter(|_| length > 0).into_iter().collect()
        };
        remote_write::Histogram {
            count_float: Some(self.count),
            sum: self.sum,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count_float: Some(self.zero_count),
            negative_spans: spans(self.negative_offset, &self.negative_buckets),
            negative_counts: self.negative_buckets.clone(),
            positive_spans: spans(self.offset, &self.buckets),
            positive_counts: self.buckets.clone(),
            reset_hint: self.hint,
            custom_values: self.custom_values.clone(),
            timestamp,
            ..remote_write::Histogram::default()
        }
    }

    /// The histogram as the query API writes it: no empty buckets, bounds in place of indexes.
    pub(super) fn to_api(&self) -> Histogram {
        let at = |offset: i32, counts: &[f64]| -> Vec<(i32, f64)> {
            (offset..).zip(counts.iter().copied()).filter(|(_, count)| *count != 0.0).collect()
        };
        let mut buckets = Vec::new();
        for (i, count) in at(self.negative_offset, &self.negative_buckets).into_iter().rev() {
            buckets.push([1.0, -self.bound(i), -self.bound(i - 1), count]);
        }
        // The API leaves out a zero bucket with a negative count.
        if self.zero_count > 0.0 {
            buckets.push([3.0, -self.zero_threshold, self.zero_threshold, self.zero_count]);
        }
        for (i, count) in at(self.offset, &self.buckets) {
            let rule = if self.schema == CUSTOM && i == 0 { 3.0 } else { 0.0 };
            buckets.push([rule, self.bound(i - 1), self.bound(i), count]);
        }
        Histogram { totals: [self.count, self.sum], buckets }
    }

    /// The upper bound of bucket `i`.
    fn bound(&self, i: i32) -> f64 {
        if self.schema != CUSTOM {
            return 2_f64.powf(f64::from(i) * 2_f64.powi(-self.schema));
        }
        match usize::try_from(i) {
            Ok(i) => self.custom_values.get(i).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        }
    }
}

/// Reads a series line.
pub(super) fn parse(line: &str) -> Result<Line, String> {
    let (labels, mut rest) = labels(line)?;
    let mut values = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(Line { labels, values });
        }
        let end = match rest.strip_prefix("{{") {
            Some(_) => rest.find("}}").ok_or("unterminated histogram")? + 2,
            None => 0,
        };
        let end = rest[end..].find(' ').map_or(rest.len(), |n| end + n);
        item(&rest[..end], &mut values)?;
        rest = &rest[end..];
    }
}

fn labels(line: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    let name = line.find([' ', '{']).unwrap_or(line.len());
    if name > 0 {
        labels.insert("__name__".to_owned(), line[..name].to_owned());
    }
    let Some(mut rest) = line[name..].strip_prefix('{').filter(|rest| !rest.starts_with('{'))
    else {
        let named = if name > 0 { Some(&line[name..]) } else { None };
        return Ok((labels, named.ok_or_else(|| format!("{line:?} is no series"))?));
    };
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, tail) = if rest.starts_with('"') {
            let (text, tail) = leading_quoted(rest)?;
            (text, tail.trim_start())
        } else {
            let end = rest.find('=').ok_or_else(|| format!("no label in {rest:?}"))?;
            (rest[..end].trim().to_owned(), &rest[end..])
        };
        let (name, value, tail) = match tail.strip_prefix('=') {
            Some(tail) => {
                let (value, tail) = leading_quoted(tail.trim_start())?;
                (name, value, tail)
            }
            None => ("__name__".to_owned(), name, tail),
        };
        labels.insert(name, value);
        rest = tail;
    }
}

/// The text of the string that `text` begins with, and the rest. Escapes are those that JSON has too.
fn leading_quoted(text: &str) -> Result<(String, &str), String> {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    let (end, _) = end.ok_or_else(|| format!("unterminated string in {text:?}"))?;
    Ok((quoted(&text[..=end])?, &text[end + 1..]))
}

/// The text of a string in double quotes.
pub(super) fn quoted(text: &str) -> Result<String, String> {
    serde_json::from_str(text).map_err(|e| format!("{text:?}: {e}"))
}

/// `text` as a number without repetition, in decimal or as `Inf` or `NaN`.
pub(super) fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn item(text: &str, out: &mut Vec<Option<Item>>) -> Result<(), String> {
    let bad = || format!("{text:?} is no value");
    let last = text.rfind(['x', '}']).filter(|&at| text[at..].starts_with('x'));
    let (what, times) = match last {
        Some(at) => (&text[..at], Some(text[at + 1..].parse::<usize>().map_err(|_| bad())?)),
        None => (text, None),
    };
    if what == "_" {
        out.extend(std::iter::repeat_n(None, times.unwrap_or(1)));
        return Ok(());
    }
    let (first, step) = if let Some(inside) = what.strip_prefix("{{") {
        let inside = inside.strip_suffix("}}").ok_or_else(bad)?;
        (Item::Histogram(native(inside)?), None)
    } else if what == "stale" {
        (Item::Float(STALE), None)
    } else if let Some(v) = number(what) {
        (Item::Float(v), None)
    } else {
        // The sign of the step is the first one that no digit or exponent precedes as a sign.
        let at = what.rfind(['+', '-']).filter(|&at| at > 0).ok_or_else(bad)?;
        let (first, step) = (number(&what[..at]), number(&what[at..]));
        let step = step.filter(|_| times.is_some());
        (Item::Float(first.ok_or_else(bad)?), Some(step.ok_or_else(bad)?))
    };
    let mut value = first;
    for _ in 0..=times.unwrap_or(0) {
        out.push(Some(value.clone()));
        if let (Item::Float(v), Some(step)) = (&mut value, step) {
            *v += step;
        }
    }
    Ok(())
}

fn native(mut text: &str) -> Result<Native, String> {
    let mut native = Native::default();
    while let Some((key, rest)) = text.trim_start().split_once(':') {
        let closing = if rest.starts_with('[') { ']' } else { ' ' };
        let end = rest.find(closing).map_or(rest.len(), |at| at + 1);
        let value = rest[..end].trim_matches(['[', ']', ' ']);
        text = &rest[end..];
        let list = || -> Result<Vec<f64>, String> {
            let values = value.split_whitespace().map(number);
            values.collect::<Option<_>>().ok_or_else(|| format!("{value:?} is no list"))
        };
        let float = || number(value).ok_or_else(|| format!("{value:?} is no number"));
        let whole = || value.parse().map_err(|_| format!("{value:?} is no integer"));
        match key {
            "schema" => native.schema = whole()?,
            "count" => native.count = float()?,
            "sum" => native.sum = float()?,
            "z_bucket" => native.zero_count = float()?,
            "z_bucket_w" => native.zero_threshold = float()?,
            "offset" => native.offset = whole()?,
            "n_offset" => native.negative_offset = whole()?,
            "buckets" => native.buckets = list()?,
            "n_buckets" => native.negative_buckets = list()?,
            "custom_values" => native.custom_values = list()?,
            "counter_reset_hint" => {
                let known = ["unknown", "reset", "not_reset", "gauge"];
                let place = known.iter().position(|hint| *hint == value);
                native.hint = i32::try_from(place.ok_or("unknown hint")?).expect("below 4");
            }
            key => return Err(format!("unknown key {key:?}")),
        }
    }
    Ok(native)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(text: &str) -> Vec<Option<f64>> {
        let value = |item: &Option<Item>| match item {
            Some(Item::Float(v)) => Some(*v),
            _ => None,
        };
        parse(text).expect("a series").values.iter().map(value).collect()
    }

    #[test]
    fn values_are_expanded() {
        for (text, want) in [
            ("m 1 -2 1e3 +Inf", vec![1.0, -2.0, 1000.0, f64::INFINITY]),
            ("m{} 5x2", vec![5.0; 3]),
            ("m 1+2x2", vec![1.0, 3.0, 5.0]),
            ("m -1-2x1 1e-3", vec![-1.0, -3.0, 0.001]),
        ] {
            assert_eq!(floats(text), want.into_iter().map(Some).collect::<Vec<_>>(), "{text}");
        }
        assert_eq!(floats("m _x2 1 _"), [None, None, Some(1.0), None]);
        for bad in
            ["m 1+2", "m 1x", "m y", "m{a} 1", "m{a=b} 1", "m {{count:x}}", "m {{what:1}}", ""]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_may_be_quoted() {
        let pairs = |text: &str| -> Vec<String> {
            let labels = parse(text).expect("a series").labels;
            labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
        };
        assert_eq!(pairs(r#"m{a="b, }", c="\"" } 1"#), ["__name__=m", "a=b, }", "c=\""]);
        assert_eq!(pairs(r#"{"m.x", "a.b"="c"} 1"#), ["__name__=m.x", "a.b=c"]);
        assert_eq!(pairs("{} 1"), Vec::<String>::new());
    }

    #[test]
    fn a_histogram_has_the_bounds_of_the_api() {
        let api = |text: &str| match &parse(text).expect("a series").values[0] {
            Some(Item::Histogram(native)) => native.to_api(),
            other => panic!("{other:?}"),
        };
        let Histogram { totals, buckets } = api(
            "m {{schema:0 count:9 sum:5 z_bucket:1 z_bucket_w:0.1 buckets:[2 0 3] n_buckets:[1 2]}}x3",
        );
        assert_eq!(totals.map(f64::to_bits), [9.0_f64, 5.0].map(f64::to_bits));
        let want = [
            [1.0, -2.0, -1.0, 2.0],
            [1.0, -1.0, -0.5, 1.0],
            [3.0, -0.1, 0.1, 1.0],
            [0.0, 0.5, 1.0, 2.0],
            [0.0, 2.0, 4.0, 3.0],
        ];
        assert_eq!(buckets, want);
        let got = api("m {{schema:-53 count:3 custom_values:[1 2] buckets:[1 1 1]}}").buckets;
        let inf = f64::INFINITY;
        assert_eq!(got, [[3.0, -inf, 1.0, 1.0], [0.0, 1.0, 2.0, 1.0], [0.0, 2.0, inf, 1.0]]);
    }
}
