//! A control group with a memory limit, for starting a server under it.

use std::path::{Path, PathBuf};

/// A control group of version 1 or 2. Dropping it removes it; its processes must be gone.
#[derive(Debug)]
pub struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// A group whose processes may have `bytes` together.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn new(bytes: u64) -> Result<Self, String> {
        let name = format!("silverback-test-{}-{}", std::process::id(), bytes);
        let places = [
            (Path::new("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
            (Path::new("/sys/fs/cgroup"), "memory.max"),
        ];
        let mut why = "no memory controller".to_owned();
        for (root, file) in places {
            if !root.join("cgroup.procs").is_file() {
                continue;
            }
            let group = Self(root.join(&name));
            let made = std::fs::create_dir(&group.0)
                .and_then(|()| std::fs::write(group.0.join(file), bytes.to_string()));
            match made {
                Ok(()) => return Ok(group),
                Err(error) => why = format!("{}: {error}", group.0.display()),
            }
        }
        Err(why)
    }

    /// A command that runs its last arguments in the group.
    pub fn wrapper(&self) -> Vec<String> {
        let script = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
        ["sh", "-c", script, &self.0.to_string_lossy()].map(str::to_owned).to_vec()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // The kernel lets go of the processes a moment after they are gone.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
