//! Real peers: found in `$PEERS_DIR/bin` or `PATH`, started in directories of their own.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::http::Client;
use crate::process::{Process, free_address};
use crate::report::skipped;

/// Longest wait for a peer.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// The path of `program` in `$PEERS_DIR/bin` or `PATH`.
pub fn locate(program: &str) -> Option<PathBuf> {
    let peers = std::env::var_os("PEERS_DIR").map(|dir| PathBuf::from(dir).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files =
        peers.into_iter().chain(std::env::split_paths(&path)).map(|dir| dir.join(program));
    files.find(|file| file.is_file())
}

/// The path of `program`; says `skipped: <what>` when it is not installed.
pub fn find(program: &str, what: &str) -> Option<PathBuf> {
    let found = locate(program);
    if found.is_none() {
        skipped(what, &format!("{program} is neither in PEERS_DIR nor in PATH"));
    }
    found
}

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    process: Process,
    address: SocketAddr,
    dir: TempDir,
    binary: PathBuf,
    arguments: Vec<OsString>,
    /// The path that answers 2xx once it is ready.
    ready: &'static str,
}

impl Peer {
    fn start(
        program: &str,
        what: &str,
        ready: &'static str,
        arguments: impl FnOnce(&mut Command, SocketAddr, &TempDir),
    ) -> Option<Self> {
        let binary = find(program, what)?;
        let dir = TempDir::with_prefix("peer-").expect("a temporary directory");
        let address = free_address();
        let mut command = Command::new(&binary);
        arguments(&mut command, address, &dir);
        let arguments = command.get_args().map(OsStr::to_owned).collect();
        let process = Process::spawn(program, command, &dir.path().join("log"));
        let process = process.expect("the peer starts");
        let mut peer = Self { process, address, dir, binary, arguments, ready };
        peer.await_ready();
        Some(peer)
    }

    /// Starts again what was killed or stopped, without waiting for readiness.
    ///
    /// # Panics
    /// When it does not start.
    pub fn spawn(&mut self) {
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments);
        let process = Process::spawn("the peer", command, &self.dir.path().join("log"));
        self.process = process.expect("the peer starts");
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// When it ends or is not ready within a minute.
    pub fn await_ready(&mut self) {
        let mut client = self.client();
        self.process.await_ready(READY_LIMIT, || {
            client.get(self.ready, &[]).is_ok_and(|response| response.status / 100 == 2)
        });
    }

    /// Its program.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// A Prometheus with this configuration file; it takes remote write. In `config`, `SELF` stands
    /// for its own address.
    pub fn prometheus(config: &str, flags: &[&str], what: &str) -> Option<Self> {
        Self::start("prometheus", what, "/-/ready", |command, address, dir| {
            let file = dir.path().join("prometheus.yml");
            let config = config.replace("SELF", &address.to_string());
            std::fs::write(&file, config).expect("the directory is writable");
            command.arg(format!("--config.file={}", file.display()));
            command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
            command.arg(format!("--web.listen-address={address}"));
            command.arg("--web.enable-remote-write-receiver").args(flags);
        })
    }

    /// A `VictoriaMetrics` without a search-latency offset, so that what was written can be read.
    pub fn victoria_metrics(flags: &[&str], what: &str) -> Option<Self> {
        Self::start("victoria-metrics", what, "/health", |command, address, dir| {
            command.arg(format!("-storageDataPath={}", dir.path().join("data").display()));
            command.arg(format!("-httpListenAddr={address}"));
            command.args(["-retentionPeriod=100y", "-search.latencyOffset=0s"]).args(flags);
        })
    }

    /// An `InfluxDB` 1 without authentication.
    pub fn influxdb(what: &str) -> Option<Self> {
        Self::start("influxd", what, "/ping", |command, address, dir| {
            let file = dir.path().join("influxdb.conf");
            let root = dir.path().display();
            let config = format!(
                "reporting-disabled = true\nbind-address = \"127.0.0.1:0\"\n\
                 [meta]\ndir = \"{root}/meta\"\n\
                 [data]\ndir = \"{root}/data\"\nwal-dir = \"{root}/wal\"\n\
                 [monitor]\nstore-enabled = false\n\
                 [http]\nbind-address = \"{address}\"\nlog-enabled = false\n"
            );
            std::fs::write(&file, config).expect("the directory is writable");
            command.arg("-config").arg(&file);
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A new client of it.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// SIGTERM, and the end that follows.
    ///
    /// # Panics
    /// When it does not end within a minute.
    pub fn stop(&mut self) {
        let ended = self.process.terminate(READY_LIMIT);
        ended.unwrap_or_else(|e| panic!("{e}"));
    }
}
