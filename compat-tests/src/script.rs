//! The `.test` language, as far as this repository's own scripts use it: read without the engine
//! that they test, so that a real Prometheus can be asked whether what they expect is so.
//!
//! What a script says beyond its language stands in comments directly before a block:
//! `# 3.5 differs (3.11): why` before an `eval` whose answer Prometheus 3.5 does not give, and
//! `# 3.5 cannot load (4.1): why` before a `load` that remote write 1.0 does not carry.

mod check;
mod series;

use crate::promql::{Query, When};
use crate::remote_write::TimeSeries;

pub use check::{agrees, same_texts};
pub use series::{Item, Line};

/// What begins the comment before an `eval` that a 3.5 answers differently.
const DIFFERS: &str = "# 3.5 differs (";
/// What begins the comment before a `load` that a 3.5 does not take.
const CANNOT_LOAD: &str = "# 3.5 cannot load (";

/// What lies between two `clear`s: series, then queries.
#[derive(Debug, Default)]
pub struct Section {
    /// All series, as requests carry them.
    pub requests: Vec<Vec<TimeSeries>>,
    /// Why the series cannot be loaded.
    pub cannot_load: Option<String>,
    /// The queries.
    pub evals: Vec<Eval>,
}

/// An `eval` and what it must give.
#[derive(Debug)]
pub struct Eval {
    /// Its line, from 1.
    pub line: usize,
    /// The expression and its times.
    pub query: Query,
    /// What it gives, when it does not fail.
    pub want: Want,
    /// Whether it fails, and with which text.
    pub fail: Option<Option<String>>,
    /// Texts of the warnings; an empty text is any.
    pub warnings: Vec<String>,
    /// Texts of the infos; an empty text is any.
    pub infos: Vec<String>,
    /// Whether a warning is wrong.
    pub no_warn: bool,
    /// Whether an info is wrong.
    pub no_info: bool,
    /// Whether the order of series counts.
    pub ordered: bool,
    /// Why a 3.5 answers something else.
    pub differs: Option<String>,
}

/// The result that a script expects.
#[derive(Debug)]
pub enum Want {
    /// Series with the time (ms) of their first value and the distance of the others.
    Series(Vec<Line>, i64, i64),
    /// A scalar.
    Scalar(f64),
    /// A string.
    Text(String),
}

/// Reads a script.
///
/// # Errors
/// `line: what` that is not in the language.
pub fn parse(text: &str) -> Result<Vec<Section>, String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut sections = vec![Section::default()];
    let mut note = None;
    let mut at = 0;
    while at < lines.len() {
        let head = lines[at];
        let word = head.split_whitespace().next().unwrap_or_default();
        let section = sections.last_mut().expect("one at least");
        let is_text = |line: &&&str| !line.is_empty() && !line.starts_with('#');
        let length = match word {
            "clear" => 1,
            _ => lines[at..].iter().take_while(is_text).count().max(1),
        };
        let block = &lines[at..at + length];
        let fail = |why: String| format!("{}: {why}", at + 1);
        match word {
            "" => {}
            word if word.starts_with('#') => note = Some(head).or(note),
            "clear" => sections.push(Section::default()),
            "load" if section.evals.is_empty() => {
                load(block, &mut section.requests).map_err(fail)?;
                section.cannot_load =
                    cited(note, CANNOT_LOAD).map_err(fail)?.or(section.cannot_load.take());
            }
            "load" => return Err(fail("a load behind an eval".to_owned())),
            "eval" => {
                let mut eval = eval(block).map_err(fail)?;
                eval.line = at + 1;
                eval.differs = cited(note, DIFFERS).map_err(fail)?;
                section.evals.push(eval);
            }
            word => return Err(fail(format!("unknown command {word:?}"))),
        }
        if !word.starts_with('#') {
            note = None;
        }
        at += length;
    }
    Ok(sections)
}

/// The reason behind `prefix`, with the paragraph of the contract that it cites.
fn cited(note: Option<&str>, prefix: &str) -> Result<Option<String>, String> {
    let Some(rest) = note.and_then(|note| note.strip_prefix(prefix)) else { return Ok(None) };
    match rest.split_once("): ") {
        Some((cited, why)) if cited.contains('.') && !why.is_empty() => Ok(Some(rest.to_owned())),
        _ => Err(format!("{rest:?} does not cite a paragraph and say why")),
    }
}

fn load(block: &[&str], requests: &mut Vec<Vec<TimeSeries>>) -> Result<(), String> {
    let gap_ms = duration(block[0].split_whitespace().nth(1).unwrap_or_default())?;
    for line in &block[1..] {
        // Start times are not in remote write 1.0; a section with them is not loaded.
        if line.contains("}@st ") {
            continue;
        }
        let runs = series::parse(line)?.to_wire(gap_ms);
        requests.resize_with(requests.len().max(runs.len()), Vec::new);
        for (request, run) in requests.iter_mut().zip(runs) {
            request.push(run);
        }
    }
    Ok(())
}

fn eval(block: &[&str]) -> Result<Eval, String> {
    let mut rest = block[0];
    let mut word = || -> &str {
        let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = tail.trim_start();
        word
    };
    word();
    let instant = word() == "instant";
    let mut time = || {
        word();
        duration(word())
    };
    let when = if instant { When::At(time()?) } else { When::Range(time()?, time()?, time()?) };
    let (first_ms, mut gap_ms) = match when {
        When::At(t) => (t, 1),
        When::Range(start, _, step) => (start, step),
    };
    let mut first_ms = first_ms;
    let mut eval = Eval {
        line: 0,
        query: Query { expr: rest.to_owned(), when },
        want: Want::Series(Vec::new(), first_ms, gap_ms),
        fail: None,
        warnings: Vec::new(),
        infos: Vec::new(),
        no_warn: false,
        no_info: false,
        ordered: false,
        differs: None,
    };
    let mut lines = Vec::new();
    for line in &block[1..] {
        let Some(expect) = line.strip_prefix("expect ") else {
            match series::number(line) {
                Some(v) => eval.want = Want::Scalar(v),
                None => lines.push(series::parse(line)?),
            }
            continue;
        };
        let (kind, rest) = expect.split_once(' ').unwrap_or((expect, ""));
        let message = match rest.trim().strip_prefix("msg:") {
            Some(text) => text.trim().to_owned(),
            None if rest.is_empty() || !matches!(kind, "fail" | "warn" | "info") => String::new(),
            None => return Err(format!("expected msg: in {line:?}")),
        };
        match kind {
            "fail" => eval.fail = Some(Some(message).filter(|text| !text.is_empty())),
            "warn" => eval.warnings.push(message),
            "info" => eval.infos.push(message),
            "no_warn" => eval.no_warn = true,
            "no_info" => eval.no_info = true,
            "ordered" => eval.ordered = true,
            "string" => eval.want = Want::Text(series::quoted(rest)?),
            "range" => {
                let words: Vec<&str> = rest.split_whitespace().collect();
                let &["vector", "from", from, "to", _, "step", step] = words.as_slice() else {
                    return Err(format!("{line:?} is no range"));
                };
                (first_ms, gap_ms) = (duration(from)?, duration(step)?);
            }
            _ => return Err(format!("unknown expectation {line:?}")),
        }
    }
    if let Want::Series(want, first, gap) = &mut eval.want {
        (*want, *first, *gap) = (lines, first_ms, gap_ms);
    }
    Ok(eval)
}

/// A duration in ms: `5m`, `1h30m`, `-30s`, `250ms`; a plain number is seconds.
fn duration(text: &str) -> Result<i64, String> {
    let bad = || format!("{text:?} is no duration");
    let (sign, mut rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut ms = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let n: i64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let unit = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        ms += n * match &rest[..unit] {
            "ms" => 1,
            "s" | "" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        rest = &rest[unit..];
    }
    if text.is_empty() { Err(bad()) } else { Ok(sign * ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_as_it_is_written() {
        let text = "\n# A rule.\nload 30s\n  m{a=\"b c\"} 1 _ 2x1\n\neval instant at 1m m\n  m{a=\"b c\"} 2\n\n\
            clear\n# 3.5 differs (3.1): it does not know it.\neval range from 0 to 1m step 30s f()\n  \
            expect fail msg:no such f\n";
        let sections = parse(text).expect("a script");
        assert_eq!(sections.len(), 2);
        let times: Vec<i64> =
            sections[0].requests[0][0].samples.iter().map(|s| s.timestamp).collect();
        assert_eq!(times, [0, 60_000, 90_000]);
        let eval = &sections[1].evals[0];
        assert_eq!((eval.line, eval.fail.clone()), (11, Some(Some("no such f".to_owned()))));
        assert!(eval.differs.as_deref().is_some_and(|why| why.starts_with("3.1)")));
    }

    #[test]
    fn what_is_not_in_the_language_is_an_error() {
        for bad in [
            "load 5\n  m{ 1",
            "load 5x\n  m 1",
            "evil instant at 0 m",
            "eval instant at 0 m\n  expect warn regex:x",
            "eval instant at 0 m\n  expect wonders",
            "# 3.5 differs (): no paragraph\neval instant at 0 m",
            "eval instant at 0 m\nload 5m\n  m 1",
            "eval instant at 0 m\n\nload 5m\n  m 1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
