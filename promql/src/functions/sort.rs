//! The orders of `sort`, `sort_desc` and `sort_by_label` (contract 3.11).

use std::cmp::Ordering;

use model::Labels;

pub use crate::quantile::nan_last as ascending;

/// The warning of a sort in a range query.
pub const INEFFECTIVE: &str =
    "sort is ineffective for range queries since results are always ordered by labels";

/// The order of `sort_desc`: descending, NaN last all the same.
pub fn descending(a: &f64, b: &f64) -> Ordering {
    b.partial_cmp(a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The order of `sort_by_label`: natural per label, then all labels; `sort_by_label_desc` reverses
/// it.
pub fn by_labels<S: AsRef<str>>(names: &[S], a: &Labels, b: &Labels) -> Ordering {
    names
        .iter()
        .map(|name| natural(a.get(name.as_ref()), b.get(name.as_ref())))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| a.cmp(b))
}

/// Natural order: runs of digits compare as numbers where both fit 64 bits, other runs bytewise,
/// and what ends first is less. Where numbers are equal but written differently, the bytes decide,
/// so that the order is total.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    while let (Some(x), Some(y)) = (take_run(&mut a_rest), take_run(&mut b_rest)) {
        let order = match (x.parse::<i64>(), y.parse::<i64>()) {
            (Ok(x), Ok(y)) if x != y => x.cmp(&y),
            (Ok(_), Ok(_)) => Ordering::Equal,
            _ => x.cmp(y),
        };
        if order.is_ne() {
            return order;
        }
        if a_rest.is_empty() != b_rest.is_empty() {
            return b_rest.is_empty().cmp(&a_rest.is_empty());
        }
    }
    a.cmp(b)
}

/// The run of digits, or of anything else, at the beginning.
fn take_run<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let digits = rest.bytes().next()?.is_ascii_digit();
    let end = rest.bytes().position(|c| c.is_ascii_digit() != digits).unwrap_or(rest.len());
    let (run, after) = rest.split_at(end);
    *rest = after;
    Some(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_in_names_sort_as_numbers() {
        let sorted = ["", "1", "1a", "2", "10", "a", "a1", "a1b", "a2", "a10", "a10b2", "b"];
        for w in sorted.windows(2) {
            assert_eq!(natural(w[0], w[1]), Ordering::Less, "{w:?}");
            assert_eq!(natural(w[1], w[0]), Ordering::Greater, "{w:?}");
        }
        assert_eq!(natural("99999999999999999998", "99999999999999999999"), Ordering::Less);
    }

    #[test]
    fn nan_is_last_both_ways() {
        let mut values = [2.0, f64::NAN, 1.0];
        values.sort_by(ascending);
        assert!(values[0] < values[1] && values[2].is_nan());
        values.sort_by(descending);
        assert!(values[0] > values[1] && values[2].is_nan());
    }

    #[test]
    fn all_labels_break_ties() {
        let l = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).unwrap();
        let (a, b) = (l(&[("x", "2"), ("y", "1")]), l(&[("x", "10"), ("y", "0")]));
        assert_eq!(by_labels(&["x"], &a, &b), Ordering::Less);
        assert_eq!(by_labels(&["y"], &a, &b), Ordering::Greater);
        assert_eq!(by_labels(&["z"], &a, &b), a.cmp(&b));
    }

    proptest! {
        #[test]
        fn natural_order_is_total(a in "[a01]{0,4}", b in "[a01]{0,4}", c in "[a01]{0,4}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            prop_assert_eq!(natural(&a, &b) == Ordering::Equal, a == b);
            let mut v = [&a, &b, &c];
            v.sort_by(|x, y| natural(x, y));
            prop_assert!(natural(v[0], v[2]) != Ordering::Greater);
        }
    }
}
