//! Deletes, clean-up and snapshots over HTTP.

use serde_json::json;

use crate::peer::{Answer, Server};
use crate::prom_api::bad_data;

const ADMIN: &str = "/api/v1/admin/tsdb";

fn form(server: &Server, action: &str, body: &str) -> Answer {
    server.form(&format!("{ADMIN}/{action}"), body)
}

/// The value of each series of `m_f` now, by host.
fn values(server: &Server) -> Vec<(String, String)> {
    let answer = server.get("/api/v1/query?query=last_over_time(m_f[1h])&time=2000").json();
    let result = answer["data"]["result"].as_array().unwrap();
    let mut out: Vec<_> = result
        .iter()
        .map(|s| {
            let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
            (text(&s["metric"]["host"]), text(&s["value"][1]))
        })
        .collect();
    out.sort();
    out
}

fn write(server: &Server, lines: &str) {
    assert_eq!(server.post("/write?db=d&precision=s", &[], lines.as_bytes()).status, 204);
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn bad_requests_are_refused_as_prometheus_refuses_them() {
    let server = Server::start(&["--web.enable-admin-api"]);
    for (action, body, want) in [
        ("delete_series", "", "no match[] parameter provided"),
        ("delete_series", "start=x", "no match[] parameter provided"),
        (
            "delete_series",
            "match[]=up%7B&start=x",
            "invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp",
        ),
        (
            "delete_series",
            "match[]=up%7B",
            "invalid parameter \"match[]\": 1:4: parse error: unexpected end of input inside braces",
        ),
        (
            "snapshot",
            "skip_head=x",
            "invalid parameter \"skip_head\": unable to parse boolean: strconv.ParseBool: parsing \"x\": invalid syntax",
        ),
    ] {
        let answer = form(&server, action, body);
        assert_eq!((answer.status, answer.json()), (400, bad_data(want)), "{action} {body}");
    }
    assert_eq!(server.get(&format!("{ADMIN}/delete_series?match[]=up")).status, 405);
    for body in ["match[]=up&start=10&end=5", "match[]=nothing", "match[]=%7B%7D"] {
        let answer = form(&server, "delete_series", body);
        assert_eq!((answer.status, answer.text()), (204, String::new()), "{body}");
    }
}

#[test]
fn a_delete_is_counted_first_then_done_and_can_be_corrected() {
    let mut server = Server::start(&["--enable-admin-api=true"]);
    write(&server, "m,host=a f=1 1000\nm,host=a f=2 1010\nm,host=b f=3 1000\nm,host=c f=4 1000");
    let body = "match[]=m_f%7Bhost%3D%22a%22%7D&match[]=m_f%7Bhost%3D%22b%22%7D&start=0&end=1005";
    let counted = form(&server, "delete_series", &format!("{body}&dry_run=true"));
    assert_eq!(counted.json()["data"], json!({"series": 2, "samples": 2}));
    assert_eq!(values(&server), pairs(&[("a", "2"), ("b", "3"), ("c", "4")]), "nothing is gone");
    assert_eq!(form(&server, "delete_series", body).status, 204);
    let after = pairs(&[("a", "2"), ("c", "4")]);
    assert_eq!(values(&server), after);
    let counted = form(&server, "delete_series", &format!("{body}&dry_run=true"));
    assert_eq!(counted.json()["data"], json!({"series": 0, "samples": 0}));

    server.kill();
    let server = Server::start_in(server.dir.clone(), &["--enable-admin-api=true"]);
    assert_eq!(values(&server), after);
    write(&server, "m,host=b f=30 1000");
    let corrected = pairs(&[("a", "2"), ("b", "30"), ("c", "4")]);
    assert_eq!(values(&server), corrected);
    assert_eq!(form(&server, "clean_tombstones", "").status, 204);
    assert_eq!(values(&server), corrected);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("\nsilverback_tombstones 0\n"), "{metrics}");
}

#[test]
fn writes_wait_below_the_floor_of_free_disk_and_come_back_by_themselves() {
    let dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let config = dir.path().join("s.yml");
    let settings = |floor: &str| {
        let text = format!("min-free-disk: {floor}\nmaintenance-interval: 20ms\n");
        std::fs::write(&config, text).unwrap();
    };
    settings("1");
    let flags = ["--config", config.to_str().unwrap(), "--enable-lifecycle=true"];
    let server = Server::start_in(dir.clone(), &flags);
    write(&server, "m,host=a f=1 1000");
    settings("1PiB");
    assert_eq!(server.post("/-/reload", &[], b"").status, 200);
    let again = || server.post("/write?db=d&precision=s", &[], b"m,host=a f=1 1000");
    server.wait_until("writes are refused", |_| again().status == 503);
    let refused = again();
    assert!(refused.text().contains("bytes of disk are free"), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(values(&server), pairs(&[("a", "1")]), "queries go on");
    settings("1");
    assert_eq!(server.post("/-/reload", &[], b"").status, 200);
    server.wait_until("writes are taken again", |_| again().status == 204);
}

#[test]
fn a_snapshot_is_a_data_directory() {
    let server = Server::start(&["--enable-admin-api=true"]);
    write(&server, "m,host=a f=1 1000");
    let answer = form(&server, "snapshot", "").json();
    let name = answer["data"]["name"].as_str().unwrap().to_owned();
    assert_eq!((name.len(), &name[8..9], &name[15..17]), (33, "T", "Z-"));
    write(&server, "m,host=a f=2 1010\nm,host=b f=3 1000");
    let without_head = form(&server, "snapshot", "skip_head=true").json();
    let without_head = without_head["data"]["name"].as_str().unwrap().to_owned();
    for (name, want) in [(name, pairs(&[("a", "1")])), (without_head, vec![])] {
        let dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
        let snapshot = server.dir.path().join("data/snapshots").join(name);
        std::os::unix::fs::symlink(snapshot, dir.path().join("data")).unwrap();
        let copy = Server::start_in(dir, &[]);
        assert_eq!(values(&copy), want);
        assert_eq!(copy.get("/api/v1/query?query=1").status, 200);
    }
    assert_eq!(values(&server), pairs(&[("a", "2"), ("b", "3")]));
}
