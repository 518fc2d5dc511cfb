//! The annotations of the range functions (contract 3.14), each text once.

use model::{Labels, go_quote};

use super::window::Notes;
use crate::number;

/// What was done to histograms, as the annotations name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `+`, and the corrections of a rate.
    Addition,
    /// `-`, and the difference of a rate.
    Subtraction,
    /// `sum`, `avg` and their `_over_time`.
    Aggregation,
}

impl Operation {
    /// The word in the text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

/// Warning: floats and histograms of one series in one window.
pub fn mixed_floats_histograms(metric_name: &str) -> String {
    format!("encountered a mix of histograms and floats for metric name {}", go_quote(metric_name))
}

/// Warning: exponential and custom buckets in one series or group.
pub fn mixed_bucket_schemas(metric_name: &str) -> String {
    format!(
        "vector contains a mix of histograms with exponential and custom buckets schemas for \
         metric name {}",
        go_quote(metric_name)
    )
}

/// Info: a float function met histograms between floats.
pub fn ignored_histograms(metric_name: &str) -> String {
    format!(
        "ignored histograms in a range containing both floats and histograms for metric name {}",
        go_quote(metric_name)
    )
}

/// Warning: a counter function met a gauge histogram.
pub fn not_a_counter(metric_name: &str) -> String {
    format!("this native histogram metric is not a counter: {}", go_quote(metric_name))
}

/// Warning: a gauge function met a counter histogram.
pub fn not_a_gauge(metric_name: &str) -> String {
    format!("this native histogram metric is not a gauge: {}", go_quote(metric_name))
}

/// Warning: a sample's counting began before the sample ahead of it, and is not the same counting.
pub fn overlapping_starts(metric_name: &str) -> String {
    format!(
        "sample has start time that overlaps with previous sample timestamp for metric {}",
        go_quote(metric_name)
    )
}

/// Warning: the parameter of a quantile.
pub fn invalid_quantile(q: f64) -> String {
    format!("quantile value should be between 0 and 1, got {}", number::format_g(q))
}

/// Warning: histograms with a reset and histograms without one were put together.
pub fn conflicting_resets(operation: Operation) -> String {
    format!("conflicting counter resets during histogram {}", operation.as_str())
}

/// Info: custom bounds differed and were reduced to those in common.
pub fn mismatched_bounds(operation: Operation) -> String {
    format!("mismatched custom buckets were reconciled during {}", operation.as_str())
}

/// Info for `rate` and `increase` of floats: the name, or with `type-and-unit-labels` the type, is
/// not that of a counter. To be asked once per series that has a float in the answer.
pub fn maybe_not_a_counter(labels: &Labels, type_and_unit_labels: bool) -> Option<String> {
    let name = labels.metric_name();
    if name.is_empty() {
        return None;
    }
    if type_and_unit_labels {
        let kind = labels.get("__type__");
        return (kind != "counter" && kind != "histogram").then(|| {
            format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \
                 \"histogram\", got {}: {}",
                go_quote(kind),
                go_quote(name)
            )
        });
    }
    let counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|s| name.ends_with(s));
    (!counter).then(|| {
        format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
            go_quote(name)
        )
    })
}

impl Notes<'_> {
    /// Adds a warning at the place of these notes.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.annotations.warn(text, self.place);
    }

    /// Adds an info at the place of these notes.
    pub fn info(&mut self, text: impl Into<String>) {
        self.annotations.info(text, self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_known_by_name_or_by_type() {
        let name = |n: &str| Labels::from_pairs([("__name__", n)]).unwrap();
        assert_eq!(maybe_not_a_counter(&name("a_total"), false), None);
        assert_eq!(maybe_not_a_counter(&Labels::empty(), false), None);
        assert_eq!(
            maybe_not_a_counter(&name("up"), false).unwrap(),
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"up\""
        );
        let typed = Labels::from_pairs([("__name__", "up"), ("__type__", "counter")]).unwrap();
        assert_eq!(maybe_not_a_counter(&typed, true), None);
        assert_eq!(
            maybe_not_a_counter(&name("up"), true).unwrap(),
            "metric might not be a counter, __type__ label is not set to \"counter\" or \
             \"histogram\", got \"\": \"up\""
        );
    }
}
