//! Native histograms as no exporter should make them, all the kinds: whole and fractional counts,
//! schemas that change, custom buckets, gauges, resets, gaps, stale markers, floats in between.

use std::collections::BTreeMap;

use super::{FIRST_MS, LAST_MS, STALE, times, whole};
use crate::remote_write::{self, Histogram, Sample, Span, TimeSeries};
use crate::rng::Rng;

/// The reset hint of a gauge.
const GAUGE: i32 = 3;
/// The schema of custom buckets.
const CUSTOM: i32 = -53;

/// A histogram by what it counted.
#[derive(Debug, Clone, Default)]
struct Counts {
    schema: i32,
    zero_threshold: f64,
    zero: f64,
    /// Counts of buckets by their index.
    positive: BTreeMap<i32, f64>,
    negative: BTreeMap<i32, f64>,
    sum: f64,
    custom: Vec<f64>,
    /// Whether what is above and what is below zero is observed.
    sides: [bool; 2],
}

/// How the histograms of a series come about.
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of a kind, in a table")]
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kind {
    name: &'static str,
    /// Counts are floats.
    fractional: bool,
    /// Every histogram stands for itself.
    gauge: bool,
    /// Observations below zero too.
    negative: bool,
    /// Schemas to choose from, at the start or at each reset.
    schemas: &'static [i32],
    /// Schema and zero threshold change without a reset too.
    changes: bool,
    /// Counts start near 0, and not with many observations in many buckets.
    small: bool,
    /// Sums that are not numbers, or infinite.
    odd_sums: bool,
    /// Custom bounds that differ.
    odd_bounds: bool,
    /// Buckets on one side only, now and then.
    sides: bool,
    /// Zero thresholds to choose from where the schema is.
    thresholds: &'static [f64],
    /// Every so many samples a float; never where 0.
    float_one_in: u64,
}

const PLAIN: Kind = Kind {
    name: "nh",
    fractional: false,
    gauge: false,
    negative: false,
    schemas: &[0, 1, 3],
    changes: false,
    small: false,
    odd_sums: false,
    odd_bounds: false,
    sides: false,
    thresholds: &[0.5],
    float_one_in: 0,
};

/// All kinds, each in six series.
const KINDS: &[Kind] = &[
    PLAIN,
    Kind { name: "nh_float", fractional: true, negative: true, ..PLAIN },
    Kind { name: "nh_gauge", gauge: true, negative: true, ..PLAIN },
    Kind { name: "nh_wide", schemas: &[-4, -1, 8], negative: true, thresholds: &[0.0], ..PLAIN },
    Kind {
        name: "nh_zero",
        schemas: &[2],
        thresholds: &[0.0, 0.001, 0.5, 1.0],
        changes: true,
        ..PLAIN
    },
    Kind { name: "nh_moves", schemas: &[0, 2], changes: true, negative: true, ..PLAIN },
    Kind { name: "nh_custom", schemas: &[CUSTOM], ..PLAIN },
    Kind { name: "nh_custom_float", schemas: &[CUSTOM], fractional: true, gauge: true, ..PLAIN },
    Kind { name: "nh_both", schemas: &[0, CUSTOM], ..PLAIN },
    Kind { name: "nh_mixed", float_one_in: 6, ..PLAIN },
    Kind {
        name: "nh_small",
        small: true,
        thresholds: &[0.0],
        schemas: &[0, 1, 3, CUSTOM],
        ..PLAIN
    },
    Kind { name: "nh_odd_sums", odd_sums: true, negative: true, ..PLAIN },
    Kind {
        name: "nh_shifts",
        schemas: &[0, 1, 2],
        thresholds: &[0.0, 0.001, 0.3, 0.5, 1.0],
        changes: true,
        negative: true,
        sides: true,
        ..PLAIN
    },
    Kind { name: "nh_odd_bounds", odd_bounds: true, schemas: &[CUSTOM], ..PLAIN },
];

/// The names of the metrics that 3.5 and its successors agree on.
pub const NAMES: &[&str] = &[
    "nh",
    "nh_float",
    "nh_gauge",
    "nh_wide",
    "nh_zero",
    "nh_moves",
    "nh_custom",
    "nh_custom_float",
    "nh_both",
    "nh_mixed",
];

/// Series whose histograms have custom buckets now and others then.
pub const BOTH: &str = "nh_both";
/// Counters that start near 0.
pub const SMALL: &str = "nh_small";
/// Histograms whose sums are NaN or infinite.
pub const ODD_SUMS: &str = "nh_odd_sums";
/// Histograms whose schema and zero threshold change at once, with buckets on either side or on both.
pub const SHIFTS: &str = "nh_shifts";
/// Custom buckets with different bounds.
pub const ODD_BOUNDS: &str = "nh_odd_bounds";

/// All series, in label order.
pub fn fleet(seed: u64) -> Vec<TimeSeries> {
    let mut rng = Rng::new(seed ^ 0x6e61_7469_7665);
    let mut all = Vec::new();
    for kind in KINDS {
        for job in super::JOBS {
            for instance in super::INSTANCES {
                let labels = [("__name__", kind.name), ("instance", instance), ("job", job)];
                let mut series = remote_write::series(&labels, &[]);
                fill(*kind, &mut rng, &mut series);
                all.push(series);
            }
        }
    }
    all.sort_by(|a, b| {
        let labels = |s: &TimeSeries| -> Vec<(Vec<u8>, Vec<u8>)> {
            s.labels.iter().map(|l| (l.name.clone(), l.value.clone())).collect()
        };
        labels(a).cmp(&labels(b))
    });
    all
}

fn index(rng: &mut Rng, len: usize) -> usize {
    usize::try_from(rng.below(len as u64)).expect("an index")
}

fn fill(kind: Kind, rng: &mut Rng, series: &mut TimeSeries) {
    // Each time it starts anew with half as many observations, so that no rate of a counter reaches
    // back to 0 within its range.
    let mut base = if kind.gauge { 1.0 } else { f64::from(1_000 << 12) };
    let mut counts = start(kind, rng, base);
    for timestamp in times(rng, 15) {
        debug_assert!((FIRST_MS..LAST_MS).contains(&timestamp), "times of the fleet");
        if rng.one_in(60) {
            series.histograms.push(Histogram { sum: STALE, timestamp, ..Histogram::default() });
            continue;
        }
        if kind.float_one_in > 0 && rng.one_in(kind.float_one_in) {
            series.samples.push(Sample { value: whole(rng, 100), timestamp });
            continue;
        }
        let anew = rng.one_in(60) || (kind.changes && rng.one_in(60));
        if kind.gauge || (anew && base > 1_000.0) {
            base = if kind.gauge { base } else { base / 2.0 };
            counts = start(kind, rng, base);
        }
        observe(kind, rng, &mut counts);
        series.histograms.push(message(kind, &counts, timestamp));
    }
}

fn start(kind: Kind, rng: &mut Rng, base: f64) -> Counts {
    let schema = kind.schemas[index(rng, kind.schemas.len())];
    let mut counts = Counts { schema, ..Counts::default() };
    if schema == CUSTOM {
        let bounds: [&[f64]; 3] = [&[0.5, 1.0, 2.5, 10.0], &[-1.0, 0.0, 1.0], &[]];
        counts.custom = bounds[if kind.odd_bounds { index(rng, 3) } else { 0 }].to_vec();
    } else {
        counts.zero_threshold = kind.thresholds[index(rng, kind.thresholds.len())];
    }
    if kind.odd_sums {
        // What was counted was not a number, or an infinite one.
        counts.sum = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][index(rng, 3)];
    }
    // Else always on the same sides, because 3.5 fills in empty buckets and then sees the side.
    let all = [[true, true], [true, false], [false, true]];
    let sides = if kind.sides { all[index(rng, 3)] } else { [true, kind.negative] };
    counts.sides = sides;
    if kind.small {
        return counts;
    }
    let buckets = i32::try_from(counts.custom.len()).expect("few buckets");
    for at in if schema == CUSTOM { 0..buckets + 1 } else { 1..4 } {
        if sides[0] {
            counts.positive.insert(at, base + whole(rng, 1_000));
            counts.sum += base;
        }
        if sides[1] {
            counts.negative.insert(at, base + whole(rng, 100));
            counts.sum -= base;
        }
    }
    counts
}

fn observe(kind: Kind, rng: &mut Rng, counts: &mut Counts) {
    for _ in 0..rng.below(6) {
        // Fractions that add up exactly in any order.
        let unit = if kind.fractional { 0.25 } else { 1.0 };
        let weight = unit * (1.0 + whole(rng, 3));
        if counts.schema == CUSTOM {
            let at = index(rng, counts.custom.len() + 1);
            *counts.positive.entry(i32::try_from(at).expect("few buckets")).or_default() += weight;
            counts.sum += weight * whole(rng, 20) / 4.0;
            continue;
        }
        let value = (rng.unit() * 12.0 - 6.0).exp2();
        let sign = match counts.sides {
            [_, false] => 1.0,
            [false, _] => -1.0,
            _ if rng.one_in(3) => -1.0,
            _ => 1.0,
        };
        counts.sum += weight * value * sign;
        if value <= counts.zero_threshold {
            counts.zero += weight;
            continue;
        }
        let side = if sign < 0.0 { &mut counts.negative } else { &mut counts.positive };
        *side.entry(bucket(value, counts.schema)).or_default() += weight;
    }
}

/// The bucket that `value` is in: its bound is the next power of 2 to the power of `2^-schema`.
#[expect(clippy::cast_possible_truncation, reason = "buckets of values near 1 have small indexes")]
fn bucket(value: f64, schema: i32) -> i32 {
    (value.log2() * f64::from(schema).exp2()).ceil() as i32
}

/// Spans and counts of `buckets`, one after the other.
fn spans(buckets: &BTreeMap<i32, f64>) -> (Vec<Span>, Vec<f64>) {
    let (mut spans, mut counts): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut next = 0;
    for (&at, &count) in buckets {
        match spans.last_mut() {
            // Every seventh bucket begins a span of its own, which touches the one before it.
            Some(span) if at == next && at % 7 != 0 => span.length += 1,
            _ => spans.push(Span { offset: at - next, length: 1 }),
        }
        counts.push(count);
        next = at + 1;
    }
    (spans, counts)
}

fn message(kind: Kind, counts: &Counts, timestamp: i64) -> Histogram {
    let (positive_spans, positive) = spans(&counts.positive);
    let (negative_spans, negative) = spans(&counts.negative);
    let total = counts.zero + positive.iter().sum::<f64>() + negative.iter().sum::<f64>();
    // Observations of NaN are counted, but are in no bucket.
    let total = if counts.sum.is_nan() { total + 1.0 } else { total };
    let mut histogram = Histogram {
        sum: counts.sum,
        schema: counts.schema,
        zero_threshold: counts.zero_threshold,
        positive_spans,
        negative_spans,
        reset_hint: if kind.gauge { GAUGE } else { 0 },
        timestamp,
        custom_values: counts.custom.clone(),
        ..Histogram::default()
    };
    if kind.fractional {
        histogram.count_float = Some(total);
        histogram.zero_count_float = Some(counts.zero);
        (histogram.positive_counts, histogram.negative_counts) = (positive, negative);
    } else {
        histogram.count_int = Some(integer(total).unsigned_abs());
        histogram.zero_count_int = Some(integer(counts.zero).unsigned_abs());
        (histogram.positive_deltas, histogram.negative_deltas) =
            (deltas(&positive), deltas(&negative));
    }
    histogram
}

#[expect(clippy::cast_possible_truncation, reason = "a small whole number")]
fn integer(value: f64) -> i64 {
    value as i64
}

/// Each count as the difference from the one before.
fn deltas(counts: &[f64]) -> Vec<i64> {
    let mut before = 0;
    let delta = |count: &f64| {
        let delta = integer(*count) - before;
        before = integer(*count);
        delta
    };
    counts.iter().map(delta).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_sorted_the_same_for_a_seed_and_has_every_kind() {
        assert_eq!(format!("{:?}", fleet(1)), format!("{:?}", fleet(1)));
        let all = fleet(2);
        let names = || NAMES.iter().copied().chain([SMALL, ODD_SUMS, SHIFTS, ODD_BOUNDS]);
        assert!(names().eq(KINDS.iter().map(|kind| kind.name)));
        assert_eq!(all.len(), names().count() * 6);
        for series in &all {
            assert!(series.histograms.windows(2).all(|w| w[0].timestamp < w[1].timestamp));
        }
        let histograms = || all.iter().flat_map(|series| &series.histograms);
        assert!(histograms().any(|h| h.sum.to_bits() == STALE.to_bits()));
        assert!(histograms().any(|h| h.count_float.is_some()));
        assert!(histograms().any(|h| !h.negative_deltas.is_empty()));
        assert!(all.iter().any(|series| !series.samples.is_empty()));
    }

    #[test]
    fn spans_hold_the_buckets() {
        let buckets = BTreeMap::from([(-3, 1.0), (-2, 5.0), (4, 2.0)]);
        let (spans, counts) = spans(&buckets);
        assert_eq!(counts, [1.0, 5.0, 2.0]);
        let (mut next, mut at) = (0, Vec::new());
        for span in spans {
            next += span.offset;
            for _ in 0..span.length {
                at.push(next);
                next += 1;
            }
        }
        assert!(at.iter().eq(buckets.keys()), "{at:?}");
        assert_eq!(deltas(&counts), [1, 4, -3]);
    }
}
