//! Range functions of native histograms, and what they say about mixtures.

use std::sync::Arc;

use model::CounterResetHint::{self, Gauge, NotReset, Reset, Unknown};
use model::{FloatHistogram, Span};

use super::test_notes;
use crate::annotations::Annotations;
use crate::functions::dispatch::range_kernel;
use crate::functions::window::{Output, Starts, Window};
use crate::histogram::print::to_test_expression;

fn exponential(counts: [f64; 4], zero: f64, sum: f64) -> FloatHistogram {
    FloatHistogram {
        hint: Unknown,
        schema: 0,
        zero_threshold: 0.001,
        zero_count: zero,
        count: zero + counts.iter().sum::<f64>(),
        sum,
        positive_spans: vec![Span { offset: 0, length: 4 }],
        negative_spans: vec![],
        positive_buckets: counts.to_vec(),
        negative_buckets: vec![],
        custom_values: vec![],
    }
}

fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema: -53,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: counts.iter().sum(),
        sum: 1.0,
        positive_spans: vec![Span { offset: 0, length: u32::try_from(counts.len()).unwrap() }],
        positive_buckets: counts.to_vec(),
        custom_values: bounds.to_vec(),
        ..exponential([0.0; 4], 0.0, 0.0)
    }
}

fn hinted(hint: CounterResetHint, h: &FloatHistogram) -> FloatHistogram {
    FloatHistogram { hint, ..h.clone() }
}

/// The golden series: `nh` at 0 and 60 s, as Prometheus loaded it.
fn nh() -> Vec<(i64, FloatHistogram)> {
    vec![
        (0, exponential([3.0, 4.0, 0.0, 4.0], 2.0, 20.5)),
        (60_000, exponential([6.0, 7.0, 0.0, 6.0], 4.0, 40.0)),
    ]
}

/// `name(args, samples)` over `(start_s, end_s]`: the answer as text, and the annotations.
fn run_mixed(
    name: &str,
    floats: &[(i64, f64)],
    histograms: &[(i64, FloatHistogram)],
    (start_s, end_s): (i64, i64),
) -> (String, Vec<String>) {
    let (times, values): (Vec<i64>, Vec<f64>) = floats.iter().copied().unzip();
    let histograms: Vec<_> = histograms.iter().map(|(t, h)| (*t, Arc::new(h.clone()))).collect();
    let window = Window {
        times: &times,
        values: &values,
        histograms: &histograms,
        starts: Starts::default(),
        start_ms: start_s * 1000,
        end_ms: end_s * 1000,
        step_ms: end_s * 1000,
    };
    let mut annotations = Annotations::new();
    let mut notes = test_notes(&mut annotations, "m");
    let out = (range_kernel(name).unwrap().eval)(&window, &[0.5, 0.5], &mut notes).unwrap();
    let text = match out {
        Output::Nothing => "nothing".to_owned(),
        Output::Float(v) => v.to_string(),
        Output::Histogram(h) => to_test_expression(&h),
    };
    (text, annotations.iter().map(|(_, text, ..)| text.to_owned()).collect())
}

fn run(
    name: &str,
    histograms: &[(i64, FloatHistogram)],
    window: (i64, i64),
) -> (String, Vec<String>) {
    run_mixed(name, &[], histograms, window)
}

#[test]
fn rates_are_those_of_prometheus() {
    let got = run("increase", &nh(), (-30, 90));
    let want = "{{count:20 sum:39 z_bucket:4 z_bucket_w:0.001 counter_reset_hint:gauge \
                buckets:[6 6 0 4]}}";
    assert_eq!(got, (want.to_owned(), vec![]));
    let got = run("rate", &nh(), (-30, 90));
    let want = "{{count:0.16666666666666666 sum:0.325 z_bucket:0.03333333333333333 \
                z_bucket_w:0.001 counter_reset_hint:gauge buckets:[0.05 0.05 0 \
                0.03333333333333333]}}";
    assert_eq!(got, (want.to_owned(), vec![]));
}

#[test]
fn a_reset_adds_what_was_there_before() {
    let reset = vec![nh()[1].clone(), (120_000, nh()[0].1.clone()), (180_000, nh()[1].1.clone())];
    let (got, said) = run("increase", &reset, (60, 180));
    // The first histogram counts as empty, so that the rise is all of the last: no observation of
    // the first is added, because the reset is between it and the second.
    assert!(got.starts_with("{{count:23 sum:40 "), "{got}");
    assert!(said.is_empty());
    let later = vec![nh()[0].clone(), nh()[1].clone(), (120_000, nh()[0].1.clone())];
    let (got, _) = run("increase", &later, (0, 120));
    assert!(got.starts_with("{{count:23 sum:40 "), "{got}");
    let (got, _) = run("irate", &later, (0, 120));
    assert!(got.starts_with("{{count:0.21666666666666667 "), "{got}");
    assert_eq!(run("resets", &later, (0, 120)).0, "1");
    assert_eq!(run("changes", &later, (0, 120)).0, "2");
}

#[test]
fn gauges_and_counters_are_told_apart() {
    let gauges: Vec<_> = nh().iter().map(|(t, h)| (*t, hinted(Gauge, h))).collect();
    let not_counter = vec!["this native histogram metric is not a counter: \"m\"".to_owned()];
    let not_gauge = vec!["this native histogram metric is not a gauge: \"m\"".to_owned()];
    assert_eq!(run("rate", &gauges, (-30, 90)).1, not_counter);
    assert_eq!(run("irate", &gauges, (-30, 90)).1, not_counter);
    assert_eq!(run("delta", &gauges, (-30, 90)).1, [""; 0]);
    assert_eq!(run("delta", &nh(), (-30, 90)).1, not_gauge);
    assert_eq!(run("idelta", &nh(), (-30, 90)).1, not_gauge);
}

#[test]
fn mixtures_have_no_answer_and_say_so() {
    let floats = [(30_000, 1.0), (90_000, 2.0)];
    let mixed = vec!["encountered a mix of histograms and floats for metric name \"m\"".to_owned()];
    for name in ["rate", "increase", "delta", "irate", "idelta", "sum_over_time", "avg_over_time"] {
        let got = run_mixed(name, &floats, &nh(), (-30, 90));
        assert_eq!(got, ("nothing".to_owned(), mixed.clone()), "{name}");
    }
    let families = [nh()[0].clone(), (60_000, custom(&[1.0], &[20.0, 30.0]))];
    let text = "vector contains a mix of histograms with exponential and custom buckets schemas \
                for metric name \"m\"";
    for name in ["delta", "idelta", "sum_over_time", "avg_over_time"] {
        let (got, said) = run(name, &families, (-30, 90));
        assert_eq!(got, "nothing", "{name}");
        assert!(said.contains(&text.to_owned()), "{name} {said:?}");
    }
    assert_eq!(run_mixed("resets", &floats, &nh(), (-30, 90)).0, "3");
    assert_eq!(run_mixed("changes", &floats, &nh(), (-30, 90)).0, "3");
    assert_eq!(run_mixed("count_over_time", &floats, &nh(), (-30, 90)).0, "4");
    assert_eq!(run_mixed("last_over_time", &floats, &nh(), (-30, 90)).0, "2");
    assert!(run_mixed("first_over_time", &floats, &nh(), (-30, 90)).0.starts_with("{{count:13"));
    assert_eq!(run_mixed("ts_of_first_over_time", &floats, &nh(), (-30, 90)).0, "0");
    assert_eq!(run_mixed("ts_of_last_over_time", &floats, &nh(), (-30, 90)).0, "90");
}

#[test]
fn float_functions_ignore_histograms() {
    let floats = [(30_000, 1.0), (90_000, 2.0)];
    let text = "ignored histograms in a range containing both floats and histograms for metric \
                name \"m\"";
    for name in [
        "min_over_time",
        "max_over_time",
        "quantile_over_time",
        "stddev_over_time",
        "stdvar_over_time",
        "mad_over_time",
        "ts_of_min_over_time",
        "ts_of_max_over_time",
        "deriv",
        "predict_linear",
        "double_exponential_smoothing",
    ] {
        let (got, said) = run_mixed(name, &floats, &nh(), (-30, 90));
        assert_ne!(got, "nothing", "{name}");
        assert_eq!(said, [text], "{name}");
        assert_eq!(run(name, &nh(), (-30, 90)), ("nothing".to_owned(), vec![]), "{name}");
    }
}

#[test]
fn sums_and_means_say_what_they_reconciled() {
    let list = [(0, hinted(Reset, &nh()[0].1)), (60_000, hinted(NotReset, &nh()[1].1))];
    let (got, said) = run("sum_over_time", &list, (-30, 90));
    assert_eq!(got, "{{count:36 sum:60.5 z_bucket:6 z_bucket_w:0.001 buckets:[9 11 0 10]}}");
    assert_eq!(said, ["conflicting counter resets during histogram aggregation"]);
    let list = [(0, custom(&[1.0, 2.0], &[1.0, 2.0, 3.0])), (1, custom(&[1.0], &[3.0, 5.0]))];
    let (got, said) = run("avg_over_time", &list, (-30, 90));
    assert_eq!(got, "{{schema:-53 count:7 sum:1 custom_values:[1] buckets:[2 5]}}");
    assert_eq!(said, ["mismatched custom buckets were reconciled during aggregation"]);
    let (_, said) = run("increase", &list, (-30, 90));
    assert_eq!(said, ["mismatched custom buckets were reconciled during subtraction"]);
}
