//! Series with all their samples of a range: what range functions read.

use std::sync::Arc;

use model::{FloatHistogram, HistogramValue, Labels, SeriesBuf, SeriesSet, is_stale};

use super::state::Held;
use super::windows::Reach;
use super::{Query, References, State, Steps, selector, subquery};
use crate::ast::{Expr, NodeId, VectorSelector};
use crate::engine::QueryError;
use crate::functions::rate::extended::Modifier;
use crate::functions::window::Starts;

/// A histogram with its time.
pub(crate) type TimedHistogram = (i64, Arc<FloatHistogram>);

/// The samples of one series, stale markers removed.
#[derive(Clone, Copy)]
pub(crate) struct SeriesView<'a> {
    pub(crate) times: &'a [i64],
    pub(crate) values: &'a [f64],
    pub(crate) histograms: &'a [TimedHistogram],
    pub(crate) starts: Starts<'a>,
    /// The same number means the same `times`; `None` that nothing is known.
    pub(crate) generation: Option<u64>,
}

/// Yields series one at a time.
pub(crate) trait RangeSource {
    /// Goes to the next series that has samples: its labels and mark.
    fn next(&mut self, state: &mut State) -> Result<Option<(Labels, bool)>, QueryError>;

    /// The samples of the series that [`RangeSource::next`] found.
    fn series(&self) -> SeriesView<'_>;
}

/// A range vector: the series, and which part of them each step sees.
pub(crate) struct RangeVector<'q> {
    pub(crate) source: Box<dyn RangeSource + 'q>,
    pub(crate) references: References,
    pub(crate) range_ms: i64,
    /// What a window reads; more than the range where it is anchored or smoothed.
    pub(crate) reach: Reach,
    pub(crate) modifier: Option<Modifier>,
}

/// The modifier of a selector.
pub(crate) const fn modifier(selector: &VectorSelector) -> Option<Modifier> {
    match (selector.anchored, selector.smoothed) {
        (true, _) => Some(Modifier::Anchored),
        (_, true) => Some(Modifier::Smoothed),
        _ => None,
    }
}

/// The range vector that node `id` is.
pub(crate) fn build<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    steps: Steps,
    state: &mut State,
) -> Result<RangeVector<'q>, QueryError> {
    let id = query.unwrapped(id);
    let facts = query.plan.node(id);
    let references = References::new(steps, facts.at_ms, facts.offset_ms);
    let range_ms = facts.range_ms;
    let mut reach = Reach { before_ms: range_ms, after_ms: 0 };
    let mut kind = None;
    let source: Box<dyn RangeSource + 'q> = match query.ast.expr(id) {
        Expr::Matrix { selector, .. } => {
            let Expr::Vector(inner) = query.ast.expr(*selector) else {
                unreachable!("the parser puts a selector into a matrix")
            };
            kind = modifier(inner);
            if kind.is_some() {
                reach.before_ms = reach.before_ms.saturating_add(query.lookback_ms);
            }
            if kind == Some(Modifier::Smoothed) {
                reach.after_ms = query.lookback_ms;
            }
            let span = reach.span(&references);
            let set = selector::select(query, *selector, inner, span, range_ms, state)?;
            Box::new(Stored {
                detect_resets: facts.counts_only,
                with_starts: query.options.start_timestamps,
                ..Stored::new(set)
            })
        }
        Expr::Subquery(inner) => {
            Box::new(subquery::build(query, inner, facts, &references, state)?)
        }
        _ => unreachable!("the type checker lets only range vectors through here"),
    };
    Ok(RangeVector { source, references, range_ms, reach, modifier: kind })
}

/// Series of storage. Without stale markers their floats are handed on where they lie.
pub(crate) struct Stored {
    set: Box<dyn SeriesSet>,
    next: usize,
    buf: SeriesBuf,
    /// The floats without stale markers, where there were some.
    clean: Option<(Vec<i64>, Vec<f64>)>,
    histograms: Vec<TimedHistogram>,
    /// See the instant selector.
    detect_resets: bool,
    /// Whether the reader wants start times.
    with_starts: bool,
    /// Start times without those of stale markers, where there were some and times are known.
    clean_starts: Vec<i64>,
    clean_histogram_starts: Vec<i64>,
    held: Held,
}

impl Stored {
    pub(crate) fn new(set: Box<dyn SeriesSet>) -> Self {
        Self {
            set,
            next: 0,
            buf: SeriesBuf::new(),
            clean: None,
            histograms: Vec::new(),
            detect_resets: false,
            with_starts: false,
            clean_starts: Vec::new(),
            clean_histogram_starts: Vec::new(),
            held: Held::default(),
        }
    }

    fn clean(&mut self) {
        // Without an early end, so that the compiler makes it vector code.
        let stale = self.buf.values().iter().fold(false, |stale, v| stale | is_stale(*v));
        self.clean = stale.then(|| {
            let pairs = self.buf.times().iter().zip(self.buf.values());
            pairs.filter(|(_, v)| !is_stale(**v)).map(|(t, v)| (*t, *v)).unzip()
        });
        self.clean_starts.clear();
        self.clean_histogram_starts.clear();
        if self.with_starts {
            self.clean_starts();
        }
        self.histograms.clear();
        let live =
            self.buf.histograms().iter().filter(|(_, h): &&(i64, HistogramValue)| !h.is_stale());
        for (t, h) in live {
            let mut h = h.to_float();
            if self.detect_resets {
                h = selector::with_reset_hint(h, self.histograms.last().map(|(_, h)| &**h));
            }
            self.histograms.push((*t, h));
        }
    }
}

impl Stored {
    /// Start times of what is no stale marker, as far as they do not lie in the buffer already.
    fn clean_starts(&mut self) {
        let buf = &self.buf;
        if self.clean.is_some() {
            let live = buf.starts().iter().zip(buf.values()).filter(|(_, v)| !is_stale(**v));
            self.clean_starts.extend(live.map(|(start, _)| *start));
        }
        let live = buf.histogram_starts().iter().zip(buf.histograms());
        let live = live.filter(|(_, h)| !h.1.is_stale());
        self.clean_histogram_starts.extend(live.map(|(start, _)| *start));
    }
}

impl RangeSource for Stored {
    fn next(&mut self, state: &mut State) -> Result<Option<(Labels, bool)>, QueryError> {
        while self.next < self.set.len() {
            let i = self.next;
            self.next += 1;
            state.poll()?;
            self.set.read(i, &mut self.buf)?;
            let num_samples = (self.buf.values().len() + self.buf.histograms().len()) as u64;
            if num_samples == 0 {
                continue;
            }
            state.stats.samples_read += num_samples;
            self.clean();
            let histograms: u64 =
                self.histograms.iter().map(|(_, h)| super::row::histogram_samples(h)).sum();
            let floats = self.buf.values().len() as u64;
            let bytes = self.buf.heap_bytes() as u64 + histograms * 16;
            state.hold_exactly(&mut self.held, floats + histograms, bytes)?;
            if !self.series().times.is_empty() || !self.histograms.is_empty() {
                return Ok(Some((self.set.labels(i)?, false)));
            }
        }
        state.release(&mut self.held);
        Ok(None)
    }

    fn series(&self) -> SeriesView<'_> {
        let histograms = &self.histograms;
        let starts = |floats| {
            if self.with_starts {
                Starts { floats, histograms: &self.clean_histogram_starts }
            } else {
                Starts::default()
            }
        };
        match &self.clean {
            Some((times, values)) => {
                let starts = starts(&self.clean_starts);
                SeriesView { times, values, histograms, starts, generation: None }
            }
            None => SeriesView {
                times: self.buf.times(),
                values: self.buf.values(),
                histograms,
                starts: starts(self.buf.starts()),
                generation: Some(self.buf.generation()),
            },
        }
    }
}
