//! The server as a process, spoken to over raw sockets.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod admin_api;
mod answers;
mod configs;
mod damage;
mod framing;
mod histograms;
mod influx;
mod limits;
mod maintenance;
mod message;
mod peer;
mod process;
mod prom_api;
mod rates;
mod refusals;
mod remote_write;
mod tools;
