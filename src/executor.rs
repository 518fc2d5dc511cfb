//! The threads that big queries share. There is one fewer than processors, for as long as the process
//! lives: the thread that asks works too, so that a query goes on however busy the others are.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};
use promql::executor::{Executor, Task};

/// The threads.
pub(crate) struct QueryThreads {
    shared: Arc<Shared>,
    width: usize,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something was queued, or it is over.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// As many times as threads may help.
    jobs: VecDeque<Arc<Job>>,
    stopped: bool,
}

/// One call of [`Executor::run`].
struct Job {
    task: Task,
    parts: usize,
    /// The first part that nobody has taken.
    next: AtomicUsize,
    helpers: Mutex<Helpers>,
    /// A helper has left.
    left: Condvar,
}

#[derive(Default)]
struct Helpers {
    /// Threads that work on it, the one that asked left out.
    working: usize,
    /// The first panic.
    panic: Option<Box<dyn Any + Send>>,
}

impl Job {
    /// Does parts until none is left.
    fn work(&self) {
        loop {
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            if part >= self.parts {
                return;
            }
            (self.task)(part);
        }
    }

    /// As [`Job::work`], in a thread of the pool.
    fn help(&self) {
        {
            // Under the lock, so that the one who asked either sees this helper or has taken all parts.
            let mut helpers = self.helpers.lock();
            if self.next.load(Ordering::Relaxed) >= self.parts {
                return;
            }
            helpers.working += 1;
        }
        let result = catch_unwind(AssertUnwindSafe(|| self.work()));
        let mut helpers = self.helpers.lock();
        helpers.working -= 1;
        if let Err(panic) = result {
            helpers.panic.get_or_insert(panic);
        }
        drop(helpers);
        self.left.notify_all();
    }
}

impl QueryThreads {
    /// Starts threads so that `width` parts can run at a time; fewer where the system has none left.
    pub(crate) fn start(width: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let mut started = 1;
        for number in 1..width {
            let shared = Arc::clone(&shared);
            let builder = std::thread::Builder::new().name(format!("query-{number}"));
            started += usize::from(builder.spawn(move || serve(&shared)).is_ok());
        }
        Self { shared, width: started }
    }
}

fn serve(shared: &Shared) {
    loop {
        let mut queue = shared.queue.lock();
        let job = loop {
            if queue.stopped {
                return;
            }
            match queue.jobs.pop_front() {
                Some(job) => break job,
                None => shared.changed.wait(&mut queue),
            }
        };
        drop(queue);
        job.help();
    }
}

impl Executor for QueryThreads {
    fn width(&self) -> usize {
        self.width
    }

    fn run(&self, parts: usize, task: Task) {
        let (next, left) = (AtomicUsize::new(0), Condvar::new());
        let job = Arc::new(Job { task, parts, next, helpers: Mutex::default(), left });
        let helpers = parts.min(self.width).saturating_sub(1);
        {
            let mut queue = self.shared.queue.lock();
            queue.jobs.extend((0..helpers).map(|_| Arc::clone(&job)));
        }
        for _ in 0..helpers {
            self.shared.changed.notify_one();
        }
        let own = catch_unwind(AssertUnwindSafe(|| job.work()));
        // Also after a panic: the helpers must not be left alone with what is behind the task.
        job.next.store(parts, Ordering::Relaxed);
        let mut working = job.helpers.lock();
        while working.working > 0 {
            job.left.wait(&mut working);
        }
        let panic = working.panic.take();
        drop(working);
        // Whoever is still queued finds nothing to do; the queue need not hold it any longer.
        self.shared.queue.lock().jobs.retain(|queued| !Arc::ptr_eq(queued, &job));
        if let Some(panic) = own.err().or(panic) {
            resume_unwind(panic);
        }
    }
}

impl Drop for QueryThreads {
    fn drop(&mut self) {
        self.shared.queue.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn every_part_runs_once_whoever_runs_it() {
        let threads = QueryThreads::start(4);
        assert_eq!(threads.width(), 4);
        for parts in [0, 1, 2, 3, 7, 100] {
            let counts: Arc<Vec<AtomicU64>> =
                Arc::new((0..parts).map(|_| AtomicU64::new(0)).collect());
            let seen = Arc::clone(&counts);
            threads.run(
                parts,
                Arc::new(move |part| {
                    seen[part].fetch_add(1, Ordering::Relaxed);
                }),
            );
            assert!(counts.iter().all(|n| n.load(Ordering::Relaxed) == 1), "{parts} parts");
        }
    }

    #[test]
    fn queries_that_run_at_the_same_time_all_end() {
        let threads = QueryThreads::start(2);
        let sum = Arc::new(AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let (threads, sum) = (&threads, Arc::clone(&sum));
                scope.spawn(move || {
                    for _ in 0..200 {
                        let sum = Arc::clone(&sum);
                        threads.run(
                            3,
                            Arc::new(move |part| {
                                sum.fetch_add(part as u64, Ordering::Relaxed);
                            }),
                        );
                    }
                });
            }
        });
        assert_eq!(sum.load(Ordering::Relaxed), 8 * 200 * 3);
    }

    #[test]
    fn a_panic_in_a_part_is_one_of_the_caller_and_the_threads_go_on() {
        let threads = QueryThreads::start(2);
        for bad in 0..2 {
            let run = || threads.run(2, Arc::new(move |part| assert_ne!(part, bad, "on purpose")));
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        }
        let done = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&done);
        threads.run(
            2,
            Arc::new(move |_| {
                seen.fetch_add(1, Ordering::Relaxed);
            }),
        );
        assert_eq!(done.load(Ordering::Relaxed), 2);
    }
}
