//! What must hold for any bytes: shared by the fuzz targets and by `tests/replay.rs`.
#![allow(dead_code, reason = "each fuzz target runs one of the checks")]

use tsdb::chunk::{self, Encoding, MAX_SAMPLES, histogram, times};
use tsdb::wal::record::Record;

/// A payload is refused, or it is a record that survives being written and read again. Says which.
pub(crate) fn wal_record(bytes: &[u8]) -> bool {
    let Ok(record) = Record::decode(bytes) else { return false };
    assert_eq!(record.in_order.refs.len(), record.in_order.values.len());
    assert_eq!(record.late.refs.len(), record.late.times.len());
    let mut once = Vec::new();
    record.encode(&mut once);
    let mut twice = Vec::new();
    Record::decode(&once).expect("our own bytes").encode(&mut twice);
    assert!(once == twice, "written, read and written again");
    true
}

/// The first byte says what the rest is: values of an encoding, times (0), or anything else; the next
/// two how many. What decodes as a whole gives the same bits in part; nothing gives more than was
/// asked for. Says whether the whole decodes.
pub(crate) fn chunk(bytes: &[u8]) -> bool {
    let [what, low, high, bytes @ ..] = bytes else { return false };
    let count = usize::from(u16::from_le_bytes([*low, *high]));
    let part = count / 3..count - count / 4;
    match Encoding::from_number(*what) {
        Some(Encoding::Histogram) => {
            let (mut seen, mut seen_in_part) = (Vec::new(), Vec::new());
            let whole = histogram::decode(bytes, 0..count, |at, value| seen.push((at, value)));
            let some = histogram::decode(bytes, part.clone(), |at, value| {
                seen_in_part.push((at, value));
            });
            if whole.is_err() {
                return false;
            }
            assert!(some.is_ok() && seen.len() == count);
            // As bytes: a NaN in a histogram equals itself there.
            let encoded = |values: &[(usize, _)]| {
                let mut out = Vec::new();
                let values = values.iter().map(|(_, value)| value);
                histogram::encode(values, &mut out).map(|()| out).ok()
            };
            assert_eq!(encoded(&seen[part]), encoded(&seen_in_part));
            true
        }
        Some(encoding) => {
            let (mut whole, mut some) = (Vec::new(), Vec::new());
            let is_good = chunk::decode(encoding, bytes, count, 0..count, &mut whole).is_ok();
            let part_is_good =
                chunk::decode(encoding, bytes, count, part.clone(), &mut some).is_ok();
            assert!(whole.len() <= MAX_SAMPLES && some.len() <= part.len());
            if is_good {
                assert!(part_is_good && whole.len() == count);
                let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&whole[part]), bits(&some));
            }
            is_good
        }
        None if *what == 0 => {
            let mut out = Vec::new();
            let is_good = times::decode(bytes, count, &mut out).is_ok();
            assert!(out.len() <= MAX_SAMPLES && out.is_sorted_by(|a, b| a < b));
            if is_good {
                let (mut again, mut decoded) = (Vec::new(), Vec::new());
                times::encode(&out, &mut again);
                times::decode(&again, count, &mut decoded).expect("our own bytes");
                assert_eq!(out, decoded);
            }
            is_good
        }
        None => false,
    }
}
