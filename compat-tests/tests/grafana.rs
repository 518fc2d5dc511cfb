//! What Grafana's Prometheus data source calls, and the transcripts of a real Prometheus
//! (prometheus contract 9.4 and appendix D), as one table. It runs against the server and, where one
//! is installed, against Prometheus, which proves the table.

use compat_tests::http::{Client, Response, form, gunzip};
use compat_tests::peers::Peer;
use compat_tests::remote_write::{self, series};
use compat_tests::report::Failures;
use compat_tests::rng::now_ms;
use compat_tests::server::Server;
use serde_json::{Value, json};

/// What an answer must be, besides its status.
enum Want {
    /// These bytes.
    Exact(&'static str),
    /// JSON with this text somewhere in it (as sent).
    Contains(&'static str),
    /// `data` is this.
    Data(Value),
    /// A header has this value.
    Header(&'static str, &'static str),
    /// Whatever this says.
    Check(fn(&Response) -> bool),
}

struct Row {
    request: (&'static str, String, String),
    status: u16,
    want: Vec<Want>,
    /// Why the installed Prometheus (3.5) may answer otherwise.
    peer_differs: Option<&'static str>,
}

fn row(method: &'static str, target: impl Into<String>, status: u16, want: Vec<Want>) -> Row {
    Row { request: (method, target.into(), String::new()), status, want, peer_differs: None }
}

fn get(target: impl Into<String>, status: u16, want: Vec<Want>) -> Row {
    row("GET", target, status, want)
}

fn post(path: &str, params: &[(&str, &str)], status: u16, want: Vec<Want>) -> Row {
    let mut row = row("POST", path, status, want);
    row.request.2 = form(params);
    row
}

fn unlike_peer(mut row: Row, why: &'static str) -> Row {
    row.peer_differs = Some(why);
    row
}

fn names_only(values: &[&str]) -> Want {
    Want::Data(json!(values))
}

/// The rows. `t` is the time (s) of the newest sample.
#[expect(clippy::too_many_lines, reason = "a table")]
fn table(t: i64) -> Vec<Row> {
    use Want::{Check, Contains, Data, Exact, Header};
    let range = format!("start={}&end={t}", t - 600);
    let one = "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[4,\"2\"]}}";
    let is_json = || Header("content-type", "application/json");
    let is_empty = || Data(json!([]));
    let samples = [("query", "g"), ("start", "0"), ("end", "60"), ("step", "15")];
    vec![
        // The data source's health check, both ways.
        get("/api/v1/query?query=1%2B1&time=4", 200, vec![Exact(one), is_json()]),
        post("/api/v1/query", &[("query", "1+1"), ("time", "4")], 200, vec![Exact(one)]),
        // The flavour probe: a version, and no `features`, which would mean Mimir.
        get(
            "/api/v1/status/buildinfo",
            200,
            vec![Check(|r| {
                let data = &r.json()["data"];
                let version = data["version"].as_str().unwrap_or_default().to_owned();
                let parts: Vec<&str> = version.splitn(3, '.').collect();
                data.get("features").is_none()
                    && parts.len() == 3
                    && parts[..2].iter().all(|part| part.parse::<u32>().is_ok())
            })],
        ),
        // Panels.
        post(
            "/api/v1/query_range",
            &samples,
            200,
            vec![Contains("\"resultType\":\"matrix\""), Contains("\"result\":[]")],
        ),
        get(
            format!("/api/v1/query_range?query=g&{range}&step=15"),
            200,
            vec![Check(|r| {
                r.json()["data"]["result"].as_array().is_some_and(|result| result.len() == 2)
            })],
        ),
        get(
            format!("/api/v1/query_range?query=g&start={}.5&end={t}.25&step=0.5", t - 5),
            200,
            vec![Contains("matrix")],
        ),
        get(format!("/api/v1/query?query=g%5B1m%5D&time={t}"), 200, vec![Contains("matrix")]),
        get(
            "/api/v1/query?query=absent_metric",
            200,
            vec![Exact(
                "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}",
            )],
        ),
        // The exemplar probe sends milliseconds where seconds are expected.
        get(
            "/api/v1/query_exemplars?query=test&start=1700000000000&end=1800000000000",
            200,
            vec![Exact("{\"status\":\"success\",\"data\":[]}")],
        ),
        post(
            "/api/v1/query_exemplars",
            &[("query", "test"), ("start", "0"), ("end", "1")],
            200,
            vec![is_empty()],
        ),
        get("/api/v1/query_exemplars?query=1&start=0&end=1", 204, vec![]),
        // Discovery.
        get(
            format!("/api/v1/label/__name__/values?{range}&limit=40000"),
            200,
            vec![names_only(&["dotted.name", "g"])],
        ),
        get(
            format!("/api/v1/label/host/values?match[]=g&{range}"),
            200,
            vec![names_only(&["a", "b"])],
        ),
        get(
            "/api/v1/label/host/values?limit=1",
            200,
            vec![names_only(&["a"]), Contains("\"warnings\":[\"results truncated due to limit\"]")],
        ),
        get("/api/v1/label/host/values?limit=0", 200, vec![names_only(&["a", "b"])]),
        get("/api/v1/label/nothing/values", 200, vec![is_empty()]),
        get("/api/v1/label/U__a_2e_b/values", 200, vec![names_only(&["dot"])]),
        get("/api/v1/label/a.b/values", 200, vec![names_only(&["dot"])]),
        post(
            "/api/v1/label/job/values",
            &[],
            405,
            vec![Contains("Method Not Allowed"), Header("allow", "GET, OPTIONS")],
        ),
        post(
            "/api/v1/labels",
            &[("start", "0"), ("limit", "0")],
            200,
            vec![names_only(&["__name__", "a.b", "host"])],
        ),
        get(
            "/api/v1/labels?limit=2",
            200,
            vec![Exact(
                "{\"status\":\"success\",\"data\":[\"__name__\",\"a.b\"],\
             \"warnings\":[\"results truncated due to limit\"]}",
            )],
        ),
        get("/api/v1/labels?match[]=g", 200, vec![names_only(&["__name__", "host"])]),
        post(
            "/api/v1/series",
            &[("match[]", "{__name__!=\"\"}"), ("limit", "40000")],
            200,
            vec![Check(|r| r.json()["data"].as_array().is_some_and(|a| a.len() == 3))],
        ),
        post(
            "/api/v1/series",
            &[("match[]", "g"), ("match[]", "{host=\"b\"}")],
            200,
            vec![Data(json!([{"__name__": "g", "host": "a"}, {"__name__": "g", "host": "b"}]))],
        ),
        post("/api/v1/series", &[("match[]", "nothing")], 200, vec![is_empty()]),
        get("/api/v1/metadata?limit=40000", 200, vec![Check(|r| r.json()["data"].is_object())]),
        get("/api/v1/metadata?metric=nothing", 200, vec![Data(json!({}))]),
        get("/api/v1/rules", 200, vec![Data(json!({"groups": []}))]),
        get(
            "/api/v1/rules?type=alert&exclude_alerts=true&rule_name[]=x&file[]=y",
            200,
            vec![Check(|r| r.json()["data"]["groups"].is_array())],
        ),
        get(
            "/api/v1/rules?type=foo",
            400,
            vec![Contains("invalid parameter \\\"type\\\": not supported value \\\"foo\\\"")],
        ),
        get("/api/v1/alerts", 200, vec![Data(json!({"alerts": []}))]),
        get(
            "/api/v1/targets",
            200,
            vec![Data(json!(
            {"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}}))],
        ),
        get(
            "/api/v1/alertmanagers",
            200,
            vec![Data(json!(
            {"activeAlertmanagers": [], "droppedAlertmanagers": []}))],
        ),
        get("/api/v1/status/flags", 200, vec![Check(|r| r.json()["data"].is_object())]),
        get("/api/v1/status/config", 200, vec![Check(|r| r.json()["data"]["yaml"].is_string())]),
        get(
            "/api/v1/status/runtimeinfo",
            200,
            vec![Check(|r| r.json()["data"]["startTime"].is_string())],
        ),
        get(
            "/api/v1/status/tsdb",
            200,
            vec![Check(|r| r.json()["data"]["headStats"]["numSeries"] == 3)],
        ),
        get("/api/v1/status/tsdb?limit=0", 400, vec![Contains("limit must be a positive number")]),
        get("/api/v1/status/walreplay", 200, vec![Check(|r| r.json()["data"]["max"].is_i64())]),
        get("/api/v1/notifications", 200, vec![Check(|r| r.json()["data"].is_array())]),
        get(
            "/api/v1/format_query?query=sum(rate(g%5B5m%5D))by(host)",
            200,
            vec![Data(json!("sum by (host) (rate(g[5m]))"))],
        ),
        get("/-/healthy", 200, vec![]),
        get("/-/ready", 200, vec![]),
        // Times in milliseconds by mistake are far in the future, not an error.
        get("/api/v1/query?query=g&time=1700000000000", 200, vec![Contains("\"result\":[]")]),
        get(
            "/api/v1/series?match[]=g&start=1700000000000&end=1800000000000",
            200,
            vec![is_empty()],
        ),
        // Braces that a URL should not have.
        get(
            format!("/api/v1/query?query=g{{host=%22a%22}}&time={t}"),
            200,
            vec![Contains("\"host\":\"a\"")],
        ),
        unlike_peer(
            get(format!("/api/v1/query?query=g{{host=\"a\"}}&time={t}"), 400, vec![]),
            "a raw quote in a URL is refused (COMPAT.md); no client sends one",
        ),
        // Transcripts.
        get(
            "/api/v1/query?query=sum(foo",
            400,
            vec![Exact(
                "{\"status\":\"error\",\"errorType\":\"bad_data\",\
            \"error\":\"invalid parameter \\\"query\\\": 1:8: parse error: unclosed left parenthesis\"}",
            )],
        ),
        get(
            "/api/v1/query?query=foo(bar)",
            400,
            vec![Contains("1:1: parse error: unknown function with name \\\"foo\\\"")],
        ),
        get(
            "/api/v1/query?query=",
            400,
            vec![Contains(
                "invalid parameter \\\"query\\\": unknown position: parse error: no expression found in input",
            )],
        ),
        get(
            "/api/v1/query?query=1&time=1.05",
            200,
            vec![Exact(
                "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1.05,\"1\"]}}",
            )],
        ),
        get("/api/v1/query?query=1e21&time=1", 200, vec![Contains("\"1000000000000000000000\"")]),
        get(
            "/api/v1/query?query=vector(1e21)&time=1.05",
            200,
            vec![Exact(
                "{\"status\":\"success\",\"data\":\
            {\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1.050,\"1e+21\"]}]}}",
            )],
        ),
        get(
            "/api/v1/query?query=%22a%3Cb%22&time=1.05",
            200,
            vec![Exact(
                "{\"status\":\"success\",\
            \"data\":{\"resultType\":\"string\",\"result\":[1.05,\"a\\u003cb\"]}}",
            )],
        ),
        get("/api/v1/query?query=vector(-Inf)&time=0", 200, vec![Contains("[0,\"-Inf\"]")]),
        get(
            "/api/v1/query?query=1&time=abc",
            400,
            vec![Contains(
                "invalid parameter \\\"time\\\": \
            invalid time value for 'time': cannot parse \\\"abc\\\" to a valid timestamp",
            )],
        ),
        get(
            "/api/v1/query?query=1&time=2023-11-14T22:13:20.5Z",
            200,
            vec![Contains("[1700000000.5,\"1\"]")],
        ),
        get(
            "/api/v1/query?query=1&limit=x",
            400,
            vec![Contains(
                "invalid parameter \\\"limit\\\": strconv.Atoi: parsing \\\"x\\\": invalid syntax",
            )],
        ),
        get(
            format!("/api/v1/query?query=g&limit=1&time={t}"),
            200,
            vec![
                Contains("results truncated due to limit"),
                Check(|r| r.json()["data"]["result"].as_array().is_some_and(|a| a.len() == 1)),
            ],
        ),
        get(
            "/api/v1/query?query=1&stats=all",
            200,
            vec![Check(|r| r.json()["data"]["stats"]["timings"]["evalTotalTime"].is_number())],
        ),
        get(
            "/api/v1/query_range?query=1&start=0&end=11001&step=1",
            400,
            vec![Contains(
                "\"error\":\"exceeded maximum resolution of 11,000 points per timeseries. \
             Try decreasing the query resolution (?step=XX)\"",
            )],
        ),
        get(
            "/api/v1/query_range?query=1&start=0&end=11000&step=1",
            200,
            vec![Check(|r| {
                r.json()["data"]["result"][0]["values"]
                    .as_array()
                    .is_some_and(|v| v.len() == 11_001)
            })],
        ),
        get(
            "/api/v1/query_range?query=g%5B1m%5D&start=0&end=1&step=1",
            400,
            vec![Contains(
                "invalid expression type \\\"range vector\\\" for range query, must be Scalar or instant Vector",
            )],
        ),
        get(
            "/api/v1/query_range?query=1&start=2&end=1&step=1",
            400,
            vec![Contains(
                "invalid parameter \\\"end\\\": end timestamp must not be before start time",
            )],
        ),
        get(
            "/api/v1/query_range?query=1&start=1&end=2&step=0",
            400,
            vec![Contains(
                "invalid parameter \\\"step\\\": zero or negative query resolution step widths are not accepted. \
             Try a positive integer",
            )],
        ),
        get(
            "/api/v1/query_range?query=1&end=2&step=1",
            400,
            vec![Contains(
                "invalid parameter \\\"start\\\": cannot parse \\\"\\\" to a valid timestamp",
            )],
        ),
        get("/api/v1/series", 400, vec![Contains("\"no match[] parameter provided\"")]),
        get(
            "/api/v1/series?match[]={}",
            400,
            vec![Contains(
                "invalid parameter \\\"match[]\\\": match[] must contain at least one non-empty matcher",
            )],
        ),
        get(
            "/api/v1/labels?match[]=x{",
            400,
            vec![Contains("\"1:3: parse error: unexpected end of input inside braces\"")],
        ),
        row("HEAD", "/api/v1/query", 405, vec![Header("allow", "GET, OPTIONS, POST")]),
        row("DELETE", "/api/v1/query", 405, vec![Header("allow", "GET, OPTIONS, POST")]),
        row("PUT", "/api/v1/query", 405, vec![Header("allow", "GET, OPTIONS, POST")]),
        row("OPTIONS", "/api/v1/query", 204, vec![Header("vary", "Origin")]),
        get("/api/v1/nope", 404, vec![Contains("404 page not found")]),
        post(
            "/api/v1/admin/tsdb/snapshot",
            &[],
            500,
            vec![Exact(
                "{\"status\":\"error\",\"errorType\":\"unavailable\",\"error\":\"admin APIs disabled\"}",
            )],
        ),
        post("/-/reload", &[], 403, vec![Contains("Lifecycle API is not enabled.")]),
        get(
            "/api/v1/query?query=count(g)+%2F+on()+group_left+g",
            422,
            vec![Contains("\"execution\"")],
        ),
        get("/api/v1/query?query=g+%2B+on()+g", 422, vec![Contains("\"execution\"")]),
        // Parameters that some version of Grafana sends and no server knows.
        get(
            "/api/v1/query?query=1&time=1&nocache=1&dedup=true&partial_response=false",
            200,
            vec![],
        ),
        unlike_peer(
            get("/api/v1/features", 200, vec![Check(|r| r.json()["data"].is_object())]),
            "newer than 3.5",
        ),
    ]
}

fn judge(row: &Row, response: &Response) -> Result<(), String> {
    if response.status != row.status {
        return Err(format!("{}, want {}", response.brief(), row.status));
    }
    for want in &row.want {
        let (good, what) = match want {
            Want::Exact(text) => (response.text() == *text, (*text).to_owned()),
            Want::Contains(text) => (response.text().contains(text), (*text).to_owned()),
            Want::Data(data) => (response.json()["data"] == *data, data.to_string()),
            Want::Header(name, value) => {
                let good = response.header(name).is_some_and(|got| got.contains(value));
                (good, format!("{name}: {value}; got {:?}", response.header(name)))
            }
            Want::Check(check) => (check(response), "what the row checks".to_owned()),
        };
        if !good {
            return Err(format!("{}, want {what}", response.brief()));
        }
    }
    Ok(())
}

fn fill(client: &mut Client, t_ms: i64) {
    for back in [120_000, 60_000, 0] {
        let at = |name: &str, label: (&str, &str), value| {
            series(&[("__name__", name), label], &[(t_ms - back, value)])
        };
        let batch = vec![
            at("dotted.name", ("a.b", "dot"), 1.0),
            at("g", ("host", "a"), 2.0),
            at("g", ("host", "b"), 3.0),
        ];
        let answer = remote_write::write(client, batch).expect("an answer");
        assert_eq!(answer.status, 204, "{}", answer.brief());
    }
}

fn run(client: &mut Client, is_peer: bool) -> Failures {
    let t_ms = now_ms() / 1000 * 1000;
    fill(client, t_ms);
    let mut failures = Failures::default();
    // Headers that Grafana adds, and a proxy; none may cause an error.
    let headers = [
        ("X-Dashboard-Uid", "abc"),
        ("X-Panel-Id", "2"),
        ("X-Grafana-Org-Id", "1"),
        ("FromAlert", "true"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    for row in table(t_ms / 1000) {
        if is_peer && row.peer_differs.is_some() {
            continue;
        }
        let (method, target, body) = &row.request;
        let response = client.send(method, target, &headers, body.as_bytes());
        let result = response.map_err(|e| e.to_string()).and_then(|r| judge(&row, &r));
        failures.check(&format!("{method} {target} {body}"), result);
    }
    // A large answer is compressed for who asks, and is the same.
    let target = "/api/v1/query_range?query=1&start=0&end=11000&step=1";
    let plain = client.get(target, &[]).expect("an answer");
    let packed =
        client.send("GET", target, &[("Accept-Encoding", "gzip")], b"").expect("an answer");
    let same = packed.header("content-encoding") == Some("gzip")
        && gunzip(&packed.body).is_ok_and(|body| body == plain.body);
    failures.check("gzip", if same { Ok(()) } else { Err(format!("{:?}", packed.headers)) });
    failures
}

#[test]
fn the_server_answers_grafana_as_prometheus_does() {
    let server = Server::start(&[]);
    run(&mut server.client(), false).finish("grafana");
}

#[test]
fn the_table_holds_for_prometheus_itself() {
    let what = "the Grafana table against Prometheus";
    let Some(peer) = Peer::prometheus("", &[], what) else { return };
    run(&mut peer.client(), true).finish("grafana table against Prometheus");
}
