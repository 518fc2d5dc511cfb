//! From text to commands: blocks, load lines and expectations (contract 4.1, 4.2).

use model::Labels;
use model::Regex;

use super::ScriptError;
use super::series::{self, Item, SeriesLine};
use crate::parse_duration;

/// One block of a script.
#[derive(Debug)]
pub(super) enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// `load` and `load_with_nhcb`.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) line: u32,
    pub(super) gap_ms: i64,
    pub(super) nhcb: bool,
    pub(super) series: Vec<SeriesLine>,
}

/// When an evaluation takes place, ms.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    Instant { t_ms: i64 },
    Range { start_ms: i64, end_ms: i64, step_ms: i64 },
}

/// Which messages pass.
#[derive(Debug)]
pub(super) enum Pattern {
    Any,
    Exact(String),
    Regex(Regex),
}

impl Pattern {
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(want) => want == text,
            Self::Regex(re) => re.is_match(text),
        }
    }
}

/// What the result must be.
#[derive(Debug)]
pub(super) enum Want {
    Series(Vec<SeriesLine>),
    Scalar(f64),
    Text(String),
    /// A matrix of an instant query, with the times of its points.
    Matrix {
        start_ms: i64,
        step_ms: i64,
        series: Vec<SeriesLine>,
    },
}

/// `eval`.
#[derive(Debug)]
pub(super) struct Eval {
    pub(super) line: u32,
    pub(super) expr: String,
    pub(super) at: At,
    pub(super) ordered: bool,
    pub(super) fail: Option<Pattern>,
    pub(super) warnings: Vec<Pattern>,
    pub(super) infos: Vec<Pattern>,
    pub(super) no_warn: bool,
    pub(super) no_info: bool,
    pub(super) want: Want,
}

/// The commands of `text`; a block that is none is an error of its own, so that the others run.
pub(super) fn parse(text: &str) -> Vec<Result<Command, ScriptError>> {
    let lines: Vec<&str> = text
        .split('\n')
        .map(|line| match line.trim() {
            comment if comment.starts_with('#') => "",
            line => line,
        })
        .collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if lines[at].is_empty() {
            at += 1;
            continue;
        }
        if lines[at].eq_ignore_ascii_case("clear") {
            commands.push(Ok(Command::Clear));
            at += 1;
            continue;
        }
        let end = lines[at..].iter().position(|l| l.is_empty()).map_or(lines.len(), |n| at + n);
        let block = Block { lines: &lines[at..end], first: number(at) };
        commands.push(block.parse());
        at = end;
    }
    commands
}

fn number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

struct Block<'a> {
    lines: &'a [&'a str],
    first: u32,
}

impl Block<'_> {
    fn error(&self, offset: usize, message: impl Into<String>) -> ScriptError {
        ScriptError::new(self.first + number(offset) - 1, message)
    }

    fn parse(&self) -> Result<Command, ScriptError> {
        let head = self.lines[0];
        let word = head.split_whitespace().next().unwrap_or_default().to_lowercase();
        match word.as_str() {
            "load" | "load_with_nhcb" => self.load(word == "load_with_nhcb"),
            word if word.starts_with("eval") => self.eval(word),
            word => Err(self.error(0, format!("unknown command {word:?}"))),
        }
    }

    fn load(&self, nhcb: bool) -> Result<Command, ScriptError> {
        let gap = self.lines[0].split_whitespace().nth(1).unwrap_or_default();
        let gap_ms = parse_duration(gap).map_err(|e| self.error(0, e.to_string()))?;
        let mut series: Vec<SeriesLine> = Vec::new();
        let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
        for (i, line) in self.lines.iter().enumerate().skip(1) {
            let fail = |e: String| self.error(i, e);
            let (labels, start_times, rest) = series::parse_head(line).map_err(fail)?;
            if start_times {
                if starts.is_some() {
                    return Err(fail("expected the values of the start times".to_owned()));
                }
                starts = Some((labels, series::parse_start_offsets(rest).map_err(fail)?));
                continue;
            }
            let values = series::parse_values(rest).map_err(fail)?;
            let start_offsets = match starts.take() {
                None => Vec::new(),
                Some((of, offsets)) if of == labels && offsets.len() == values.len() => offsets,
                Some((of, offsets)) => {
                    let (want, got) = (offsets.len(), values.len());
                    return Err(fail(format!("{want} start times of {of} for {got} values")));
                }
            };
            // Of two lines for one series the later one counts.
            series.retain(|line| line.labels != labels);
            series.push(SeriesLine { labels, values, start_offsets });
        }
        if starts.is_some() {
            return Err(self.error(0, "start times without values"));
        }
        Ok(Command::Load(Load { line: self.first, gap_ms, nhcb, series }))
    }

    fn eval(&self, word: &str) -> Result<Command, ScriptError> {
        let mut eval = self.eval_head(word)?;
        let mut series = Vec::new();
        let mut range = None;
        for (i, line) in self.lines.iter().enumerate().skip(1) {
            self.eval_line(i, line, &mut eval, &mut series, &mut range)?;
        }
        if (eval.no_warn && !eval.warnings.is_empty()) || (eval.no_info && !eval.infos.is_empty()) {
            return Err(self.error(0, "contradicting expectations"));
        }
        if let Some((start_ms, step_ms)) = range {
            eval.want = Want::Matrix { start_ms, step_ms, series };
        } else if !series.is_empty() {
            eval.want = Want::Series(series);
        }
        Ok(Command::Eval(Box::new(eval)))
    }

    fn eval_head(&self, word: &str) -> Result<Eval, ScriptError> {
        let mut rest = self.lines[0][word.len()..].trim_start();
        let at = match take_word(&mut rest).as_str() {
            "instant" => {
                self.expect_word(&mut rest, "at")?;
                At::Instant { t_ms: self.duration(&mut rest)? }
            }
            "range" => {
                self.expect_word(&mut rest, "from")?;
                let start_ms = self.duration(&mut rest)?;
                self.expect_word(&mut rest, "to")?;
                let end_ms = self.duration(&mut rest)?;
                self.expect_word(&mut rest, "step")?;
                At::Range { start_ms, end_ms, step_ms: self.duration(&mut rest)? }
            }
            other => return Err(self.error(0, format!("unknown evaluation {other:?}"))),
        };
        let any = |on: bool| if on { vec![Pattern::Any] } else { Vec::new() };
        Ok(Eval {
            line: self.first,
            expr: rest.trim().to_owned(),
            at,
            ordered: word == "eval_ordered",
            fail: (word == "eval_fail").then_some(Pattern::Any),
            warnings: any(word == "eval_warn"),
            infos: any(word == "eval_info"),
            no_warn: false,
            no_info: false,
            want: Want::Series(Vec::new()),
        })
    }

    fn expect_word(&self, rest: &mut &str, want: &str) -> Result<(), ScriptError> {
        let word = take_word(rest);
        if word == want { Ok(()) } else { Err(self.error(0, format!("expected {want:?}"))) }
    }

    fn duration(&self, rest: &mut &str) -> Result<i64, ScriptError> {
        let word = take_word(rest);
        let (sign, digits) = match word.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, word.as_str()),
        };
        let ms = parse_duration(digits).map_err(|e| self.error(0, e.to_string()))?;
        Ok(sign * ms)
    }

    fn eval_line(
        &self,
        i: usize,
        line: &str,
        eval: &mut Eval,
        series: &mut Vec<SeriesLine>,
        range: &mut Option<(i64, i64)>,
    ) -> Result<(), ScriptError> {
        let fail = |e: String| self.error(i, e);
        if let Some(rest) = line.strip_prefix("expect ") {
            return self.expectation(i, rest.trim(), eval, range);
        }
        if let Some(text) = line.strip_prefix("expected_fail_message ") {
            eval.fail = Some(Pattern::Exact(text.trim().to_owned()));
        } else if let Some(text) = line.strip_prefix("expected_fail_regexp ") {
            eval.fail = Some(regex(text).map_err(fail)?);
        } else if let Ok(v) = crate::parse_number(line.trim_start_matches(['+', '-'])) {
            eval.want = Want::Scalar(if line.starts_with('-') { -v } else { v });
        } else {
            series.push(series::parse(line).map_err(fail)?);
        }
        Ok(())
    }

    fn expectation(
        &self,
        i: usize,
        text: &str,
        eval: &mut Eval,
        range: &mut Option<(i64, i64)>,
    ) -> Result<(), ScriptError> {
        let mut rest = text;
        let kind = take_word(&mut rest);
        let pattern = |rest: &str| pattern(rest).map_err(|e| self.error(i, e));
        match kind.as_str() {
            "fail" if eval.fail.is_none() => eval.fail = Some(pattern(rest)?),
            "warn" => eval.warnings.push(pattern(rest)?),
            "info" => eval.infos.push(pattern(rest)?),
            "no_warn" => eval.no_warn = true,
            "no_info" => eval.no_info = true,
            "ordered" => eval.ordered = true,
            "string" => {
                let text = series::unquoted(rest.trim()).map_err(|e| self.error(i, e))?;
                eval.want = Want::Text(text);
            }
            "range" => {
                self.expect_word(&mut rest, "vector")?;
                self.expect_word(&mut rest, "from")?;
                let start_ms = self.duration(&mut rest)?;
                self.expect_word(&mut rest, "to")?;
                self.duration(&mut rest)?;
                self.expect_word(&mut rest, "step")?;
                *range = Some((start_ms, self.duration(&mut rest)?));
            }
            _ => return Err(self.error(i, format!("unknown expectation {text:?}"))),
        }
        Ok(())
    }
}

fn take_word(rest: &mut &str) -> String {
    let text = rest.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, tail) = text.split_at(end);
    *rest = tail.trim_start();
    word.to_owned()
}

fn regex(text: &str) -> Result<Pattern, String> {
    Regex::unanchored(text.trim()).map(Pattern::Regex).map_err(|e| e.to_string())
}

fn pattern(rest: &str) -> Result<Pattern, String> {
    let rest = rest.trim();
    if rest.is_empty() {
        return Ok(Pattern::Any);
    }
    if let Some(text) = rest.strip_prefix("msg:") {
        return Ok(Pattern::Exact(text.trim().to_owned()));
    }
    match rest.strip_prefix("regex:") {
        Some(text) => regex(text),
        None => Err(format!("expected msg: or regex:, got {rest:?}")),
    }
}

/// The items of a series with their times.
pub(super) fn timed(
    line: &SeriesLine,
    start_ms: i64,
    step_ms: i64,
) -> impl Iterator<Item = (i64, &Item)> {
    let times = (0_i64..).map(move |i| start_ms + i * step_ms);
    times.zip(&line.values).filter_map(|(t, v)| Some((t, v.as_ref()?)))
}

/// What identifies a series line in a message.
pub(super) fn name(labels: &Labels) -> String {
    labels.to_string()
}
