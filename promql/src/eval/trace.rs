//! What each operator of one evaluation was asked and gave, where somebody wants to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Estimate, LabelFilter, Labels, ReadError, SeriesBuf, SeriesGroups, SeriesSet, Wanted};

use super::{Operator, Row, Rows, State};
use crate::ast::NodeId;
use crate::engine::QueryError;
use crate::explain::Counts;

/// The record of an evaluation, a place per node.
pub(crate) struct Trace {
    nodes: Vec<Traced>,
    /// Nanoseconds since any fixed moment.
    clock: fn() -> u64,
    /// Only build: nothing may be read.
    pub(crate) dry: bool,
}

/// What is known of one node.
#[derive(Default)]
pub(crate) struct Traced {
    /// Steps that the operator was built for; 0 where the node has no operator of its own.
    pub(crate) steps: u64,
    pub(crate) estimate: Option<Estimate>,
    rows: Counts,
    reads: Arc<Reads>,
}

/// What was read of a series set. Atomic, because a set may be read from several threads.
#[derive(Default)]
struct Reads {
    series: AtomicU64,
    samples: AtomicU64,
    left_out: AtomicU64,
}

impl Trace {
    /// Nothing is known yet of `num_nodes` nodes.
    pub(crate) fn new(num_nodes: usize, clock: fn() -> u64, dry: bool) -> Self {
        Self { nodes: (0..num_nodes).map(|_| Traced::default()).collect(), clock, dry }
    }

    fn at(&mut self, id: NodeId) -> &mut Traced {
        &mut self.nodes[id.0 as usize]
    }

    /// What is known of node `id`.
    pub(crate) fn node(&self, id: NodeId) -> &Traced {
        &self.nodes[id.0 as usize]
    }

    /// Counts what `rows`, the operator of node `id`, yields.
    pub(crate) fn counted<'q>(&mut self, id: NodeId, steps: usize, rows: Rows<'q>) -> Rows<'q> {
        self.at(id).steps += steps as u64;
        Box::new(Counted { id, rows })
    }

    /// Counts what is read of `set`, which the selector `id` selected.
    pub(crate) fn selected(&mut self, id: NodeId, set: Box<dyn SeriesSet>) -> Box<dyn SeriesSet> {
        let node = self.at(id);
        let new = set.estimate();
        let sum = node.estimate.get_or_insert_default();
        *sum = sum.plus(new);
        Box::new(CountedSet { set, reads: Arc::clone(&node.reads) })
    }
}

impl Traced {
    /// What was read and yielded.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            series_read: self.reads.series.load(Ordering::Relaxed),
            samples_read: self.reads.samples.load(Ordering::Relaxed),
            samples_left_out: self.reads.left_out.load(Ordering::Relaxed),
            ..self.rows
        }
    }
}

struct Counted<'q> {
    id: NodeId,
    rows: Rows<'q>,
}

impl Operator for Counted<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        let clock = state.trace.as_ref().map(|trace| trace.clock);
        let before = clock.map_or(0, |clock| clock());
        let row = self.rows.next(state)?;
        let after = clock.map_or(0, |clock| clock());
        if let Some(trace) = &mut state.trace {
            let counts = &mut trace.at(self.id).rows;
            counts.nanos += after.saturating_sub(before);
            counts.rows += u64::from(row.is_some());
            counts.samples += row.as_ref().map_or(0, Row::samples);
        }
        Ok(row)
    }
}

struct CountedSet {
    set: Box<dyn SeriesSet>,
    reads: Arc<Reads>,
}

impl CountedSet {
    fn count(&self, buf: &SeriesBuf) {
        let floats = buf.num_floats();
        let samples = floats + buf.histograms().len() as u64;
        self.reads.series.fetch_add(1, Ordering::Relaxed);
        self.reads.samples.fetch_add(samples, Ordering::Relaxed);
        self.reads.left_out.fetch_add(floats - buf.values().len() as u64, Ordering::Relaxed);
    }
}

impl SeriesSet for CountedSet {
    fn len(&self) -> usize {
        self.set.len()
    }

    fn labels(&self, i: usize) -> Result<Labels, ReadError> {
        self.set.labels(i)
    }

    fn read(&self, i: usize, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        self.set.read(i, buf)?;
        self.count(buf);
        Ok(())
    }

    fn read_wanted(&self, i: usize, wanted: &Wanted, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        self.set.read_wanted(i, wanted, buf)?;
        self.count(buf);
        Ok(())
    }

    fn estimate(&self) -> Estimate {
        self.set.estimate()
    }

    fn rough_estimate(&self) -> Estimate {
        self.set.rough_estimate()
    }

    fn groups(&self, filter: &LabelFilter) -> Result<SeriesGroups, ReadError> {
        self.set.groups(filter)
    }

    fn warnings(&self) -> Vec<String> {
        self.set.warnings()
    }
}
