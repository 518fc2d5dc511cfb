//! The label fields that [`super::scan`] stepped over.
#![deny(clippy::indexing_slicing)]

use super::fields;
use crate::labels::{LabelLimits, LabelsError, Pairs};
use crate::wire::Reader;
use model::Labels;

/// The label set in the label fields of one series ([`super::WriteBatch::raw_labels`]): sorted,
/// pairs with an empty value dropped.
///
/// # Errors
/// The rule or limit that the set breaks. Other series of the request are not affected.
pub fn parse_labels(raw: &[u8], limits: &LabelLimits) -> Result<Labels, LabelsError> {
    pairs(raw, limits)?.series()
}

/// The label set of one exemplar ([`super::WriteBatch::exemplar_labels`]): it needs no metric name
/// and has at most 128 characters.
///
/// # Errors
/// The rule or limit that the set breaks.
pub fn parse_exemplar_labels(raw: &[u8], limits: &LabelLimits) -> Result<Labels, LabelsError> {
    pairs(raw, limits)?.exemplar()
}

fn pairs<'a>(raw: &'a [u8], limits: &LabelLimits) -> Result<Pairs<'a>, LabelsError> {
    let mut pairs = Pairs::new(limits);
    let mut r = Reader::new(raw);
    while let Some(key) = r.key()? {
        match key {
            fields::LABELS => {
                let (name, value) = pair(r.message()?)?;
                pairs.push(name, value)?;
            }
            _ => r.skip(key, &[1])?,
        }
    }
    Ok(pairs)
}

fn pair(mut r: Reader<'_>) -> Result<(&[u8], &[u8]), LabelsError> {
    let (mut name, mut value) = (&[][..], &[][..]);
    while let Some(key) = r.key()? {
        match key {
            fields::LABEL_NAME => name = r.bytes()?,
            fields::LABEL_VALUE => value = r.bytes()?,
            _ => r.skip(key, &[1, 2])?,
        }
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;
    use proptest::{collection::vec, prelude::*};
    use prost::Message as _;

    /// The fields of a series with these labels.
    fn raw(pairs: &[(&str, &str)]) -> Vec<u8> {
        let label = |(name, value): &(&str, &str)| proto::Label {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        let labels = pairs.iter().map(label).collect();
        proto::TimeSeries { labels, ..Default::default() }.encode_to_vec()
    }

    fn parsed(pairs: &[(&str, &str)]) -> Result<String, String> {
        parse_labels(&raw(pairs), &LabelLimits::default())
            .map(|l| l.to_string())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn sets_are_sorted_and_empty_values_dropped() {
        for (pairs, want) in [
            (&[("__name__", "up")][..], r#"{__name__="up"}"#),
            (&[("z", "1"), ("__name__", "up"), ("A", "2")], r#"{A="2", __name__="up", z="1"}"#),
            (&[("__name__", "up"), ("a", ""), ("a", ""), ("a", "x")], r#"{__name__="up", a="x"}"#),
            (
                &[("__name__", "température"), ("é.é", "\n")],
                r#"{__name__="température", "é.é"="\n"}"#,
            ),
        ] {
            assert_eq!(parsed(pairs), Ok(want.to_owned()));
        }
    }

    #[test]
    fn broken_sets_say_which_rule() {
        for (pairs, want) in [
            (&[][..], "invalid metric name or labels, got {}"),
            (&[("l", "x")], r#"invalid metric name or labels, got {l="x"}"#),
            (&[("__name__", ""), ("l", "x")], r#"invalid metric name or labels, got {l="x"}"#),
            (&[("__name__", "m"), ("", "x")], "label name is empty"),
            (&[("__name__", "m"), ("", "")], "label name is empty"),
            (
                &[("a", "2"), ("__name__", "m"), ("a", "1")],
                "invalid labels for series, labels {__name__=\"m\", a=\"2\", a=\"1\"}, duplicated \
                 label a",
            ),
        ] {
            assert_eq!(parsed(pairs), Err(want.to_owned()), "{pairs:?}");
        }
    }

    #[test]
    fn limits_hold_at_the_limit_and_not_above() {
        let many: Vec<String> = (0..65).map(|i| format!("l{i:02}")).collect();
        let set = |n: usize| -> Vec<(&str, &str)> {
            [("__name__", "m")]
                .into_iter()
                .chain(many.iter().take(n - 1).map(|l| (&l[..], "v")))
                .collect()
        };
        let long = "x".repeat(4097);
        let fat = |last: usize| -> Vec<(&str, &str)> {
            // 8 + 1 and four times 3 + 4090 bytes, then the last.
            [("__name__", "m")]
                .into_iter()
                .chain(many.iter().take(3).map(|l| (&l[..], &long[..4090])))
                .chain([("l99", &long[..last])])
                .collect()
        };
        let rest = (16 << 10) - 9 - 3 * 4093 - 3;
        for (pairs, want) in [
            (set(64), None),
            (set(65), Some("series has 65 labels, limit 64")),
            (vec![("__name__", "m"), (&long[..1024], "v")], None),
            (
                vec![("__name__", "m"), (&long[..1025], "v")],
                Some("label name is 1025 bytes, limit 1024"),
            ),
            (vec![("__name__", &long[..4096])], None),
            (vec![("__name__", &long)], Some("label value is 4097 bytes, limit 4096")),
            (fat(rest), None),
            (fat(rest + 1), Some("label set is 16385 bytes, limit 16384")),
        ] {
            assert_eq!(parsed(&pairs).err().as_deref(), want);
        }
    }

    #[test]
    fn refusals_stay_short() {
        let name = "n".repeat(1024);
        let value = "v".repeat(4096);
        for pairs in
            [&[(&name[..], &value[..])][..], &[("__name__", "m"), (&name, &value), (&name, "w")]]
        {
            assert!(parsed(pairs).unwrap_err().len() < 600);
        }
    }

    #[test]
    fn names_and_values_must_be_text() {
        for (field, want) in [
            (&b"\x0a\x06\x0a\x01\xff\x12\x01x"[..], "label name is not valid UTF-8"),
            (b"\x0a\x06\x0a\x01x\x12\x01\xc3", "label value is not valid UTF-8"),
            (b"\x0a\x05\x0a\x01x\x12\x02", "protobuf: truncated message at byte 7"),
            (b"\x0a\x02\x08\x01", "protobuf: wrong wire type at byte 3"),
            (b"\x08\x01", "protobuf: wrong wire type at byte 1"),
        ] {
            let got = parse_labels(field, &LabelLimits::default());
            assert_eq!(got.unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn the_last_of_repeated_scalars_counts() {
        let raw = b"\x0a\x14\x0a\x01x\x12\x01y\x0a\x08__name__\x12\x02up";
        assert_eq!(
            parse_labels(raw, &LabelLimits::default()).unwrap().to_string(),
            r#"{__name__="up"}"#
        );
    }

    #[test]
    fn exemplars_need_no_name_and_have_128_characters() {
        let limits = LabelLimits::default();
        let fits = "é".repeat(128 - 8);
        let labels = parse_exemplar_labels(&raw(&[("trace_id", &fits)]), &limits).unwrap();
        assert_eq!(labels.get("trace_id"), fits);
        let e =
            parse_exemplar_labels(&raw(&[("trace_id", &fits), ("a", "b")]), &limits).unwrap_err();
        assert_eq!(
            e.to_string(),
            "label length for exemplar exceeds maximum of 128 UTF-8 characters"
        );
        assert_eq!(parse_exemplar_labels(b"", &limits), Ok(Labels::empty()));
    }

    proptest! {
        /// Model: `Labels::from_pairs`, which sorts and refuses duplicates by itself.
        #[test]
        fn agrees_with_labels_from_pairs(pairs in vec(("[a-c]{1,2}", "[x-z]{0,2}"), 0..6)) {
            let mut pairs = pairs;
            pairs.push(("__name__".into(), "m".into()));
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&n[..], &v[..])).collect();
            let got = parse_labels(&raw(&pairs), &LabelLimits::default());
            match Labels::from_pairs(pairs) {
                Ok(want) => prop_assert_eq!(got, Ok(want)),
                Err(twice) => {
                    let Err(LabelsError::Duplicate { name, .. }) = got else {
                        return Err(TestCaseError::fail(format!("{got:?}, not {twice:?}")));
                    };
                    prop_assert_eq!(name, twice.0);
                }
            }
        }

        #[test]
        fn any_bytes_are_a_set_or_an_error(raw in vec(any::<u8>(), 0..60)) {
            let _ = parse_labels(&raw, &LabelLimits::default());
            let _ = parse_exemplar_labels(&raw, &LabelLimits::default());
        }
    }
}
