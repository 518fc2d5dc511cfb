//! Storage that is broken on purpose is noticed, and after how many states (reliability contract,
//! section 7): `cargo test -p tsdb --features sabotage --test sabotage`.
//!
//! Each sabotage has a process of its own, because storage aborts where it cannot go on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the counts are the test's result")]

#[path = "verify/damage.rs"]
mod damage;
#[path = "crash/workload.rs"]
mod workload;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};

use tsdb::fs::sim::{CrashPolicy, Op};
use tsdb::sabotage::{Sabotage, choose};

/// Runs `state` with 0, 1, ... until it fails or panics; what it said then.
fn first(limit: u64, mut state: impl FnMut(u64) -> Result<(), String>) -> Option<String> {
    (0..limit).find_map(|number| {
        println!("state {}", number + 1);
        catch_unwind(AssertUnwindSafe(|| state(number))).unwrap_or(Err("a panic".to_owned())).err()
    })
}

/// The power is cut, at places all over the workloads of a few seeds.
fn power_cuts() -> Option<String> {
    let policies = CrashPolicy::ALL;
    first(500, |number| {
        let at = 1 + number.wrapping_mul(7_919) % 400;
        let policy = policies[usize::try_from(number).unwrap() % policies.len()];
        workload::cut(1 + number % 5, at, policy, |_| {})
    })
}

fn failures() -> Option<String> {
    let ops = [Op::Append, Op::Sync];
    first(400, |number| {
        workload::fail(1 + number % 5, ops[usize::try_from(number).unwrap() % 2], number / 2 % 40)
    })
}

fn retention() -> Option<String> {
    first(1, |_| workload::retention())
}

fn damages() -> Option<String> {
    damage::damage_all(false, false, &mut |state| println!("state {state}")).err()
}

/// The harness that is to catch `sabotage`, and its name.
fn harness(sabotage: Sabotage) -> (&'static str, fn() -> Option<String>) {
    match sabotage {
        Sabotage::FragmentKept => ("failed operations", failures),
        Sabotage::RetentionBySampleTime => ("retention", retention),
        Sabotage::CrcIgnored | Sabotage::LengthTrusted => ("damage", damages),
        _ => ("power cuts", power_cuts),
    }
}

/// Breaks storage as `name` says, and gives what noticed it.
fn child(name: &str) -> Option<String> {
    let sabotage = Sabotage::from_name(name);
    choose(sabotage);
    let harnesses = sabotage.map_or(vec![power_cuts, failures, retention], |s| vec![harness(s).1]);
    let noticed = || harnesses.iter().find_map(|harness| harness());
    catch_unwind(AssertUnwindSafe(noticed)).unwrap_or_else(|_| Some("a panic".to_owned()))
}

/// Tries nothing, and then all sabotages, each in a process that is called with its name.
fn main() -> ExitCode {
    if let Some(name) = std::env::args().nth(1).filter(|name| !name.starts_with('-')) {
        let noticed = child(&name);
        println!("{}", noticed.as_deref().unwrap_or("nothing"));
        return ExitCode::from(u8::from(noticed.is_some()));
    }
    let mut wrong = 0;
    for sabotage in [None].into_iter().chain(Sabotage::ALL.map(Some)) {
        let name = sabotage.map_or("nothing", Sabotage::name);
        let by = sabotage.map_or("any", |sabotage| harness(sabotage).0);
        let output = Command::new(std::env::current_exe().unwrap()).arg(name).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let states = text.lines().filter(|line| line.starts_with("state ")).count();
        let caught = match output.status.code() {
            Some(0) => None,
            Some(_) => text.lines().last(),
            None => Some("it aborted"),
        };
        match caught {
            Some(why) => println!("{name}: caught by {by} after {states} states: {why}"),
            None => println!("{name}: not caught by {by} in {states} states"),
        }
        wrong += u8::from(caught.is_some() != sabotage.is_some());
    }
    ExitCode::from(wrong)
}
