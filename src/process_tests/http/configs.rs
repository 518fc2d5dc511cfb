//! The configurations that are handed out beside the server.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::peer::Server;

fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(config(name)).unwrap()
}

/// The value of `key = value` or `key: value` in any line that is no comment.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with('#')).find_map(|line| {
        let rest = line.strip_prefix("- ").unwrap_or(line).strip_prefix(key)?.trim_start();
        Some(rest.strip_prefix(['=', ':'])?.trim())
    })
}

/// The path of a URL on the default address.
fn path_on_default<'a>(server_config: &str, url: &'a str) -> &'a str {
    let bind = value(server_config, "bind").unwrap();
    url.trim_matches(|c| "[]\"".contains(c)).strip_prefix(&format!("http://{bind}")).unwrap()
}

#[test]
fn the_server_takes_the_file_of_its_defaults() {
    let server = Server::start(&["--config", config("silverback.yml").to_str().unwrap()]);
    assert_eq!(server.get("/-/healthy").status, 200);
}

#[test]
fn prometheus_writes_to_a_door_that_is_there() {
    let text = read("prometheus.yml");
    let path = path_on_default(&read("silverback.yml"), value(&text, "url").unwrap());
    let message = value(&text, "protobuf_message").unwrap();
    let server = Server::start(&[]);
    let header = format!("Content-Type: application/x-protobuf;proto={message}");
    // An empty message, compressed.
    assert_eq!(server.post(path, &[&header], &[0]).status, 204);
}

#[test]
fn promtool_takes_the_configuration_of_prometheus() {
    let Some(peers) = std::env::var_os("PEERS_DIR") else {
        // Printed, because a test that did nothing must not look like one that passed.
        #[expect(clippy::print_stderr, reason = "says that it was skipped")]
        {
            eprintln!("skipped: PEERS_DIR is not set");
        }
        return;
    };
    let tool = Path::new(&peers).join("bin/promtool");
    let output = Command::new(tool)
        .args(["check", "config"])
        .arg(config("prometheus.yml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn both_outputs_of_telegraf_reach_a_door() {
    let own = read("silverback.yml");
    let text = read("telegraf.conf");
    let (v1, v2) = text.split_once("InfluxDB 2.x").unwrap();
    // The second block is there as a comment.
    let v2: String = v2.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).fold(
        String::new(),
        |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        },
    );
    assert!(v1.contains("[[outputs.influxdb]]") && v2.contains("[[outputs.influxdb_v2]]"));
    let server = Server::start(&[]);
    let quoted = |text: &str, key| value(text, key).unwrap().trim_matches('"').to_owned();
    for (text, target) in [
        (v1, format!("/write?db={}", quoted(v1, "database"))),
        (
            &v2,
            format!(
                "/api/v2/write?org={}&bucket={}",
                quoted(&v2, "organization"),
                quoted(&v2, "bucket")
            ),
        ),
    ] {
        let path = path_on_default(&own, value(text, "urls").unwrap());
        let answer = server.post(&format!("{path}{target}"), &[], b"m f=1 1000000000");
        assert_eq!(answer.status, 204, "{target}");
    }
    let values = server.get("/api/v1/label/db/values").json();
    assert_eq!(values["data"], serde_json::json!([quoted(v1, "database")]));
}

#[test]
fn grafanas_health_check_passes() {
    let text = read("grafana-datasource.yml");
    assert_eq!(value(&text, "type"), Some("prometheus"));
    let path = path_on_default(&read("silverback.yml"), value(&text, "url").unwrap());
    let server = Server::start(&[]);
    assert_eq!(value(&text, "httpMethod"), Some("POST"));
    let answer = server.form(&format!("{path}/api/v1/query"), "query=1%2B1&time=4").json();
    assert_eq!(answer["data"]["result"][1], "2");
}
