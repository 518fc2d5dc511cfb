//! The types below every other crate: label sets, matchers, samples, histograms, the read
//! contract between the engine and storage, and the memory accountant.
//!
//! This crate does no I/O, owns no thread and reads no clock. It knows neither PromQL nor a byte
//! layout on disk.
//!
//! Invariants:
//! - a [`Labels`] is sorted by name, has no duplicate name and no empty value;
//! - times are signed milliseconds since the Unix epoch, bounds are inclusive;
//! - a stale marker is the bit pattern [`STALE_NAN`], and every path keeps the bits of a value.
//!
//! ```
//! use model::{Labels, Matcher, MatchOp};
//!
//! let labels = Labels::from_pairs([("job", "node"), ("__name__", "up"), ("empty", "")]).unwrap();
//! assert_eq!(labels.to_string(), r#"{__name__="up", job="node"}"#);
//! let matcher = Matcher::new(MatchOp::Re, "job", "n.*").unwrap();
//! assert!(matcher.matches(labels.get("job")));
//! ```

mod grouping;
mod histogram;
mod interrupt;
mod labels;
mod matcher;
mod memory;
mod need;
mod queryable;
mod regex;
mod sample;
mod series_buf;

pub use grouping::{LabelFilter, SeriesGroups};
pub use histogram::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, HistogramValue, IntHistogram, Span,
};
pub use interrupt::{Interrupt, Interrupted, NeverInterrupted};
pub use labels::{BUCKET_LABEL, DuplicateLabel, Labels, LabelsBuilder, NAME_LABEL, is_legacy_name};
pub use matcher::{MatchOp, Matcher};
pub use memory::{ACCOUNTS, Account, Accountant, Charge, OverBudget};
pub use need::{Need, StandIn, Wanted, WindowGrid};
pub use queryable::{
    EmptyQueryable, Estimate, NamesRequest, Queryable, ReadError, Selection, SelectionHints,
    SeriesSet,
};
pub use regex::{Regex, RegexError};
pub use sample::{MetricMetadata, MetricType, STALE_NAN, Sample, go_quote, is_stale, stale_nan};
pub use series_buf::{ColumnId, Runs, SeriesBuf, UNKNOWN_START};
