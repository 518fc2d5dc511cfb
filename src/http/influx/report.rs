//! What a write door answers about lines that it did not store. Senders match on these texts.

use tsdb::append::Refusal;

use crate::http::Door;
use crate::http::error::Failure;
use crate::http::json::Json;
use crate::http::prom_write::new_series_wait;
use crate::ingest::line_protocol::{BadLine, Outcome};

/// The answer to a write that was not stored whole; `None` where it was.
pub(super) fn failure(door: Door, outcome: &Outcome, all_or_nothing: bool) -> Option<Failure> {
    if outcome.num_bad == 0 && outcome.dropped == 0 {
        return None;
    }
    if outcome.report.may_succeed_later() {
        // The same lines again: those that are stored change nothing.
        let why = dropped(outcome).unwrap_or_default();
        return Some(new_series_wait(format!("partial write: {why} dropped={}", outcome.dropped)));
    }
    if door == Door::InfluxV3 {
        return Some(lines(outcome, all_or_nothing));
    }
    let mut texts: Vec<String> = outcome.bad.iter().map(|bad| bad.message.clone()).collect();
    let unlisted = outcome.num_bad - outcome.bad.len() as u64;
    if unlisted > 0 {
        texts.push(format!("and {unlisted} more lines"));
    }
    texts.extend(dropped(outcome));
    let text = texts.join("\n");
    // A body without a single good line is answered without the prefix, as 1.x does.
    if outcome.report.stored == 0 && outcome.dropped == 0 && outcome.strings == 0 {
        return Some(Failure::Rejected(text));
    }
    let text = format!("partial write: {text} dropped={}", outcome.dropped);
    Some(if outcome.dropped > 0 { Failure::Unprocessable(text) } else { Failure::Rejected(text) })
}

/// Why storage refused points.
fn dropped(outcome: &Outcome) -> Option<String> {
    (outcome.dropped > 0).then(|| match &outcome.reason {
        None | Some(Refusal::TooOld | Refusal::TooFarInFuture) => {
            "points beyond retention policy".to_owned()
        }
        Some(other) => other.to_string(),
    })
}

/// Bytes of a line that the v3 door repeats.
const ORIGINAL_BYTES: usize = 20;

fn lines(outcome: &Outcome, all_or_nothing: bool) -> Failure {
    let line = |json: &mut Json, bad: &BadLine| {
        json.raw("{\"error_message\":").string(&bad.message);
        json.raw(",\"line_number\":").int(bad.number).raw(",\"original_line\":");
        json.string(crate::text::cut(&bad.line, ORIGINAL_BYTES)).raw("}");
    };
    let mut json = Json::default();
    let message = match (&outcome.bad[..], all_or_nothing) {
        ([first, ..], true) => {
            line(&mut json, first);
            "line protocol parsing error"
        }
        (bad, _) => {
            json.list(bad, line);
            "partial write of line protocol occurred"
        }
    };
    let message = match dropped(outcome) {
        None => message.to_owned(),
        Some(why) => format!("{message}: {why} dropped={}", outcome.dropped),
    };
    let data = String::from_utf8(json.into_bytes()).expect("the writer writes UTF-8");
    Failure::RejectedLines { message, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(stored: u64, num_bad: u64, dropped: u64) -> Outcome {
        let mut outcome = Outcome { num_bad, dropped, ..Outcome::default() };
        outcome.report.stored = stored;
        outcome.bad = (1..=num_bad.min(2))
            .map(|number| BadLine {
                number,
                message: format!("unable to parse 'l{number}': missing fields"),
                line: "a line that is longer than that".to_owned(),
            })
            .collect();
        outcome
    }

    #[test]
    fn texts_are_those_that_senders_match() {
        let one = "unable to parse 'l1': missing fields";
        for (outcome, want) in [
            (outcome(1, 0, 0), None),
            (outcome(0, 1, 0), Some(Failure::Rejected(one.to_owned()))),
            (outcome(1, 1, 0), Some(Failure::Rejected(format!("partial write: {one} dropped=0")))),
            (
                outcome(1, 0, 3),
                Some(Failure::Unprocessable(
                    "partial write: points beyond retention policy dropped=3".to_owned(),
                )),
            ),
            (
                outcome(0, 5, 0),
                Some(Failure::Rejected(format!(
                    "{one}\nunable to parse 'l2': missing fields\nand 3 more lines"
                ))),
            ),
        ] {
            assert_eq!(failure(Door::InfluxV1, &outcome, false), want);
        }
    }

    #[test]
    fn the_v3_door_lists_lines() {
        let Some(Failure::RejectedLines { message, data }) =
            failure(Door::InfluxV3, &outcome(1, 1, 0), false)
        else {
            panic!()
        };
        assert_eq!(message, "partial write of line protocol occurred");
        assert_eq!(
            data,
            r#"[{"error_message":"unable to parse 'l1': missing fields","line_number":1,"original_line":"a line that is longe"}]"#
        );
        let Some(Failure::RejectedLines { message, data }) =
            failure(Door::InfluxV3, &outcome(0, 2, 0), true)
        else {
            panic!()
        };
        assert!(message == "line protocol parsing error" && data.starts_with('{'));
    }
}
