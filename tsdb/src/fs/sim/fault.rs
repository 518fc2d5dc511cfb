//! Faults that a test plans.

use ::std::io;
use ::std::ops::Range;

/// Kinds of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// A file is made.
    Create,
    /// Bytes are appended.
    Append,
    /// A file is synced.
    Sync,
    /// A file is cut.
    Truncate,
    /// A name changes.
    Rename,
    /// A file or directory goes.
    Remove,
    /// A directory is made.
    CreateDir,
    /// The names of a directory are synced.
    SyncDir,
    /// Bytes are read.
    Read,
}

/// What an operation fails with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultError {
    /// `EIO`. An append may leave any prefix; what a sync should have synced is lost for good
    /// although it can be read, as on Linux.
    Io,
    /// `ENOSPC`; an append may leave any prefix.
    NoSpace,
    /// An append ends half-way.
    ShortWrite,
}

impl FaultError {
    pub(super) fn to_io(self) -> io::Error {
        match self {
            Self::Io => io::Error::from_raw_os_error(5),
            Self::NoSpace => io::Error::from_raw_os_error(28),
            Self::ShortWrite => io::ErrorKind::WriteZero.into(),
        }
    }
}

/// A planned fault.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The kind of operation that fails; `None` is any but a read.
    pub op: Option<Op>,
    /// Only paths that contain this.
    pub path: String,
    /// Only reads that touch these bytes; ignored for other operations.
    pub bytes: Range<u64>,
    /// So many matching operations succeed first.
    pub after: u64,
    /// How many then fail; `u64::MAX` is for ever.
    pub times: u64,
    /// The error.
    pub error: FaultError,
}

impl Fault {
    /// The matching operation number `nth`, counted from 0, fails, once.
    pub fn once(op: Op, nth: u64, error: FaultError) -> Self {
        Self { op: Some(op), path: String::new(), bytes: 0..u64::MAX, after: nth, times: 1, error }
    }

    /// From number `nth` on every one fails.
    pub fn sticky(op: Op, nth: u64, error: FaultError) -> Self {
        Self { times: u64::MAX, ..Self::once(op, nth, error) }
    }

    /// Whether an operation meets this fault; counts it.
    pub(super) fn strikes(&mut self, op: Op, path: &str, bytes: &Range<u64>) -> bool {
        let kind = self.op.map_or(op != Op::Read, |own| own == op);
        let touches = bytes.start < self.bytes.end && self.bytes.start < bytes.end;
        if !kind || self.times == 0 || !path.contains(&self.path) || (op == Op::Read && !touches) {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        if self.times != u64::MAX {
            self.times -= 1;
        }
        true
    }
}
