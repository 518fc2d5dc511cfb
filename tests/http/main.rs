//! The server as a process, spoken to over raw sockets.

mod framing;
mod influx;
mod limits;
mod peer;
mod process;
mod prom_api;
mod remote_write;
