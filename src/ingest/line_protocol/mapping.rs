//! From a point's names to a label set. All UTF-8 names are kept as they are.

use lineproto::{EmptyTags, Field, RawKey};
use model::{Labels, NAME_LABEL};
use remote::labels::{LabelLimits, LabelsError};

use crate::ingest::Settings;

/// Makes the labels of series that storage does not know.
pub(super) struct Mapping<'s> {
    limits: LabelLimits,
    db_label: &'s str,
    database: &'s str,
    /// Tags called `__name__` that were ignored.
    pub(super) name_tags: u64,
    /// Label sets over a limit.
    pub(super) over_limit: u64,
}

impl<'s> Mapping<'s> {
    pub(super) fn new(settings: &'s Settings, database: &'s str) -> Self {
        Self {
            limits: settings.labels,
            db_label: &settings.db_label,
            database,
            name_tags: 0,
            over_limit: 0,
        }
    }

    /// The labels of `field` in a line with `key`: the metric name wins over a tag of that name, a
    /// tag wins over the database.
    ///
    /// # Errors
    /// What is wrong with the key, or which limit it passes.
    pub(super) fn labels(&mut self, key: RawKey<'_>, field: &Field<'_>) -> Result<Labels, String> {
        let key = key.parse(EmptyTags::Refuse).map_err(|reason| reason.to_string())?;
        let name = format!("{}_{}", key.measurement(), field.key());
        let mut pairs: Vec<(String, String)> = Vec::with_capacity(12);
        for tag in key.tags() {
            let tag_name = tag.key();
            if tag_name == NAME_LABEL {
                self.name_tags += 1;
            } else {
                pairs.push((tag_name.into_owned(), tag.value().into_owned()));
            }
        }
        let has_db = |pairs: &[(String, String)]| pairs.iter().any(|(n, _)| n == self.db_label);
        if !self.db_label.is_empty() && !self.database.is_empty() && !has_db(&pairs) {
            pairs.push((self.db_label.to_owned(), self.database.to_owned()));
        }
        pairs.push((NAME_LABEL.to_owned(), name));
        self.check(&pairs).map_err(|e| {
            self.over_limit += u64::from(e.is_over_limit());
            e.to_string()
        })?;
        Labels::from_pairs(pairs).map_err(|e| e.to_string())
    }

    fn check(&self, pairs: &[(String, String)]) -> Result<(), LabelsError> {
        let limits = self.limits;
        if pairs.len() > limits.labels {
            return Err(LabelsError::TooManyLabels { labels: pairs.len(), limit: limits.labels });
        }
        for (name, value) in pairs {
            if name.len() > limits.name_bytes {
                let (bytes, limit) = (name.len(), limits.name_bytes);
                return Err(LabelsError::NameTooLong { bytes, limit });
            }
            if value.len() > limits.value_bytes {
                let (bytes, limit) = (value.len(), limits.value_bytes);
                return Err(LabelsError::ValueTooLong { bytes, limit });
            }
        }
        let bytes = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > limits.set_bytes {
            return Err(LabelsError::SetTooLong { bytes, limit: limits.set_bytes });
        }
        Ok(())
    }
}
