//! A server that ends badly again and again, and the writers that know what it promised.
//!
//! One iteration: [`Torture::load`] sends until the server is made to end, [`Torture::recover`]
//! starts it, in one case of five with an end on the way, and judges. A directory serves some
//! iterations; [`Torture::conclude`] judges all of its runs once more.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::oracle::{Door, SPAN_MS, Signals, Verdict, Writer};
use crate::report::say;
use crate::rng::{Rng, now_ms, seed};
use crate::server::Server;

/// Iterations on one directory.
pub const LAPS: u64 = 10;
/// Settings under which a second of load is flushed, merged and cleaned many times.
pub const BUSY: [&str; 3] =
    ["--web.enable-admin-api", "--maintenance-interval=20ms", "--max-late-age=50ms"];

/// What the mode promises of acknowledged writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// All of them survive.
    All,
    /// In a power cut those that are older than this survive, and of the younger ones a prefix.
    Older(Duration),
}

/// Figures of all iterations.
#[derive(Debug, Default)]
pub struct Tally {
    /// Iterations that were judged.
    pub iterations: u64,
    /// Requests that were acknowledged.
    pub requests: usize,
    /// Ends on the way up.
    pub ends_in_recovery: u64,
    /// What the checks found.
    pub verdict: Verdict,
    /// Acknowledged requests that a mode was allowed to lose.
    pub forgone: usize,
    /// The oldest of them, before the cut.
    pub oldest_forgone: Duration,
    ready: Vec<Duration>,
}

/// See the module.
#[derive(Debug)]
pub struct Torture {
    /// The server at hand.
    pub server: Server,
    /// Where iterations get their random numbers.
    pub rng: Rng,
    /// Figures so far.
    pub tally: Tally,
    name: String,
    seed: u64,
    promise: Promise,
    began: Instant,
    lap: u64,
    ended_at: Instant,
    writers: Vec<Writer>,
    earlier: Vec<Writer>,
}

impl Torture {
    /// Tortures `server`, which runs on an empty directory. `name` is what figures and failures say.
    pub fn new(name: &str, server: Server, promise: Promise) -> Self {
        let seed = seed();
        Self {
            server,
            rng: Rng::new(seed),
            tally: Tally::default(),
            name: name.to_owned(),
            seed,
            promise,
            began: Instant::now(),
            lap: 0,
            ended_at: Instant::now(),
            writers: Vec::new(),
            earlier: Vec::new(),
        }
    }

    /// Time since the first iteration.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Requests of the iteration at hand that were acknowledged.
    pub fn num_acked(&self) -> usize {
        self.writers.iter().map(Writer::num_acked).sum()
    }

    /// Sends for `time`, every other time with deletes that are carried out meanwhile, and then lets
    /// `end` end the server.
    pub fn load(&mut self, time: Duration, end: impl FnOnce(&mut Server, &Signals)) {
        let run = format!("{}-{}", self.seed, self.tally.iterations);
        // Each lap's rows are later than those of the laps before, and all are in the past.
        let laps_left = i64::try_from(LAPS - self.lap % LAPS).expect("below LAPS");
        let base_ms = now_ms() - laps_left * SPAN_MS - 3_600_000;
        let doors = [Door::RemoteWrite, Door::LineV1, Door::RemoteWrite, Door::LineV2];
        let (rng, deletes) = (&mut self.rng, self.tally.iterations.is_multiple_of(2));
        let writer = |(id, door)| {
            let writer = Writer::new(door, &run, id, base_ms, rng.bits());
            if deletes { writer } else { writer.without_deletes() }
        };
        self.writers = (0..).zip(doors).map(writer).collect();
        let signals = Signals::default();
        std::thread::scope(|scope| {
            for writer in &mut self.writers {
                let (mut client, signals) = (self.server.client(), &signals);
                scope.spawn(move || writer.run(&mut client, signals));
            }
            let (mut client, signals, pause) =
                (self.server.client(), &signals, rng.between(5, 200));
            scope.spawn(move || {
                while deletes && !signals.stop.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(pause));
                    // What becomes of it is no matter: it changes no answer.
                    let _ = client.post_form("/api/v1/admin/tsdb/clean_tombstones", &[]);
                }
            });
            std::thread::sleep(time);
            self.ended_at = Instant::now();
            end(&mut self.server, signals);
            signals.stop.store(true, Ordering::SeqCst);
        });
        self.tally.requests += self.num_acked();
    }

    /// Starts the server again and judges what it has. In one case of five `end` ends it on its way
    /// up, up to three times in a row.
    ///
    /// # Panics
    /// With the findings, when a promise is broken.
    pub fn recover(&mut self, mut end: impl FnMut(&mut Server, &mut Rng)) {
        for _ in 0..3 {
            if !self.rng.one_in(5) {
                break;
            }
            self.server.spawn();
            std::thread::sleep(Duration::from_micros(self.rng.below(40_000)));
            end(&mut self.server, &mut self.rng);
            self.tally.ends_in_recovery += 1;
        }
        self.tally.ready.push(self.server.restart());
        let mut verdict = match self.promise {
            Promise::All => self.verify(false),
            Promise::Older(age) => self.verify_prefix(age),
        };
        self.demand(&verdict, "after the restart");
        let mut client = self.server.client();
        for writer in &mut self.writers {
            if let Err(why) = writer.resend_unknown(&mut client) {
                verdict.findings.push(why);
            }
        }
        verdict.add(self.verify(false));
        self.demand(&verdict, "with what had no answer sent again");
        self.tally.verdict.add(verdict);
        self.earlier.append(&mut self.writers);
        if self.rng.one_in(5) {
            self.restart_cleanly();
        }
        self.tally.iterations += 1;
        self.lap += 1;
    }

    /// Whether the directory has served its iterations.
    pub fn is_worn(&self) -> bool {
        self.lap == LAPS
    }

    /// A clean restart changes no answer.
    fn restart_cleanly(&mut self) {
        let export = |torture: &Self| -> Vec<_> {
            let mut client = torture.server.client();
            torture.earlier.iter().map(|writer| writer.export(&mut client)).collect()
        };
        let before = export(self);
        self.server.stop();
        self.server.restart();
        let mut verdict = self.verify(true);
        if export(self) != before {
            verdict.findings.push("a clean restart changed the export".to_owned());
        }
        self.demand(&verdict, "after a clean restart");
    }

    /// Judges all runs of the directory over three restarts, with deletes carried out.
    ///
    /// # Panics
    /// As [`Torture::recover`].
    pub fn conclude(&mut self) {
        for round in 0..3 {
            let cleaned =
                self.server.client().post_form("/api/v1/admin/tsdb/clean_tombstones", &[]);
            assert_eq!(cleaned.expect("an answer").status, 204, "tombstones are cleaned");
            if round == 1 {
                self.server.kill();
            } else {
                self.server.stop();
            }
            self.server.restart();
            let verdict = self.verify(true);
            self.demand(&verdict, &format!("all runs, restart {round}"));
        }
        self.server.kill();
    }

    /// Goes on with another server, on an empty directory.
    pub fn renew(&mut self, server: Server) {
        self.server = server;
        self.earlier.clear();
        self.lap = 0;
    }

    /// What the running server has of the writers of this iteration, judged.
    pub fn verdict(&self) -> Verdict {
        self.verify(false)
    }

    fn verify(&self, earlier: bool) -> Verdict {
        let mut client = self.server.client();
        let earlier = if earlier { &self.earlier[..] } else { &[] };
        earlier.iter().chain(&self.writers).fold(Verdict::default(), |mut all, writer| {
            all.add(writer.verify(&mut client));
            all
        })
    }

    fn verify_prefix(&mut self, age: Duration) -> Verdict {
        let mut client = self.server.client();
        let mut all = Verdict::default();
        for writer in &mut self.writers {
            let (mut verdict, suffix) = writer.verify_prefix(&mut client);
            self.tally.forgone += suffix.operations;
            if let Some(since) = suffix.since {
                let lost_age = self.ended_at.saturating_duration_since(since);
                self.tally.oldest_forgone = self.tally.oldest_forgone.max(lost_age);
                if lost_age > age {
                    verdict.lost += suffix.operations;
                    verdict
                        .findings
                        .push(format!("lost what was acknowledged {lost_age:?} before"));
                }
            }
            all.add(verdict);
        }
        all
    }

    /// Fails unless `verdict` is good and the server's log shows neither a panic nor damage.
    ///
    /// # Panics
    /// See above. The directory is kept.
    fn demand(&mut self, verdict: &Verdict, when: &str) {
        let log = self.server.log();
        let bad = ["panicked at", "samples of a block are missing", "damage in the log"];
        let line = log.lines().find(|line| bad.iter().any(|text| line.contains(text)));
        if verdict.is_good() && line.is_none() {
            return;
        }
        let kept = self.server.keep_directory();
        panic!(
            "{}, iteration {}, {when}: lost {}, phantom {}, double {}, torn {}, in its log {line:?}; \
             COMPAT_SEED={}; kept: {}\n{}",
            self.name,
            self.tally.iterations,
            verdict.lost,
            verdict.phantom,
            verdict.double,
            verdict.torn,
            self.seed,
            kept.display(),
            verdict.findings.join("\n")
        );
    }

    /// Prints the figures.
    ///
    /// # Panics
    /// When nothing was acknowledged: that proves nothing.
    pub fn finish(mut self) {
        self.tally.ready.sort_unstable();
        let Tally { iterations, requests, ends_in_recovery, verdict, forgone, ready, .. } =
            &self.tally;
        assert!(*requests > 0, "{}: the server acknowledged nothing", self.name);
        let quantile = |q: usize| ready[(ready.len() * q / 100).min(ready.len() - 1)];
        let allowed = match self.promise {
            Promise::All => String::new(),
            Promise::Older(_) => format!(
                ", {forgone} of them forgone, none older than {:?}",
                self.tally.oldest_forgone
            ),
        };
        say(&format!(
            "{}: {iterations} iterations in {:.0?} and {ends_in_recovery} ends in recovery, {requests} requests \
             acknowledged{allowed}, {} samples checked, lost {}, phantom {}, double {}, torn {}, ready p50 \
             {:.0?} p99 {:.0?}, seed {}",
            self.name,
            self.began.elapsed(),
            verdict.checked,
            verdict.lost,
            verdict.phantom,
            verdict.double,
            verdict.torn,
            quantile(50),
            quantile(99),
            self.seed
        ));
    }
}
