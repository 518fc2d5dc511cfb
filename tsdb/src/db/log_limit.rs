//! The bound on the log (reliability contract, L29 and R8). At the bound everything in memory is flushed and
//! a checkpoint taken; where that fails, and the log grows on to half as much again, writes are refused. So
//! it never gets twice as long, whatever fails.

use super::Db;
use super::steps::{Keep, StepError};
use crate::append::AppendError;

/// The bound where nothing is said: this, and no more than a tenth of the disk.
const DEFAULT_BYTES: u64 = 8 << 30;

/// The bound, given the setting and the size of the disk.
pub(super) fn bound(setting: u64, disk_bytes: u64) -> u64 {
    match setting {
        0 => DEFAULT_BYTES.min(disk_bytes / 10),
        bytes => bytes,
    }
}

impl Db {
    /// The bound on the log, bytes.
    pub const fn log_limit_bytes(&self) -> u64 {
        self.log_limit_bytes
    }

    pub(super) fn check_log(&self) -> Result<(), AppendError> {
        let (bytes, limit) = (self.wal.size_bytes(), self.log_limit_bytes);
        if bytes > limit.saturating_add(limit / 2) {
            Err(AppendError::LogFull { bytes, limit })
        } else {
            Ok(())
        }
    }

    /// Flushes and takes a checkpoint if the log has reached its bound. Returns whether it did.
    pub(super) fn shorten_log(&self) -> Result<bool, StepError> {
        let bytes = self.wal.size_bytes();
        if bytes <= self.log_limit_bytes {
            return Ok(false);
        }
        let mut maintenance = self.maintenance();
        tracing::warn!(bytes, limit = self.log_limit_bytes, "the log has reached its bound");
        if !self.is_short_of_disk()
            && let Err(error) = self.flush_everything(&mut maintenance)
        {
            // The checkpoint alone makes the log short: it holds what could not be flushed.
            self.counters.flushes_failed.add(1);
            tracing::error!(%error, "flush of a long log failed");
        }
        self.write_checkpoint(&mut maintenance, Keep::Series)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_eight_gibibytes_or_a_tenth_of_the_disk() {
        const GIB: u64 = 1 << 30;
        for (setting, disk, want) in [
            (0, 1000 * GIB, 8 * GIB),
            (0, 20 * GIB, 2 * GIB),
            (5, 20 * GIB, 5),
            (9 * GIB, GIB, 9 * GIB),
        ] {
            assert_eq!(bound(setting, disk), want);
        }
    }
}
