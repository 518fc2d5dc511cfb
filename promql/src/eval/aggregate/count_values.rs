//! `count_values`: a series for each value, counting how often it occurs.

use std::collections::VecDeque;

use hashbrown::HashMap;
use model::{Labels, LabelsBuilder};

use super::Input;
use super::group::Groups;
use crate::ast::Text;
use crate::engine::QueryError;
use crate::eval::state::Held;
use crate::eval::{Operator, Row, State};
use crate::histogram::print;
use crate::number;

/// The operator of `count_values`.
pub(super) struct CountValues<'q> {
    input: Option<Input<'q>>,
    label: &'q str,
    ready: VecDeque<Row>,
    held: Held,
}

impl<'q> CountValues<'q> {
    pub(super) fn new(input: Input<'q>, label: &'q Text) -> Result<Self, QueryError> {
        if label.as_str().is_empty() || !label.is_utf8() {
            let what = format!("invalid label name {}", label.quoted());
            return Err(QueryError::Execution(what));
        }
        let label = label.as_str();
        Ok(Self { input: Some(input), label, ready: VecDeque::new(), held: Held::default() })
    }

    fn run(&mut self, mut input: Input<'q>, state: &mut State) -> Result<(), QueryError> {
        let mut counts = Counts {
            label: self.label,
            groups: Groups::new(input.aggregate),
            by_bits: HashMap::new(),
            by_labels: HashMap::new(),
            rows: Vec::new(),
        };
        while let Some(row) = input.source.next(state)? {
            let group = counts.groups.of(&row.labels);
            for step in row.present.iter() {
                let v = row.floats[step];
                let known = counts.by_bits.get(&(group, v.to_bits())).copied();
                let at = if let Some(at) = known {
                    at
                } else {
                    let text = number::format_f(v);
                    let at = counts.row(group, &text, row.steps(), &mut self.held, state)?;
                    counts.by_bits.insert((group, v.to_bits()), at);
                    at
                };
                counts.count(at, step, row.drop_name);
            }
            for (step, h) in row.histograms.iter().enumerate() {
                if let Some(h) = h {
                    let text = print::to_text(h);
                    let at = counts.row(group, &text, row.steps(), &mut self.held, state)?;
                    counts.count(at, step, row.drop_name);
                }
            }
            state.worked(row.steps() as u64)?;
            state.recycle(row);
        }
        self.ready = counts.rows.into();
        Ok(())
    }
}

struct Counts<'q> {
    label: &'q str,
    groups: Groups<'q>,
    /// From group and bits of the value to the row, to print each value once.
    by_bits: HashMap<(usize, u64), usize>,
    by_labels: HashMap<Labels, usize>,
    rows: Vec<Row>,
}

impl Counts<'_> {
    /// The row of the value that prints as `text`.
    fn row(
        &mut self,
        group: usize,
        text: &str,
        steps: usize,
        held: &mut Held,
        state: &mut State,
    ) -> Result<usize, QueryError> {
        let mut labels = self.groups.labels(group).clone();
        // `without` takes the new label away too where it lists it.
        if !self.groups.is_without() || self.groups.keeps(self.label) {
            labels = LabelsBuilder::new(&labels).set(self.label, text).build();
        }
        if let Some(at) = self.by_labels.get(&labels) {
            return Ok(*at);
        }
        let at = self.rows.len();
        let row = Row::empty(labels.clone(), false, steps);
        state.hold(held, steps as u64, row.heap_bytes())?;
        self.rows.push(row);
        self.by_labels.insert(labels, at);
        Ok(at)
    }

    fn count(&mut self, at: usize, step: usize, drop_name: bool) {
        let row = &mut self.rows[at];
        let before = if row.present.get(step) { row.floats[step] } else { 0.0 };
        row.set_float(step, before + 1.0);
        row.drop_name |= drop_name;
    }
}

impl Operator for CountValues<'_> {
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
