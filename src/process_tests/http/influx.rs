use std::io::Write as _;

use crate::peer::Server;
use serde_json::json;

#[test]
fn probes_have_the_version_headers() {
    let server = Server::start(&[]);
    for (method, target, status) in [
        ("GET", "/ping", 204),
        ("HEAD", "/ping", 204),
        ("GET", "/influx/ping?wait_for_leader=1s", 204),
        ("GET", "//ping", 204),
        ("GET", "/ping?verbose=true", 200),
        ("GET", "/ping?verbose=0", 204),
        ("GET", "/status", 204),
        ("GET", "/health", 200),
        ("GET", "/ready", 200),
        ("POST", "/ping", 405),
        ("OPTIONS", "/write", 204),
        ("POST", "/write", 400),
    ] {
        let answer = server.request(method, target, &[], b"");
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(answer.header("x-influxdb-version"), Some("1.8.10"), "{method} {target}");
        assert_eq!(answer.header("x-influxdb-build"), Some("OSS"));
        assert!(answer.header("x-request-id").is_some() && answer.header("request-id").is_some());
    }
    assert_eq!(server.get("/health").json()["status"], "pass");
    let id = server.request("GET", "/ping", &["X-Request-Id: abc-1"], b"");
    assert_eq!(id.header("x-request-id"), Some("abc-1"));
    let id = server.request("GET", "/ping", &["X-Request-Id: a b<c>"], b"");
    assert_ne!(id.header("x-request-id"), Some("a b<c>"));
}

#[test]
fn telegrafs_start_is_answered() {
    let server = Server::start(&[]);
    let created = server.form("/query", "q=CREATE+DATABASE+%22telegraf%22");
    assert_eq!(
        (created.status, created.text().as_str()),
        (200, "{\"results\":[{\"statement_id\":0}]}\n")
    );
    server.post("/write?db=seen", &[], b"m f=1");
    let shown = server.get("/query?q=show+databases").json();
    let want = json!([["_internal"], ["seen"], ["telegraf"]]);
    assert_eq!(shown["results"][0]["series"][0]["values"], want);
    assert_eq!(shown["results"][0]["series"][0]["columns"], json!(["name"]));
    for (target, status, want) in [
        ("/query", 400, json!({"error": "missing required parameter \"q\""})),
        ("/query?q=;", 200, json!({})),
        (
            "/query?q=DROP+DATABASE+x",
            200,
            json!({"results": [{"statement_id": 0, "error": "DROP DATABASE is not supported"}]}),
        ),
        (
            "/query?q=SELECT+1;SHOW+DATABASES",
            200,
            json!({"results": [
            {"statement_id": 0, "error": "SELECT is not supported, query with PromQL"},
            {"statement_id": 1, "error": "not executed"}]}),
        ),
        ("/query?q=CREATE+RETENTION+POLICY+a+ON+b", 200, json!({"results": [{"statement_id": 0}]})),
    ] {
        let answer = server.get(target);
        assert_eq!((answer.status, answer.json()), (status, want), "{target}");
    }
    let wrong = server.get("/query?q=SELEC").json();
    assert!(
        wrong["error"]
            .as_str()
            .unwrap()
            .starts_with("error parsing query: found SELEC, expected SELECT")
    );
}

#[test]
fn each_door_has_its_own_shape_of_errors() {
    let server = Server::start(&[]);
    let v1 = |text: &str| json!({"error": text});
    let v2 = |code: &str, text: &str| json!({"code": code, "message": text});
    for (target, body, status, want) in [
        ("/write", "m f=1", 400, v1("database is required")),
        ("/write?db=", "m f=1", 400, v1("database is required")),
        (
            "/write?db=x&precision=us",
            "m f=1",
            400,
            v1("invalid precision \"us\" (use n, u, ms, s, m or h)"),
        ),
        ("/write?db=x&consistency=some", "m f=1", 400, v1("invalid consistency level")),
        ("/write?db=x", "bad", 400, v1("unable to parse 'bad': missing fields")),
        (
            "/write?db=x",
            "m f=1 1\nbad",
            400,
            v1("partial write: unable to parse 'bad': missing fields dropped=0"),
        ),
        ("/write?db=x", "m f=1 99999999999999", 204, json!(null)),
        (
            "/write?db=x&precision=s",
            "m f=1 4000000000",
            400,
            v1("partial write: points beyond retention policy dropped=1"),
        ),
        ("/api/v2/write", "m f=1", 400, v2("invalid", "bucket is required")),
        ("/api/v2/write?bucket=b/rp&org=o", "m f=1", 204, json!(null)),
        (
            "/api/v2/write?bucket=b",
            "bad",
            400,
            v2("invalid", "unable to parse 'bad': missing fields"),
        ),
        (
            "/api/v2/write?bucket=b&precision=s",
            "m f=1 4000000000",
            422,
            v2("unprocessable entity", "partial write: points beyond retention policy dropped=1"),
        ),
        ("/api/v3/write_lp", "m f=1", 400, v1("missing query parameter 'db'")),
        (
            "/api/v3/write_lp?db=x&accept_partial=false",
            "m f=1\nbad",
            400,
            json!({"error": "line protocol parsing error",
            "data": {"error_message": "unable to parse 'bad': missing fields", "line_number": 2, "original_line": "bad"}}),
        ),
        (
            "/api/v3/write_lp?db=x",
            "m f=1\nbad",
            400,
            json!({"error": "partial write of line protocol occurred",
            "data": [{"error_message": "unable to parse 'bad': missing fields", "line_number": 2, "original_line": "bad"}]}),
        ),
    ] {
        let answer = server.post(
            target,
            &["Content-Type: application/x-www-form-urlencoded"],
            body.as_bytes(),
        );
        assert_eq!(answer.status, status, "{target} {body} {}", answer.text());
        if status != 204 {
            assert_eq!(answer.json(), want, "{target} {body}");
            assert_eq!(answer.header("x-influxdb-error").is_some(), target.starts_with("/write"));
        }
    }
}

#[test]
fn empty_bodies_and_odd_lines_are_stored_or_nothing() {
    let server = Server::start(&[]);
    for body in
        ["", "\n\n", "# a comment", "m f=1\r\nm f=2\r\n", "m f=1   ", "m text=\"only\"", "m f=1"]
    {
        let answer = server.post(
            "/write?db=x&rp=&u=root&p=root",
            &["Authorization: Basic !!"],
            body.as_bytes(),
        );
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{body:?}");
    }
    assert_eq!(
        server.metric("silverback_strings_dropped_total{door=\"line_protocol\"}"),
        Some(1.0)
    );
}

#[test]
fn codings_are_undone_and_bombs_refused() {
    let server = Server::start(&["--line-body-limit=1MiB"]);
    let gzip = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let two = [gzip(b"m f=1 1\n"), gzip(b"m f=2 2000000\n")].concat();
    for (coding, body, status) in [
        ("gzip", two.clone(), 204),
        ("GZIP", two.clone(), 204),
        ("x-gzip", two.clone(), 204),
        ("identity", b"m f=1".to_vec(), 204),
        ("br", b"m f=1".to_vec(), 415),
        ("gzip, gzip", two, 415),
        ("gzip", b"nonsense".to_vec(), 400),
        ("gzip", gzip(&vec![b'\n'; 2 << 20]), 413),
        ("snappy", vec![5, 16, b'm', b' ', b'f', b'=', b'1'], 204),
    ] {
        let header = format!("Content-Encoding: {coding}");
        let answer = server.post("/write?db=x", &[&header], &body);
        assert_eq!(answer.status, status, "{coding}: {}", answer.text());
        assert!(status == 204 || answer.json()["error"].is_string());
    }
    let found = server.get("/api/v1/query?query=m_f&time=0.002").json();
    assert_eq!(found["data"]["result"][0]["value"][1], "2");
}

#[test]
fn paths_of_newer_influxdb_that_are_not_served_are_errors_in_its_json() {
    let server = Server::start(&[]);
    for (method, path) in [
        ("GET", "/api/v2/buckets?org=o"),
        ("POST", "/api/v2/buckets"),
        ("GET", "/api/v2/orgs"),
        ("POST", "/api/v2/signin"),
        ("POST", "/api/v2/query?org=o"),
        ("POST", "/api/v2/delete"),
        ("GET", "/influx/api/v2/setup"),
    ] {
        let answer = server.request(method, path, &[], b"");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (404, r#"{"code":"not found","message":"path not found"}"#),
            "{method} {path}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(answer.header("x-platform-error-code"), Some("not found"));
        assert!(answer.header("x-influxdb-version").is_some());
    }
    let answer = server.post("/api/v3/configure/database", &[], b"{}");
    assert_eq!((answer.status, answer.text().as_str()), (404, "{\"error\":\"path not found\"}\n"));
    // Others keep the text that Prometheus has.
    let answer = server.get("/api/v1/nope");
    assert_eq!((answer.status, answer.text().as_str()), (404, "404 page not found\n"));
}
