//! Black-box tests: the built server beside real peers, over HTTP.
//!
//! The harness links no crate of the server. It starts the binary that users run, speaks to it as
//! senders and dashboards do, and compares with real peers where they are installed. What is not
//! there (a peer, a corpus) is printed as `skipped: <what> (<why>)`, never passed over in silence.
//!
//! | variable | meaning |
//! |---|---|
//! | `SILVERBACK_BIN` | the server to test; without it `cargo build --bin silverback` makes one |
//! | `PEERS_DIR` | directory with `bin/prometheus`, `bin/promtool`, ...; `PATH` is searched too |
//! | `COMPAT_CORPUS` | directory of the conformance corpora |
//! | `COMPAT_SEED` | seed of the random tests; printed by each of them |
//! | `COMPAT_KILLS` | iterations of `kill9` (100), without its time limit |
//! | `COMPAT_POWER_CUTS` | iterations of `power_cut` (16) |
//! | `COMPAT_FILE_SYSTEM` | the file system of `power_cut`, such as `xfs` (all) |
//! | `COMPAT_DAMAGES` | times that each damage is done to each kind of file in `damage` (1) |
//! | `COMPAT_DISK_FULL` | times that `disk_full` fills each disk (3) |
//! | `COMPAT_ENDS` | iterations of each test in `rough_ends`, `exhausted`, `device_gone` (4) and `broken_calls` (1) |
//! | `COMPAT_SABOTAGE`, `COMPAT_SABOTAGE_BIN` | run `sabotage`: 1 or the name of one, and the server for it |
//! | `COMPAT_SCRIPT` | only scripts with this in their names are compared |
//!
//! All load is loopback and bounded; a process that a test starts ends with the test.

pub mod awkward;
pub mod broken_calls;
pub mod compliance;
pub mod control_group;
pub mod corpus;
pub mod device;
pub mod exporter;
pub mod fleet;
pub mod golden;
pub mod http;
pub mod influx;
pub mod line_protocol;

pub mod oracle;
pub mod peers;
pub mod process;
pub mod promql;
pub mod promtool;
pub mod random_lines;
pub mod random_promql;
pub mod remote_write;
pub mod report;
pub mod rng;
pub mod script;
pub mod senders;
pub mod server;
pub mod torture;
