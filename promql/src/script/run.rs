//! Running the commands of a script.

use model::UNKNOWN_START;

use super::command::{self, At, Command, Eval, Load, Pattern, Want};
use super::series::{self, Item, SeriesLine};
use super::{compare, nhcb, pin};
use crate::annotations::Severity;
use crate::ast::Ast;
use crate::engine::{
    Engine, EngineOptions, MatrixSeries, QueryContext, QueryError, QueryResult, SampleValue, Value,
    VectorSample,
};
use crate::test_storage::TestStorage;
use crate::{ParseOptions, parse};

/// One command of a script and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Line of the command, from 1.
    pub line: u32,
    /// What went wrong.
    pub result: Result<(), String>,
}

/// Runs `text` from an empty storage with the settings of Prometheus's own runner: every feature
/// on, delayed name removal, 10 000 samples. One case for each evaluation, and one for each other
/// command that failed.
pub fn run(text: &str) -> Vec<Case> {
    let parse = ParseOptions::all();
    let mut runner = Runner {
        storage: TestStorage::new(),
        engine: Engine::new(EngineOptions {
            max_samples: 10_000,
            delayed_name_removal: true,
            start_timestamps: true,
            parse,
            ..EngineOptions::default()
        }),
        parse,
    };
    command::parse(text).into_iter().filter_map(|command| runner.command(command)).collect()
}

/// The expressions that `text` evaluates to a value.
pub fn expressions(text: &str) -> Vec<String> {
    let expression = |command| match command {
        Ok(Command::Eval(eval)) if eval.fail.is_none() => Some(eval.expr),
        _ => None,
    };
    command::parse(text).into_iter().filter_map(expression).collect()
}

/// Appends the values of one line of series notation (`metric{label="x"} 1 2+3x4`) to `storage`,
/// the first at `start_ms`, the others `gap_ms` apart.
///
/// # Errors
/// What is wrong with the line, or which value was refused.
pub fn load(
    storage: &mut TestStorage,
    line: &str,
    start_ms: i64,
    gap_ms: i64,
) -> Result<(), String> {
    append(storage, &series::parse(line)?, start_ms, gap_ms)
}

fn append(
    storage: &mut TestStorage,
    line: &SeriesLine,
    start_ms: i64,
    gap_ms: i64,
) -> Result<(), String> {
    let labels = &line.labels;
    let mut times = (0_i64..).map(|i| start_ms + i * gap_ms);
    let offsets = line.start_offsets.iter().copied().chain(std::iter::repeat(None));
    for (item, offset_ms) in line.values.iter().zip(offsets) {
        let t_ms = times.next().expect("times have no end");
        let Some(item) = item else { continue };
        let stamp = (offset_ms.map_or(UNKNOWN_START, |offset| t_ms + offset), t_ms);
        match item {
            Item::Float(v) => storage.append_with_start(labels, stamp, *v),
            Item::Histogram(h) => storage.append_histogram_with_start(labels, stamp, (**h).clone()),
        }
        .map_err(|e| format!("{labels} @{t_ms}: {e}"))?;
    }
    Ok(())
}

struct Runner {
    storage: TestStorage,
    engine: Engine,
    parse: ParseOptions,
}

impl Runner {
    fn command(&mut self, command: Result<Command, super::ScriptError>) -> Option<Case> {
        match command {
            Err(e) => Some(Case { line: e.line, result: Err(e.message) }),
            Ok(Command::Clear) => {
                self.storage.clear();
                None
            }
            Ok(Command::Load(load)) => {
                let result = self.load(&load);
                result.is_err().then_some(Case { line: load.line, result })
            }
            Ok(Command::Eval(eval)) => Some(Case { line: eval.line, result: self.eval(&eval) }),
        }
    }

    fn load(&mut self, load: &Load) -> Result<(), String> {
        for line in &load.series {
            append(&mut self.storage, line, 0, load.gap_ms)?;
        }
        if load.nhcb {
            for ((labels, i), h) in nhcb::convert(&load.series)? {
                let t_ms = i64::try_from(i).map_err(|e| e.to_string())? * load.gap_ms;
                let result = self.storage.append_histogram(&labels, t_ms, h);
                result.map_err(|e| format!("{labels} @{t_ms}: {e}"))?;
            }
        }
        Ok(())
    }

    fn eval(&self, eval: &Eval) -> Result<(), String> {
        let parsed = parse(&eval.expr, &self.parse);
        let ast = match parsed {
            Ok(ast) => ast,
            Err(e) => return failed(eval, &e.to_string()),
        };
        match eval.at {
            At::Range { start_ms, end_ms, step_ms } => {
                let result = self.range(&ast, start_ms, end_ms, step_ms);
                check_range(eval, result, start_ms, step_ms)
            }
            At::Instant { t_ms } => self.eval_instant(eval, &ast, t_ms),
        }
    }

    fn eval_instant(&self, eval: &Eval, ast: &Ast, t_ms: i64) -> Result<(), String> {
        self.instant_both_ways(eval, ast, &eval.expr, t_ms)?;
        let Some(pinned) = pin::pinned(ast, t_ms) else { return Ok(()) };
        let text = pinned.to_string();
        let ast = parse(&text, &self.parse).map_err(|e| format!("{text}: {e}"))?;
        let times = match t_ms {
            0 => vec![-1000, 0, 1000],
            t => vec![-10 * t, 0, t / 5, t, 10 * t],
        };
        for t_ms in times {
            self.instant_both_ways(eval, &ast, &text, t_ms)
                .map_err(|e| format!("{text} at {t_ms} ms: {e}"))?;
        }
        Ok(())
    }

    /// As an instant query, and as the middle of a range query.
    fn instant_both_ways(
        &self,
        eval: &Eval,
        ast: &Ast,
        text: &str,
        t_ms: i64,
    ) -> Result<(), String> {
        let context = QueryContext::default();
        let result = self.engine.instant_ast(&self.storage, ast, t_ms, &context);
        let failed = result.is_err();
        check_instant(eval, text, result)?;
        let relative = ["start()", "end()", "range()", "step()"];
        if failed
            || matches!(eval.want, Want::Text(_) | Want::Matrix { .. })
            || relative.iter().any(|f| text.contains(f))
        {
            return Ok(());
        }
        let result = self.range(ast, t_ms - 60_000, t_ms + 60_000, 60_000);
        let as_range = |e: String| format!("as a range query: {e}");
        let result = result.map_err(|e| as_range(e.to_string()))?;
        if eval.ordered {
            return Ok(());
        }
        let Value::Matrix(series) = result.value else {
            return Err("a range query gives a matrix".to_owned());
        };
        match &eval.want {
            Want::Scalar(want) => {
                let point = series.iter().flat_map(|s| &s.floats).find(|(t, _)| *t == t_ms);
                let (_, got) = point.ok_or("the range query has no such point")?;
                compare::scalar(*want, *got).map_err(as_range)
            }
            Want::Series(want) => {
                compare::vector(want, &vector_at(&series, t_ms), false).map_err(as_range)
            }
            Want::Text(_) | Want::Matrix { .. } => Ok(()),
        }
    }

    fn range(
        &self,
        ast: &Ast,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<QueryResult, QueryError> {
        let context = QueryContext::default();
        self.engine.range_ast(&self.storage, ast, (start_ms, end_ms, step_ms), &context)
    }
}

fn check_range(
    eval: &Eval,
    result: Result<QueryResult, QueryError>,
    start_ms: i64,
    step_ms: i64,
) -> Result<(), String> {
    let result = match result {
        Ok(result) if eval.fail.is_none() => result,
        Ok(_) => return Err("expected an error".to_owned()),
        Err(e) => return failed(eval, &e.to_string()),
    };
    check_annotations(eval, &eval.expr, &result)?;
    match (&eval.want, &result.value) {
        (Want::Series(want), Value::Matrix(got)) => compare::matrix(want, got, start_ms, step_ms),
        _ => Err("a range query gives series".to_owned()),
    }
}

fn check_instant(
    eval: &Eval,
    text: &str,
    result: Result<QueryResult, QueryError>,
) -> Result<(), String> {
    let result = match result {
        Ok(result) if eval.fail.is_none() => result,
        Ok(_) => return Err("expected an error".to_owned()),
        Err(e) => return failed(eval, &e.to_string()),
    };
    check_annotations(eval, text, &result)?;
    match (&eval.want, &result.value) {
        (Want::Series(want), Value::Vector(got)) => compare::vector(want, got, eval.ordered),
        (Want::Scalar(want), Value::Scalar { v, .. }) => compare::scalar(*want, *v),
        (Want::Text(want), Value::String { text, .. }) if want == text => Ok(()),
        (Want::Matrix { start_ms, step_ms, series }, Value::Matrix(got)) => {
            compare::matrix(series, got, *start_ms, *step_ms)
        }
        (_, got) => Err(format!("the result is of another kind: {got:?}")),
    }
}

/// The points of a matrix at one time.
fn vector_at(series: &[MatrixSeries], t_ms: i64) -> Vec<VectorSample> {
    series
        .iter()
        .filter_map(|s| {
            let float = s.floats.iter().find(|(t, _)| *t == t_ms);
            let histogram = s.histograms.iter().find(|(t, _)| *t == t_ms);
            let value = match (float, histogram) {
                (Some((_, v)), _) => SampleValue::Float(*v),
                (None, Some((_, h))) => SampleValue::Histogram(h.clone()),
                (None, None) => return None,
            };
            Some(VectorSample { labels: s.labels.clone(), t_ms, value })
        })
        .collect()
}

fn failed(eval: &Eval, message: &str) -> Result<(), String> {
    match &eval.fail {
        None => Err(format!("unexpected error: {message}")),
        Some(pattern) if pattern.matches(message) => Ok(()),
        Some(pattern) => Err(format!("expected error {pattern:?}, got {message:?}")),
    }
}

fn check_annotations(eval: &Eval, text: &str, result: &QueryResult) -> Result<(), String> {
    let all = result.annotations.render_all(text);
    let of = |severity: Severity| -> Vec<&str> {
        all.iter().filter(|(s, _)| *s == severity).map(|(_, text)| text.as_str()).collect()
    };
    let (warnings, infos) = (of(Severity::Warning), of(Severity::Info));
    check_messages("warning", &eval.warnings, eval.no_warn, &warnings)?;
    check_messages("info", &eval.infos, eval.no_info, &infos)
}

fn check_messages(kind: &str, want: &[Pattern], none: bool, got: &[&str]) -> Result<(), String> {
    if none && !got.is_empty() {
        return Err(format!("unexpected {kind} {got:?}"));
    }
    if want.is_empty() {
        return Ok(());
    }
    if let Some(text) = got.iter().find(|text| !want.iter().any(|p| p.matches(text))) {
        return Err(format!("unexpected {kind} {text:?}"));
    }
    match want.iter().find(|p| !got.iter().any(|text| p.matches(text))) {
        Some(missing) => Err(format!("expected {kind} {missing:?}, got {got:?}")),
        None => Ok(()),
    }
}
