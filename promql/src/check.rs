//! The type checker: what the grammar lets through and no evaluation could answer.

use crate::ast::{Ast, Binary, Cardinality, Expr, NodeId, Pos, ValueType, VectorMatching};
use crate::error::ParseError;
use model::{NAME_LABEL, go_quote};

/// What is left to do, last first: the order in which Prometheus finds errors is not that of the
/// nodes, and a tree is too deep to recurse into.
enum Task {
    /// Check a node with all below it.
    Enter(NodeId),
    /// Check a node whose children are right.
    Leave(NodeId),
    /// Check that an aggregated expression or a parameter has this type.
    Aggregated(NodeId, ValueType, &'static str),
    /// Check that argument number .1 of a call has the type that the function declares.
    Argument(NodeId, usize),
    /// Check the selector of an `info()`, which may select everything.
    InfoSelector(NodeId),
}

/// Checks the tree of `text`; takes the matching of operators off that do not match vectors.
///
/// # Errors
/// The first [`ParseError`] that Prometheus finds.
pub(crate) fn check(ast: &mut Ast, text: &str) -> Result<(), ParseError> {
    let mut tasks = vec![Task::Enter(ast.root())];
    while let Some(task) = tasks.pop() {
        let wrong = match task {
            Task::Enter(id) => enter(ast, id, &mut tasks),
            Task::Leave(id) => leave(ast, id, text),
            Task::Aggregated(id, want, what) => {
                let got = ast.value_type(id);
                let message = || {
                    format!(
                        "expected type {} in {what}, got {}",
                        want.documented(),
                        got.documented()
                    )
                };
                (got != want).then(|| (ast.pos(id), message()))
            }
            Task::Argument(id, i) => argument(ast, id, i),
            Task::InfoSelector(id) => match ast.expr(id) {
                Expr::Vector(_) => None,
                _ => enter(ast, id, &mut tasks),
            },
        };
        if let Some((pos, message)) = wrong {
            return Err(ParseError::new(text, pos, message));
        }
    }
    let ids: Vec<NodeId> = ast.iter().map(|(id, _)| id).collect();
    for id in ids {
        if let Expr::Binary(binary) = ast.expr(id)
            && !matches_vectors(ast, binary)
            && let Expr::Binary(binary) = &mut ast.node_mut(id).expr
        {
            binary.matching = VectorMatching::default();
        }
    }
    Ok(())
}

type Wrong = Option<(Pos, String)>;

/// Checks what comes before the children, and plans the rest.
fn enter(ast: &Ast, id: NodeId, tasks: &mut Vec<Task>) -> Wrong {
    let pos = ast.pos(id);
    match ast.expr(id) {
        Expr::Number { .. } | Expr::String(_) => {}
        Expr::Vector(_) => tasks.push(Task::Leave(id)),
        Expr::Matrix { selector, .. } => tasks.push(Task::Enter(*selector)),
        Expr::Paren(expr) => tasks.push(Task::Enter(*expr)),
        Expr::Unary { expr, .. } => tasks.extend([Task::Leave(id), Task::Enter(*expr)]),
        Expr::Subquery(subquery) => {
            tasks.extend([Task::Leave(id), Task::Enter(subquery.expr)]);
        }
        Expr::Binary(binary) => {
            tasks.extend([Task::Leave(id), Task::Enter(binary.rhs), Task::Enter(binary.lhs)]);
        }
        Expr::Aggregate(aggregate) => {
            if let (Some(param), Some(want)) = (aggregate.param, aggregate.op.param()) {
                let parameter = Task::Aggregated(param, want, "aggregation parameter");
                tasks.extend([parameter, Task::Enter(param)]);
            }
            let expr = aggregate.expr;
            let aggregated = Task::Aggregated(expr, ValueType::Vector, "aggregation expression");
            tasks.extend([aggregated, Task::Enter(expr)]);
        }
        Expr::Call { function, args } => {
            let (name, got) = (go_quote(function.name), args.len());
            let count = |how: &str, n: usize| {
                Some((pos, format!("expected {how}{n} argument(s) in call to {name}, got {got}")))
            };
            let min = function.min_args();
            match function.max_args() {
                Some(max) if function.variadic == 0 && got != max => return count("", max),
                _ if got < min => return count("at least ", min),
                Some(max) if got > max => return count("at most ", max),
                _ => {}
            }
            let selector = args.get(1).filter(|_| function.name == "info");
            if let Some(wrong) = selector.and_then(|arg| info_selector(ast, *arg, pos)) {
                return Some(wrong);
            }
            for (i, arg) in args.iter().enumerate().rev() {
                let check = if selector == Some(arg) { Task::InfoSelector } else { Task::Enter };
                tasks.extend([Task::Argument(id, i), check(*arg)]);
            }
        }
    }
    None
}

/// The second argument of `info()` is a selector without a name.
fn info_selector(ast: &Ast, arg: NodeId, call: Pos) -> Wrong {
    if ast.value_type(arg) != ValueType::Vector {
        let got = ast.value_type(arg).documented();
        let message =
            format!("expected type instant vector in call to function \"info\", got {got}");
        return Some((call, message));
    }
    let message = match ast.expr(arg) {
        Expr::Vector(selector) if selector.name.is_none() => return None,
        Expr::Vector(_) => "expected label selectors only, got vector selector instead",
        _ => "expected label selectors only",
    };
    Some((ast.pos(arg), message.to_owned()))
}

fn argument(ast: &Ast, call: NodeId, i: usize) -> Wrong {
    let Expr::Call { function, args } = ast.expr(call) else { return None };
    let (arg, want) = (*args.get(i)?, function.arg(i));
    let got = ast.value_type(arg);
    let message = || {
        format!(
            "expected type {} in call to function {}, got {}",
            want.documented(),
            go_quote(function.name),
            got.documented()
        )
    };
    (got != want).then(|| (ast.pos(arg), message()))
}

/// Checks a node whose children are right.
fn leave(ast: &Ast, id: NodeId, text: &str) -> Wrong {
    let pos = ast.pos(id);
    let message = match ast.expr(id) {
        Expr::Binary(binary) => return leave_binary(ast, binary, pos, text),
        Expr::Vector(selector) => {
            let mut names = selector.matchers.iter().filter(|m| m.name == NAME_LABEL);
            match &selector.name {
                // The last of them is the name itself.
                Some(name) => {
                    let other = names.next().filter(|_| names.next().is_some())?;
                    let (name, other) = (go_quote(name), go_quote(&other.value));
                    format!("metric name must not be set twice: {name} or {other}")
                }
                None if selector.matchers.iter().all(model::Matcher::matches_empty) => {
                    "vector selector must contain at least one non-empty matcher".to_owned()
                }
                None => return None,
            }
        }
        Expr::Unary { expr, .. } if !is_number(ast, *expr) => format!(
            "unary expression only allowed on expressions of type scalar or instant vector, got {}",
            go_quote(ast.value_type(*expr).documented())
        ),
        Expr::Subquery(subquery) if ast.value_type(subquery.expr) != ValueType::Vector => {
            let got = ast.value_type(subquery.expr);
            format!("subquery is only allowed on instant vector, got {got} instead")
        }
        _ => return None,
    };
    Some((pos, message))
}

fn leave_binary(ast: &Ast, binary: &Binary, pos: Pos, text: &str) -> Wrong {
    let Binary { op, lhs, rhs, return_bool, matching } = binary;
    let (left, right) = (ast.value_type(*lhs), ast.value_type(*rhs));
    let at_operator = || operator_pos(text, ast.pos(*lhs).end, ast.pos(*rhs).start);
    let both = |want| left == want && right == want;
    let at = |pos: Pos, message: &str| Some((pos, message.to_owned()));
    if *return_bool && !op.is_comparison() {
        return at(at_operator(), "bool modifier can only be used on comparison operators");
    }
    if op.is_comparison() && !return_bool && both(ValueType::Scalar) {
        return at(at_operator(), "comparisons between scalars must use BOOL modifier");
    }
    if let Some(label) = common_label(matching) {
        let label = go_quote(label);
        let message = format!("label {label} must not occur in ON and GROUP clause at once");
        return Some((at_operator(), message));
    }
    for operand in [*lhs, *rhs] {
        if !is_number(ast, operand) {
            let message = "binary expression must contain only scalar and instant vector types";
            return at(ast.pos(operand), message);
        }
    }
    let is_filled = matching.fill_left.is_some() || matching.fill_right.is_some();
    let is_grouped = matches!(matching.card, Cardinality::ManyToOne | Cardinality::OneToMany);
    if !both(ValueType::Vector) {
        if !matching.labels.is_empty() {
            return at(pos, "vector matching only allowed between instant vectors");
        }
        if is_filled {
            return at(pos, "filling in missing series only allowed between instant vectors");
        }
        let name = go_quote(op.as_str());
        return op.is_set().then(|| {
            (pos, format!("set operator {name} not allowed in binary scalar expression"))
        });
    }
    if op.is_set() && is_grouped {
        let name = go_quote(op.as_str());
        return Some((pos, format!("no grouping allowed for {name} operation")));
    }
    if op.is_set() && is_filled {
        return at(pos, "filling in missing series not allowed for set operators");
    }
    None
}

/// A label of both `on` and `group_left` or `group_right`: the first of `on`.
fn common_label(matching: &VectorMatching) -> Option<&str> {
    if !matching.on || matching.include.is_empty() {
        return None;
    }
    let include: std::collections::HashSet<&String> = matching.include.iter().collect();
    matching.labels.iter().find(|label| include.contains(label)).map(String::as_str)
}

/// Whether both operands are vectors, so that their series are matched.
fn matches_vectors(ast: &Ast, binary: &Binary) -> bool {
    [binary.lhs, binary.rhs].iter().all(|id| ast.value_type(*id) == ValueType::Vector)
}

fn is_number(ast: &Ast, id: NodeId) -> bool {
    matches!(ast.value_type(id), ValueType::Scalar | ValueType::Vector)
}

/// What stands between two operands, without the blanks around it.
fn operator_pos(text: &str, start: u32, end: u32) -> Pos {
    let between = &text.as_bytes()[start as usize..end.max(start) as usize];
    let blanks = between.iter().take_while(|b| b" \t\r\n".contains(b)).count();
    let start = start + u32::try_from(blanks).expect("a part of a text that u32 measures");
    Pos { start, end }
}
