//! The natural order of texts that have numbers in them, as `sort_by_label` uses it.

use std::cmp::Ordering;

/// Compares run by run: two runs of digits that fit an `int64` as numbers, others bytewise. A text
/// that is the beginning of the other, in runs, comes first.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.is_empty(), b.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        let (run_a, rest_a) = split_run(a);
        let (run_b, rest_b) = split_run(b);
        let order = match (number(run_a), number(run_b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => run_a.cmp(run_b),
        };
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The first run of digits or of other characters, and the rest.
fn split_run(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

fn number(run: &str) -> Option<i64> {
    run.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_as_numbers() {
        let mut texts = ["cpu10", "cpu2", "cpu", "", "7", "10", "cpu2a", "99999999999999999999"];
        texts.sort_by(|a, b| compare(a, b));
        let want = ["", "7", "10", "99999999999999999999", "cpu", "cpu2", "cpu2a", "cpu10"];
        assert_eq!(texts, want);
    }
}
