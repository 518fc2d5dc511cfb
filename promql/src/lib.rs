//! PromQL: text and a [`model::Queryable`] in, values and annotations out, equal to Prometheus's.
//!
//! Pure: no file, socket, clock or thread. The caller brings the data, the deadline (as a
//! [`model::Interrupt`]) and, for big selectors, the threads.
//!
//! ```
//! let options = promql::ParseOptions::default();
//! let ast = promql::parse("sum(rate(requests_total[5m]))by(job)", &options)?;
//! assert_eq!(ast.to_string(), "sum by (job) (rate(requests_total[5m]))");
//! assert_eq!(
//!     promql::parse("sum(foo", &options).unwrap_err().to_string(),
//!     "1:8: parse error: unclosed left parenthesis",
//! );
//! # Ok::<(), promql::ParseError>(())
//! ```

pub mod annotations;
pub mod ast;
mod check;
pub mod elementary;
pub mod engine;
mod error;
mod eval;
pub mod executor;
pub mod explain;
pub mod functions;
pub mod histogram;
mod json;
mod lexer;
pub mod number;
mod parser;
mod plan;
mod prettify;
mod printer;
pub mod quantile;
#[cfg(any(test, feature = "script"))]
pub mod script;
pub mod sum;
#[cfg(any(test, feature = "script"))]
pub mod test_storage;

pub use error::ParseError;
pub use json::to_json;
pub use parser::{
    DurationError, NODES_PER_REGEX, NumberError, ParseLimits, ParseOptions, format_duration, parse,
    parse_duration, parse_number, parse_selector,
};
pub use prettify::prettify;
