//! What a connection is doing and since when. The stream, the service and the response bodies
//! write it; the watchdog reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Config;

/// A moment that has not come.
const NEVER: i64 = i64::MAX;

/// The state of a connection; times are milliseconds since it began.
#[derive(Debug)]
pub(crate) struct Pulse {
    began: Instant,
    is_h2: bool,
    /// Requests whose answer is not out yet.
    open: AtomicUsize,
    /// When the last request ended: from then on the connection is idle.
    idle_since: AtomicI64,
    /// When the first byte of the next request came.
    head_since: AtomicI64,
    /// Since when a write does not get on.
    blocked_since: AtomicI64,
    /// When a response last handed out bytes and had more.
    answer_since: AtomicI64,
    /// Whether the head of the current request has both `Content-Length` and `Transfer-Encoding`.
    ambiguous: AtomicBool,
}

impl Pulse {
    pub(super) fn new(is_h2: bool) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            is_h2,
            open: AtomicUsize::new(0),
            idle_since: AtomicI64::new(0),
            head_since: AtomicI64::new(NEVER),
            blocked_since: AtomicI64::new(NEVER),
            answer_since: AtomicI64::new(NEVER),
            ambiguous: AtomicBool::new(false),
        })
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    /// Whether the framing of the current request is ambiguous, which smuggles requests past
    /// proxies.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.ambiguous.load(Relaxed)
    }

    /// A request begins; it is open until the guard drops.
    pub(crate) fn begin(self: &Arc<Self>) -> RequestGuard {
        self.open.fetch_add(1, Relaxed);
        self.head_since.store(NEVER, Relaxed);
        RequestGuard(self.clone())
    }

    /// Whether bytes that come now belong to the head of an HTTP/1 request.
    pub(super) fn awaits_head(&self) -> bool {
        !self.is_h2 && self.open.load(Relaxed) == 0
    }

    /// Bytes of a head came.
    pub(super) fn saw_head(&self) {
        let _ = self.head_since.compare_exchange(NEVER, self.now_ms(), Relaxed, Relaxed);
    }

    /// What the head of the request says about its framing.
    pub(super) fn set_ambiguous(&self, ambiguous: bool) {
        self.ambiguous.store(ambiguous, Relaxed);
    }

    /// The outcome of a write: whether the peer took bytes.
    pub(super) fn wrote(&self, blocked: bool) {
        if blocked {
            let _ = self.blocked_since.compare_exchange(NEVER, self.now_ms(), Relaxed, Relaxed);
        } else {
            self.blocked_since.store(NEVER, Relaxed);
        }
    }

    /// Why the connection must be cut off now.
    pub(super) fn overdue(&self, limits: Limits) -> Option<&'static str> {
        let now = self.now_ms();
        let late = |since: i64, limit: i64| since != NEVER && now.saturating_sub(since) > limit;
        if late(self.blocked_since.load(Relaxed), limits.stall_ms)
            || late(self.answer_since.load(Relaxed), limits.stall_ms)
        {
            return Some("write_stall");
        }
        if self.open.load(Relaxed) > 0 {
            return None;
        }
        match self.head_since.load(Relaxed) {
            NEVER => late(self.idle_since.load(Relaxed), limits.idle_ms).then_some("idle"),
            since => late(since, limits.head_ms).then_some("header"),
        }
    }
}

/// An open request. The body of its answer holds it, so that the sending counts.
#[derive(Debug)]
pub(crate) struct RequestGuard(Arc<Pulse>);

impl RequestGuard {
    /// The peer took bytes of the answer and there are more.
    pub(crate) fn answering(&self) {
        self.0.answer_since.store(self.0.now_ms(), Relaxed);
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.answer_since.store(NEVER, Relaxed);
        if self.0.open.fetch_sub(1, Relaxed) == 1 {
            self.0.idle_since.store(self.0.now_ms(), Relaxed);
        }
    }
}

/// How long a connection may do what it does, ms.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "units end a name")]
pub(super) struct Limits {
    idle_ms: i64,
    head_ms: i64,
    stall_ms: i64,
}

impl Limits {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            idle_ms: config.idle_timeout.as_i64(),
            head_ms: config.header_timeout.as_i64(),
            stall_ms: config.write_stall_timeout.as_i64(),
        }
    }

    /// How often to look: a tenth late at most, never more than 50 times a second.
    pub(super) fn tick(self) -> Duration {
        let shortest = self.idle_ms.min(self.head_ms).min(self.stall_ms);
        Duration::from_millis(u64::try_from(shortest / 10).unwrap_or(0).clamp(20, 1000))
    }
}
