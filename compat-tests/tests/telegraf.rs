//! A stand-in for Telegraf that reacts to answers as its Influx outputs do (influx contract 7.1 and
//! 7.2), against a server that is given bad lines, too large batches, overload and a crash.
//!
//! What Telegraf believes decides what is lost: it drops a batch on a JSON 4xx, and sends it again
//! for ever on an error that is not JSON. So no good line may be dropped, and every buffer must empty.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use compat_tests::http::{Client, Response, chunked, gzip};
use compat_tests::promql::Query;
use compat_tests::report::say;
use compat_tests::rng::now_ms;
use compat_tests::server::Server;

/// Lines of a batch: `metric_batch_size`.
const BATCH: usize = 1_000;
/// Time until every buffer is empty.
const LIMIT: Duration = Duration::from_secs(40);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    V1,
    V2,
}

/// What an answer makes Telegraf do with the batch.
#[derive(Debug, PartialEq, Eq)]
enum Reaction {
    Done,
    Drop,
    Retry,
    Halve,
    CreateDatabase,
}

/// One agent with one output.
struct Agent {
    output: Output,
    client: Client,
    buffer: VecDeque<String>,
    dropped: Vec<String>,
    /// Batches that were dropped, with the answer.
    complaints: Vec<String>,
    num_requests: usize,
    num_overload: usize,
    num_halved: usize,
    num_unreachable: usize,
    /// Lines that it need not send again; shared with who watches.
    num_settled: Arc<AtomicUsize>,
}

impl Agent {
    fn new(output: Output, server: &Server) -> Self {
        Self {
            output,
            client: server.client(),
            buffer: VecDeque::new(),
            dropped: Vec::new(),
            complaints: Vec::new(),
            num_requests: 0,
            num_overload: 0,
            num_halved: 0,
            num_unreachable: 0,
            num_settled: Arc::default(),
        }
    }

    /// The call at the start of the v1 output.
    fn create_database(&mut self) -> bool {
        let sent = self.client.post_form("/query", &[("q", "CREATE DATABASE \"telegraf\"")]);
        sent.is_ok_and(|got| {
            got.status == 200 && got.json().is_object() && got.json().get("error").is_none()
        })
    }

    /// Sends the buffer until it is empty or `until` has passed.
    fn flush(&mut self, until: Instant) {
        while !self.buffer.is_empty() && Instant::now() < until {
            let lines: Vec<String> = self.buffer.iter().take(BATCH).cloned().collect();
            if self.deliver(&lines) {
                self.buffer.drain(..lines.len());
                self.num_settled.fetch_add(lines.len(), Ordering::Relaxed);
            }
        }
    }

    /// Sends `lines`; whether they need not be sent again.
    fn deliver(&mut self, lines: &[String]) -> bool {
        self.num_requests += 1;
        let body = gzip(lines.concat().as_bytes());
        let answer = match self.output {
            Output::V1 => {
                let headers = [
                    ("Content-Type", "text/plain; charset=utf-8"),
                    ("Content-Encoding", "gzip"),
                    ("Transfer-Encoding", "chunked"),
                    ("User-Agent", "Telegraf/1.36"),
                ];
                self.client.send("POST", "/write?db=telegraf", &headers, &chunked(&body))
            }
            Output::V2 => {
                let headers = [
                    ("Content-Type", "text/plain; charset=utf-8"),
                    ("Content-Encoding", "gzip"),
                    ("Authorization", "Token t"),
                    ("User-Agent", "Telegraf/1.36"),
                ];
                self.client.send("POST", "/api/v2/write?bucket=telegraf&org=o", &headers, &body)
            }
        };
        let Ok(answer) = answer else {
            self.num_unreachable += 1;
            std::thread::sleep(Duration::from_millis(20));
            return false;
        };
        let reaction = match self.output {
            Output::V1 => reaction_v1(&answer),
            Output::V2 => reaction_v2(&answer),
        };
        match reaction {
            Reaction::Done => true,
            Reaction::Drop => {
                self.complaints.push(answer.brief());
                self.dropped.extend_from_slice(lines);
                true
            }
            Reaction::Retry => {
                self.num_overload += 1;
                std::thread::sleep(Duration::from_millis(5));
                false
            }
            Reaction::CreateDatabase => {
                self.create_database();
                false
            }
            Reaction::Halve => {
                self.num_halved += 1;
                if let [_] = lines {
                    self.dropped.extend_from_slice(lines);
                    return true;
                }
                let (left, right) = lines.split_at(lines.len() / 2);
                // Each half is retried on its own until it is settled.
                while !self.deliver(left) {}
                while !self.deliver(right) {}
                true
            }
        }
    }
}

fn reaction_v1(answer: &Response) -> Reaction {
    let text = answer.json()["error"].as_str().unwrap_or_default().to_owned();
    let is_json = answer.body.is_empty() || answer.json().is_object();
    match answer.status {
        204 => Reaction::Done,
        _ if !is_json => Reaction::Retry,
        _ if text.contains("database not found") => Reaction::CreateDatabase,
        400..=499 => Reaction::Drop,
        500..=599
            if [
                "retention policy not found",
                "points beyond retention policy",
                "partial write",
                "unable to parse",
            ]
            .iter()
            .any(|known| text.contains(known)) =>
        {
            Reaction::Drop
        }
        _ => Reaction::Retry,
    }
}

fn reaction_v2(answer: &Response) -> Reaction {
    match answer.status {
        200..=299 => Reaction::Done,
        413 => Reaction::Halve,
        429 | 502..=504 => {
            let wait = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
            assert!(
                wait.is_some_and(|s| (1..=600).contains(&s)),
                "Retry-After {:?}",
                answer.headers
            );
            Reaction::Retry
        }
        401 | 403 | 500..=599 => Reaction::Retry,
        _ => Reaction::Drop,
    }
}

/// A good line; `n` is its value and says which line it is.
fn good(agent: usize, n: usize, base_ms: i64) -> String {
    let t_ms = base_ms + i64::try_from(n / 10).expect("small") * 10;
    format!("cpu,agent=a{agent},cpu=c{} usage={n} {}\n", n % 10, t_ms * 1_000_000)
}

/// Values of `cpu_usage` that are readable, by agent.
fn stored(server: &Server, agent: usize) -> BTreeSet<u64> {
    let query = format!("cpu_usage{{db=\"telegraf\",agent=\"a{agent}\"}}[1d]");
    let answer = Query::at(&query, now_ms() + 60_000).run(&mut server.client());
    assert_eq!(answer.status, 200, "{}", answer.error);
    let values = answer.series().iter().flat_map(|series| &series.floats).map(|float| float.1);
    values
        .map(|value| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "written as integers"
            )]
            let n = value as u64;
            n
        })
        .collect()
}

/// Checks that all lines `0..count` of the agent are there.
fn demand_all(server: &Server, number: usize, agent: &Agent, count: usize) {
    assert!(
        agent.buffer.is_empty(),
        "{:?}: {} lines are sent again and again, last {:?}",
        agent.output,
        agent.buffer.len(),
        agent.complaints.last()
    );
    let stored = stored(server, number);
    let missing: Vec<u64> = (0..count as u64).filter(|n| !stored.contains(n)).take(5).collect();
    assert!(
        missing.is_empty(),
        "{:?}: good lines {missing:?} are lost, complaints {:?}",
        agent.output,
        agent.complaints
    );
    assert_eq!(stored.len(), count, "{:?}: more than was sent", agent.output);
}

#[test]
fn bad_lines_cost_only_themselves() {
    let server = Server::start(&[]);
    let base_ms = now_ms() - 600_000;
    for (number, output) in [Output::V1, Output::V2].into_iter().enumerate() {
        let mut agent = Agent::new(output, &server);
        assert!(output == Output::V2 || agent.create_database(), "CREATE DATABASE fails");
        for n in 0..5_000 {
            agent.buffer.push_back(good(number, n, base_ms));
            if n % 700 == 0 {
                agent.buffer.push_back("cpu,agent=a0 usage=\n".to_owned());
                agent.buffer.push_back("no fields\n".to_owned());
            }
        }
        // String fields are everyday Telegraf and no reason for a complaint.
        agent.buffer.push_back(format!("system,agent=a{number} uptime_format=\"1 day\"\n"));
        agent.flush(Instant::now() + LIMIT);
        demand_all(&server, number, &agent, 5_000);
        // Every batch with a bad line is reported, in JSON, with the line in it.
        assert!(!agent.complaints.is_empty(), "{output:?}: bad lines were accepted");
        assert!(
            agent.complaints.iter().all(|text| text.contains("unable to parse")),
            "{:?}",
            agent.complaints
        );
    }
}

#[test]
fn a_too_large_batch_is_halved_until_it_fits() {
    let server = Server::start(&["--line-body-limit=8KiB"]);
    let base_ms = now_ms() - 600_000;
    let mut agent = Agent::new(Output::V2, &server);
    agent.buffer.extend((0..3_000).map(|n| good(0, n, base_ms)));
    agent.flush(Instant::now() + LIMIT);
    assert!(agent.num_halved > 0, "nothing was too large");
    assert!(agent.dropped.is_empty(), "{:?}", agent.complaints);
    demand_all(&server, 0, &agent, 3_000);
}

#[test]
fn overload_and_a_crash_lose_nothing() {
    // One write at a time and no patience: concurrent senders are turned away.
    let mut server = Server::start(&["--write-concurrency=1", "--write-queue-wait=1ms"]);
    let base_ms = now_ms() - 600_000;
    let count = 60_000;
    let mut agents: Vec<Agent> = (0..6)
        .map(|i| Agent::new(if i % 2 == 0 { Output::V1 } else { Output::V2 }, &server))
        .collect();
    let until = Instant::now() + LIMIT;
    let settled: Vec<_> = agents.iter().map(|agent| Arc::clone(&agent.num_settled)).collect();
    let await_share = |share: usize| {
        let sum = || settled.iter().map(|n| n.load(Ordering::Relaxed)).sum::<usize>();
        while sum() < settled.len() * count / share && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    std::thread::scope(|scope| {
        for (number, agent) in agents.iter_mut().enumerate() {
            agent.buffer.extend((0..count).map(|n| good(number, n, base_ms)));
            scope.spawn(move || agent.flush(until));
        }
        await_share(4);
        server.kill();
        server.restart();
        await_share(2);
        server.stop();
        server.restart();
    });
    for (number, agent) in agents.iter().enumerate() {
        assert!(agent.dropped.is_empty(), "{:?}: dropped, {:?}", agent.output, agent.complaints);
        demand_all(&server, number, agent, count);
    }
    let sum = |count: fn(&Agent) -> usize| agents.iter().map(count).sum::<usize>();
    say(&format!(
        "telegraf: {} requests, {} turned away by overload, {} met no server",
        sum(|a| a.num_requests),
        sum(|a| a.num_overload),
        sum(|a| a.num_unreachable)
    ));
    assert!(sum(|a| a.num_unreachable) > 0, "the crash was not noticed");
}
