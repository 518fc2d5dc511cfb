//! The public compliance queries for `PromQL`: every shape of them, over a fleet that is made for
//! them, each in all its variants.

use crate::random_promql::words::DATES;
use crate::remote_write::{self, TimeSeries};
use crate::rng::Rng;

/// Time of the first sample, ms; no multiple of a step.
pub const FIRST_MS: i64 = 1_700_000_003_217;
/// Length of the data, ms.
pub const LENGTH_MS: i64 = 50 * 60_000;

const MEMORY: &str = "demo_memory_usage_bytes";
const CPU: &str = "demo_cpu_usage_seconds_total";
const DISK: &str = "demo_disk_usage_bytes";
const BATCH: &str = "demo_batch_last_success_timestamp_seconds";
const BUCKETS: &str = "demo_api_request_duration_seconds_bucket";

const INSTANCES: [&str; 3] = ["demo.one:10000", "demo.two:10001", "demo.two:10002"];

const AGGREGATIONS: &[&str] = &["sum", "avg", "max", "min", "count", "stddev", "stdvar"];
const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^"];
const COMPARISONS: &[&str] = &["==", "!=", "<", ">", "<=", ">="];
const QUANTILES: &[&str] = &["-0.5", "0.1", "0.5", "0.75", "0.95", "0.90", "0.99", "1", "1.5"];
const RANGES: &[&str] = &["1s", "15s", "1m", "5m", "15m", "1h"];
const OFFSETS: &[&str] = &["1m", "5m", "10m", "-1m", "-5m", "-10m"];
const GROUPINGS: &[&str] = &["", "instance", "instance, type", "nonexistent"];
const MATH: &[&str] = &["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "round"];

/// The series; the same for a seed.
pub fn fleet(seed: u64) -> Vec<TimeSeries> {
    let mut rng = Rng::new(seed);
    let mut all = Vec::new();
    for instance in INSTANCES {
        let mut add = |name: &str, extra: &[(&str, &str)], value: &mut dyn FnMut(i64) -> f64| {
            let mut labels = vec![("__name__", name), ("instance", instance), ("job", "demo")];
            labels.extend(extra);
            labels.sort_unstable();
            let times =
                (0..).map(|i| FIRST_MS + i * 15_000).take_while(|t| *t < FIRST_MS + LENGTH_MS);
            let samples: Vec<(i64, f64)> = times.map(|t| (t, value(t))).collect();
            all.push(remote_write::series(&labels, &samples));
        };
        for kind in ["buffers", "cached", "free", "used"] {
            add(MEMORY, &[("type", kind)], &mut |_| 1e9 + (rng.unit() * 1e8).floor());
        }
        for mode in ["idle", "system", "user"] {
            let mut total = rng.unit() * 1e5;
            add(CPU, &[("mode", mode)], &mut |_| {
                total = if rng.one_in(80) { 0.0 } else { total + rng.unit() * 15.0 };
                total
            });
        }
        let cpus = [2.0, 4.0, 4.0][usize::try_from(rng.below(3)).expect("an index")];
        add("demo_num_cpus", &[], &mut |_| cpus);
        let mut used = 1e10;
        add(DISK, &[], &mut |_| {
            used += rng.unit() * 1e6;
            used
        });
        add("demo_disk_total_bytes", &[], &mut |_| 2.6e11);
        let mut success = 1_700_000_000.0;
        add(BATCH, &[], &mut |_| {
            success += if rng.one_in(10) { 150.0 } else { 0.0 };
            success
        });
        add("demo_intermittent_metric", &[], &mut |t| {
            if t / 120_000 % 2 == 0 { f64::from_bits(0x7ff0_0000_0000_0002) } else { 1.0 }
        });
        for path in ["/api/bar", "/api/foo"] {
            let mut counts = [0.0; 6];
            let bounds = ["0.0001", "0.001", "0.01", "0.1", "1", "+Inf"];
            let pace = 1.0 + rng.unit() * 20.0;
            for (i, le) in bounds.iter().enumerate() {
                let labels = [("le", *le), ("method", "GET"), ("path", path), ("status", "200")];
                let share = f64::from(u32::try_from(i + 1).expect("small")) / 6.0;
                add(BUCKETS, &labels, &mut |_| {
                    counts[i] += (pace * share).floor();
                    counts[i]
                });
            }
        }
    }
    all
}

/// All queries.
pub fn queries() -> Vec<String> {
    let mut all = literals();
    selectors(&mut all);
    aggregations(&mut all);
    operators(&mut all);
    over_time(&mut all);
    functions(&mut all);
    histograms(&mut all);
    all
}

fn literals() -> Vec<String> {
    let texts = [
        "42",
        "1.234",
        ".123",
        "1.23e-3",
        "0x3d",
        "Inf",
        "+Inf",
        "-Inf",
        "NaN",
        "\"a string\"",
        "1 * 2 + 4 / 6 - 10 % 2 ^ 2",
        "-2^2",
        "time()",
        "vector(1.23)",
        "vector(time())",
        "pi()",
    ];
    texts.map(str::to_owned).into()
}

fn selectors(all: &mut Vec<String>) {
    for matchers in [
        "",
        "{}",
        "{type=\"free\"}",
        "{type!=\"free\"}",
        "{type=~\"f.*\"}",
        "{type!~\"f.*\"}",
        "{type=~\"free|used\",instance!=\"demo.one:10000\"}",
        "{type=\"\"}",
        "{nonexistent=\"\"}",
        "{nonexistent!=\"\"}",
        "{instance=~\"demo.*\",type=~\".+\"}",
    ] {
        all.push(format!("{MEMORY}{matchers}"));
    }
    for text in [
        "nonexistent_metric_name",
        "{__name__=\"demo_num_cpus\"}",
        "{__name__=~\"demo_.*usage.*\"}",
        "{__name__=~\".*\"}",
        "{type=~\".*\"}",
        "{type=\"free\", instance!=\"demo.one:10000\"}",
        "demo_intermittent_metric",
    ] {
        all.push(text.to_owned());
    }
    for offset in OFFSETS {
        all.push(format!("{MEMORY} offset {offset}"));
        all.push(format!("demo_num_cpus offset {offset} @ 1700001234.5"));
    }
    for at in ["1700001234.567", "start()", "end()"] {
        all.push(format!("{MEMORY} @ {at}"));
        all.push(format!("rate({CPU}[5m] @ {at})"));
    }
}

fn aggregations(all: &mut Vec<String>) {
    for op in AGGREGATIONS.iter().chain(&["group"]) {
        all.push(format!("{op}({MEMORY})"));
        all.push(format!("{op}(nonexistent_metric_name)"));
        for labels in GROUPINGS {
            all.push(format!("{op} by({labels}) ({MEMORY})"));
            all.push(format!("{op} without({labels}) ({MEMORY})"));
        }
    }
    for op in ["topk", "bottomk"] {
        for grouping in ["", "by(instance)", "without(instance)", "without()"] {
            all.push(format!("{op} {grouping} (3, {MEMORY})"));
        }
    }
    for q in QUANTILES {
        all.push(format!("quantile({q}, {MEMORY})"));
        all.push(format!("quantile by(type) ({q}, {MEMORY})"));
    }
    all.push(format!("avg(max by(type) ({MEMORY}))"));
    all.push(format!("count(go_memstats or {MEMORY})"));
    all.push(format!("count_values(\"value\", {BUCKETS})"));
    all.push("count_values by(instance) (\"value\", demo_num_cpus)".to_owned());
}

fn operators(all: &mut Vec<String>) {
    let both = || ARITHMETIC.iter().chain(COMPARISONS);
    for op in both() {
        all.push(format!("{MEMORY} {op} 1.2345"));
        all.push(format!("0.12345 {op} {MEMORY}"));
        all.push(format!("(1 * 2 + 4 / 6 - (10%7)^2) {op} {MEMORY}"));
        all.push(format!("{MEMORY} {op} (1 * 2 + 4 / 6 - 10)"));
        all.push(format!("{MEMORY} {op} on(instance, job, type) {MEMORY}"));
        all.push(format!("{MEMORY} {op} ignoring(type) {MEMORY}"));
        all.push(format!(
            "sum by(instance, type) ({MEMORY}) {op} on(instance, type) group_left(job) {MEMORY}"
        ));
        all.push(format!(
            "{MEMORY} {op} on(instance, type) group_right(job) sum by(instance, type) ({MEMORY})"
        ));
    }
    for op in COMPARISONS {
        all.push(format!("demo_num_cpus + (1 {op} bool 2)"));
        all.push(format!("{MEMORY} {op} bool 1.2345"));
        all.push(format!("1.2345 {op} bool {MEMORY}"));
        all.push(format!("{MEMORY} {op} bool on(instance, job, type) {MEMORY}"));
    }
    for op in ["and", "or", "unless"] {
        all.push(format!("{MEMORY}{{type=~\"free|used\"}} {op} {MEMORY}{{type=~\"used|cached\"}}"));
        all.push(format!("{MEMORY} {op} on(instance) demo_num_cpus > 2"));
        all.push(format!("{MEMORY} {op} ignoring(type) demo_num_cpus"));
        all.push(format!("demo_num_cpus {op} nonexistent_metric_name"));
    }
    for text in [
        "demo_cpu_usage_seconds_total / on(instance, job) group_left demo_num_cpus",
        "demo_num_cpus / on(instance, job) group_right demo_cpu_usage_seconds_total",
        "demo_cpu_usage_seconds_total / ignoring(mode) group_left demo_num_cpus",
        "demo_disk_usage_bytes / demo_disk_total_bytes * 100",
        "demo_num_cpus * Inf",
        "demo_num_cpus * -Inf",
        "demo_num_cpus * NaN",
        "NaN == demo_num_cpus",
        "-demo_num_cpus",
        "+demo_num_cpus",
        "-(demo_num_cpus) ^ 2",
        "demo_num_cpus atan2 demo_disk_total_bytes",
    ] {
        all.push(text.to_owned());
    }
}

fn over_time(all: &mut Vec<String>) {
    for range in RANGES {
        for op in AGGREGATIONS.iter().chain(&["last", "present", "absent"]) {
            all.push(format!("{op}_over_time({MEMORY}[{range}])"));
        }
        all.push(format!("absent_over_time(demo_intermittent_metric[{range}])"));
        all.push(format!("count_over_time(demo_intermittent_metric[{range}])"));
        for q in QUANTILES {
            all.push(format!("quantile_over_time({q}, {MEMORY}[{range}])"));
        }
        for f in ["rate", "increase", "delta", "deriv", "idelta", "irate", "resets", "changes"] {
            all.push(format!("{f}({CPU}[{range}])"));
        }
        all.push(format!("changes({BATCH}[{range}])"));
        all.push(format!("predict_linear({DISK}[{range}], 600)"));
        for offset in OFFSETS {
            all.push(format!("rate({CPU}[{range}] offset {offset})"));
        }
    }
    for f in ["rate", "increase", "delta", "deriv", "idelta", "irate", "resets", "changes"] {
        all.push(format!("{f}(nonexistent_metric_name[5m])"));
    }
    for (smoothing, trend) in [("0.1", "0.1"), ("0.5", "0.3"), ("0.8", "0.8")] {
        all.push(format!("double_exponential_smoothing({DISK}[5m], {smoothing}, {trend})"));
    }
    all.push(format!("max_over_time((time() - max({BATCH}) < 1000)[5m:10s] offset 5m)"));
    all.push(format!("avg_over_time(rate({CPU}[1m])[2m:10s])"));
    all.push(format!("min_over_time(sum by(instance) (rate({CPU}[1m]))[10m:])"));
    all.push(format!("quantile_over_time(0.9, {MEMORY}[10m:37s] @ end())"));
}

fn functions(all: &mut Vec<String>) {
    for f in MATH {
        all.push(format!("{f}({MEMORY})"));
        all.push(format!("{f}(-{MEMORY})"));
    }
    for f in ["sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh"] {
        all.push(format!("{f}(demo_num_cpus / 4)"));
    }
    for f in ["acosh", "atanh", "deg", "rad", "sgn", "timestamp", "scalar"] {
        all.push(format!("{f}(demo_num_cpus)"));
    }
    for f in DATES {
        all.push(format!("{f}()"));
        all.push(format!("{f}({BATCH} offset 1m)"));
        all.push(format!("{f}({BATCH} offset -7m)"));
    }
    for text in [
        "timestamp(timestamp(demo_num_cpus))",
        "timestamp(demo_memory_usage_bytes * 1)",
        "timestamp(-demo_memory_usage_bytes)",
        "clamp_min(demo_memory_usage_bytes, 2)",
        "clamp_max(demo_memory_usage_bytes, 1000000000)",
        "clamp(demo_memory_usage_bytes, 0, 1)",
        "clamp(demo_memory_usage_bytes, 0, 1000000000000)",
        "clamp(demo_memory_usage_bytes, 1000000000000, 0)",
        "round(demo_memory_usage_bytes, 0.1)",
        "absent(demo_memory_usage_bytes)",
        "absent(nonexistent_metric_name)",
        "absent(nonexistent_metric_name{a=\"b\",c!=\"d\"})",
        "scalar(nonexistent_metric_name)",
        "scalar(demo_num_cpus{instance=\"demo.one:10000\"})",
    ] {
        all.push(text.to_owned());
    }
    for (destination, replacement, source, regex) in [
        ("job", "destination-value-$1", "instance", "demo.(.*):10000"),
        ("job", "destination-value-$1", "instance", "host:(.*)"),
        ("job", "$1-$2", "instance", "local(.*):(.*)"),
        ("job", "value-$1", "nonexistent-src", "source-value-(.*)"),
        ("job", "value-$1", "nonexistent-src", "(.*)"),
        ("job", "value-$1", "instance", "non-matching-regex"),
        ("job", "", "dst", ".*"),
        ("job", "value-$1", "src", "(.*"),
        ("~invalid", "", "src", "(.*)"),
        ("instance", "", "", ""),
    ] {
        all.push(format!(
            "label_replace(demo_num_cpus, \"{destination}\", \"{replacement}\", \"{source}\", \"{regex}\")"
        ));
    }
    for arguments in [
        "\"new_label\", \"-\", \"instance\", \"job\"",
        "\"job\", \"-\", \"instance\", \"job\"",
        "\"job\", \"-\", \"instance\"",
        "\"~invalid\", \"-\", \"instance\"",
        "\"job\", \"-\"",
    ] {
        all.push(format!("label_join(demo_num_cpus, {arguments})"));
    }
}

fn histograms(all: &mut Vec<String>) {
    for q in QUANTILES {
        all.push(format!("histogram_quantile({q}, rate({BUCKETS}[1m]))"));
        all.push(format!("histogram_quantile({q}, sum by(le) (rate({BUCKETS}[5m])))"));
    }
    all.push("histogram_quantile(0.9, nonexistent_metric)".to_owned());
    all.push(format!("histogram_quantile(0.9, {MEMORY})"));
    all.push("histogram_quantile(0.9, {__name__=~\"demo_api_request_duration_.+\"})".to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_many_different_queries() {
        let all = queries();
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(all.len(), different.len());
        assert!(all.len() > 500, "{}", all.len());
    }
}
