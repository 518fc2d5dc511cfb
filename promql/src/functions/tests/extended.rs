//! The range functions under `anchored` and `smoothed`.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Span};
use proptest::{collection::vec, prelude::*};

use super::test_notes;
use crate::annotations::Annotations;
use crate::functions::dispatch::extended_kernel;
use crate::functions::rate::extended::Modifier::{self, Anchored, Smoothed};
use crate::functions::rate::extended::{bare_points, smoothed_at};
use crate::functions::window::{Output, Starts, Window};

const LOOKBACK_MS: i64 = 300_000;

/// The part of `samples` that a modifier reads for `(start_ms, end_ms]`.
fn window<'a>(
    times: &'a [i64],
    values: &'a [f64],
    (start_ms, end_ms): (i64, i64),
    modifier: Modifier,
) -> Window<'a> {
    let reach = if modifier == Smoothed { end_ms + LOOKBACK_MS } else { end_ms };
    let from = times.partition_point(|t| *t <= start_ms - LOOKBACK_MS);
    let to = times.partition_point(|t| *t <= reach);
    Window {
        times: &times[from..to],
        values: &values[from..to],
        histograms: &[],
        starts: Starts::default(),
        start_ms,
        end_ms,
        step_ms: end_ms,
    }
}

fn eval(name: &str, modifier: Modifier, w: &Window<'_>) -> Output {
    let mut annotations = Annotations::new();
    let mut notes = test_notes(&mut annotations, "m");
    (extended_kernel(name, modifier).unwrap().eval)(w, &[], &mut notes).unwrap()
}

#[test]
fn values_at_the_bounds_replace_extrapolation() {
    // A sample a minute: rises, a reset to 3 at 240 s, a gap at 360 s.
    let times = [0, 60, 120, 180, 240, 300, 420].map(|s| s * 1000);
    let values = [10.0, 12.0, 20.0, 24.0, 3.0, 9.0, 21.0];
    let nothing = Output::Nothing;
    for (name, modifier, start_s, end_s, want) in [
        ("increase", Anchored, 90, 150, Output::Float(8.0)),
        ("increase", Smoothed, 90, 150, Output::Float(6.0)),
        ("rate", Smoothed, 90, 150, Output::Float(0.1)),
        ("delta", Anchored, 150, 270, Output::Float(-17.0)),
        ("increase", Anchored, 150, 270, Output::Float(7.0)),
        ("increase", Smoothed, 150, 270, Output::Float(8.0)),
        ("delta", Smoothed, 150, 270, Output::Float(-16.0)),
        // Inside of the segment with the reset a counter started from zero.
        ("increase", Smoothed, 200, 220, Output::Float(1.0)),
        ("increase", Anchored, 300, 360, nothing.clone()),
        ("increase", Smoothed, 300, 360, Output::Float(6.0)),
        // Without a sample before the start the first one stands for it.
        ("increase", Anchored, -60, 30, Output::Float(0.0)),
        ("increase", Smoothed, -60, 30, Output::Float(1.0)),
        ("increase", Smoothed, -60, -30, nothing.clone()),
        ("increase", Anchored, 420, 480, nothing.clone()),
        ("changes", Anchored, 90, 250, Output::Float(3.0)),
        ("resets", Anchored, 90, 250, Output::Float(1.0)),
        ("changes", Anchored, 300, 360, nothing.clone()),
    ] {
        let w = window(&times, &values, (start_s * 1000, end_s * 1000), modifier);
        assert_eq!(eval(name, modifier, &w), want, "{name} {modifier:?} {start_s} {end_s}");
    }
}

#[test]
fn other_functions_are_refused() {
    assert!(extended_kernel("deriv", Anchored).is_none());
    assert!(extended_kernel("resets", Smoothed).is_none());
    assert_eq!(
        Anchored.refusal("deriv"),
        "anchored modifier can only be used with: changes, delta, increase, rate, resets - not \
         with deriv"
    );
    assert_eq!(
        Smoothed.refusal("resets"),
        "smoothed modifier can only be used with: delta, increase, rate - not with resets"
    );
}

#[test]
fn bare_selectors_have_points_at_their_bounds() {
    let (times, values) = ([0, 60_000, 120_000], [1.0, 3.0, 9.0]);
    let (mut t, mut v) = (Vec::new(), Vec::new());
    for (modifier, want) in [(Anchored, [1.0, 3.0, 3.0]), (Smoothed, [2.0, 3.0, 6.0])] {
        let w = window(&times, &values, (30_000, 90_000), modifier);
        bare_points(&w, modifier, &mut t, &mut v);
        assert_eq!((&t[..], &v[..]), (&[30_000, 60_000, 90_000][..], &want[..]));
    }
    assert_eq!(smoothed_at(&times, &values, 60_000), Some(3.0));
    assert_eq!(smoothed_at(&times, &values, 90_000), Some(6.0));
    assert_eq!(smoothed_at(&times, &values, 150_000), Some(9.0));
    assert_eq!(smoothed_at(&times, &values, -1), None);
}

/// A histogram with one bucket, so that it behaves as its count.
fn single(v: f64) -> FloatHistogram {
    FloatHistogram {
        hint: CounterResetHint::Unknown,
        schema: 0,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: v,
        sum: v,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        negative_spans: vec![],
        positive_buckets: vec![v],
        negative_buckets: vec![],
        custom_values: vec![],
    }
}

proptest! {
    /// Histograms with one bucket give what floats give.
    #[test]
    fn histograms_follow_the_floats(
        values in vec(0_u32..20, 1..12),
        gaps in vec(1_i64..100_000, 12),
        start_ms in -50_000_i64..600_000,
        range_ms in 1_i64..300_000,
    ) {
        let times: Vec<i64> = gaps.iter().scan(0, |t, gap| { *t += gap; Some(*t) })
            .take(values.len()).collect();
        let values: Vec<f64> = values.iter().map(|v| f64::from(*v) + 1.0).collect();
        for modifier in [Anchored, Smoothed] {
            for name in ["rate", "increase", "delta"] {
                let floats = window(&times, &values, (start_ms, start_ms + range_ms), modifier);
                let list: Vec<_> = floats.times.iter().zip(floats.values)
                    .map(|(t, v)| (*t, Arc::new(single(*v)))).collect();
                let histograms = Window { times: &[], values: &[], histograms: &list, ..floats };
                match (eval(name, modifier, &floats), eval(name, modifier, &histograms)) {
                    (Output::Float(v), Output::Histogram(h)) => {
                        prop_assert!((v - h.count).abs() < 1e-9, "{name} {modifier:?} {v} {}", h.count);
                        prop_assert!((v - h.sum).abs() < 1e-9);
                    }
                    (a, b) => prop_assert_eq!((a, b), (Output::Nothing, Output::Nothing)),
                }
            }
        }
    }
}
