//! What is written reads back as the same point; what cannot be is refused.

use lineproto::{EmptyTags, Lines, Point, Precision, Value, WriteError, WriteValue, write_line};
use proptest::{collection::vec, prelude::*};

/// An owned [`WriteValue`].
#[derive(Debug, Clone)]
enum Own {
    Float(f64),
    Int(i64),
    Uint(u64),
    Bool(bool),
    Str(String),
}

impl Own {
    fn borrow(&self) -> WriteValue<'_> {
        match self {
            Self::Float(v) => WriteValue::Float(*v),
            Self::Int(v) => WriteValue::Int(*v),
            Self::Uint(v) => WriteValue::Uint(*v),
            Self::Bool(v) => WriteValue::Bool(*v),
            Self::Str(text) => WriteValue::Str(text),
        }
    }

    fn reads_as(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Int(a), Value::Int(b)) => *a == b,
            (Self::Uint(a), Value::Uint(b)) => *a == b,
            (Self::Bool(a), Value::Bool(b)) => *a == b,
            (Self::Str(a), Value::Str(b)) => *a == b.get(),
            _ => false,
        }
    }
}

fn any_value() -> impl Strategy<Value = Own> {
    prop_oneof![
        any::<f64>().prop_map(Own::Float),
        any::<u64>().prop_map(|bits| Own::Float(f64::from_bits(bits))),
        (-1_000_000_i32..1_000_000).prop_map(|v| Own::Float(f64::from(v) / 100.0)),
        any::<i64>().prop_map(Own::Int),
        any::<u64>().prop_map(Own::Uint),
        any::<bool>().prop_map(Own::Bool),
        "[a\"\\\\ ,=\n\r\t#é]{0,8}".prop_map(Own::Str),
    ]
}

/// Names of the bytes that mean something, with a few that cannot be written.
const NAME: &str = "[a-c\"\\\\ ,=#é]{0,6}\t?";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_written_point_reads_back(
        measurement in NAME,
        tags in vec((NAME, NAME), 0..4),
        fields in vec((NAME, any_value()), 0..4),
        timestamp in any::<i64>(),
    ) {
        let tags: Vec<_> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let borrowed: Vec<_> = fields.iter().map(|(k, v)| (k.as_str(), v.borrow())).collect();
        let point = Point { measurement: &measurement, tags: &tags, fields: &borrowed, timestamp };
        let mut out = String::from("first f=1 1\n");
        if let Err(error) = write_line(&mut out, &point) {
            prop_assert_eq!(out, "first f=1 1\n");
            let refusable = |name: &str| name.is_empty() || name.contains('\t') || name.ends_with('\\');
            let names = tags.iter().flat_map(|&(k, v)| [k, v]).chain(borrowed.iter().map(|f| f.0));
            let right = match error {
                WriteError::NoFields => fields.is_empty(),
                WriteError::DuplicateTag(key) => tags.iter().filter(|tag| tag.0 == key).count() > 1,
                WriteError::NotFinite(_) => fields.iter().any(|(_, v)| matches!(v, Own::Float(v) if !v.is_finite())),
                WriteError::Empty(_) | WriteError::Name(..) =>
                    measurement.starts_with('#') || refusable(&measurement) || names.into_iter().any(refusable),
            };
            prop_assert!(right, "refused without need");
        } else {
            out.push_str("last f=1 1\n");
            let mut lines = Lines::new(out.as_bytes(), Precision::Nanosecond);
            prop_assert!(lines.next_line().unwrap().is_ok());
            let line = lines.next_line().unwrap().unwrap();
            let series = line.series(EmptyTags::Refuse).unwrap();
            prop_assert_eq!(series.measurement(), measurement.as_str());
            let read: Vec<_> = series.tags().map(|t| (t.key().into_owned(), t.value().into_owned())).collect();
            prop_assert!(read.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(tags.iter().copied()));
            prop_assert_eq!(line.timestamp_ns, Some(timestamp));
            prop_assert_eq!(line.fields().len(), fields.len());
            for (got, (key, value)) in line.fields().iter().zip(&fields) {
                prop_assert_eq!(got.key(), key.as_str());
                prop_assert!(value.reads_as(got.value), "{:?} as {:?}", value, got.value);
            }
            prop_assert!(lines.next_line().unwrap().is_ok());
            prop_assert!(lines.next_line().is_none());
        }
    }
}
