//! Other ends than kill -9 under mixed load: SIGTERM with SIGKILL behind it (reliability contract
//! F7), a process that is frozen (F8), a second one on its directory (F17), too little memory (F6).
//!
//! `COMPAT_ENDS` sets the number of iterations of each (4).

use std::process::Command;
use std::time::{Duration, Instant};

use compat_tests::control_group::ControlGroup;
use compat_tests::remote_write::{self, series};
use compat_tests::report::{say, skipped};
use compat_tests::rng::now_ms;
use compat_tests::server::{Server, binary};
use compat_tests::torture::{BUSY, Promise, Torture};
use rustix::process::Signal;

fn iterations() -> u64 {
    std::env::var("COMPAT_ENDS").map_or(4, |n| n.parse().expect("a number"))
}

fn torture(name: &str) -> Torture {
    Torture::new(name, Server::start(&BUSY), Promise::All)
}

fn finish(mut torture: Torture) {
    torture.conclude();
    torture.finish();
}

#[test]
fn a_stop_under_load_ends_in_time_and_loses_nothing() {
    let mut torture = torture("SIGTERM under load, SIGKILL 5 s later");
    let (mut slowest, mut killed) = (Duration::ZERO, 0);
    for _ in 0..iterations() {
        let load = Duration::from_millis(torture.rng.between(50, 600));
        torture.load(load, |server, _| {
            let began = Instant::now();
            match server.process_mut().terminate(Duration::from_secs(5)) {
                Ok(status) => assert!(status.success(), "{status}"),
                Err(_) => killed += 1,
            }
            slowest = slowest.max(began.elapsed());
            server.kill();
        });
        torture.recover(|server, _| server.kill());
    }
    say(&format!("SIGTERM under load: ended after {slowest:.0?} at the latest, {killed} killed"));
    finish(torture);
}

#[test]
fn a_frozen_server_goes_on_and_loses_nothing() {
    let mut torture = torture("SIGSTOP for a second");
    for _ in 0..iterations().min(3) {
        torture.load(Duration::from_millis(100), |server, _| {
            server.process().signal(Signal::STOP).expect("it runs");
            std::thread::sleep(Duration::from_secs(1));
            server.process().signal(Signal::CONT).expect("it runs");
            std::thread::sleep(Duration::from_millis(200));
            server.kill();
        });
        torture.recover(|server, _| server.kill());
    }
    finish(torture);
}

#[test]
fn a_second_server_on_the_directory_ends_at_once_and_harms_nothing() {
    let mut torture = torture("a second server");
    for _ in 0..iterations().min(3) {
        torture.load(Duration::from_millis(100), |server, _| {
            let mut second = Command::new(binary());
            second.args(["--bind", "127.0.0.1:0", "--data-dir"]).arg(server.data_dir());
            let output = second.output().expect("it runs");
            let text = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<_> = text.lines().filter(|l| l.starts_with("silverback: ")).collect();
            assert_eq!((output.status.code(), lines.len()), (Some(1), 1), "{text}");
            std::thread::sleep(Duration::from_millis(100));
            server.kill();
        });
        torture.recover(|server, _| server.kill());
    }
    finish(torture);
}

#[test]
fn with_too_little_memory_it_starts_again_and_loses_nothing() {
    const NAME: &str = "60 % of the memory";
    let mut torture = torture(NAME);
    // Enough that what a process takes by itself is not most of it.
    for part in 0..10 {
        let names = (0..5_000).map(|number| (part * 5_000 + number).to_string());
        let batch = names.map(|n| series(&[("__name__", "many"), ("n", &n)], &[(now_ms(), 1.0)]));
        let answer = remote_write::write(&mut torture.server.client(), batch.collect());
        assert_eq!(answer.expect("an answer").status, 204);
    }
    let mut steady = 0;
    torture.load(Duration::from_secs(1), |server, _| {
        steady = server.process().resident_bytes();
        server.kill();
    });
    torture.recover(|server, _| server.kill());
    let group = match ControlGroup::of_memory(steady / 10 * 6) {
        Ok(group) => group,
        Err(why) => return skipped(NAME, &why),
    };
    torture.server.kill();
    let (mut peak, mut ended) = (0, 0);
    for _ in 0..iterations() {
        torture.server.set_wrapper(group.wrapper());
        torture.server.restart();
        torture.load(Duration::from_millis(600), |server, _| {
            peak = peak.max(server.process().peak_bytes());
            ended += u32::from(server.process_mut().ended().is_ok_and(|status| status.is_some()));
            server.kill();
        });
        // Ready again under the same limit; what the oracle reads is no part of the fault.
        torture.server.restart();
        torture.server.kill();
        torture.server.set_wrapper(Vec::new());
        torture.recover(|server, _| server.kill());
        torture.server.kill();
    }
    torture.server.restart();
    say(&format!(
        "{NAME}: {} of {} KiB, peak {}, out of memory {ended} times",
        steady / 10 * 6 / 1024,
        steady / 1024,
        peak / 1024
    ));
    finish(torture);
    drop(group);
}
