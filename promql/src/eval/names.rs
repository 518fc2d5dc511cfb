//! Taking the metric name off a row (contract 3.10).

use model::{Labels, NAME_LABEL};

use super::{Query, Row};

/// Whether the label says what the metric is called or measures; these go together.
pub(crate) fn is_metadata_label(name: &str) -> bool {
    name.starts_with("__") && matches!(name, NAME_LABEL | "__type__" | "__unit__")
}

pub(crate) use crate::functions::label::without_name;

impl Query<'_> {
    /// Removes the name of `row`, or marks it for removal.
    pub(crate) fn drop_name(&self, row: &mut Row) {
        if self.options.delayed_name_removal {
            row.drop_name = true;
        } else {
            row.labels = without_name(&row.labels);
        }
    }

    /// The labels and the mark of a row made from a series with these labels by something that
    /// drops the name.
    pub(crate) fn nameless(&self, labels: Labels) -> (Labels, bool) {
        if self.options.delayed_name_removal {
            (labels, true)
        } else {
            (without_name(&labels), false)
        }
    }
}
