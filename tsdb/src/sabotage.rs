//! Ways to break storage on purpose, so that the harnesses that must catch it can be tested
//! (reliability contract, section 7: a harness that misses one is not evidence).
//!
//! Only a build with the feature `sabotage`, which no release has, can be broken; in every other the
//! question is the constant `false` and what stands behind it is not compiled in.

/// One way. Each is asked for at the place that it breaks and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Sabotage {
    /// The log is written and never synced.
    NoWalSync = 1,
    /// A write is acknowledged before it is in the log.
    AckBeforeWrite,
    /// Names of files are never synced.
    NoDirectorySync,
    /// Files get their names before their content is synced.
    RenameBeforeSync,
    /// All checksums are the same.
    CrcIgnored,
    /// Replay applies each record twice.
    ReplayedTwice,
    /// After a restart the references of series begin anew.
    SeriesRefReused,
    /// A compaction drops tombstones and keeps what they delete.
    TombstoneLost,
    /// A compaction deletes its inputs before its output counts.
    ParentDeletedFirst,
    /// The segment of a failed write or sync is written to again.
    FragmentKept,
    /// The length in a frame is believed before it is compared with what is there.
    LengthTrusted,
    /// Retention counts back from the newest sample.
    RetentionBySampleTime,
}

impl Sabotage {
    /// Each of them.
    pub const ALL: [Self; 12] = [
        Self::NoWalSync,
        Self::AckBeforeWrite,
        Self::NoDirectorySync,
        Self::RenameBeforeSync,
        Self::CrcIgnored,
        Self::ReplayedTwice,
        Self::SeriesRefReused,
        Self::TombstoneLost,
        Self::ParentDeletedFirst,
        Self::FragmentKept,
        Self::LengthTrusted,
        Self::RetentionBySampleTime,
    ];

    /// Its name in the environment of a server, such as `no-wal-sync`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoWalSync => "no-wal-sync",
            Self::AckBeforeWrite => "ack-before-write",
            Self::NoDirectorySync => "no-directory-sync",
            Self::RenameBeforeSync => "rename-before-sync",
            Self::CrcIgnored => "crc-ignored",
            Self::ReplayedTwice => "replayed-twice",
            Self::SeriesRefReused => "series-ref-reused",
            Self::TombstoneLost => "tombstone-lost",
            Self::ParentDeletedFirst => "parent-deleted-first",
            Self::FragmentKept => "fragment-kept",
            Self::LengthTrusted => "length-trusted",
            Self::RetentionBySampleTime => "retention-by-sample-time",
        }
    }

    /// The inverse of [`Sabotage::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

#[cfg(feature = "sabotage")]
static CHOSEN: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// From here on the process does `sabotage`, or none.
#[cfg(feature = "sabotage")]
pub fn choose(sabotage: Option<Sabotage>) {
    let number = sabotage.map_or(0, |sabotage| sabotage as u8);
    CHOSEN.store(number, std::sync::atomic::Ordering::SeqCst);
}

/// Whether the process does `sabotage`.
#[cfg(feature = "sabotage")]
pub(crate) fn is(sabotage: Sabotage) -> bool {
    CHOSEN.load(std::sync::atomic::Ordering::Relaxed) == sabotage as u8
}

/// Whether the process does `sabotage`: never, in a build without the feature.
#[cfg(not(feature = "sabotage"))]
pub(crate) const fn is(_: Sabotage) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own_and_none_is_done_unasked() {
        for one in Sabotage::ALL {
            assert_eq!(Sabotage::from_name(one.name()), Some(one));
            assert!(!is(one));
        }
        assert_eq!(Sabotage::from_name(""), None);
    }
}
