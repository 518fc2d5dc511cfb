//! `and`, `unless` and `or`: whole samples, matched step by step.

use hashbrown::HashMap;
use model::Labels;

use super::{Join, Stage};
use crate::ast::{Binary, BinaryOp, VectorMatching};
use crate::engine::QueryError;
use crate::eval::matching::signature;
use crate::eval::state::Held;
use crate::eval::{Bits, Row, Rows, State, Steps};

/// At which steps each group has a sample.
struct Groups<'q> {
    matching: &'q VectorMatching,
    steps: usize,
    occupied: HashMap<Labels, Bits>,
    held: Held,
}

impl<'q> Groups<'q> {
    fn new(matching: &'q VectorMatching, steps: Steps) -> Self {
        Self { matching, steps: steps.count, occupied: HashMap::new(), held: Held::default() }
    }

    fn add(&mut self, row: &Row, state: &mut State) -> Result<(), QueryError> {
        let key = signature(self.matching, &row.labels);
        let bytes = key.heap_bytes() + self.steps / 8 + size_of::<(Labels, Bits)>();
        match self.occupied.entry(key) {
            hashbrown::hash_map::Entry::Occupied(mut entry) => {
                entry.get_mut().union(&row.occupied());
            }
            hashbrown::hash_map::Entry::Vacant(entry) => {
                state.hold(&mut self.held, 0, bytes as u64)?;
                entry.insert(row.occupied());
            }
        }
        Ok(())
    }

    fn of(&self, row: &Row) -> Option<&Bits> {
        self.occupied.get(&signature(self.matching, &row.labels))
    }
}

/// The stage of a set operator.
pub(super) fn stage<'q>(binary: &'q Binary, right: Rows<'q>, steps: Steps) -> Box<dyn Stage + 'q> {
    let groups = Groups::new(&binary.matching, steps);
    if binary.op == BinaryOp::Or {
        let joined = Join { rows: Vec::new(), held: Held::default() };
        return Box::new(Union { left: groups, right, joined });
    }
    let intersect = binary.op == BinaryOp::And;
    Box::new(Filter { source: Some(right), right: groups, intersect })
}

/// `and` and `unless`.
struct Filter<'q> {
    source: Option<Rows<'q>>,
    right: Groups<'q>,
    intersect: bool,
}

impl Stage for Filter<'_> {
    fn read_right(&mut self, state: &mut State) -> Result<(), QueryError> {
        let Some(mut source) = self.source.take() else { return Ok(()) };
        while let Some(row) = source.next(state)? {
            self.right.add(&row, state)?;
            state.recycle(row);
        }
        Ok(())
    }

    fn push(
        &mut self,
        mut row: Row,
        out: &mut Vec<Row>,
        state: &mut State,
    ) -> Result<(), QueryError> {
        match (self.right.of(&row), self.intersect) {
            (Some(right), true) => row.retain(right),
            (Some(right), false) => {
                let mut rest = row.occupied();
                rest.subtract(right);
                row.retain(&rest);
            }
            (None, true) => {
                state.recycle(row);
                return Ok(());
            }
            (None, false) => {}
        }
        if row.any() {
            out.push(row);
        } else {
            state.recycle(row);
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<Row>, state: &mut State) -> Result<(), QueryError> {
        state.release(&mut self.right.held);
        Ok(())
    }
}

/// `or`: the left side, and what of the right side it does not have. A series may come from one
/// side at one step and from the other at the next.
struct Union<'q> {
    left: Groups<'q>,
    right: Rows<'q>,
    joined: Join,
}

impl Stage for Union<'_> {
    fn push(&mut self, row: Row, out: &mut Vec<Row>, state: &mut State) -> Result<(), QueryError> {
        self.left.add(&row, state)?;
        self.joined.push(row, out, state)
    }

    fn finish(&mut self, out: &mut Vec<Row>, state: &mut State) -> Result<(), QueryError> {
        while let Some(mut row) = self.right.next(state)? {
            if let Some(left) = self.left.of(&row) {
                let mut rest = row.occupied();
                rest.subtract(left);
                row.retain(&rest);
            }
            if row.any() {
                self.joined.push(row, out, state)?;
            }
        }
        state.release(&mut self.left.held);
        self.joined.finish(out, state)
    }
}
