//! Walking over buckets, and the way back from a list of buckets to spans.

use model::{FloatHistogram, Span};

use super::{bounds, is_custom};

/// A bucket with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether the lower bound itself is inside.
    pub lower_inclusive: bool,
    /// Whether the upper bound itself is inside.
    pub upper_inclusive: bool,
    /// Observations.
    pub count: f64,
}

impl Bucket {
    /// The boundary rule of the HTTP API: 0 only the upper bound is inside, 1 only the lower, 2
    /// none, 3 both (contract 1.2).
    pub const fn boundary_rule(&self) -> u8 {
        match (self.lower_inclusive, self.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        }
    }
}

/// Index and count of each bucket of one side, ascending by index, empty ones included.
pub fn entries<'a>(
    spans: &'a [Span],
    counts: &'a [f64],
) -> impl Iterator<Item = (i32, f64)> + Clone + 'a {
    let indices = spans.iter().scan(0_i32, |next, span| {
        let first = next.wrapping_add(span.offset);
        *next = first.wrapping_add(i32::try_from(span.length).unwrap_or(i32::MAX));
        Some((0..span.length).map(move |i| first.wrapping_add_unsigned(i)))
    });
    indices.flatten().zip(counts.iter().copied())
}

/// Spans and counts of buckets that ascend by index; empty ones are left out.
pub fn collect(entries: impl Iterator<Item = (i32, f64)>) -> (Vec<Span>, Vec<f64>) {
    let (mut spans, mut counts) = (Vec::<Span>::new(), Vec::new());
    let mut next = 0_i32;
    for (index, count) in entries {
        if count == 0.0 {
            continue;
        }
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => spans.push(Span { offset: index.wrapping_sub(next), length: 1 }),
        }
        counts.push(count);
        next = index.wrapping_add(1);
    }
    (spans, counts)
}

/// Removes empty buckets, in place.
pub fn compact(h: &mut FloatHistogram) {
    for (spans, counts) in [
        (&mut h.positive_spans, &mut h.positive_buckets),
        (&mut h.negative_spans, &mut h.negative_buckets),
    ] {
        let untidy = counts.contains(&0.0)
            || spans.iter().any(|s| s.length == 0)
            || spans.iter().skip(1).any(|s| s.offset == 0);
        if untidy {
            let (new_spans, new_counts) = collect(entries(spans, counts));
            (*spans, *counts) = (new_spans, new_counts);
        }
    }
}

/// The index at `schema` less `by` of the bucket that holds bucket `index` (contract 3.13).
pub const fn reduced_index(index: i32, by: u32) -> i32 {
    (index.wrapping_sub(1) >> by).wrapping_add(1)
}

/// By how much the resolution falls from `from` to `to`; nothing where it would rise.
pub(super) fn reduction(from: i32, to: i32) -> u32 {
    u32::try_from(from.saturating_sub(to)).unwrap_or(0).min(31)
}

/// `h` at a lower resolution; unchanged where it has that already or has custom bounds.
#[must_use]
pub fn reduce_resolution(h: &FloatHistogram, schema: i32) -> FloatHistogram {
    let by = reduction(h.schema, schema);
    if by == 0 || is_custom(h) {
        return h.clone();
    }
    let side = |spans: &[Span], counts: &[f64]| {
        let mut merged: Vec<(i32, f64)> = Vec::with_capacity(counts.len());
        for (index, count) in entries(spans, counts) {
            let index = reduced_index(index, by);
            match merged.last_mut() {
                Some(last) if last.0 == index => last.1 += count,
                _ => merged.push((index, count)),
            }
        }
        collect(merged.into_iter())
    };
    let (positive_spans, positive_buckets) = side(&h.positive_spans, &h.positive_buckets);
    let (negative_spans, negative_buckets) = side(&h.negative_spans, &h.negative_buckets);
    FloatHistogram {
        schema,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        ..h.clone()
    }
}

/// The positive bucket `index` of `h`.
pub fn positive(h: &FloatHistogram, index: i32, count: f64) -> Bucket {
    if is_custom(h) {
        return Bucket {
            lower: bounds::custom(index.wrapping_sub(1), &h.custom_values),
            upper: bounds::custom(index, &h.custom_values),
            lower_inclusive: index == 0,
            upper_inclusive: true,
            count,
        };
    }
    Bucket {
        lower: bounds::exponential(index.wrapping_sub(1), h.schema),
        upper: bounds::exponential(index, h.schema),
        lower_inclusive: false,
        upper_inclusive: true,
        count,
    }
}

/// The negative bucket `index` of `h`: the mirrored positive one.
pub fn negative(h: &FloatHistogram, index: i32, count: f64) -> Bucket {
    Bucket {
        lower: -bounds::exponential(index, h.schema),
        upper: -bounds::exponential(index.wrapping_sub(1), h.schema),
        lower_inclusive: true,
        upper_inclusive: false,
        count,
    }
}

/// The zero bucket of `h`.
pub const fn zero(h: &FloatHistogram) -> Bucket {
    Bucket {
        lower: -h.zero_threshold,
        upper: h.zero_threshold,
        lower_inclusive: true,
        upper_inclusive: true,
        count: h.zero_count,
    }
}

/// All buckets ascending by value: negative ones, the zero bucket unless it is empty, positive
/// ones. A bucket that reaches into the zero bucket ends there. Empty buckets are included.
pub fn all(h: &FloatHistogram) -> Vec<Bucket> {
    let num = h.positive_buckets.len() + h.negative_buckets.len() + 1;
    let mut out = Vec::with_capacity(num);
    if !is_custom(h) {
        for (index, count) in entries(&h.negative_spans, &h.negative_buckets) {
            let mut bucket = negative(h, index, count);
            if bucket.upper < 0.0 && bucket.upper > -h.zero_threshold {
                bucket.upper = -h.zero_threshold;
            }
            out.push(bucket);
        }
        out.reverse();
        if h.zero_count > 0.0 {
            out.push(zero(h));
        }
    }
    for (index, count) in entries(&h.positive_spans, &h.positive_buckets) {
        let mut bucket = positive(h, index, count);
        if bucket.lower > 0.0 && bucket.lower < h.zero_threshold {
            bucket.lower = h.zero_threshold;
        }
        out.push(bucket);
    }
    out
}
