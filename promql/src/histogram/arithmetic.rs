//! Sums, differences and multiples of histograms.

use std::borrow::Cow;

use model::CounterResetHint::{self, Gauge, NotReset, Reset, Unknown};
use model::FloatHistogram;

use super::buckets::{collect, compact, entries, reduced_index, reduction};
use super::{IncompatibleSchemas, bounds, is_custom};
use crate::sum::Sum;

/// What is worth an annotation about an addition or subtraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// One histogram follows a counter reset, the other is known not to.
    pub conflicting_resets: bool,
    /// Custom bounds differed and were reduced to those in common.
    pub mismatched_bounds: bool,
}

impl Outcome {
    /// Adds what another operation had to say.
    pub const fn merge(&mut self, other: Self) {
        self.conflicting_resets |= other.conflicting_resets;
        self.mismatched_bounds |= other.mismatched_bounds;
    }
}

/// How counts are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Add,
    Subtract,
    /// Addition that keeps what rounding loses.
    Compensated,
}

impl Mode {
    fn apply(self, sum: &mut Sum, x: f64) {
        match self {
            Self::Add => sum.sum += x,
            Self::Subtract => sum.sum -= x,
            Self::Compensated => sum.add(x),
        }
    }
}

/// A histogram in the making.
#[derive(Debug, Clone)]
struct Accumulator {
    hint: CounterResetHint,
    schema: i32,
    zero_threshold: f64,
    zero: Sum,
    count: Sum,
    sum: Sum,
    positive: Side,
    negative: Side,
    bounds: Vec<f64>,
}

/// Buckets of one side, ascending by index.
type Side = Vec<(i32, Sum)>;

fn exactly(v: f64) -> Sum {
    Sum { sum: v, lost: 0.0 }
}

/// Adds one compensated sum to another.
fn absorb(into: &mut Sum, x: Sum) {
    into.add(x.sum);
    into.lost += x.lost;
}

impl Accumulator {
    fn new(h: &FloatHistogram) -> Self {
        let side = |spans, counts| entries(spans, counts).map(|(i, c)| (i, exactly(c))).collect();
        Self {
            hint: h.hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero: exactly(h.zero_count),
            count: exactly(h.count),
            sum: exactly(h.sum),
            positive: side(&h.positive_spans, &h.positive_buckets),
            negative: side(&h.negative_spans, &h.negative_buckets),
            bounds: h.custom_values.clone(),
        }
    }

    fn parts(&mut self) -> impl Iterator<Item = &mut Sum> {
        [&mut self.zero, &mut self.count, &mut self.sum]
            .into_iter()
            .chain(self.positive.iter_mut().chain(&mut self.negative).map(|b| &mut b.1))
    }

    /// The histogram whose every number is `value` of the accumulated one.
    fn finish(self, value: impl Fn(Sum) -> f64) -> FloatHistogram {
        let (positive_spans, positive_buckets) =
            collect(self.positive.into_iter().map(|(i, s)| (i, value(s))));
        let (negative_spans, negative_buckets) =
            collect(self.negative.into_iter().map(|(i, s)| (i, value(s))));
        FloatHistogram {
            hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: value(self.zero),
            count: value(self.count),
            sum: value(self.sum),
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            custom_values: self.bounds,
        }
    }

    fn combine(
        &mut self,
        other: &FloatHistogram,
        mode: Mode,
    ) -> Result<Outcome, IncompatibleSchemas> {
        let custom = self.schema == model::CUSTOM_BUCKETS_SCHEMA;
        if custom != is_custom(other) {
            return Err(IncompatibleSchemas);
        }
        let (hint, conflicting_resets) = combined_hint(self.hint, other.hint);
        self.hint = hint;
        let mut outcome = Outcome { conflicting_resets, mismatched_bounds: false };
        if custom {
            outcome.mismatched_bounds = self.combine_custom(other, mode);
        } else {
            self.combine_exponential(other, mode);
        }
        mode.apply(&mut self.count, other.count);
        mode.apply(&mut self.sum, other.sum);
        Ok(outcome)
    }

    fn combine_exponential(&mut self, other: &FloatHistogram, mode: Mode) {
        let zero_count = self.reconcile_zero(other);
        mode.apply(&mut self.zero, zero_count);
        let schema = self.schema.min(other.schema);
        let by = reduction(self.schema, schema);
        if by > 0 {
            for side in [&mut self.positive, &mut self.negative] {
                map_indices(side, |i| reduced_index(i, by));
            }
            self.schema = schema;
        }
        let by = reduction(other.schema, schema);
        let threshold = self.zero_threshold;
        // What the zero bucket swallowed was counted there.
        let outside = |i: &(i32, f64)| bounds::exponential(i.0, other.schema) > threshold;
        for (side, spans, counts) in [
            (&mut self.positive, &other.positive_spans, &other.positive_buckets),
            (&mut self.negative, &other.negative_spans, &other.negative_buckets),
        ] {
            let theirs = entries(spans, counts).filter(outside);
            merge(side, theirs.map(|(i, c)| (reduced_index(i, by), c)), mode);
        }
    }

    /// Brings both zero buckets to one width; the count of the other's zero bucket at that width.
    fn reconcile_zero(&mut self, other: &FloatHistogram) -> f64 {
        let (mut count, mut threshold) = (other.zero_count, other.zero_threshold);
        #[expect(clippy::float_cmp, reason = "until both are the same")]
        while threshold != self.zero_threshold {
            if self.zero_threshold > threshold {
                (count, threshold) = zero_at(other, self.zero_threshold);
            }
            if threshold > self.zero_threshold {
                (self.zero, self.zero_threshold) = widened_zero(
                    self.zero,
                    [&self.positive, &self.negative],
                    self.schema,
                    threshold,
                );
                let (schema, threshold) = (self.schema, self.zero_threshold);
                for side in [&mut self.positive, &mut self.negative] {
                    side.retain(|b| bounds::exponential(b.0.wrapping_sub(1), schema) >= threshold);
                }
            }
        }
        count
    }

    /// Whether the bounds differed.
    fn combine_custom(&mut self, other: &FloatHistogram, mode: Mode) -> bool {
        let theirs = entries(&other.positive_spans, &other.positive_buckets);
        if self.bounds == other.custom_values {
            merge(&mut self.positive, theirs, mode);
            return false;
        }
        let common = common_bounds(&self.bounds, &other.custom_values);
        let ours = std::mem::replace(&mut self.bounds, common);
        map_indices(&mut self.positive, |i| index_in(&self.bounds, bounds::custom(i, &ours)));
        let common = &self.bounds;
        let mapped =
            theirs.map(|(i, c)| (index_in(common, bounds::custom(i, &other.custom_values)), c));
        merge(&mut self.positive, mapped, mode);
        true
    }

    /// Whether an addition may have overflowed or may do so with the next.
    fn is_near_overflow(&mut self) -> bool {
        self.parts().any(|s| s.sum.abs() > f64::MAX / 4.0)
    }

    fn has_overflowed(&mut self) -> bool {
        self.parts().any(|s| s.sum.is_infinite())
    }
}

/// Renumbers buckets by a function that does not fall, and merges those that become one.
fn map_indices(side: &mut Side, index: impl Fn(i32) -> i32) {
    side.dedup_by(|later, earlier| {
        let same = index(later.0) == index(earlier.0);
        if same {
            absorb(&mut earlier.1, later.1);
        }
        same
    });
    for bucket in side {
        bucket.0 = index(bucket.0);
    }
}

/// Puts `theirs`, ascending by index and possibly with repeated ones, together with `side`.
fn merge(side: &mut Side, theirs: impl Iterator<Item = (i32, f64)>, mode: Mode) {
    let mut at = 0;
    for (index, count) in theirs {
        while side.get(at).is_some_and(|b| b.0 < index) {
            at += 1;
        }
        if side.get(at).is_none_or(|b| b.0 != index) {
            side.insert(at, (index, Sum::default()));
        }
        mode.apply(&mut side[at].1, count);
    }
}

/// Count and width of a zero bucket that is widened to `threshold` at least: to the far bound of a
/// populated bucket that the threshold would cut.
fn widened_zero(zero: Sum, sides: [&Side; 2], schema: i32, mut threshold: f64) -> (Sum, f64) {
    'again: loop {
        let mut count = zero;
        for (side, is_last) in sides.into_iter().zip([false, true]) {
            for (index, bucket) in side {
                let upper = bounds::exponential(*index, schema);
                if bounds::exponential(index.wrapping_sub(1), schema) >= threshold {
                    break;
                }
                absorb(&mut count, *bucket);
                if upper > threshold {
                    if bucket.total() != 0.0 {
                        threshold = upper;
                        if is_last {
                            // The positive side was looked at with the narrower width.
                            continue 'again;
                        }
                    }
                    break;
                }
            }
        }
        return (count, threshold);
    }
}

/// Count and width of the zero bucket of `h`, widened to `threshold` at least.
pub(super) fn zero_at(h: &FloatHistogram, threshold: f64) -> (f64, f64) {
    if h.zero_threshold >= threshold {
        return (h.zero_count, h.zero_threshold);
    }
    let acc = Accumulator::new(h);
    let (count, threshold) =
        widened_zero(acc.zero, [&acc.positive, &acc.negative], h.schema, threshold);
    (count.total(), threshold)
}

/// The bounds that both lists have.
pub(super) fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().copied().filter(|bound| b.binary_search_by(|x| x.total_cmp(bound)).is_ok()).collect()
}

/// The bucket of `bounds` that takes one that ends at `upper`.
pub(super) fn index_in(bounds: &[f64], upper: f64) -> i32 {
    i32::try_from(bounds.partition_point(|b| *b < upper)).unwrap_or(i32::MAX)
}

/// The hint of a result, and whether the hints contradict each other.
fn combined_hint(a: CounterResetHint, b: CounterResetHint) -> (CounterResetHint, bool) {
    match (a, b) {
        (a, b) if a == b => (a, false),
        (Gauge, _) | (_, Gauge) => (Gauge, false),
        (Reset, NotReset) | (NotReset, Reset) => (Unknown, true),
        _ => (Unknown, false),
    }
}

/// `a + b`
///
/// # Errors
/// [`IncompatibleSchemas`] where only one has custom bounds.
pub fn sum(
    a: &FloatHistogram,
    b: &FloatHistogram,
) -> Result<(FloatHistogram, Outcome), IncompatibleSchemas> {
    let mut acc = Accumulator::new(a);
    let outcome = acc.combine(b, Mode::Add)?;
    Ok((acc.finish(|s| s.sum), outcome))
}

/// `a - b`, with the hint as for an addition; the operator `-` makes it a gauge.
///
/// # Errors
/// [`IncompatibleSchemas`] where only one has custom bounds.
pub fn difference(
    a: &FloatHistogram,
    b: &FloatHistogram,
) -> Result<(FloatHistogram, Outcome), IncompatibleSchemas> {
    let mut acc = Accumulator::new(a);
    let outcome = acc.combine(b, Mode::Subtract)?;
    Ok((acc.finish(|s| s.sum), outcome))
}

/// `h * factor`; a gauge where the factor is negative.
#[must_use]
pub fn product(h: &FloatHistogram, factor: f64) -> FloatHistogram {
    let mut out = h.clone();
    for v in numbers(&mut out) {
        *v *= factor;
    }
    if factor < 0.0 {
        out.hint = Gauge;
    }
    compact(&mut out);
    out
}

/// `h / divisor`; a gauge where that is negative. Division by zero leaves no bucket.
#[must_use]
pub fn quotient(h: &FloatHistogram, divisor: f64) -> FloatHistogram {
    let mut out = h.clone();
    for v in numbers(&mut out) {
        *v /= divisor;
    }
    if divisor == 0.0 {
        out.positive_buckets.clear();
        out.negative_buckets.clear();
        out.positive_spans.clear();
        out.negative_spans.clear();
    } else if divisor < 0.0 {
        out.hint = Gauge;
    }
    compact(&mut out);
    out
}

fn numbers(h: &mut FloatHistogram) -> impl Iterator<Item = &mut f64> {
    [&mut h.zero_count, &mut h.count, &mut h.sum]
        .into_iter()
        .chain(&mut h.positive_buckets)
        .chain(&mut h.negative_buckets)
}

/// A compensated sum of histograms: the aggregation `sum` and `sum_over_time`.
#[derive(Debug, Clone, Default)]
pub struct HistogramSum {
    acc: Option<Accumulator>,
    seen: Hints,
    mismatched_bounds: bool,
}

/// Which of the contradicting hints were seen.
#[derive(Debug, Clone, Copy, Default)]
struct Hints {
    reset: bool,
    not_reset: bool,
}

impl Hints {
    fn see(&mut self, h: &FloatHistogram) {
        self.reset |= h.hint == Reset;
        self.not_reset |= h.hint == NotReset;
    }

    const fn conflict(self) -> bool {
        self.reset && self.not_reset
    }
}

impl HistogramSum {
    /// Takes `h` in.
    ///
    /// # Errors
    /// [`IncompatibleSchemas`] where exponential and custom buckets meet; the sum is then useless.
    pub fn add(&mut self, h: &FloatHistogram) -> Result<(), IncompatibleSchemas> {
        self.seen.see(h);
        match &mut self.acc {
            None => self.acc = Some(Accumulator::new(h)),
            Some(acc) => {
                self.mismatched_bounds |= acc.combine(h, Mode::Compensated)?.mismatched_bounds;
            }
        }
        Ok(())
    }

    /// The sum, `None` of nothing, and what is to be said about it.
    pub fn finish(self) -> Option<(FloatHistogram, Outcome)> {
        let outcome = Outcome {
            conflicting_resets: self.seen.conflict(),
            mismatched_bounds: self.mismatched_bounds,
        };
        self.acc.map(|acc| (acc.finish(Sum::total), outcome))
    }
}

/// The mean of histograms: the aggregation `avg` and `avg_over_time`. A compensated sum until a
/// number of it overflows, and from there on a running mean.
#[derive(Debug, Clone, Default)]
pub struct HistogramMean {
    acc: Option<Accumulator>,
    count: f64,
    incremental: bool,
    seen: Hints,
    mismatched_bounds: bool,
}

impl HistogramMean {
    /// Takes `h` in.
    ///
    /// # Errors
    /// [`IncompatibleSchemas`] where exponential and custom buckets meet; the mean is then useless.
    pub fn add(&mut self, h: &FloatHistogram) -> Result<(), IncompatibleSchemas> {
        self.seen.see(h);
        self.count += 1.0;
        let Some(acc) = &mut self.acc else {
            self.acc = Some(Accumulator::new(h));
            return Ok(());
        };
        if !self.incremental {
            let near = acc.is_near_overflow() || Accumulator::new(h).is_near_overflow();
            let before = near.then(|| acc.clone());
            let outcome = acc.combine(h, Mode::Compensated)?;
            self.mismatched_bounds |= outcome.mismatched_bounds;
            let Some(before) = before.filter(|_| acc.has_overflowed()) else { return Ok(()) };
            self.incremental = true;
            *acc = before;
            for part in acc.parts() {
                part.sum /= self.count - 1.0;
                part.lost /= self.count - 1.0;
            }
        }
        let q = (self.count - 1.0) / self.count;
        for part in acc.parts() {
            part.sum *= q;
            part.lost *= q;
        }
        let outcome = acc.combine(&quotient(h, self.count), Mode::Compensated)?;
        self.mismatched_bounds |= outcome.mismatched_bounds;
        Ok(())
    }

    /// The mean, `None` of nothing, and what is to be said about it.
    pub fn finish(self) -> Option<(FloatHistogram, Outcome)> {
        let outcome = Outcome {
            conflicting_resets: self.seen.conflict(),
            mismatched_bounds: self.mismatched_bounds,
        };
        let (n, incremental) = (self.count, self.incremental);
        let value = |s: Sum| if incremental { s.total() } else { s.sum / n + s.lost / n };
        self.acc.map(|acc| (acc.finish(value), outcome))
    }
}

/// `h` compacted, without a copy where it is so already.
pub fn compacted(h: &FloatHistogram) -> Cow<'_, FloatHistogram> {
    let mut copy = h.clone();
    compact(&mut copy);
    if copy.positive_spans == h.positive_spans && copy.negative_spans == h.negative_spans {
        Cow::Borrowed(h)
    } else {
        Cow::Owned(copy)
    }
}
