//! The InfluxDB line protocol: bytes in, borrowed lines out; and a writer.
//!
//! [`Lines`] scans a body once, without an allocation per line. A bad line is reported, the lines
//! around it are not affected. Verdicts and values are those of the public line-protocol corpus,
//! with the reasons of InfluxDB 1.x.
//!
//! What it is not: it knows no Prometheus names, no labels and no clock.
//!
//! Invariants:
//! - fields and time of a [`Line`] are checked: keys are UTF-8 and not empty, floats are finite;
//! - the series key of a [`Line`] is **not** checked, only found. It can serve as a key to a table
//!   of series that were checked before; its measurement and tags cannot be had without
//!   [`Line::series`], which checks them;
//! - every byte of a body is scanned at most twice, and no buffer outgrows the line limit.
//!
//! ```
//! use lineproto::{EmptyTags, Lines, Precision, Value};
//!
//! let body = b"cpu,host=a\\ b usage=0.5,n=3i 1700000000\ncpu,host= usage=1\nmem free=1";
//! let mut lines = Lines::new(body, Precision::Second);
//! let mut good = Vec::new();
//! let mut bad = Vec::new();
//! while let Some(line) = lines.next_line() {
//!     match line.and_then(|line| line.series(EmptyTags::Refuse).map(|series| (line, series))) {
//!         Ok((line, series)) => {
//!             let tags: Vec<_> = series.tags().map(|tag| tag.value().into_owned()).collect();
//!             good.push((series.measurement().into_owned(), tags, line.fields().len()));
//!         }
//!         Err(error) => bad.push((error.number, error.to_string())),
//!     }
//! }
//! assert_eq!(good, [("cpu".to_owned(), vec!["a b".to_owned()], 2), ("mem".to_owned(), vec![], 1)]);
//! assert_eq!(bad, [(2, "unable to parse 'cpu,host= usage=1': missing tag value".to_owned())]);
//! ```

mod error;
mod escape;
mod field;
mod key;
mod number;
mod parse;
mod precision;
mod word;
mod write;

pub use error::{LineError, Reason};
pub use field::{Field, Text, Value};
pub use key::{EmptyTags, RawKey, SeriesKey, Tag, Tags};
pub use parse::{DEFAULT_MAX_LINE_BYTES, Line, Lines};
pub use precision::{Precision, PrecisionError, timestamp_ms};
pub use write::{Point, WriteError, WriteValue, write_line};
