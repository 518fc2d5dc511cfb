//! Queries made to hurt, over HTTP: to the server, and to a real Prometheus where that answers in
//! time. The answer is Prometheus's, or a 400 past the limits L16 and L17 of the reliability contract; it
//! comes in time that grows with the text, and memory stays bounded.

use std::time::{Duration, Instant};

use compat_tests::http::Client;
use compat_tests::peers::Peer;
use compat_tests::promql::{Answer, Query};
use compat_tests::remote_write;
use compat_tests::report::{Failures, say};
use compat_tests::server::Server;

/// When the queries look.
const NOW_MS: i64 = 1_700_000_000_000;
/// What a query may add to the peak of the server's memory.
const MAX_PEAK_BYTES: u64 = 256 << 20;
/// Longest answer on a busy machine.
const MAX_TIME: Duration = Duration::from_secs(10);

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Want {
    /// What Prometheus answers.
    Same,
    /// A 400: over a limit of L16 or L17.
    Refused,
}

use Want::{Refused, Same};

/// A name, a text, and what is wanted.
type Case = (&'static str, String, Want);

fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

/// Texts that nest or are long.
fn texts() -> Vec<Case> {
    let half = 256 << 10;
    let list = |item: &str, count: usize| vec![item; count].join(",");
    vec![
        ("parentheses", nested("(", "1", ")", 400), Same),
        ("512 KiB of parentheses", nested("(", "1", ")", half), Refused),
        ("parentheses that stay open", "(".repeat(2 * half), Refused),
        ("parentheses that were never open", ")".repeat(2 * half), Same),
        ("a sum", vec!["h"; 10_000].join("+"), Same),
        ("512 KiB of a sum", vec!["h"; half].join("+"), Refused),
        ("a sum of numbers", vec!["1"; 10_000].join("+"), Same),
        ("powers, which nest to the right", vec!["1"; 300].join("^"), Same),
        ("512 KiB of powers", vec!["1"; half].join("^"), Refused),
        ("unary minus", nested("-", "h", "", 400), Same),
        ("512 KiB of unary minus", nested("-", "h", "", 2 * half), Refused),
        ("unary minus of a number", nested("-", "1", "", 400), Same),
        ("calls", nested("abs(", "h", ")", 400), Same),
        ("512 KiB of calls", nested("abs(", "h", ")", half / 2), Refused),
        ("aggregations", nested("sum(", "h", ")", 400), Same),
        ("512 KiB of aggregations", nested("sum(", "h", ")", half / 2), Refused),
        ("subqueries", nested("max_over_time(", "h", "[1m:30s])", 6), Same),
        ("512 KiB of subqueries", nested("max_over_time(", "h", "[1m:30s])", 20_000), Refused),
        ("calls that stay open", "abs(".repeat(half / 2), Refused),
        ("a chain of `or`", vec!["h"; 3_000].join(" or "), Same),
        ("a chain of comparisons", vec!["h"; 3_000].join(" == "), Same),
        ("matchers", format!("h{{{}}}", list("a!=\"b\"", 20_000)), Same),
        (
            "many matchers that differ",
            {
                let all: Vec<String> = (0..5_000).map(|i| format!("l{i}=\"\"")).collect();
                format!("h{{{}}}", all.join(","))
            },
            Same,
        ),
        ("labels to group by", format!("sum by ({}) (h)", list("a", 50_000)), Same),
        ("labels to match on", format!("h + on ({}) h", list("a", 50_000)), Same),
        ("arguments", format!("label_join(h, \"x\", \"-\", {})", list("\"a\"", 500)), Same),
        ("too many arguments", format!("abs({})", list("h", 500)), Same),
        ("digits", "1".repeat(half), Same),
        ("a name", "a".repeat(2 * half), Same),
        ("a string", format!("\"{}\"", "x".repeat(2 * half)), Same),
        ("escapes", format!("\"{}\"", "\\u00e4".repeat(half / 4)), Same),
        ("a string that stays open", format!("\"{}", "x".repeat(2 * half)), Same),
        ("spaces", format!("{}h", " ".repeat(2 * half)), Same),
        ("comments", format!("{}h", "# c\n".repeat(half / 2)), Same),
        ("a duration", format!("h[{}s]", "9".repeat(half)), Same),
        ("units", format!("h[{}]", "1s".repeat(half / 2)), Same),
        ("brackets", format!("h{}", "[1m]".repeat(half / 4)), Same),
        ("braces", "{".repeat(2 * half), Same),
        ("offsets", format!("h{}", " offset 1m".repeat(half / 8)), Same),
        ("2 MiB", format!("h{}", " ".repeat(2 << 20)), Refused),
    ]
}

/// Regular expressions, as a matcher of a label of 2000 times `a` and as one that finds groups.
fn regexes() -> Vec<Case> {
    let words = |count: usize| -> String {
        (0..count).map(|i| format!("word{i}")).collect::<Vec<_>>().join("|")
    };
    let all = [
        ("stars in stars", "(a*)*b".to_owned(), Same),
        ("stars in stars, found", "(a*)*".to_owned(), Same),
        ("pluses in pluses", "(a+)+b".to_owned(), Same),
        ("equal alternatives", "(a|a)*b".to_owned(), Same),
        ("optional ones", format!("{}{}", "a?".repeat(500), "a".repeat(500)), Same),
        ("any of any", ".*.*.*.*.*.*b".to_owned(), Same),
        ("lazy ones", ".*?.*?.*?.*?b".to_owned(), Same),
        ("a repetition", "a{1000}".to_owned(), Same),
        ("too many repetitions", "a{1001}".to_owned(), Same),
        ("repetitions of repetitions", "(a{30}){30}".to_owned(), Same),
        ("too many of them", "((a{100}){100}){100}".to_owned(), Same),
        ("few words", words(50), Same),
        ("20000 words", words(20_000), Same),
        ("20000 words in any case", format!("(?i:{})", words(20_000)), Same),
        ("words with one start", format!("a(?:{})", words(3_000)), Same),
        ("letters of Unicode", "\\\\pL+".to_owned(), Same),
        ("classes of Unicode", "[\\\\p{Greek}\\\\p{Cyrillic}\\\\pN]*".to_owned(), Same),
        ("ranges", "[\\\\x{0}-\\\\x{10FFFF}]*".to_owned(), Same),
        ("groups", nested("(", "a", ")*", 30), Same),
        ("stars in groups past the limit", nested("(", "a", ")*", 60), Refused),
        ("groups past the limit", nested("(", "a", ")", 5_000), Refused),
        ("groups that stay open", "(".repeat(100_000), Refused),
        ("a class that stays open", format!("[{}", "a".repeat(100_000)), Same),
        ("a look-ahead", "(?=a)a*".to_owned(), Same),
        ("a back-reference", "(a)\\\\1".to_owned(), Same),
        ("flags", "(?i)A*".to_owned(), Same),
        ("empty alternatives", "|".repeat(10_000), Same),
        ("512 KiB of literal", "a".repeat(512 << 10), Same),
    ];
    let mut cases = Vec::new();
    for (name, regex, want) in all {
        cases.push((name, format!("h{{long=~\"{regex}\"}}"), want));
        cases.push((name, format!("h{{long!~\"{regex}\"}}"), want));
        cases.push((name, format!("label_replace(h, \"x\", \"$1\", \"long\", \"{regex}\")"), want));
    }
    cases
}

fn check(want: Want, got: &Answer, peer: Option<&Answer>) -> Result<(), String> {
    if want == Refused {
        let refused = got.status == 400 && got.error_type == "bad_data";
        // What `label_replace` compiles is known when it runs.
        let in_call = got.status == 422 && got.error.contains("label_replace");
        let error: String = got.error.chars().take(200).collect();
        return if refused || in_call { Ok(()) } else { Err(format!("{} {error}", got.status)) };
    }
    peer.map_or(Ok(()), |peer| got.same_as(peer)).map_err(|why| why.chars().take(300).collect())
}

fn ask(query: &Query, client: &mut Client) -> Option<Answer> {
    let time = format!("{}", NOW_MS / 1000);
    let params = [("query", query.expr.as_str()), ("time", &time), ("timeout", "20s")];
    let response = client.post_form("/api/v1/query", &params).ok()?;
    Answer::parse(&response).ok()
}

#[test]
fn hostile_queries_are_answered_in_time_and_space() {
    let server = Server::start(&[]);
    let peer = Peer::prometheus("", &[], "hostile queries beside Prometheus");
    let long = "a".repeat(2_000);
    let series = |value: &str| {
        let labels = [("__name__", "h"), ("a", value), ("long", &long)];
        remote_write::series(&labels, &[(NOW_MS - 30_000, 1.0), (NOW_MS - 1_000, 2.0)])
    };
    let mut clients: Vec<Client> = vec![server.client()];
    clients.extend(peer.as_ref().map(Peer::client));
    for client in &mut clients {
        let response = remote_write::write(client, vec![series("1"), series("2")]);
        assert_eq!(response.expect("an answer to a write").status / 100, 2);
    }
    let mut failures = Failures::default();
    let (mut slowest, mut unanswered) = (Duration::ZERO, 0);
    let before = server.process().peak_bytes();
    for (name, expr, want) in texts().into_iter().chain(regexes()) {
        let query = Query::at(&expr, NOW_MS);
        let label: String = format!("{name}: {expr}").chars().take(120).collect();
        let (began, peak) = (Instant::now(), server.process().peak_bytes());
        let got = ask(&query, &mut clients[0]);
        let (took, grown) = (began.elapsed(), server.process().peak_bytes() - peak);
        slowest = slowest.max(took);
        // Past a limit of ours nobody else is asked: some of these take Prometheus minutes.
        let theirs = if want == Same { clients.get_mut(1) } else { None };
        let theirs = theirs.and_then(|client| ask(&query, client));
        unanswered += usize::from(want == Same && theirs.is_none());
        let result = got.ok_or_else(|| "no answer".to_owned()).and_then(|got| {
            check(want, &got, theirs.as_ref())?;
            if took > MAX_TIME || grown > MAX_PEAK_BYTES {
                return Err(format!("{took:?} and {grown} bytes"));
            }
            Ok(())
        });
        failures.check(&label, result);
    }
    let grown = (server.process().peak_bytes() - before) >> 20;
    say(&format!("hostile: slowest {slowest:?}, peak grew {grown} MiB, no peer for {unanswered}"));
    let alive = ask(&Query::at("h", NOW_MS), &mut server.client());
    failures.check("alive", alive.map(|_| ()).ok_or_else(|| "no answer".to_owned()));
    failures.finish("hostile");
}
