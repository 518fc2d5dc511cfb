//! The sub-commands, run on directories that a server left.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::peer::Server;

/// Exit code and standard output.
fn run(args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_silverback")).args(args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

fn samples(server: &Server) -> Option<f64> {
    let answer = server.get("/api/v1/query?query=sum(count_over_time(m_f[1h]))&time=4000").json();
    answer["data"]["result"][0]["value"][1].as_str().map(|text| text.parse().unwrap())
}

/// A server that was stopped with 60 samples in a block, and killed with 60 more in its log.
fn written() -> Server {
    let lines = |from: u32| -> String {
        let lines = (from..from + 60).map(|i| format!("m,host=a f={i}.5 {}", 1000 + i));
        lines.collect::<Vec<_>>().join("\n")
    };
    let write = |server: &Server, from| {
        let answer = server.post("/write?db=d&precision=s", &[], lines(from).as_bytes());
        assert_eq!(answer.status, 204);
    };
    let server = Server::start(&[]);
    write(&server, 0);
    let mut server = server.restart(&[]);
    write(&server, 60);
    server.kill();
    server
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_damaged_directory_is_found_repaired_and_restored_from_a_backup() {
    let stopped = written();
    let (data, to) = (stopped.dir.path().join("data"), stopped.dir.path().join("backups"));
    let (code, out) = run(&["tsdb", "verify", text(&data)]);
    assert!(code == 0 && out.contains(": sound, "), "{code} {out}");
    let (code, out) = run(&["backup", text(&data), text(&to), "--name", "one"]);
    assert!(code == 0 && out.contains(" 1 blocks and "), "{code} {out}");
    let (code, out) = run(&["backup", text(&data), text(&to), "--name", "two"]);
    assert!(code == 0 && out.contains(" 0 blocks and ") && out.contains("1 blocks known"), "{out}");
    assert_eq!(run(&["backup", text(&data), text(&to), "--name", "two"]).0, 3, "a name is taken");
    assert_eq!(run(&["backup", text(&data), text(&to), "--name", "../x"]).0, 3);

    let entries = std::fs::read_dir(&data).unwrap().map(|e| e.unwrap().path());
    let block = entries.filter(|p| p.join("chunks").exists()).last().unwrap();
    let mut bytes = std::fs::read(block.join("chunks")).unwrap();
    bytes[40] ^= 1;
    std::fs::write(block.join("chunks"), bytes).unwrap();
    let (code, out) = run(&["tsdb", "verify", text(&data)]);
    assert!(code == 1 && out.contains("DAMAGED") && out.contains(text(&block)), "{code} {out}");
    let (code, out) = run(&["backup", text(&data), text(&stopped.dir.path().join("other"))]);
    assert_eq!(code, 3, "damage is not copied: {out}");
    let (code, out) = run(&["tsdb", "repair", text(&data)]);
    assert!(code == 0 && out.contains("moved to quarantine"), "{code} {out}");
    assert_eq!(run(&["tsdb", "verify", text(&data)]).0, 0);

    let fresh = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let target = fresh.path().join("data");
    let (code, out) = run(&["restore", text(&to), text(&target)]);
    assert!(code == 0 && out.contains("backup two restored"), "{code} {out}");
    assert_eq!(run(&["restore", text(&to), text(&target)]).0, 3, "nothing is overwritten");
    let restored = Server::start_in(fresh, &[]);
    assert_eq!(samples(&restored), Some(120.0));
    let (code, out) = run(&["tsdb", "verify", text(&target)]);
    assert!(code == 3 && out.contains("in use"), "{code} {out}");
    assert_eq!(samples(&stopped.start_again()), Some(60.0), "what was whole is still there");
}

/// Directories of blocks that are compressed a second time.
fn cold_blocks(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data).unwrap().map(|e| e.unwrap().path());
    let is_cold = |block: &PathBuf| {
        // A block may be replaced while one looks.
        let meta = std::fs::read(block.join("meta")).unwrap_or_default();
        String::from_utf8_lossy(&meta).contains("\"format\":4")
    };
    entries.filter(is_cold).collect()
}

#[test]
fn cold_blocks_are_checked_backed_up_restored_and_repaired() {
    let stopped = written();
    let data = stopped.dir.path().join("data");
    let flags = [
        "--cold-after=1h",
        "--maintenance-interval=20ms",
        "--max-late-age=50ms",
        "--enable-admin-api",
    ];
    let mut server = Server::start_in(stopped.dir.clone(), &flags);
    server.wait_until("a block is cold", |_| !cold_blocks(&data).is_empty());
    let all = samples(&server);
    assert_eq!(all, Some(120.0));
    let snapshot = server.post("/api/v1/admin/tsdb/snapshot", &[], b"").json();
    let name = snapshot["data"]["name"].as_str().unwrap().to_owned();
    server.stop();
    let of_snapshot = data.join("snapshots").join(name);
    assert!(!cold_blocks(&of_snapshot).is_empty(), "a snapshot has the blocks as they are");

    let (code, out) = run(&["tsdb", "verify", text(&data)]);
    assert!(code == 0 && out.contains(": sound, "), "{code} {out}");
    let to = stopped.dir.path().join("backups");
    let (code, out) = run(&["backup", text(&of_snapshot), text(&to), "--name", "cold"]);
    assert_eq!(code, 0, "{out}");
    let fresh = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let target = fresh.path().join("data");
    let (code, out) = run(&["restore", text(&to), text(&target)]);
    assert!(code == 0 && !cold_blocks(&target).is_empty(), "{code} {out}");
    assert_eq!(samples(&Server::start_in(fresh, &[])), all);

    let cold = cold_blocks(&data);
    for block in &cold {
        let path = block.join("chunks");
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let (code, out) = run(&["tsdb", "verify", text(&data)]);
    assert!(code == 1 && out.contains("DAMAGED") && out.contains(text(&cold[0])), "{code} {out}");
    let (code, out) = run(&["tsdb", "repair", text(&data)]);
    assert!(code == 0 && out.contains("moved to quarantine"), "{code} {out}");
    assert_eq!(run(&["tsdb", "verify", text(&data)]).0, 0);
    assert!(cold_blocks(&data).is_empty() && !cold_blocks(&data.join("quarantine")).is_empty());
    let server = Server::start_in(stopped.dir.clone(), &["--cold-after=1h"]);
    let answer = server.get("/api/v1/query?query=sum(count_over_time(m_f[1h]))&time=4000");
    assert!(answer.text().contains("warnings"), "what is missing is said: {}", answer.text());
}

#[test]
fn the_retention_plan_says_what_would_go() {
    let stopped = written();
    let data = stopped.dir.path().join("data");
    let config = stopped.dir.path().join("s.yml");
    std::fs::write(&config, "retention-rules: m_*{host=\"a\"}=30d; other=1d\nretention: 10y\n")
        .unwrap();
    let (code, out) = run(&["tsdb", "retention-plan", text(&data), "--config", text(&config)]);
    assert!(code == 0 && out.contains(" 60 samples: goes now"), "{code} {out}");
    assert!(out.contains("rule m_*{host=\"a\"}=30d: before "), "{out}");
    assert!(
        out.contains(" 120 samples of 1 series go now") && out.contains("rule other=1d"),
        "{out}"
    );
    // And the server does so.
    let server = Server::start_in(
        stopped.dir.clone(),
        &["--retention-rules=m_*=30d", "--maintenance-interval=50ms"],
    );
    server.wait_until("the rule is carried out", |s| samples(s).is_none());
}

#[test]
fn a_wrong_command_line_is_told_so() {
    assert_eq!(run(&["tsdb", "verify"]).0, 2);
    assert_eq!(run(&["tsdb", "break"]).0, 2);
    assert_eq!(run(&["tsdb", "--help"]).0, 0);
    assert_eq!(run(&["restore", "/nonexistent", "/nonexistent/x"]).0, 3);
}
