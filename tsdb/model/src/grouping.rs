//! Series by some of their labels: what an aggregation needs to know of a series.

use std::collections::HashMap;

use crate::labels::Labels;

/// Which labels count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFilter {
    names: Vec<String>,
    keep: bool,
}

impl LabelFilter {
    /// Only labels with these names.
    pub fn only(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), keep: true }
    }

    /// All labels but those with these names.
    pub fn without(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), keep: false }
    }

    /// Whether a label called `name` counts.
    pub fn keeps(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name) == self.keep
    }

    /// The labels of `labels` that count.
    pub fn apply(&self, labels: &Labels) -> Labels {
        labels.filtered(|name| self.keeps(name))
    }
}

/// Series by class: those whose labels are equal as far as they count are in one.
#[derive(Debug, Default)]
pub struct SeriesGroups {
    /// The labels of each class that count, different from class to class.
    pub labels: Vec<Labels>,
    /// The class of each series.
    pub of: Vec<u32>,
}

impl SeriesGroups {
    /// Adds a series with these labels; `seen` has the classes so far.
    pub fn push(&mut self, seen: &mut HashMap<Labels, u32>, labels: Labels) {
        let class = *seen.entry(labels).or_insert_with_key(|labels| {
            self.labels.push(labels.clone());
            class(self.labels.len() - 1)
        });
        self.of.push(class);
    }

    /// What of the labels of series `i` counts; shared with its class.
    pub fn labels_of(&self, i: usize) -> &Labels {
        &self.labels[self.of[i] as usize]
    }

    /// Bytes of memory held, nearly.
    pub fn heap_bytes(&self) -> usize {
        self.of.capacity() * size_of::<u32>()
            + self.labels.iter().map(|l| l.heap_bytes() + size_of::<Labels>()).sum::<usize>()
    }
}

fn class(n: usize) -> u32 {
    u32::try_from(n).expect("fewer than 2^32 series in a selection")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_keeps_what_it_lists_or_all_else() {
        let labels = Labels::from_pairs([("a", "1"), ("b", "2"), ("c", "3")]).unwrap();
        assert_eq!(LabelFilter::only(["b", "x"]).apply(&labels).to_string(), r#"{b="2"}"#);
        assert_eq!(
            LabelFilter::without(["b", "x"]).apply(&labels).to_string(),
            r#"{a="1", c="3"}"#
        );
    }

    #[test]
    fn equal_labels_are_one_class() {
        let (mut groups, mut seen) = (SeriesGroups::default(), HashMap::new());
        for v in ["x", "y", "x", "", "y"] {
            groups.push(&mut seen, Labels::from_pairs([("l", v)]).unwrap());
        }
        assert_eq!(groups.of, [0, 1, 0, 2, 1]);
        assert_eq!(groups.labels_of(4).get("l"), "y");
    }
}
