use super::*;
use model::{Matcher, Queryable, Selection, SeriesBuf};

fn db() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let fs = std::sync::Arc::new(tsdb::fs::std::StdFs);
    let options = tsdb::DbOptions::default();
    let (db, _) = Db::open(fs, &dir.path().join("db"), options, &mut |_| ()).unwrap();
    (dir, db)
}

const NOW_NS: i64 = 1_700_000_000_123_456_789;

fn settings() -> Settings {
    Settings::of(&crate::config::Config::default(), NOW_NS / 1_000_000)
}

fn request() -> Request {
    Request {
        database: "telegraf".to_owned(),
        precision: Precision::Nanosecond,
        now_ns: NOW_NS,
        all_or_nothing: false,
    }
}

/// All samples with their labels, as text.
fn stored(db: &Db) -> Vec<String> {
    let any = Matcher::new(model::MatchOp::Re, model::NAME_LABEL, ".+").unwrap();
    let set = db.select(&Selection::new(vec![any], i64::MIN, i64::MAX)).unwrap();
    let mut buf = SeriesBuf::new();
    let mut all = Vec::new();
    for i in 0..set.len() {
        set.read(i, &mut buf).unwrap();
        for (t, v) in buf.times().iter().zip(buf.values()) {
            all.push(format!("{} {v} @{t}", set.labels(i).unwrap()));
        }
    }
    all
}

#[test]
fn fields_become_series_and_nanoseconds_milliseconds() {
    let (_dir, db) = db();
    let body = b"cpu,host=a\\ b usage=0.5,n=3i,on=true,text=\"x\" 1700000000000999999\n\
                 app.req,__name__=x,db=mine m=1u\n";
    let outcome = ingest(&db, body, &request(), &settings()).unwrap();
    assert_eq!((outcome.report.stored, outcome.num_bad), (4, 0));
    assert_eq!((outcome.strings, outcome.name_tags), (1, 1));
    assert_eq!(
        stored(&db),
        [
            r#"{__name__="app.req_m", db="mine"} 1 @1700000000123"#,
            r#"{__name__="cpu_n", db="telegraf", host="a b"} 3 @1700000000000"#,
            r#"{__name__="cpu_on", db="telegraf", host="a b"} 1 @1700000000000"#,
            r#"{__name__="cpu_usage", db="telegraf", host="a b"} 0.5 @1700000000000"#,
        ]
    );
}

#[test]
fn the_last_value_of_a_millisecond_wins_and_a_retry_is_harmless() {
    let (_dir, db) = db();
    let body = b"m f=1 1700000000000000000\nm f=2 1700000000000000001\n";
    for _ in 0..2 {
        let outcome = ingest(&db, body, &request(), &settings()).unwrap();
        assert_eq!((outcome.report.stored, outcome.dropped), (2, 0));
    }
    assert_eq!(stored(&db), [r#"{__name__="m_f", db="telegraf"} 2 @1700000000000"#]);
}

#[test]
fn tags_in_another_order_are_the_same_series_and_databases_are_apart() {
    let (_dir, db) = db();
    ingest(&db, b"m,a=1,b=2 f=1 1", &request(), &settings()).unwrap();
    ingest(&db, b"m,b=2,a=1 f=2 2000000", &request(), &settings()).unwrap();
    let other = Request { database: "other".to_owned(), ..request() };
    ingest(&db, b"m,a=1,b=2 f=3 1", &other, &settings()).unwrap();
    assert_eq!(stored(&db).len(), 3);
    assert_eq!(db.stats().num_series, 2);
}

#[test]
fn bad_lines_are_named_once_and_good_ones_stored() {
    let (_dir, db) = db();
    let long = "x".repeat(5000);
    let body = format!("m f=1 1\nm,t= a=1,b=2 1\nm f= 1\nm,t={long} a=1,b=2 1\nm f=2 2000000\n");
    let outcome = ingest(&db, body.as_bytes(), &request(), &settings()).unwrap();
    assert_eq!((outcome.report.stored, outcome.num_bad, outcome.dropped), (2, 3, 0));
    let messages: Vec<&str> = outcome.bad.iter().map(|bad| bad.message.as_str()).collect();
    assert_eq!(messages[0], "unable to parse 'm,t= a=1,b=2 1': missing tag value");
    assert_eq!(messages[1], "unable to parse 'm f= 1': missing field value");
    assert!(
        messages[2].ends_with("...': label value is 5000 bytes, limit 4096"),
        "{}",
        messages[2]
    );
    assert!(messages[2].len() < 400);
    assert_eq!(outcome.bad.iter().map(|bad| bad.number).collect::<Vec<_>>(), [2, 3, 4]);
}

#[test]
fn a_wholly_bad_body_has_a_short_report() {
    let (_dir, db) = db();
    let body = "bad\n".repeat(10_000);
    let outcome = ingest(&db, body.as_bytes(), &request(), &settings()).unwrap();
    assert_eq!((outcome.num_bad, outcome.bad.len()), (10_000, MAX_QUOTED));
    assert_eq!(outcome.bad.last().unwrap().number, 10);
}

#[test]
fn all_or_nothing_stores_nothing() {
    let (_dir, db) = db();
    let strict = Request { all_or_nothing: true, ..request() };
    for body in [&b"m f=1\nbad"[..], b"m f=1\nm,t= f=1"] {
        let outcome = ingest(&db, body, &strict, &settings()).unwrap();
        assert_eq!((outcome.num_bad, outcome.report.stored), (1, 0));
    }
    assert!(stored(&db).is_empty());
}

#[test]
fn points_out_of_bounds_are_counted_beside_bad_lines() {
    let (_dir, db) = db();
    let body = b"m f=1 1700009999000000000\nbad\nm f=1 1700000000000000000";
    let outcome = ingest(&db, body, &request(), &settings()).unwrap();
    assert_eq!((outcome.report.stored, outcome.num_bad, outcome.dropped), (1, 1, 1));
    assert_eq!(outcome.reason, Some(Refusal::TooFarInFuture));
}

#[test]
fn too_many_samples_are_refused_before_storage_sees_them() {
    let (_dir, db) = db();
    let settings = Settings { max_samples: 2, ..settings() };
    let error = ingest(&db, b"m a=1,b=2\nm c=3", &request(), &settings).unwrap_err();
    assert_eq!(error.to_string(), "request has more than 2 samples");
    assert!(stored(&db).is_empty());
}
