//! One server per data directory (reliability contract P15).

use std::path::{Path, PathBuf};

use crate::fs::{Fs, LockGuard};

/// Name of the lock file in the data directory.
pub const LOCK_FILE: &str = "LOCK";

/// Why the data directory could not be locked; prints as one line.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds the lock.
    #[error("data directory {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The lock file could not be made or locked.
    #[error("cannot lock data directory {}: {source}", .path.display())]
    Io {
        /// The data directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Holds a data directory until dropped. The file itself stays: removing it would let two
/// processes lock two files of one name.
#[derive(Debug)]
pub struct DirLock {
    _guard: Box<dyn LockGuard>,
}

impl DirLock {
    /// Locks the data directory `dir`, which must exist.
    ///
    /// # Errors
    /// [`LockError::InUse`] where another process holds it, at once; else what the system says.
    pub fn acquire(fs: &dyn Fs, dir: &Path) -> Result<Self, LockError> {
        match fs.lock(&dir.join(LOCK_FILE)) {
            Ok(guard) => Ok(Self { _guard: guard }),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                Err(LockError::InUse(dir.to_owned()))
            }
            Err(source) => Err(LockError::Io { path: dir.to_owned(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::std::StdFs;

    #[test]
    fn the_second_server_gets_one_line_and_the_first_is_unharmed() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(&StdFs, dir.path()).unwrap();
        let text = DirLock::acquire(&StdFs, dir.path()).unwrap_err().to_string();
        assert!(text.ends_with("is in use by another process") && !text.contains('\n'), "{text}");
        drop(first);
        DirLock::acquire(&StdFs, dir.path()).unwrap();
    }

    #[test]
    fn a_missing_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let err = DirLock::acquire(&StdFs, &dir.path().join("gone")).unwrap_err();
        assert!(matches!(err, LockError::Io { .. }) && err.to_string().contains("gone"));
    }
}
