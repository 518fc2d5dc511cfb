//! The range functions under `anchored` and `smoothed` (contract 3.12): values at the very bounds
//! of the range instead of extrapolation. The window's samples reach beyond its bounds: back by the
//! lookback, and for `smoothed` forward by it.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use super::native::note_bounds;
use super::pairs::{Timed, by_time, count_pairs, is_change, is_reset};
use super::{Kind, seconds};
use crate::functions::notes::{self, Operation};
use crate::functions::window::{Notes, Output, Window};
use crate::histogram::arithmetic::{difference, product, quotient, sum};
use crate::histogram::buckets::compact;
use crate::histogram::compare::detect_reset;
use crate::histogram::{IncompatibleSchemas, is_custom};

/// Which modifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Modifier {
    /// `anchored`: the samples nearest before the bounds.
    Anchored,
    /// `smoothed`: interpolation at the bounds.
    Smoothed,
}

impl Modifier {
    /// What to say of a function that has no such variant.
    pub fn refusal(self, function: &str) -> String {
        match self {
            Self::Anchored => format!(
                "anchored modifier can only be used with: changes, delta, increase, rate, resets \
                 - not with {function}"
            ),
            Self::Smoothed => format!(
                "smoothed modifier can only be used with: delta, increase, rate - not with \
                 {function}"
            ),
        }
    }
}

/// First and last sample that matter, by index: those at or next to the bounds. `None` where no
/// sample is after the start, or where all are after the end.
fn boundaries(times: impl Times, w: &Window<'_>, modifier: Modifier) -> Option<(usize, usize)> {
    let first = times.count_until(w.start_ms).saturating_sub(1);
    let last = match modifier {
        // The first one at or after the end, so that there is something to interpolate towards.
        Modifier::Smoothed => times.count_until(w.end_ms - 1).min(times.len().checked_sub(1)?),
        Modifier::Anchored => times.count_until(w.end_ms).checked_sub(1)?,
    };
    let useful = times.at(last) > w.start_ms && times.at(first) <= w.end_ms;
    useful.then_some((first, last))
}

/// Sorted times of samples.
trait Times: Copy {
    fn len(self) -> usize;
    fn at(self, i: usize) -> i64;
    /// How many are not after `ms`.
    fn count_until(self, ms: i64) -> usize;
}

impl Times for &[i64] {
    fn len(self) -> usize {
        <[i64]>::len(self)
    }

    fn at(self, i: usize) -> i64 {
        self[i]
    }

    fn count_until(self, ms: i64) -> usize {
        self.partition_point(|t| *t <= ms)
    }
}

impl Times for &[(i64, Arc<FloatHistogram>)] {
    fn len(self) -> usize {
        <[_]>::len(self)
    }

    fn at(self, i: usize) -> i64 {
        self[i].0
    }

    fn count_until(self, ms: i64) -> usize {
        self.partition_point(|s| s.0 <= ms)
    }
}

/// The value at `at_ms` on the line from sample `i` to the next; a counter that fell between them
/// started from zero.
#[expect(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
fn interpolate(times: &[i64], values: &[f64], i: usize, at_ms: i64, is_counter: bool) -> f64 {
    let (mut from, to) = (values[i], values[i + 1]);
    if is_counter && to < from {
        from = 0.0;
    }
    from + (to - from) * (at_ms - times[i]) as f64 / (times[i + 1] - times[i]) as f64
}

/// The values at both bounds of the range.
fn bounds_of(
    w: &Window<'_>,
    (first, last): (usize, usize),
    modifier: Modifier,
    is_counter: bool,
) -> (f64, f64) {
    let smoothed = modifier == Modifier::Smoothed;
    let at = |i: usize, ms: i64| interpolate(w.times, w.values, i, ms, is_counter);
    let left = if smoothed && w.times[first] < w.start_ms {
        at(first, w.start_ms)
    } else {
        w.values[first]
    };
    let right = if smoothed && last > 0 && w.times[last] > w.end_ms {
        at(last - 1, w.end_ms)
    } else {
        w.values[last]
    };
    (left, right)
}

/// Indices of the samples strictly between the bounds.
fn inside(times: impl Times, w: &Window<'_>) -> std::ops::Range<usize> {
    let from = times.count_until(w.start_ms);
    from..times.count_until(w.end_ms - 1).max(from)
}

/// `rate`, `increase` or `delta` under a modifier.
pub(in crate::functions) fn rate(
    w: &Window<'_>,
    notes: &mut Notes<'_>,
    kind: Kind,
    modifier: Modifier,
) -> Output {
    match (w.values.is_empty(), w.histograms.is_empty()) {
        (true, true) => Output::Nothing,
        (false, true) => rate_of_floats(w, kind, modifier),
        (true, false) => rate_of_histograms(w, notes, kind, modifier).unwrap_or_else(|_| {
            notes.warn(notes::mixed_bucket_schemas(notes.metric_name));
            Output::Nothing
        }),
        (false, false) => {
            notes.warn(notes::mixed_floats_histograms(notes.metric_name));
            Output::Nothing
        }
    }
}

fn rate_of_floats(w: &Window<'_>, kind: Kind, modifier: Modifier) -> Output {
    let Some(ends) = boundaries(w.times, w, modifier) else { return Output::Nothing };
    let (left, right) = bounds_of(w, ends, modifier, kind.is_counter());
    let mut rise = right - left;
    if kind.is_counter() {
        let (mut before, mut correction) = (left, 0.0);
        for v in w.values[inside(w.times, w)].iter().chain([&right]) {
            if *v < before {
                correction += before;
            }
            before = *v;
        }
        rise += correction;
    }
    if kind.is_rate() {
        rise /= seconds(w.end_ms - w.start_ms);
    }
    Output::Float(rise)
}

/// A histogram on the way from one sample to the next; a counter that was reset between them
/// started from nothing.
fn interpolate_histograms(
    pair: &[(i64, Arc<FloatHistogram>)],
    at_ms: i64,
    is_counter: bool,
    notes: &mut Notes<'_>,
) -> Result<FloatHistogram, IncompatibleSchemas> {
    let ((t1, h1), (t2, h2)) = (&pair[0], &pair[1]);
    if at_ms == *t1 || at_ms == *t2 {
        return Ok(FloatHistogram::clone(if at_ms == *t1 { h1 } else { h2 }));
    }
    #[expect(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
    let fraction = (at_ms - t1) as f64 / (t2 - t1) as f64;
    if is_counter && detect_reset(h2, h1) {
        return Ok(product(h2, fraction));
    }
    let (rise, outcome) = difference(h2, h1)?;
    note_bounds(outcome, Operation::Subtraction, notes);
    let (h, outcome) = sum(&product(&rise, fraction), h1)?;
    note_bounds(outcome, Operation::Addition, notes);
    Ok(h)
}

fn rate_of_histograms(
    w: &Window<'_>,
    notes: &mut Notes<'_>,
    kind: Kind,
    modifier: Modifier,
) -> Result<Output, IncompatibleSchemas> {
    let list = w.histograms;
    let Some((first, last)) = boundaries(list, w, modifier) else { return Ok(Output::Nothing) };
    let used = &list[first..=last];
    if used.iter().any(|s| is_custom(&s.1) != is_custom(&used[0].1)) {
        return Err(IncompatibleSchemas);
    }
    let is_gauge = |h: &FloatHistogram| h.hint == CounterResetHint::Gauge;
    if kind.is_counter() && used.iter().any(|s| is_gauge(&s.1)) {
        notes.warn(notes::not_a_counter(notes.metric_name));
    }
    let smoothed = modifier == Modifier::Smoothed;
    let cut_left = smoothed && list[first].0 < w.start_ms;
    let left = if cut_left {
        interpolate_histograms(&list[first..], w.start_ms, kind.is_counter(), notes)?
    } else {
        FloatHistogram::clone(&list[first].1)
    };
    let right = if smoothed && last > 0 && list[last].0 > w.end_ms {
        interpolate_histograms(&list[last - 1..], w.end_ms, kind.is_counter(), notes)?
    } else {
        FloatHistogram::clone(&list[last].1)
    };
    if !kind.is_counter() && (!is_gauge(&left) || !is_gauge(&right)) {
        notes.warn(notes::not_a_gauge(notes.metric_name));
    }
    let (mut rise, outcome) = difference(&right, &left)?;
    note_bounds(outcome, Operation::Subtraction, notes);
    if kind.is_counter() {
        // The interpolation on the left began after a reset in its segment already.
        let reset_left = cut_left && detect_reset(&list[first + 1].1, &list[first].1);
        let ends = if reset_left { (&*list[first + 1].1, first + 2) } else { (&left, first + 1) };
        if let Some(lost) = lost_by_resets(list, ends, (&right, last), notes)? {
            let (corrected, outcome) = sum(&rise, &lost)?;
            note_bounds(outcome, Operation::Addition, notes);
            rise = corrected;
        }
    }
    if kind.is_rate() {
        rise = quotient(&rise, seconds(w.end_ms - w.start_ms));
    }
    rise.hint = CounterResetHint::Gauge;
    compact(&mut rise);
    Ok(Output::Histogram(Arc::new(rise)))
}

/// The sum of the histograms before each reset, from `before` over the samples `next..last` to
/// `right`, which stands for the sample `last`.
fn lost_by_resets(
    list: &[(i64, Arc<FloatHistogram>)],
    (mut before, next): (&FloatHistogram, usize),
    (right, last): (&FloatHistogram, usize),
    notes: &mut Notes<'_>,
) -> Result<Option<FloatHistogram>, IncompatibleSchemas> {
    let between = list.get(next..last).unwrap_or_default().iter().map(|s| &*s.1);
    // Both bounds may lie in one segment, which then has no reset of its own.
    let end = (next <= last).then_some(right);
    let mut lost = None;
    for h in between.chain(end) {
        if detect_reset(h, before) {
            lost = Some(match lost {
                None => before.clone(),
                Some(so_far) => {
                    let (h, outcome) = sum(&so_far, before)?;
                    note_bounds(outcome, Operation::Addition, notes);
                    h
                }
            });
        }
        before = h;
    }
    Ok(lost)
}

/// The samples in the range and the newest one before it; nothing where none is in the range.
fn anchored<'a>(w: &Window<'a>) -> impl Iterator<Item = Timed<'a>> {
    let (start_ms, end_ms) = (w.start_ms, w.end_ms);
    let before = by_time(w).take_while(move |s| s.stamp.t_ms <= start_ms).last();
    let mut rest = by_time(w)
        .skip_while(move |s| s.stamp.t_ms <= start_ms)
        .take_while(move |s| s.stamp.t_ms <= end_ms)
        .peekable();
    let anchor = if rest.peek().is_some() { before } else { None };
    anchor.into_iter().chain(rest)
}

/// `changes(m anchored)`
pub(in crate::functions) fn changes(w: &Window<'_>, notes: &mut Notes<'_>) -> Output {
    count_pairs(anchored(w), is_change, notes)
}

/// `resets(m anchored)`
pub(in crate::functions) fn resets(w: &Window<'_>, notes: &mut Notes<'_>) -> Output {
    count_pairs(anchored(w), is_reset, notes)
}

/// The value of `x smoothed` at `at_ms`: that of a sample there, else between its neighbours, else
/// that of the newest sample before; `None` without one.
pub fn smoothed_at(times: &[i64], values: &[f64], at_ms: i64) -> Option<f64> {
    let i = times.count_until(at_ms).checked_sub(1)?;
    Some(if times[i] == at_ms || i + 1 == times.len() {
        values[i]
    } else {
        interpolate(times, values, i, at_ms, false)
    })
}

/// The points of a bare `m[5m] anchored` or `smoothed`: one at each bound and the samples between.
/// Clears and fills `times` and `values`; nothing where no sample is after the start.
pub fn bare_points(
    w: &Window<'_>,
    modifier: Modifier,
    times: &mut Vec<i64>,
    values: &mut Vec<f64>,
) {
    times.clear();
    values.clear();
    let Some(ends) = boundaries(w.times, w, modifier) else { return };
    let (left, right) = bounds_of(w, ends, modifier, false);
    let inner = inside(w.times, w);
    times.push(w.start_ms);
    values.push(left);
    times.extend_from_slice(&w.times[inner.clone()]);
    values.extend_from_slice(&w.values[inner]);
    times.push(w.end_ms);
    values.push(right);
}
