//! A part that occurs more than once: whichever occurrence is asked first evaluates it and keeps the
//! rows for the others, as long as they are not too many.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use super::looked::Looked;
use super::{Operator, Query, Row, Rows, State, Steps, build_alone};
use crate::annotations::{Annotations, Place};
use crate::ast::NodeId;
use crate::engine::QueryError;

/// Bytes of rows that are kept for a part, at most.
const MAX_BYTES: u64 = 64 << 20;

/// What is known of a part.
#[derive(Default)]
pub(crate) enum Slot {
    /// Nobody has asked yet.
    #[default]
    Unasked,
    /// One occurrence evaluates it; who asks meanwhile does so too.
    Busy,
    /// All of it.
    Done(Rc<Kept>),
    /// There is too much of it.
    Off,
}

/// What the occurrences of a part have in common.
pub(crate) type SharedSlot = Rc<RefCell<Slot>>;

/// A part that has been evaluated.
pub(crate) struct Kept {
    rows: Vec<Row>,
    notes: Annotations,
    /// The occurrence that was evaluated.
    place: Place,
    looked: Looked,
    num_series: u64,
    /// What the rows hold, and how many occurrences have not been given them.
    held: RefCell<(u64, u32)>,
}

/// One occurrence.
pub(crate) struct Shared<'q> {
    query: &'q Query<'q>,
    id: NodeId,
    steps: Steps,
    slot: SharedSlot,
    /// How many occurrences there are.
    uses: u32,
    role: Role<'q>,
}

enum Role<'q> {
    /// Not asked yet; with the operator, where it was built for its own sake.
    New(Option<Rows<'q>>),
    Evaluates(Box<Evaluation<'q>>),
    /// From where on the kept rows are still to be given.
    Repeats(Rc<Kept>, usize),
    Alone(Rows<'q>),
    Over,
}

/// The first occurrence at work.
struct Evaluation<'q> {
    rows: Rows<'q>,
    made: Vec<Row>,
    /// Bytes of those.
    bytes: u64,
    notes: Annotations,
    looked: Looked,
    num_series: u64,
}

impl<'q> Shared<'q> {
    /// The occurrence `id` of a part that occurs `uses` times. `built` is its operator, where somebody
    /// wants to see all operators.
    pub(crate) fn new(
        query: &'q Query<'q>,
        (id, steps): (NodeId, Steps),
        (slot, uses): (SharedSlot, u32),
        built: Option<Rows<'q>>,
    ) -> Self {
        Self { query, id, steps, slot, uses, role: Role::New(built) }
    }

    fn begin(&mut self, built: Option<Rows<'q>>, state: &mut State) -> Result<(), QueryError> {
        let slot = &mut *self.slot.borrow_mut();
        if let Slot::Done(kept) = slot {
            let place = self.query.place(self.id, self.id);
            state.annotations.merge(kept.notes.moved(kept.place, place));
            state.looked.absorb_queryable(&kept.looked);
            if built.is_none() {
                state.stats.num_series += kept.num_series;
            }
            self.role = Role::Repeats(Rc::clone(kept), 0);
            return Ok(());
        }
        let evaluates = matches!(slot, Slot::Unasked);
        if evaluates {
            *slot = Slot::Busy;
        }
        if !evaluates {
            self.role = Role::Alone(match built {
                Some(rows) => rows,
                None => build_alone(self.query, self.id, self.steps, state)?,
            });
            return Ok(());
        }
        let notes = mem::take(&mut state.annotations);
        let num_series = state.stats.num_series;
        let rows = match built {
            Some(rows) => rows,
            None => build_alone(self.query, self.id, self.steps, state)?,
        };
        let own = mem::replace(&mut state.annotations, notes);
        state.annotations.merge(own.clone());
        self.role = Role::Evaluates(Box::new(Evaluation {
            rows,
            made: Vec::new(),
            bytes: 0,
            notes: own,
            looked: state.looked.fresh(),
            num_series: state.stats.num_series - num_series,
        }));
        Ok(())
    }

    /// The evaluation has ended: its rows are there for the others.
    fn keep(&mut self, work: Evaluation<'q>) {
        let kept = Kept {
            rows: work.made,
            notes: work.notes,
            place: self.query.place(self.id, self.id),
            looked: work.looked,
            num_series: work.num_series,
            held: RefCell::new((work.bytes, self.uses.saturating_sub(1))),
        };
        *self.slot.borrow_mut() = Slot::Done(Rc::new(kept));
    }
}

impl Evaluation<'_> {
    /// The next row; what it leaves in `state` is noted too.
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        let notes = mem::take(&mut state.annotations);
        let fresh = state.looked.fresh();
        let before = mem::replace(&mut state.looked, fresh);
        let row = self.rows.next(state);
        let looked = mem::replace(&mut state.looked, before);
        state.looked.absorb(&looked);
        self.looked.absorb(&looked);
        let own = mem::replace(&mut state.annotations, notes);
        if !own.is_empty() {
            state.annotations.merge(own.clone());
            self.notes.merge(own);
        }
        row
    }

    /// Keeps a copy of `row`; whether there was room.
    fn keep(&mut self, row: &Row, state: &mut State) -> bool {
        let bytes = row.heap_bytes();
        let fits = self.bytes + bytes <= MAX_BYTES && state.keep(bytes);
        if fits {
            self.bytes += bytes;
            self.made.push(row.clone());
        } else {
            self.made = Vec::new();
            state.give_up(mem::take(&mut self.bytes));
        }
        fits
    }
}

impl Operator for Shared<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        if let Role::New(built) = &mut self.role {
            let built = built.take();
            self.begin(built, state)?;
        }
        match mem::replace(&mut self.role, Role::Over) {
            Role::New(_) | Role::Over => Ok(None),
            Role::Alone(mut rows) => {
                let row = rows.next(state)?;
                self.role = Role::Alone(rows);
                Ok(row)
            }
            Role::Repeats(kept, at) => {
                let row = kept.rows.get(at).cloned();
                if row.is_some() {
                    self.role = Role::Repeats(kept, at + 1);
                    return Ok(row);
                }
                let (held, left) = &mut *kept.held.borrow_mut();
                *left = left.saturating_sub(1);
                if *left == 0 {
                    state.give_up(mem::take(held));
                    // The rows go with the last of those who repeat them.
                    *self.slot.borrow_mut() = Slot::Off;
                }
                Ok(None)
            }
            Role::Evaluates(mut work) => {
                let Some(row) = work.next(state)? else {
                    self.keep(*work);
                    return Ok(None);
                };
                if work.keep(&row, state) {
                    self.role = Role::Evaluates(work);
                } else {
                    *self.slot.borrow_mut() = Slot::Off;
                    self.role = Role::Alone(work.rows);
                }
                Ok(Some(row))
            }
        }
    }
}
