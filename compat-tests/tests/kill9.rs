//! kill -9 under mixed load: nothing acknowledged is lost, nothing else appears (reliability
//! contract F1, P1 to P5).
//!
//! `COMPAT_KILLS` sets the number of iterations (100). A violation keeps the directory and prints
//! the seed that repeats it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use compat_tests::oracle::{Door, Verdict, Writer};
use compat_tests::report::say;
use compat_tests::rng::{Rng, seed};
use compat_tests::server::Server;

/// Iterations on one directory, before a new one is begun.
const ITERATIONS_PER_DIRECTORY: u64 = 10;
/// Time for all iterations.
const BUDGET: Duration = Duration::from_secs(280);

/// Loads the server for `load`, kills it, and gives the writers.
fn load_and_kill(server: &mut Server, run: &str, rng: &mut Rng, load: Duration) -> Vec<Writer> {
    let doors = [Door::RemoteWrite, Door::LineV1, Door::RemoteWrite, Door::LineV2];
    let stop = AtomicBool::new(false);
    let mut writers: Vec<Writer> =
        (0..).zip(doors).map(|(id, door)| Writer::new(door, run, id, rng.bits())).collect();
    std::thread::scope(|scope| {
        for writer in &mut writers {
            let mut client = server.client();
            let stop = &stop;
            scope.spawn(move || writer.run(&mut client, stop));
        }
        std::thread::sleep(load);
        server.kill();
        stop.store(true, Ordering::Relaxed);
    });
    writers
}

fn verify(server: &Server, writers: &[Writer]) -> Verdict {
    let mut client = server.client();
    writers.iter().fold(Verdict::default(), |mut all, writer| {
        all.add(writer.verify(&mut client));
        all
    })
}

fn demand(server: &mut Server, verdict: &Verdict, seed: u64, at: &str) {
    if !verdict.is_good() {
        let kept = server.keep_directory();
        panic!(
            "{at}: lost {}, phantom {}, double {}, torn {}; COMPAT_SEED={seed}; directory kept: {}\n{}",
            verdict.lost,
            verdict.phantom,
            verdict.double,
            verdict.torn,
            kept.display(),
            verdict.findings.join("\n")
        );
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_else_appears() {
    torture(&[], std::env::var("COMPAT_KILLS").map_or(100, |n| n.parse().expect("a number")));
}

/// The modes that give up some of a power cut's promises keep those of a crash (P1).
#[test]
fn lazier_modes_survive_a_kill_too() {
    for mode in ["--wal-mode=periodic", "--wal-mode=os-default"] {
        torture(&[mode], 10);
    }
}

/// Runs `iterations` of load, kill and check on servers with `flags`.
fn torture(flags: &[&str], iterations: u64) {
    let seed = seed();
    let mut rng = Rng::new(seed);
    let began = Instant::now();
    let (mut server, mut earlier) = (Server::start(flags), Vec::new());
    let (mut ready, mut total, mut requests, mut done) = (vec![], Verdict::default(), 0, 0);
    for iteration in 0..iterations {
        if began.elapsed() > BUDGET {
            say(&format!("kill9: stopped after {done} of {iterations} iterations: time is up"));
            break;
        }
        let at = format!("iteration {iteration}");
        let load = Duration::from_millis(rng.between(50, 600));
        let run = format!("{seed}-{iteration}");
        let mut writers = load_and_kill(&mut server, &run, &mut rng, load);
        requests += writers.iter().map(Writer::num_acked).sum::<usize>();
        // One in five dies again while it recovers, up to three times in a row.
        while rng.one_in(5) {
            server.spawn();
            std::thread::sleep(Duration::from_millis(rng.between(0, 40)));
            server.kill();
        }
        ready.push(server.restart());
        let verdict = verify(&server, &writers);
        demand(&mut server, &verdict, seed, &at);
        let mut client = server.client();
        for writer in &mut writers {
            let result = writer.resend_unknown(&mut client);
            result.unwrap_or_else(|why| panic!("{at}: {why}; COMPAT_SEED={seed}"));
        }
        let verdict = verify(&server, &writers);
        demand(&mut server, &verdict, seed, &format!("{at}, sent again"));
        total.add(verdict);
        earlier.append(&mut writers);
        if rng.one_in(5) {
            server.stop();
            server.restart();
            let verdict = verify(&server, &earlier);
            demand(&mut server, &verdict, seed, &format!("{at}, after a clean restart"));
        }
        done += 1;
        if done % ITERATIONS_PER_DIRECTORY == 0 || done == iterations {
            let verdict = verify(&server, &earlier);
            demand(&mut server, &verdict, seed, &format!("{at}, all runs of this directory"));
            assert!(!server.log().contains("panicked at"), "{at}: a panic\n{}", server.log());
            (server, earlier) = (Server::start(flags), Vec::new());
        }
    }
    ready.sort_unstable();
    let quantile = |q: usize| ready[(ready.len() * q / 100).min(ready.len() - 1)];
    say(&format!(
        "kill9 {flags:?}: {done} iterations, {requests} requests acknowledged, {} samples checked, lost {}, \
         phantom {}, double {}, ready p50 {:?} p99 {:?}, seed {seed}",
        total.checked,
        total.lost,
        total.phantom,
        total.double,
        quantile(50),
        quantile(99)
    ));
    assert!(requests > 0, "the server acknowledged nothing");
}

/// The oracle itself: a server that keeps no log must be caught at once.
#[test]
fn the_oracle_catches_a_server_without_a_log() {
    let mut server = Server::start(&["--wal-mode=none"]);
    let mut rng = Rng::new(1);
    let writers = load_and_kill(&mut server, "none", &mut rng, Duration::from_millis(300));
    assert!(writers.iter().any(|writer| writer.num_acked() > 0), "nothing was acknowledged");
    server.restart();
    let verdict = verify(&server, &writers);
    assert!(verdict.lost > 0, "the oracle saw no loss: {verdict:?}");
}
