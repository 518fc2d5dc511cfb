//! The storage engine: write-ahead log, head, immutable blocks, and the queries over them.
//!
//! Synchronous: no call is async and none starts a thread that outlives it. It is the only crate
//! that touches disk, and only through [`fs::Fs`], so that tests run it on a simulated disk that
//! tears, loses and fills up.

pub mod abort;
pub mod append;
pub mod backup;
pub mod block;
pub mod checkpoint;
pub mod chunk;
pub mod compact;
pub mod db;
pub mod encoding;
pub mod fs;
pub mod head;
pub mod lock;
pub mod manifest;
pub mod options;
pub mod postings;
pub mod quarantine;
pub mod query;
pub mod retention;
pub mod sabotage;
pub mod tombstones;
pub mod verify;
pub mod view;
pub mod wal;

pub use db::Db;
pub use options::DbOptions;
