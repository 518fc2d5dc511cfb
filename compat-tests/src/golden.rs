//! A small data set and what Prometheus 3.5.3 answered to queries over it (prometheus contract,
//! appendix A).

use crate::remote_write::{Histogram, Span, TimeSeries, histogram_series, series};

/// The time (ms) that the times of the data set count from.
pub const BASE_MS: i64 = 1_700_000_000_000;

/// The floats of the data set.
pub fn floats() -> Vec<TimeSeries> {
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let every = |seconds: i64, values: &[f64]| -> Vec<(i64, f64)> {
        (0..).zip(values).map(|(i, v)| (BASE_MS + i * seconds * 1_000, *v)).collect()
    };
    let named = |labels: &[(&str, &str)], seconds: i64, values: &[f64]| {
        series(labels, &every(seconds, values))
    };
    let b: Vec<f64> = (0..=10).map(|i| 100.0 + 10.0 * f64::from(i)).collect();
    let a = [0.0, 10.0, 20.0, 30.0, 40.0, 5.0, 15.0, 25.0, 35.0, 45.0, 55.0];
    let mut all = vec![
        named(&[("__name__", "c_total"), ("j", "a")], 15, &a),
        named(&[("__name__", "c_total"), ("j", "b")], 15, &b),
        named(&[("__name__", "g"), ("j", "a")], 30, &[1.0, 3.0, f64::NAN, 4.0, 2.0]),
        named(&[("__name__", "g"), ("j", "b")], 30, &[7.0, 7.0, 8.0, 8.0, 1.0]),
        named(&[("__name__", "s")], 30, &[1.0, 2.0, stale]),
        named(&[("__name__", "big")], 1, &[1e308]),
        named(&[("__name__", "big"), ("x", "2")], 1, &[1e308]),
        named(&[("__name__", "big"), ("x", "3")], 1, &[-1e308]),
    ];
    for (name, buckets) in [
        ("h_bucket", vec![("0.1", 10.0), ("0.5", 30.0), ("1", 60.0), ("+Inf", 100.0)]),
        ("hn_bucket", vec![("-1", 0.0), ("0", 20.0), ("+Inf", 20.0)]),
    ] {
        for (bound, count) in buckets {
            all.push(named(&[("__name__", name), ("le", bound)], 1, &[count]));
        }
    }
    all
}

/// The native histograms of the data set.
pub fn histograms() -> Vec<TimeSeries> {
    let span = |offset, length| Span { offset, length };
    let exponential = |seconds: i64, count, sum, zero, deltas: &[i64]| Histogram {
        count_int: Some(count),
        zero_count_int: Some(zero),
        sum,
        schema: 0,
        zero_threshold: 0.001,
        positive_spans: vec![span(0, 2), span(1, 1)],
        positive_deltas: deltas.to_vec(),
        timestamp: BASE_MS + seconds * 1_000,
        ..Histogram::default()
    };
    let negative = Histogram {
        count_int: Some(10),
        zero_count_int: Some(2),
        sum: -5.0,
        schema: 1,
        zero_threshold: 0.01,
        negative_spans: vec![span(1, 2)],
        negative_deltas: vec![5, -2],
        timestamp: BASE_MS,
        ..Histogram::default()
    };
    let custom = Histogram {
        count_int: Some(10),
        zero_count_int: Some(0),
        sum: 8.0,
        schema: -53,
        positive_spans: vec![span(0, 4)],
        positive_deltas: vec![1, 1, 1, 1],
        custom_values: vec![0.5, 1.0, 2.5],
        timestamp: BASE_MS,
        ..Histogram::default()
    };
    vec![
        histogram_series(
            "nh",
            vec![
                exponential(0, 13, 20.5, 2, &[3, 1, 0]),
                exponential(60, 23, 40.0, 4, &[6, 1, -1]),
            ],
        ),
        histogram_series("nn", vec![negative]),
        histogram_series("cb", vec![custom]),
    ]
}

/// Queries over [`floats`], each with seconds behind the base.
pub const FLOAT_QUERIES: &[(&str, &[i64])] = &[
    ("c_total[1m]", &[60]),
    ("rate(c_total[1m])", &[60, 170]),
    ("increase(c_total[1m])", &[60]),
    ("increase(c_total[2m])", &[150]),
    ("rate(c_total[40s])", &[100]),
    ("irate(c_total[1m])", &[75]),
    ("idelta(c_total[1m])", &[75]),
    ("resets(c_total[5m])", &[150]),
    ("changes(g[5m])", &[120]),
    ("deriv(c_total{j=\"b\"}[1m])", &[60]),
    ("predict_linear(c_total{j=\"b\"}[1m],60)", &[65]),
    ("c_total", &[0, 449, 450]),
    ("s", &[59, 60]),
    ("s[2m]", &[90]),
    ("sum(g)", &[0, 60]),
    ("avg(g)", &[0, 60]),
    ("min(g)", &[60]),
    ("max(g)", &[60]),
    ("count(g)", &[60]),
    ("stddev(g)", &[0]),
    ("quantile(0.25,g)", &[0]),
    ("topk(1,g)", &[60]),
    ("topk(5,g)", &[60]),
    ("bottomk(1,g)", &[60]),
    ("sum(big)", &[0]),
    ("avg(big)", &[0]),
    ("avg_over_time(g[5m])", &[120]),
    ("min_over_time(g[5m])", &[120]),
    ("quantile_over_time(0.5,g[5m])", &[120]),
    ("stdvar_over_time(g{j=\"b\"}[5m])", &[120]),
    ("count_values(\"v\",g)", &[60]),
    ("histogram_quantile(0.5,h_bucket)", &[0]),
    ("histogram_quantile(0.05,h_bucket)", &[0]),
    ("histogram_quantile(0.95,h_bucket)", &[0]),
    ("histogram_quantile(1.5,h_bucket)", &[0]),
    ("histogram_quantile(0.5,hn_bucket)", &[0]),
    ("histogram_fraction(0.1,0.75,h_bucket)", &[0]),
    ("c_total / on(j) g", &[0]),
    ("c_total > 50", &[0]),
    ("50 < c_total", &[0]),
    ("c_total > bool 50", &[0]),
    ("c_total == on(j) c_total", &[0]),
    ("g or s", &[30]),
    ("g unless on() s", &[30]),
    ("label_replace(g,\"k\",\"$1-x\",\"j\",\"(a)\")", &[0]),
    ("label_replace(g,\"j\",\"\",\"j\",\"a\")", &[0]),
    ("label_join(g,\"k\",\"-\",\"j\",\"nope\",\"j\")", &[0]),
    ("absent(nope{a=\"1\",b!=\"2\",c=\"3\",c=\"4\"})", &[0]),
    ("c_total{j=\"b\"}[1m:25s]", &[75]),
    ("c_total{j=\"b\"} @ 1700000030", &[500]),
    ("c_total{j=\"b\"} offset 30s", &[60]),
    ("timestamp(c_total{j=\"b\"})", &[70]),
    ("timestamp(-c_total{j=\"b\"})", &[70]),
    ("round(vector(2.5))", &[0]),
    ("round(vector(-2.5))", &[0]),
    ("round(vector(123.456),0.1)", &[0]),
    ("clamp(vector(5),3,1)", &[0]),
    ("days_in_month(vector(951782400))", &[0]),
    ("day_of_week()", &[0]),
    ("5 % -3", &[0]),
    ("-5 % 3", &[0]),
    ("2 ^ -1", &[0]),
    ("vector(1) atan2 vector(2)", &[0]),
    ("atan2(1,2)", &[0]),
];

/// Queries over [`histograms`].
pub const HISTOGRAM_QUERIES: &[(&str, &[i64])] = &[
    ("nh", &[0, 60]),
    ("nn", &[0]),
    ("cb", &[0]),
    ("histogram_quantile(0.1,nh)", &[0]),
    ("histogram_quantile(0.5,nh)", &[0]),
    ("histogram_quantile(0.99,nh)", &[0]),
    ("histogram_fraction(0,1,nh)", &[0]),
    ("histogram_fraction(0.7,5,nh)", &[0]),
    ("histogram_stddev(nh)", &[0]),
    ("histogram_avg(nh)", &[0]),
    ("histogram_quantile(0.5,nn)", &[0]),
    ("histogram_quantile(0.2,nn)", &[0]),
    ("histogram_quantile(0.05,cb)", &[0]),
    ("histogram_quantile(0.5,cb)", &[0]),
    ("histogram_quantile(0.99,cb)", &[0]),
    ("histogram_stdvar(cb)", &[0]),
    ("increase(nh[2m])", &[90]),
    ("rate(nh[2m])", &[90]),
    ("nh - nh", &[0]),
    ("nh * 2", &[0]),
    ("2 / nh", &[0]),
];
