//! The write-ahead log: one framed record per request, group commit, segments.

pub mod record;

/// When an append is acknowledged (reliability contract, section 1). Ordered from the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub enum WalMode {
    /// After `fdatasync`, shared by the requests that wait at the same time.
    #[default]
    EveryWrite,
    /// After `write`; `fdatasync` at an interval.
    Periodic,
    /// After `write`; the kernel decides when to sync.
    OsDefault,
    /// No log at all.
    None,
}
