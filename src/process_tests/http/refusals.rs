//! Limits of requests (reliability contract, section 4): each is enforced with its documented status
//! and text, and what was within the limits goes on.

use crate::peer::{Answer, Server};

/// What a refusal looks like.
struct Refusal {
    limit: &'static str,
    status: u16,
    /// Part of the text.
    text: &'static str,
    /// The value of the counter's label, where the refusal of a whole request is counted.
    counted: Option<&'static str>,
}

fn check(server: &Server, want: &Refusal, answer: &Answer) {
    let Refusal { limit, status, text, counted } = *want;
    assert_eq!(answer.status, status, "{limit}: {}", answer.text());
    assert!(answer.text().contains(text), "{limit}: {}", answer.text());
    assert!(answer.body.len() <= 1024, "{limit}: {} bytes", answer.body.len());
    if let Some(label) = counted {
        let line = format!("limit_exceeded_total{{limit=\"{label}\"}}");
        assert!(server.metric(&line) >= Some(1.0), "{limit} is not counted");
    }
}

#[test]
fn queries_over_a_limit_are_refused_by_name() {
    let server = Server::start(&[
        "--query-max-samples=500",
        "--query-max-series=20",
        "--query-max-bytes=1MiB",
        "--query-max-response-bytes=64KiB",
        "--query-max-read-samples=2000",
    ]);
    let long = "x".repeat(3000);
    let mut lines: Vec<String> =
        (0..30).map(|i| format!("m,i={i},long={long} f=1 10000000000")).collect();
    lines.extend((1..=400).map(|t| format!("one f=1 {t}000000000")));
    let lines = lines.join("\n");
    assert_eq!(server.post("/write?db=x", &[], lines.as_bytes()).status, 204);
    let nested = format!("{}1{}", "(".repeat(600), ")".repeat(600));
    let regex = format!("m_f{{i=~\"{}a{}\"}}", "(".repeat(70), ")".repeat(70));
    for (limit, query, status, text, counted) in [
        ("L16", nested.as_str(), 400, "nest", Some("query_nesting")),
        ("L17", &regex, 400, "nest", Some("regex")),
        ("L18", "sum_over_time(vector(1)[200d:1s])", 422, "subquery has ", Some("subquery_points")),
        ("L19", "m_f", 422, "query selects 30 series, limit 20", Some("query_series")),
        ("L19", "one_f[500s:500ms]", 422, "too many samples into memory", Some("query_samples")),
        (
            "cost",
            "sum(count_over_time(one_f[400s]))+sum(count_over_time(one_f[399s]))\
             +sum(count_over_time(one_f[398s]))+sum(count_over_time(one_f[397s]))\
             +sum(count_over_time(one_f[396s]))+sum(count_over_time(one_f[395s]))",
            422,
            " by estimate, limit 2000 samples",
            Some("query_read"),
        ),
    ] {
        let query = query.replace('+', "%2B").replace('"', "%22");
        let answer = server.form("/api/v1/query", &format!("query={query}&time=400"));
        check(&server, &Refusal { limit, status, text, counted }, &answer);
    }
    let steps = server.get("/api/v1/query_range?query=1&start=0&end=11001&step=1");
    let text = "exceeded maximum resolution of 11,000 points per timeseries";
    check(&server, &Refusal { limit: "L18", status: 400, text, counted: Some("points") }, &steps);
    let listed = server.get("/api/v1/series?match[]=m_f");
    let (text, counted) = ("limit 65536: narrow it", Some("response_bytes"));
    check(&server, &Refusal { limit: "L21", status: 422, text, counted }, &listed);
    // The server goes on.
    assert_eq!(server.get("/api/v1/query?query=one_f&time=400").status, 200);
}

#[test]
fn writes_over_a_limit_are_refused_by_name_and_the_rest_is_stored() {
    let server = Server::start(&[
        "--max-series=3",
        "--max-labels=4",
        "--max-label-name-bytes=10",
        "--max-label-value-bytes=20",
        "--max-label-set-bytes=60",
        "--max-request-samples=5",
        "--max-line-bytes=200",
        "--line-body-limit=1KiB",
        "--max-future=10m",
        "--retention=10y",
    ]);
    let line = |text: &str| server.post("/write?db=d&precision=s", &[], text.as_bytes());
    assert_eq!(line("m f=1").status, 204);
    let (many, long) = ("m f=1\n".repeat(6), format!("m,a={} f=1", "x".repeat(300)));
    let big = "m f=1\n".repeat(300);
    for (limit, text, status, want, counted) in [
        ("L7", big.as_str(), 413, "1024 bytes", Some("body")),
        ("L7", &long, 400, "line", None),
        ("L9", &many, 413, "more than 5 samples", Some("body")),
        ("L10", "m,a=1,b=2,c=3 f=1", 400, "labels", Some("labels")),
        ("L10", "m,abcdefghijk=1 f=1", 400, "limit 10", Some("labels")),
        ("L10", "m,a=aaaaaaaaaaaaaaaaaaaaa f=1", 400, "limit 20", Some("labels")),
        (
            "L10",
            "m,aaaaaaaaa=aaaaaaaaaaaaaaaaaaa,b=bbbbbbbbbbbbbbbbbbb f=1",
            400,
            "limit 60",
            Some("labels"),
        ),
        (
            "L11",
            "m f=1 5999999999",
            400,
            "points beyond retention policy dropped=1",
            Some("future"),
        ),
        ("L11", "m f=1 1", 400, "points beyond retention policy dropped=1", Some("retention")),
    ] {
        check(&server, &Refusal { limit, status, text: want, counted }, &line(text));
        // What is fine in the same request is stored, unless the whole is too large.
        if status == 400 {
            assert_eq!(line("m f=1").status, 204, "{limit}");
        }
    }
    assert_eq!(line("m,n=1 f=1\nm,n=2 f=1").status, 204);
    let answer = line("m,n=3 f=1\nm,n=1 f=2");
    let text = "active series limit of 3 reached";
    check(&server, &Refusal { limit: "L12", status: 400, text, counted: Some("series") }, &answer);
    let known = server.get("/api/v1/query?query=m_f%7Bn=%221%22%7D").json();
    assert_eq!(known["data"]["result"][0]["value"][1], "2", "known series continue");
}
