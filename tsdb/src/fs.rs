//! The disk, as the storage engine sees it. Everything that touches a file goes through [`Fs`]:
//! the real one in [`mod@std`], and a simulated one in tests that tears, loses and fills up.
//!
//! The trait promises what a Linux file system promises and no more: written bytes survive a power
//! cut only after [`FsFile::sync`], a created, renamed or removed name only after
//! [`Fs::sync_dir`] of its directory.

pub mod mmap;
pub mod sim;

pub mod std;

#[cfg(test)]
mod tests;

use ::std::borrow::Cow;
use ::std::fmt::Debug;
use ::std::io;
use ::std::path::Path;
use ::std::sync::Arc;

/// Bytes that are copied at a time.
const COPY_BYTES: u64 = 1 << 20;

/// A file system.
pub trait Fs: Send + Sync + Debug + 'static {
    /// Creates a file that must not exist, for writing at its end.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;

    /// Opens an existing file for writing at its end.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;

    /// Opens an existing, immutable file for reading; a big one is mapped. The file must not be
    /// truncated while it is open (reliability contract R11).
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FsRead>>;

    /// Opens an existing file for positioned reads, never mapped: for files that may shrink, and
    /// where a bad sector must be an error and not a signal.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn open_scan(&self, path: &Path) -> io::Result<Arc<dyn FsRead>>;

    /// Gives `from` the name `to`, replacing a file of that name; directories must not exist.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// What the system says.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory (mode 0700) in one that exists; one that is there already is fine.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// What is in a directory, sorted by name.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Makes the names in a directory durable. The empty path, the parent of `data`, is the current
    /// directory.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes an exclusive advisory lock on a file, which is created if need be. Dropping the guard
    /// or ending the process gives it back.
    ///
    /// # Errors
    /// `WouldBlock` where somebody holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;

    /// Size and free space of the volume that holds `path`.
    ///
    /// # Errors
    /// What the system says.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Gives an immutable file a second name, as durable as names are; where that cannot be, such as
    /// on another volume, the new name is a durable copy.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the system says.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.copy(from, to)
    }

    /// Makes `to` a durable copy of the file `from`.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the system says.
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.open_scan(from)?;
        let mut copy = self.create(to)?;
        let mut at = 0;
        while at < file.len() {
            let n = (file.len() - at).min(COPY_BYTES);
            copy.append(&file.bytes(at, n)?)?;
            at += n;
        }
        copy.sync()
    }

    /// The whole content of a file.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open_scan(path)?;
        Ok(file.bytes(0, file.len())?.into_owned())
    }

    /// Whether a file or directory is there.
    ///
    /// # Errors
    /// What the system says, other than `NotFound`.
    fn exists(&self, path: &Path) -> io::Result<bool>;
}

/// A file open for writing at its end.
#[expect(clippy::len_without_is_empty, reason = "nobody asks")]
pub trait FsFile: Send + Debug {
    /// Appends all of `bytes`; after an error any prefix of them may be in the file.
    ///
    /// # Errors
    /// What the system says.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes content and length durable (`fdatasync`). After an error the file must not be
    /// trusted nor synced again (reliability contract R4).
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Length in bytes, as far as this handle wrote it.
    fn len(&self) -> u64;
}

/// A file open for reading at any place.
#[expect(clippy::len_without_is_empty, reason = "nobody asks")]
pub trait FsRead: Send + Sync + Debug {
    /// Length in bytes when it was opened.
    fn len(&self) -> u64;

    /// `len` bytes from `offset`: borrowed from a map where the file is mapped.
    ///
    /// # Errors
    /// `UnexpectedEof` where the range is not inside the file; else what the system says.
    fn bytes(&self, offset: u64, len: u64) -> io::Result<Cow<'_, [u8]>>;

    /// Lets go of what is in memory and can be read again; slices that were borrowed stay valid.
    fn release(&self) {}
}

/// Holds a lock until dropped.
pub trait LockGuard: Send + Sync + Debug {}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The last part of the path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length of a file in bytes.
    pub len: u64,
}

/// Space of a volume in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size of the volume.
    pub total: u64,
    /// What an unprivileged process can still write.
    pub free: u64,
}

/// The range `offset .. offset + len` of a file of `file_len` bytes.
fn range(offset: u64, len: u64, file_len: u64) -> io::Result<::std::ops::Range<usize>> {
    let end = offset.checked_add(len).filter(|end| *end <= file_len);
    let range = end.and_then(|end| Some(usize::try_from(offset).ok()?..usize::try_from(end).ok()?));
    range.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("{len} bytes at offset {offset} of a file of {file_len} bytes"),
        )
    })
}
