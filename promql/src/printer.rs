//! Tree to text on one line, in the canonical form of Prometheus.

use std::fmt::{self, Write as _};

use crate::ast::{
    Aggregate, Ast, At, Binary, Cardinality, DurationExpr, DurationExprKind, DurationOp,
    DurationSpec, Expr, NodeId, Subquery, VectorMatching, VectorSelector,
};
use crate::parser::format_duration;
use model::{MatchOp, NAME_LABEL, go_quote, is_legacy_name};

/// A piece of a printed node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Child(NodeId),
}

impl Ast {
    /// The expression below node `id` as text.
    pub fn print(&self, id: NodeId) -> String {
        let mut out = String::new();
        let mut todo = vec![Part::Child(id)];
        while let Some(part) = todo.pop() {
            match part {
                Part::Text(text) => out.push_str(&text),
                Part::Child(id) => todo.extend(parts(self, id).into_iter().rev()),
            }
        }
        escape_replacement(out)
    }
}

impl fmt::Display for Ast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(self.root()))
    }
}

/// Only quoted text can have U+FFFD, from an escape: as itself the lexer would refuse it.
pub(crate) fn escape_replacement(text: String) -> String {
    if text.contains('\u{fffd}') { text.replace('\u{fffd}', "\\ufffd") } else { text }
}

/// Node `id` as text around its children.
pub(crate) fn parts(ast: &Ast, id: NodeId) -> Vec<Part> {
    let text = |text: String| Part::Text(text);
    match ast.expr(id) {
        Expr::Number { value, duration } => vec![text(number(*value, *duration))],
        Expr::String(value) => vec![text(value.quoted())],
        Expr::Vector(selector) => vec![text(vector_selector(selector))],
        Expr::Matrix { selector, range } => match ast.expr(*selector) {
            Expr::Vector(selector) => vec![text(matrix_selector(selector, range))],
            _ => vec![Part::Child(*selector), text(format!("[{}]", duration(range)))],
        },
        Expr::Subquery(subquery) => {
            vec![Part::Child(subquery.expr), text(subquery_suffix(subquery))]
        }
        Expr::Call { function, args } => {
            let mut parts = vec![text(format!("{}(", function.name))];
            parts.extend(joined(args));
            parts.push(text(")".to_owned()));
            parts
        }
        Expr::Aggregate(aggregate) => {
            let mut parts = vec![text(aggregate_head(aggregate) + "(")];
            let args: Vec<NodeId> = aggregate.param.into_iter().chain([aggregate.expr]).collect();
            parts.extend(joined(&args));
            parts.push(text(")".to_owned()));
            parts
        }
        Expr::Binary(binary) => {
            let operator = format!(" {} ", binary_operator(binary));
            vec![Part::Child(binary.lhs), text(operator), Part::Child(binary.rhs)]
        }
        Expr::Unary { negative, expr } => {
            vec![text(if *negative { "-" } else { "+" }.to_owned()), Part::Child(*expr)]
        }
        Expr::Paren(expr) => {
            vec![text("(".to_owned()), Part::Child(*expr), text(")".to_owned())]
        }
    }
}

fn joined(args: &[NodeId]) -> impl Iterator<Item = Part> {
    args.iter().enumerate().flat_map(|(i, arg)| {
        let comma = (i > 0).then(|| Part::Text(", ".to_owned()));
        comma.into_iter().chain([Part::Child(*arg)])
    })
}

/// `sum by (a, b) `: what stands before the parenthesis.
pub(crate) fn aggregate_head(aggregate: &Aggregate) -> String {
    let op = aggregate.op.as_str();
    let labels = label_list(&aggregate.grouping);
    match (aggregate.without, aggregate.grouping.is_empty()) {
        (true, _) => format!("{op} without ({labels}) "),
        (false, false) => format!("{op} by ({labels}) "),
        (false, true) => op.to_owned(),
    }
}

/// `== bool on (a) group_left (b)`: the operator with its modifiers.
pub(crate) fn binary_operator(binary: &Binary) -> String {
    let mut out = binary.op.as_str().to_owned();
    if binary.return_bool {
        out.push_str(" bool");
    }
    let VectorMatching { card, labels, on, include, fill_left, fill_right } = &binary.matching;
    let group = match card {
        Cardinality::ManyToOne => Some("group_left"),
        Cardinality::OneToMany => Some("group_right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    let mut modifier = |word: &str, what: &str| {
        let _ = write!(out, " {word} ({what})");
    };
    if !labels.is_empty() || *on || group.is_some() {
        modifier(if *on { "on" } else { "ignoring" }, &label_list(labels));
    }
    if let Some(group) = group {
        modifier(group, &label_list(include));
    }
    match (fill_left, fill_right) {
        (Some(left), Some(right)) if left.to_bits() == right.to_bits() => {
            modifier("fill", &short_float(*left));
        }
        (left, right) => {
            for (word, value) in [("fill_left", left), ("fill_right", right)] {
                if let Some(value) = value {
                    modifier(word, &short_float(*value));
                }
            }
        }
    }
    out
}

fn label_list(labels: &[String]) -> String {
    let quoted = labels
        .iter()
        .map(|label| if is_legacy_name(label) { label.clone() } else { go_quote(label) });
    quoted.collect::<Vec<_>>().join(", ")
}

/// A selector without its modifiers.
fn bare_selector(selector: &VectorSelector) -> String {
    let name = selector.name.as_deref().unwrap_or_default();
    let is_name =
        |m: &&model::Matcher| m.name == NAME_LABEL && m.op == MatchOp::Eq && m.value == name;
    let others = selector.matchers.iter().filter(|m| name.is_empty() || !is_name(m));
    let mut matchers: Vec<String> = others.map(ToString::to_string).collect();
    if matchers.is_empty() && !name.is_empty() {
        return name.to_owned();
    }
    matchers.sort_unstable();
    format!("{name}{{{}}}", matchers.join(","))
}

fn vector_selector(selector: &VectorSelector) -> String {
    let (bare, at) = (bare_selector(selector), at_suffix(selector.at));
    bare + &at + extension(selector) + &offset_suffix(&selector.offset)
}

fn matrix_selector(selector: &VectorSelector, range: &DurationSpec) -> String {
    let (bare, range) = (bare_selector(selector), duration(range));
    let (extension, at) = (extension(selector), at_suffix(selector.at));
    format!("{bare}[{range}]{extension}{at}{}", offset_suffix(&selector.offset))
}

/// `[1h:5m] @ 1.000 offset 5m`
pub(crate) fn subquery_suffix(subquery: &Subquery) -> String {
    let step = subquery.step.as_ref().map(duration).unwrap_or_default();
    let (at, offset) = (at_suffix(subquery.at), offset_suffix(&subquery.offset));
    format!("[{}:{step}]{at}{offset}", duration(&subquery.range))
}

fn extension(selector: &VectorSelector) -> &'static str {
    match selector {
        VectorSelector { anchored: true, .. } => " anchored",
        VectorSelector { smoothed: true, .. } => " smoothed",
        _ => "",
    }
}

fn at_suffix(at: Option<At>) -> String {
    match at {
        None => String::new(),
        Some(At::Start) => " @ start()".to_owned(),
        Some(At::End) => " @ end()".to_owned(),
        Some(At::Time(t_ms)) => {
            #[expect(clippy::cast_precision_loss, reason = "as Prometheus prints it")]
            let seconds = t_ms as f64 / 1000.0;
            format!(" @ {seconds:.3}")
        }
    }
}

fn offset_suffix(offset: &DurationSpec) -> String {
    match offset {
        DurationSpec::Ms(0) => String::new(),
        offset => format!(" offset {}", duration(offset)),
    }
}

/// A duration as it stands in brackets.
fn duration(spec: &DurationSpec) -> String {
    match spec {
        DurationSpec::Ms(ms) => format_duration(*ms),
        DurationSpec::Expr(expr) => duration_expr(expr),
    }
}

/// A duration expression; its depth is limited (L16).
pub(crate) fn duration_expr(expr: &DurationExpr) -> String {
    match &expr.kind {
        DurationExprKind::Number { value, duration } => number(*value, *duration),
        DurationExprKind::Step => "step()".to_owned(),
        DurationExprKind::Range => "range()".to_owned(),
        DurationExprKind::Unary { negative, expr } => {
            format!("{}{}", if *negative { "-" } else { "+" }, duration_expr(expr))
        }
        DurationExprKind::Paren(expr) => format!("({})", duration_expr(expr)),
        DurationExprKind::Binary { op, lhs, rhs } => {
            let (op, lhs, rhs) = (op.as_str(), duration_expr(lhs), duration_expr(rhs));
            match op {
                "min_of" | "max_of" => format!("{op}({lhs}, {rhs})"),
                _ => format!("{lhs} {op} {rhs}"),
            }
        }
    }
}

/// A number as a literal: without exponent; a duration as such.
pub(crate) fn number(value: f64, is_duration: bool) -> String {
    if is_duration {
        #[expect(clippy::cast_possible_truncation, reason = "durations fit by construction")]
        return format_duration((value * 1e9) as i64 / 1_000_000);
    }
    plain_float(value)
}

/// Go's `'f' -1` format: the shortest decimals, never an exponent.
pub(crate) fn plain_float(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value if value.is_nan() => "NaN".to_owned(),
        value => value.to_string(),
    }
}

/// Go's `%v` format: an exponent below 1e-4 and from 1e6.
fn short_float(value: f64) -> String {
    let magnitude = value.abs();
    if value.is_nan() || value.is_infinite() || magnitude == 0.0 {
        return plain_float(value);
    }
    if (1e-4..1e6).contains(&magnitude) {
        return plain_float(value);
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

impl DurationOp {
    /// The operator's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::MinOf => "min_of",
            Self::MaxOf => "max_of",
        }
    }
}
