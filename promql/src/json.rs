//! Tree to JSON: what `parse_query` answers. Members are in alphabetical order.

use std::fmt::Write as _;

use crate::ast::{
    Ast, At, Binary, Cardinality, DurationExpr, DurationExprKind, DurationSpec, Expr, NodeId,
    ValueType, VectorSelector,
};
use crate::printer::{Part, plain_float};

/// The JSON of `ast`, with the escapes of Go's encoder.
pub fn to_json(ast: &Ast) -> String {
    let mut out = String::new();
    let mut todo = vec![Part::Child(ast.root())];
    while let Some(part) = todo.pop() {
        match part {
            Part::Text(text) => out.push_str(&text),
            Part::Child(id) => todo.extend(Object::of(ast, id).into_iter().rev()),
        }
    }
    out
}

/// An object that is being written, as text around its children.
struct Object {
    parts: Vec<Part>,
    text: String,
}

impl Object {
    fn new() -> Self {
        Self { parts: Vec::new(), text: "{".to_owned() }
    }

    /// A member whose value is JSON already.
    fn raw(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        self.text.push_str(value);
        self
    }

    fn string(self, name: &str, value: &str) -> Self {
        let value = string(value);
        self.raw(name, &value)
    }

    fn child(self, name: &str, id: NodeId) -> Self {
        self.children(name, &[id], ("", ""))
    }

    fn children(mut self, name: &str, ids: &[NodeId], around: (&str, &str)) -> Self {
        self.name(name);
        self.text.push_str(around.0);
        for (i, id) in ids.iter().enumerate() {
            if i > 0 {
                self.text.push(',');
            }
            self.parts.push(Part::Text(std::mem::take(&mut self.text)));
            self.parts.push(Part::Child(*id));
        }
        self.text.push_str(around.1);
        self
    }

    fn name(&mut self, name: &str) {
        if !self.text.ends_with('{') || !self.parts.is_empty() {
            self.text.push(',');
        }
        let _ = write!(self.text, "\"{name}\":");
    }

    fn close(mut self) -> Vec<Part> {
        self.text.push('}');
        self.parts.push(Part::Text(self.text));
        self.parts
    }

    fn of(ast: &Ast, id: NodeId) -> Vec<Part> {
        let object = Self::new();
        let object = match ast.expr(id) {
            Expr::Number { value, .. } => {
                object.raw("type", "\"numberLiteral\"").string("val", &plain_float(*value))
            }
            Expr::String(value) => {
                object.raw("type", "\"stringLiteral\"").string("val", value.as_str())
            }
            Expr::Vector(selector) => object
                .selector(selector, None)
                .timing(selector.at)
                .raw("type", "\"vectorSelector\""),
            Expr::Matrix { selector, range } => match ast.expr(*selector) {
                Expr::Vector(selector) => object
                    .selector(selector, Some(range))
                    .timing(selector.at)
                    .raw("type", "\"matrixSelector\""),
                _ => object.child("expr", *selector).raw("type", "\"matrixSelector\""),
            },
            Expr::Subquery(subquery) => object
                .child("expr", subquery.expr)
                .duration("offset", &subquery.offset)
                .duration("range", &subquery.range)
                .start_or_end(subquery.at)
                .duration("step", subquery.step.as_ref().unwrap_or(&DurationSpec::Ms(0)))
                .timestamp(subquery.at)
                .raw("type", "\"subquery\""),
            Expr::Call { function, args } => {
                let types = list(function.args.iter().map(|t| string(t.as_str())));
                let func = Self::new()
                    .raw("argTypes", &types)
                    .string("name", function.name)
                    .string("returnType", function.returns.as_str())
                    .raw("variadic", &function.variadic.to_string());
                object
                    .children("args", args, ("[", "]"))
                    .raw("func", &(func.text + "}"))
                    .raw("type", "\"call\"")
            }
            Expr::Aggregate(aggregate) => {
                let object = object
                    .child("expr", aggregate.expr)
                    .raw("grouping", &strings(&aggregate.grouping))
                    .string("op", aggregate.op.as_str());
                let object = match aggregate.param {
                    Some(param) => object.child("param", param),
                    None => object.raw("param", "null"),
                };
                object.raw("type", "\"aggregation\"").raw("without", bool(aggregate.without))
            }
            Expr::Binary(binary) => object
                .raw("bool", bool(binary.return_bool))
                .child("lhs", binary.lhs)
                .raw("matching", &matching(ast, binary))
                .string("op", binary.op.as_str())
                .child("rhs", binary.rhs)
                .raw("type", "\"binaryExpr\""),
            Expr::Unary { negative, expr } => object
                .child("expr", *expr)
                .string("op", if *negative { "-" } else { "+" })
                .raw("type", "\"unaryExpr\""),
            Expr::Paren(expr) => object.child("expr", *expr).raw("type", "\"parenExpr\""),
        };
        object.close()
    }

    /// The members of a selector up to `smoothed`.
    fn selector(self, selector: &VectorSelector, range: Option<&DurationSpec>) -> Self {
        let matchers = list(selector.matchers.iter().map(|matcher| {
            let object = Self::new()
                .string("name", &matcher.name)
                .string("type", matcher.op.as_str())
                .string("value", &matcher.value);
            object.text + "}"
        }));
        let object = self
            .raw("anchored", bool(selector.anchored))
            .raw("matchers", &matchers)
            .string("name", selector.name.as_deref().unwrap_or_default())
            .duration("offset", &selector.offset);
        let object = match range {
            Some(range) => object.duration("range", range),
            None => object,
        };
        object.raw("smoothed", bool(selector.smoothed))
    }

    fn timing(self, at: Option<At>) -> Self {
        self.start_or_end(at).timestamp(at)
    }

    fn start_or_end(self, at: Option<At>) -> Self {
        let value = match at {
            Some(At::Start) => "\"start\"",
            Some(At::End) => "\"end\"",
            _ => "null",
        };
        self.raw("startOrEnd", value)
    }

    fn timestamp(self, at: Option<At>) -> Self {
        match at {
            Some(At::Time(t_ms)) => self.raw("timestamp", itoa::Buffer::new().format(t_ms)),
            _ => self.raw("timestamp", "null"),
        }
    }

    /// `<name>` in ms, and `<name>Expr`: one of them says something.
    fn duration(self, name: &str, spec: &DurationSpec) -> Self {
        let (ms, expr) = match spec {
            DurationSpec::Ms(ms) => (*ms, "null".to_owned()),
            DurationSpec::Expr(expr) => (0, duration_expr(expr)),
        };
        self.raw(name, itoa::Buffer::new().format(ms)).raw(&format!("{name}Expr"), &expr)
    }
}

fn matching(ast: &Ast, binary: &Binary) -> String {
    let is_vector = |id| ast.value_type(id) == ValueType::Vector;
    if !is_vector(binary.lhs) || !is_vector(binary.rhs) {
        return "null".to_owned();
    }
    let matching = &binary.matching;
    let card = match matching.card {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    let value = |value: Option<f64>| value.map_or("null".to_owned(), plain_float);
    let fill =
        format!(r#"{{"lhs":{},"rhs":{}}}"#, value(matching.fill_left), value(matching.fill_right));
    let object = Object::new()
        .string("card", card)
        .raw("fillValues", &fill)
        .raw("include", &strings(&matching.include))
        .raw("labels", &strings(&matching.labels))
        .raw("on", bool(matching.on));
    object.text + "}"
}

/// A duration expression; its depth is limited (L16).
fn duration_expr(expr: &DurationExpr) -> String {
    let (expr, wrapped) = match &expr.kind {
        DurationExprKind::Paren(inner) => (&**inner, true),
        _ => (expr, false),
    };
    let operation = |op: &str, lhs: Option<&DurationExpr>, rhs: Option<&DurationExpr>| {
        let side = |side: Option<&DurationExpr>| side.map_or("null".to_owned(), duration_expr);
        let object = Object::new()
            .raw("lhs", &side(lhs))
            .string("op", op)
            .raw("rhs", &side(rhs))
            .raw("type", "\"durationExpr\"")
            .raw("wrapped", bool(wrapped));
        object.text + "}"
    };
    match &expr.kind {
        // Only an operation can be wrapped, so a plus is put before what is none.
        DurationExprKind::Number { .. } | DurationExprKind::Paren(_) if wrapped => {
            operation("+", None, Some(expr))
        }
        DurationExprKind::Number { value, duration } => {
            let object = Object::new()
                .raw("duration", bool(*duration))
                .raw("type", "\"numberLiteral\"")
                .string("val", &plain_float(*value));
            object.text + "}"
        }
        DurationExprKind::Step => operation("step", None, None),
        DurationExprKind::Range => operation("range", None, None),
        DurationExprKind::Unary { negative, expr } => {
            operation(if *negative { "-" } else { "+" }, None, Some(expr))
        }
        DurationExprKind::Binary { op, lhs, rhs } => operation(op.as_str(), Some(lhs), Some(rhs)),
        DurationExprKind::Paren(inner) => duration_expr(inner),
    }
}

fn bool(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn strings(values: &[String]) -> String {
    list(values.iter().map(|value| string(value)))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// A JSON string as Go writes it: HTML's special characters and the two line separators of
/// Unicode are escaped.
fn string(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{0}'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
