//! What can be known of a query before data is read: types, resolved durations and times, and the
//! parts whose value is the same at every step. Pure, and a loop over the nodes, because children
//! come before their parents.

mod common;

pub(crate) use common::Class;

use hashbrown::HashMap;

use crate::ast::{
    AggregateOp, Ast, At, BinaryOp, DurationExpr, DurationExprKind, DurationOp, DurationSpec, Expr,
    NodeId, ValueType,
};
use crate::engine::{EngineOptions, QueryError};
use crate::eval::Steps;
use crate::functions::dispatch;

/// The facts of every node of one [`Ast`] under one range of steps.
#[derive(Debug)]
pub(crate) struct Plan {
    nodes: Vec<NodePlan>,
    classes: HashMap<NodeId, Class>,
    /// How often each class occurs.
    uses: Vec<u32>,
}

/// The facts of one node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodePlan {
    pub(crate) ty: ValueType,
    /// The value does not depend on the step: evaluate it once.
    pub(crate) invariant: bool,
    /// No two series differ in nothing but what name removal takes away.
    pub(crate) one_name: bool,
    /// Of a selector or subquery, ms.
    pub(crate) offset_ms: i64,
    /// `@` of a selector or subquery, resolved, ms.
    pub(crate) at_ms: Option<i64>,
    /// Of a matrix selector or subquery, ms.
    pub(crate) range_ms: i64,
    /// Of a subquery, ms.
    pub(crate) step_ms: i64,
    /// Of what is computed here only counts and sums of histograms are used (Prometheus
    /// `detectHistogramStatsDecoding`).
    pub(crate) counts_only: bool,
    /// The aggregation whose grouping is all that is seen of the labels here.
    pub(crate) labels_for: Option<NodeId>,
    /// The call or aggregation directly above, parentheses aside.
    above: Option<NodeId>,
    /// How many parts of the query Prometheus is done with before this one.
    pub(crate) turn: u32,
}

/// Functions whose value depends on the time of the step itself, so that `@` on the selector does
/// not make them invariant (Prometheus `AtModifierUnsafeFunctions`).
const STEP_DEPENDENT: [&str; 11] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "time",
    "timestamp",
    "year",
];

/// Whether `pin` of the test language must leave expressions with this function alone.
pub(crate) fn depends_on_step(function: &str) -> bool {
    STEP_DEPENDENT.binary_search(&function).is_ok()
}

/// What durations and times are relative to.
struct Frame {
    start_ms: i64,
    end_ms: i64,
    /// Zero for an instant query.
    step_ms: i64,
    default_step_ms: i64,
    /// Whether series carry `__type__` and `__unit__`, which go with the name.
    type_and_unit: bool,
}

impl Plan {
    /// Plans `ast` for a query over `steps`.
    ///
    /// # Errors
    /// [`QueryError::Execution`] for a duration expression that has no value.
    pub(crate) fn new(
        ast: &Ast,
        steps: Steps,
        end_ms: i64,
        options: &EngineOptions,
    ) -> Result<Self, QueryError> {
        let instant = steps.start_ms == end_ms;
        let frame = Frame {
            start_ms: steps.start_ms,
            end_ms,
            step_ms: if instant { 0 } else { steps.step_ms },
            default_step_ms: options.default_subquery_step_ms,
            type_and_unit: options.type_and_unit_labels,
        };
        let nodes = Vec::with_capacity(ast.len());
        let mut plan = Self { nodes, classes: HashMap::new(), uses: Vec::new() };
        for (_, node) in ast.iter() {
            let facts = plan.node_facts(&node.expr, &frame)?;
            plan.nodes.push(facts);
        }
        // Parents first, so that what is above parentheses is known when they are reached.
        for (id, node) in ast.iter().rev() {
            plan.tell_children(id, &node.expr);
        }
        plan.take_turns(ast);
        (plan.classes, plan.uses) = common::classes(ast, &plan.nodes);
        Ok(plan)
    }

    /// Numbers the nodes in the order in which Prometheus evaluates them: parameters first, then what is
    /// to the left, but a subquery before the other arguments of a function.
    fn take_turns(&mut self, ast: &Ast) {
        let mut turn = 0;
        let mut stack = vec![(ast.root(), false)];
        while let Some((id, children_done)) = stack.pop() {
            if children_done {
                self.nodes[id.0 as usize].turn = turn;
                turn += 1;
                continue;
            }
            stack.push((id, true));
            // What is to come first goes onto the stack last.
            let mut children = ast.expr(id).children();
            if !matches!(ast.expr(id), Expr::Aggregate(_)) {
                children.reverse();
                children.sort_by_key(|child| matches!(ast.expr(*child), Expr::Subquery(_)));
            }
            stack.extend(children.into_iter().map(|child| (child, false)));
        }
    }

    fn tell_children(&mut self, id: NodeId, expr: &Expr) {
        let own = self.node(id).above;
        let counts_only = match expr {
            Expr::Call { function, .. } => match function.name {
                "histogram_count" | "histogram_sum" | "histogram_avg" => true,
                name if name.starts_with("histogram_") => false,
                _ => self.node(id).counts_only,
            },
            Expr::Subquery(_) => false,
            _ => self.node(id).counts_only,
        };
        let labels_for = self.labels_for_children(id, expr);
        for child in expr.children() {
            let child = &mut self.nodes[child.0 as usize];
            (child.counts_only, child.labels_for) = (counts_only, labels_for);
        }
        let mut tell = |child: NodeId, above| self.nodes[child.0 as usize].above = above;
        match expr {
            Expr::Call { args, .. } => args.iter().for_each(|a| tell(*a, Some(id))),
            Expr::Aggregate(aggregate) => tell(aggregate.expr, Some(id)),
            Expr::Paren(inner) | Expr::Matrix { selector: inner, .. } => tell(*inner, own),
            _ => {}
        }
    }

    /// What is seen of the labels of the children of node `id`: nothing but its grouping by an
    /// aggregation that folds, and by what takes the name off rows and changes their values alone.
    /// That must not have to tell rows apart which differ in nothing but the name.
    fn labels_for_children(&self, id: NodeId, expr: &Expr) -> Option<NodeId> {
        let facts = self.node(id);
        match expr {
            Expr::Aggregate(a) if !a.op.keeps_series() && a.op != AggregateOp::CountValues => {
                Some(id)
            }
            Expr::Paren(_) | Expr::Matrix { .. } => facts.labels_for,
            Expr::Unary { .. } if facts.one_name => facts.labels_for,
            Expr::Call { function, .. } if facts.one_name => {
                let name = function.name;
                let plain = dispatch::range_kernel(name).is_some()
                    || dispatch::element_kernel(name).is_some();
                facts.labels_for.filter(|_| plain)
            }
            _ => None,
        }
    }

    /// The call or aggregation directly above node `id`, parentheses aside.
    pub(crate) fn above(&self, id: NodeId) -> Option<NodeId> {
        self.node(id).above
    }

    /// What node `id` is, where it occurs more than once, and how often.
    pub(crate) fn class(&self, id: NodeId) -> Option<(Class, u32)> {
        let class = *self.classes.get(&id)?;
        Some((class, self.uses[class.0 as usize]))
    }

    /// The facts of node `id`.
    pub(crate) fn node(&self, id: NodeId) -> &NodePlan {
        &self.nodes[id.0 as usize]
    }

    fn node_facts(&self, expr: &Expr, frame: &Frame) -> Result<NodePlan, QueryError> {
        let mut facts = NodePlan {
            ty: ValueType::Vector,
            invariant: false,
            one_name: false,
            offset_ms: 0,
            at_ms: None,
            range_ms: 0,
            step_ms: 0,
            counts_only: false,
            labels_for: None,
            above: None,
            turn: 0,
        };
        match expr {
            Expr::Number { .. } => {
                (facts.ty, facts.invariant) = (ValueType::Scalar, true);
            }
            Expr::String(_) => (facts.ty, facts.invariant) = (ValueType::String, true),
            Expr::Vector(selector) => {
                facts.offset_ms = frame.duration(&selector.offset, true)?;
                facts.at_ms = frame.at(selector.at);
                facts.invariant = facts.at_ms.is_some();
                facts.one_name = !frame.type_and_unit
                    && selector
                        .matchers
                        .iter()
                        .any(|m| m.name == model::NAME_LABEL && m.op == model::MatchOp::Eq);
            }
            Expr::Matrix { selector, range } => {
                facts = *self.node(*selector);
                facts.ty = ValueType::Matrix;
                facts.range_ms = frame.duration(range, false)?;
            }
            Expr::Subquery(subquery) => {
                let inner = self.node(subquery.expr);
                facts.ty = ValueType::Matrix;
                facts.offset_ms = frame.duration(&subquery.offset, true)?;
                facts.at_ms = frame.at(subquery.at);
                facts.range_ms = frame.duration(&subquery.range, false)?;
                facts.step_ms = match &subquery.step {
                    Some(step) => frame.duration(step, false)?,
                    None => frame.default_step_ms,
                };
                facts.invariant = facts.at_ms.is_some();
                facts.one_name = inner.one_name;
            }
            Expr::Call { function, args } => {
                facts.ty = function.returns;
                // A date function without an argument reads the clock of the step.
                facts.invariant =
                    !depends_on_step(function.name) && args.iter().all(|a| self.node(*a).invariant);
                facts.one_name = match function.name {
                    "label_replace"
                    | "label_join"
                    | "histogram_quantile"
                    | "histogram_quantiles"
                    | "histogram_fraction"
                    | "info" => false,
                    _ => args.iter().all(|a| {
                        self.node(*a).one_name
                            || matches!(self.node(*a).ty, ValueType::Scalar | ValueType::String)
                    }),
                };
            }
            Expr::Aggregate(aggregate) => {
                // Whatever the parameter does: Prometheus then takes it from the first step.
                facts.invariant = self.node(aggregate.expr).invariant;
                // Of the names only those of a `by` list survive; `count_values` makes labels.
                facts.one_name = if aggregate.op.keeps_series() {
                    self.node(aggregate.expr).one_name
                } else {
                    aggregate.op != AggregateOp::CountValues
                        && !aggregate.grouping.iter().any(|l| crate::eval::is_metadata_label(l))
                };
            }
            Expr::Binary(binary) => {
                let (lhs, rhs) = (self.node(binary.lhs), self.node(binary.rhs));
                facts.invariant = lhs.invariant && rhs.invariant;
                if lhs.ty == ValueType::Scalar && rhs.ty == ValueType::Scalar {
                    facts.ty = ValueType::Scalar;
                }
                facts.one_name = match (lhs.ty, rhs.ty) {
                    (ValueType::Scalar, _) => rhs.one_name,
                    _ if binary.op == BinaryOp::Or => false,
                    _ => lhs.one_name,
                };
            }
            Expr::Unary { expr, .. } | Expr::Paren(expr) => facts = *self.node(*expr),
        }
        Ok(facts)
    }
}

impl Frame {
    const fn at(&self, at: Option<At>) -> Option<i64> {
        match at {
            None => None,
            Some(At::Time(t_ms)) => Some(t_ms),
            Some(At::Start) => Some(self.start_ms),
            Some(At::End) => Some(self.end_ms),
        }
    }

    fn duration(&self, spec: &DurationSpec, signed: bool) -> Result<i64, QueryError> {
        let expr = match spec {
            DurationSpec::Ms(ms) => return Ok(*ms),
            DurationSpec::Expr(expr) => expr,
        };
        let seconds = self.seconds(expr)?;
        let fail =
            |what: &str| QueryError::Parse(format!("{}:{}: {what}", expr.pos.start, expr.pos.end));
        if seconds.is_nan() || seconds.is_infinite() {
            return Err(fail("duration is NaN or infinite"));
        }
        if seconds <= 0.0 && !signed {
            return Err(fail("duration must be greater than 0"));
        }
        // Prometheus keeps durations in nanoseconds.
        if seconds.abs() * 1e9 >= 9_223_372_036_854_775_807.0 {
            return Err(fail("duration is out of range"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "in range as just checked")]
        Ok((seconds * 1e3) as i64)
    }

    #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ms")]
    fn seconds(&self, expr: &DurationExpr) -> Result<f64, QueryError> {
        Ok(match &expr.kind {
            DurationExprKind::Number { value, .. } => *value,
            DurationExprKind::Step => self.step_ms as f64 / 1e3,
            DurationExprKind::Range => (self.end_ms - self.start_ms) as f64 / 1e3,
            DurationExprKind::Paren(inner) => self.seconds(inner)?,
            DurationExprKind::Unary { negative, expr } => {
                let v = self.seconds(expr)?;
                if *negative { -v } else { v }
            }
            DurationExprKind::Binary { op, lhs, rhs } => {
                let (l, r) = (self.seconds(lhs)?, self.seconds(rhs)?);
                let fail = |what: &str| {
                    let pos = expr.pos;
                    Err(QueryError::Parse(format!("{}:{}: {what}", pos.start, pos.end)))
                };
                match op {
                    DurationOp::Add => l + r,
                    DurationOp::Sub => l - r,
                    DurationOp::Mul => l * r,
                    DurationOp::Div if r == 0.0 => return fail("division by zero"),
                    DurationOp::Div => l / r,
                    DurationOp::Mod if r == 0.0 => return fail("modulo by zero"),
                    DurationOp::Mod => l % r,
                    DurationOp::Pow => l.powf(r),
                    DurationOp::MinOf => l.min(r),
                    DurationOp::MaxOf => l.max(r),
                }
            }
        })
    }
}
