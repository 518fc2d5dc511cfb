use crate::peer::Server;

/// `{__name__="up"} 1 @1700000000000`, snappy-compressed as one literal.
fn message(value: f64) -> Vec<u8> {
    let mut sample = vec![0x09];
    sample.extend(value.to_le_bytes());
    sample.extend([0x10, 0x80, 0xd0, 0x95, 0xff, 0xbc, 0x31]);
    let label = b"\x0a\x08__name__\x12\x02up";
    let mut series = vec![0x0a, u8::try_from(label.len()).unwrap()];
    series.extend_from_slice(label);
    series.extend([0x12, u8::try_from(sample.len()).unwrap()]);
    series.extend(sample);
    let mut message = vec![0x0a, u8::try_from(series.len()).unwrap()];
    message.extend(series);
    block(&message)
}

/// A snappy block of one literal, for up to 60 bytes.
fn block(text: &[u8]) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap();
    let mut out = vec![len];
    if len > 0 {
        out.push((len - 1) << 2);
    }
    out.extend_from_slice(text);
    out
}

#[test]
fn the_checks_are_in_order_with_prometheus_texts() {
    let server = Server::start(&[]);
    let good = message(1.0);
    let v1 = "Content-Type: application/x-protobuf";
    for (headers, body, status, text) in [
        (
            &["Content-Encoding: gzip", "Content-Type: text/plain"][..],
            &good[..],
            415,
            "gzip encoding (compression) is not accepted by this server; only snappy is acceptable\n",
        ),
        (
            &["Content-Type: text/plain"],
            &good,
            415,
            "expected application/x-protobuf as the first (media) part, got text/plain content-type\n",
        ),
        (
            &["Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request"],
            &good,
            415,
            "io.prometheus.write.v2.Request protobuf message is not accepted by this server; only accepts prometheus.WriteRequest\n",
        ),
        (&[v1], b"", 400, "snappy: corrupt input\n"),
        (&[v1], b"\xff\xff", 400, "snappy: corrupt input\n"),
        (
            &[v1],
            b"\xff\xff\xff\xff\x0f\x00",
            413,
            "decoded size exceeds the 33554432 bytes limit\n",
        ),
        (&[v1, "Content-Encoding: snappy"], &good, 204, ""),
        (&[], &good, 204, ""),
        (&[v1], &block(b""), 204, ""),
        (
            &[v1],
            &message(2.0),
            400,
            "duplicate sample for timestamp 1700000000000; overrides not allowed: existing 1, new value 2\n",
        ),
    ] {
        let answer = server.post("/api/v1/write", headers, body);
        assert_eq!((answer.status, answer.text().as_str()), (status, text), "{headers:?} {body:?}");
        assert!(answer.header("x-prometheus-remote-write-samples-written").is_none());
    }
    let truncated = server.post("/api/v1/write", &[v1], &block(b"\x0a\x05ab"));
    assert!(
        truncated.status == 400 && truncated.text().starts_with("protobuf: "),
        "{}",
        truncated.text()
    );
    let twice = ["Content-Encoding: snappy", "Content-Encoding: snappy"];
    assert_eq!(server.post("/api/v1/write", &twice, &good).status, 415);
    let found = server.get("/api/v1/query?query=up&time=1700000000").json();
    assert_eq!(found["data"]["result"][0]["value"][1], "1");
    assert_eq!(server.metric("silverback_samples_refused_total{door=\"remote_write\"}"), Some(1.0));
}

#[test]
fn the_receiver_can_be_switched_off() {
    let server = Server::start(&["--enable-remote-write=false"]);
    let answer = server.post("/api/v1/write", &[], &message(1.0));
    assert_eq!(answer.status, 404);
    assert!(answer.text().starts_with(
        "remote write receiver needs to be enabled with --web.enable-remote-write-receiver"
    ));
}

#[test]
fn new_series_over_the_limit_are_refused_and_known_ones_go_on() {
    let server = Server::start(&["--max-series=1"]);
    assert_eq!(server.post("/api/v1/write", &[], &message(1.0)).status, 204);
    let answer = server.post("/write?db=x", &[], b"m f=1 1");
    assert_eq!(answer.status, 400);
    assert!(
        answer.json()["error"]
            .as_str()
            .unwrap()
            .contains("active series limit of 1 reached (max-series) dropped=1")
    );
    assert_eq!(server.post("/api/v1/write", &[], &message(1.0)).status, 204);
}
