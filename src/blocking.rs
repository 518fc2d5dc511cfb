//! The border between async and sync: bounded pools, deadlines, cancellation, panics.
//!
//! A handler awaits its body and then runs one synchronous call here. A pool has permits for what
//! runs, and a bound on how long and with how many bytes others may wait; past that it sheds load.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use model::{Interrupt, Interrupted};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Why a call has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Shed {
    /// Every permit was taken for the whole waiting time, or too many bytes wait already.
    #[error("too many concurrent {0}")]
    Busy(&'static str),
    /// The call panicked; the process goes on.
    #[error("internal error")]
    Panicked,
}

/// A bounded pool.
#[derive(Debug)]
pub(crate) struct Pool {
    /// What runs here, as a plural, for messages.
    what: &'static str,
    permits: Arc<Semaphore>,
    size: usize,
    max_wait: Duration,
    max_queued_bytes: u64,
    queued_bytes: AtomicU64,
    panics: AtomicU64,
}

impl Pool {
    /// A pool that runs `size` calls at a time; others wait up to `max_wait` with `max_queued_bytes`
    /// of data in all.
    pub(crate) fn new(
        what: &'static str,
        size: usize,
        max_wait: Duration,
        max_queued_bytes: u64,
    ) -> Self {
        Self {
            what,
            permits: Arc::new(Semaphore::new(size)),
            size,
            max_wait,
            max_queued_bytes,
            queued_bytes: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    /// Calls that panicked.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Calls that run now.
    pub(crate) fn running(&self) -> usize {
        self.size - self.permits.available_permits()
    }

    /// Calls that can run at one time.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Waits for a permit on behalf of a call that holds `bytes`.
    ///
    /// # Errors
    /// [`Shed::Busy`].
    pub(crate) async fn enter(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Shed> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let waiting = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let _queued = Queued { pool: self, bytes };
        if waiting.saturating_add(bytes) > self.max_queued_bytes {
            return Err(Shed::Busy(self.what));
        }
        match tokio::time::timeout(self.max_wait, self.permits.clone().acquire_owned()).await {
            Ok(permit) => Ok(permit.expect("nobody closes the pool")),
            Err(_) => Err(Shed::Busy(self.what)),
        }
    }

    /// Runs `call` on a thread of its own. The permit goes with it: an abandoned call counts until
    /// it ends.
    ///
    /// # Errors
    /// [`Shed::Panicked`].
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Shed> {
        let done = tokio::task::spawn_blocking(move || {
            let result = std::panic::catch_unwind(AssertUnwindSafe(call));
            drop(permit);
            result
        });
        if let Ok(Ok(result)) = done.await {
            return Ok(result);
        }
        self.panics.fetch_add(1, Ordering::Relaxed);
        Err(Shed::Panicked)
    }
}

struct Queued<'a> {
    pool: &'a Pool,
    bytes: u64,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.pool.queued_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The interrupt of a request: fires once, by deadline or because the client left.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicU8);

const CANCELED: u8 = 1;
const TIMED_OUT: u8 = 2;

impl Flag {
    fn raise(&self, why: u8) {
        let _ = self.0.compare_exchange(0, why, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Interrupt for Flag {
    fn check(&self) -> Result<(), Interrupted> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            TIMED_OUT => Err(Interrupted::TimedOut),
            _ => Err(Interrupted::Canceled),
        }
    }
}

/// Holds a deadline over a call; dropped before the call ends, which hyper does when the client
/// leaves, it cancels.
pub(crate) struct Deadline {
    flag: Arc<Flag>,
    at: tokio::time::Instant,
}

impl Deadline {
    /// A deadline `after` from now.
    pub(crate) fn new(after: Duration) -> Self {
        Self { flag: Arc::default(), at: tokio::time::Instant::now() + after }
    }

    /// What the call polls.
    pub(crate) fn flag(&self) -> Arc<Flag> {
        self.flag.clone()
    }

    /// Awaits `call`; past the deadline the flag is raised and the call ends itself.
    pub(crate) async fn over<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = std::pin::pin!(call);
        tokio::select! {
            result = call.as_mut() => return result,
            () = tokio::time::sleep_until(self.at) => self.flag.raise(TIMED_OUT),
        }
        call.await
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.flag.raise(CANCELED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn a_full_pool_sheds_after_the_wait_and_by_bytes_at_once() {
        runtime().block_on(async {
            let pool = Pool::new("writes", 1, Duration::from_millis(20), 100);
            let held = pool.enter(1).await.unwrap();
            assert_eq!(pool.enter(1).await.unwrap_err(), Shed::Busy("writes"));
            assert_eq!(pool.enter(101).await.unwrap_err(), Shed::Busy("writes"));
            assert_eq!((pool.running(), pool.queued_bytes.load(Ordering::Relaxed)), (1, 0));
            drop(held);
            drop(pool.enter(1000).await.unwrap());
        });
    }

    #[test]
    fn a_panic_is_an_error_and_gives_its_permit_back() {
        runtime().block_on(async {
            let pool = Pool::new("queries", 1, Duration::from_secs(5), 0);
            let permit = pool.enter(0).await.unwrap();
            let result = pool.run(permit, || -> u8 { panic!("as the test wants") }).await;
            assert_eq!((result, pool.panics()), (Err(Shed::Panicked), 1));
            let permit = pool.enter(0).await.unwrap();
            assert_eq!(pool.run(permit, || 7).await, Ok(7));
        });
    }

    #[test]
    fn the_flag_says_why_and_the_first_reason_stays() {
        runtime().block_on(async {
            let deadline = Deadline::new(Duration::from_millis(5));
            let flag = deadline.flag();
            assert_eq!(flag.check(), Ok(()));
            deadline.over(tokio::time::sleep(Duration::from_millis(20))).await;
            assert_eq!(flag.check(), Err(Interrupted::TimedOut));
            drop(deadline);
            assert_eq!(flag.check(), Err(Interrupted::TimedOut));

            let abandoned = Deadline::new(Duration::from_secs(5));
            let flag = abandoned.flag();
            drop(abandoned);
            assert_eq!(flag.check(), Err(Interrupted::Canceled));
        });
    }
}
