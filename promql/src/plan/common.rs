//! Parts of a query that occur more than once. They are told apart by a hash of all that they are,
//! the places of their parts relative to their own included: what is said about one occurrence can
//! then be said about another one, moved.

use std::fmt::Write as _;

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

use super::NodePlan;
use crate::ast::{Ast, Expr, NodeId, ValueType};

/// A vector expression that occurs more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Class(pub(crate) u32);

/// The class of each node that has one, and how often each class occurs. A node inside a later
/// occurrence counts only where it also stands elsewhere.
pub(super) fn classes(ast: &Ast, nodes: &[NodePlan]) -> (HashMap<NodeId, Class>, Vec<u32>) {
    let keys = keys(ast);
    let (mut first, mut classes, mut uses) = (HashMap::new(), HashMap::new(), Vec::new());
    let mut stack = vec![(ast.root(), false)];
    while let Some((id, in_chain)) = stack.pop() {
        let (facts, key) = (&nodes[id.0 as usize], &keys[id.0 as usize]);
        let expr = ast.expr(id);
        let is_vector = |id: NodeId| nodes[id.0 as usize].ty == ValueType::Vector;
        let is_link = matches!(expr, Expr::Binary(_)) && is_vector(id);
        if is_vector(id) && key.reads && !(is_link && in_chain) && !matches!(expr, Expr::Paren(_)) {
            let grouping = facts.labels_for.map(|above| match ast.expr(above) {
                Expr::Aggregate(a) => Some((a.without, &a.grouping)),
                _ => None,
            });
            match first.entry((key.hash, facts.counts_only, grouping)) {
                hashbrown::hash_map::Entry::Vacant(new) => {
                    new.insert(id);
                }
                hashbrown::hash_map::Entry::Occupied(known) => {
                    let next = Class(u32::try_from(uses.len()).unwrap_or(u32::MAX));
                    let class = *classes.entry(*known.get()).or_insert(next);
                    if class == next {
                        uses.push(1);
                    }
                    uses[class.0 as usize] += 1;
                    classes.insert(id, class);
                    continue;
                }
            }
        }
        match expr {
            // A chain is one operator: what is to the left of its links has none of its own.
            Expr::Binary(b) if is_link => stack.extend([(b.lhs, true), (b.rhs, false)]),
            Expr::Paren(inner) => stack.push((*inner, in_chain)),
            _ => stack.extend(expr.children().into_iter().map(|child| (child, false))),
        }
    }
    (classes, uses)
}

struct Key {
    hash: u128,
    /// Whether a selector is part of it; nothing else is worth remembering.
    reads: bool,
}

/// A key for each node; children come before their parents.
fn keys(ast: &Ast) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::with_capacity(ast.len());
    let mut text = String::new();
    for (id, node) in ast.iter() {
        text.clear();
        let own = ast.pos(id);
        let start = own.start;
        let _ = write!(text, "{} ", own.end.wrapping_sub(start));
        let mut reads = write_own(&node.expr, &mut text);
        for child in node.expr.children() {
            let (pos, key) = (ast.pos(child), &keys[child.0 as usize]);
            reads |= key.reads;
            let (from, to) = (pos.start.wrapping_sub(start), pos.end.wrapping_sub(start));
            let _ = write!(text, "({from} {to} {:x})", key.hash);
        }
        keys.push(Key { hash: xxh3_128(text.as_bytes()), reads });
    }
    keys
}

/// Writes what a node is without its children; whether it is a selector.
fn write_own(expr: &Expr, text: &mut String) -> bool {
    let _ = match expr {
        Expr::Number { value, duration } => write!(text, "n{:x} {duration}", value.to_bits()),
        Expr::String(string) => write!(text, "s{string:?}"),
        Expr::Vector(v) => {
            for m in &v.matchers {
                let _ = write!(text, "{:?} {:?} {:?} ", m.op, m.name, m.value);
            }
            let (offset, at) = (&v.offset, &v.at);
            write!(text, "v{offset:?} {at:?} {} {}", v.anchored, v.smoothed)
        }
        Expr::Matrix { range, .. } => write!(text, "m{range:?}"),
        Expr::Subquery(q) => write!(text, "q{:?} {:?} {:?} {:?}", q.range, q.step, q.offset, q.at),
        Expr::Call { function, .. } => write!(text, "c{}", function.name),
        Expr::Aggregate(a) => {
            write!(text, "a{:?} {} {:?} {}", a.op, a.without, a.grouping, a.param.is_some())
        }
        Expr::Binary(b) => write!(text, "b{:?} {} {:?}", b.op, b.return_bool, b.matching),
        Expr::Unary { negative, .. } => write!(text, "u{negative}"),
        Expr::Paren(_) => write!(text, "p"),
    };
    matches!(expr, Expr::Vector(_))
}
