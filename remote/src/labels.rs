//! The limits and rules that a label set must pass before it names a series.

use crate::error::{DecodeError, clipped};
use model::{Labels, NAME_LABEL, go_quote, is_legacy_name};
use std::fmt::Write as _;

/// Limits on one label set (limit L10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelLimits {
    /// Labels in a set, the metric name included.
    pub labels: usize,
    /// Bytes of a label name.
    pub name_bytes: usize,
    /// Bytes of a label value.
    pub value_bytes: usize,
    /// Bytes of all names and values of a set.
    pub set_bytes: usize,
}

impl Default for LabelLimits {
    fn default() -> Self {
        Self { labels: 64, name_bytes: 1024, value_bytes: 4096, set_bytes: 16 << 10 }
    }
}

/// Why a label set names no series; other series of the request are not affected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// The labels are not protobuf.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A name or value is not text.
    #[error("label {part} is not valid UTF-8")]
    NotUtf8 {
        /// `name` or `value`.
        part: &'static str,
    },
    /// A label without a name.
    #[error("label name is empty")]
    EmptyName,
    /// No `__name__`, or an empty one.
    #[error("invalid metric name or labels, got {labels}")]
    NoMetricName {
        /// The set, cut to some 200 bytes.
        labels: String,
    },
    /// A name occurs twice with a value.
    #[error("invalid labels for series, labels {labels}, duplicated label {name}")]
    Duplicate {
        /// The set, cut to some 200 bytes.
        labels: String,
        /// The name.
        name: String,
    },
    /// Too many labels.
    #[error("series has {labels} labels, limit {limit}")]
    TooManyLabels {
        /// Labels with a value.
        labels: usize,
        /// The limit.
        limit: usize,
    },
    /// A long name.
    #[error("label name is {bytes} bytes, limit {limit}")]
    NameTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A long value.
    #[error("label value is {bytes} bytes, limit {limit}")]
    ValueTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Names and values are too long together.
    #[error("label set is {bytes} bytes, limit {limit}")]
    SetTooLong {
        /// Bytes of names and values.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An exemplar's labels are longer than the OpenMetrics limit.
    #[error("label length for exemplar exceeds maximum of {MAX_EXEMPLAR_CHARS} UTF-8 characters")]
    ExemplarTooLong,
}

impl LabelsError {
    /// Whether the set is over one of the [`LabelLimits`].
    pub const fn is_over_limit(&self) -> bool {
        matches!(
            self,
            Self::TooManyLabels { .. }
                | Self::NameTooLong { .. }
                | Self::ValueTooLong { .. }
                | Self::SetTooLong { .. }
        )
    }
}

/// Characters in names and values of an exemplar's labels (`OpenMetrics` 1.0).
const MAX_EXEMPLAR_CHARS: usize = 128;

/// Collects the pairs of one set as they come off the wire. Pairs with an empty value are dropped
/// and cost nothing, and no more are kept than the limit allows.
#[derive(Debug)]
pub(crate) struct Pairs<'a> {
    limits: LabelLimits,
    kept: Vec<(&'a str, &'a str)>,
    labels: usize,
    bytes: usize,
}

impl<'a> Pairs<'a> {
    pub(crate) fn new(limits: &LabelLimits) -> Self {
        Self { limits: *limits, kept: Vec::with_capacity(16), labels: 0, bytes: 0 }
    }

    pub(crate) fn push(&mut self, name: &'a [u8], value: &'a [u8]) -> Result<(), LabelsError> {
        let LabelLimits { labels, name_bytes, value_bytes, .. } = self.limits;
        if name.is_empty() {
            return Err(LabelsError::EmptyName);
        }
        if name.len() > name_bytes {
            return Err(LabelsError::NameTooLong { bytes: name.len(), limit: name_bytes });
        }
        if value.len() > value_bytes {
            return Err(LabelsError::ValueTooLong { bytes: value.len(), limit: value_bytes });
        }
        let name = text(name, "name")?;
        if value.is_empty() {
            return Ok(());
        }
        let value = text(value, "value")?;
        self.labels += 1;
        self.bytes = self.bytes.saturating_add(name.len() + value.len());
        if self.labels <= labels {
            self.kept.push((name, value));
        }
        Ok(())
    }

    /// The set of a series.
    pub(crate) fn series(self) -> Result<Labels, LabelsError> {
        let kept = self.checked()?;
        if !kept.iter().any(|(name, _)| *name == NAME_LABEL) {
            return Err(LabelsError::NoMetricName { labels: printed(&kept) });
        }
        Ok(Labels::from_sorted(kept.iter().copied()))
    }

    /// The set of an exemplar, which needs no metric name.
    pub(crate) fn exemplar(self) -> Result<Labels, LabelsError> {
        let kept = self.checked()?;
        let chars: usize = kept.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum();
        if chars > MAX_EXEMPLAR_CHARS {
            return Err(LabelsError::ExemplarTooLong);
        }
        Ok(Labels::from_sorted(kept.iter().copied()))
    }

    fn checked(mut self) -> Result<Vec<(&'a str, &'a str)>, LabelsError> {
        let LabelLimits { labels, set_bytes, .. } = self.limits;
        if self.labels > labels {
            return Err(LabelsError::TooManyLabels { labels: self.labels, limit: labels });
        }
        if self.bytes > set_bytes {
            return Err(LabelsError::SetTooLong { bytes: self.bytes, limit: set_bytes });
        }
        // Prometheus sends sorted labels, which this finds in one pass. The sort is stable, so that
        // a refused set is printed in the order of its sender.
        self.kept.sort_by_key(|(name, _)| *name);
        let twice = self.kept.iter().zip(self.kept.iter().skip(1)).find(|(a, b)| a.0 == b.0);
        if let Some(((name, _), _)) = twice {
            let (labels, name) = (printed(&self.kept), clipped(name));
            return Err(LabelsError::Duplicate { labels, name });
        }
        Ok(self.kept)
    }
}

fn text<'a>(bytes: &'a [u8], part: &'static str) -> Result<&'a str, LabelsError> {
    std::str::from_utf8(bytes).map_err(|_| LabelsError::NotUtf8 { part })
}

/// As `Labels` prints itself, for a set that cannot be one.
fn printed(pairs: &[(&str, &str)]) -> String {
    let mut out = String::from("{");
    for (i, (name, value)) in pairs.iter().enumerate() {
        let sep = if i == 0 { "" } else { ", " };
        let name = if is_legacy_name(name) { (*name).to_owned() } else { go_quote(name) };
        let _ = write!(out, "{sep}{name}={}", go_quote(value));
    }
    out.push('}');
    clipped(&out)
}
