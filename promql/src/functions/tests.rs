//! Range functions against the values that Prometheus 3.5.3 gave (contract, appendix A) and
//! against each other.
#![expect(clippy::unreadable_literal, reason = "golden values as Prometheus prints them")]

mod extended;
mod native;

use model::NeverInterrupted;
use proptest::{collection::vec, prelude::*};

use super::dispatch::range_kernel;
use super::rate::{Kind, RowPlan, find_resets};
use super::window::{Notes, Output, Starts, Window};
use crate::annotations::{Annotations, Place};

/// Notes that nobody interrupts.
fn test_notes<'a>(annotations: &'a mut Annotations, metric_name: &'a str) -> Notes<'a> {
    let (place, interrupt) = (Place::default(), &NeverInterrupted);
    Notes { annotations, metric_name, place, interrupt, interrupted: None }
}

/// Samples every `step_s` seconds from 0.
fn every(step_s: i64, values: &[f64]) -> (Vec<i64>, Vec<f64>) {
    ((0..).map(|i| i * step_s * 1000).take(values.len()).collect(), values.to_vec())
}

fn c_total(j: &str) -> (Vec<i64>, Vec<f64>) {
    match j {
        "a" => every(15, &[0.0, 10.0, 20.0, 30.0, 40.0, 5.0, 15.0, 25.0, 35.0, 45.0, 55.0]),
        _ => every(15, &(0..11).map(|i| 100.0 + 10.0 * f64::from(i)).collect::<Vec<_>>()),
    }
}

fn g(j: &str) -> (Vec<i64>, Vec<f64>) {
    match j {
        "a" => every(30, &[1.0, 3.0, f64::NAN, 4.0, 2.0]),
        _ => every(30, &[7.0, 7.0, 8.0, 8.0, 1.0]),
    }
}

/// `name(args, samples[range_s s])` at `at_s`, and the texts of the annotations.
fn run(
    name: &str,
    samples: &(Vec<i64>, Vec<f64>),
    (range_s, at_s): (i64, i64),
    args: &[f64],
) -> (Result<Output, String>, Vec<String>) {
    let (start_ms, end_ms) = ((at_s - range_s) * 1000, at_s * 1000);
    let from = samples.0.partition_point(|t| *t <= start_ms);
    let to = samples.0.partition_point(|t| *t <= end_ms);
    let window = Window {
        times: &samples.0[from..to],
        values: &samples.1[from..to],
        histograms: &[],
        starts: Starts::default(),
        start_ms,
        end_ms,
        step_ms: end_ms,
    };
    let mut annotations = Annotations::new();
    let mut notes = test_notes(&mut annotations, "m");
    let out = (range_kernel(name).unwrap().eval)(&window, args, &mut notes);
    (out, annotations.iter().map(|(_, text, ..)| text.to_owned()).collect())
}

#[test]
fn answers_are_those_of_prometheus() {
    let (ca, cb, ga, gb) = (c_total("a"), c_total("b"), g("a"), g("b"));
    for (name, samples, window, args, want) in [
        ("rate", &ca, (60, 60), &[][..], 0.6666666666666666),
        ("rate", &cb, (60, 60), &[], 0.6666666666666666),
        ("increase", &ca, (60, 60), &[], 40.0),
        ("increase", &ca, (120, 150), &[], 74.28571428571428),
        ("increase", &cb, (120, 150), &[], 80.0),
        ("rate", &ca, (40, 100), &[], 0.5416666666666666),
        ("rate", &cb, (40, 100), &[], 0.6666666666666666),
        ("rate", &ca, (60, 170), &[], 0.5277777777777778),
        ("irate", &ca, (60, 75), &[], 0.3333333333333333),
        ("irate", &cb, (60, 75), &[], 0.6666666666666666),
        ("idelta", &ca, (60, 75), &[], -35.0),
        ("deriv", &cb, (60, 60), &[], 0.6666666666666666),
        ("predict_linear", &cb, (60, 65), &[60.0], 183.33333333333334),
        ("avg_over_time", &gb, (300, 120), &[], 6.2),
        ("min_over_time", &ga, (300, 120), &[], 1.0),
        ("max_over_time", &ga, (300, 120), &[], 4.0),
        ("min_over_time", &gb, (300, 120), &[], 1.0),
        ("quantile_over_time", &ga, (300, 120), &[0.5], 2.0),
        ("quantile_over_time", &gb, (300, 120), &[0.5], 7.0),
        ("stdvar_over_time", &gb, (300, 120), &[], 6.960000000000001),
        ("mad_over_time", &gb, (300, 120), &[], 1.0),
        ("count_over_time", &ga, (300, 120), &[], 5.0),
        ("present_over_time", &ga, (300, 120), &[], 1.0),
        ("first_over_time", &gb, (300, 120), &[], 7.0),
        ("last_over_time", &gb, (300, 120), &[], 1.0),
        ("ts_of_first_over_time", &gb, (300, 120), &[], 0.0),
        ("ts_of_last_over_time", &gb, (300, 120), &[], 120.0),
        ("ts_of_max_over_time", &gb, (300, 120), &[], 90.0),
        ("ts_of_min_over_time", &ga, (300, 120), &[], 0.0),
        ("double_exponential_smoothing", &cb, (60, 60), &[0.5, 0.1], 140.0),
    ] {
        let (got, annotations) = run(name, samples, window, args);
        assert_eq!(got, Ok(Output::Float(want)), "{name}{window:?}");
        assert_eq!(annotations, [""; 0], "{name}");
    }
}

#[test]
fn a_nan_reaches_the_mean() {
    let (got, _) = run("avg_over_time", &g("a"), (300, 120), &[]);
    assert!(matches!(got, Ok(Output::Float(v)) if v.is_nan()));
}

#[test]
fn too_few_samples_have_no_answer() {
    let one = every(15, &[1.0]);
    for name in ["rate", "increase", "delta", "irate", "idelta", "deriv"] {
        assert_eq!(run(name, &one, (60, 30), &[]).0, Ok(Output::Nothing), "{name}");
    }
    let none = every(15, &[]);
    for name in ["sum_over_time", "count_over_time", "present_over_time", "last_over_time"] {
        assert_eq!(run(name, &none, (60, 30), &[]).0, Ok(Output::Nothing), "{name}");
    }
}

#[test]
fn bad_parameters_are_said() {
    let g = g("b");
    let (got, said) = run("quantile_over_time", &g, (300, 120), &[1.5]);
    assert_eq!(got, Ok(Output::Float(f64::INFINITY)));
    assert_eq!(said, ["quantile value should be between 0 and 1, got 1.5"]);
    let (got, _) = run("double_exponential_smoothing", &g, (300, 120), &[1.0, 0.5]);
    let text = "invalid smoothing factor. Expected: 0 < sf < 1, got: 1.000000";
    assert_eq!(got, Err(text.to_owned()));
    let (got, _) = run("double_exponential_smoothing", &g, (300, 120), &[0.5, -1.0]);
    let text = "invalid trend factor. Expected: 0 < tf < 1, got: -1.000000";
    assert_eq!(got, Err(text.to_owned()));
}

/// Values of a counter with resets, of a gauge, with special values between them.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        20 => (0_u32..1000).prop_map(f64::from),
        5 => -1e3_f64..1e3,
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(0.0), Just(-0.0)],
    ];
    prop_oneof![
        vec(value, 0..60),
        vec(0_u32..50, 0..60).prop_map(|rises| rises
            .iter()
            .scan(0.0, |sum, r| {
                *sum = if *r == 49 { 0.0 } else { *sum + f64::from(*r) };
                Some(*sum)
            })
            .collect()),
    ]
}

proptest! {
    /// The whole-row kernels give the bits of the kernels for one window.
    #[test]
    fn a_row_equals_its_windows(
        values in values(),
        gaps in vec(1_i64..40_000, 60),
        (range_ms, step_ms) in (1_i64..200_000, 1_000_i64..60_000),
    ) {
        let times: Vec<i64> = gaps.iter().scan(0, |t, gap| { *t += gap; Some(*t) })
            .take(values.len()).collect();
        let ends: Vec<i64> = (0..40).map(|i| i * step_ms).collect();
        let index = |ms: i64| u32::try_from(times.partition_point(|t| *t <= ms)).unwrap();
        let windows: Vec<(u32, u32)> =
            ends.iter().map(|e| (index(e - range_ms), index(*e))).collect();
        for (kind, name) in
            [(Kind::Rate, "rate"), (Kind::Increase, "increase"), (Kind::Delta, "delta")]
        {
            let mut plan = RowPlan::default();
            let counted = windows.iter().map(|w| (*w, u64::from(w.1 - w.0)));
            plan.make(kind, &times, counted, &ends, range_ms);
            let mut row = vec![0.0; ends.len()];
            let mut resets = Vec::new();
            if plan.is_of_counter() {
                // In parts, as a long series is.
                let middle = values.len() / 3;
                find_resets(&values, 0..middle, &mut resets);
                find_resets(&values, middle..values.len(), &mut resets);
            }
            plan.run(&values, &resets, &mut row);
            for (i, &(from, to)) in windows.iter().enumerate() {
                let (from, to) = (from as usize, to as usize);
                let window = Window {
                    times: &times[from..to],
                    values: &values[from..to],
                    histograms: &[],
                    starts: Starts::default(),
                    start_ms: ends[i] - range_ms,
                    end_ms: ends[i],
                    step_ms: ends[i],
                };
                let mut annotations = Annotations::new();
                let mut notes =
                    test_notes(&mut annotations, "");
                let one = (range_kernel(name).unwrap().eval)(&window, &[], &mut notes).unwrap();
                match one {
                    Output::Float(v) => {
                        prop_assert!(plan.is_present(i));
                        prop_assert!(v.to_bits() == row[i].to_bits() || v.is_nan() && row[i].is_nan());
                    }
                    _ => prop_assert!(!plan.is_present(i)),
                }
            }
        }
    }

    /// Without a reset a counter's increase is a gauge's delta where zero does not limit it.
    #[test]
    fn increase_of_a_rising_counter_is_its_delta(rises in vec(0_u32..100, 2..30)) {
        let values: Vec<f64> =
            rises.iter().scan(1e9, |sum, r| { *sum += f64::from(*r); Some(*sum) }).collect();
        let samples = every(15, &values);
        let window = (15 * 40, 15 * 30);
        prop_assert_eq!(run("increase", &samples, window, &[]), run("delta", &samples, window, &[]));
    }
}
