//! A simulated disk for tests: deterministic from its seed, it tears, loses, fills up, fails and
//! loses power, and promises no more than [`Fs`] does.
//!
//! Every file has the content that a reader sees and the content that a power cut leaves, every
//! directory the same for its names. [`SimFs::crash_at`] cuts the power at an operation; from then
//! on every call fails, and [`SimFs::crash`] makes the disk that the next start finds.

mod crash;
mod disk;
mod fault;

#[cfg(test)]
mod tests;

use ::std::borrow::Cow;
use ::std::io::{self, ErrorKind};
use ::std::path::{Path, PathBuf};
use ::std::sync::Arc;

use parking_lot::Mutex;

use super::{DirEntry, Fs, FsFile, FsRead, LockGuard, Space, range};
use crate::sabotage::{self, Sabotage};
pub use crash::CrashPolicy;
use disk::{Disk, Ino, Node};
pub use fault::{Fault, FaultError, Op};

/// The simulated disk; clones share it. Its root directory is `/`.
#[derive(Debug, Clone)]
pub struct SimFs(Arc<Mutex<Disk>>);

impl SimFs {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Disk::new(seed))))
    }

    /// Number of operations so far that change something.
    pub fn ops(&self) -> u64 {
        self.0.lock().ops
    }

    /// Number of calls of [`FsFile::sync`] so far.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// Cuts the power at the operation with this number (counted from 1): it happens in part or
    /// not at all, and every call from then on fails.
    pub fn crash_at(&self, op: u64) {
        self.0.lock().crash_at = Some(op);
    }

    /// Whether the power is cut.
    pub fn is_dead(&self) -> bool {
        self.0.lock().dead
    }

    /// Cuts the power now, if it is not cut yet, and returns the disk that is there afterwards:
    /// what was durable, and of the rest what `policy` and `seed` say.
    #[must_use]
    pub fn crash(&self, policy: CrashPolicy, seed: u64) -> Self {
        let mut disk = self.0.lock();
        disk.dead = true;
        Self(Arc::new(Mutex::new(crash::after(&disk, policy, seed))))
    }

    /// Adds a fault to those that are planned.
    pub fn fail(&self, fault: Fault) {
        self.0.lock().faults.push(fault);
    }

    /// Forgets the planned faults.
    pub fn clear_faults(&self) {
        self.0.lock().faults.clear();
    }

    /// Bytes that all files together may have.
    pub fn set_capacity(&self, bytes: u64) {
        self.0.lock().capacity = bytes;
    }

    /// Sabotage: [`FsFile::sync`] says yes and does nothing. A test that does not notice that
    /// proves nothing about syncs.
    pub fn set_ignore_sync(&self, ignore: bool) {
        self.0.lock().ignore_sync = ignore;
    }

    /// Sabotage: [`Fs::sync_dir`] says yes and does nothing.
    pub fn set_ignore_dir_sync(&self, ignore: bool) {
        self.0.lock().ignore_dir_sync = ignore;
    }

    /// Changes the content of a file behind everybody's back, durably.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut disk = self.0.lock();
        let ino = disk.find(path)?;
        let file = disk.file_mut(ino)?;
        edit(&mut file.data);
        file.common = 0;
        file.sync();
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<SimFile> {
        let disk = self.0.lock();
        disk.alive()?;
        let ino = disk.find(path)?;
        let len = disk.file(ino)?.data.len() as u64;
        Ok(SimFile { fs: self.clone(), ino, path: path.to_owned(), len })
    }
}

impl Fs for SimFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.0.lock().change(Op::Create, path, |disk| disk.make(path, Node::file()))?;
        Ok(Box::new(self.open(path)?))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(self.open(path)?))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FsRead>> {
        Ok(Arc::new(self.open(path)?))
    }

    fn open_scan(&self, path: &Path) -> io::Result<Arc<dyn FsRead>> {
        Ok(Arc::new(self.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.lock().change(Op::Rename, from, |disk| disk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.lock().change(Op::Remove, path, |disk| disk.remove(path, false))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.lock().change(Op::Remove, path, |disk| disk.remove(path, true))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.lock().change(Op::CreateDir, path, |disk| match disk.find(path) {
            Ok(ino) => disk.dir(ino).map(|_| ()),
            Err(_) => disk.make(path, Node::dir()),
        })
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let disk = self.0.lock();
        disk.alive()?;
        let dir = disk.dir(disk.find(path)?)?;
        let entry = |(name, ino): (&String, &Ino)| {
            let len = disk.file(*ino).map(|file| file.data.len() as u64);
            DirEntry { name: name.clone(), is_dir: len.is_err(), len: len.unwrap_or(0) }
        };
        Ok(dir.names.iter().map(entry).collect())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.lock().change(Op::SyncDir, path, |disk| {
            let ino = disk.find(path)?;
            disk.dir(ino)?;
            if !disk.ignore_dir_sync && !sabotage::is(Sabotage::NoDirectorySync) {
                disk.sync_names(ino);
            }
            Ok(())
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        if !self.exists(path)? {
            self.create(path)?;
        }
        if !self.0.lock().locks.insert(path.to_owned()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { fs: self.clone(), path: path.to_owned() }))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let disk = self.0.lock();
        disk.alive()?;
        disk.find(path)?;
        let free = disk.capacity.saturating_sub(disk.used());
        Ok(Space { total: disk.capacity, free })
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let disk = self.0.lock();
        disk.alive()?;
        Ok(disk.find(path).is_ok())
    }
}

/// An open file, for reading or writing.
#[derive(Debug)]
struct SimFile {
    fs: SimFs,
    ino: Ino,
    path: PathBuf,
    len: u64,
}

impl FsFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.fs.0.lock();
        let (written, result) = disk.append(self.ino, &self.path, bytes);
        self.len += written as u64;
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        self.fs.0.lock().sync(self.ino, &self.path)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut disk = self.fs.0.lock();
        disk.change(Op::Truncate, &self.path, |disk| {
            disk.file_mut(self.ino)?.truncate(usize::try_from(len).unwrap_or(usize::MAX));
            Ok(())
        })?;
        self.len = len;
        Ok(())
    }

    fn len(&self) -> u64 {
        self.len
    }
}

impl FsRead for SimFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn bytes(&self, offset: u64, len: u64) -> io::Result<Cow<'_, [u8]>> {
        let mut disk = self.fs.0.lock();
        disk.alive()?;
        disk.read_fault(&self.path, offset..offset.saturating_add(len))?;
        let data = &disk.file(self.ino)?.data;
        Ok(Cow::Owned(data[range(offset, len, data.len() as u64)?].to_vec()))
    }
}

#[derive(Debug)]
struct SimLock {
    fs: SimFs,
    path: PathBuf,
}

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.fs.0.lock().locks.remove(&self.path);
    }
}
