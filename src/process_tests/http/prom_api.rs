use crate::peer::Server;
use serde_json::json;

pub(crate) fn bad_data(text: &str) -> serde_json::Value {
    json!({"status": "error", "errorType": "bad_data", "error": text})
}

#[test]
fn grafanas_checklist_is_green() {
    let server = Server::start(&[]);
    let health = server.form("/api/v1/query", "query=1%2B1&time=4");
    assert_eq!(
        health.text(),
        r#"{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}"#
    );
    assert_eq!(health.header("content-type"), Some("application/json"));
    let build = server.get("/api/v1/status/buildinfo").json();
    let version = build["data"]["version"].as_str().unwrap();
    assert!(version.starts_with("3.") && version.split('.').count() == 3, "{version}");
    assert!(build["data"].get("features").is_none());
    let probe =
        server.get("/api/v1/query_exemplars?query=test&start=1700000000000&end=1800000000000");
    assert_eq!(probe.text(), r#"{"status":"success","data":[]}"#);
    assert_eq!(server.post("/api/v1/label/job/values", &[], b"").status, 405);
    for (target, want) in [
        ("/api/v1/labels?start=0&end=9&limit=0", "[]"),
        ("/api/v1/label/__name__/values?start=1700000000000&end=1800000000000&limit=40000", "[]"),
        ("/api/v1/series?match[]=%7B__name__!%3D%22%22%7D", "[]"),
        ("/api/v1/rules", r#"{"groups":[]}"#),
        ("/api/v1/alerts", r#"{"alerts":[]}"#),
        ("/api/v1/metadata?limit=40000", "{}"),
        ("/api/v1/targets", r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}"#),
        ("/api/v1/targets/metadata", "[]"),
        ("/api/v1/scrape_pools", r#"{"scrapePools":[]}"#),
        ("/api/v1/alertmanagers", r#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#),
        ("/api/v1/notifications", "[]"),
        ("/api/v1/query?query=up", r#"{"resultType":"vector","result":[]}"#),
        (
            "/api/v1/query_range?query=up&start=0&end=60&step=15",
            r#"{"resultType":"matrix","result":[]}"#,
        ),
    ] {
        let answer =
            server.request("GET", target, &["X-Dashboard-Uid: x", "X-Grafana-Org-Id: 1"], b"");
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(
            answer.text(),
            format!("{{\"status\":\"success\",\"data\":{want}}}"),
            "{target}"
        );
    }
}

#[test]
fn parameter_errors_have_prometheus_texts() {
    let server = Server::start(&[]);
    for (target, want) in [
        (
            "/api/v1/query",
            "invalid parameter \"query\": unknown position: parse error: no expression found in input",
        ),
        (
            "/api/v1/query?query=1&time=abc",
            "invalid parameter \"time\": invalid time value for 'time': cannot parse \"abc\" to a valid timestamp",
        ),
        (
            "/api/v1/query?query=1&time=1e30",
            "invalid parameter \"time\": invalid time value for 'time': cannot parse \"1e30\" to a valid timestamp",
        ),
        (
            "/api/v1/query?query=1&limit=x",
            "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            "/api/v1/query?query=1&limit=-1",
            "invalid parameter \"limit\": limit must be non-negative",
        ),
        (
            "/api/v1/query?query=1&lookback_delta=x",
            "error parsing lookback delta duration: cannot parse \"x\" to a valid duration",
        ),
        ("/api/v1/query?query=%zz", "invalid URL escape \"%zz\""),
        (
            "/api/v1/query_range?query=1",
            "invalid parameter \"start\": cannot parse \"\" to a valid timestamp",
        ),
        (
            "/api/v1/query_range?query=1&start=2&end=1&step=1",
            "invalid parameter \"end\": end timestamp must not be before start time",
        ),
        (
            "/api/v1/query_range?query=1&start=0&end=11001&step=1",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ),
        (
            "/api/v1/query_exemplars?query=x&start=2&end=1",
            "invalid parameter \"end\": end timestamp must not be before start timestamp",
        ),
        ("/api/v1/series", "no match[] parameter provided"),
        (
            "/api/v1/series?match[]={}",
            "invalid parameter \"match[]\": match[] must contain at least one non-empty matcher",
        ),
        ("/api/v1/labels?match[]=x{", "1:3: parse error: unexpected end of input inside braces"),
        (
            "/api/v1/labels?start=x",
            "invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp",
        ),
        ("/api/v1/label/%ff/values", "invalid label name: \"%ff\""),
        ("/api/v1/metadata?limit=x", "limit must be a number"),
        ("/api/v1/metadata?limit_per_metric=x", "limit_per_metric must be a number"),
        ("/api/v1/status/tsdb?limit=0", "limit must be a positive number"),
        ("/api/v1/status/tsdb?limit=10001", "limit must not exceed 10000"),
        ("/api/v1/rules?type=foo", "invalid parameter \"type\": not supported value \"foo\""),
    ] {
        let answer = server.get(target);
        assert_eq!((answer.status, answer.json()), (400, bad_data(want)), "{target}");
        assert!(answer.header("x-request-id").is_some());
    }
    let admin = server.post("/api/v1/admin/tsdb/snapshot", &[], b"");
    assert_eq!(admin.status, 500);
    assert_eq!(
        admin.text(),
        r#"{"status":"error","errorType":"unavailable","error":"admin APIs disabled"}"#
    );
}

#[test]
fn data_written_is_found_by_every_route() {
    let server = Server::start(&[]);
    let lines = "up,job=a,x.y=1 v=1 1000000000\nup,job=b v=2.5 1000000000\n";
    assert_eq!(server.post("/write?db=d", &[], lines.as_bytes()).status, 204);
    for (target, want) in [
        ("/api/v1/labels", json!(["__name__", "db", "job", "x.y"])),
        ("/api/v1/labels?match[]=up_v{job=%22b%22}", json!(["__name__", "db", "job"])),
        ("/api/v1/label/job/values", json!(["a", "b"])),
        ("/api/v1/label/U__x_2e_y/values", json!(["1"])),
        ("/api/v1/label/x.y/values", json!(["1"])),
        ("/api/v1/label/nope/values", json!([])),
        (
            "/api/v1/series?match[]=up_v&match[]={job=%22a%22}",
            json!([
                {"__name__": "up_v", "db": "d", "job": "a", "x.y": "1"},
                {"__name__": "up_v", "db": "d", "job": "b"},
            ]),
        ),
    ] {
        let answer = server.get(target).json();
        assert_eq!((&answer["data"], answer.get("warnings")), (&want, None), "{target}");
    }
    let cut = server.get("/api/v1/labels?limit=2");
    assert_eq!(
        cut.text(),
        r#"{"status":"success","data":["__name__","db"],"warnings":["results truncated due to limit"]}"#
    );
    let vector =
        server.form("/api/v1/query?time=5", "query=up_v&time=1.05&limit=1&stats=true").json();
    assert_eq!(
        vector["data"]["result"],
        json!([{
        "metric": {"__name__": "up_v", "db": "d", "job": "a", "x.y": "1"}, "value": [1.05, "1"]}])
    );
    assert_eq!(vector["warnings"], json!(["results truncated due to limit"]));
    assert!(vector["data"]["stats"]["timings"]["execTotalTime"].is_number());
    let matrix =
        server.get("/api/v1/query_range?query=up_v{job=%22b%22}&start=1&end=2&step=0.5").json();
    assert_eq!(
        matrix["data"]["result"][0]["values"],
        json!([[1, "2.5"], [1.5, "2.5"], [2, "2.5"]])
    );
    let head = server.get("/api/v1/status/tsdb").json();
    assert_eq!(head["data"]["headStats"]["numSeries"], 2);
    assert_eq!(server.metric("prometheus_tsdb_head_series "), Some(2.0));
}

#[test]
fn answers_are_compressed_when_asked_and_worth_it() {
    let server = Server::start(&[]);
    let gzip = server.request("GET", "/api/v1/status/flags", &["Accept-Encoding: gzip"], b"");
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&gzip.body[..]), &mut text)
        .unwrap();
    assert_eq!(text, server.get("/api/v1/status/flags").text());
    for accept in ["Accept-Encoding: gzip;q=1.0", "Accept-Encoding: br"] {
        let plain = server.request("GET", "/api/v1/status/flags", &[accept], b"");
        assert_eq!(plain.header("content-encoding"), None, "{accept}");
    }
}

#[test]
fn other_origins_are_told_nothing_and_change_nothing_unless_allowed() {
    let closed = Server::start(&[]);
    let origin = "Origin: http://evil.example";
    let read = closed.request("GET", "/api/v1/labels", &[origin], b"");
    assert_eq!((read.status, read.header("access-control-allow-origin")), (200, None));
    assert_eq!(read.header("access-control-expose-headers"), Some("Date"));
    assert_eq!(closed.post("/write?db=x", &[origin], b"m f=1").status, 403);
    assert_eq!(closed.post("/write?db=x", &["Origin: http://test"], b"m f=1").status, 204);
    let options = closed.request("OPTIONS", "/api/v1/query", &[], b"");
    assert_eq!((options.status, options.body.len()), (204, 0));
    assert!(options.header("vary").is_some_and(|vary| vary.contains("Origin")));

    let open = Server::start(&["--web.cors.origin=http://good\\..*"]);
    let read = open.request("GET", "/api/v1/labels", &["Origin: http://good.example"], b"");
    assert_eq!(read.header("access-control-allow-origin"), Some("http://good.example"));
    let read = open.request("GET", "/api/v1/labels", &[origin], b"");
    assert_eq!(read.header("access-control-allow-origin"), None);
}

#[test]
fn metrics_are_well_formed() {
    let server = Server::start(&[]);
    server.get("/api/v1/labels");
    let answer = server.get("/metrics");
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    let mut families = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap();
            assert!(families.insert(name.to_owned()), "{name} twice");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = name.split('{').next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
            assert!(
                families.contains(name) || base.is_some_and(|b| families.contains(b)),
                "{line}"
            );
        }
    }
    assert!(families.contains("process_resident_memory_bytes"));
    assert!(
        text.contains("prometheus_http_requests_total{handler=\"/api/v1/labels\",code=\"200\"} 1")
    );
}

#[test]
fn federation_has_the_newest_samples_of_the_last_minutes() {
    let server = Server::start(&[]);
    let kind = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
    // Now, in three series, and one sample of long ago.
    let lines = "b.c,instance=x v=1\na v=1500000,w=2\nold v=1 1000000000\n";
    assert_eq!(server.post("/write?db=d", &[], lines.as_bytes()).status, 204);
    let target = "/federate?match[]={db=%22d%22}&match[]=a_v";
    let answer = server.get(target);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)));
    let text = answer.text();
    let found: Vec<&str> = text
        .lines()
        .map(|line| if line.starts_with('#') { line } else { line.rsplit_once(' ').unwrap().0 })
        .collect();
    assert_eq!(
        found,
        [
            "# TYPE a_v untyped",
            "a_v{db=\"d\",instance=\"\"} 1.5e+06",
            "# TYPE a_w untyped",
            "a_w{db=\"d\",instance=\"\"} 2",
            "# TYPE b_c_v untyped",
            "b_c_v{db=\"d\",instance=\"x\"} 1",
        ]
    );
    let bad = server.get("/federate?match[]=up{");
    assert_eq!(
        (bad.status, bad.text().as_str()),
        (400, "1:4: parse error: unexpected end of input inside braces\n")
    );
}

#[test]
fn blocks_are_listed_in_prometheus_words() {
    let mut server = Server::start(&[]);
    assert_eq!(server.post("/write?db=d", &[], b"m f=1 1000000000\nm f=2 2000000000").status, 204);
    let done = std::process::Command::new("kill").arg(server.pid().to_string()).status();
    assert!(done.unwrap().success() && server.wait().success());
    let server = server.start_again();
    let answer = server.get("/api/v1/status/tsdb/blocks").json();
    let block = &answer["data"]["blocks"][0];
    assert_eq!((&block["minTime"], &block["maxTime"]), (&json!(1000), &json!(2001)));
    assert_eq!(block["stats"], json!({"numSamples": 2, "numSeries": 1, "numChunks": 1}));
    assert_eq!(block["compaction"], json!({"level": 1, "sources": [block["ulid"]]}));
    assert_eq!(block["ulid"].as_str().unwrap().len(), 26);
}

#[test]
fn the_version_is_the_same_in_both_places() {
    let server = Server::start(&[]);
    let version = server.get("/version").json();
    assert_eq!(version, server.get("/api/v1/status/buildinfo").json()["data"]);
}

#[test]
fn series_are_listed_by_the_times_of_their_samples_in_head_and_blocks() {
    let mut server = Server::start(&[]);
    // In order, with a gap that a chunk spans; late; and a histogram-free series of one sample.
    let lines = "m,s=gap f=1 10000000000\nm,s=gap f=2 90000000000\nm,s=one f=1 50000000000\n\
                 m,s=late f=1 95000000000\nm,s=late f=1 20000000000";
    assert_eq!(server.post("/write?db=x", &[], lines.as_bytes()).status, 204);
    for place in ["head", "block"] {
        for (start, end, want) in [
            ("0", "9.999", &[][..]),
            ("0", "10", &["gap"]),
            ("11", "30", &["late"]),
            ("11", "19", &[]),
            ("30", "60", &["one"]),
            ("51", "89", &[]),
            ("90", "94", &["gap"]),
            ("95", "1e6", &["late"]),
            ("0", "1e6", &["gap", "late", "one"]),
            ("96", "1e6", &[]),
        ] {
            let target = format!("/api/v1/series?match[]=m_f&start={start}&end={end}");
            let found = server.get(&target).json();
            let names: Vec<&str> = found["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|labels| labels["s"].as_str().unwrap())
                .collect();
            assert_eq!(names, want, "{place}: {target}");
        }
        // Names are listed by block and head as wholes.
        let (inside, after) = ("start=11&end=19", "start=200&end=300");
        let values = |range| server.get(&format!("/api/v1/label/s/values?{range}")).json();
        assert_eq!(values(inside)["data"], json!(["gap", "late", "one"]), "{place}");
        assert_eq!(values(after)["data"], json!([]), "{place}");
        assert_eq!(server.get(&format!("/api/v1/labels?{after}")).json()["data"], json!([]));
        server = server.restart(&[]);
    }
}

#[test]
fn a_query_is_explained_before_and_after_it_runs() {
    let server = Server::start(&[]);
    let lines = "m,s=a f=1 10000000000\nm,s=a f=2 20000000000\nm,s=b f=3 20000000000";
    assert_eq!(server.post("/write?db=x", &[], lines.as_bytes()).status, 204);
    let nodes = |target: &str| {
        let answer = server.get(target).json();
        assert_eq!(answer["status"], "success", "{answer}");
        (answer["data"].clone(), answer["data"]["explain"].as_array().unwrap().clone())
    };
    let query = "query=sum(rate(m_f[1m]))";
    for target in [
        format!("/api/v1/query?{query}&time=30&explain=plan"),
        format!("/api/v1/query_range?{query}&start=0&end=30&step=15&explain=plan"),
    ] {
        let (data, plan) = nodes(&target);
        assert_eq!(data.as_object().unwrap().len(), 1, "no answer: {data}");
        let names: Vec<&str> = plan.iter().map(|node| node["operator"].as_str().unwrap()).collect();
        assert_eq!(names, ["sum", "rate", "range", "selector"], "{target}");
        let depths: Vec<u64> = plan.iter().map(|node| node["depth"].as_u64().unwrap()).collect();
        assert_eq!(depths, [0, 1, 2, 3]);
        assert_eq!((&plan[3]["start"], &plan[3]["end"]), (&json!(9), &json!(12)));
        let estimate = &plan[3]["estimate"];
        assert_eq!((&estimate["series"], &estimate["samples"]), (&json!(2), &json!(3)), "{plan:?}");
        assert!(plan.iter().all(|node| node.get("samplesRead").is_none()), "nothing was read");
    }
    let (data, nodes) = nodes(&format!("/api/v1/query?{query}&time=30&explain=analyze&stats=1"));
    assert_eq!(data["result"].as_array().unwrap().len(), 1);
    assert_eq!(data["stats"]["samples"]["samplesRead"], 3);
    assert_eq!((&nodes[3]["samplesRead"], &nodes[3]["seriesRead"]), (&json!(3), &json!(2)));
    assert_eq!((&nodes[0]["rows"], &nodes[0]["samples"]), (&json!(1), &json!(1)));
    assert!(nodes[0]["nanoseconds"].as_u64() > Some(0));

    let bad = server.get("/api/v1/query?query=1&explain=yes");
    let text = "invalid parameter \"explain\": \"yes\" is neither \"plan\" nor \"analyze\"";
    assert_eq!((bad.status, bad.json()), (400, bad_data(text)));
    let bad = server.get("/api/v1/query?query=m_f{&explain=plan");
    assert_eq!(bad.status, 400);
}

/// What each feature of the engine changes, and that an unknown one does not stop the server.
#[test]
fn features_are_switched_by_their_prometheus_names() {
    let status =
        |server: &Server, query: &str| server.get(&format!("/api/v1/query?query={query}")).status;
    let queries = [
        ("promql-experimental-functions", "mad_over_time(m[1m])"),
        ("promql-extended-range-selectors", "rate(m[1m]%20anchored)"),
        ("promql-binop-fill-modifiers", "a%2Bfill(0)b"),
    ];
    let off = Server::start(&["--enable-feature=no-such-feature,exemplar-storage"]);
    for (feature, query) in queries {
        assert_eq!(status(&off, query), 400, "{query}");
        let on = Server::start(&["--enable-feature", feature]);
        assert_eq!(status(&on, query), 200, "{query}");
    }
    let on = Server::start(&["--enable-feature=use-start-timestamps,type-and-unit-labels"]);
    assert_eq!(status(&on, "rate(m[1m])"), 200);
    let features = on.get("/api/v1/features").json();
    assert_eq!(features["data"]["promql"]["type_and_unit_labels"], true);
}

#[test]
fn a_query_that_would_read_too_much_is_refused_with_its_estimate() {
    let server = Server::start(&["--query-max-read-samples=5"]);
    for t in 1..=6 {
        let line = format!("m f={t} {t}000000000");
        assert_eq!(server.post("/write?db=x", &[], line.as_bytes()).status, 204);
    }
    for route in ["query?time=9", "query_range?start=0&end=9&step=1"] {
        let answer = server.get(&format!("/api/v1/{route}&query=count_over_time(m_f[1m])"));
        assert_eq!(answer.status, 422);
        let error = answer.json();
        assert_eq!(error["errorType"], "execution");
        let text = error["error"].as_str().unwrap();
        assert!(
            text.starts_with("query would read 1 series with 6 samples in ")
                && text.ends_with(" by estimate, limit 5 samples"),
            "{text}"
        );
    }
    // Whoever asks what it costs is told.
    let plan = server.get("/api/v1/query?time=9&query=count_over_time(m_f[1m])&explain=plan");
    assert_eq!(plan.status, 200, "{}", plan.text());
}
