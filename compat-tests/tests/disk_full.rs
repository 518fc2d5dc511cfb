//! A disk that fills up and has room again, at random, under writes, flushes and merges (reliability
//! contract F9 and F10, P8): writes are refused with 503 and taken again by themselves, queries go
//! on, and what was acknowledged on either side is there.
//!
//! `COMPAT_DISK_FULL` sets how many times each disk is filled (3). It takes root and loop devices.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use compat_tests::device::{Device, FileSystem};
use compat_tests::oracle::{Door, Signals, Verdict, Writer};
use compat_tests::process::Process;
use compat_tests::promql::Query;
use compat_tests::report::{say, skipped};
use compat_tests::rng::{Rng, now_ms, seed};
use compat_tests::server::{GRACE, Server};

/// A merge wants 64 MiB to be free besides.
const DISK_BYTES: u64 = 160 << 20;
/// Contract F9: from room on the disk to the next acknowledged write.
const RESUME: Duration = Duration::from_secs(5);
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
    let seed = seed();
    let mut rng = Rng::new(seed);
    let doors = [Door::RemoteWrite, Door::LineV1, Door::RemoteWrite, Door::LineV2];
    let base_ms = now_ms() - 40 * 3_600_000;
    let run = format!("full-{seed}");
    let mut writers: Vec<Writer> = (0..)
        .zip(doors)
        .map(|(id, door)| Writer::new(door, &run, id, base_ms, rng.bits()))
        .collect();
    let (signals, acked) = (Signals::default(), AtomicUsize::new(0));
    let mut recoveries: Vec<Duration> = std::thread::scope(|scope| {
        for writer in &mut writers {
            let (mut client, signals, acked) = (server.client(), &signals, &acked);
            scope.spawn(move || writer.run_patiently(&mut client, signals, acked));
        }
        // A failure in here must not leave the writers running.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (0..cycles)
                .map(|cycle| one_cycle(&mut server, &device, &acked, cycle, &mut rng))
                .collect()
        }));
        signals.stop.store(true, Ordering::SeqCst);
        result.unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    });
    let refused: usize = writers.iter().map(Writer::num_refused).sum();
    assert!(refused > 0, "{name}: no write was refused");
    for writer in &mut writers {
        writer.resend_unknown(&mut server.client()).expect("the disk has room");
    }
    demand(&mut server, &writers, &format!("{name}, running, seed {seed}"));
    on_a_full_disk(&mut server, &device, &writers, &name);
    std::thread::sleep(Duration::from_secs(2));
    let cleaned = server.client().post_form("/api/v1/admin/tsdb/clean_tombstones", &[]);
    assert_eq!(cleaned.expect("an answer").status, 204);
    assert_eq!(leftovers(&server.data_dir()), Vec::<PathBuf>::new(), "{name}");
    server.kill();
    server.restart();
    demand(&mut server, &writers, &format!("{name}, after a kill, seed {seed}"));
    server.stop();
    recoveries.sort_unstable();
    say(&format!(
        "{name}: full {cycles} times, {refused} writes refused, {} acknowledged, again after {:.1?} at the \
         latest, nothing lost, seed {seed}",
        acked.load(Ordering::SeqCst),
        recoveries.last().copied().unwrap_or_default(),
    ));
}

/// The disk fills up, is full for a while, and has room again. Gives the time from room to the next
/// acknowledged write.
fn one_cycle(
    server: &mut Server,
    device: &Device,
    acked: &AtomicUsize,
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
    // Nobody writes in between: what is counted from here on was answered with room.
    std::fs::remove_file(filler).expect("the filler goes");
    let (before, began) = (acked.load(Ordering::SeqCst), Instant::now());
    // One that was on its way when there was no room does not count.
    while acked.load(Ordering::SeqCst) < before + 8 {
        assert!(began.elapsed() < RESUME + RESUME, "no write for twice the time");
        std::thread::sleep(Duration::from_millis(2));
    }
    let resumed = began.elapsed();
    assert!(resumed <= RESUME, "writes are taken again after {resumed:?}");
    if cycle.is_multiple_of(3) {
        // And here it is in the middle.
        server.kill();
        server.restart();
    }
    std::thread::sleep(Duration::from_millis(rng.between(100, 700)));
    resumed
}

/// A start on a full disk serves queries; a stop on one loses nothing.
fn on_a_full_disk(server: &mut Server, device: &Device, writers: &[Writer], name: &str) {
    let filler = fill(&device.mount_point(), 0);
    server.kill();
    server.restart();
    demand(server, writers, &format!("{name}, started on a full disk"));
    let process: &mut Process = server.process_mut();
    let status = process.terminate(GRACE).expect("a stop on a full disk ends");
    say(&format!("{name}: a stop while it is full: {status}"));
    server.kill();
    std::fs::remove_file(filler).expect("the filler goes");
    server.restart();
    demand(server, writers, &format!("{name}, stopped on a full disk"));
}

fn demand(server: &mut Server, writers: &[Writer], when: &str) {
    let mut client = server.client();
    let mut verdict = Verdict::default();
    for writer in writers {
        verdict.add(writer.verify(&mut client));
    }
    let log = server.log();
    let bad = ["panicked at", "samples of a block are missing", "damage in the log"];
    let line = log.lines().find(|line| bad.iter().any(|text| line.contains(text)));
    if !verdict.is_good() || line.is_some() {
        let kept = server.keep_directory();
        panic!("{when}: {verdict:?}, in its log {line:?}, kept: {}", kept.display());
    }
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
