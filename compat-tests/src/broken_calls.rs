//! System calls of the server that fail on purpose, on the files of its data directory only. What is
//! loaded into the server is `broken_calls.c`, which the compiler that links these tests makes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// What can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Writing to a file.
    Write = 1,
    /// `fsync` and `fdatasync`.
    Sync = 2,
    /// Reading from a file.
    Read = 4,
    /// Opening or making a file.
    Open = 8,
    /// Giving a file its name.
    Rename = 16,
    /// Mapping a file.
    Map = 32,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// With this error.
    Error(rustix::io::Errno),
    /// With this error, behind which half of the bytes are in the file; for [`Call::Write`] alone.
    Torn(rustix::io::Errno),
    /// Half of the bytes are read or written.
    Short,
    /// None of the bytes are, as at the end of a file.
    Nothing,
}

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once, after so many calls that go well.
    Once(u32),
    /// From now on.
    Always,
    /// From now on, in so many of a hundred calls.
    Percent(u32),
}

/// The means to break calls of a server that was started with [`BrokenCalls::environment`].
#[derive(Debug)]
pub struct BrokenCalls {
    dir: TempDir,
    rules: File,
}

impl BrokenCalls {
    /// None fail so far.
    ///
    /// # Errors
    /// Why there can be none: no compiler, another system.
    pub fn new() -> Result<Self, String> {
        let text = |e: io::Error| e.to_string();
        let dir = TempDir::with_prefix("silverback-calls-").map_err(text)?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/broken_calls.c");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(dir.path().join("calls.so"));
        let made = compile.arg(source).output().map_err(|e| format!("cc: {e}"))?;
        if !made.status.success() {
            let text = String::from_utf8_lossy(&made.stderr);
            return Err(format!("cc: {}", text.lines().next().unwrap_or("it failed")));
        }
        let path = dir.path().join("rules");
        let rules = File::options().create_new(true).read(true).write(true).open(path);
        let calls = Self { dir, rules: rules.map_err(text)? };
        calls.heal();
        Ok(calls)
    }

    /// The variables of the server whose files are in `data`.
    pub fn environment(&self, data: &Path) -> [(&'static str, String); 3] {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        [
            ("LD_PRELOAD", text(self.dir.path().join("calls.so"))),
            ("BROKEN_CALLS", text(self.dir.path().join("rules"))),
            ("BROKEN_CALLS_DIR", text(data.to_owned())),
        ]
    }

    /// From now on `calls` fail.
    pub fn fail(&self, calls: &[Call], how: How, when: When) {
        let calls = calls.iter().fold(0, |bits, call| bits | *call as u32);
        let (let_by, failing, percent) = match when {
            When::Once(after) => (after, 1, 100),
            When::Always => (0, u32::MAX, 100),
            When::Percent(percent) => (0, u32::MAX, percent),
        };
        let error = match how {
            How::Error(error) => error.raw_os_error(),
            How::Torn(error) => error.raw_os_error() | 1 << 16,
            How::Short => 0,
            How::Nothing => -1,
        };
        // The calls last: they are what the others apply to.
        self.set(4, &[let_by, failing, percent, error.cast_unsigned(), 0]);
        self.set(0, &[calls]);
    }

    /// All go well again. Gives how many failed since [`BrokenCalls::fail`].
    pub fn heal(&self) -> u32 {
        self.set(0, &[0]);
        let mut failed = [0; 4];
        // None have failed while the file is empty.
        let _ = self.rules.read_exact_at(&mut failed, 20);
        u32::from_ne_bytes(failed)
    }

    fn set(&self, at: u64, numbers: &[u32]) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
        self.rules.write_all_at(&bytes, at).expect("a file of a few bytes");
        self.rules.set_len(24).expect("a file of a few bytes");
    }
}
