//! What the system has too little of, for a while (reliability contract F11 and F19, P8): names on the
//! disk, descriptors, threads. Writes that cannot be served get a 503, nothing that was acknowledged is
//! lost, and the server goes on by itself when there is enough again.
//!
//! `COMPAT_ENDS` sets how often each comes to an end (4).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use compat_tests::control_group::ControlGroup;
use compat_tests::device::{DEVICE_BYTES, Device, FileSystem};
use compat_tests::remote_write::{self, series};
use compat_tests::report::{say, skipped};
use compat_tests::rng::now_ms;
use compat_tests::senders::Senders;
use compat_tests::server::Server;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

const FLAGS: [&str; 3] =
    ["--web.enable-admin-api", "--max-late-age=100ms", "--maintenance-interval=100ms"];

/// What the log says of a flush, a merge or a checkpoint that failed.
const FAILED: &str = "maintenance step failed";

/// Runs the fault some times while senders send: `begin`, a while, `end`. The log has `sign` of it.
fn come_and_go<T>(
    name: &str,
    sign: &str,
    server: &mut Server,
    begin: impl Fn(&mut Server) -> T,
    end: impl Fn(&mut Server, T),
) {
    let times = std::env::var("COMPAT_ENDS").map_or(4, |n| n.parse().expect("a number"));
    let mut senders = Senders::new(name);
    let slowest = senders.send_while(server, |server, acked, rng| {
        let mut slowest = Duration::ZERO;
        for _ in 0..times {
            // Enough that what is due comes.
            std::thread::sleep(Duration::from_millis(rng.between(300, 700)));
            let fault = begin(server);
            std::thread::sleep(Duration::from_millis(rng.between(300, 2000)));
            let status = server.process_mut().ended().expect("a child can be asked");
            assert_eq!(status, None, "{name}: the server ended\n{}", server.log());
            end(server, fault);
            slowest = slowest.max(acked.await_more());
        }
        slowest
    });
    assert!(server.log().contains(sign), "{name}: nobody noticed\n{}", server.log());
    senders.demand(server, "running");
    server.kill();
    server.restart();
    senders.demand(server, "after a kill");
    server.stop();
    say(&format!(
        "{name}: {times} times, {} writes refused, {} acknowledged, again after {slowest:.1?} at the latest, \
         nothing lost, seed {}",
        senders.num_refused(),
        senders.num_acked(),
        senders.seed()
    ));
}

/// Makes empty files until there can be no more.
fn take_names(dir: &Path) -> PathBuf {
    let names = dir.join("names");
    std::fs::create_dir(&names).expect("a name is left");
    let mut count = 0;
    while File::create(names.join(count.to_string())).is_ok() {
        count += 1;
        assert!(count < 100_000, "the file system has few names");
    }
    names
}

#[test]
fn a_disk_without_names_loses_nothing() {
    const NAME: &str = "no inodes on ext4";
    let fs = FileSystem { kind: "ext4", options: "data=ordered" };
    let made = Device::new(DEVICE_BYTES).and_then(|mut device| {
        device.format_with_few_files()?;
        device.mount(fs).map_err(|e| format!("mount: {e}"))?;
        Ok(device)
    });
    let device = match made {
        Ok(device) => device,
        Err(why) => return skipped(NAME, &why),
    };
    skipped("a quota on the disk", "no test makes one: kernels need not have a quota format");
    let mut server = Server::new(&FLAGS, Some(device.mount_point().join("data")));
    server.restart();
    let remove = |names: PathBuf| std::fs::remove_dir_all(names).expect("the names go");
    come_and_go(
        NAME,
        FAILED,
        &mut server,
        |_| take_names(&device.mount_point()),
        |_, names| remove(names),
    );
    // A start without a name to give, and a stop.
    let names = take_names(&device.mount_point());
    let started = server.try_start();
    say(&format!("{NAME}: a start without any: {started:?}"));
    assert!(matches!(started, Ok(()) | Err(Some(1))), "{started:?}\n{}", server.log());
    server.kill();
    remove(names);
    server.restart();
    server.stop();
}

fn limit(server: &Server, resource: Resource, count: Option<u64>) {
    let pid = i32::try_from(server.process().pid()).ok().and_then(Pid::from_raw);
    // The server has what this process has.
    let own = getrlimit(resource);
    let new = Rlimit { current: count.or(own.current), maximum: own.maximum };
    prlimit(pid, resource, new).expect("the limits of a child can be set");
}

#[test]
fn without_descriptors_it_goes_on_once_there_are_some() {
    let mut server = Server::start(&FLAGS);
    come_and_go(
        "no descriptors",
        FAILED,
        &mut server,
        // What is open stays open.
        |server| limit(server, Resource::Nofile, Some(8)),
        |server, ()| limit(server, Resource::Nofile, None),
    );
}

#[test]
fn without_threads_it_goes_on_once_there_are_some() {
    const NAME: &str = "no threads";
    let group = match ControlGroup::of_processes() {
        Ok(group) => group,
        Err(why) => return skipped(NAME, &why),
    };
    let mut server = Server::new(&FLAGS, None);
    server.set_wrapper(group.wrapper());
    server.restart();
    // Pools let threads go that had nothing to do for ten seconds.
    std::thread::sleep(Duration::from_secs(11));
    group.limit_processes(Some(1)).expect("the limit is set");
    let sample = series(&[("__name__", "late")], &[(now_ms(), 1.0)]);
    let answer = remote_write::write(&mut server.client(), vec![sample]);
    let status = answer.map(|answer| answer.status);
    group.limit_processes(None).expect("the limit is taken away");
    assert!(matches!(status, Ok(204 | 503)), "after a pause, without threads: {status:?}");
    // All goes on with the threads that are there.
    come_and_go(
        NAME,
        "",
        &mut server,
        |_| group.limit_processes(Some(1)).expect("the limit is set"),
        |_, ()| group.limit_processes(None).expect("the limit is taken away"),
    );
    drop(server);
    drop(group);
}
