//! Power cuts under mixed load, on a disk of its own (reliability contract F4, P1 to P5): the real
//! server on ext4 and xfs, whose shutdown call drops what was not synced.
//!
//! `COMPAT_POWER_CUTS` sets the number of iterations (16), `COMPAT_FILE_SYSTEM` the one to use. It takes
//! root, loop devices and the programs of the file system; what is not there is skipped by name.

use std::sync::atomic::Ordering;
use std::time::Duration;

use compat_tests::device::{Cut, DEVICE_BYTES, Device, FileSystem, NO_JOURNAL};
use compat_tests::report::{say, skipped};
use compat_tests::rng::{Rng, seed};
use compat_tests::server::Server;
use compat_tests::torture::{BUSY, LAPS, Promise, Torture};
use rustix::process::Signal;

const FILE_SYSTEMS: [FileSystem; 6] = [
    FileSystem { kind: "ext4", options: "data=ordered,commit=5" },
    FileSystem { kind: "ext4", options: "data=writeback,commit=1" },
    FileSystem { kind: "xfs", options: "" },
    FileSystem { kind: NO_JOURNAL, options: "" },
    FileSystem { kind: "ext4", options: "data=ordered,commit=1000" },
    FileSystem { kind: "ext4", options: "data=writeback,commit=1000" },
];
/// Time for all iterations of a test, unless their number was asked for.
const BUDGET: Duration = Duration::from_secs(40);

#[test]
fn nothing_acknowledged_is_lost_in_a_power_cut() {
    cuts("--wal-mode=every-write", Promise::All, 1);
}

/// The interval is 100 ms; what is older than that and one sync survives, on a busy machine too.
#[test]
fn a_power_cut_takes_only_the_newest_writes_from_a_periodic_log() {
    cuts("--wal-mode=periodic", Promise::Older(Duration::from_millis(400)), 4);
}

/// The disk itself: a server that leaves syncing to the kernel must be caught.
#[test]
fn the_oracle_catches_a_server_that_does_not_sync() {
    let fs = FILE_SYSTEMS[0];
    let Some(mut device) = device("power cut of a lazy server", fs) else { return };
    let flags = ["--wal-mode=os-default"];
    let mut torture = Torture::new("no sync", start(&device, &flags), Promise::All);
    torture.load(Duration::from_millis(100), |server, signals| {
        signals.cut.store(true, Ordering::SeqCst);
        device.cut(Cut::Nothing).expect("the power is cut");
        server.kill();
    });
    assert!(torture.num_acked() > 0, "nothing was acknowledged");
    device.unmount().and_then(|()| device.mount(fs)).expect("the disk comes back");
    torture.server.restart();
    let verdict = torture.verdict();
    assert!(verdict.lost > 0, "the oracle saw no loss: {verdict:?}");
    torture.server.kill();
}

/// An empty file system, or `None` with the reason printed.
fn device(what: &str, fs: FileSystem) -> Option<Device> {
    let made = Device::new(DEVICE_BYTES).and_then(|mut device| {
        device.format(fs.kind)?;
        device.mount(fs).map_err(|e| format!("mount {}: {e}", fs.kind))?;
        Ok(device)
    });
    made.inspect_err(|why| skipped(what, why)).ok()
}

fn start(device: &Device, flags: &[&str]) -> Server {
    let mut server = Server::new(flags, Some(device.mount_point().join("data")));
    server.restart();
    server
}

/// Cuts the power of the running server and gives the disk back as it is then.
fn cut(device: &mut Device, fs: FileSystem, how: Cut, server: &mut Server) {
    if fs.kind == NO_JOURNAL {
        // A copy is a moment of the disk only while nobody asks it to write.
        server.process().signal(Signal::STOP).expect("it runs");
        std::thread::sleep(Duration::from_millis(20));
        device.cut_to_copy().expect("the power is cut");
        server.kill();
        device.wake_with_copy().expect("nobody has the disk");
    } else {
        device.cut(how).expect("the power is cut");
        server.kill();
        device.unmount().expect("nobody has the disk");
    }
    device.mount(fs).expect("the disk comes back");
}

/// One of `share` iterations that were asked for, each in `mode`, on all file systems in turn.
fn cuts(mode: &str, promise: Promise, share: u64) {
    let asked = std::env::var("COMPAT_POWER_CUTS").map(|n| n.parse().expect("a number"));
    let (budget, asked) = asked.map_or((BUDGET, 16), |asked: u64| (Duration::MAX, asked));
    let iterations = asked.div_ceil(share);
    let name = format!("power cut {mode}");
    let only = std::env::var("COMPAT_FILE_SYSTEM").unwrap_or_default();
    let usable: Vec<FileSystem> = FILE_SYSTEMS
        .into_iter()
        .filter(|fs| only.is_empty() || fs.kind == only)
        .filter(|fs| device(&format!("{name} on {} {}", fs.kind, fs.options), *fs).is_some())
        .collect();
    let Some(first) = usable.first() else { return };
    let Some(mut device) = device(&name, *first) else { return };
    let laps = (iterations / usable.len() as u64).clamp(2, LAPS);
    // Where nothing is flushed the log alone has to hold.
    let flags = |rng: &mut Rng| [&[mode], &BUSY[..if rng.one_in(3) { 1 } else { 3 }]].concat();
    let server = start(&device, &flags(&mut Rng::new(seed())));
    let mut torture = Torture::new(&name, server, promise);
    let mut counts = [0; 3];
    for fs in usable.iter().cycle() {
        if torture.tally.iterations > 0 {
            device
                .format(fs.kind)
                .and_then(|()| device.mount(*fs).map_err(|e| e.to_string()))
                .expect("a disk");
            let flags = flags(&mut torture.rng);
            torture.renew(start(&device, &flags));
        }
        for _ in 0..laps.min(iterations - torture.tally.iterations) {
            let how = pick(&mut torture.rng);
            let load = Duration::from_millis(torture.rng.between(50, 600));
            counts[how as usize] += 1;
            torture.load(load, |server, signals| {
                signals.cut.store(true, Ordering::SeqCst);
                cut(&mut device, *fs, how, server);
            });
            torture.recover(|server, rng| cut(&mut device, *fs, pick(rng), server));
        }
        torture.conclude();
        let is_late = torture.elapsed() > budget;
        if torture.tally.iterations >= iterations || is_late {
            break;
        }
    }
    drop(device);
    say(&format!(
        "{name}: {} cuts with flag 0, {} with 1, {} with 2, on {} file systems",
        counts[0],
        counts[1],
        counts[2],
        usable.len()
    ));
    torture.finish();
}

/// Mostly the cut that drops most.
fn pick(rng: &mut Rng) -> Cut {
    match rng.below(10) {
        0 => Cut::Synced,
        1..=3 => Cut::JournalOnly,
        _ => Cut::Nothing,
    }
}
