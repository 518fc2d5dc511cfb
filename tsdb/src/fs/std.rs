//! The real file system. Files are created with mode 0600 and directories with 0700: metrics are
//! nobody else's business.

use ::std::borrow::Cow;
use ::std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use ::std::io::{self, ErrorKind, Write as _};
use ::std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use ::std::path::Path;
use ::std::sync::Arc;

use super::mmap::MappedFile;
use super::{DirEntry, Fs, FsFile, FsRead, LockGuard, Space, range};
use crate::sabotage::{self, Sabotage};

/// Files below this size are read when they are opened: a map costs a system call, a page table
/// entry and a page fault, which only pays for itself on bigger ones.
const MAP_FROM_BYTES: u64 = 64 << 10;

/// The file system of the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdFs;

impl Fs for StdFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(StdFile { file, len: 0 }))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let file = OpenOptions::new().append(true).open(path)?;
        let len = file.metadata()?.len();
        Ok(Box::new(StdFile { file, len }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FsRead>> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        if len >= MAP_FROM_BYTES {
            return Ok(Arc::new(MappedFile::new(&file)?));
        }
        let scan = ScannedFile { file, len };
        Ok(Arc::new(WholeFile(scan.bytes(0, len)?.into_owned())))
    }

    fn open_scan(&self, path: &Path) -> io::Result<Arc<dyn FsRead>> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Arc::new(ScannedFile { file, len }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs::hard_link(from, to) {
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::CrossesDevices
                        | ErrorKind::TooManyLinks
                        | ErrorKind::PermissionDenied
                        | ErrorKind::Unsupported
                ) =>
            {
                self.copy(from, to)
            }
            linked => linked,
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let meta = match entry.metadata() {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                meta => meta?,
            };
            entries.push(DirEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir: meta.is_dir(),
                len: if meta.is_dir() { 0 } else { meta.len() },
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if sabotage::is(Sabotage::NoDirectorySync) {
            return Ok(());
        }
        let here = path.as_os_str().is_empty();
        File::open(if here { Path::new(".") } else { path })?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(StdLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }
}

/// A file open for appending (`O_APPEND`, so that it stays right after a truncation).
#[derive(Debug)]
struct StdFile {
    file: File,
    len: u64,
}

impl FsFile for StdFile {
    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.len += n as u64;
                    bytes = &bytes[n..];
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.len = len;
        Ok(())
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// A small file, held in memory.
#[derive(Debug)]
struct WholeFile(Vec<u8>);

impl FsRead for WholeFile {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn bytes(&self, offset: u64, len: u64) -> io::Result<Cow<'_, [u8]>> {
        range(offset, len, self.len()).map(|r| Cow::Borrowed(&self.0[r]))
    }
}

/// A file read piece by piece.
#[derive(Debug)]
struct ScannedFile {
    file: File,
    len: u64,
}

impl FsRead for ScannedFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn bytes(&self, offset: u64, len: u64) -> io::Result<Cow<'_, [u8]>> {
        let mut bytes = vec![0; range(offset, len, self.len)?.len()];
        match self.file.read_exact_at(&mut bytes, offset) {
            // Not the end of what was written, which the length tells: the disk gives less than there is.
            // Whoever takes it for damage would throw away what is well.
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                Err(io::Error::other("the disk gave less than the length of the file"))
            }
            read => read.map(|()| Cow::Owned(bytes)),
        }
    }
}

/// Closing the file gives the lock back.
#[derive(Debug)]
struct StdLock {
    _file: File,
}

impl LockGuard for StdLock {}
