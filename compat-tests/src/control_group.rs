//! A control group with a limit, for starting a server under it.

use std::io;
use std::path::{Path, PathBuf};

/// A control group of version 1 or 2. Dropping it removes it; its processes must be gone.
#[derive(Debug)]
pub struct ControlGroup(PathBuf);

impl ControlGroup {
    /// A group whose processes may have `bytes` of memory together.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn of_memory(bytes: u64) -> Result<Self, String> {
        let bytes = bytes.to_string();
        Self::new("memory", &[("memory", "memory.limit_in_bytes"), ("", "memory.max")], &bytes)
    }

    /// A group whose threads can be counted.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn of_processes() -> Result<Self, String> {
        Self::new("pids", &[("pids", "pids.max"), ("", "pids.max")], "max")
    }

    /// Processes and threads that the group may have together; `None` for no limit. Those that are
    /// there stay.
    ///
    /// # Errors
    /// What the system says.
    pub fn limit_processes(&self, count: Option<u64>) -> io::Result<()> {
        let text = count.map_or("max".to_owned(), |count| count.to_string());
        std::fs::write(self.0.join("pids.max"), text)
    }

    /// A group below the first of `places`, each a directory and the file of the limit, that there is.
    fn new(what: &str, places: &[(&str, &str)], limit: &str) -> Result<Self, String> {
        let name = format!("silverback-test-{}-{what}-{limit}", std::process::id());
        let mut why = format!("no {what} controller");
        for (place, file) in places {
            let root = Path::new("/sys/fs/cgroup").join(place);
            if !root.join("cgroup.procs").is_file() {
                continue;
            }
            let group = Self(root.join(&name));
            let made = std::fs::create_dir(&group.0)
                .and_then(|()| std::fs::write(group.0.join(file), limit));
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

impl Drop for ControlGroup {
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
