use crate::peer::Server;

#[test]
fn broken_framing_is_a_400_and_ends_the_connection() {
    let server = Server::start(&[]);
    for raw in [
        &b"POST /write?db=x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..],
        b"POST /write?db=x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"GET /-/healthy HTTP/1.1\r\n\r\n",
        b"GET /-/healthy HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /-/healthy HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
        b"GET /-/healthy HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"POST /write?db=x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /write?db=x HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"\x16\x03\x01 not http\r\n\r\n",
    ] {
        let mut peer = server.connect();
        peer.send(raw);
        let shown = String::from_utf8_lossy(raw).into_owned();
        assert_eq!(peer.answer().status, 400, "{shown}");
        assert!(peer.is_closed(), "{shown}");
    }
    assert_eq!(server.get("/-/healthy").status, 200);
}

#[test]
fn a_bad_chunk_size_is_a_400_and_stores_nothing() {
    let server = Server::start(&[]);
    let mut peer = server.connect();
    peer.send(b"POST /write?db=x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nm f=1\r\n");
    assert_eq!(peer.answer().status, 400);
    assert!(peer.is_closed());
    let found = server.get("/api/v1/series?match[]=m_f");
    assert_eq!(found.json()["data"], serde_json::json!([]));
}

#[test]
fn chunked_bodies_and_expect_continue_work() {
    let server = Server::start(&[]);
    let mut peer = server.connect();
    peer.send(b"POST /write?db=x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nm f\r\n5\r\n=1 1\n\r\n0\r\n\r\n");
    assert_eq!(peer.answer().status, 204);
    // The connection stays usable.
    peer.send(b"POST /write?db=x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n");
    assert_eq!(peer.answer().status, 100);
    peer.send(b"m f=2 2");
    assert_eq!(peer.answer().status, 204);
}

#[test]
fn a_body_over_the_limit_is_refused_by_its_length_alone() {
    let server = Server::start(&["--line-body-limit=1KiB", "--write-body-limit=1KiB"]);
    for target in ["/write?db=x", "/api/v1/write"] {
        let mut peer = server.connect();
        peer.send(
            format!("POST {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n")
                .as_bytes(),
        );
        let answer = peer.answer();
        assert_eq!((answer.status, answer.header("connection")), (413, Some("close")), "{target}");
        assert!(peer.is_closed());

        let mut peer = server.connect();
        peer.send(
            format!(
                "POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n"
            )
            .as_bytes(),
        );
        peer.send(&[b'x'; 0x800]);
        peer.send(b"\r\n");
        assert_eq!(peer.answer().status, 413, "{target}");
    }
}

#[test]
fn long_heads_and_uris_are_refused() {
    let server = Server::start(&[]);
    let huge = "x".repeat(40_000);
    let many = "X-1: 1\r\n".repeat(70);
    let long_uri = format!("/api/v1/query?query={}", "1".repeat(17_000));
    for (head, want) in [
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {huge}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
        (format!("GET {long_uri} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
    ] {
        let mut peer = server.connect();
        peer.send(head.as_bytes());
        let answer = peer.answer();
        assert_eq!(answer.status, want, "{}", &head[..60]);
        assert!(peer.is_closed());
    }
}

#[test]
fn unknown_paths_and_methods() {
    let server = Server::start(&[]);
    for (method, target, status, allow, text) in [
        ("GET", "/api/v1/nope", 404, None, "404 page not found\n"),
        ("GET", "/nope", 404, None, "404 page not found\n"),
        ("POST", "/api/v1/label/job/values", 405, Some("GET, OPTIONS"), "Method Not Allowed\n"),
        ("DELETE", "/api/v1/query", 405, Some("GET, OPTIONS, POST"), "Method Not Allowed\n"),
        ("PUT", "/api/v1/query", 405, Some("GET, OPTIONS, POST"), "Method Not Allowed\n"),
        ("DELETE", "/api/v1/series", 405, Some("GET, OPTIONS, POST"), "Method Not Allowed\n"),
        ("GET", "/api/v1/write", 405, Some("OPTIONS, POST"), "Method Not Allowed\n"),
        (
            "GET",
            "/api/v1/admin/tsdb/snapshot",
            405,
            Some("OPTIONS, POST, PUT"),
            "Method Not Allowed\n",
        ),
        ("POST", "/-/healthy", 405, Some("GET, HEAD, OPTIONS"), "Method Not Allowed\n"),
        ("GET", "/write", 405, Some("OPTIONS, POST"), "{\"error\":\"Method Not Allowed\"}\n"),
        (
            "GET",
            "/api/v2/write",
            405,
            Some("OPTIONS, POST"),
            "{\"code\":\"method not allowed\",\"message\":\"Method Not Allowed\"}",
        ),
    ] {
        let answer = server.request(method, target, &[], b"");
        assert_eq!(
            (answer.status, answer.header("allow"), answer.text().as_str()),
            (status, allow, text),
            "{method} {target}"
        );
    }
    let head = server.request("HEAD", "/api/v1/query", &[], b"");
    assert_eq!((head.status, head.header("allow")), (405, Some("GET, OPTIONS, POST")));
}

#[test]
fn head_has_the_length_and_no_body() {
    let server = Server::start(&[]);
    let mut peer = server.connect();
    peer.send_request("HEAD", "/-/healthy", &[], b"");
    let answer = peer.answer_to("HEAD");
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("30")));
    peer.send_request("GET", "/-/healthy", &[], b"");
    assert_eq!(peer.answer().text(), "Prometheus Server is Healthy.\n");
}

#[test]
fn http2_with_prior_knowledge_is_answered() {
    let server = Server::start(&[]);
    let mut peer = server.connect();
    peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let mut first = [0; 9];
    std::io::Read::read_exact(&mut peer.stream, &mut first).unwrap();
    assert_eq!(first[3], 4, "the first frame is SETTINGS: {first:?}");
}
