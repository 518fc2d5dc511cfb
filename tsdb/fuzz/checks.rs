//! What must hold for any bytes: shared by the fuzz targets and by `tests/replay.rs`.

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
