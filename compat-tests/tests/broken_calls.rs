//! System calls that fail under load (reliability contract F12, F13, R3, R4, P6): each once, all of
//! them for a while, and one in twenty. Writes get a 503, what was acknowledged is there when calls go
//! well again, which the server notices by itself, and no answer is ever wrong.
//!
//! `COMPAT_ENDS` sets how often each is done (1). It takes a C compiler.

use std::time::Duration;

use compat_tests::broken_calls::{BrokenCalls, Call, How, When};
use compat_tests::report::{say, skipped};
use compat_tests::senders::Senders;
use compat_tests::server::Server;
use rustix::io::Errno;

const FLAGS: [&str; 3] =
    ["--web.enable-admin-api", "--max-late-age=100ms", "--maintenance-interval=50ms"];

fn rounds() -> u32 {
    std::env::var("COMPAT_ENDS").map_or(1, |n| n.parse().expect("a number"))
}

/// A server whose calls can be broken, or `None` with the reason printed.
fn server(name: &str) -> Option<(Server, BrokenCalls)> {
    let calls = BrokenCalls::new().inspect_err(|why| skipped(name, why)).ok()?;
    let mut server = Server::new(&FLAGS, None);
    let environment = calls.environment(&server.data_dir());
    let environment: Vec<_> = environment.iter().map(|(name, text)| (*name, &**text)).collect();
    server.set_environment(&environment);
    server.restart();
    Some((server, calls))
}

#[test]
fn failing_writes_and_syncs_lose_nothing() {
    const NAME: &str = "failing writes and syncs";
    let Some((mut server, calls)) = server(NAME) else { return };
    let io = How::Error(Errno::IO);
    let full = How::Error(Errno::NOSPC);
    let interrupted = How::Error(Errno::INTR);
    let cases: [(&[Call], How); 12] = [
        (&[Call::Write], io),
        (&[Call::Write], full),
        (&[Call::Write], How::Torn(Errno::IO)),
        (&[Call::Write], How::Torn(Errno::NOSPC)),
        (&[Call::Write], interrupted),
        (&[Call::Write], How::Short),
        (&[Call::Write], How::Nothing),
        (&[Call::Sync], io),
        (&[Call::Sync], full),
        (&[Call::Rename], io),
        (&[Call::Open], How::Error(Errno::MFILE)),
        (&[Call::Write, Call::Sync, Call::Rename, Call::Open], io),
    ];
    let mut senders = Senders::new(NAME);
    let (mut failed, mut slowest) = (0, Duration::ZERO);
    senders.send_while(&mut server, |server, acked, rng| {
        for (calls_of, how) in cases.iter().cycle().take(cases.len() * rounds() as usize) {
            let after = u32::try_from(rng.below(40)).expect("below 40");
            for when in [When::Once(after), When::Always, When::Percent(5)] {
                // An interrupted call is done again, for ever if it must.
                if *how == interrupted && when == When::Always {
                    continue;
                }
                calls.fail(calls_of, *how, when);
                std::thread::sleep(Duration::from_millis(rng.between(100, 400)));
                let ended = server.process_mut().ended().expect("a child can be asked");
                assert_eq!(
                    ended,
                    None,
                    "{calls_of:?} {how:?} {when:?}: it ended\n{}",
                    server.log()
                );
                failed += calls.heal();
                if rng.one_in(4) {
                    // What failed a moment ago is the end of the log that this start finds.
                    server.kill();
                    server.restart();
                }
                slowest = slowest.max(acked.await_more());
            }
        }
    });
    assert!(failed > 0, "{NAME}: no call failed");
    senders.demand(&mut server, "running");
    server.kill();
    server.restart();
    senders.demand(&mut server, "after a kill");
    server.stop();
    say(&format!(
        "{NAME}: {failed} calls failed, {} writes refused, {} acknowledged, again after {slowest:.1?} at the \
         latest, nothing lost, seed {}",
        senders.num_refused(),
        senders.num_acked(),
        senders.seed()
    ));
}

#[test]
fn failing_reads_give_no_wrong_answer_and_take_nothing_away() {
    const NAME: &str = "failing reads and maps";
    let Some((mut server, calls)) = server(NAME) else { return };
    let mut senders = Senders::new(NAME);
    senders.send_while(&mut server, |_, acked, _| {
        std::thread::sleep(Duration::from_millis(1500));
        acked.await_more();
    });
    senders.demand(&mut server, "at first");
    senders.let_reads_fail();
    let io = How::Error(Errno::IO);
    let no_memory = How::Error(Errno::NOMEM);
    let cases = [
        (Call::Read, io),
        (Call::Read, How::Short),
        (Call::Read, How::Nothing),
        (Call::Open, io),
        (Call::Open, How::Error(Errno::MFILE)),
        (Call::Map, no_memory),
    ];
    let (mut failed, mut refused) = (0, 0);
    for (call, how) in cases.iter().cycle().take(cases.len() * rounds() as usize) {
        let after = u32::try_from(senders.rng.below(40)).expect("below 40");
        for when in [When::Once(after), When::Percent(5), When::Always] {
            let case = format!("{call:?} {how:?} {when:?}");
            calls.fail(&[*call], *how, when);
            senders.audit(&mut server, &format!("{case}, running"));
            server.kill();
            match server.try_start() {
                Ok(()) => senders.audit(&mut server, &format!("{case}, started")),
                Err(Some(1)) => refused += 1,
                Err(code) => panic!("{case}: it ended with {code:?}\n{}", server.log()),
            }
            failed += calls.heal();
            server.kill();
            server.restart();
            senders.demand(&mut server, &format!("{case}, and over"));
        }
    }
    assert!(failed > 0, "{NAME}: no call failed");
    server.stop();
    say(&format!(
        "{NAME}: {failed} calls failed, {refused} starts refused, nothing wrong, nothing lost, seed {}",
        senders.seed()
    ));
}
