//! PromQL: text and a [`model::Queryable`] in, values and annotations out, equal to Prometheus's.
//!
//! Pure: no file, socket, clock or thread. The caller brings the data, the deadline (as a
//! [`model::Interrupt`]) and, for big selectors, the threads.

pub mod annotations;
pub mod ast;
pub mod functions;
pub mod number;
pub mod quantile;
pub mod sum;
