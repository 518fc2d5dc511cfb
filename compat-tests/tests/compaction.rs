//! A day of samples is flushed and compacted while it is written and queried: no answer misses a
//! sample that was acknowledged before the query, has one twice, or has one that was not sent
//! (reliability contract P3, P12).
//!
//! `COMPAT_DAY_SECONDS` is the time that writing the day takes (30).

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use compat_tests::http::Client;
use compat_tests::promql::{Query, close};
use compat_tests::remote_write::{self, TimeSeries, series};
use compat_tests::report::say;
use compat_tests::rng::{Rng, now_ms, seed};
use compat_tests::server::Server;

const NUM_SERIES: usize = 40;
const STEP_MS: i64 = 15_000;
const HOUR: usize = 240;
/// Scrapes of a day and of the hours behind it that close it.
const NUM_SCRAPES: usize = 29 * HOUR;
const SCRAPES_PER_REQUEST: usize = 20;
const DAY_MS: i64 = 86_400_000;
/// Time that flushes and merges get after the last write.
const SETTLE: Duration = Duration::from_secs(90);

const SENT: u8 = 1;
const ACKED: u8 = 2;

/// What a row is beside the scrape that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The scrape itself, in order.
    Scrape,
    /// A late row between this scrape and the next.
    Late,
    /// A late row at the time of the scrape, with the value that counts.
    Correction,
}

const KINDS: [Kind; 3] = [Kind::Scrape, Kind::Late, Kind::Correction];

/// Every row that may ever be sent, and how far each is.
struct Truth {
    start_ms: i64,
    states: Vec<AtomicU8>,
    /// Scrapes that were sent.
    written: AtomicUsize,
}

impl Truth {
    fn new(start_ms: i64) -> Self {
        let len = NUM_SERIES * NUM_SCRAPES * KINDS.len();
        let states = (0..len).map(|_| AtomicU8::new(0)).collect();
        Self { start_ms, states, written: AtomicUsize::new(0) }
    }

    fn state(&self, series: usize, scrape: usize, kind: Kind) -> &AtomicU8 {
        &self.states[(series * NUM_SCRAPES + scrape) * KINDS.len() + kind as usize]
    }

    fn t_ms(&self, scrape: usize, kind: Kind) -> i64 {
        let between = if kind == Kind::Late { STEP_MS / 2 } else { 0 };
        self.start_ms + i64::try_from(scrape).expect("a day of scrapes") * STEP_MS + between
    }

    fn value(series: usize, scrape: usize, kind: Kind) -> f64 {
        let number = u32::try_from(scrape * NUM_SERIES + series).expect("a day of scrapes");
        f64::from(number) * [1.0, 0.5, -0.25][kind as usize]
    }

    /// Sends rows and notes what became of them.
    fn send(&self, client: &mut Client, rows: &[(usize, usize, Kind)]) {
        let mut batch: Vec<TimeSeries> = Vec::new();
        for chunk in rows.chunk_by(|a, b| a.0 == b.0) {
            let samples: Vec<(i64, f64)> = chunk
                .iter()
                .map(|&(series, at, kind)| (self.t_ms(at, kind), Self::value(series, at, kind)))
                .collect();
            let id = chunk[0].0.to_string();
            batch.push(series(&[("__name__", "m"), ("id", id.as_str())], &samples));
        }
        let note = |state: u8| {
            for &(series, scrape, kind) in rows {
                self.state(series, scrape, kind).store(state, Ordering::SeqCst);
            }
        };
        note(SENT);
        let answer = remote_write::write(client, batch).expect("an answer");
        assert_eq!(answer.status, 204, "{}", answer.brief());
        note(ACKED);
    }

    /// States of a series' rows in a range of scrapes.
    fn states(&self, series: usize, scrapes: std::ops::Range<usize>) -> Vec<[u8; 3]> {
        let one = |at| KINDS.map(|kind| self.state(series, at, kind).load(Ordering::SeqCst));
        scrapes.map(one).collect()
    }

    /// Reads some hours of a series and compares.
    fn check(&self, client: &mut Client, series: usize, scrapes: std::ops::Range<usize>) {
        let before = self.states(series, scrapes.clone());
        let end_ms = self.t_ms(scrapes.end, Kind::Scrape) - 1;
        let range_ms = end_ms - self.t_ms(scrapes.start, Kind::Scrape) + 1;
        let query = Query::at(&format!("m{{id=\"{series}\"}}[{range_ms}ms]"), end_ms);
        let answer = query.run(client);
        let after = self.states(series, scrapes.clone());
        assert_eq!(answer.status, 200, "{query}: {}", answer.error);
        let got = answer.series().first().map(|s| s.floats.clone()).unwrap_or_default();
        assert!(got.is_sorted_by(|a, b| a.0 < b.0), "{query}: a time twice");
        let mut got = got.into_iter().peekable();
        for (at, (before, after)) in scrapes.zip(before.into_iter().zip(after)) {
            let mut demand = |kinds: &[Kind]| {
                let t_ms = self.t_ms(at, kinds[0]);
                let value = got.next_if(|sample| sample.0 == t_ms).map(|sample| sample.1);
                // What was acknowledged last before the query, or anything sent by its end.
                let settled = kinds.iter().rev().find(|kind| before[**kind as usize] == ACKED);
                let allowed: Vec<f64> = kinds
                    .iter()
                    .filter(|&kind| {
                        Some(kind) == settled
                            || after[*kind as usize] > before[*kind as usize]
                            || after[*kind as usize] == SENT
                    })
                    .map(|kind| Self::value(series, at, *kind))
                    .collect();
                match value {
                    Some(value) => assert!(
                        allowed.iter().any(|want| close(*want, value)),
                        "{query}: {value} at {t_ms}, may be {allowed:?}"
                    ),
                    None => assert!(settled.is_none(), "{query}: nothing at {t_ms}"),
                }
            };
            demand(&[Kind::Scrape, Kind::Correction]);
            demand(&[Kind::Late]);
        }
        assert_eq!(got.next(), None, "{query}: a sample that nobody sent");
    }

    fn check_all(&self, client: &mut Client) {
        for series in 0..NUM_SERIES {
            self.check(client, series, 0..NUM_SCRAPES);
        }
    }
}

/// Writes the day in `time`: scrapes in order, and now and then late rows and corrections.
fn write_day(truth: &Truth, server: &Server, rng: &mut Rng, time: Duration) {
    let began = Instant::now();
    let mut client = server.client();
    for first in (0..NUM_SCRAPES).step_by(SCRAPES_PER_REQUEST) {
        let scrapes = first..first + SCRAPES_PER_REQUEST;
        let row = |series| scrapes.clone().map(move |at| (series, at, Kind::Scrape));
        truth.written.store(scrapes.end, Ordering::SeqCst);
        let rows: Vec<_> = (0..NUM_SERIES).flat_map(row).collect();
        truth.send(&mut client, &rows);
        if rng.one_in(4) {
            let mut late: Vec<(usize, usize, Kind)> = Vec::new();
            for _ in 0..rng.between(1, 30) {
                let series = usize::try_from(rng.below(NUM_SERIES as u64)).expect("a series");
                let scrape = usize::try_from(rng.below(first as u64 + 1)).expect("a scrape");
                let kind = KINDS[1 + usize::from(rng.one_in(2))];
                late.push((series, scrape, kind));
            }
            late.sort_unstable_by_key(|&(series, scrape, kind)| (series, scrape, kind as usize));
            late.dedup();
            truth.send(&mut client, &late);
        }
        let share = |n: usize| u32::try_from(n).expect("a day of scrapes");
        let due = time * share(scrapes.end) / share(NUM_SCRAPES);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
}

/// Asks about random hours until told to stop.
fn read_on(truth: &Truth, server: &Server, mut rng: Rng, stop: &AtomicBool) -> usize {
    let mut client = server.client();
    let mut queries = 0;
    while !stop.load(Ordering::Relaxed) {
        let written = truth.written.load(Ordering::SeqCst) as u64;
        let end = usize::try_from(rng.below(written + 1)).expect("a scrape");
        let len = usize::try_from(rng.between(1, 6 * HOUR as u64)).expect("hours");
        let series = usize::try_from(rng.below(NUM_SERIES as u64)).expect("a series");
        if end > 0 {
            truth.check(&mut client, series, end.saturating_sub(len)..end);
            queries += 1;
        }
    }
    queries
}

/// Number of blocks, and the longest one's share of a day.
fn blocks(server: &Server) -> (usize, i64) {
    let json = server.get("/api/v1/status/tsdb/blocks", &[]).json();
    let list = json["data"]["blocks"].as_array().expect("a list of blocks");
    let length = |block: &serde_json::Value| {
        block["maxTime"].as_i64().expect("a time") - block["minTime"].as_i64().expect("a time")
    };
    (list.len(), list.iter().map(length).max().unwrap_or_default())
}

#[test]
fn a_day_compacts_under_writes_and_queries_without_a_wrong_answer() {
    let time = std::env::var("COMPAT_DAY_SECONDS").map_or(30, |n| n.parse().expect("seconds"));
    let seed = seed();
    say(&format!("compaction: COMPAT_SEED={seed}"));
    let mut rng = Rng::new(seed);
    let mut server = Server::start(&[]);
    // A whole day of the calendar, which compaction makes one block of.
    let truth = Truth::new((now_ms() - 2 * DAY_MS).div_euclid(DAY_MS) * DAY_MS);
    let stop = AtomicBool::new(false);
    let (mut queries, mut most_blocks) = (0, 0);
    std::thread::scope(|scope| {
        let readers = [1, 2].map(|_| {
            let (rng, truth, server, stop) = (Rng::new(rng.bits()), &truth, &server, &stop);
            scope.spawn(move || read_on(truth, server, rng, stop))
        });
        write_day(&truth, &server, &mut rng, Duration::from_secs(time));
        let until = Instant::now() + SETTLE;
        loop {
            let (num, longest_ms) = blocks(&server);
            most_blocks = most_blocks.max(num);
            if longest_ms > DAY_MS * 9 / 10 {
                break;
            }
            assert!(Instant::now() < until, "the day is {num} blocks; the longest {longest_ms} ms");
            assert!(!readers.iter().any(ScopedJoinHandle::is_finished), "a wrong answer");
            std::thread::sleep(Duration::from_millis(200));
        }
        stop.store(true, Ordering::Relaxed);
        queries = readers.map(|reader| reader.join().expect("no wrong answer")).iter().sum();
    });
    truth.check_all(&mut server.client());
    server.kill();
    server.restart();
    truth.check_all(&mut server.client());
    let (num, _) = blocks(&server);
    say(&format!("compaction: {queries} queries meanwhile, {most_blocks} blocks became {num}"));
    assert!(queries > 100, "only {queries} queries ran");
}
