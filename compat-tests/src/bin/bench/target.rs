//! The servers of the comparison, alike.

use std::path::{Path, PathBuf};
use std::process::Command;

use compat_tests::http::Client;
use compat_tests::peers::Peer;
use compat_tests::process::Process;
use compat_tests::server::{Server, binary};

/// What can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The reference for answers.
    Prometheus,
    /// The reference for figures.
    VictoriaMetrics,
    /// The server under test.
    Silverback,
}

impl Kind {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "Prometheus",
            Self::VictoriaMetrics => "VictoriaMetrics",
            Self::Silverback => "silverback",
        }
    }
}

/// A running server on an empty directory.
pub(crate) enum Target {
    /// Ours.
    Ours(Server),
    /// Another.
    Peer(Peer),
}

impl Target {
    /// Starts one; `None` when it is not installed.
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        let what = format!("{} in the comparison", kind.name());
        match kind {
            Kind::Prometheus => Peer::prometheus("", &[], &what).map(Self::Peer),
            Kind::VictoriaMetrics => Peer::victoria_metrics(&[], &what).map(Self::Peer),
            Kind::Silverback => Some(Self::Ours(Server::start(&[]))),
        }
    }

    /// A new client of it.
    pub(crate) fn client(&self) -> Client {
        match self {
            Self::Ours(server) => server.client(),
            Self::Peer(peer) => peer.client(),
        }
    }

    /// The process.
    pub(crate) fn process(&self) -> &Process {
        match self {
            Self::Ours(server) => server.process(),
            Self::Peer(peer) => peer.process(),
        }
    }

    /// Its data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        match self {
            Self::Ours(server) => server.data_dir(),
            Self::Peer(peer) => peer.data_dir(),
        }
    }

    /// SIGTERM, and the end that follows.
    pub(crate) fn stop(&mut self) {
        match self {
            Self::Ours(server) => server.stop(),
            Self::Peer(peer) => peer.stop(),
        }
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        match self {
            Self::Ours(server) => server.kill(),
            Self::Peer(peer) => peer.kill(),
        }
    }

    /// Starts it again, without waiting for readiness.
    pub(crate) fn spawn(&mut self) {
        match self {
            Self::Ours(server) => server.spawn(),
            Self::Peer(peer) => peer.spawn(),
        }
    }

    /// Waits until a spawned one is ready.
    pub(crate) fn await_ready(&mut self) {
        match self {
            Self::Ours(server) => drop(server.await_ready()),
            Self::Peer(peer) => peer.await_ready(),
        }
    }

    /// The line in which it says its version.
    pub(crate) fn version(&self) -> String {
        let (program, flag): (&Path, _) = match self {
            Self::Ours(_) => (binary(), "--version"),
            Self::Peer(peer) => (peer.binary(), "--version"),
        };
        let output = Command::new(program).arg(flag).output().expect("the program runs");
        let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().next().unwrap_or_default().trim();
        // Debian's build of one peer has none.
        if line.is_empty() { "says no version".to_owned() } else { line.to_owned() }
    }
}
