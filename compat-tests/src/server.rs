//! The server under test, as users start it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::http::{Client, Response};
use crate::process::{Process, free_address};

/// Longest wait for readiness.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// Longest wait for the end after SIGTERM: the default of `shutdown-grace`.
pub const GRACE: Duration = Duration::from_secs(30);

/// The server's binary: `$SILVERBACK_BIN`, else one that is built once.
///
/// # Panics
/// When there is none.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("SILVERBACK_BIN") {
            let path = PathBuf::from(path);
            assert!(path.is_file(), "SILVERBACK_BIN: {} is no file", path.display());
            return path;
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let root = repository();
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--bin", "silverback"]).current_dir(&root);
        // The profile of the test: figures and time limits belong to what runs.
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let status = build.status().expect("cargo runs");
        assert!(status.success(), "cargo build --bin silverback: {status}");
        // This file runs from <target>/<profile>/deps; the binary is two levels up.
        let this = std::env::current_exe().expect("a running test has a path");
        let beside = this.ancestors().skip(1).map(|dir| dir.join("silverback"));
        let found = beside.take(3).find(|path| path.is_file());
        found.expect("cargo put the binary beside the tests")
    })
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the package is below the workspace").to_owned()
}

/// A running server on a data directory of its own.
#[derive(Debug)]
pub struct Server {
    process: Option<Process>,
    address: SocketAddr,
    flags: Vec<String>,
    dir: Option<TempDir>,
    root: PathBuf,
    data: PathBuf,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
}

impl Server {
    /// Starts a server on an empty directory and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start(flags: &[&str]) -> Self {
        let mut server = Self::new(flags, None);
        server.restart();
        server
    }

    /// A server that is not started yet, with its log in a directory of its own and its data in
    /// `data`, else beside the log.
    ///
    /// # Panics
    /// When there is no temporary directory.
    pub fn new(flags: &[&str], data: Option<PathBuf>) -> Self {
        let dir = TempDir::with_prefix("silverback-").expect("a temporary directory");
        Self {
            process: None,
            address: free_address(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            data: data.unwrap_or_else(|| dir.path().join("data")),
            root: dir.path().to_owned(),
            dir: Some(dir),
            environment: Vec::new(),
            wrapper: Vec::new(),
        }
    }

    /// The command that runs the server on this directory and address.
    pub fn command(&self) -> Command {
        let mut command = match self.wrapper.split_first() {
            None => Command::new(binary()),
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).arg(binary());
                command
            }
        };
        command.arg("--bind").arg(self.address.to_string());
        command.arg("--data-dir").arg(self.data_dir()).args(&self.flags);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the process without waiting for readiness.
    ///
    /// # Panics
    /// When it cannot be started, or runs.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "the server runs");
        let log = self.root.join("log");
        let process = Process::spawn("silverback", self.command(), &log);
        self.process = Some(process.expect("the server starts"));
    }

    /// Waits until the server says that it is ready; gives the time that took.
    ///
    /// # Panics
    /// When it ends or is not ready within a minute.
    pub fn await_ready(&mut self) -> Duration {
        let began = Instant::now();
        let mut client = self.client();
        let process = self.process.as_mut().expect("the server was started");
        process.await_ready(READY_LIMIT, || {
            client.get("/-/ready", &[]).is_ok_and(|response| response.status == 200)
        });
        began.elapsed()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM, and the exit that follows.
    ///
    /// # Panics
    /// When it does not end within the grace, or not with 0.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("the server runs");
        let status = process.terminate(GRACE).unwrap_or_else(|e| panic!("{e}"));
        assert!(status.success(), "SIGTERM: {status}\n{}", process.log());
    }

    /// Starts again what was killed or stopped, and waits for readiness.
    pub fn restart(&mut self) -> Duration {
        self.spawn();
        self.await_ready()
    }

    /// Starts the process and waits until it is ready.
    ///
    /// # Errors
    /// The exit code, where it ends instead.
    ///
    /// # Panics
    /// When it does neither within a minute.
    pub fn try_start(&mut self) -> Result<(), Option<i32>> {
        self.spawn();
        let mut client = self.client();
        let began = Instant::now();
        while began.elapsed() < READY_LIMIT {
            if client.get("/-/ready", &[]).is_ok_and(|response| response.status == 200) {
                return Ok(());
            }
            if let Some(status) = self.process_mut().ended().expect("a child can be asked") {
                self.process = None;
                return Err(status.code());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("neither ready nor ended after {READY_LIMIT:?}\n{}", self.log());
    }

    /// Sets variables of the environment of later starts.
    pub fn set_environment(&mut self, variables: &[(&str, &str)]) {
        self.environment = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
    }

    /// Lets later starts be done by this command, which gets the server's as its last arguments.
    pub fn set_wrapper(&mut self, wrapper: Vec<String>) {
        self.wrapper = wrapper;
    }

    /// The process, while it runs.
    ///
    /// # Panics
    /// When it does not.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the server runs")
    }

    /// The process, to be ended in another way than [`Server::stop`] and [`Server::kill`] do; the
    /// latter has to follow.
    ///
    /// # Panics
    /// When it does not run.
    pub fn process_mut(&mut self) -> &mut Process {
        self.process.as_mut().expect("the server runs")
    }

    /// Both outputs of all processes so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.root.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
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

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.data.clone()
    }

    /// GET on a new connection.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn get(&self, path: &str, params: &[(&str, &str)]) -> Response {
        self.client().get(path, params).expect("the server answers")
    }

    /// Keeps the directory when the server is dropped, for who looks into a failure; data that is
    /// elsewhere is copied there.
    pub fn keep_directory(&mut self) -> PathBuf {
        if let Some(dir) = self.dir.take() {
            let _ = dir.keep();
        }
        if !self.data.starts_with(&self.root) {
            let _ =
                Command::new("cp").arg("-r").arg(&self.data).arg(self.root.join("data")).status();
        }
        self.root.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!("--- the end of the server's log ---\n{}", tail.join("\n"));
        }
    }
}
