//! Compaction: blocks in, fewer or better placed blocks out, the samples the same.
//!
//! [`mod@plan`] decides from the metas alone, `merge` reads the inputs series by series, `write`
//! makes the outputs and checks that no sample went missing. Who calls them, and how the outputs
//! take the place of the inputs, is in `db/compaction.rs`.

pub(crate) mod merge;
pub mod plan;
pub(crate) mod write;

pub use plan::{Candidate, Plan, Rules, plan};
