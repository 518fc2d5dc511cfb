//! Tree to text on several lines: what `format_query` answers.

use crate::ast::{Ast, Expr, NodeId};
use crate::printer::{self, Part};

/// A node that is longer than this on one line is split.
const MAX_LINE: usize = 100;

/// Deepest indentation. Prometheus has no such bound, so that a chain of 100 000 additions would
/// become gigabytes of blanks.
const MAX_LEVEL: usize = 64;

/// What is left to write, last first.
enum Task {
    Node { id: NodeId, level: usize },
    Text(String),
    Indent(usize),
}

/// `ast` as text, one line for each part of what does not fit into 100 characters.
pub fn prettify(ast: &Ast) -> String {
    let lengths = lengths(ast);
    let mut out = String::new();
    // Set after a sign: what follows stands right behind it.
    let mut joins_sign = false;
    let mut todo = vec![Task::Node { id: ast.root(), level: 0 }];
    while let Some(task) = todo.pop() {
        match task {
            Task::Text(text) => {
                out.push_str(&text);
                joins_sign = false;
            }
            Task::Indent(_) if joins_sign => {}
            Task::Indent(level) => indent(&mut out, level),
            Task::Node { id, level } => {
                let tasks = node(ast, id, level, lengths[id.0 as usize] > MAX_LINE);
                let is_sign = matches!(ast.expr(id), Expr::Unary { .. });
                if is_sign && let [Task::Indent(level), Task::Text(sign), _] = tasks.as_slice() {
                    if !joins_sign {
                        indent(&mut out, *level);
                    }
                    out.push_str(sign);
                    joins_sign = true;
                    todo.extend(tasks.into_iter().skip(2));
                    continue;
                }
                todo.extend(tasks.into_iter().rev());
            }
        }
    }
    printer::escape_replacement(out)
}

fn indent(out: &mut String, level: usize) {
    out.extend(std::iter::repeat_n("  ", level.min(MAX_LEVEL)));
}

/// Length of each node on one line, in bytes.
fn lengths(ast: &Ast) -> Vec<usize> {
    let mut lengths: Vec<usize> = Vec::with_capacity(ast.len());
    for (id, _) in ast.iter() {
        let length = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Child(child) => lengths[child.0 as usize],
        };
        lengths.push(printer::parts(ast, id).iter().map(length).sum());
    }
    lengths
}

/// What node `id` is written as, itself indented by `level`.
fn node(ast: &Ast, id: NodeId, level: usize, is_split: bool) -> Vec<Task> {
    let child = |id, level| Task::Node { id, level };
    let text = |text: &str| Task::Text(text.to_owned());
    match ast.expr(id) {
        Expr::Unary { negative, expr } => {
            vec![Task::Indent(level), text(if *negative { "-" } else { "+" }), child(*expr, level)]
        }
        // Prometheus forgets the indentation of a subquery that fits.
        Expr::Subquery(_) if !is_split => vec![Task::Text(ast.print(id))],
        Expr::Subquery(subquery) => {
            vec![child(subquery.expr, level), Task::Text(printer::subquery_suffix(subquery))]
        }
        Expr::Aggregate(aggregate) if is_split => {
            let head = printer::aggregate_head(aggregate) + "(\n";
            let args: Vec<NodeId> = aggregate.param.into_iter().chain([aggregate.expr]).collect();
            lines(level, &head, &args)
        }
        Expr::Call { function, args } if is_split => {
            lines(level, &format!("{}(\n", function.name), args)
        }
        Expr::Paren(expr) if is_split => lines(level, "(\n", &[*expr]),
        Expr::Binary(binary) if is_split => vec![
            child(binary.lhs, level + 1),
            text("\n"),
            Task::Indent(level),
            Task::Text(printer::binary_operator(binary)),
            text("\n"),
            child(binary.rhs, level + 1),
        ],
        _ => vec![Task::Indent(level), Task::Text(ast.print(id))],
    }
}

/// `head`, then each argument on a line of its own, then the closing parenthesis.
fn lines(level: usize, head: &str, args: &[NodeId]) -> Vec<Task> {
    let mut tasks = vec![Task::Indent(level), Task::Text(head.to_owned())];
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            tasks.push(Task::Text(",\n".to_owned()));
        }
        tasks.push(Task::Node { id: *arg, level: level + 1 });
    }
    tasks.extend([Task::Text("\n".to_owned()), Task::Indent(level), Task::Text(")".to_owned())]);
    tasks
}
