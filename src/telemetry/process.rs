//! What the kernel says about this process and its limits.

use std::fs;
use std::time::Duration;

/// Figures of the process, for the metrics that every client library calls `process_*`.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) open_fds: u64,
    pub(super) max_fds: u64,
    pub(super) threads: u64,
}

/// Clock ticks a second in `/proc`, which Linux fixes for all programs.
const TICKS: f64 = 100.0;

impl Process {
    /// The figures now; those that the kernel hides stay zero.
    pub(super) fn read() -> Self {
        let mut process = Self::default();
        if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
            process.read_stat(&stat);
        }
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            process.resident_bytes = kib_field(&status, "VmRSS:").unwrap_or(0);
        }
        if let Ok(limits) = fs::read_to_string("/proc/self/limits") {
            let line = limits.lines().find(|line| line.starts_with("Max open files"));
            let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
            process.max_fds = soft.unwrap_or(0);
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            process.open_fds = entries.count() as u64;
        }
        process
    }

    fn read_stat(&mut self, stat: &str) {
        // The program's name, in parentheses, may hold spaces: fields are counted behind it.
        let Some((_, rest)) = stat.rsplit_once(')') else { return };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
        #[expect(clippy::cast_precision_loss, reason = "ticks stay far below 2^53")]
        let seconds = |ticks: u64| ticks as f64 / TICKS;
        self.cpu_seconds = seconds(number(11).unwrap_or(0)) + seconds(number(12).unwrap_or(0));
        self.threads = number(17).unwrap_or(0);
        self.virtual_bytes = number(20).unwrap_or(0);
    }
}

/// Processor time that the calling thread has taken.
pub(crate) fn thread_cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

/// Bytes of memory that the process has, and of files that are mapped into it and in memory.
pub(crate) fn resident_memory() -> Option<(u64, u64)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    Some((kib_field(&status, "RssAnon:")?, kib_field(&status, "RssFile:")?))
}

/// Memory that the process may use: the smallest of the host's and its cgroup's.
pub(crate) fn available_memory() -> u64 {
    let host = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| kib_field(&text, "MemTotal:"))
        .unwrap_or(1 << 30);
    cgroup_limits().chain([host]).min().unwrap_or(host)
}

fn cgroup_limits() -> impl Iterator<Item = u64> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut files = vec![
        "/sys/fs/cgroup/memory.max".to_owned(),
        "/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned(),
    ];
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        match (parts.next(), parts.next()) {
            (Some(""), Some(path)) => files.push(format!("/sys/fs/cgroup{path}/memory.max")),
            (Some("memory"), Some(path)) => {
                files.push(format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"));
            }
            _ => {}
        }
    }
    files.into_iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
}

fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_does_not_shift_the_fields() {
        let mut process = Process::default();
        process.read_stat(
            "42 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 7 0 99 123456 30 18446744073709551615",
        );
        assert_eq!(
            (process.cpu_seconds, process.threads, process.virtual_bytes),
            (3.0, 7, 123_456)
        );
    }

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let process = Process::read();
        assert!(process.resident_bytes > 0 && process.open_fds > 0 && process.max_fds > 0);
        assert!(available_memory() >= process.resident_bytes);
        assert!(resident_memory().is_some_and(|(anonymous, mapped)| anonymous > 0 && mapped > 0));
    }
}
