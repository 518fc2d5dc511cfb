//! Whether an answer is what a script expects.

use super::series::{Item, Line};
use super::{Eval, Want};
use crate::promql::{Answer, Data, Series};

/// How far a value may be off, relatively: expectations are written by people.
const EPSILON: f64 = 1e-6;

/// Whether `answer` is what `eval` expects.
///
/// # Errors
/// The first difference.
pub fn agrees(eval: &Eval, answer: &Answer) -> Result<(), String> {
    match (&eval.fail, answer.data == Data::None) {
        (None, true) => return Err(format!("unexpected error {:?}", answer.error)),
        (Some(_), false) => return Err("expected an error".to_owned()),
        (Some(text), true) => {
            let got = plain(&answer.error);
            return match text {
                Some(want) if words(want) != words(got) => {
                    Err(format!("error {got:?}, want {want:?}"))
                }
                _ => Ok(()),
            };
        }
        (None, false) => {}
    }
    messages("warning", &eval.warnings, eval.no_warn, &answer.warnings)?;
    messages("info", &eval.infos, eval.no_info, &answer.infos)?;
    match (&eval.want, &answer.data) {
        (Want::Scalar(want), Data::Scalar(_, got)) => near(*got, *want),
        (Want::Text(want), Data::Text(_, got)) if want == got => Ok(()),
        (Want::Series(want, first_ms, gap_ms), Data::Vector(got) | Data::Matrix(got)) => {
            all_series(want, (*first_ms, *gap_ms), got, eval.ordered)
        }
        (want, got) => Err(format!("{got:?}, want {want:?}")),
    }
}

/// Whether two answers have the same warnings and infos.
///
/// # Errors
/// The texts that differ.
pub fn same_texts(got: &Answer, want: &Answer) -> Result<(), String> {
    let sorted = |texts: &[String]| {
        let mut texts = texts.to_vec();
        texts.sort_unstable();
        texts
    };
    for (got, want) in [(&got.warnings, &want.warnings), (&got.infos, &want.infos)] {
        let (got, want) = (sorted(got), sorted(want));
        if got != want {
            return Err(format!("{got:?}, want {want:?}"));
        }
    }
    Ok(())
}

/// The words of an error, sorted: a 3.5 names the series of one match group in any order.
fn words(error: &str) -> Vec<&str> {
    let mut words: Vec<&str> = error.split([' ', ',', ';', '[', ']']).collect();
    words.sort_unstable();
    words
}

/// An error without what the API puts before it.
fn plain(error: &str) -> &str {
    error.strip_prefix("invalid parameter \"query\": ").unwrap_or(error)
}

fn messages(kind: &str, want: &[String], none: bool, got: &[String]) -> Result<(), String> {
    let fits = |want: &String, got: &String| want.is_empty() || want == got;
    let surplus = got.iter().find(|got| none || !want.iter().any(|want| fits(want, got)));
    let missing = want.iter().find(|want| !got.iter().any(|got| fits(want, got)));
    match (surplus, missing) {
        (Some(surplus), _) if none || !want.is_empty() => Err(format!("{kind} {surplus:?}")),
        (_, Some(missing)) => Err(format!("no {kind} {missing:?} in {got:?}")),
        _ => Ok(()),
    }
}

fn all_series(
    want: &[Line],
    (first_ms, gap_ms): (i64, i64),
    got: &[Series],
    ordered: bool,
) -> Result<(), String> {
    let mut num_wanted = 0;
    for (place, line) in want.iter().enumerate() {
        let times = (0_i64..).map(|i| first_ms + i * gap_ms);
        let points: Vec<(i64, &Item)> =
            times.zip(&line.values).filter_map(|(t, item)| Some((t, item.as_ref()?))).collect();
        if points.is_empty() {
            continue;
        }
        num_wanted += 1;
        let found = got.iter().position(|series| series.labels == line.labels);
        let at = found.ok_or_else(|| format!("no {:?} in {got:?}", line.labels))?;
        if ordered && at != place {
            return Err(format!("{:?} at place {at}, want {place}", line.labels));
        }
        one_series(&points, &got[at]).map_err(|e| format!("{:?}: {e}", line.labels))?;
    }
    if got.len() == num_wanted {
        Ok(())
    } else {
        Err(format!("{} series, want {num_wanted}: {got:?}", got.len()))
    }
}

fn one_series(want: &[(i64, &Item)], got: &Series) -> Result<(), String> {
    if want.len() != got.floats.len() + got.histograms.len() {
        return Err(format!("{got:?}, want {want:?}"));
    }
    for (t, item) in want {
        match item {
            Item::Float(want) => {
                let point = got.floats.iter().find(|(at, _)| at == t);
                let (_, v) = point.ok_or_else(|| format!("no float at {t} in {got:?}"))?;
                near(*v, *want).map_err(|e| format!("@{t}: {e}"))?;
            }
            Item::Histogram(native) => {
                let point = got.histograms.iter().find(|(at, _)| at == t);
                let (_, h) = point.ok_or_else(|| format!("no histogram at {t} in {got:?}"))?;
                let want = native.to_api();
                if h.buckets.len() != want.buckets.len() {
                    return Err(format!("@{t}: {h:?}, want {want:?}"));
                }
                let pairs = h.buckets.as_flattened().iter().zip(want.buckets.as_flattened());
                let mut pairs = pairs.chain(h.totals.iter().zip(&want.totals));
                pairs
                    .try_for_each(|(got, want)| near(*got, *want))
                    .map_err(|e| format!("@{t}: {e} in {h:?}, want {want:?}"))?;
            }
        }
    }
    Ok(())
}

#[expect(clippy::float_cmp, reason = "infinities and zeros are equal or not")]
fn near(got: f64, want: f64) -> Result<(), String> {
    let scale = if got == 0.0 || want == 0.0 { 1e-300 } else { got.abs() + want.abs() };
    let both_nan = got.is_nan() && want.is_nan();
    if got == want || both_nan || (got - want).abs() < EPSILON * scale {
        Ok(())
    } else {
        Err(format!("{got}, want {want}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Response;

    fn answer(body: &str) -> Answer {
        let response = Response { status: 200, headers: vec![], body: body.as_bytes().to_vec() };
        Answer::parse(&response).expect("an answer")
    }

    #[test]
    fn an_expectation_fits_its_answer_and_no_other() {
        let vector = r#"{"status":"success","warnings":["w"],"data":{"resultType":"vector",
            "result":[{"metric":{"a":"1"},"value":[60,"2"]},{"metric":{},"value":[60,"NaN"]}]}}"#;
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[60,"2"]}}"#;
        let error =
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": x"}"#;
        let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{},"values":[[0,"1"],[60,"2"]]}]}}"#;
        for (head, lines, body, fits) in [
            ("instant at 1m", "{} NaN\n{a=\"1\"} 2", vector, true),
            ("instant at 1m", "{} NaN\n{a=\"1\"} 2\nexpect warn msg:w", vector, true),
            ("instant at 1m", "expect ordered\n{a=\"1\"} 2\n{} NaN", vector, true),
            ("instant at 1m", "expect ordered\n{} NaN\n{a=\"1\"} 2", vector, false),
            ("instant at 1m", "{} NaN\n{a=\"1\"} 2\nexpect warn msg:v", vector, false),
            ("instant at 1m", "{} NaN\n{a=\"1\"} 2\nexpect no_warn", vector, false),
            ("instant at 1m", "{} NaN\n{a=\"1\"} 2\nexpect info", vector, false),
            ("instant at 1m", "{} NaN\n{a=\"1\"} 2.00001", vector, false),
            ("instant at 1m", "{} NaN\n{a=\"2\"} 2", vector, false),
            ("instant at 1m", "{} NaN", vector, false),
            ("instant at 2m", "{} NaN\n{a=\"1\"} 2", vector, false),
            ("instant at 1m", "2", scalar, true),
            ("instant at 1m", "3", scalar, false),
            ("instant at 1m", "{} 2", scalar, false),
            ("instant at 1m", "expect fail", error, true),
            ("instant at 1m", "expect fail msg:x", error, true),
            ("instant at 1m", "expect fail msg:y", error, false),
            ("instant at 1m", "2", error, false),
            ("instant at 1m", "expect fail", scalar, false),
            ("range from 0 to 2m step 1m", "{} 1 2 _", matrix, true),
            ("range from 0 to 2m step 1m", "{} 1 _ 2", matrix, false),
            ("range from 0 to 2m step 1m", "{} 1 2 3", matrix, false),
        ] {
            let text = format!("eval {head} q\n{lines}\n");
            let sections = super::super::parse(&text).expect("a script");
            let result = agrees(&sections[0].evals[0], &answer(body));
            assert_eq!(result.is_ok(), fits, "{text} {result:?}");
        }
    }
}
