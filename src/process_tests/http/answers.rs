//! Whole answers of the Prometheus API: requests with what Prometheus 3.5.3 answered to the same
//! data, byte for byte, where the contract does not say otherwise. The table is `answers.txt`.

use crate::message::{series, write};
use crate::peer::Server;

/// One request of the table and its answer.
struct Row<'a> {
    method: &'a str,
    target: &'a str,
    /// Lines `> Name: value`.
    headers: Vec<&'a str>,
    /// A line `> ` of a form body.
    form: &'a str,
    status: u16,
    kind: &'a str,
    /// Lines `< Name: value`.
    answers: Vec<(&'a str, &'a str)>,
    body: &'a str,
}

fn rows(table: &str) -> impl Iterator<Item = Row<'_>> {
    table.split("\n\n").map(|block| {
        let mut lines = block.lines().filter(|line| !line.starts_with('#'));
        let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
        let mut row = Row {
            method,
            target,
            headers: Vec::new(),
            form: "",
            status: 0,
            kind: "",
            answers: Vec::new(),
            body: "",
        };
        for line in lines {
            match (line.split_at_checked(2), row.status) {
                (Some(("> ", header)), 0) => row.headers.push(header),
                (Some(("+ ", form)), 0) => row.form = form,
                (Some(("< ", header)), _) => row.answers.push(header.split_once(": ").unwrap()),
                (_, 0) => {
                    let (status, kind) = line.split_once(' ').unwrap_or((line, ""));
                    (row.status, row.kind) = (status.parse().unwrap(), kind);
                }
                (_, _) => row.body = line,
            }
        }
        row
    })
}

/// 40 scrapes of a few series around every kind of value and name.
fn load(server: &Server) {
    const START_MS: u64 = 1_700_000_000_000;
    let at = |i: u32| START_MS + u64::from(i) * 15_000;
    let forty = |value: &dyn Fn(u32) -> f64| -> Vec<(u64, f64)> {
        (0..40).map(|i| (at(i), value(i))).collect()
    };
    let mut message = Vec::new();
    for job in ["a", "b", "c<x>&y"] {
        for (instance, n) in [("h0", 0), ("h1", 1)] {
            let labels = [("__name__", "up"), ("instance", instance), ("job", job)];
            message.push(series(&labels, &forty(&|i| f64::from((i + n) % 7)), &[]));
        }
    }
    let total = |code| [("__name__", "reqs_total"), ("code", code)];
    message.push(series(&total("200"), &forty(&|i| f64::from(i) * 3.5), &[]));
    message.push(series(&total("500"), &forty(&|i| f64::from(i % 13)), &[]));
    for (le, k) in [("0.1", 1), ("0.5", 3), ("1", 4), ("+Inf", 5)] {
        let labels = [("__name__", "lat_bucket"), ("le", le)];
        message.push(series(&labels, &forty(&|i| f64::from(i * k)), &[]));
    }
    let odd = [("__name__", "odd"), ("path", "a\"b\\c\n\u{2028}é日本"), ("x.y", "dotted")];
    let values = [1e21, 1e-7, f64::INFINITY, f64::NAN];
    let samples: Vec<_> = (0..).zip(values).map(|(i, v)| (at(i), v)).collect();
    message.push(series(&odd, &samples, &[]));
    let utf8 = [("__name__", "utf8.name"), ("é", "1")];
    message.push(series(&utf8, &[(START_MS, 1.5), (START_MS + 1050, 2.5)], &[]));
    assert_eq!(write(server, &message), (204, String::new()));
}

#[test]
fn answers_are_those_of_the_table() {
    let server = Server::start(&["--web.cors.origin=.*"]);
    load(&server);
    let mut wrong = Vec::new();
    let mut count = 0;
    for row in rows(include_str!("answers.txt")) {
        count += 1;
        let mut headers = row.headers.clone();
        if !row.form.is_empty() {
            headers.push("Content-Type: application/x-www-form-urlencoded");
        }
        let got = server.request(row.method, row.target, &headers, row.form.as_bytes());
        let text = got.text();
        let mut differ = |what: &str, got: &str, want: &str| {
            if got != want {
                let request = format!("{} {}", row.method, row.target);
                wrong.push(format!("{request}\n  {what}\n  want {want}\n  got  {got}"));
            }
        };
        differ("status", &got.status.to_string(), &row.status.to_string());
        differ("type", got.header("content-type").unwrap_or_default(), row.kind);
        differ("body", text.trim_end_matches('\n'), row.body);
        for (name, want) in row.answers {
            differ(name, got.header(name).unwrap_or("-"), want);
        }
    }
    assert!(count > 100, "the table is not read to its end");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
