//! What a range function is given and what it answers: the border between the engine, which finds
//! the samples of each window, and the kernels, which are functions over slices.

use std::ops::Range;
use std::sync::Arc;

use model::{FloatHistogram, Interrupt, Interrupted};

use crate::annotations::{Annotations, Place};

/// The samples of one series in one window, stale markers removed.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// Times of the floats, ms, strictly increasing, in `(start_ms, end_ms]`.
    pub times: &'a [i64],
    /// The floats.
    pub values: &'a [f64],
    /// The histograms, strictly increasing by time, in `(start_ms, end_ms]`.
    pub histograms: &'a [(i64, Arc<FloatHistogram>)],
    /// When the counting of each sample began, where that is known.
    pub starts: Starts<'a>,
    /// Exclusive lower bound: reference time minus range, ms.
    pub start_ms: i64,
    /// Inclusive upper bound: evaluation time (or `@`) minus offset, ms.
    pub end_ms: i64,
    /// The time of the step itself, ms; differs from `end_ms` under offset and `@`.
    pub step_ms: i64,
}

/// The start times of the samples of one window (contract 3.11): a list is empty where none is
/// known, which costs nothing, and else as long as the samples, with
/// [`UNKNOWN_START`](model::UNKNOWN_START) where one is not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Starts<'a> {
    /// Of the floats, ms.
    pub floats: &'a [i64],
    /// Of the histograms, ms.
    pub histograms: &'a [i64],
}

impl Starts<'_> {
    /// Whether no start is known.
    pub const fn is_empty(self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    /// Those of some of the samples.
    #[must_use]
    pub fn of(self, floats: Range<usize>, histograms: Range<usize>) -> Self {
        Self {
            floats: self.floats.get(floats).unwrap_or_default(),
            histograms: self.histograms.get(histograms).unwrap_or_default(),
        }
    }
}

/// What a range function answers for one window.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Output {
    /// No sample at this step.
    #[default]
    Nothing,
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(Arc<FloatHistogram>),
}

/// Samples between two polls inside one window: a millisecond of the slowest kernel.
pub const PIECE: usize = 1 << 16;

/// Where a kernel leaves its annotations, and whom it asks whether to go on with a long window.
pub struct Notes<'a> {
    /// The annotations of the evaluation.
    pub annotations: &'a mut Annotations,
    /// The metric name of the series, or empty where it is not known any more.
    pub metric_name: &'a str,
    /// The place of the offending argument.
    pub place: Place,
    /// Polled inside of windows of more than [`PIECE`] samples.
    pub interrupt: &'a dyn Interrupt,
    /// Why the kernel gave up; its answer then has no meaning.
    pub interrupted: Option<Interrupted>,
}

impl Notes<'_> {
    /// Polls; whether to go on.
    pub fn poll(&mut self) -> bool {
        self.interrupted = self.interrupted.or(self.interrupt.check().err());
        self.interrupted.is_none()
    }

    /// Whether to go on at sample `i`: polls once a [`PIECE`].
    #[inline]
    pub fn goes_on(&mut self, i: usize) -> bool {
        !i.is_multiple_of(PIECE) || i == 0 || self.poll()
    }

    /// The samples in pieces of [`PIECE`], as far as to go on, with a poll between any two.
    pub fn pieces<'v>(&mut self, values: &'v [f64]) -> impl Iterator<Item = &'v [f64]> {
        let pieces = values.chunks(PIECE).enumerate();
        pieces.map_while(|(i, piece)| (i == 0 || self.poll()).then_some(piece))
    }
}
