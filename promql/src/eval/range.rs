//! Series with all their samples of a range: what range functions read.

use std::sync::Arc;

use model::{FloatHistogram, HistogramValue, Labels, Need, SeriesBuf, StandIn, Wanted, is_stale};

use super::kept::Times;
use super::series::Series;
use super::state::Held;
use super::windows::Reach;
use super::{Query, References, State, Steps, selector, state, subquery};
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
    /// Which of the floats stand for others; only where there is nothing but floats.
    pub(crate) stand_ins: &'a [StandIn],
    /// Which column `times` is.
    pub(crate) column: Times,
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
    pub(crate) source: Source<'q>,
    pub(crate) references: References,
    pub(crate) range_ms: i64,
    /// What a window reads; more than the range where it is anchored or smoothed.
    pub(crate) reach: Reach,
    pub(crate) modifier: Option<Modifier>,
}

/// Where the series of a range vector come from.
pub(crate) enum Source<'q> {
    /// Storage: each series by itself.
    Stored(Box<Stored>),
    /// Another part of the query.
    Evaluated(Box<dyn RangeSource + 'q>),
}

impl<'q> Source<'q> {
    pub(crate) fn as_mut(&mut self) -> &mut (dyn RangeSource + 'q) {
        match self {
            Self::Stored(stored) => &mut **stored,
            Self::Evaluated(source) => &mut **source,
        }
    }
}

/// The modifier of a selector.
pub(crate) const fn modifier(selector: &VectorSelector) -> Option<Modifier> {
    match (selector.anchored, selector.smoothed) {
        (true, _) => Some(Modifier::Anchored),
        (_, true) => Some(Modifier::Smoothed),
        _ => None,
    }
}

/// The range vector that node `id` is, for a reader that `needs` no more of each window.
pub(crate) fn build<'q>(
    query: &'q Query<'q>,
    id: NodeId,
    steps: Steps,
    needs: Need,
    state: &mut State,
) -> Result<RangeVector<'q>, QueryError> {
    let id = query.unwrapped(id);
    let facts = query.plan.node(id);
    let references = References::new(steps, facts.at_ms, facts.offset_ms);
    let range_ms = facts.range_ms;
    let mut reach = Reach { before_ms: range_ms, after_ms: 0 };
    let mut kind = None;
    let source = match query.ast.expr(id) {
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
            let mut stored = Stored::new(Series::of_selector(query, *selector, set));
            stored.reading = Reading {
                detect_resets: facts.counts_only,
                with_starts: query.options.start_timestamps,
                references: Some(references),
                wanted: (needs != Need::All && kind.is_none())
                    .then(|| Wanted { need: needs, windows: references.windows(range_ms) }),
            };
            Source::Stored(Box::new(stored))
        }
        Expr::Subquery(inner) => {
            let inner = subquery::build(query, inner, facts, &references, state)?;
            Source::Evaluated(Box::new(inner))
        }
        _ => unreachable!("the type checker lets only range vectors through here"),
    };
    Ok(RangeVector { source, references, range_ms, reach, modifier: kind })
}

/// How series are read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    /// See the instant selector.
    pub(crate) detect_resets: bool,
    /// Whether the reader wants start times.
    pub(crate) with_starts: bool,
    /// The steps that the samples are read for, where that is known.
    pub(crate) references: Option<References>,
    /// What is needed of them, where that is not everything.
    pub(crate) wanted: Option<Wanted>,
}

/// The samples of one series of storage. Without stale markers its floats are handed on where they
/// lie.
#[derive(Default)]
pub(crate) struct Samples {
    buf: SeriesBuf,
    /// The floats without stale markers; where there are none, nothing.
    clean: (Vec<i64>, Vec<f64>),
    /// Where they stand for others.
    clean_stand_ins: Vec<StandIn>,
    is_clean: bool,
    histograms: Vec<TimedHistogram>,
    /// Start times without those of stale markers, where there were some and times are known.
    clean_starts: Vec<i64>,
    clean_histogram_starts: Vec<i64>,
    held: Held,
}

impl Samples {
    /// Reads series `i`; whether it has samples. `beside` is what else to charge, in bytes.
    pub(crate) fn read(
        &mut self,
        (series, i): (&Series, usize),
        reading: Reading,
        beside: usize,
        state: &mut State,
    ) -> Result<bool, QueryError> {
        match &reading.wanted {
            Some(wanted) => series.read_wanted(i, wanted, &mut self.buf)?,
            None => series.read(i, &mut self.buf)?,
        }
        let floats = self.buf.num_floats();
        let num_samples = floats + self.buf.histograms().len() as u64;
        if num_samples == 0 {
            return Ok(false);
        }
        state.stats.samples_left_out += floats - self.buf.values().len() as u64;
        state.read(num_samples, &self.buf, reading.references.as_ref());
        self.clean(reading, state)?;
        let histograms: u64 =
            self.histograms.iter().map(|(_, h)| super::row::histogram_samples(h)).sum();
        let own = self.buf.heap_bytes() + (self.clean.0.capacity() + self.clean.1.capacity()) * 8;
        let bytes = (own + beside) as u64 + histograms * 16;
        state.hold_exactly(&mut self.held, floats + histograms, bytes)?;
        Ok(!self.view(reading).times.is_empty() || !self.histograms.is_empty())
    }

    fn clean(&mut self, reading: Reading, state: &mut State) -> Result<(), QueryError> {
        let mut stale = false;
        for part in state::parts(self.buf.values().len()) {
            state.worked(part.len() as u64)?;
            // Without an early end, so that the compiler makes it vector code.
            stale |= self.buf.values()[part].iter().fold(false, |stale, v| stale | is_stale(*v));
        }
        self.is_clean = !stale;
        self.clean.0.clear();
        self.clean.1.clear();
        self.clean_stand_ins.clear();
        if stale {
            let mut stand_ins = self.buf.stand_ins().iter().peekable();
            for part in state::parts(self.buf.values().len()) {
                state.worked(part.len() as u64)?;
                for i in part {
                    if let Some(stand_in) = stand_ins.next_if(|s| s.at == i) {
                        self.clean_stand_ins.push(StandIn { at: self.clean.0.len(), ..*stand_in });
                    }
                    let v = self.buf.values()[i];
                    if !is_stale(v) {
                        self.clean.0.push(self.buf.times()[i]);
                        self.clean.1.push(v);
                    }
                }
            }
        }
        self.clean_starts.clear();
        self.clean_histogram_starts.clear();
        if reading.with_starts {
            self.clean_starts();
        }
        self.histograms.clear();
        let live =
            self.buf.histograms().iter().filter(|(_, h): &&(i64, HistogramValue)| !h.is_stale());
        for (t, h) in live {
            let mut h = h.to_float();
            if reading.detect_resets {
                h = selector::with_reset_hint(h, self.histograms.last().map(|(_, h)| &**h));
            }
            self.histograms.push((*t, h));
        }
        Ok(())
    }

    /// Start times of what is no stale marker, as far as they do not lie in the buffer already.
    fn clean_starts(&mut self) {
        let buf = &self.buf;
        if !self.is_clean {
            let live = buf.starts().iter().zip(buf.values()).filter(|(_, v)| !is_stale(**v));
            self.clean_starts.extend(live.map(|(start, _)| *start));
        }
        let live = buf.histogram_starts().iter().zip(buf.histograms());
        let live = live.filter(|(_, h)| !h.1.is_stale());
        self.clean_histogram_starts.extend(live.map(|(start, _)| *start));
    }

    /// What was read.
    pub(crate) fn view(&self, reading: Reading) -> SeriesView<'_> {
        let histograms = &self.histograms;
        let starts = |floats| {
            if reading.with_starts {
                Starts { floats, histograms: &self.clean_histogram_starts }
            } else {
                Starts::default()
            }
        };
        if self.is_clean {
            SeriesView {
                times: self.buf.times(),
                values: self.buf.values(),
                histograms,
                starts: starts(self.buf.starts()),
                stand_ins: self.buf.stand_ins(),
                column: Times::of(&self.buf),
            }
        } else {
            SeriesView {
                times: &self.clean.0,
                values: &self.clean.1,
                histograms,
                starts: starts(&self.clean_starts),
                stand_ins: &self.clean_stand_ins,
                column: Times::default(),
            }
        }
    }

    /// Gives back what this holds of the budget.
    pub(crate) fn release(&mut self, state: &mut State) {
        state.release(&mut self.held);
    }
}

/// The series of storage, one after the other.
pub(crate) struct Stored {
    pub(crate) series: Series,
    pub(crate) reading: Reading,
    next: usize,
    samples: Samples,
    held: Held,
}

impl Stored {
    pub(crate) fn new(series: Series) -> Self {
        let (samples, held) = (Samples::default(), Held::default());
        Self { series, reading: Reading::default(), next: 0, samples, held }
    }
}

impl RangeSource for Stored {
    fn next(&mut self, state: &mut State) -> Result<Option<(Labels, bool)>, QueryError> {
        self.series.prepare(&mut self.held, state)?;
        while self.next < self.series.len() {
            let i = self.next;
            self.next += 1;
            state.poll()?;
            if self.samples.read((&self.series, i), self.reading, 0, state)? {
                return Ok(Some((self.series.labels(i)?, false)));
            }
        }
        self.samples.release(state);
        state.release(&mut self.held);
        Ok(None)
    }

    fn series(&self) -> SeriesView<'_> {
        self.samples.view(self.reading)
    }
}
