//! Recorded exchanges with a real InfluxDB 1.x, and recorded requests of client libraries, replayed.
//!
//! Where the server answers otherwise on purpose, the row of [`DIFFERENCES`] says what and why
//! (influx contract 8.3 and 8.4). A difference that is not listed fails; so does a listed one that is
//! none any more.

use compat_tests::corpus;
use compat_tests::http::{Client, Response, chunked, gzip, target};
use compat_tests::report::{Failures, say};
use compat_tests::server::Server;
use serde_json::Value;

/// The recorded server whose answers are wanted.
const REFERENCE: &str = "influxd_1.6.7";
/// Groups that are replayed.
const GROUPS: [&str; 3] = ["write-v1", "write-v2", "ping"];

/// Names of exchanges, the status that we answer instead, text in its body, and the reason.
type Difference = (&'static [&'static str], u16, &'static str, &'static str);

const DIFFERENCES: &[Difference] = &[
    (&["rp-not-found", "beyond-rp"], 204, "", "8.3: any retention policy name is accepted"),
    (&["accept-csv-error"], 204, "", "8.3: any database name is accepted"),
    (
        &[
            "precision-us",
            "precision-µ",
            "precision-d",
            "precision-nanosecond",
            "precision-second",
            "precision-1s",
            "precision-MS",
        ],
        400,
        "precision",
        "1.10: an unknown unit is refused, as in 1.8",
    ),
    (&["put"], 405, "", "8.4: errors are JSON on every Influx door"),
    (&["options", "options-cors"], 204, "", "2.1: 204, as in later 1.x"),
    (&["post-cors"], 403, "origin", "S6: a page of another site may not write"),
    (&["gzip-uppercase", "deflate-zlib"], 204, "", "7.5: codings are read, in any case"),
    (&["br"], 415, "br", "7.5: what cannot be read is refused, not taken as text"),
    (&["too-large"], 413, "error", "L9: refused for its number of samples, not its bytes"),
    (
        &["type-conflict-partial", "type-conflict-same-batch-new"],
        204,
        "",
        "8.2: the store has no types; strings are not stored",
    ),
    (
        &["type-conflict-and-parse-error"],
        400,
        "partial write: unable to parse 'bad'",
        "8.2: the store has no types, so the bad line is what is left",
    ),
    (&["u-suffix"], 204, "", "1.15: unsigned integers are read"),
    (&["time-field-only"], 204, "", "1.15: a field called time is a field"),
    (&["double-slash"], 204, "", "8.4: a doubled slash is accepted"),
    (&["v2-/api/v2/write", "v2-/api/v3/write_lp"], 204, "", "8.4: the doors of 2.x and 3 exist"),
    (&["v2-/health", "v2-/ready"], 200, "status", "8.4: the doors of 2.x exist"),
    (
        &[
            "v2-/api/v2/buckets",
            "v2-/api/v2/orgs",
            "v2-/api/v2/health",
            "v2-/api/v2/setup",
            "v2-/api/v2/ping",
        ],
        404,
        "{\"code\":\"not found\",",
        "8.4: errors are JSON on every Influx door",
    ),
    (&["ping-verbose"], 200, "version", "2.3: as 1.7 and later"),
];

fn body(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Object(map) => {
            if map.contains_key("base64") {
                return corpus::bytes(value);
            }
            if let (Some(length), Some(head)) = (map.get("length"), map.get("head")) {
                let length = usize::try_from(length.as_u64().expect("a length")).expect("fits");
                let head = head.as_str().expect("a text").as_bytes();
                return head.iter().copied().cycle().take(length).collect();
            }
            let pairs: Vec<(&str, &str)> =
                map.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default())).collect();
            compat_tests::http::form(&pairs).into_bytes()
        }
        other => panic!("a body {other}"),
    }
}

fn replay(client: &mut Client, request: &Value) -> Result<Response, String> {
    let text = |name: &str| request[name].as_str().expect("a text").to_owned();
    let params = request["params"].as_object().expect("parameters");
    let params: Vec<(&str, &str)> =
        params.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default())).collect();
    let headers = request["headers"].as_object().expect("headers");
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default())).collect();
    let target = target(&text("path"), &params);
    let sent = client.send(&text("method"), &target, &headers, &body(&request["body"]));
    sent.map_err(|e| format!("no answer: {e}"))
}

/// Whether `got` is the recorded answer: status and body; headers that clients look at.
fn as_recorded(got: &Response, want: &Value) -> Result<(), String> {
    let status = want["status"].as_u64().expect("a status");
    let text = want["body"].as_str().unwrap_or_default();
    if u64::from(got.status) != status || got.text() != text {
        return Err(format!("{}, recorded {status} {text:?}", got.brief()));
    }
    if let Some(error) = want["headers"]["x-influxdb-error"].as_str()
        && got.header("x-influxdb-error") != Some(error)
    {
        return Err(format!(
            "X-Influxdb-Error {:?}, want {error:?}",
            got.header("x-influxdb-error")
        ));
    }
    Ok(())
}

/// What every answer of an Influx door has.
fn always(got: &Response) -> Result<(), String> {
    if !got.header("x-influxdb-version").is_some_and(|version| version.starts_with("1.8")) {
        return Err(format!("X-Influxdb-Version {:?}", got.header("x-influxdb-version")));
    }
    if got.status >= 400 && !got.body.is_empty() && !got.json().is_object() {
        return Err(format!("{}: an error that is not JSON", got.brief()));
    }
    if got.status == 204 && !got.body.is_empty() {
        return Err("204 with a body".to_owned());
    }
    Ok(())
}

#[test]
fn recorded_exchanges_are_answered_as_recorded_or_as_listed() {
    let what = "recorded exchanges with InfluxDB";
    let Some(all) = corpus::json("influx/http-transcripts.json", what) else { return };
    let server = Server::start(&[]);
    let mut client = server.client();
    let mut failures = Failures::default();
    let mut listed_seen = Vec::new();
    for exchange in all.as_array().expect("a list") {
        let group = exchange["group"].as_str().unwrap_or_default();
        if exchange["server"] != REFERENCE || !GROUPS.contains(&group) {
            continue;
        }
        let name = exchange["name"].as_str().expect("a name");
        let listed = DIFFERENCES.iter().find(|(names, ..)| names.contains(&name));
        let result = replay(&mut client, &exchange["request"]).and_then(|got| {
            let recorded = as_recorded(&got, &exchange["response"]);
            match listed {
                None => recorded?,
                Some(_) if recorded.is_ok() => {
                    return Err("is as recorded now: take it off the list".to_owned());
                }
                Some((_, status, text, why)) => {
                    listed_seen.push(name);
                    if got.status != *status || !got.text().contains(text) {
                        return Err(format!("{}, want {status} {text:?} ({why})", got.brief()));
                    }
                }
            }
            // What is no Influx path has no Influx headers.
            if got.status == 404 { Ok(()) } else { always(&got) }
        });
        failures.check(&format!("{group} {name}"), result);
    }
    for name in DIFFERENCES.iter().flat_map(|(names, ..)| names.iter()) {
        let seen = if listed_seen.contains(name) { Ok(()) } else { Err("not met".to_owned()) };
        failures.check(&format!("listed difference {name}"), seen);
    }
    failures.finish("influx_transcripts");
}

/// What a client needs from the answer to one of its requests (influx contract 7.4).
fn suits(client: &str, method: &str, path: &str, got: &Response) -> Result<(), String> {
    let route = path.split('?').next().unwrap_or_default();
    let need = |good: bool, what: &str| {
        if good {
            Ok(())
        } else {
            Err(format!("{} for {method} {path}, {client} needs {what}", got.brief()))
        }
    };
    match route {
        "/ping" => {
            need(got.status == 204 || got.status == 200, "204")?;
            need(got.header("x-influxdb-version").is_some(), "X-Influxdb-Version")
        }
        "/health" => need(got.status == 200 && got.json()["status"] == "pass", "status pass"),
        "/ready" => need(got.status == 200 && got.json()["status"] == "ready", "status ready"),
        "/write" | "/api/v2/write" | "/api/v3/write_lp" => {
            need(got.status == 204 && got.body.is_empty(), "204 and no body")
        }
        "/query" => need(got.status == 200 && got.json()["results"].is_array(), "results"),
        _ => need(got.status < 500, "an answer"),
    }
}

#[test]
fn recorded_requests_of_client_libraries_are_served() {
    let what = "recorded requests of client libraries";
    let Some(all) = corpus::json("influx/client-captures.json", what) else { return };
    let server = Server::start(&[]);
    let mut client = server.client();
    let mut failures = Failures::default();
    let mut later = 0;
    for capture in all.as_array().expect("a list") {
        let name = capture["client"].as_str().expect("a name");
        for request in capture["requests"].as_array().expect("requests") {
            let method = request["method"].as_str().expect("a method");
            let path = request["path"].as_str().expect("a path");
            let mut body = corpus::bytes(&request["body_decompressed"]);
            let header = |name: &str| request["headers"][name].as_str();
            if header("content-encoding") == Some("gzip") {
                body = gzip(&body);
            }
            if header("transfer-encoding") == Some("chunked") {
                body = chunked(&body);
            }
            let map = request["headers"].as_object().expect("headers");
            let headers: Vec<(&str, &str)> = map
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()))
                .filter(|(k, _)| !k.eq_ignore_ascii_case("content-length"))
                .collect();
            if path.starts_with("/api/v2/signin") {
                // Sessions come with authentication; the client needs no more than a clear error.
                later += 1;
            }
            let result = client
                .send(method, path, &headers, &body)
                .map_err(|e| format!("no answer: {e}"))
                .and_then(|got| suits(name, method, path, &got));
            failures.check(&format!("{name}: {method} {path}"), result);
        }
    }
    say(&format!("influx client captures: {later} sign-in requests answered, not served yet"));
    failures.finish("influx client captures");
}
