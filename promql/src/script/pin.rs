//! An expression with all its selectors pinned to one time.

use crate::ast::{Ast, At, Expr};
use crate::plan::depends_on_step;

/// `ast` with `@ t_ms` on every selector and subquery that has none; what is inside a pinned
/// subquery is left alone, because its times follow from the subquery's. `None` where the value
/// depends on the time of the evaluation for another reason.
pub(super) fn pinned(ast: &Ast, t_ms: i64) -> Option<Ast> {
    let mut below_subquery = vec![false; ast.len()];
    for (id, node) in ast.iter().rev() {
        let inside = below_subquery[id.0 as usize];
        let own = inside || matches!(node.expr, Expr::Subquery(_));
        for child in node.expr.children() {
            below_subquery[child.0 as usize] = own;
        }
    }
    let mut out = ast.clone();
    for (id, node) in ast.iter() {
        if let Expr::Call { function, .. } = &node.expr
            && (depends_on_step(function.name)
                || matches!(function.name, "start" | "end" | "range" | "step"))
        {
            return None;
        }
        if below_subquery[id.0 as usize] {
            continue;
        }
        match &mut out.node_mut(id).expr {
            Expr::Vector(selector) => selector.at = selector.at.or(Some(At::Time(t_ms))),
            Expr::Subquery(subquery) => subquery.at = subquery.at.or(Some(At::Time(t_ms))),
            _ => {}
        }
    }
    Some(out)
}
