//! Gives memory that nobody uses back to the system. The allocator is glibc's where the system has it;
//! others are left as they are.

/// Shares of the memory limit that an arena's end may keep.
#[cfg(target_env = "gnu")]
const KEPT_SHARE: u64 = 128;
/// Free bytes at the end of an arena that are worth keeping, and those that are not worth giving back.
#[cfg(target_env = "gnu")]
const KEPT: std::ops::RangeInclusive<u64> = 1 << 20..=64 << 20;
/// Bytes of an allocation that gets a map of its own: where glibc itself arrives once as much was freed,
/// and it moves no further once the other bound is set.
#[cfg(target_env = "gnu")]
const MAPPED_FROM: i32 = 32 << 20;

/// Bounds what the allocator keeps of a budget of `limit` bytes; before there are threads.
///
/// [`trim`] gives back what is free inside of arenas, but of all arenas save one not what is free at
/// their end: that goes only when something beside it is freed and it is longer than this. By itself
/// glibc keeps up to 64 MiB there, of each of up to eight arenas a processor.
#[cfg(target_env = "gnu")]
pub(crate) fn tune(limit: u64) {
    let kept = (limit / KEPT_SHARE).clamp(*KEPT.start(), *KEPT.end());
    let kept = i32::try_from(kept).expect("64 MiB at most");
    #[expect(unsafe_code, reason = "functions of C")]
    // SAFETY: they set numbers, under the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
        libc::mallopt(libc::M_TRIM_THRESHOLD, kept);
    }
}

/// Gives free memory back to the system: the allocator alone keeps what lies between pieces in use.
#[cfg(target_env = "gnu")]
pub(crate) fn trim() {
    #[expect(unsafe_code, reason = "a function of C")]
    // SAFETY: it takes the allocator's own locks and touches free memory only; any thread may call it.
    let _ = unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn tune(_: u64) {}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn trim() {}
