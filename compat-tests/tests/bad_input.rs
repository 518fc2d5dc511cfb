//! Bad input over raw sockets: the rows of the reliability contract, section 9, that a running
//! server answers. Nothing here may be a 500, a panic or a hang, and the server serves on.

use std::time::Duration;

use compat_tests::http::{Exchange, Response, chunked, encode, exchange, form, gzip, target};
use compat_tests::promql::Query;
use compat_tests::remote_write::{self, TimeSeries, series};
use compat_tests::report::Failures;
use compat_tests::rng::now_ms;
use compat_tests::server::Server;

/// Silence after which no more answers are expected on a connection.
const SILENCE: Duration = Duration::from_millis(150);
/// Largest answer to bad input, without its headers.
const MAX_BODY: usize = 1 << 10;

/// One case.
struct Row {
    id: &'static str,
    what: String,
    bytes: Vec<u8>,
    /// Statuses that are right.
    status: &'static [u16],
    /// What the body holds.
    contains: &'static str,
    /// Whether the connection must be closed (true), must stay open (false), or either.
    closes: Option<bool>,
}

fn request(head: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{head}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn raw(id: &'static str, what: &str, bytes: Vec<u8>, status: &'static [u16]) -> Row {
    Row { id, what: what.to_owned(), bytes, status, contains: "", closes: None }
}

fn get(id: &'static str, target: &str, status: &'static [u16], contains: &'static str) -> Row {
    let bytes = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    Row { id, what: target.to_owned(), bytes, status, contains, closes: Some(false) }
}

fn post(id: &'static str, what: &str, head: &str, body: &[u8], status: &'static [u16]) -> Row {
    let bytes = request(&format!("POST {head}"), body);
    Row { id, what: what.to_owned(), bytes, status, contains: "", closes: None }
}

fn line(id: &'static str, body: &[u8], status: &'static [u16], contains: &'static str) -> [Row; 2] {
    let row = |path: &str| {
        let head = format!("{path} HTTP/1.1\r\nHost: x");
        let mut row = post(id, &format!("{path} {:?}", cut(body)), &head, body, status);
        (row.contains, row.closes) = (contains, Some(false));
        row
    };
    [row("/write?db=d"), row("/api/v2/write?bucket=d&org=o")]
}

fn cut(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned()
}

fn write(id: &'static str, what: &str, body: &[u8], status: &'static [u16]) -> Row {
    let head = "/api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Encoding: snappy\r\n\
                Content-Type: application/x-protobuf";
    post(id, what, head, body, status)
}

const BAD: &[u16] = &[400];
const TOO_LARGE: &[u16] = &[413];
const DONE: &[u16] = &[204];

/// B1 to B5: framing, headers, encodings, parameters.
fn framing() -> Vec<Row> {
    let closing = |mut row: Row| {
        row.closes = Some(true);
        row
    };
    let long = "a".repeat(40 << 10);
    let head =
        |headers: &str| format!("POST /write?db=d HTTP/1.1\r\n{headers}\r\n\r\n").into_bytes();
    let bytes = |text: &str| text.as_bytes().to_vec();
    let mut bad_chunk = head("Host: x\r\nTransfer-Encoding: chunked");
    bad_chunk.extend_from_slice(b"zz\r\nm f=1\r\n0\r\n\r\n");
    let mut both = head("Host: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked");
    both.extend_from_slice(&chunked(b"m f=1"));
    vec![
        get("B1", "/nope", &[404], "404 page not found"),
        raw("B1", "PUT query", request("PUT /api/v1/query HTTP/1.1\r\nHost: x", b""), &[405]),
        raw("B1", "GET write", bytes("GET /api/v1/write HTTP/1.1\r\nHost: x\r\n\r\n"), &[405]),
        raw("B1", "PUT /write", request("PUT /write?db=d HTTP/1.1\r\nHost: x", b"m f=1"), &[405]),
        raw("B1", "an unknown method", bytes("BREW / HTTP/1.1\r\nHost: x\r\n\r\n"), &[404, 405]),
        closing(raw("B2", "both lengths", both, BAD)),
        closing(raw("B2", "bad chunk size", bad_chunk, BAD)),
        closing(raw("B2", "NUL in a header", head("Host: x\r\nX-A: a\0b"), BAD)),
        closing(raw("B2", "space before the colon", head("Host: x\r\nX-A : b"), BAD)),
        closing(raw("B2", "no Host", head("X-A: b\r\nContent-Length: 0"), BAD)),
        closing(raw("B2", "two Hosts", head("Host: x\r\nHost: y\r\nContent-Length: 0"), BAD)),
        closing(raw("B2", "not HTTP", bytes("\x16\x03\x01 hello\r\n\r\n"), BAD)),
        closing(raw("B2", "negative length", head("Host: x\r\nContent-Length: -1"), BAD)),
        raw("B3", "long header", head(&format!("Host: x\r\nX-A: {long}")), &[431]),
        raw("B3", "200 headers", head(&format!("Host: x{}", "\r\nX-A: b".repeat(200))), &[431]),
        raw(
            "B3",
            "long URI",
            format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes(),
            &[414, 431],
        ),
        raw(
            "B3",
            "20 KiB URI",
            format!("GET /api/v1/query?query={} HTTP/1.1\r\nHost: x\r\n\r\n", &long[..20 << 10])
                .into_bytes(),
            &[414],
        ),
        raw(
            "B3",
            "length over the limit",
            head("Host: x\r\nContent-Length: 99999999999"),
            TOO_LARGE,
        ),
        raw(
            "B3",
            "Expect over the limit",
            head("Host: x\r\nContent-Length: 99999999999\r\nExpect: 100-continue"),
            TOO_LARGE,
        ),
        post(
            "B4",
            "write gzip",
            "/api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip",
            b"x",
            &[415],
        ),
        post(
            "B4",
            "write stacked",
            "/api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Encoding: snappy, gzip",
            b"x",
            &[415],
        ),
        post(
            "B4",
            "write text",
            "/api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain",
            b"x",
            &[415],
        ),
        post(
            "B4",
            "write unknown message",
            "/api/v1/write HTTP/1.1\r\nHost: x\r\n\
            Content-Type: application/x-protobuf;proto=a.B",
            b"x",
            &[415],
        ),
        post(
            "B4",
            "lines br",
            "/write?db=d HTTP/1.1\r\nHost: x\r\nContent-Encoding: br",
            b"m f=1",
            &[415],
        ),
        post(
            "B4",
            "lines stacked",
            "/write?db=d HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip, gzip",
            b"m f=1",
            &[415],
        ),
        get("B5", "/api/v1/query?query=%zz", BAD, ""),
        get("B5", "/api/v1/query?query=%ff", BAD, ""),
        get("B5", "/api/v1/query?query=1&time=%f", BAD, ""),
    ]
}

/// B6 to B8: bodies of remote write that are no message.
fn remote_write_bodies() -> Vec<Row> {
    let pack = remote_write::compress;
    let good = pack(&prost::Message::encode_to_vec(&remote_write::WriteRequest {
        timeseries: vec![series(&[("__name__", "b7")], &[(now_ms(), 1.0)])],
        metadata: vec![],
    }));
    // Field 15, length-delimited, 10 MB that no message knows.
    let mut unknown = vec![0x7a, 0x80, 0xad, 0xe2, 0x04];
    unknown.resize(unknown.len() + 10_000_000, 0);
    vec![
        write("B6", "empty body", b"", BAD),
        write("B6", "not snappy", b"hello, this is not snappy", BAD),
        write("B6", "cut snappy", &good[..good.len() - 3], BAD),
        write("B6", "declares 4 GiB", &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0], TOO_LARGE),
        write("B6", "declares 1 GiB", &[0x80, 0x80, 0x80, 0x80, 0x04, 0, 0], TOO_LARGE),
        write("B7", "cut message", &pack(&[0x0a, 0x20, 0x0a, 0x05]), BAD),
        write("B7", "wrong wire type", &pack(&[0x08, 0x01]), BAD),
        write("B7", "over-long varint", &pack(&[0xff; 12]), BAD),
        write(
            "B7",
            "packed length past the end",
            &pack(&[0x0a, 0x04, 0x12, 0x7f, 0x09, 0x00]),
            BAD,
        ),
        write("B7", "group", &pack(&[0x7b, 0x7c]), &[204, 400]),
        write("B7", "10 MB of an unknown field", &pack(&unknown), DONE),
        write("B8", "no series", &pack(b""), DONE),
    ]
}

/// B14 to B16: line protocol.
fn lines() -> Vec<Row> {
    let long = format!("m f=1,s=\"{}\"", "a".repeat(300 << 10));
    let mut rows = Vec::new();
    let good: [&[u8]; 7] = [
        b"",
        b"\n\n",
        b"# a comment\n#",
        b"b14 f=1\r\nb14 f=2\r\n",
        b"\xef\xbb\xbfb14 f=1",
        b"b14 f=1   \n",
        b"b14 f=1 1700000000000000000  \n",
    ];
    rows.extend(good.into_iter().flat_map(|body| line("B14", body, DONE, "")));
    let bad: [(&[u8], &'static str); 14] = [
        (b"b15", "missing fields"),
        (b"b15,a=b", "missing fields"),
        (b"b15 f=\"open", ""),
        (b"b15,a f=1", ""),
        (b",a=b f=1", "missing measurement"),
        (b"b15 f=9223372036854775808i", ""),
        (b"b15 f=NaN", ""),
        (b"b15 f=1e309", ""),
        (b"b15 f=1 1e9", ""),
        (b"b15 f=1 99999999999999999999", ""),
        (b"b15 f=1,g", ""),
        (b"b15 f=\xff\xfe", ""),
        (b"b15,t\xff=a f=1", ""),
        (long.as_bytes(), ""),
    ];
    rows.extend(bad.into_iter().flat_map(|(body, text)| line("B15", body, BAD, text)));
    let strings = b"b16 s=\"text\",b=true,n=1";
    rows.extend(line("B16", strings, DONE, ""));
    let bomb = gzip(&vec![b'\n'; 200 << 20]);
    let with = |head: &str, body: &[u8], status| {
        post("B16", head, &format!("{head} HTTP/1.1\r\nHost: x"), body, status)
    };
    let packed = |body: &[u8], what: &str, status| {
        post("B16", what, "/write?db=d HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip", body, status)
    };
    let half = gzip(b"b16 f=1");
    rows.extend([
        with("/write", b"b16 f=1", BAD),
        with("/write?db=", b"b16 f=1", BAD),
        with("/api/v2/write?org=o", b"b16 f=1", &[400, 404]),
        with("/write?db=d&precision=fortnight", b"b16 f=1", BAD),
        with("/api/v2/write?bucket=d&org=o&precision=fortnight", b"b16 f=1", BAD),
        with("/write?db=d&precision=h", b"b16 f=1 9000000000000000000", BAD),
        packed(b"not gzip at all", "not gzip", BAD),
        packed(&half[..half.len() - 4], "cut gzip", BAD),
        packed(&bomb, "gzip bomb", TOO_LARGE),
        packed(&[half.clone(), gzip(b"\nb16 f=2")].concat(), "two gzip members", DONE),
    ]);
    rows
}

/// B18 to B23: queries.
#[expect(clippy::too_many_lines, reason = "a table")]
fn queries() -> Vec<Row> {
    let query = |text: &str| format!("/api/v1/query?query={}", encode(text));
    let bad_data = "\"errorType\":\"bad_data\"";
    let mut rows = Vec::new();
    let texts = [
        "",
        "   ",
        "sum(",
        "foo(bar)",
        "g{a=~\"(\"}",
        "g{a=~\"*\"}",
        "1 +",
        "g[5m",
        "g offset x",
        "\"open",
        "{}",
        "g{",
        "g}",
        "rate(g)",
        "sum(g[5m])",
        "g + \"a\"",
        "1 and 1",
        "@",
        "g[0s]",
    ];
    rows.extend(texts.map(|text| get("B18", &query(text), BAD, bad_data)));
    rows.push(get("B18", "/api/v1/query", BAD, bad_data));
    let deep = [
        ("parentheses", format!("{}1{}", "(".repeat(20_000), ")".repeat(20_000))),
        ("open parentheses", "(".repeat(100_000)),
        ("unary", format!("{}1", "-".repeat(100_000))),
        ("calls", format!("{}g{}", "abs(".repeat(20_000), ")".repeat(20_000))),
        ("length", format!("g{{a=\"{}\"}}", "x".repeat(2 << 20))),
        ("regex nesting", format!("g{{a=~\"{}a{}\"}}", "(".repeat(5_000), ")".repeat(5_000))),
        ("regex repetition", "g{a=~\"((a{1000}){1000}){1000}\"}".to_owned()),
        ("subqueries", format!("g{}", "[1m:1s]".repeat(2_000))),
    ];
    for (what, text) in deep {
        let body = form(&[("query", &text)]);
        let head =
            "/api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded";
        rows.push(post("B18", what, head, body.as_bytes(), BAD));
    }
    let range = |start: &str, end: &str, step: &str| {
        target(
            "/api/v1/query_range",
            &[("query", "1"), ("start", start), ("end", end), ("step", step)],
        )
    };
    let ranges = [
        ("0", "10", "0"),
        ("0", "10", "-1"),
        ("0", "10", "NaN"),
        ("0", "10", "Inf"),
        ("0", "10", "1e-9"),
        ("0", "10", ""),
        ("0", "10", "x"),
        ("10", "0", "1"),
        ("0", "11001", "1"),
        ("NaN", "10", "1"),
        ("0", "1e30", "1"),
        ("0", "Inf", "1"),
        ("2023-13-01T00:00:00Z", "10", "1"),
        ("0", "", "1"),
        ("0", "12000-01-01T00:00:00Z", "1"),
    ];
    rows.extend(
        ranges.map(|(start, end, step)| get("B19", &range(start, end, step), BAD, bad_data)),
    );
    rows.extend(["1e30", "NaN", "tomorrow", "2023-11-14", "10000-01-01T00:00:00Z"].map(|time| {
        get("B19", &target("/api/v1/query", &[("query", "1"), ("time", time)]), BAD, bad_data)
    }));
    rows.extend(
        ["g[9999999y]", "g offset 9999999y", "g offset -1e18s", "g @ 1e30"]
            .map(|text| get("B20", &query(text), BAD, bad_data)),
    );
    rows.extend(
        ["limit=-1", "limit=x", "timeout=-1", "timeout=x", "lookback_delta=x"].map(|parameter| {
            get("B20", &format!("/api/v1/query?query=1&{parameter}"), BAD, bad_data)
        }),
    );
    let execution = "\"errorType\":\"execution\"";
    rows.extend(
        [
            "b21 * on() b21",
            "b21 + on(x) group_left b21",
            "label_replace(b21, \"\", \"\", \"\", \"\")",
            "label_replace(b21, \"a\", \"$1\", \"b\", \"(\")",
            "label_replace(b21, \"host\", \"\", \"host\", \".*\")",
            "count_values(\"\\xff\", b21)",
            "sum_over_time(vector(1)[365d:1s])",
        ]
        .map(|text| get("B21", &query(text), &[422], execution)),
    );
    let heavy = "max_over_time(sum_over_time(vector(1)[1h:1s])[10h:1s])";
    let heavy = target("/api/v1/query", &[("query", heavy), ("timeout", "1ms")]);
    rows.push(get("B22", &heavy, &[503], "\"timeout\""));
    rows.extend(
        [
            "/api/v1/series",
            "/api/v1/series?match[]={}",
            "/api/v1/series?match[]=",
            "/api/v1/labels?match[]={",
            "/api/v1/series?match[]={a=~\".*\"}",
            "/api/v1/label/%ff/values",
            "/api/v1/labels?start=x",
            "/api/v1/labels?limit=-1",
        ]
        .map(|target| {
            get(
                "B23",
                &target.replace('{', "%7B").replace('}', "%7D").replace('"', "%22"),
                BAD,
                bad_data,
            )
        }),
    );
    // Prometheus finds nothing in an empty range, and that is no error.
    rows.extend(
        [
            "/api/v1/series?match[]=b21&start=10&end=5",
            "/api/v1/labels?start=10&end=5",
            "/api/v1/label/a/values?start=10&end=5",
        ]
        .map(|target| get("B23", target, &[200], "{\"status\":\"success\",\"data\":[]}")),
    );
    rows
}

fn judge(row: &Row, got: &Exchange) -> Result<(), String> {
    let Some(answer) = got.answers.first() else { return Err("no answer".to_owned()) };
    let brief = answer.brief();
    if got.answers.len() > 1 {
        return Err(format!("{} answers, the first {brief}", got.answers.len()));
    }
    if !row.status.contains(&answer.status) {
        return Err(format!("{brief}, want {:?}", row.status));
    }
    if !answer.text().contains(row.contains) {
        return Err(format!("{brief}, want {:?}", row.contains));
    }
    if answer.body.len() > MAX_BODY && answer.status != 200 {
        return Err(format!("the answer has {} bytes", answer.body.len()));
    }
    if answer.status == 405 && answer.header("allow").is_none() {
        return Err("405 without Allow".to_owned());
    }
    if row.closes.is_some_and(|closes| closes != got.closed) {
        return Err(format!("{brief}; connection closed: {}", got.closed));
    }
    let is_line_door = row.what.starts_with("/write") || row.what.starts_with("/api/v2");
    if is_line_door && answer.status >= 400 && !answer.json().is_object() {
        return Err(format!("{brief} is not JSON, and Telegraf would send it again for ever"));
    }
    Ok(())
}

#[test]
fn bad_requests_get_the_answer_of_the_table() {
    let server = Server::start(&[]);
    let mut client = server.client();
    // What the query rows select from.
    let two =
        ["a", "b"].map(|host| series(&[("__name__", "b21"), ("host", host)], &[(now_ms(), 1.0)]));
    let answer = remote_write::write(&mut client, two.to_vec()).expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.brief());
    let mut failures = Failures::default();
    for row in [framing(), remote_write_bodies(), lines(), queries()].into_iter().flatten() {
        let got = exchange(server.address(), &row.bytes, SILENCE).expect("the server is reached");
        // An answer may take longer than the silence that ends an exchange.
        let got = if got.answers.is_empty() && !got.closed {
            exchange(server.address(), &row.bytes, SILENCE * 40).expect("the server is reached")
        } else {
            got
        };
        failures.check(&format!("{} {}", row.id, row.what), judge(&row, &got));
        let alive = client.get("/-/healthy", &[]).is_ok_and(|response| response.status == 200);
        assert!(
            alive,
            "{} {}: the server does not answer any more\n{}",
            row.id,
            row.what,
            server.log()
        );
    }
    assert!(!server.log().contains("panicked at"), "{}", server.log());
    failures.finish("bad_input");
}

/// B9 to B11: a request with good and bad rows keeps the good ones.
#[test]
fn bad_series_and_samples_do_not_take_good_ones_with_them() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let mut failures = Failures::default();
    let now = now_ms() / 1000 * 1000;
    let many: Vec<(String, String)> =
        (0..70).map(|i| (format!("l{i:02}"), "v".to_owned())).collect();
    let mut many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    many.insert(0, ("__name__", "bad"));
    let (long_name, long_value) = ("n".repeat(1_025), "v".repeat(4_097));
    let named = |t_ms: i64| series(&[("__name__", "bad")], &[(t_ms, 1.0)]);
    let bytes = |name: &[u8], value: &[u8]| {
        let mut bad = series(&[("__name__", "bad"), ("x", "y")], &[(now, 1.0)]);
        (bad.labels[1].name, bad.labels[1].value) = (name.to_vec(), value.to_vec());
        bad
    };
    let cases: Vec<(&str, TimeSeries)> = vec![
        ("B9 no name", series(&[("a", "b")], &[(now, 1.0)])),
        ("B9 empty name", series(&[("__name__", ""), ("a", "b")], &[(now, 1.0)])),
        (
            "B9 duplicate labels",
            series(&[("__name__", "bad"), ("a", "1"), ("a", "2")], &[(now, 1.0)]),
        ),
        ("B9 empty label name", bytes(b"", b"v")),
        ("B9 bad UTF-8 in a name", bytes(b"\xff", b"v")),
        ("B9 bad UTF-8 in a value", bytes(b"a", b"\xc3\x28")),
        ("B9 too many labels", series(&many, &[(now, 1.0)])),
        ("B9 long label name", bytes(long_name.as_bytes(), b"v")),
        ("B9 long label value", bytes(b"a", long_value.as_bytes())),
        ("B10 smallest time", named(i64::MIN)),
        ("B10 largest time", named(i64::MAX)),
        ("B10 future", named(now + 660_000)),
    ];
    for (index, (what, bad)) in (0_i32..).zip(cases) {
        let value = f64::from(index);
        let good =
            |name: &str| series(&[("__name__", name), ("case", what)], &[(now - 1_000, value)]);
        let batch = vec![good("before"), bad, good("after")];
        let answer = remote_write::write(&mut client, batch).expect("an answer");
        let result =
            if answer.status == 400 && !answer.body.is_empty() && answer.body.len() <= MAX_BODY {
                Ok(())
            } else {
                Err(format!("{}, want 400 with a short reason", answer.brief()))
            };
        failures.check(what, result);
        let query = format!("count({{__name__=~\"before|after\",case=\"{what}\"}} == {value})");
        let stored = Query::at(&query, now).run(&mut client).single();
        let result =
            if stored == Some(2.0) { Ok(()) } else { Err(format!("good rows: {stored:?}")) };
        failures.check(what, result);
    }
    let left = Query::at("count(last_over_time({__name__!~\"before|after\"}[1d]))", now + 700_000);
    let left = left.run(&mut client);
    let result = if left.series().is_empty() { Ok(()) } else { Err(format!("{:?}", left.data)) };
    failures.check("no bad row was stored", result);
    failures.finish("bad rows of remote write");
}

/// B9 (unsorted), B10 (duplicates), B11.
#[test]
fn odd_but_good_samples_are_kept_bit_for_bit() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let mut failures = Failures::default();
    let now = now_ms() / 1000 * 1000;
    let mut send = |what: &str, labels: &[(&str, &str)], value: f64, status: u16| -> Response {
        let answer = remote_write::write(&mut client, vec![series(labels, &[(now, value)])]);
        let answer = answer.expect("an answer");
        let why = format!("{}, want {status}", answer.brief());
        failures.check(what, if answer.status == status { Ok(()) } else { Err(why) });
        answer
    };
    send("unsorted labels", &[("b", "2"), ("__name__", "odd"), ("a", "1")], 1.0, 204);
    send("the same again", &[("a", "1"), ("__name__", "odd"), ("b", "2")], 1.0, 204);
    let answer = send(
        "another value at the newest time",
        &[("__name__", "odd"), ("a", "1"), ("b", "2")],
        2.0,
        400,
    );
    let text = answer.text();
    let good = text.contains("duplicate sample for timestamp");
    failures.check("text of a duplicate", if good { Ok(()) } else { Err(text) });
    let mut send = |name: &str, value: f64| {
        let batch = vec![series(&[("__name__", name)], &[(now, value)])];
        for _ in 0..2 {
            let answer = remote_write::write(&mut client, batch.clone()).expect("an answer");
            let good = answer.status == 204;
            failures.check(name, if good { Ok(()) } else { Err(answer.brief()) });
        }
    };
    let special = [
        ("nan", f64::NAN, "\"NaN\""),
        ("inf", f64::INFINITY, "\"+Inf\""),
        ("minus_inf", f64::NEG_INFINITY, "\"-Inf\""),
        ("subnormal", 5e-324, "\"5e-324\""),
        ("largest", f64::MAX, "\"1.7976931348623157e+308\""),
        ("odd_nan", f64::from_bits(0x7ff8_0000_dead_beef), "\"NaN\""),
    ];
    for (name, value, _) in special {
        send(name, value);
    }
    send("stale", f64::from_bits(0x7ff0_0000_0000_0002));
    let time = (now / 1000).to_string();
    let ask = |query: &str| {
        server
            .client()
            .get("/api/v1/query", &[("query", query), ("time", &time)])
            .expect("an answer")
    };
    for (name, _, want) in special {
        let text = ask(name).text();
        let why = format!("{text}, want {want}");
        failures.check(name, if text.contains(want) { Ok(()) } else { Err(why) });
    }
    let stale = ask("stale").text();
    failures.check("stale", if stale.contains("\"result\":[]") { Ok(()) } else { Err(stale) });
    let odd = ask("odd").text();
    failures.check("unsorted", if odd.contains("\"1\"]") { Ok(()) } else { Err(odd) });
    failures.finish("odd samples");
}

/// B13: the limit on active series refuses new ones and lets known ones go on.
#[test]
fn the_series_limit_refuses_only_new_series() {
    let server = Server::start(&["--max-series=10"]);
    let mut client = server.client();
    let now = now_ms();
    let batch = |from: usize, to: usize, t_ms: i64| -> Vec<TimeSeries> {
        let name = |i: usize| series(&[("__name__", &format!("s{i}"))], &[(t_ms, 1.0)]);
        (from..to).map(name).collect()
    };
    let mut send = |series| remote_write::write(&mut client, series).expect("an answer");
    assert_eq!(send(batch(0, 10, now - 2_000)).status, 204);
    let over = send(batch(5, 15, now - 1_000));
    assert_eq!(over.status, 400, "{}", over.brief());
    assert!(over.text().contains("10"), "the limit is named: {}", over.brief());
    let known = send(batch(0, 10, now));
    assert_eq!(known.status, 204, "{}", known.brief());
    let mut client = server.client();
    let count = Query::at("count({__name__=~\"s.*\"})", now).run(&mut client);
    assert_eq!(count.single(), Some(10.0));
    let last = Query::at("count_over_time(s7[10s])", now).run(&mut client);
    assert_eq!(last.single(), Some(3.0), "known series of a refused request are stored");
}

/// B5: the form wins over the URL.
#[test]
fn a_form_parameter_wins_over_the_url() {
    let server = Server::start(&[]);
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    let mut client = server.client();
    let answer = client.send("POST", "/api/v1/query?query=1&time=1", &kind, b"query=2&time=2");
    let answer = answer.expect("an answer");
    assert!(answer.text().contains("[2,\"2\"]"), "{}", answer.brief());
}
