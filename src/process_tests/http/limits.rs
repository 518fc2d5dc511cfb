use std::io::Read as _;
use std::time::{Duration, Instant};

use crate::peer::{Peer, Server};

fn closes_within(peer: &mut Peer, least: u64, most: u64) {
    let began = Instant::now();
    assert!(peer.is_closed());
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(least), "closed after {took:?}");
    assert!(took < Duration::from_millis(most), "closed after {took:?}");
}

#[test]
fn silent_dripping_and_idle_connections_are_cut_off() {
    let server = Server::start(&[
        "--first-byte-timeout=300ms",
        "--header-timeout=300ms",
        "--idle-timeout=700ms",
    ]);
    let mut silent = server.connect();
    closes_within(&mut silent, 200, 5000);

    let mut dripping = server.connect();
    dripping.send(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n");
    closes_within(&mut dripping, 200, 5000);

    let mut idle = server.connect();
    idle.send_request("GET", "/-/healthy", &[], b"");
    assert_eq!(idle.answer().status, 200);
    closes_within(&mut idle, 500, 5000);

    let mut second_head = server.connect();
    second_head.send_request("GET", "/-/healthy", &[], b"");
    assert_eq!(second_head.answer().status, 200);
    second_head.send(b"GET /-/healthy HTTP/1.1\r\n");
    closes_within(&mut second_head, 200, 5000);
    for reason in ["first_byte", "header", "idle"] {
        let line = format!("silverback_connections_cut_total{{reason=\"{reason}\"}}");
        assert!(server.metric(&line).is_some_and(|n| n >= 1.0), "{reason}");
    }
}

#[test]
fn a_slow_body_is_a_408_and_a_busy_connection_is_not_idle() {
    let server = Server::start(&[
        "--body-grace=600ms",
        "--body-min-rate=1MiB",
        "--idle-timeout=200ms",
        "--header-timeout=200ms",
    ]);
    let mut peer = server.connect();
    peer.send(b"POST /write?db=x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nm f=1");
    let began = Instant::now();
    let answer = peer.answer();
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    assert!(began.elapsed() >= Duration::from_millis(400), "the grace outlives the idle timeout");
    assert_eq!(answer.json()["error"], "request body came too slowly");
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let server = Server::start(&["--write-stall-timeout=500ms"]);
    let value = "x".repeat(3000);
    for batch in 0..20 {
        let line = |i: u32| format!("m,a={batch}x{i},b={value} f=1 1\n");
        let body: String = (0..1000).map(line).collect();
        assert_eq!(server.post("/write?db=x", &[], body.as_bytes()).status, 204);
    }
    let mut peer = server.connect();
    peer.send_request("GET", "/api/v1/series?match[]=m_f", &[], b"");
    // Read a little, then nothing: the kernel's buffers fill and the server has to wait.
    peer.stream.read_exact(&mut [0; 1000]).unwrap();
    let line = "silverback_connections_cut_total{reason=\"write_stall\"}";
    let began = Instant::now();
    while server.metric(line).is_none() {
        assert!(began.elapsed() < Duration::from_secs(15), "never cut off");
        std::thread::yield_now();
    }
    let mut rest = Vec::new();
    let _ = peer.stream.read_to_end(&mut rest);
    assert!(rest.len() < 60 << 20, "the answer was not sent whole");
}

#[test]
fn connections_over_the_cap_of_an_address_are_closed() {
    let server = Server::start(&["--max-connections-per-address=3"]);
    // Earlier connections of this test may still be counted, so places are waited for.
    let serve_one = || {
        let began = Instant::now();
        loop {
            let mut peer = server.connect();
            if peer.is_served() {
                return peer;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "no place became free");
        }
    };
    let mut held: Vec<Peer> = (0..3).map(|_| serve_one()).collect();
    assert!(!server.connect().is_served());
    drop(held.pop());
    serve_one();
    assert!(held.iter_mut().all(Peer::is_served));
}

#[test]
fn connections_over_the_total_wait_their_turn() {
    let server = Server::start(&["--max-connections=2"]);
    let mut first = server.connect();
    first.send_request("GET", "/-/healthy", &[], b"");
    assert_eq!(first.answer().status, 200);
    let mut second = server.connect();
    second.send_request("GET", "/-/healthy", &[], b"");
    assert_eq!(second.answer().status, 200);
    let mut third = server.connect();
    third.send_request("GET", "/-/healthy", &[], b"");
    third.stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(third.stream.peek(&mut [0; 1]).is_err(), "no answer while both places are taken");
    drop(first);
    third.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(third.answer().status, 200);
}
