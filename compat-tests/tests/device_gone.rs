//! The disk goes away or turns read-only under load (reliability contract F14, P8): no write is
//! acknowledged any more and nothing else breaks; once the disk is back a start finds all that was
//! acknowledged.
//!
//! `COMPAT_ENDS` sets the number of iterations of each (4). It takes root and loop devices.

use std::sync::atomic::Ordering;
use std::time::Duration;

use compat_tests::device::{Cut, DEVICE_BYTES, Device, FileSystem};
use compat_tests::remote_write::{self, series};
use compat_tests::report::{say, skipped};
use compat_tests::rng::now_ms;
use compat_tests::server::{GRACE, Server};
use compat_tests::torture::{BUSY, Promise, Torture};

#[test]
fn an_ext4_that_turns_read_only_loses_nothing() {
    gone("read-only ext4", FileSystem { kind: "ext4", options: "errors=remount-ro" }, |device| {
        device.give_up()
    });
}

#[test]
fn an_ext4_that_is_gone_loses_nothing() {
    let fs = FileSystem { kind: "ext4", options: "data=ordered" };
    gone("ext4 that is gone", fs, |device| device.cut(Cut::Nothing));
}

#[test]
fn an_xfs_that_is_gone_loses_nothing() {
    let fs = FileSystem { kind: "xfs", options: "" };
    gone("xfs that is gone", fs, |device| device.cut(Cut::Nothing));
}

/// What became of the server on its broken disk.
#[derive(Debug, Default)]
struct Outcomes {
    ended: u32,
    stopped: u32,
    killed: u32,
}

fn gone(name: &str, fs: FileSystem, fail: impl Fn(&Device) -> std::io::Result<()>) {
    let iterations = std::env::var("COMPAT_ENDS").map_or(4, |n| n.parse().expect("a number"));
    let made = Device::new(DEVICE_BYTES).and_then(|mut device| {
        device.format(fs.kind)?;
        device.mount(fs).map_err(|e| format!("mount {}: {e}", fs.kind))?;
        Ok(device)
    });
    let mut device = match made {
        Ok(device) => device,
        Err(why) => return skipped(name, &why),
    };
    let mut server = Server::new(&BUSY, Some(device.mount_point().join("data")));
    server.restart();
    let mut torture = Torture::new(name, server, Promise::All);
    let mut outcomes = Outcomes::default();
    for iteration in 0..iterations {
        let load = Duration::from_millis(torture.rng.between(50, 600));
        let wait = Duration::from_millis(torture.rng.between(0, 1500));
        torture.load(load, |server, signals| {
            // A sync that is under way now may succeed without having written: as in a power cut.
            signals.cut.store(true, Ordering::SeqCst);
            fail(&device).expect("the disk fails");
            std::thread::sleep(wait);
            look(server, &mut outcomes, iteration % 2 == 0);
            device.unmount().expect("nobody has the disk");
            device.mount(fs).expect("the disk comes back");
        });
        torture.recover(|server, _| server.kill());
    }
    torture.conclude();
    torture.server.kill();
    drop(device);
    say(&format!("{name}: {outcomes:?}"));
    torture.finish();
}

/// Looks at a server whose disk has failed, and ends it.
fn look(server: &mut Server, outcomes: &mut Outcomes, politely: bool) {
    let mut client = server.client();
    let sample = series(&[("__name__", "on_a_broken_disk")], &[(now_ms(), 1.0)]);
    let answer = remote_write::write(&mut client, vec![sample]);
    if let Some(status) = server.process_mut().ended().expect("a child can be asked") {
        assert!(!status.success(), "it gave up and says that all is well");
        outcomes.ended += 1;
        return server.kill();
    }
    let answer = answer.expect("a server that runs answers");
    assert_eq!(answer.status, 503, "a write on a broken disk: {}", answer.text());
    let query = server.get("/api/v1/query", &[("query", "count({run!=\"\"})")]);
    assert!([200, 500, 503].contains(&query.status), "{}", query.brief());
    assert_eq!(server.get("/-/healthy", &[]).status, 200);
    if politely {
        server.process_mut().terminate(GRACE).expect("a stop on a broken disk ends");
        outcomes.stopped += 1;
    } else {
        outcomes.killed += 1;
    }
    server.kill();
}
