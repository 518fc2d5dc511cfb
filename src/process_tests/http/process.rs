use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::peer::Server;

fn run(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_silverback")).args(args).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn signal(server: &Server, name: &str) {
    let status = Command::new("kill").arg(name).arg(server.pid().to_string()).status().unwrap();
    assert!(status.success());
}

#[test]
fn bad_settings_end_with_2_and_one_line() {
    for args in [&["--no-such-flag"][..], &["--max-connections=0"], &["--config=/does/not/exist"]] {
        let (code, text) = run(args);
        assert_eq!((code, text.lines().count()), (Some(2), 1), "{args:?}: {text}");
        assert!(text.starts_with("silverback: "), "{text}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_silverback")).arg("--help").output().unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("--data-dir") && help.contains("SILVERBACK_WAL_MODE"), "{help}");
}

#[test]
fn a_second_server_on_one_directory_ends_with_1_and_one_line() {
    let server = Server::start(&[]);
    let data = server.dir.path().join("data");
    let (code, text) =
        run(&["--bind=127.0.0.1:0", "--log-level=error", "--data-dir", data.to_str().unwrap()]);
    assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
    assert_eq!(server.get("/-/healthy").status, 200);
}

#[test]
fn a_taken_port_and_an_open_directory_end_with_1() {
    let server = Server::start(&[]);
    let bind = format!("--bind={}", server.address);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("d");
    let (code, text) = run(&[&bind, "--data-dir", data.to_str().unwrap()]);
    assert!(code == Some(1) && text.contains("cannot listen on"), "{text}");

    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o777)).unwrap();
    let (code, text) = run(&["--bind=127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    assert!(code == Some(1) && text.contains("is writable by others (mode 777)"), "{text}");
}

/// Starts a server in `dir`, waits until its data directory is locked, and stops it.
fn start_in(dir: &std::path::Path, data: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_silverback"))
        .args(["--bind=127.0.0.1:0", "--data-dir", data])
        .current_dir(dir)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !dir.join(data).join("MANIFEST").exists() {
        assert!(child.try_wait().unwrap().is_none(), "{data}: the server ended");
        assert!(began.elapsed() < Duration::from_secs(30), "{data}: nothing was made");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_data_directory_is_made_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    for data in ["data", "./dotted", "a/b/c", "a/b/d/"] {
        start_in(dir.path(), data);
        let mode = std::fs::metadata(dir.path().join(data)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{data}");
    }
    std::fs::write(dir.path().join("file"), "").unwrap();
    let data = dir.path().join("file/data");
    let (code, text) =
        run(&["--bind=127.0.0.1:0", "--log-level=error", "--data-dir", data.to_str().unwrap()]);
    assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
    assert_eq!(text.matches("Not a directory").count(), 1, "{text}");
}

#[test]
fn sigterm_ends_with_0_in_spite_of_a_stuck_client() {
    let mut server = Server::start(&["--shutdown-grace=1s"]);
    let mut stuck = server.connect();
    stuck.send(b"POST /write?db=x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nm");
    let mut idle = server.connect();
    idle.send_request("GET", "/-/healthy", &[], b"");
    assert_eq!(idle.answer().status, 200);
    let began = Instant::now();
    signal(&server, "-TERM");
    assert!(server.wait().success());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(idle.is_closed());
}

#[test]
fn what_was_acknowledged_survives_kill_and_stop() {
    let value = |server: &Server| {
        let found = server.get("/api/v1/query?query=m_f&time=0.5").json();
        found["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    };
    let mut server = Server::start(&[]);
    assert_eq!(server.post("/write?db=x", &[], b"m f=7 1").status, 204);
    assert_eq!(server.form("/query", "q=CREATE DATABASE made").status, 200);
    signal(&server, "-KILL");
    server.wait();
    let mut server = server.start_again();
    assert_eq!(value(&server).as_deref(), Some("7"));
    assert_eq!(server.post("/write?db=x", &[], b"m f=8 2000000").status, 204);
    signal(&server, "-TERM");
    assert!(server.wait().success());
    let server = server.start_again();
    assert_eq!(value(&server).as_deref(), Some("8"));
    assert!(server.get("/query?q=SHOW+DATABASES").text().contains("made"));
}

#[test]
fn a_reload_takes_over_live_settings_and_refuses_a_broken_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("silverback.yml");
    std::fs::write(&file, "line-body-limit: 1KiB\n").unwrap();
    let config = format!("--config={}", file.display());
    let server = Server::start(&[&config, "--web.enable-lifecycle"]);
    let body = "m f=1 1\n".repeat(200);
    assert_eq!(server.post("/write?db=x", &[], body.as_bytes()).status, 413);

    std::fs::write(&file, "line-body-limit: 1MiB\nmax-connections: 7\n").unwrap();
    assert_eq!(server.post("/-/reload", &[], b"").status, 200);
    assert_eq!(server.post("/write?db=x", &[], body.as_bytes()).status, 204);
    let flags = server.get("/api/v1/status/flags").json();
    assert_eq!(flags["data"]["max-connections"], "512", "waits for a restart");

    std::fs::write(&file, "nonsense").unwrap();
    let answer = server.post("/-/reload", &[], b"");
    assert!(answer.status == 500 && answer.text().starts_with("failed to reload config: "));
    assert_eq!(
        server.get("/api/v1/status/runtimeinfo").json()["data"]["reloadConfigSuccess"],
        false
    );
    assert_eq!(server.metric("prometheus_config_last_reload_successful"), Some(0.0));
    assert_eq!(server.post("/write?db=x", &[], body.as_bytes()).status, 204);

    std::fs::write(&file, "line-body-limit: 1KiB\n").unwrap();
    signal(&server, "-HUP");
    let began = Instant::now();
    while server.post("/write?db=x", &[], body.as_bytes()).status != 413 {
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn lifecycle_is_off_by_default_and_quit_works_when_on() {
    let server = Server::start(&[]);
    for path in ["/-/quit", "/-/reload"] {
        for (method, status, text) in [
            ("POST", 403, "Lifecycle API is not enabled."),
            ("PUT", 403, "Lifecycle API is not enabled."),
            ("GET", 405, "Only POST or PUT requests allowed"),
        ] {
            let answer = server.request(method, path, &[], b"");
            assert_eq!((answer.status, answer.text().as_str()), (status, text), "{method} {path}");
        }
    }
    let mut server = Server::start(&["--web.enable-lifecycle"]);
    let answer = server.get("/-/quit");
    assert_eq!((answer.status, answer.text().as_str()), (405, "Only POST or PUT requests allowed"));
    let answer = server.request("PUT", "/-/quit", &[], b"");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "Requesting termination... Goodbye!")
    );
    assert!(server.wait().success());
}

#[test]
fn tenants_are_apart_and_their_ids_are_checked() {
    let server = Server::start(&["--tenants"]);
    for (id, status) in [
        ("a", 204),
        ("Team-7_x", 204),
        ("", 400),
        (".", 400),
        ("..", 400),
        ("a/b", 400),
        ("%2e%2e", 400),
        (&"a".repeat(65), 400),
        ("\u{e4}", 400),
    ] {
        let header = format!("X-Scope-OrgID: {id}");
        let answer = server.post("/write?db=x", &[&header], b"m f=1 1");
        assert_eq!(answer.status, status, "{id:?}");
    }
    let two = ["X-Scope-OrgID: a", "X-Scope-OrgID: b"];
    assert_eq!(server.request("GET", "/api/v1/labels", &two, b"").status, 400);
    for (header, n) in [("X-Scope-OrgID: a", 1), ("X-Scope-OrgID: other", 0), ("X-Nothing: a", 0)] {
        let found = server.request("GET", "/api/v1/series?match[]=m_f", &[header], b"").json();
        assert_eq!(found["data"].as_array().unwrap().len(), n, "{header}");
    }
    assert!(server.dir.path().join("data/tenants/Team-7_x").is_dir());
    let single = Server::start(&[]);
    let answer = single.post("/write?db=x", &["X-Scope-OrgID: ../../x"], b"m f=1 1");
    assert_eq!(answer.status, 204, "the header means nothing without tenants");
}

/// A pipe in the place of a log segment is a replay that never ends.
#[test]
fn a_stop_during_a_long_replay_is_prompt_and_progress_is_told() {
    let dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let mut first = Server::start_in(dir.clone(), &[]);
    assert_eq!(first.post("/write?db=x", &[], b"m f=1 1000000000").status, 204);
    first.kill();
    let wal = dir.path().join("data/wal");
    let segment = std::fs::read_dir(&wal).unwrap().map(|e| e.unwrap().path()).max().unwrap();
    let aside = dir.path().join("segment");
    std::fs::rename(&segment, &aside).unwrap();
    assert!(Command::new("mkfifo").arg(&segment).status().unwrap().success());

    let mut server = Server::spawn_in(dir.clone(), &[]);
    assert_eq!(server.get("/-/healthy").status, 200);
    let ready = server.get("/-/ready");
    assert_eq!((ready.status, ready.text().as_str()), (503, "Service Unavailable\n"));
    assert_eq!(ready.header("x-prometheus-stopping"), Some("false"));
    let query = server.get("/api/v1/query?query=1");
    assert_eq!((query.status, query.header("retry-after").is_some()), (503, true));
    assert_eq!(server.post("/write?db=x", &[], b"m f=2 2000000000").status, 503);
    assert_eq!(
        server.get("/api/v1/status/walreplay").text(),
        r#"{"status":"success","data":{"min":0,"max":1,"current":0}}"#
    );
    assert_eq!(server.metric("prometheus_ready "), Some(0.0));
    let began = Instant::now();
    signal(&server, "-TERM");
    assert!(server.wait().success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    // Nothing was lost by it.
    std::fs::remove_file(&segment).unwrap();
    std::fs::rename(&aside, &segment).unwrap();
    let server = server.start_again();
    let found = server.get("/api/v1/query?query=m_f&time=1").json();
    assert_eq!(found["data"]["result"][0]["value"][1], "1");
}
