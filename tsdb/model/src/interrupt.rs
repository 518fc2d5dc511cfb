//! How a long computation learns that nobody wants its result any more.

/// Why a computation must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Interrupted {
    /// The client went away or the server is stopping.
    #[error("canceled")]
    Canceled,
    /// The deadline passed.
    #[error("timed out")]
    TimedOut,
}

/// Polled by the engine and by storage at least every 10 ms of work (reliability contract,
/// section 5). The caller owns the clock; an implementation is an atomic load.
pub trait Interrupt: Send + Sync {
    /// `Err` once the computation must stop.
    ///
    /// # Errors
    /// The reason to stop.
    fn check(&self) -> Result<(), Interrupted>;
}

/// An interrupt that never fires, for tests and tools.
#[derive(Debug, Clone, Copy, Default)]
pub struct NeverInterrupted;

impl Interrupt for NeverInterrupted {
    fn check(&self) -> Result<(), Interrupted> {
        Ok(())
    }
}
