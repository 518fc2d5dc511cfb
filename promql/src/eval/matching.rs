//! Which series of two vectors belong together, and what the result is called (contract 3.9).

use model::{Labels, LabelsBuilder, NAME_LABEL};

use super::names::{is_metadata_label, without_name};
use crate::ast::{BinaryOp, Cardinality, VectorMatching};

/// The labels by which two series belong together.
pub(crate) fn signature(matching: &VectorMatching, labels: &Labels) -> Labels {
    let listed = |name: &str| matching.labels.iter().any(|l| l == name);
    if matching.on {
        labels.filtered(listed)
    } else {
        labels.filtered(|name| name != NAME_LABEL && !listed(name))
    }
}

/// Whether the result measures something else than the operands, so that it loses the name.
pub(crate) fn changes_metric(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::Pow
            | BinaryOp::Atan2
    )
}

/// The labels of the result of `many op one`.
pub(crate) fn result_labels(
    op: BinaryOp,
    matching: &VectorMatching,
    many: &Labels,
    one: &Labels,
) -> Labels {
    let base = if changes_metric(op) { without_name(many) } else { many.clone() };
    let listed = |name: &str| matching.labels.iter().any(|l| l == name);
    if matching.card == Cardinality::OneToOne {
        return base.filtered(|name| listed(name) == matching.on);
    }
    if matching.include.is_empty() {
        return base;
    }
    let mut builder = LabelsBuilder::new(&base);
    for name in &matching.include {
        builder.set(name, one.get(name));
    }
    builder.build()
}

/// The labels of the group that a series without a partner is in: those of the stand-in.
pub(crate) fn group_labels(matching: &VectorMatching, labels: &Labels) -> Labels {
    let listed = |name: &str| matching.labels.iter().any(|l| l == name);
    if matching.on {
        labels.filtered(listed)
    } else {
        labels.filtered(|name| !is_metadata_label(name) && !listed(name))
    }
}
