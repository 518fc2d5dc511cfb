//! The vocabulary of random queries.

/// Metrics of the fleet, and one that is not there.
pub(super) const METRICS: &[&str] = &[
    "c_total",
    "c_total",
    "c_total",
    "g",
    "g",
    "g",
    "flag",
    "flag",
    "gap",
    "gap",
    "h_bucket",
    "h_count",
    "h_sum",
    "broken_bucket",
    "huge",
    "idle_total",
    "once",
    "offset",
    "unix",
    "target_info",
    "none",
];

/// Matchers. Some find nothing in most metrics.
pub(super) const MATCHERS: &[&str] = &[
    "job=\"a\"",
    "job!=\"a\"",
    "job=~\"a|b\"",
    "job!~\"a.*\"",
    "instance=\"10\"",
    "instance=\"\"",
    "instance!=\"\"",
    "instance=~\"1.*\"",
    "instance=~\"[12]|\"",
    "instance!~\".+\"",
    "code=\"200\"",
    "code!=\"200\"",
    "code=~\"(2|5)00\"",
    "le=\"+Inf\"",
    "le!=\"+Inf\"",
    "\"label.dots\"=\"a\"",
    "\"label.döts\"=~\"ä.*\"",
    "job=~\"(?i)A\"",
    "none=\"\"",
    "none=\"x\"",
];

/// Numbers as they are written.
pub(super) const NUMBERS: &[&str] = &[
    "0", "1", "2", "3", "-1", "0.5", "10", "100", "1e3", "-0.0", "Inf", "-Inf", "NaN", "1e308",
    "1e-9", "0.1", "60", "7",
];

/// Lengths of ranges and offsets.
pub(super) const SPANS: &[&str] =
    &["1m", "2m", "5m", "30s", "15s", "45s", "90s", "10m", "1m1s1ms", "1s", "20m", "61", "37.5"];

/// Arithmetic between vectors.
pub(super) const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];

/// Comparisons.
pub(super) const COMPARISONS: &[&str] = &["==", "!=", "<", "<=", ">", ">="];

/// Aggregations without a parameter.
pub(super) const AGGREGATIONS: &[&str] =
    &["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"];

/// How to group; empty is not at all.
pub(super) const GROUPINGS: &[&str] = &["", "by", "by", "without"];

/// Labels to group and match by.
pub(super) const LABELS: &[&str] = &[
    "job",
    "instance",
    "code",
    "le",
    "__name__",
    "none",
    "\"label.döts\"",
    "\"label.dots\"",
    "kind",
    "version",
];

/// Functions of a range vector alone.
pub(super) const RANGES: &[&str] = &[
    "rate",
    "rate",
    "rate",
    "increase",
    "increase",
    "delta",
    "irate",
    "idelta",
    "resets",
    "changes",
    "deriv",
    "avg_over_time",
    "sum_over_time",
    "count_over_time",
    "min_over_time",
    "max_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "last_over_time",
    "present_over_time",
    "absent_over_time",
];

/// The same, behind a flag in 3.5.
pub(super) const EXPERIMENTAL_RANGES: &[&str] = &[
    "mad_over_time",
    "mad_over_time",
    "ts_of_min_over_time",
    "ts_of_max_over_time",
    "ts_of_last_over_time",
];

/// Functions of each element alone.
pub(super) const ELEMENTWISE: &[&str] = &[
    "abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sin", "cos", "tan", "asin",
    "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "deg", "rad", "sgn",
    "round",
];

/// Functions of Unix times.
pub(crate) const DATES: &[&str] = &[
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "year",
];

/// Functions whose result has an order.
pub(super) const SORTS: &[&str] = &["sort", "sort_desc"];

/// Arguments of histogram functions as one would write them.
pub(super) const BUCKETS: &[&str] = &[
    "rate(h_bucket[5m])",
    "sum by (le) (rate(h_bucket[5m]))",
    "sum by (le, job) (increase(h_bucket[2m]))",
    "sum without (instance) (broken_bucket)",
];

/// What the newest Prometheus knows, or answers in another way than 3.5.
pub(super) const FUTURE: &[&str] = &[
    "first_over_time(g[5m])",
    "ts_of_first_over_time(gap[5m])",
    "histogram_quantiles(h_bucket, \"q\", 0.5, 0.9)",
    "vector(start())",
    "vector(end() - step() - range())",
    "vector(max_of(1, min_of(2, 3)))",
    "(g + on (job, instance) fill (0) gap)",
    "-(flag > 0 or -(flag < 0))",
    "c_total < on (job, instance) flag",
];
