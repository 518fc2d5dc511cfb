//! Who runs the parts of a big query. The crate starts no thread: the caller lends some.

use std::sync::Arc;

/// What an [`Executor`] runs: called with the number of the part.
pub type Task = Arc<dyn Fn(usize) + Send + Sync>;

/// Runs parts of one query at the same time. The answer to a query is the same in every bit
/// whatever the width and whichever thread runs which part.
pub trait Executor: Send + Sync {
    /// How many parts it may run at the same time; 1 where the caller is alone.
    fn width(&self) -> usize;

    /// Calls `task` with each number below `parts`, in any order and at the same time as far as there
    /// are threads, and returns when every call has returned. A panic of a call is a panic of `run`.
    fn run(&self, parts: usize, task: Task);
}

/// Runs everything in the thread that asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct InCaller;

impl Executor for InCaller {
    fn width(&self) -> usize {
        1
    }

    fn run(&self, parts: usize, task: Task) {
        (0..parts).for_each(|part| task(part));
    }
}
