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
    series_of(labels, samples, &[])
}

/// A histogram with one positive bucket, 0.5 to 1, of `count` observations out of `total`.
fn histogram(t_ms: i64, count: u8, total: u8) -> Vec<u8> {
    let sum = f64::from(total).to_le_bytes();
    let mut out = [vec![8, total, 25], sum.to_vec(), vec![32, 0]].concat();
    out.extend(field(11, &[16, 1]));
    out.extend([12 << 3, count * 2]);
    out.extend([15 << 3]);
    out.extend(varint(t_ms.cast_unsigned()));
    out
}

fn series_of(labels: &[(&str, &str)], samples: &[(i64, f64)], histograms: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for histogram in histograms {
        out.extend(field(4, histogram));
    }
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
            buf.times().len() + buf.histograms().len()
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
fn good_histograms_are_stored_and_bad_ones_are_told_apart() {
    let (_dir, db) = db();
    let name = |name| [("__name__", name)];
    let message = [
        series_of(&name("bad"), &[], &[histogram(1000, 3, 4)]),
        series_of(&name("h"), &[], &[histogram(1000, 4, 4), histogram(2000, 3, 4)]),
        series(&name("up"), &[(1000, 1.0)]),
        // Exemplars travel in series of their own; they do not make one.
        series(&name("sampleless"), &[]),
        series_of(&name("mixed"), &[(1000, 1.0)], &[histogram(2000, 4, 4)]),
    ];
    let outcome = write(&db, &message).unwrap();
    assert_eq!((outcome.report.stored, outcome.report.refused), (4, 2));
    let defect = "3 observations found in buckets, but the Count field is 4: histogram's \
                  observation count should equal the number of observations found in the buckets \
                  (in absence of NaN)";
    let lines: Vec<&str> = outcome.refused.lines().collect();
    assert_eq!(
        lines,
        [
            format!("{defect} for series {{__name__=\"bad\"}}"),
            format!("{defect} for series {{__name__=\"h\"}}"),
            "2 samples refused, 4 stored".to_owned(),
        ]
    );
    let found = ["h", "up", "mixed", "bad", "sampleless"].map(|name| count(&db, name));
    assert_eq!(found, [1, 1, 2, 0, 0]);
    assert_eq!(db.stats().num_series, 3, "refused histograms make no series");

    let alone = write(&db, &[series_of(&name("h"), &[], &[histogram(2000, 3, 4)])]).unwrap();
    assert_eq!(alone.refused, defect);
    let again = write(&db, &[series_of(&name("h"), &[], &[histogram(1000, 4, 4)])]).unwrap();
    assert_eq!((again.report.repeated, again.refused.as_str()), (1, ""));
}

#[test]
fn a_float_stale_marker_ends_a_histogram_series_as_a_histogram() {
    let (_dir, db) = db();
    let labels = [("__name__", "h")];
    write(&db, &[series_of(&labels, &[], &[histogram(1000, 4, 4)])]).unwrap();
    write(&db, &[series(&labels, &[(2000, model::stale_nan())])]).unwrap();
    let matcher = Matcher::equal(model::NAME_LABEL, "h");
    let set = db.select(&Selection::new(vec![matcher], i64::MIN, i64::MAX)).unwrap();
    let mut buf = SeriesBuf::new();
    set.read(0, &mut buf).unwrap();
    let found: Vec<_> = buf.histograms().iter().map(|(t, h)| (*t, h.is_stale())).collect();
    assert_eq!((buf.times().len(), found), (0, vec![(1000, false), (2000, true)]));
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
