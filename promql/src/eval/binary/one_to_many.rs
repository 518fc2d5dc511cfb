//! Arithmetic and comparison between two vectors: the side with one series per group is read into
//! a table, the other one is streamed against it.

use hashbrown::HashMap;
use model::Labels;

use super::{Stage, one_is_left};
use crate::annotations::Place;
use crate::ast::{Binary, Cardinality};
use crate::engine::QueryError;
use crate::eval::matching::{changes_metric, group_labels, result_labels, signature};
use crate::eval::operand::{Keep, Note, Operator, Outcome};
use crate::eval::state::Held;
use crate::eval::{Bits, Query, Row, Rows, State, Steps};

/// The series of one group.
#[derive(Default)]
struct Group {
    /// The one side: several series only where they take turns, or where that is an error.
    ones: Vec<Row>,
    results: Results,
}

/// The results of one group.
#[derive(Default)]
struct Results {
    all: Vec<Named>,
    /// Where each label set is, once there are too many to look through.
    index: HashMap<Labels, usize>,
}

/// The results with one label set.
struct Named {
    labels: Labels,
    /// The steps at which a pair was matched, also where a comparison filtered it out.
    taken: Bits,
    /// What was not filtered out.
    row: Option<Row>,
}

impl Results {
    /// Results that are looked through one after the other.
    const FEW: usize = 8;

    fn find(&self, labels: &Labels) -> Option<usize> {
        if self.all.len() > Self::FEW {
            return self.index.get(labels).copied();
        }
        self.all.iter().position(|named| named.labels == *labels)
    }

    fn push(&mut self, named: Named) {
        self.all.push(named);
        let indexed = if self.all.len() > Self::FEW { self.index.len() } else { self.all.len() };
        for (at, named) in self.all.iter().enumerate().skip(indexed) {
            self.index.insert(named.labels.clone(), at);
        }
    }
}

/// Two series of the one side in one group at one step.
struct Duplicate {
    steps: Bits,
    group: Labels,
    series: [Labels; 2],
}

/// The stage of an operator between vectors.
pub(super) struct OneToMany<'q> {
    query: &'q Query<'q>,
    binary: &'q Binary,
    operator: Operator,
    steps: usize,
    /// The right side until it is read: before the left one where it is the table, else after.
    right: Option<Rows<'q>>,
    index: HashMap<Labels, usize>,
    groups: Vec<Group>,
    duplicates: Vec<Duplicate>,
    /// Of each step the last pair that something is to be said about; empty before there is one.
    said: Vec<Option<Note>>,
    held: Held,
}

impl<'q> OneToMany<'q> {
    pub(super) fn new(
        query: &'q Query<'q>,
        binary: &'q Binary,
        place: Place,
        right: Rows<'q>,
        steps: Steps,
    ) -> Self {
        Self {
            query,
            binary,
            operator: Operator::new(binary.op, binary.return_bool, place),
            steps: steps.count,
            right: Some(right),
            index: HashMap::new(),
            groups: Vec::new(),
            duplicates: Vec::new(),
            said: Vec::new(),
            held: Held::default(),
        }
    }

    fn group(&mut self, key: Labels) -> usize {
        let next = self.groups.len();
        let at = *self.index.entry(key).or_insert(next);
        if at == next {
            self.groups.push(Group::default());
        }
        at
    }

    /// Puts a series of the one side into the table.
    fn add_one(&mut self, row: Row, state: &mut State) -> Result<(), QueryError> {
        state.hold_row(&mut self.held, &row)?;
        let key = signature(&self.binary.matching, &row.labels);
        let at = self.group(key);
        let occupied = row.occupied();
        for other in &self.groups[at].ones {
            let mut both = other.occupied();
            both.intersect(&occupied);
            if both.any() {
                self.duplicates.push(Duplicate {
                    steps: both,
                    group: group_labels(&self.binary.matching, &row.labels),
                    series: [other.labels.clone(), row.labels.clone()],
                });
            }
        }
        self.groups[at].ones.push(row);
        Ok(())
    }

    /// The values of the fill modifiers for the many and the one side.
    fn fills(&self) -> (Option<f64>, Option<f64>) {
        let m = &self.binary.matching;
        if one_is_left(self.binary) {
            (m.fill_right, m.fill_left)
        } else {
            (m.fill_left, m.fill_right)
        }
    }

    /// Duplicates are an error only at steps where the many side has something to match, and
    /// always under a fill modifier.
    fn check_duplicates(&self, occupied: Option<&Bits>) -> Result<(), QueryError> {
        let hit = self.duplicates.iter().find(|d| occupied.is_none_or(|o| d.steps.intersects(o)));
        let Some(Duplicate { group, series, .. }) = hit else { return Ok(()) };
        let mut series = series.clone().map(|l| l.to_string());
        series.sort();
        let side = if one_is_left(self.binary) { "left" } else { "right" };
        Err(QueryError::Execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the \
             operation: [{}, {}];many-to-many matching not allowed: matching labels must be \
             unique on one side",
            series[0], series[1]
        )))
    }

    fn push_many(&mut self, row: Row, state: &mut State) -> Result<(), QueryError> {
        state.worked(row.steps() as u64)?;
        let occupied = row.occupied();
        let (fill_many, fill_one) = self.fills();
        if !self.duplicates.is_empty() {
            let filling = fill_many.is_some() || fill_one.is_some();
            self.check_duplicates((!filling).then_some(&occupied))?;
        }
        let key = signature(&self.binary.matching, &row.labels);
        let at = match self.index.get(&key) {
            Some(at) => *at,
            None if fill_one.is_some() => self.group(key),
            None => {
                state.recycle(row);
                return Ok(());
            }
        };
        // The group is taken out so that it and the rest of the stage can change together.
        let mut group = std::mem::take(&mut self.groups[at]);
        let mut alone = occupied;
        for one in &group.ones {
            let mut both = one.occupied();
            both.intersect(&alone);
            alone.subtract(&both);
            self.combine(&row, one, both, &mut group.results, state)?;
        }
        if let Some(v) = fill_one
            && alone.any()
        {
            let one = self.stand_in(&row, v);
            self.combine(&row, &one, alone, &mut group.results, state)?;
        }
        self.groups[at] = group;
        state.recycle(row);
        Ok(())
    }

    /// A row that has `v` at every step, in the place of a missing partner of `row`.
    fn stand_in(&self, row: &Row, v: f64) -> Row {
        let labels = group_labels(&self.binary.matching, &row.labels);
        let mut out = Row::empty(labels, false, self.steps);
        out.floats.fill(v);
        out.present.fill();
        out
    }

    /// Puts the results of `many` and `one` at `steps` where they belong among `results`.
    fn combine(
        &mut self,
        many: &Row,
        one: &Row,
        mut steps: Bits,
        results: &mut Results,
        state: &mut State,
    ) -> Result<(), QueryError> {
        if !steps.any() {
            return Ok(());
        }
        let matching = &self.binary.matching;
        let mut labels = result_labels(self.binary.op, matching, &many.labels, &one.labels);
        let mut drop_name = many.drop_name && !changes_metric(self.binary.op);
        if self.binary.return_bool {
            (labels, drop_name) = self.query.nameless(labels);
        }
        let mut fresh = state.row(labels, drop_name, self.steps);
        self.apply(many, one, &mut steps, &mut fresh);
        self.add(fresh, steps, results, state)
    }

    /// The values of `many` and `one` at `steps`, to which it leaves those at which the operator is
    /// defined for the pair: the others were never matched.
    fn apply(&mut self, many: &Row, one: &Row, steps: &mut Bits, out: &mut Row) {
        let mut refused = Vec::new();
        for step in steps.iter() {
            let (lhs, rhs) = if one_is_left(self.binary) {
                (one.cell(step), many.cell(step))
            } else {
                (many.cell(step), one.cell(step))
            };
            let note = match self.operator.outcome(lhs, rhs, Keep::Left) {
                Outcome::Absent | Outcome::Filtered => None,
                Outcome::Float(v) => {
                    out.set_float(step, v);
                    None
                }
                Outcome::Histogram(h, note) => {
                    out.set_histogram(step, h);
                    note
                }
                Outcome::Refused(note) => {
                    refused.push(step);
                    Some(note)
                }
            };
            if note.is_some() {
                self.said.resize(self.steps, None);
                self.said[step] = note;
            }
        }
        for step in refused {
            steps.clear(step);
        }
    }

    /// Adds `fresh` to `results`, whose pairs were matched at `steps`.
    fn add(
        &mut self,
        fresh: Row,
        steps: Bits,
        results: &mut Results,
        state: &mut State,
    ) -> Result<(), QueryError> {
        let one_to_one = self.binary.matching.card == Cardinality::OneToOne;
        if one_to_one && results.all.iter().any(|named| named.taken.intersects(&steps)) {
            return Err(self.multiple_matches());
        }
        let labels = fresh.labels.clone();
        let row = if fresh.any() {
            state.hold_row(&mut self.held, &fresh)?;
            Some(fresh)
        } else {
            state.recycle(fresh);
            None
        };
        let Some(at) = results.find(&labels) else {
            let bytes = size_of::<Named>() + steps.heap_bytes() + labels.heap_bytes();
            state.hold(&mut self.held, 0, bytes as u64)?;
            results.push(Named { labels, taken: steps, row });
            return Ok(());
        };
        let named = &mut results.all[at];
        if named.taken.intersects(&steps) {
            return Err(self.multiple_matches());
        }
        named.taken.union(&steps);
        match (&mut named.row, row) {
            (Some(old), Some(new)) => old.absorb(new),
            (old, new) => *old = old.take().or(new),
        }
        Ok(())
    }

    fn multiple_matches(&self) -> QueryError {
        QueryError::execution(if self.binary.matching.card == Cardinality::OneToOne {
            "multiple matches for labels: many-to-one matching must be explicit \
             (group_left/group_right)"
        } else {
            "multiple matches for labels: grouping labels must ensure unique matches"
        })
    }

    /// Stands in for the many side where it has nothing in a group.
    fn fill_many(&mut self, v: f64, state: &mut State) -> Result<(), QueryError> {
        for at in 0..self.groups.len() {
            let mut group = std::mem::take(&mut self.groups[at]);
            for one in &group.ones {
                let mut alone = one.occupied();
                for named in &group.results.all {
                    alone.subtract(&named.taken);
                }
                let many = self.stand_in(one, v);
                self.combine(&many, one, alone, &mut group.results, state)?;
            }
            self.groups[at] = group;
        }
        Ok(())
    }
}

impl Stage for OneToMany<'_> {
    fn read_right(&mut self, state: &mut State) -> Result<(), QueryError> {
        if one_is_left(self.binary) {
            return Ok(());
        }
        let Some(mut right) = self.right.take() else { return Ok(()) };
        while let Some(row) = right.next(state)? {
            self.add_one(row, state)?;
        }
        Ok(())
    }

    fn push(&mut self, row: Row, _: &mut Vec<Row>, state: &mut State) -> Result<(), QueryError> {
        if self.right.is_some() { self.add_one(row, state) } else { self.push_many(row, state) }
    }

    fn finish(&mut self, out: &mut Vec<Row>, state: &mut State) -> Result<(), QueryError> {
        if let Some(mut right) = self.right.take() {
            while let Some(row) = right.next(state)? {
                self.push_many(row, state)?;
            }
        }
        if let Some(v) = self.fills().0 {
            self.check_duplicates(None)?;
            self.fill_many(v, state)?;
        }
        for note in self.said.drain(..).flatten() {
            self.operator.tell(note, &mut state.annotations);
        }
        let results = self.groups.drain(..).flat_map(|group| group.results.all);
        out.extend(results.filter_map(|named| named.row));
        state.release(&mut self.held);
        Ok(())
    }
}
