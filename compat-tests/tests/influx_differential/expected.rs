//! Where the server differs from InfluxDB 1.6 on purpose.

use std::collections::BTreeMap;

use compat_tests::http::Response;
use compat_tests::influx::{Key, Samples, Stored};
use compat_tests::rng::now_ms;

use super::cases::Case;

/// How far ahead a point may be, ms.
const MAX_FUTURE_MS: i64 = 600_000;

/// What both servers made of one case.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Our answer.
    pub(crate) ours: Response,
    /// The peer's.
    pub(crate) theirs: Response,
    /// What is stored here.
    pub(crate) got: Samples,
    /// What is stored there, as samples.
    pub(crate) want: BTreeMap<Key, BTreeMap<i64, f64>>,
    /// The same as points.
    pub(crate) points: Vec<Stored>,
    /// Whether all of that is the same, and the first difference.
    pub(crate) same: Result<(), String>,
}

impl Outcome {
    /// Whether our error has `text` and the peer's has not.
    fn only_ours(&self, text: &str) -> bool {
        error(&self.ours).contains(text) && !error(&self.theirs).contains(text)
    }

    /// Whether the peer's error has `text` and ours has not.
    fn only_theirs(&self, text: &str) -> bool {
        error(&self.theirs).contains(text) && !error(&self.ours).contains(text)
    }

    /// Whether both stored it all.
    fn both_took_it(&self) -> bool {
        (self.ours.status, self.theirs.status) == (204, 204)
    }

    /// Whether everything that is stored there is stored here.
    fn nothing_is_missing(&self) -> bool {
        self.want.keys().all(|key| self.got.contains_key(key))
    }

    /// Whether everything that is stored here is stored there.
    fn nothing_is_extra(&self) -> bool {
        self.got.keys().all(|key| self.want.contains_key(key))
    }

    /// Whether a string that is stored there has `text`.
    fn a_string_has(&self, text: &str) -> bool {
        self.points.iter().any(|p| p.value.as_str().is_some_and(|value| value.contains(text)))
    }

    /// Whether the line behind the odd one is stored here alone.
    fn only_we_have_the_next_line(&self) -> bool {
        let has = |key: &Key| key.0["__name__"] == "after_v" || key.0["__name__"] == "n_f";
        self.got.keys().any(has) && !self.want.keys().any(has)
    }
}

/// The text of an error; empty for a success.
fn error(response: &Response) -> String {
    response.json()["error"].as_str().unwrap_or_default().to_owned()
}

/// `text` with one mark for each run of bytes that are not UTF-8: some write one for each byte.
pub(crate) fn one_mark(text: &str) -> String {
    let mut text = text.to_owned();
    while text.contains("\u{fffd}\u{fffd}") {
        text = text.replace("\u{fffd}\u{fffd}", "\u{fffd}");
    }
    text
}

/// The lines that an error quotes, each with the reason.
fn refused(response: &Response) -> Vec<(String, String)> {
    let text = one_mark(&error(response));
    let text = text.strip_prefix("partial write: ").unwrap_or(&text);
    let text = text.rsplit_once(" dropped=").map_or(text, |(text, _)| text);
    let parts = text.split("unable to parse '").skip(1);
    let pair = |part: &str| {
        let (line, reason) = part.rsplit_once("': ").unwrap_or((part, ""));
        (line.to_owned(), reason.trim_end().to_owned())
    };
    parts.map(pair).collect()
}

/// Whether `text` is a reason that 1.6 gives (1.16).
fn is_reason(text: &str) -> bool {
    let whole = [
        "missing measurement",
        "missing tag key",
        "missing tag value",
        "invalid tag format",
        "duplicate tags",
        "missing fields",
        "invalid field format",
        "missing field key",
        "missing field value",
        "invalid number",
        "invalid float",
        "invalid boolean",
        "unbalanced quotes",
        "bad timestamp",
        "point is invalid",
    ];
    whole.contains(&text)
        || text.ends_with("value out of range")
        || text.ends_with("invalid syntax")
}

/// A difference that is meant.
#[derive(Debug)]
pub(crate) struct Expected {
    /// What differs.
    pub(crate) what: &'static str,
    /// The section of the influx contract that says so.
    pub(crate) contract: &'static str,
    /// Whether this difference explains this outcome.
    pub(crate) explains: fn(&Case, &Outcome) -> bool,
}

/// Whether the request has `name` with this value.
fn has_param(case: &Case, name: &str, value: impl Fn(&str) -> bool) -> bool {
    case.params.iter().any(|(n, v)| *n == name && value(v))
}

/// Whether a number with the suffix `u` is in `text`.
fn has_unsigned(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |at: usize| bytes.get(at).is_none_or(|b| b" ,\r\n".contains(b));
    (1..bytes.len()).any(|at| bytes[at] == b'u' && bytes[at - 1].is_ascii_digit() && ends(at + 1))
}

/// `name` as 1.6 reads it back.
fn unescaped(name: &str) -> String {
    let mut name = name.to_owned();
    for special in ["=", "\"", ",", " "] {
        name = name.replace(&format!("\\{special}"), special);
    }
    name
}

/// All of them. Each must be seen.
pub(crate) const EXPECTED: &[Expected] = &[
    Expected {
        what: "databases need not be made",
        contract: "8.3",
        explains: |case, outcome| {
            case.unknown_db && outcome.theirs.status == 404 && outcome.ours.status == 204
        },
    },
    Expected {
        what: "any retention policy is accepted",
        contract: "8.3",
        explains: |case, outcome| {
            has_param(case, "rp", |rp| rp == "nope")
                && outcome.only_theirs("retention policy not found")
                && outcome.ours.status == 204
        },
    },
    Expected {
        what: "an unknown precision is refused, as in 1.8",
        contract: "1.10",
        explains: |case, outcome| {
            let known = ["", "n", "ns", "u", "ms", "s", "m", "h"];
            has_param(case, "precision", |unit| !known.contains(&unit))
                && outcome.only_ours("invalid precision")
                && (outcome.ours.status, outcome.theirs.status) == (400, 204)
                && outcome.got.is_empty()
        },
    },
    Expected {
        what: "content codings are read, not taken for text",
        contract: "7.5",
        explains: |case, outcome| {
            case.headers.iter().any(|(_, coding)| ["deflate", "br", "x-gzip"].contains(coding))
                && outcome.theirs.status == 204
                && matches!(outcome.ours.status, 400 | 415)
                && outcome.got.is_empty()
        },
    },
    Expected {
        what: "fields have no types that could conflict",
        contract: "8.2",
        explains: |_, outcome| {
            outcome.only_theirs("field type conflict") && outcome.nothing_is_missing()
        },
    },
    Expected {
        what: "unsigned integers are read",
        contract: "1.7, 1.15",
        explains: |case, outcome| {
            has_unsigned(&case.text())
                && outcome.only_theirs("invalid number")
                && outcome.nothing_is_missing()
        },
    },
    Expected {
        what: "CR LF ends a line",
        contract: "1.2, 1.15",
        explains: |case, outcome| {
            (case.text().contains("\r\n") || case.body.ends_with(b"\r"))
                && (error(&outcome.theirs).contains("\r'") || outcome.a_string_has("\""))
                && !error(&outcome.ours).contains("\r'")
                && outcome.nothing_is_missing()
        },
    },
    Expected {
        what: "a tag called time is a tag",
        contract: "1.4, 1.15",
        explains: |_, outcome| {
            outcome.only_theirs("input tag \"time\"") && outcome.nothing_is_missing()
        },
    },
    Expected {
        what: "a field called time is a field",
        contract: "1.6, 1.15",
        explains: |_, outcome| {
            let extra = outcome.got.keys().filter(|key| !outcome.want.contains_key(*key));
            let named = extra.clone().all(|(labels, _)| labels["__name__"].ends_with("_time"));
            let told = outcome.only_theirs("input field \"time\"");
            outcome.nothing_is_missing()
                && named
                && extra.count() > 0
                && (told || outcome.both_took_it())
        },
    },
    Expected {
        what: "a line does not start with a TAB",
        contract: "1.2, 1.15",
        explains: |_, outcome| {
            outcome.only_ours("'\t") && outcome.only_ours("control character in a name")
        },
    },
    Expected {
        what: "names have no control characters",
        contract: "1.12, 1.15",
        explains: |case, outcome| {
            case.text().contains(|c: char| c.is_control() && c != '\n')
                && error(&outcome.ours).contains("control character in a name")
                && outcome.nothing_is_extra()
        },
    },
    Expected {
        what: "comments have no control characters",
        contract: "1.2, 1.13",
        explains: |case, outcome| {
            case.text().contains('#') && outcome.only_ours("control character in a comment")
        },
    },
    Expected {
        what: "text is UTF-8",
        contract: "1.12, 1.15",
        explains: |case, outcome| {
            // In a name 1.6 fails.
            let failed = outcome.theirs.status == 500
                && error(&outcome.theirs).contains("contains invalid UTF-8");
            std::str::from_utf8(&case.body).is_err()
                && (outcome.only_ours("invalid UTF-8") || (failed && outcome.ours.status == 400))
        },
    },
    Expected {
        what: "nothing stands behind a closing quote",
        contract: "1.9, 1.15",
        explains: |_, outcome| {
            let theirs = refused(&outcome.theirs);
            let took = |(line, _): &(String, String)| theirs.iter().all(|(l, _)| l != line);
            let mut ours = refused(&outcome.ours).into_iter();
            ours.any(|line| line.1 == "invalid field format" && took(&line))
                && outcome.a_string_has("\"")
                && outcome.nothing_is_extra()
        },
    },
    Expected {
        what: "quotes in a comment mean nothing",
        contract: "1.2",
        explains: |case, outcome| {
            let quoted = |line: &str| line.trim_start().starts_with('#') && line.contains('"');
            case.text().lines().any(quoted)
                && outcome.both_took_it()
                && outcome.nothing_is_missing()
                && !outcome.nothing_is_extra()
        },
    },
    Expected {
        what: "behind a line with an odd quote the next line is read",
        contract: "1.9, 1.15",
        explains: |case, outcome| {
            case.text().contains('"')
                && outcome.only_we_have_the_next_line()
                && outcome.nothing_is_missing()
        },
    },
    Expected {
        what: "behind a mistake the next line feed ends the line, in a string too",
        contract: "1.15",
        explains: |case, outcome| {
            let (ours, theirs) = (refused(&outcome.ours), refused(&outcome.theirs));
            case.text().contains('"')
                && ours.len() > theirs.len()
                && theirs.iter().any(|(line, _)| line.contains('\n'))
                && outcome.nothing_is_missing()
        },
    },
    Expected {
        what: "of several mistakes in a line another one may be named",
        contract: "1.16",
        explains: |_, outcome| {
            let (ours, theirs) = (refused(&outcome.ours), refused(&outcome.theirs));
            let same = |((ours, a), (theirs, b)): (&(String, String), &(String, String))| {
                ours == theirs && is_reason(a) && is_reason(b)
            };
            outcome.ours.status == outcome.theirs.status
                && !ours.is_empty()
                && ours.len() == theirs.len()
                && ours.iter().zip(&theirs).all(same)
                && outcome.nothing_is_missing()
                && outcome.nothing_is_extra()
        },
    },
    Expected {
        what: "a tag value is not a single `=`",
        contract: "1.4",
        explains: |case, outcome| {
            case.text().contains("==")
                && outcome.only_ours("invalid tag format")
                && outcome.nothing_is_extra()
        },
    },
    Expected {
        what: "the backslash of `\\=`, `\\\"` and behind `\\` stays in names",
        contract: "1.5",
        explains: |_, outcome| {
            let plain = |(labels, t): &Key| {
                let mut labels = labels.clone();
                let name = unescaped(&labels["__name__"]);
                labels.insert("__name__".to_owned(), name);
                (labels, *t)
            };
            let got: Vec<Key> = outcome.got.keys().map(plain).collect();
            outcome.ours.status == outcome.theirs.status
                && !outcome.nothing_is_extra()
                && got.len() == outcome.want.len()
                && got.iter().all(|key| outcome.want.contains_key(key))
        },
    },
    Expected {
        what: "a name with a backslash before an escaped separator can be read back",
        contract: "1.5",
        explains: |_, outcome| {
            let odd = |(labels, _): &Key| {
                let name = &labels["__name__"];
                name.contains("\\,") || name.contains("\\ ")
            };
            let mut extra = outcome.got.keys().filter(|key| !outcome.want.contains_key(*key));
            outcome.both_took_it()
                && outcome.nothing_is_missing()
                && !outcome.nothing_is_extra()
                && extra.all(odd)
        },
    },
    Expected {
        what: "the second of two backslashes escapes what is behind it in a field key too",
        contract: "1.5",
        explains: |case, outcome| {
            ["=", " ", ","].iter().any(|sign| case.text().contains(&format!("\\\\{sign}")))
                && error(&outcome.ours) != error(&outcome.theirs)
                && (outcome.nothing_is_missing() || outcome.nothing_is_extra())
        },
    },
    Expected {
        what: "a TAB is no space",
        contract: "1.2",
        explains: |case, outcome| {
            case.text().contains('\t')
                && (outcome.only_ours("bad timestamp") || outcome.only_ours("invalid field format"))
                && outcome.nothing_is_extra()
        },
    },
    Expected {
        what: "a backslash does not escape the end of a line",
        contract: "1.2, 1.15",
        explains: |case, outcome| {
            let spans = outcome.points.iter().any(|point| {
                let tags = point.tags.iter().flat_map(|(key, value)| [key, value]);
                let mut names = tags.chain([&point.measurement, &point.field]);
                names.any(|name| name.contains("\\\n"))
            });
            case.text().contains("\\\n") && (outcome.only_theirs("\\\n") || spans)
        },
    },
    Expected {
        what: "times are all those of 64 bits",
        contract: "1.10",
        explains: |_, outcome| {
            outcome.only_theirs("time outside range") && outcome.nothing_is_missing()
        },
    },
    Expected {
        what: "points far ahead are refused",
        contract: "8.3",
        explains: |_, outcome| {
            let ahead = |key: &Key| key.1 > now_ms() + MAX_FUTURE_MS;
            let missing = outcome.want.keys().filter(|key| !outcome.got.contains_key(*key));
            outcome.only_ours("points beyond retention policy")
                && missing.clone().all(ahead)
                && missing.count() > 0
                && outcome.nothing_is_extra()
        },
    },
    Expected {
        what: "labels have a limit, and the text says it",
        contract: "8.3",
        explains: |_, outcome| {
            outcome.only_ours("bytes, limit 4096")
                && outcome.theirs.status == 400
                && outcome.nothing_is_missing()
                && outcome.nothing_is_extra()
        },
    },
    Expected {
        what: "the report quotes ten lines, and of each 256 bytes",
        contract: "8.4",
        explains: |_, outcome| {
            let (ours, theirs) = (error(&outcome.ours), error(&outcome.theirs));
            let cut = |(ours, theirs): (&str, &str)| {
                ours == theirs
                    || (ours.starts_with("and ") && ours.ends_with(" more lines"))
                    || ours.split_once("...'").is_some_and(|(head, tail)| {
                        theirs.starts_with(head) && theirs.ends_with(tail)
                    })
            };
            outcome.ours.status == outcome.theirs.status
                && theirs.len() > ours.len()
                && ours.lines().zip(theirs.lines()).all(cut)
                && outcome.nothing_is_missing()
                && outcome.nothing_is_extra()
        },
    },
];
