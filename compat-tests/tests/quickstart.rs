//! What the documentation tells people to type works as it stands.
//!
//! The blocks of README.md that are marked ```` ```sh,test ```` are run, in order, as one script in
//! an empty directory with `silverback` in the path and the repository's `config/` beside it. Only the
//! port is changed, so that the test does not meet a server of the machine. What the script leaves
//! running is ended with it.

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use compat_tests::peers::Peer;
use compat_tests::process::{Process, free_address};
use compat_tests::promql::Query;
use compat_tests::promtool::Promtool;
use compat_tests::report::{say, skipped};
use compat_tests::rng::now_ms;
use compat_tests::server::{Server, binary, repository};
use rustix::process::{Pid, Signal, kill_process_group};

/// The port that the documentation uses.
const PORT: &str = ":8086";
/// Time for the script.
const LIMIT: Duration = Duration::from_mins(1);

/// The text of the blocks of `markdown` that are marked `info`.
fn blocks(markdown: &str, info: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in markdown.lines() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(mark)) => open = Some((mark.trim() == info, String::new())),
            (Some(_), Some(_)) => {
                if let Some((true, text)) = open.take() {
                    found.push(text);
                }
                open = None;
            }
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

fn read(name: &str) -> Option<String> {
    let path = repository().join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        skipped(name, "it is not in the repository yet");
    }
    text
}

#[test]
fn the_commands_of_the_readme_work() {
    let Some(readme) = read("README.md") else { return };
    let blocks = blocks(&readme, "sh,test");
    if blocks.is_empty() {
        skipped("commands of README.md", "no block is marked sh,test");
        return;
    }
    let port = format!(":{}", free_address().port());
    let script = format!("set -euo pipefail\n{}", blocks.concat()).replace(PORT, &port);
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(dir.path().join("bin")).expect("the directory is writable");
    symlink(binary(), dir.path().join("bin/silverback")).expect("a link");
    copy_config(&dir.path().join("config"), &port);
    std::fs::write(dir.path().join("script"), &script).expect("the directory is writable");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command.arg("script").current_dir(dir.path());
    command.env("PATH", format!("{}:{path}", dir.path().join("bin").display()));
    command.env("SILVERBACK_BIND", format!("127.0.0.1{port}"));
    command.process_group(0);
    let log = dir.path().join("log");
    let mut process =
        Process::spawn("the commands of README.md", command, &log).expect("bash runs");
    let group = Pid::from_raw(i32::try_from(process.pid()).expect("a process id"));
    let ended = process.wait(LIMIT);
    // What runs on in the background is in the group of the script.
    let _ = kill_process_group(group.expect("not zero"), Signal::KILL);
    let status = ended.unwrap_or_else(|e| panic!("{e}"));
    assert!(status.success(), "{status}\n{script}\n{}", process.log());
    say(&format!("quickstart: {} blocks of README.md", blocks.len()));
}

/// Copies `config/`, with the port of this run.
fn copy_config(to: &Path, port: &str) {
    std::fs::create_dir(to).expect("the directory is writable");
    let Ok(files) = std::fs::read_dir(repository().join("config")) else { return };
    for file in files.flatten() {
        let text = std::fs::read_to_string(file.path()).expect("a configuration is text");
        std::fs::write(to.join(file.file_name()), text.replace(PORT, port)).expect("writable");
    }
}

#[test]
fn the_documented_prometheus_configuration_delivers_samples() {
    let Some(config) = read("config/prometheus.yml") else { return };
    let server = Server::start(&[]);
    let config = config.replace("127.0.0.1:8086", &server.address().to_string());
    assert!(config.contains(&server.address().to_string()), "the file names the default address");
    let scrape = "global: {scrape_interval: 1s}\n\
        scrape_configs:\n- job_name: self\n  static_configs: [{targets: [\"SELF\"]}]\n";
    let what = "config/prometheus.yml in a real Prometheus";
    let Some(_peer) = Peer::prometheus(&format!("{config}\n{scrape}"), &[], what) else { return };
    let began = Instant::now();
    let mut client = server.client();
    while Query::at("up{job=\"self\"}", now_ms()).run(&mut client).single() != Some(1.0) {
        assert!(began.elapsed() < Duration::from_secs(30), "nothing arrives");
        std::thread::sleep(Duration::from_millis(100));
    }
    if let Some(promtool) = Promtool::find("promtool check config config/prometheus.yml") {
        let file = repository().join("config/prometheus.yml");
        let output = promtool.run(&["check", "config", &file.display().to_string()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_documented_server_configuration_is_accepted() {
    if read("config/silverback.yml").is_none() {
        return;
    }
    let file = repository().join("config/silverback.yml").display().to_string();
    let server = Server::start(&["--config", &file]);
    assert_eq!(server.get("/-/healthy", &[]).status, 200);
}

#[test]
fn other_configurations_name_the_default_address() {
    for name in ["config/telegraf.conf", "config/grafana-datasource.yml"] {
        if let Some(text) = read(name) {
            assert!(text.contains("127.0.0.1:8086") || text.contains("localhost:8086"), "{name}");
        }
    }
}
