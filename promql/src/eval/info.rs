//! `info`: adds the labels of info series, such as `target_info`, to the series of the same
//! `instance` and `job`.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;
use model::{Labels, LabelsBuilder, MatchOp, Matcher, NAME_LABEL};

use super::call::Call;
use super::selector::{self, Instant, InstantSelector};
use super::state::Held;
use super::{Bits, Cell, Operator, Query, References, Row, Rows, State};
use crate::ast::{Expr, NodeId, VectorSelector};
use crate::engine::QueryError;

/// The labels that info series share with what they describe.
const IDENTITY: [&str; 2] = ["instance", "job"];
const DEFAULT_INFO: &str = "target_info";
const ANY_INFO: &str = ".+_info";

/// Values of the identifying labels.
type Identity = [String; 2];

/// An info series; its values are the times of its samples in seconds.
struct InfoSeries {
    labels: Labels,
    times: Row,
}

/// The operator of `info`.
struct Info<'q> {
    source: Rows<'q>,
    /// What makes a series an info series.
    names: Vec<Matcher>,
    /// Which labels to take over; all where there is none.
    data: Vec<Matcher>,
    /// Not yet read; then `by_identity` is empty.
    unread: Option<InstantSelector>,
    /// The info series by identity and by metric name.
    by_identity: HashMap<Identity, BTreeMap<String, Vec<InfoSeries>>>,
    ready: VecDeque<Row>,
    held: Held,
}

pub(crate) fn build<'q>(call: &Call<'q>, state: &mut State) -> Result<Rows<'q>, QueryError> {
    let query = call.query;
    let source = call.rows(0, state)?;
    let matchers = match call.args.get(1).map(|id| query.ast.expr(query.unwrapped(*id))) {
        Some(Expr::Vector(selector)) => selector.matchers.clone(),
        _ => Vec::new(),
    };
    let (mut names, data): (Vec<_>, Vec<_>) =
        matchers.into_iter().partition(|m| m.name == NAME_LABEL);
    if names.is_empty() {
        names.push(Matcher::equal(NAME_LABEL, DEFAULT_INFO));
    } else if names.iter().all(|m| matches!(m.op, MatchOp::Ne | MatchOp::Nre)) {
        let any = Matcher::new(MatchOp::Re, NAME_LABEL, ANY_INFO);
        names.push(any.expect("the pattern is a valid expression"));
    }
    let (first, at_ms, offset_ms) = first_selector(query, call.args[0]);
    let references = References::new(call.steps, at_ms, offset_ms);
    let lookback_ms = query.lookback_ms;
    let oldest = references.first().saturating_sub(lookback_ms).saturating_add(1);
    let selector = VectorSelector {
        matchers: names.iter().chain(&data).cloned().collect(),
        ..VectorSelector::default()
    };
    let span = (oldest, references.last());
    let set = selector::select(query, first, &selector, span, 0, state)?;
    Ok(Box::new(Info {
        source,
        names,
        data,
        unread: Some(Instant::of_info(set, references, lookback_ms)),
        by_identity: HashMap::new(),
        ready: VecDeque::new(),
        held: Held::default(),
    }))
}

/// The first selector of an expression, and the time at which it reads as seen from a step: its
/// `@` and offset with those of the subqueries around it. The info series are read then too.
fn first_selector(query: &Query<'_>, root: NodeId) -> (NodeId, Option<i64>, i64) {
    let mut stack: Vec<(NodeId, Option<i64>, i64)> = vec![(root, None, 0)];
    let mut first: Option<(NodeId, Option<i64>, i64)> = None;
    let start = |id| query.ast.pos(id).start;
    while let Some((id, mut at_ms, mut offset_ms)) = stack.pop() {
        let (expr, facts) = (query.ast.expr(id), query.plan.node(id));
        if matches!(expr, Expr::Vector(_) | Expr::Subquery(_)) {
            if facts.at_ms.is_some() {
                (at_ms, offset_ms) = (facts.at_ms, 0);
            }
            offset_ms = offset_ms.saturating_add(facts.offset_ms);
        }
        if matches!(expr, Expr::Vector(_)) && first.is_none_or(|f| start(id) < start(f.0)) {
            first = Some((id, at_ms, offset_ms));
        }
        stack.extend(expr.children().into_iter().map(|child| (child, at_ms, offset_ms)));
    }
    first.unwrap_or((root, None, 0))
}

/// `None` for a series that is not identified at all.
fn identity(labels: &Labels) -> Option<Identity> {
    let identity = IDENTITY.map(|name| labels.get(name).to_owned());
    identity.iter().any(|value| !value.is_empty()).then_some(identity)
}

impl Info<'_> {
    fn read_info(&mut self, state: &mut State) -> Result<(), QueryError> {
        let Some(mut info) = self.unread.take() else { return Ok(()) };
        while let Some(times) = info.next(state)? {
            state.hold_row(&mut self.held, &times)?;
            if let Some(identity) = identity(&times.labels) {
                let labels = times.labels.clone();
                let name = labels.metric_name().to_owned();
                let by_name = self.by_identity.entry(identity).or_default();
                by_name.entry(name).or_default().push(InfoSeries { labels, times });
            }
        }
        Ok(())
    }

    /// Puts `row` with its info labels into the answer: one row for each label set that these make
    /// of it over time.
    fn enrich(&mut self, row: Row, state: &mut State) -> Result<(), QueryError> {
        if self.names.iter().all(|m| m.matches(row.labels.metric_name())) {
            self.ready.push_back(row);
            return Ok(());
        }
        let by_name = identity(&row.labels).and_then(|i| self.by_identity.get(&i));
        let mut found: Vec<(Labels, Bits)> = Vec::new();
        for step in row.occupied().iter() {
            state.worked(1)?;
            if let Some(labels) = self.labels_at(&row.labels, by_name, step)? {
                let at = found.iter().position(|(l, _)| *l == labels).unwrap_or_else(|| {
                    found.push((labels, Bits::empty(row.steps())));
                    found.len() - 1
                });
                found[at].1.set(step);
            }
        }
        for (labels, bits) in found {
            let mut out = row.clone();
            out.labels = labels;
            out.retain(&bits);
            self.ready.push_back(out);
        }
        Ok(())
    }

    /// `base` with the labels of the info series at a step; `None` where it must have some and has
    /// not.
    fn labels_at(
        &self,
        base: &Labels,
        by_name: Option<&BTreeMap<String, Vec<InfoSeries>>>,
        step: usize,
    ) -> Result<Option<Labels>, QueryError> {
        let mut builder = LabelsBuilder::new(base);
        let mut added = LabelsBuilder::default();
        let mut matched = false;
        for series in by_name.into_iter().flat_map(BTreeMap::values) {
            let Some(newest) = newest(series, step)? else { continue };
            matched = true;
            for (name, value) in &newest.labels {
                let wanted = self.data.is_empty() || self.data.iter().any(|m| m.name == name);
                if name == NAME_LABEL || !wanted {
                    continue;
                }
                let other = added.get(name);
                if !other.is_empty() && other != value {
                    return Err(QueryError::Execution(format!("conflicting label: {name}")));
                }
                if !base.has(name) {
                    added.set(name, value);
                    builder.set(name, value);
                }
            }
        }
        let kept = matched || self.data.iter().all(Matcher::matches_empty);
        Ok(kept.then(|| builder.build()))
    }
}

/// The series with the newest sample at a step.
fn newest(series: &[InfoSeries], step: usize) -> Result<Option<&InfoSeries>, QueryError> {
    let mut best: Option<(&InfoSeries, f64)> = None;
    for info in series {
        let Cell::Float(t) = info.times.cell(step) else { continue };
        match best {
            Some((_, newest)) if newest > t => {}
            Some((other, newest)) if newest >= t => {
                #[expect(clippy::cast_possible_truncation, reason = "it was an i64 of ms")]
                let t_ms = (t * 1e3).round() as i64;
                return Err(QueryError::Execution(format!(
                    "found duplicate series for info metric: existing {} @ {t_ms}, new {} @ {t_ms}",
                    other.labels, info.labels
                )));
            }
            _ => best = Some((info, t)),
        }
    }
    Ok(best.map(|(info, _)| info))
}

impl Operator for Info<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        self.read_info(state)?;
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Ok(Some(row));
            }
            let Some(row) = self.source.next(state)? else {
                state.release(&mut self.held);
                return Ok(None);
            };
            self.enrich(row, state)?;
        }
    }
}
