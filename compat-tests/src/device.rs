//! A disk of one's own: a loop device with a file system, whose power can be cut.
//!
//! The cut is the shutdown call of ext4 and xfs: from there on the file system writes nothing more,
//! and what it had not written is gone after the next mount. What it had written is in the file
//! below, as on a disk without a volatile cache.
//!
//! An ext4 without a journal writes names on its own account, whatever the call says: its cut is a copy
//! of the file below, as it is at that moment, whose files then make a new disk
//! ([`Device::cut_to_copy`], [`Device::wake_with_copy`]). It alone loses a name whose directory was not synced; journals write all
//! names with the next file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use tempfile::TempDir;

/// Bytes of the device; a sparse file, so only what is written takes room. Smaller ones xfs refuses.
pub const DEVICE_BYTES: u64 = 320 << 20;

/// A file system and how it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem {
    /// `ext4`, [`NO_JOURNAL`], `xfs`, or `tmpfs`, which has no device below it and is empty after each mount.
    pub kind: &'static str,
    /// Mount options, comma separated.
    pub options: &'static str,
}

/// An ext4 without a journal, as the kind of a [`FileSystem`].
pub const NO_JOURNAL: &str = "ext4-without-journal";

/// How the power goes: what the file system may still do. The numbers are the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Everything is synced first; what comes behind the call is lost.
    Synced = 0,
    /// The journal is written, the data is not: sizes without content.
    JournalOnly = 1,
    /// Nothing more is written.
    Nothing = 2,
}

impl Cut {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::JournalOnly, Self::Synced];
}

/// A loop device and its mount point. Dropping it unmounts, detaches and removes both.
#[derive(Debug)]
pub struct Device {
    dir: TempDir,
    node: String,
    mounted: bool,
}

impl Device {
    /// A device of `bytes`.
    ///
    /// # Errors
    /// Why there can be none: no root, no loop device, no program for it.
    pub fn new(bytes: u64) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("not root".to_owned());
        }
        let text = |e: io::Error| e.to_string();
        let dir = TempDir::with_prefix("silverback-device-").map_err(text)?;
        let image = dir.path().join("image");
        File::create(&image).and_then(|file| file.set_len(bytes)).map_err(text)?;
        std::fs::create_dir(dir.path().join("mount")).map_err(text)?;
        let node = run(Command::new("losetup").args(["--find", "--show"]).arg(&image))?;
        Ok(Self { dir, node: node.trim().to_owned(), mounted: false })
    }

    /// Where it is mounted.
    pub fn mount_point(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    /// Makes an empty file system.
    ///
    /// # Errors
    /// What the program for it said, or that there is none.
    pub fn format(&mut self, kind: &str) -> Result<(), String> {
        self.unmount().map_err(|e| e.to_string())?;
        if kind == "tmpfs" {
            return Ok(());
        }
        let (program, flags): (_, &[&str]) = match kind {
            "xfs" => ("mkfs.xfs", &["-q", "-f"]),
            // What tells a check that inodes were never used is written late, too.
            NO_JOURNAL => {
                let without = "^has_journal,^metadata_csum,^uninit_bg";
                ("mkfs.ext4", &["-q", "-F", "-m0", "-O", without])
            }
            _ => ("mkfs.ext4", &["-q", "-F", "-m0"]),
        };
        run(Command::new(program).args(flags).arg(&self.node)).map(drop)
    }

    /// As [`Device::format`] with ext4, with as few inodes as it makes.
    ///
    /// # Errors
    /// As there.
    pub fn format_with_few_files(&mut self) -> Result<(), String> {
        self.unmount().map_err(|e| e.to_string())?;
        let mut make = Command::new("mkfs.ext4");
        run(make.args(["-q", "-F", "-m0", "-N", "16"]).arg(&self.node)).map(drop)
    }

    /// Mounts it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn mount(&mut self, fs: FileSystem) -> io::Result<()> {
        let options = std::ffi::CString::new(fs.options)?;
        let kind = if fs.kind == NO_JOURNAL { "ext4" } else { fs.kind };
        mount(&self.node, self.mount_point(), kind, MountFlags::NOATIME, &*options)?;
        self.mounted = true;
        Ok(())
    }

    /// Unmounts it; whoever had it open must be gone.
    ///
    /// # Errors
    /// What the kernel says after a second of trying: others may look at a mount for a moment.
    pub fn unmount(&mut self) -> io::Result<()> {
        let began = Instant::now();
        while self.mounted {
            match unmount(self.mount_point(), UnmountFlags::empty()) {
                Ok(()) => self.mounted = false,
                Err(error) if began.elapsed() > Duration::from_secs(1) => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        Ok(())
    }

    /// Lets an ext4 give up on its journal, as after a failed write of its own: from here on it is
    /// read-only, whoever writes.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn give_up(&self) -> io::Result<()> {
        Ok(mount_remount(self.mount_point(), MountFlags::NOATIME, "abort")?)
    }

    /// Cuts the power.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn cut(&self, cut: Cut) -> io::Result<()> {
        shutdown(&self.mount_point(), cut as u32)
    }

    /// Cuts the power of an ext4 without a journal. Nobody may write while it is called; [`Device::wake_with_copy`] has to
    /// follow before the next mount.
    ///
    /// # Errors
    /// What the programs say.
    pub fn cut_to_copy(&self) -> Result<(), String> {
        let [image, copy] = ["image", "copy"].map(|name| self.dir.path().join(name));
        run(Command::new("cp").arg("--sparse=always").arg(image).arg(copy)).map(drop)
    }

    /// Unmounts, and makes a new disk with the files that the copy has. A name without an inode behind it, which a
    /// check of the file system would remove, is left out.
    ///
    /// Nothing is mended: a deleted file whose end was not written still claims its blocks, and where the index of a
    /// synced file has taken one of them over, a check that clears the one destroys the other.
    ///
    /// # Errors
    /// What the programs say.
    pub fn wake_with_copy(&mut self) -> Result<(), String> {
        let text = |e: io::Error| e.to_string();
        self.unmount().map_err(text)?;
        // Another device: what the old one had in memory is no part of the disk.
        run(Command::new("losetup").arg("--detach").arg(&self.node))?;
        let [image, copy, files] =
            ["image", "copy", "files"].map(|name| self.dir.path().join(name));
        std::fs::rename(copy, &image).map_err(text)?;
        let node = run(Command::new("losetup").args(["--find", "--show"]).arg(&image))?;
        node.trim().clone_into(&mut self.node);
        let read_only = MountFlags::RDONLY | MountFlags::NOATIME;
        mount(&self.node, self.mount_point(), "ext4", read_only, c"").map_err(|e| e.to_string())?;
        self.mounted = true;
        let data = self.mount_point().join("data");
        // It says so by its exit code that some names lead nowhere.
        Command::new("cp").arg("-a").arg(&data).arg(&files).output().map_err(text)?;
        std::fs::create_dir_all(&files).map_err(text)?;
        self.format(NO_JOURNAL)?;
        self.mount(FileSystem { kind: NO_JOURNAL, options: "" }).map_err(text)?;
        run(Command::new("cp").arg("-a").arg(&files).arg(&data))?;
        std::fs::remove_dir_all(&files).map_err(text)?;
        self.unmount().map_err(text)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.mounted {
            let _ = unmount(self.mount_point(), UnmountFlags::DETACH);
        }
        let _ = run(Command::new("losetup").arg("--detach").arg(&self.node));
    }
}

#[expect(unsafe_code, reason = "the call has no safe wrapper")]
fn shutdown(mount_point: &Path, flag: u32) -> io::Result<()> {
    /// `_IOR('X', 125, __u32)`: `EXT4_IOC_SHUTDOWN` and `XFS_IOC_GOINGDOWN`.
    const SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
    let root = File::open(mount_point)?;
    // SAFETY: the call reads 32 bits, which are there, and writes nothing. Another file system does
    // not know the number and says so.
    let called =
        unsafe { rustix::ioctl::ioctl(&root, rustix::ioctl::Setter::<SHUTDOWN, u32>::new(flag)) };
    Ok(called?)
}

/// What `command` printed.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{name}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name}: {}", text.lines().next().unwrap_or("it failed")))
}
