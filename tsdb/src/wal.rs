//! The write-ahead log: one framed record per request, group commit, segments.

pub mod record;
