use super::*;
use model::{Matcher, Queryable, Selection, SeriesBuf};

fn db() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let fs = std::sync::Arc::new(tsdb::fs::std::StdFs);
    let options = tsdb::DbOptions::default();
    let (db, _) = Db::open(fs, &dir.path().join("db"), options, &mut |_| ()).unwrap();
    (dir, db)
}

fn settings() -> Settings {
    Settings::of(&crate::config::Config::default(), 1_700_000_000_000)
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
        len >>= 7;
    }
    out.push(u8::try_from(len).unwrap());
    out.extend_from_slice(bytes);
    out
}

fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(u8::try_from(n & 0x7f).unwrap() | 0x80);
        n >>= 7;
    }
    out.push(u8::try_from(n).unwrap());
    out
}

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        let label = [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
        out.extend(field(1, &label));
    }
    for (t, v) in samples {
        let mut sample = vec![9];
        sample.extend(v.to_le_bytes());
        sample.push(16);
        sample.extend(varint(t.cast_unsigned()));
        out.extend(field(2, &sample));
    }
    field(1, &out)
}

fn write(db: &Db, message: &[Vec<u8>]) -> Result<Outcome, RemoteError> {
    ingest(db, &remote::snappy::compress(&message.concat()), 32 << 20, &settings())
}

fn count(db: &Db, name: &str) -> usize {
    let matcher = Matcher::equal(model::NAME_LABEL, name);
    let set = db.select(&Selection::new(vec![matcher], i64::MIN, i64::MAX)).unwrap();
    let mut buf = SeriesBuf::new();
    (0..set.len())
        .map(|i| {
            set.read(i, &mut buf).unwrap();
            buf.times().len()
        })
        .sum()
}

#[test]
fn samples_are_stored_and_the_same_again_is_fine() {
    let (_dir, db) = db();
    let message = [series(&[("__name__", "up"), ("job", "x")], &[(1000, 1.0), (2000, -0.0)])];
    for _ in 0..2 {
        let outcome = write(&db, &message).unwrap();
        assert_eq!((outcome.report.stored, outcome.refused.as_str()), (2, ""));
    }
    assert_eq!(count(&db, "up"), 2);
    let empty = write(&db, &[]).unwrap();
    assert_eq!((empty.report.stored, empty.refused.as_str()), (0, ""));
}

#[test]
fn one_refused_row_has_the_bare_text() {
    let (_dir, db) = db();
    let labels = [("__name__", "up")];
    write(&db, &[series(&labels, &[(1000, 1.0)])]).unwrap();
    let outcome = write(&db, &[series(&labels, &[(1000, 2.0)])]).unwrap();
    assert_eq!(
        outcome.refused,
        "duplicate sample for timestamp 1000; overrides not allowed: existing 1, new value 2"
    );
    let outcome = write(&db, &[series(&labels, &[(1_700_000_660_000, 2.0)])]).unwrap();
    assert_eq!(outcome.refused, "out of bounds: timestamp is too far in the future");
}

#[test]
fn bad_series_are_named_and_good_ones_stored() {
    let (_dir, db) = db();
    let message = [
        series(&[("__name__", "good")], &[(1000, 1.0)]),
        series(&[("job", "nameless")], &[(1000, 1.0)]),
        series(&[("__name__", "twice"), ("a", "1"), ("a", "2")], &[(1000, 1.0)]),
        series(&[("z", "unsorted"), ("__name__", "good")], &[(1000, 1.0), (i64::MAX, 1.0)]),
    ];
    let outcome = write(&db, &message).unwrap();
    assert_eq!((outcome.report.stored, outcome.report.refused, count(&db, "good")), (2, 3, 2));
    let lines: Vec<&str> = outcome.refused.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[0], "invalid metric name or labels, got {job=\"nameless\"}");
    assert!(lines[1].contains("duplicated label a"));
    assert_eq!(
        lines[2],
        "out of bounds: timestamp is too far in the future for series {__name__=\"good\", z=\"unsorted\"}"
    );
    assert_eq!(lines[3], "3 samples refused, 2 stored");
}

#[test]
fn metadata_is_kept_and_help_is_cut() {
    let (_dir, db) = db();
    let help = "h".repeat(5000);
    let row = [vec![8, 1], field(2, b"up"), field(4, help.as_bytes()), field(5, b"s")].concat();
    write(&db, &[field(3, &row)]).unwrap();
    let all = db.metadata(None);
    assert_eq!((all.len(), all[0].0.as_str(), all[0].1.help.len()), (1, "up", MAX_HELP_BYTES));
    assert_eq!((all[0].1.kind.as_str(), all[0].1.unit.as_str()), ("counter", "s"));
}

#[test]
fn damaged_bodies_are_errors() {
    let (_dir, db) = db();
    for (bytes, want) in [
        (&b""[..], "snappy: corrupt input"),
        (b"\xff\xff\xff\xff\x0f", "decoded size exceeds"),
        (&remote::snappy::compress(b"\x0a\x05ab"), "protobuf: "),
    ] {
        let error = ingest(&db, bytes, 1 << 20, &settings()).unwrap_err().to_string();
        assert!(error.starts_with(want), "{error}");
    }
}
