//! Aggregations that rank the values of a step: `topk`, `bottomk` and `quantile`.

use std::collections::VecDeque;

use super::Input;
use super::group::Groups;
use crate::annotations::Place;
use crate::ast::AggregateOp;
use crate::engine::QueryError;
use crate::eval::scalar::Scalars;
use crate::eval::state::Held;
use crate::eval::{Bits, Operator, Row, Rows, State};
use crate::functions::notes;
use crate::{number, quantile};

/// The `k` of each step as a count; 0 or less takes nothing.
///
/// # Errors
/// A number that is no `int64`, at whatever step, unless none of the numbers takes anything.
pub(super) fn counts(k: &Scalars, steps: usize) -> Result<Vec<usize>, QueryError> {
    // 2^63 as a float; Go converts only below it.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let fail = |v: f64, what: &str| {
        let v = number::format_g(v);
        Err(QueryError::Execution(format!("Scalar value {v} {what} int64")))
    };
    if (0..steps).all(|step| k.at(step) < 1.0) {
        return Ok(vec![0; steps]);
    }
    (0..steps)
        .map(|step| match k.at(step) {
            v if v.is_nan() => Err(QueryError::execution("Parameter value is NaN")),
            v if v <= -LIMIT => fail(v, "underflows"),
            v if v >= LIMIT => fail(v, "overflows"),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "Go truncates too; negative numbers become zero, which takes nothing"
            )]
            v => Ok(v as usize),
        })
        .collect()
}

/// `topk` and `bottomk`: the rows stay in memory until the ranks are known.
pub(super) struct Top<'q> {
    input: Option<Input<'q>>,
    k: Vec<usize>,
    ready: VecDeque<Row>,
    held: Held,
}

impl<'q> Top<'q> {
    pub(super) fn new(input: Input<'q>, k: &Scalars) -> Result<Self, QueryError> {
        let k = counts(k, input.steps)?;
        Ok(Self { input: Some(input), k, ready: VecDeque::new(), held: Held::default() })
    }

    /// Reads all rows.
    fn read(
        &mut self,
        input: &mut Input<'q>,
        state: &mut State,
    ) -> Result<Candidates<'q>, QueryError> {
        let mut read = Candidates {
            groups: Groups::new(input.aggregate),
            members: Vec::new(),
            rows: Vec::new(),
        };
        while let Some(row) = input.source.next(state)? {
            state.hold_row(&mut self.held, &row)?;
            read.add(row, &self.k, input, state);
        }
        Ok(read)
    }

    fn run(&mut self, mut input: Input<'q>, state: &mut State) -> Result<(), QueryError> {
        // Also where nothing is taken: the input may have errors and annotations.
        let read = self.read(&mut input, state)?;
        self.rank(read, &input, state)
    }

    fn rank(
        &mut self,
        Candidates { members, rows, .. }: Candidates<'q>,
        input: &Input<'q>,
        state: &mut State,
    ) -> Result<(), QueryError> {
        let largest = input.aggregate.op == AggregateOp::Topk;
        let mut kept: Vec<Bits> = rows.iter().map(|_| Bits::empty(input.steps)).collect();
        let mut order: Vec<usize> = Vec::new();
        for step in 0..input.steps {
            let k = self.k[step].min(rows.len());
            if k == 0 {
                continue;
            }
            for members in &members {
                state.worked(members.len() as u64)?;
                let mut heap = Heap { entries: Vec::new(), largest };
                for at in members.iter().filter(|at| rows[**at].present.get(step)) {
                    heap.offer(rows[*at].floats[step], *at, k);
                }
                heap.entries.sort_by(|a, b| heap_order(largest, b.0, a.0));
                for (_, at) in &heap.entries {
                    kept[*at].set(step);
                }
                order.extend(heap.entries.iter().map(|(_, at)| *at));
            }
        }
        // The answer of an instant query is in the order of the ranks.
        if input.steps > 1 {
            order = (0..rows.len()).collect();
        }
        let mut rows: Vec<Option<Row>> = rows.into_iter().map(Some).collect();
        for at in order {
            if let Some(mut row) = rows[at].take()
                && kept[at].any()
            {
                row.retain(&kept[at]);
                self.ready.push_back(row);
            }
        }
        Ok(())
    }
}

/// All rows and to which group they belong.
struct Candidates<'q> {
    groups: Groups<'q>,
    members: Vec<Vec<usize>>,
    rows: Vec<Row>,
}

impl Candidates<'_> {
    fn add(&mut self, mut row: Row, k: &[usize], input: &Input<'_>, state: &mut State) {
        if !row.is_float() {
            // Where nothing is taken nothing is looked at.
            if row.histograms.iter().zip(k).any(|(histogram, k)| histogram.is_some() && *k > 0) {
                let name = input.aggregate.op.as_str();
                let text = format!("ignored histogram in {name} aggregation");
                state.annotations.info(text, input.place);
            }
            row.histograms.clear();
        }
        let at = self.groups.of(&row.labels);
        self.members.resize_with(self.members.len().max(at + 1), Vec::new);
        self.members[at].push(self.rows.len());
        self.rows.push(row);
    }
}

impl Operator for Top<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        if let Some(input) = self.input.take() {
            self.run(input, state)?;
        }
        let row = self.ready.pop_front();
        if row.is_none() {
            state.release(&mut self.held);
        }
        Ok(row)
    }
}

/// The worst `k` candidates' heap. Which of equal values survives is decided by the moves of the
/// heap, so these are those of Go's `container/heap`.
struct Heap {
    /// Value and row.
    entries: Vec<(f64, usize)>,
    largest: bool,
}

impl Heap {
    fn less(&self, i: usize, j: usize) -> bool {
        let (a, b) = (self.entries[i].0, self.entries[j].0);
        a.is_nan() || if self.largest { a < b } else { a > b }
    }

    fn offer(&mut self, v: f64, row: usize, k: usize) {
        if self.entries.len() < k {
            self.entries.push((v, row));
            self.up(self.entries.len() - 1);
            return;
        }
        let worst = self.entries[0].0;
        let better = if self.largest { worst < v } else { worst > v };
        if better || (worst.is_nan() && !v.is_nan()) {
            self.entries[0] = (v, row);
            self.down(0);
        }
    }

    fn up(&mut self, mut j: usize) {
        while j > 0 {
            let i = (j - 1) / 2;
            if !self.less(j, i) {
                break;
            }
            self.entries.swap(i, j);
            j = i;
        }
    }

    fn down(&mut self, mut i: usize) {
        loop {
            let left = 2 * i + 1;
            if left >= self.entries.len() {
                return;
            }
            let right = left + 1;
            let j = if right < self.entries.len() && self.less(right, left) { right } else { left };
            if !self.less(j, i) {
                return;
            }
            self.entries.swap(i, j);
            i = j;
        }
    }
}

/// The order of the heap: worst first, NaN before all.
fn heap_order(largest: bool, a: f64, b: f64) -> std::cmp::Ordering {
    if largest { quantile::nan_first(&a, &b) } else { quantile::nan_last(&b, &a) }
}

/// `quantile(q, v)`: all values of a group and step.
struct Quantile<'q> {
    input: Option<Input<'q>>,
    q: Scalars,
    groups: Groups<'q>,
    values: std::vec::IntoIter<(Vec<Vec<f64>>, bool)>,
    next: usize,
    held: Held,
}

/// The operator of `quantile`.
pub(super) fn quantile<'q>(
    input: Input<'q>,
    q: Scalars,
    place: Place,
    state: &mut State,
) -> Rows<'q> {
    let (low, high) = super::extremes(&q, input.steps);
    for (q, valid) in [(low, low >= 0.0), (high, high <= 1.0)] {
        if !valid {
            state.annotations.warn(notes::invalid_quantile(q), place);
        }
    }
    Box::new(Quantile {
        groups: Groups::new(input.aggregate),
        input: Some(input),
        q,
        values: Vec::new().into_iter(),
        next: 0,
        held: Held::default(),
    })
}

impl Quantile<'_> {
    fn read(&mut self, mut input: Input<'_>, state: &mut State) -> Result<(), QueryError> {
        let mut groups: Vec<(Vec<Vec<f64>>, bool)> = Vec::new();
        while let Some(row) = input.source.next(state)? {
            if row.has_histograms() {
                let text = "ignored histogram in quantile aggregation";
                state.annotations.info(text, input.place);
            }
            let at = self.groups.of(&row.labels);
            if at == groups.len() {
                groups.push((vec![Vec::new(); input.steps], false));
                let bytes = input.steps * size_of::<Vec<f64>>();
                state.hold(&mut self.held, 0, bytes as u64 + self.groups.bytes(at))?;
            }
            let samples = row.present.count() as u64;
            state.hold(&mut self.held, samples, samples * 8)?;
            groups[at].1 |= row.drop_name;
            for step in row.present.iter() {
                groups[at].0[step].push(row.floats[step]);
            }
            state.recycle(row);
        }
        self.values = groups.into_iter();
        Ok(())
    }
}

impl Operator for Quantile<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        if let Some(input) = self.input.take() {
            self.read(input, state)?;
        }
        for (mut steps, drop_name) in self.values.by_ref() {
            let labels = self.groups.labels(self.next).clone();
            self.next += 1;
            let mut row = state.row(labels, drop_name, steps.len());
            for (step, values) in steps.iter_mut().enumerate().filter(|(_, v)| !v.is_empty()) {
                state.worked(values.len() as u64)?;
                row.set_float(step, quantile::quantile(self.q.at(step), values));
            }
            if row.any() {
                return Ok(Some(row));
            }
            state.recycle(row);
        }
        state.release(&mut self.held);
        Ok(None)
    }
}
