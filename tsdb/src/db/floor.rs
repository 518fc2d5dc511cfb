//! The floor of free disk (reliability contract, limit L29): below it the database takes no writes, so
//! that what it has to write to stay sound has room.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Db;
use super::steps::StepError;
use crate::append::AppendError;
use crate::fs::Space;

/// How far above the floor writes are taken again, at most.
const MARGIN_BYTES: u64 = 512 << 20;

/// What must stay free of a volume where nothing else is said: 2 %, but no less than 256 MiB or 10 % of it,
/// whichever is smaller.
fn default_floor(total: u64) -> u64 {
    (total / 50).max((256 << 20).min(total / 10))
}

/// What must stay free, given the setting.
fn floor_of(space: Space, setting: u64) -> u64 {
    if setting == 0 { default_floor(space.total) } else { setting }
}

/// Whether there is too little room; `before` is the last answer, and `floor` 0 the default.
fn is_below(space: Space, floor: u64, before: bool) -> bool {
    let floor = floor_of(space, floor);
    let bound = if before {
        floor.saturating_mul(2).min(floor.saturating_add(MARGIN_BYTES))
    } else {
        floor
    };
    space.free < bound
}

impl Db {
    /// Looks how much of the disk is free. Below `floor` (0: 2 %, at least 256 MiB or 10 %) writes are
    /// refused and blocks are neither written nor compacted, until twice as much or 512 MiB more is
    /// free. Queries and retention go on. Returns whether that changed.
    ///
    /// # Errors
    /// [`StepError::Io`]; nothing changes then.
    pub fn disk_step(&self, floor: u64) -> Result<bool, StepError> {
        let space = self.fs.space(&self.dir)?;
        self.floor_bytes.store(floor_of(space, floor), Ordering::Relaxed);
        let before = self.is_short_of_disk();
        let now = is_below(space, floor, before);
        let why = now.then(|| Arc::new(format!("only {} bytes of disk are free", space.free)));
        let changed = now != before;
        // The number moves on, while it is short.
        self.short_of_disk.store(why);
        if changed && now {
            tracing::error!(free = space.free, "disk nearly full: writes are refused");
        } else if changed {
            tracing::warn!(free = space.free, "writes are taken again");
        }
        Ok(changed)
    }

    /// Size and free space of the volume that the database is on.
    ///
    /// # Errors
    /// What the system says.
    pub fn disk_space(&self) -> io::Result<Space> {
        self.fs.space(&self.dir)
    }

    /// Whether writes are refused for want of disk.
    pub fn is_short_of_disk(&self) -> bool {
        self.short_of_disk.load().is_some()
    }

    pub(super) fn check_disk(&self) -> Result<(), AppendError> {
        match &*self.short_of_disk.load() {
            None => Ok(()),
            Some(why) => Err(AppendError::ReadOnly(String::clone(why))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_has_hysteresis_and_fits_small_disks() {
        const MIB: u64 = 1 << 20;
        let space = |total: u64, free: u64| Space { total: total * MIB, free: free * MIB };
        for (total, floor) in [(100, 10), (1000, 100), (10_000, 256), (100_000, 2000)] {
            assert_eq!(default_floor(total * MIB) / MIB, floor, "{total}");
            assert!(is_below(space(total, floor - 1), 0, false));
            assert!(!is_below(space(total, floor + 1), 0, false));
            let back = (2 * floor).min(floor + 512);
            assert!(is_below(space(total, back - 1), 0, true), "{total}");
            assert!(!is_below(space(total, back + 1), 0, true), "{total}");
        }
        assert!(is_below(space(100, 50), 60 * MIB, false));
    }
}
