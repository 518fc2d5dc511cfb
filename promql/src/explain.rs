//! What a query does: its operators, what storage estimates that they read and, after a run, what
//! they read and gave.

use std::fmt;

use model::Estimate;

use crate::ast::{Ast, Expr, NodeId, Pos};
use crate::eval::trace::Trace;

/// The operators of a query, each before those that feed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// In the order of the text within a parent; [`ExplainedNode::depth`] makes them a tree.
    pub nodes: Vec<ExplainedNode>,
}

/// One node of the syntax tree, parentheses left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedNode {
    /// How many nodes are above it. A chain such as `a+a+...` may be as deep as it is long.
    pub depth: u32,
    /// The function, aggregation or operator, or what else the node is.
    pub name: &'static str,
    /// Where it stands in the text.
    pub pos: Pos,
    /// Steps that it is evaluated at: 1 for what does not change from step to step, more than the
    /// query's own below a subquery, 0 for what its parent evaluates (scalars, range selectors, and
    /// the links of a chain of binary operators).
    pub steps: u64,
    /// Of a selector: what storage says that reading it costs at most.
    pub estimate: Option<Estimate>,
    /// What it did; nothing before a run.
    pub counts: Counts,
}

/// What an operator did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Series read from storage.
    pub series_read: u64,
    /// Samples read from storage.
    pub samples_read: u64,
    /// Those of them that others stood for, as the reader did not need them.
    pub samples_left_out: u64,
    /// Series yielded.
    pub rows: u64,
    /// Samples yielded, histograms by their size.
    pub samples: u64,
    /// Time taken with all that feeds it, ns by the clock of the caller.
    pub nanos: u64,
}

impl Explained {
    /// The nodes of `ast` with what `trace` knows of them.
    pub(crate) fn new(ast: &Ast, trace: &Trace) -> Self {
        let (mut nodes, mut stack) = (Vec::with_capacity(ast.len()), vec![(ast.root(), 0_u32)]);
        while let Some((id, depth)) = stack.pop() {
            let expr = ast.expr(id);
            let below = if let Expr::Paren(_) = expr { depth } else { depth + 1 };
            stack.extend(expr.children().into_iter().rev().map(|child| (child, below)));
            if below > depth {
                nodes.push(node(ast, id, depth, trace));
            }
        }
        Self { nodes }
    }

    /// What the selectors together are estimated to read at most.
    pub fn estimate(&self) -> Estimate {
        self.nodes.iter().filter_map(|node| node.estimate).fold(Estimate::default(), Estimate::plus)
    }
}

fn node(ast: &Ast, id: NodeId, depth: u32, trace: &Trace) -> ExplainedNode {
    let traced = trace.node(id);
    ExplainedNode {
        depth,
        name: name(ast.expr(id)),
        pos: ast.pos(id),
        steps: traced.steps,
        estimate: traced.estimate,
        counts: traced.counts(),
    }
}

fn name(expr: &Expr) -> &'static str {
    match expr {
        Expr::Number { .. } => "number",
        Expr::String(_) => "string",
        Expr::Vector(_) => "selector",
        Expr::Matrix { .. } => "range",
        Expr::Subquery(_) => "subquery",
        Expr::Call { function, .. } => function.name,
        Expr::Aggregate(aggregate) => aggregate.op.as_str(),
        Expr::Binary(binary) => binary.op.as_str(),
        Expr::Unary { negative: true, .. } => "-",
        Expr::Unary { .. } => "+",
        Expr::Paren(_) => "()",
    }
}

/// One line a node, indented by its depth.
impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            let indent = usize::try_from(node.depth).unwrap_or(0).saturating_mul(2).min(200);
            write!(f, "{:indent$}{}", "", node.name)?;
            if node.steps > 0 {
                write!(f, " steps={}", node.steps)?;
            }
            if let Some(e) = node.estimate {
                let Estimate { num_series, num_samples, chunk_bytes } = e;
                write!(f, " series<={num_series} samples<={num_samples} bytes<={chunk_bytes}")?;
            }
            let Counts { series_read, samples_read, samples_left_out, rows, samples, nanos } =
                node.counts;
            if series_read > 0 {
                write!(f, " read={samples_read} of {series_read} series")?;
            }
            if samples_left_out > 0 {
                write!(f, " left_out={samples_left_out}")?;
            }
            if rows > 0 {
                write!(f, " gave={samples} of {rows} series")?;
            }
            if nanos > 0 {
                write!(f, " ns={nanos}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
