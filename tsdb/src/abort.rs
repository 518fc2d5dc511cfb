//! The end of the process where a panic would leave storage half changed (reliability contract
//! R17). Recovery is the tested path; going on with what a panic left behind is not.

use std::fmt::{self, Debug};
use std::ops::{Deref, DerefMut};

use parking_lot::MutexGuard;

/// Ends the process when it is dropped in a panic.
#[derive(Debug)]
#[must_use]
pub struct AbortOnPanic(&'static str);

impl AbortOnPanic {
    /// Guards what the text says, such as `the log was written`.
    pub const fn new(what: &'static str) -> Self {
        Self(what)
    }
}

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("panic while {}; aborting", self.0);
            std::process::abort();
        }
    }
}

/// A lock that is held: a panic under it ends the process before anybody else gets the lock.
pub struct Held<G> {
    // Dropped in this order.
    _abort: AbortOnPanic,
    guard: G,
}

impl<G> Held<G> {
    /// Holds `guard`.
    pub const fn new(guard: G) -> Self {
        Self { _abort: AbortOnPanic::new("a storage lock was held"), guard }
    }
}

impl<T> Held<MutexGuard<'_, T>> {
    /// Gives the lock to whoever has waited longest, if anybody has: for a loop that takes it again.
    pub fn unlock_fair(self) {
        MutexGuard::unlock_fair(self.guard);
    }
}

impl<G: Deref> Deref for Held<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut> DerefMut for Held<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

impl<G: Debug> Debug for Held<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.guard.fmt(f)
    }
}
