//! A disk that fills up and has room again, at random, under writes, flushes and merges (reliability
//! contract F9 and F10, P8): writes are refused with 503 and taken again by themselves, queries go
//! on, and what was acknowledged on either side is there.
//!
//! `COMPAT_DISK_FULL` sets how many times each disk is filled (3). It takes root and loop devices.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use compat_tests::device::{Device, FileSystem};
use compat_tests::process::Process;
use compat_tests::promql::Query;
use compat_tests::report::{say, skipped};
use compat_tests::rng::{Rng, now_ms};
use compat_tests::senders::{Acked, Senders};
use compat_tests::server::{GRACE, Server};

/// Its floor is a tenth.
const DISK_BYTES: u64 = 160 << 20;
/// The longest time that a disk stays full here; whoever waits longer after each failure is late.
const LONG: Duration = Duration::from_secs(6);

#[test]
fn a_full_tmpfs_refuses_writes_and_loses_nothing() {
    // The floor is next to nothing, so that writes meet the end of the disk itself.
    full("tmpfs", "size=160m", &["--min-free-disk=1"]);
}

#[test]
fn a_full_ext4_refuses_writes_and_loses_nothing() {
    full("ext4", "data=ordered", &["--min-free-disk=1"]);
}

#[test]
fn a_disk_below_its_floor_refuses_writes_and_loses_nothing() {
    full("ext4", "data=writeback", &[]);
}

/// Takes all of the disk but `room`.
fn fill(dir: &Path, room: u64) -> PathBuf {
    let path = dir.join("filler");
    let file = File::create(&path).expect("a name has room");
    let (mut length, mut step) = (0, DISK_BYTES);
    while step >= 4096 {
        if rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), length, step).is_ok() {
            length += step;
        } else {
            step /= 2;
        }
    }
    let _ = file.set_len(length.saturating_sub(room));
    path
}

fn full(kind: &'static str, options: &'static str, flags: &[&str]) {
    let name = format!("full disk on {kind} {options}");
    let made = Device::new(DISK_BYTES).and_then(|mut device| {
        device.format(kind)?;
        device.mount(FileSystem { kind, options }).map_err(|e| format!("mount {kind}: {e}"))?;
        Ok(device)
    });
    let device = match made {
        Ok(device) => device,
        Err(why) => return skipped(&name, &why),
    };
    let cycles = std::env::var("COMPAT_DISK_FULL").map_or(3, |n| n.parse().expect("a number"));
    let flags = [
        flags,
        // What is due comes often; what notices room comes as users have it.
        &["--web.enable-admin-api", "--max-late-age=200ms", "--maintenance-interval=1s"],
    ]
    .concat();
    let mut server = Server::new(&flags, Some(device.mount_point().join("data")));
    server.restart();
    let mut senders = Senders::new(&name);
    let mut recoveries: Vec<Duration> = senders.send_while(&mut server, |server, acked, rng| {
        (0..cycles).map(|cycle| one_cycle(server, &device, acked, cycle, rng)).collect()
    });
    let refused = senders.num_refused();
    assert!(refused > 0, "{name}: no write was refused");
    senders.demand(&mut server, "running");
    on_a_full_disk(&mut server, &device, &senders, &name);
    std::thread::sleep(Duration::from_secs(2));
    let cleaned = server.client().post_form("/api/v1/admin/tsdb/clean_tombstones", &[]);
    assert_eq!(cleaned.expect("an answer").status, 204);
    assert_eq!(leftovers(&server.data_dir()), Vec::<PathBuf>::new(), "{name}");
    server.kill();
    server.restart();
    senders.demand(&mut server, "after a kill");
    server.stop();
    recoveries.sort_unstable();
    say(&format!(
        "{name}: full {cycles} times, {refused} writes refused, {} acknowledged, again after {:.1?} at the \
         latest, nothing lost, seed {}",
        senders.num_acked(),
        recoveries.last().copied().unwrap_or_default(),
        senders.seed(),
    ));
}

/// The disk fills up, is full for a while, and has room again. Gives the time from room to the next
/// acknowledged write.
fn one_cycle(
    server: &mut Server,
    device: &Device,
    acked: &Acked,
    cycle: usize,
    rng: &mut Rng,
) -> Duration {
    let long = cycle % 3 == 2;
    let room = if long { 0 } else { rng.below(2) * rng.below(1 << 20) };
    let filler = fill(&device.mount_point(), room);
    let time = if long { LONG } else { Duration::from_millis(rng.between(200, 1500)) };
    std::thread::sleep(time);
    if cycle % 3 == 1 {
        // What failed a moment ago is the end of the log that this start finds.
        server.kill();
        server.restart();
    }
    let answer = Query::at("count({run!=\"\"})", now_ms()).run(&mut server.client());
    assert_eq!(answer.status, 200, "queries go on: {}", answer.error);
    std::fs::remove_file(filler).expect("the filler goes");
    let resumed = acked.await_more();
    if cycle.is_multiple_of(3) {
        // And here it is in the middle.
        server.kill();
        server.restart();
    }
    std::thread::sleep(Duration::from_millis(rng.between(100, 700)));
    resumed
}

/// A start on a full disk serves queries; a stop on one loses nothing.
fn on_a_full_disk(server: &mut Server, device: &Device, senders: &Senders, name: &str) {
    let filler = fill(&device.mount_point(), 0);
    server.kill();
    server.restart();
    senders.demand(server, "started on a full disk");
    let process: &mut Process = server.process_mut();
    let status = process.terminate(GRACE).expect("a stop on a full disk ends");
    say(&format!("{name}: a stop while it is full: {status}"));
    server.kill();
    std::fs::remove_file(filler).expect("the filler goes");
    server.restart();
    senders.demand(server, "stopped on a full disk");
}

/// What unfinished steps left below `dir`.
fn leftovers(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "tmp" || end == "deleting") {
            found.push(path);
        } else if path.is_dir() {
            found.extend(leftovers(&path));
        }
    }
    found
}
