//! Far more series than the memory limit has room for (fault F21): the process stays below its limit as
//! the kernel counts, known series go on at their rate, the refusal names the limit, its value and its
//! setting, and the memory comes back once retention took the series.
//!
//! The long tier: `BOMB_SERIES=10000000 BOMB_LIMIT_MIB=500`.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use compat_tests::http::Client;
use compat_tests::remote_write::{self, TimeSeries};
use compat_tests::report::say;
use compat_tests::rng::now_ms;
use compat_tests::server::Server;

/// Series that were there before.
const KNOWN: u32 = 500;
/// New series of a request.
const BATCH: u32 = 1000;
/// The bomb's samples are this old at first, and half as old at the end.
const AGE_MS: i64 = 60 * 60 * 1000;
/// Time between writes of the known series.
const PACE: Duration = Duration::from_millis(50);
/// Longest wait for memory to come back.
const WAIT: Duration = Duration::from_mins(1);

fn number<T: std::str::FromStr>(variable: &str, default: T) -> T {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn series(kind: &str, n: u32, t_ms: i64) -> TimeSeries {
    let id = format!("a value that no other series has, number {n}");
    let labels = [("__name__", "bomb"), ("id", id.as_str()), ("kind", kind)];
    remote_write::series(&labels, &[(t_ms, f64::from(n))])
}

/// What became of the requests of a client.
#[derive(Debug, Default)]
struct Outcomes {
    taken: AtomicU64,
    refused: AtomicU64,
    put_off: AtomicU64,
    other: AtomicU64,
}

impl Outcomes {
    fn note(&self, client: &mut Client, body: Vec<TimeSeries>) -> String {
        let Ok(answer) = remote_write::write(client, body) else {
            self.other.fetch_add(1, Relaxed);
            return "no answer".to_owned();
        };
        let counter = match answer.status {
            204 => &self.taken,
            400 => &self.refused,
            503 => &self.put_off,
            _ => &self.other,
        };
        counter.fetch_add(1, Relaxed);
        if answer.status == 204 { String::new() } else { answer.text() }
    }

    fn of(&self) -> (u64, u64, u64, u64) {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        (get(&self.taken), get(&self.refused), get(&self.put_off), get(&self.other))
    }
}

fn metric(server: &Server, name: &str) -> f64 {
    let text = server.get("/metrics", &[]).text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

/// Waits for `done`.
fn wait_for(what: &str, mut done: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < WAIT, "{what}: not within {WAIT:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    began.elapsed()
}

#[test]
fn a_cardinality_bomb_leaves_known_series_alone_and_its_memory_comes_back() {
    let num_series: u32 = number("BOMB_SERIES", 300_000);
    let limit = number::<u64>("BOMB_LIMIT_MIB", 128) << 20;
    let settings = tempfile::NamedTempFile::new().expect("a temporary file");
    let write_settings = |retention: &str| {
        let text = format!(
            "memory-limit: {limit}\nretention: {retention}\nmaintenance-interval: 100ms\n\
             enable-lifecycle: true\n"
        );
        std::fs::write(settings.path(), text).expect("a file of settings");
    };
    write_settings("0s");
    let path = settings.path().to_str().expect("a path of letters");
    let server = Server::start(&["--config", path]);

    let clock = AtomicI64::new(now_ms() - AGE_MS);
    let known = |t: i64| (0..KNOWN).map(|n| series("known", n, t)).collect::<Vec<_>>();
    let (to_known, to_bomb) = (Outcomes::default(), Outcomes::default());
    assert_eq!(to_known.note(&mut server.client(), known(clock.load(Relaxed))), "");

    let requests = num_series / BATCH;
    let step_ms = AGE_MS / 2 / i64::from(requests);
    let (next, stop) = (AtomicU32::new(0), AtomicBool::new(false));
    let (mut due, mut refusal) = (1_u64, String::new());
    let began = Instant::now();
    std::thread::scope(|scope| {
        let bomb = || {
            let (mut client, mut refusal) = (server.client(), String::new());
            loop {
                let n = next.fetch_add(1, Relaxed);
                if n >= requests {
                    return refusal;
                }
                let t = clock.fetch_add(step_ms, Relaxed);
                let body = (0..BATCH).map(|i| series("bomb", n * BATCH + i, t)).collect();
                let text = to_bomb.note(&mut client, body);
                if text.contains("memory-limit") {
                    refusal = text;
                }
            }
        };
        let bombs = [scope.spawn(bomb), scope.spawn(bomb)];
        let writer = scope.spawn(|| {
            let (mut client, mut due) = (server.client(), 1);
            let began = Instant::now();
            while !stop.load(Relaxed) {
                due += 1;
                to_known.note(&mut client, known(clock.load(Relaxed)));
                let at = PACE * due;
                std::thread::sleep(at.saturating_sub(began.elapsed()));
            }
            u64::from(due)
        });
        for bomb in bombs {
            let text = bomb.join().expect("a bomb");
            if !text.is_empty() {
                refusal = text;
            }
        }
        stop.store(true, Relaxed);
        due = writer.join().expect("the writer of known series");
    });
    let took = began.elapsed();
    let peak = server.process().peak_bytes();
    let (taken, refused, put_off, other) = to_known.of();
    say(&format!(
        "cardinality bomb of {num_series} series in {took:.1?}: peak {} of {} MiB; requests taken, refused, \
         put off, failed: known {taken}, {refused}, {put_off}, {other}; bomb {:?}",
        peak >> 20,
        limit >> 20,
        to_bomb.of(),
    ));
    // New series are refused at 90 %; the rest is for what is under way then.
    assert!(peak <= limit / 100 * 97, "peak of {peak} bytes, limit {limit}");
    assert_eq!((refused, other), (0, 0), "known series are never refused");
    // A write that takes longer than its pace delays the next: the schedule counts, too.
    let scheduled = took.as_millis() / PACE.as_millis();
    assert!(taken * 10 >= due * 9, "{taken} of {due} writes of known series");
    assert!(u128::from(taken) * 10 >= scheduled * 9, "{taken} of {scheduled} writes on time");
    assert!(to_bomb.of().1 > 0 && to_bomb.of().3 == 0, "{:?}", to_bomb.of());
    assert!(refusal.contains(&limit.to_string()), "{refusal}");
    assert!(metric(&server, "limit_exceeded_total{limit=\"memory\"}") > 0.0);

    write_settings("1m");
    let reloaded = server.client().post("/-/reload", b"").expect("an answer to a reload");
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    let returned = wait_for("series gone", || {
        metric(&server, "prometheus_tsdb_head_series") <= f64::from(KNOWN)
    });
    wait_for("memory back", || server.process().resident_bytes() < limit / 5);
    say(&format!(
        "cardinality bomb: the series were gone after {returned:.1?}, resident {} MiB",
        server.process().resident_bytes() >> 20
    ));
    let fresh = Outcomes::default();
    let body = (0..BATCH).map(|i| series("fresh", i, now_ms())).collect();
    assert_eq!(fresh.note(&mut server.client(), body), "", "new series are taken again");
}
