//! Senders that go on through a fault: what is refused, or gets no answer, they send again, as agents
//! do. What the server has in the end is judged by the oracle.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::oracle::{Door, Signals, Verdict, Writer};
use crate::rng::{Rng, now_ms, seed};
use crate::server::Server;

/// Longest time from the end of a fault to the next acknowledged write (reliability contract F9).
pub const RESUME: Duration = Duration::from_secs(5);

/// A line that no fault excuses, and those of data that cannot be read.
const PANIC: &str = "panicked at";
const UNREADABLE: [&str; 2] = ["samples of a block are missing", "damage in the log"];

/// Requests that were acknowledged so far, all senders together.
#[derive(Debug, Default)]
pub struct Acked(AtomicUsize);

impl Acked {
    /// How many.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Waits until writes are acknowledged again; gives the time that took.
    ///
    /// # Panics
    /// When that takes longer than [`RESUME`].
    pub fn await_more(&self) -> Duration {
        let (before, began) = (self.count(), Instant::now());
        // One that was on its way while the fault lasted does not count, and there are four senders.
        while self.count() < before + 8 {
            assert!(began.elapsed() < RESUME + RESUME, "no write for twice the time");
            std::thread::sleep(Duration::from_millis(2));
        }
        let resumed = began.elapsed();
        assert!(resumed <= RESUME, "writes are taken again after {resumed:?}");
        resumed
    }
}

/// Four senders through three doors, and what they were promised.
#[derive(Debug)]
pub struct Senders {
    /// Where the fault gets its random numbers.
    pub rng: Rng,
    name: String,
    seed: u64,
    writers: Vec<Writer>,
    acked: Acked,
    reads_fail: bool,
}

impl Senders {
    /// Senders for the fault called `name`.
    pub fn new(name: &str) -> Self {
        let seed = seed();
        let mut rng = Rng::new(seed);
        let doors = [Door::RemoteWrite, Door::LineV1, Door::RemoteWrite, Door::LineV2];
        let (run, base_ms) = (format!("senders-{seed}"), now_ms() - 40 * 3_600_000);
        let writers = (0..)
            .zip(doors)
            .map(|(id, door)| Writer::new(door, &run, id, base_ms, rng.bits()))
            .collect();
        let (name, acked) = (name.to_owned(), Acked::default());
        Self { rng, name, seed, writers, acked, reads_fail: false }
    }

    /// From now on the log may say that something could not be read.
    pub fn let_reads_fail(&mut self) {
        self.reads_fail = true;
    }

    /// All of them send while `fault` runs; in the end all is sent that had no answer.
    ///
    /// # Panics
    /// With what `fault` panics with, or when a request is refused in the end.
    pub fn send_while<T>(
        &mut self,
        server: &mut Server,
        fault: impl FnOnce(&mut Server, &Acked, &mut Rng) -> T,
    ) -> T {
        let signals = Signals::default();
        let (acked, rng, writers) = (&self.acked, &mut self.rng, &mut self.writers);
        let result = std::thread::scope(|scope| {
            for writer in writers {
                let (mut client, signals) = (server.client(), &signals);
                scope.spawn(move || writer.run_patiently(&mut client, signals, &acked.0));
            }
            // A failure in here must not leave them running.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                fault(server, acked, rng)
            }));
            signals.stop.store(true, Ordering::SeqCst);
            result
        });
        let result = result.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
        for writer in &mut self.writers {
            if let Err(why) = writer.resend_unknown(&mut server.client()) {
                self.fail(server, &format!("the fault is over, but {why}"));
            }
        }
        result
    }

    /// Requests that were answered with 503.
    pub fn num_refused(&self) -> usize {
        self.writers.iter().map(Writer::num_refused).sum()
    }

    /// Requests that were acknowledged.
    pub fn num_acked(&self) -> usize {
        self.acked.count()
    }

    /// The seed, for messages.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Fails unless the server has what it promised and its log shows neither a panic nor damage.
    ///
    /// # Panics
    /// See above. The directory is kept.
    pub fn demand(&self, server: &mut Server, when: &str) {
        let mut client = server.client();
        let mut verdict = Verdict::default();
        for writer in &self.writers {
            verdict.add(writer.verify(&mut client));
        }
        let log = server.log();
        let is_bad = |line: &&str| {
            let unreadable = || UNREADABLE.iter().any(|text| line.contains(text));
            line.contains(PANIC) || !self.reads_fail && unreadable()
        };
        let line = log.lines().find(is_bad);
        if !verdict.is_good() || line.is_some() {
            self.fail(server, &format!("{when}: {verdict:?}, in its log {line:?}"));
        }
    }

    /// What the server has of what it promised, while it may answer with errors and warnings.
    ///
    /// # Panics
    /// When it has what nobody sent, or lacks something and does not say so. The directory is kept.
    pub fn audit(&self, server: &mut Server, when: &str) {
        let mut client = server.client();
        for writer in &self.writers {
            let audit = writer.audit(&mut client);
            let lacks = audit.kept < audit.expected || audit.outdated > 0;
            if !audit.wrong.is_empty() || lacks && !audit.warned {
                self.fail(server, &format!("{when}: {audit:?}"));
            }
        }
    }

    fn fail(&self, server: &mut Server, why: &str) -> ! {
        let kept = server.keep_directory();
        panic!("{}, {why}; COMPAT_SEED={}; kept: {}", self.name, self.seed, kept.display());
    }
}
