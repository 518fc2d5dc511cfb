//! Label sets: what identifies a series.
//!
//! A set is one shared string, `len name len value ...`, so that a clone is a counter, equality is
//! a memory comparison and a set of ten labels costs one allocation. Lengths are written in ASCII
//! bytes, which keeps the whole a valid `str`: below 127 in one byte, else byte 127 and four
//! groups of seven bits.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::sample::go_quote;

/// The label that holds the metric name.
pub const NAME_LABEL: &str = "__name__";
/// The label that holds a classic histogram bucket's upper bound.
pub const BUCKET_LABEL: &str = "le";

const LONG: u8 = 127;

/// A label set: sorted by name bytewise, names unique, values not empty (an empty value is the
/// same as no label, Prometheus `labels.Labels`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

/// The same label name twice in one set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("duplicate label name {}", go_quote(.0))]
pub struct DuplicateLabel(pub String);

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl Labels {
    /// The set without labels, `{}`.
    pub fn empty() -> Self {
        Self(Arc::from(""))
    }

    /// A set from pairs in any order; pairs with an empty value are dropped.
    ///
    /// # Errors
    /// [`DuplicateLabel`] if a name occurs twice with a value.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, DuplicateLabel> {
        let mut pairs: Vec<(N, V)> =
            pairs.into_iter().filter(|(_, v)| !v.as_ref().is_empty()).collect();
        pairs.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        if let Some(w) = pairs.windows(2).find(|w| w[0].0.as_ref() == w[1].0.as_ref()) {
            return Err(DuplicateLabel(w[0].0.as_ref().to_owned()));
        }
        Ok(Self::from_sorted(pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref()))))
    }

    /// A set from pairs that are sorted by name, without duplicates and without empty values;
    /// the caller vouches for that (checked in debug builds).
    pub fn from_sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        let bytes = pairs.clone().map(|(n, v)| n.len() + v.len() + 2).sum();
        let mut text = String::with_capacity(bytes);
        for (name, value) in pairs {
            push_part(&mut text, name);
            push_part(&mut text, value);
        }
        let labels = Self(Arc::from(text));
        debug_assert!(
            labels.iter().zip(labels.iter().skip(1)).all(|(a, b)| a.0 < b.0)
                && labels.iter().all(|(_, v)| !v.is_empty()),
            "labels must be sorted, unique and not empty: {labels}"
        );
        labels
    }

    /// As [`Labels::from_sorted`] for pairs that come from elsewhere; `None` where they are not as they
    /// should be.
    pub fn try_from_sorted<'a>(
        pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Option<Self> {
        let is_good = pairs.clone().is_sorted_by(|a, b| a.0 < b.0)
            && pairs.clone().all(|(_, value)| !value.is_empty());
        is_good.then(|| Self::from_sorted(pairs))
    }

    /// The pairs in label order.
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter { rest: &self.0 }
    }

    /// The value of `name`, or the empty string where the set has no such label.
    pub fn get(&self, name: &str) -> &str {
        for (n, v) in self {
            match n.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return v,
                Ordering::Greater => break,
            }
        }
        ""
    }

    /// Whether the set has a label called `name`.
    pub fn has(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }

    /// The metric name, or the empty string.
    pub fn metric_name(&self) -> &str {
        self.get(NAME_LABEL)
    }

    /// Number of labels; walks the set.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether this is `{}`.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The set as bytes: equal sets have equal bytes and no others do. For hashing.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Where the set lies in memory: two that live have the same place only where one is a clone of
    /// the other.
    pub fn place(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// Bytes of memory that the set holds, shared with its clones.
    pub fn heap_bytes(&self) -> usize {
        self.0.len() + 2 * size_of::<usize>()
    }

    /// Only the labels whose name `keep` accepts.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        let mut text = String::with_capacity(self.0.len());
        for (name, value) in self {
            if keep(name) {
                push_part(&mut text, name);
                push_part(&mut text, value);
            }
        }
        if text.len() == self.0.len() { self.clone() } else { Self(Arc::from(text)) }
    }

    /// The hash that `limit_ratio` uses (contract 0.2): xxh64 over size-prefixed names and
    /// values, the prefix one byte below 255 and else byte 255 and three bytes little-endian.
    pub fn stable_hash(&self) -> u64 {
        let mut hash = xxhash_rust::xxh64::Xxh64::new(0);
        for (name, value) in self {
            for part in [name, value] {
                let n = part.len();
                if n < 255 {
                    hash.update(&[n.to_le_bytes()[0]]);
                } else {
                    let b = n.to_le_bytes();
                    hash.update(&[255, b[0], b[1], b[2]]);
                }
                hash.update(part.as_bytes());
            }
        }
        hash.digest()
    }
}

fn push_part(text: &mut String, part: &str) {
    let n = part.len();
    if n < LONG as usize {
        text.push(char::from(n.to_le_bytes()[0]));
    } else {
        assert!(n < 1 << 28, "a label part is at most 256 MiB");
        text.push(char::from(LONG));
        for shift in [21, 14, 7, 0] {
            text.push(char::from(((n >> shift) & 0x7f).to_le_bytes()[0]));
        }
    }
    text.push_str(part);
}

fn take_part<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let bytes = rest.as_bytes();
    let first = *bytes.first()?;
    let (head, n) = if first < LONG {
        (1, usize::from(first))
    } else {
        (5, bytes[1..5].iter().fold(0, |n, b| n << 7 | usize::from(*b)))
    };
    let part = &rest[head..head + n];
    *rest = &rest[head + n..];
    Some(part)
}

/// The pairs of a [`Labels`] in label order.
#[derive(Debug, Clone)]
pub struct LabelsIter<'a> {
    rest: &'a str,
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let name = take_part(&mut self.rest)?;
        let value = take_part(&mut self.rest)?;
        Some((name, value))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = LabelsIter<'a>;

    fn into_iter(self) -> LabelsIter<'a> {
        self.iter()
    }
}

/// Pairwise by name, then value; where one set is the beginning of the other, it is less
/// (Prometheus `labels.Compare`).
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `{a="b", c="d"}`: values Go-quoted, names quoted unless they are legacy names.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if is_legacy_name(name) {
                f.write_str(name)?;
            } else {
                f.write_str(&go_quote(name))?;
            }
            write!(f, "={}", go_quote(value))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether `name` is `[a-zA-Z_][a-zA-Z0-9_]*`, the label charset before UTF-8 names.
pub fn is_legacy_name(name: &str) -> bool {
    let b = name.as_bytes();
    b.first().is_some_and(|c| c.is_ascii_alphabetic() || *c == b'_')
        && b.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'_')
}

/// Changes a label set: set, delete, then [`LabelsBuilder::build`].
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Starts from `base`.
    pub fn new(base: &Labels) -> Self {
        Self { pairs: base.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// Sets `name` to `value`; an empty value deletes the label.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        if value.is_empty() {
            return self.del(name);
        }
        match self.pairs.iter_mut().find(|(n, _)| n == name) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => self.pairs.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes the label `name` if it is there.
    pub fn del(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    /// The value of `name` as it stands now, or the empty string.
    pub fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// The resulting set.
    pub fn build(&mut self) -> Labels {
        self.pairs.sort();
        Labels::from_sorted(self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_parts_survive() {
        for n in [126, 127, 128, 16_383, 100_000] {
            let value = "x".repeat(n);
            let labels = Labels::from_pairs([("a", value.as_str()), ("b", "y")]).unwrap();
            assert_eq!((labels.get("a"), labels.get("b")), (value.as_str(), "y"));
        }
    }

    #[test]
    fn a_name_may_not_occur_twice() {
        let err = Labels::from_pairs([("a", "1"), ("b", "2"), ("a", "3")]).unwrap_err();
        assert_eq!(err, DuplicateLabel("a".to_owned()));
    }

    #[test]
    fn printing_quotes_unusual_names() {
        let labels = Labels::from_pairs([("a.b", "c\"d"), ("__name__", "up")]).unwrap();
        assert_eq!(labels.to_string(), r#"{__name__="up", "a.b"="c\"d"}"#);
    }

    proptest! {
        /// Model: a sorted map without empty values.
        #[test]
        fn agrees_with_a_map(map in proptest::collection::btree_map(".{0,140}", ".{0,140}", 0..12)) {
            let labels = Labels::from_pairs(map.iter()).unwrap();
            let want: Vec<_> = map.iter().filter(|(_, v)| !v.is_empty())
                .map(|(n, v)| (n.as_str(), v.as_str())).collect();
            prop_assert_eq!(labels.iter().collect::<Vec<_>>(), want.clone());
            prop_assert_eq!(labels.len(), want.len());
            for (n, v) in &map {
                prop_assert_eq!(labels.get(n), v.as_str());
            }
        }

        /// Order is that of the lists of pairs.
        #[test]
        fn order_is_pairwise(
            a in proptest::collection::btree_map("[a-c]{1,2}", "[a-c]{1,2}", 0..4),
            b in proptest::collection::btree_map("[a-c]{1,2}", "[a-c]{1,2}", 0..4),
        ) {
            let order = Labels::from_pairs(a.iter()).unwrap().cmp(&Labels::from_pairs(b.iter()).unwrap());
            prop_assert_eq!(order, a.iter().cmp(b.iter()));
        }
    }
}
