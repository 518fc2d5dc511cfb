//! Gives memory that nobody uses back to the system. The allocator is glibc's where the system has it;
//! others are left as they are.

/// The share of the memory limit that an arena's end may keep.
#[cfg(target_env = "gnu")]
const KEPT_SHARE: u64 = 128;
/// Bytes there that are not worth giving back, and those that are not worth keeping.
#[cfg(target_env = "gnu")]
const KEPT: std::ops::RangeInclusive<u64> = 1 << 20..=64 << 20;

/// From now on the allocator keeps little of a budget of `limit` bytes at the ends of its arenas.
///
/// [`trim`] gives back what is free inside of arenas, but of all arenas save one not what is free at
/// their end: that goes only when something beside it is freed and it is longer than a bound, which
/// glibc itself lets grow to 64 MiB, of each of up to eight arenas a processor. For when memory is
/// short: a server that has enough is a little smaller and faster with glibc's own bounds.
#[cfg(target_env = "gnu")]
pub(crate) fn keep_little(limit: u64) {
    let kept = (limit / KEPT_SHARE).clamp(*KEPT.start(), *KEPT.end());
    let kept = i32::try_from(kept).expect("64 MiB at most");
    #[expect(unsafe_code, reason = "a function of C")]
    // SAFETY: it sets a number that the allocator itself changes while threads free memory.
    let _ = unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, kept) };
}

/// Gives free memory back to the system: the allocator alone keeps what lies between pieces in use.
#[cfg(target_env = "gnu")]
pub(crate) fn trim() {
    #[expect(unsafe_code, reason = "a function of C")]
    // SAFETY: it takes the allocator's own locks and touches free memory only; any thread may call it.
    let _ = unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn keep_little(_: u64) {}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn trim() {}
