//! Prometheus remote write and remote read: the bytes of an HTTP body in, series and samples out.
//!
//! This crate is pure. It opens no socket, reads no clock and knows no storage: the server hands it
//! headers and a body, and it answers with borrowed columns or an error that says which limit or
//! which byte was wrong. Status codes are the server's business.
//!
//! Invariants:
//! - whatever a sender controls is checked against a limit before anything is allocated for it;
//! - the labels of a series are not parsed by [`v1::scan`]: their raw bytes are the key under which
//!   the caller finds a series that it knows, and [`v1::parse_labels`] runs only where it does not;
//! - bits of floats are kept, so that stale markers and other NaN payloads survive.
//!
//! A request passes four steps:
//!
//! ```
//! use remote::{headers, labels::LabelLimits, snappy, v1};
//!
//! let wire = b"\x2b\xa8\x0a\x29\x0a\x0d\x0a\x08__name__\x12\x01a\x0a\x06\x0a\x01j\x12\x01x\
//!     \x12\x10\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x80\xd0\x95\xff\xbc\x31";
//!
//! let accepted = headers::Accepted::default();
//! let message = headers::negotiate(None, Some("snappy"), accepted).unwrap();
//! assert_eq!(message, headers::Message::V1);
//!
//! let mut body = Vec::new();
//! snappy::decompress(wire, 32 << 20, &mut body).unwrap();
//!
//! let mut batch = v1::WriteBatch::new();
//! v1::scan(&body, &v1::Limits::default(), &mut batch).unwrap();
//! let row = &batch.series[0];
//! assert_eq!(batch.times[row.samples()], [1_700_000_000_000]);
//! assert_eq!(batch.values[row.samples()], [1.0]);
//!
//! let labels = v1::parse_labels(batch.raw_labels(row), &LabelLimits::default()).unwrap();
//! assert_eq!(labels.to_string(), r#"{__name__="a", j="x"}"#);
//! ```

pub mod error;
pub mod headers;
pub mod histogram;
pub mod labels;
pub mod proto;
pub mod snappy;
pub mod v1;
mod wire;
