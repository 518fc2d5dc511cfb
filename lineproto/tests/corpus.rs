//! The public line-protocol corpus, decode and encode, and the bodies on which real parsers were
//! compared. Reads `$COMPAT_CORPUS`; without it, says so and passes.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

#[path = "../fuzz/oracle.rs"]
#[expect(dead_code, reason = "shared with the replay test, which uses the rest")]
mod oracle;

use lineproto::{Point, Precision, WriteValue, write_line};
use oracle::Field;
use serde_json::Value as Json;

/// The parsed file `influx/<name>` of the corpus, if there is one.
#[expect(clippy::disallowed_methods, reason = "the corpus is a file, named by the environment")]
fn corpus(name: &str) -> Option<Json> {
    let Some(root) = std::env::var_os("COMPAT_CORPUS") else {
        eprintln!("skipped: COMPAT_CORPUS is not set");
        return None;
    };
    let bytes = std::fs::read(std::path::Path::new(&root).join("influx").join(name)).unwrap();
    Some(serde_json::from_slice(&bytes).unwrap())
}

/// A string, or `{"binary": base64}`.
fn bytes(json: &Json) -> Vec<u8> {
    match json {
        Json::String(text) => text.clone().into_bytes(),
        other => base64(other["binary"].as_str().unwrap()),
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("not base64: {text}"),
    };
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for b in text.bytes().filter(|&b| b != b'=') {
        bits = bits << 6 | u32::from(digit(b));
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    out
}

fn text(json: &Json) -> String {
    String::from_utf8(bytes(json)).unwrap()
}

/// `{"int": n}` and the like; a string may be `{"binary": base64}`.
fn value(json: &Json) -> Field {
    let (kind, value) = json.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "int" => Field::Int(value.as_i64().unwrap()),
        "uint" => Field::Uint(value.as_u64().unwrap()),
        "float" => Field::Float(value.as_f64().unwrap().to_bits()),
        "bool" => Field::Bool(value.as_bool().unwrap()),
        "string" => Field::Str(text(value)),
        "binary" => Field::Str(String::from_utf8(base64(value.as_str().unwrap())).unwrap()),
        other => panic!("a value of kind {other}"),
    }
}

/// JSON has no -0: the corpus writes it as 0.
fn unsigned_zero(value: Field) -> Field {
    if value == Field::Float((-0.0_f64).to_bits()) { Field::Float(0) } else { value }
}

fn precision(name: &str) -> Precision {
    Precision::parse_v2(&name.trim_start_matches('1').replace('µ', "u")).unwrap()
}

#[test]
fn every_decode_case_has_the_verdict_and_the_value_of_the_corpus() {
    let Some(corpus) = corpus("line-protocol-corpus.json") else { return };
    let cases = corpus["decode"].as_object().unwrap();
    let mut wrong = Vec::new();
    for (key, case) in cases {
        let body = bytes(&case["input"]["text"]);
        let precision = precision(case["input"]["precision"].as_str().unwrap());
        let now = precision.truncate(case["input"]["defaultTime"].as_i64().unwrap());
        let (points, errors) = oracle::parse(&body, precision);
        let want = case["output"]["result"].as_array();
        if want.is_none() == errors.is_empty() {
            let case = format!(
                "{key}: {:?}: {errors:?}, want {}",
                body.escape_ascii().to_string(),
                case["output"]
            );
            wrong.push(case);
            continue;
        }
        let got: Vec<_> = points
            .into_iter()
            .map(|p| {
                let fields = p.fields.into_iter().map(|(k, v)| (k, unsigned_zero(v))).collect();
                oracle::Point { fields, time: Some(p.time.unwrap_or(now)), ..p }
            })
            .collect();
        let point = |json: &Json| oracle::Point {
            measurement: text(&json["name"]),
            tags: list(&json["tags"], |tag| (text(&tag["key"]), text(&tag["value"]))),
            fields: list(&json["fields"], |f| (text(&f["key"]), unsigned_zero(value(&f["value"])))),
            time: Some(json["time"].as_i64().unwrap()),
        };
        if let Some(want) = want
            && got != want.iter().map(point).collect::<Vec<_>>()
        {
            wrong.push(format!("{key}: {got:?}, want {want:?}"));
        }
    }
    assert!(cases.len() > 4000, "the corpus has {} cases", cases.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn list<T>(json: &Json, each: impl Fn(&Json) -> T) -> Vec<T> {
    json.as_array().map(|items| items.iter().map(each).collect()).unwrap_or_default()
}

#[test]
fn every_encode_case_is_written_byte_for_byte() {
    let Some(corpus) = corpus("line-protocol-corpus.json") else { return };
    let cases = corpus["encode"].as_object().unwrap();
    for (key, case) in cases {
        let point = &case["input"]["point"];
        let measurement = text(&point["name"]);
        let tags = list(&point["tags"], |tag| (text(&tag["key"]), text(&tag["value"])));
        let fields = list(&point["fields"], |f| (text(&f["key"]), value(&f["value"])));
        let tags: Vec<_> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let borrow = |value: &'_ Field| match value {
            Field::Float(bits) => WriteValue::Float(f64::from_bits(*bits)),
            Field::Int(v) => WriteValue::Int(*v),
            Field::Uint(v) => WriteValue::Uint(*v),
            Field::Bool(v) => WriteValue::Bool(*v),
            Field::Str(_) => WriteValue::Bool(false),
        };
        let fields: Vec<_> = fields
            .iter()
            .map(|(k, v)| match v {
                Field::Str(text) => (k.as_str(), WriteValue::Str(text)),
                other => (k.as_str(), borrow(other)),
            })
            .collect();
        assert_eq!(precision(case["input"]["precision"].as_str().unwrap()), Precision::Nanosecond);
        let timestamp = point["time"].as_i64().unwrap();
        let point = Point { measurement: &measurement, tags: &tags, fields: &fields, timestamp };
        let mut out = String::new();
        let got = write_line(&mut out, &point).ok().map(|()| out.trim_end_matches('\n'));
        assert_eq!(got, case["output"]["result"].as_str(), "{key}");
    }
    assert!(cases.len() > 50);
}

/// The parsers whose majority is the target; the first one has the texts of the reasons.
const PARSERS: [&str; 4] = ["influxdb_1.8", "influxdb_2.7", "line_protocol_v2", "influxdb_3_core"];

/// Bodies where the corpus decides against that majority, with what it decides.
const DECIDED: [(&str, &str); 9] = [
    ("only-tab", "a tab cannot start a measurement"),
    ("leading-tab", "a tab cannot start a measurement"),
    ("crlf-no-ts", "CR LF ends a line"),
    ("crlf-bool", "CR LF ends a line"),
    ("crlf-int", "CR LF ends a line"),
    ("lone-cr-end", "CR at the end of the body ends a line"),
    ("comment-eq-quote", "a quote in a comment quotes nothing"),
    ("multi-unclosed-then-quote", "an error ends with the line of its byte"),
    ("multi-escape-eol", "a backslash does not escape a line feed"),
];

/// Refused bodies whose reason is not the one of 1.8, with ours.
const OTHER_REASONS: [(&str, &str); 2] = [
    ("formfeed-sep", "the control character is the cause, the field only the consequence"),
    ("num-44:18446744073709551616u", "1.8 has no unsigned integers; the text is that of 2.7"),
];

#[test]
fn bodies_are_accepted_and_refused_as_by_most_influx_parsers() {
    let Some(corpus) = corpus("parser-differential.json") else { return };
    let cases = corpus.as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let body = case["body_base64"].as_str().map_or_else(|| bytes(&case["body"]), base64);
        let precision = precision(case["precision"].as_str().unwrap_or("ns"));
        let (points, errors) = oracle::parse(&body, precision);
        let got = (points.len(), !errors.is_empty());
        let votes: Vec<(usize, bool)> = PARSERS
            .iter()
            .map(|parser| {
                let result = &case["results"][parser];
                let accepted = result["accepted"].as_array().unwrap().len();
                (accepted, !result["errors"].as_array().unwrap().is_empty())
            })
            .collect();
        let agree = votes.iter().filter(|&&vote| vote == got).count();
        let decided = DECIDED.iter().any(|&(decided, _)| decided == id);
        if (agree * 2 < PARSERS.len()) != decided {
            let body = String::from_utf8_lossy(&body);
            wrong.push(format!("{id}: {body:?}: {got:?}, others {votes:?}, {errors:?}"));
        }
        // Where 1.8 refuses as much as we do, it is for the same reason.
        let theirs = &case["results"][PARSERS[0]];
        let reported: Vec<_> = list(&theirs["errors"], |e| e.as_str().unwrap().to_owned());
        let ours: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let other = votes.first() == Some(&got) && ours.join("\n") != reported.join("\n");
        if other != OTHER_REASONS.iter().any(|&(other, _)| other == id) {
            wrong.push(format!("{id}: {ours:?}, 1.8 has {reported:?}"));
        }
    }
    assert!(cases.len() > 200, "the corpus has {} bodies", cases.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
