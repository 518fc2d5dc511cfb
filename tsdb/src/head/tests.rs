//! The head without a log: standings of rows, and collection while rows arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Accountant, Labels};

use super::late::LateValue;
use super::series::{Logged, Series, Standing};
use super::stripes::STRIPES;
use super::{Head, HeadOptions};
use crate::append::{AppendBatch, AppendPolicy, AppendReport, DuplicatePolicy, OpenGate, Refusal};

const POLICY: AppendPolicy = AppendPolicy {
    duplicates: DuplicatePolicy::Refuse,
    min_time_ms: i64::MIN,
    max_time_ms: 1_000_000,
    wal_mode: None,
};

fn head(max_series: u64) -> Head {
    let memory = Accountant::unlimited();
    let options = HeadOptions {
        block_range_ms: 1000,
        max_series,
        max_series_setting: "max-series",
        series_gate: Arc::new(OpenGate),
        seed: 7,
        memory,
    };
    Head::new(options, i64::MIN, 1)
}

/// Appends as if the log were durable at once.
fn append(head: &Head, rows: &[(u32, i64, f64)], policy: &AppendPolicy) -> AppendReport {
    static SEQ: AtomicU64 = AtomicU64::new(1);
    let mut batch = AppendBatch::default();
    for (s, t, v) in rows {
        let series = batch.push_series(head.hasher().hash(0, &s.to_le_bytes()));
        batch.push_sample(series, *t, *v);
    }
    let judged = head.judge(&batch, policy, &mut |i| {
        Ok(Labels::from_pairs([("__name__", format!("m{}", rows[i as usize].0))]).unwrap())
    });
    let seq = SEQ.fetch_add(1, Ordering::Relaxed);
    let (report, mask) = head.pend(judged, seq);
    head.apply(mask, u64::MAX);
    report
}

#[test]
fn a_row_stands_to_what_its_series_has_logged() {
    use Standing::{Contradicting, InOrder, Late, Repeated};
    // Newest in-order time and value, newest late time, boundary; the row; its standing.
    let never = i64::MIN;
    for (logged, late_t, boundary, t, v, want) in [
        (None, never, never, 5, 1, InOrder),
        (None, never, 6, 5, 1, Late),
        (None, never, 5, 5, 1, InOrder),
        (None, never, never, i64::MIN, 1, Late),
        (Some((10, 1)), never, never, 11, 1, InOrder),
        (Some((10, 1)), never, 12, 11, 1, Late),
        (Some((10, 1)), never, never, 9, 1, Late),
        (Some((10, 1)), never, never, 10, 1, Repeated),
        (Some((10, 1)), never, never, 10, 2, Contradicting),
        (Some((10, 1)), never, 12, 10, 2, Contradicting),
        // A late row below a raised boundary is newer than the newest in order.
        (Some((10, 1)), 11, 12, 10, 2, Late),
        (Some((10, 1)), 11, 12, 10, 1, Repeated),
        (Some((10, 1)), 10, never, 10, 2, Contradicting),
        // The boundary is lower again after a restart.
        (Some((10, 1)), 11, never, 11, 2, Late),
        (Some((10, 1)), 11, never, 12, 2, InOrder),
    ] {
        let mut series = Series::free();
        series.late_t = late_t;
        if let Some((t, v)) = logged {
            (series.logged_t, series.logged) = (t, Logged::Float(v));
        }
        let got = series.standing(t, boundary, |l| l.float_bits() == Some(v));
        assert_eq!(got, want, "{logged:?} {late_t} {boundary}: {v} at {t}");
    }
}

#[test]
fn refusals_are_counted_and_name_their_series() {
    let head = head(2);
    append(&head, &[(1, 10, 1.0), (2, 10, 1.0)], &POLICY);
    let policy = AppendPolicy { min_time_ms: 5, ..POLICY };
    let rows = [(1, 4, 1.0), (2, 1_000_001, 1.0), (3, 10, 1.0), (1, 10, 2.0), (2, 10, 1.0)];
    let report = append(&head, &rows, &policy);
    let (existing, new) = ("1".to_owned(), "2".to_owned());
    let want = [
        (0, Refusal::TooOld),
        (1, Refusal::TooFarInFuture),
        (2, Refusal::TooManySeries { limit: 2, setting: "max-series" }),
        (3, Refusal::Duplicate { t_ms: 10, existing, new }),
    ];
    assert_eq!(report.refusals, want);
    assert_eq!((report.refused, report.stored, report.repeated, report.new_series), (4, 1, 1, 0));
}

#[test]
fn collection_gives_the_memory_of_dropped_series_back() {
    let head = head(u64::MAX);
    let empty = head.heap_bytes();
    for t in 0..600 {
        append(&head, &[(1, t, 0.5), (2, t * 7, 1.5), (3, 9000 + t, 2.5)], &POLICY);
    }
    let slots = head.collect_garbage(9000, 8000);
    head.free_slots(&slots);
    assert_eq!((slots.len(), head.num_series(), head.bounds().0), (2, 1, 9000));
    let slots = head.collect_garbage(20_000, 19_000);
    head.free_slots(&slots);
    assert_eq!((head.heap_bytes(), head.num_series()), (empty, 0));
    assert_eq!(head.bounds().0, i64::MAX);
    // The slots are taken again, by others.
    append(&head, &[(9, 30_000, 1.0)], &POLICY);
    assert_eq!((head.num_series(), head.bounds()), (1, (30_000, 30_000)));
}

#[test]
fn rows_that_arrive_during_a_collection_are_not_lost() {
    let head = head(u64::MAX);
    // One run of slots in each stripe; the last series is the only one that stays.
    let rows: Vec<_> = (0..1024).map(|n| (n, if n == 1023 { 3000 } else { 10 }, 1.0)).collect();
    append(&head, &rows, &POLICY);
    head.raise_boundary(2000, || 0);
    std::thread::scope(|scope| {
        let mut last = head.stripes.lock(STRIPES - 1);
        scope.spawn(|| head.collect_garbage(2000, 1000));
        // All stripes but the last are done, and it waits for that one.
        while head.num_series() > 64 {
            std::thread::yield_now();
        }
        append(&head, &[(5000, 2500, 1.0)], &POLICY);
        let (_, series) = last.iter_mut(STRIPES - 1).next().unwrap();
        series.has_late = true;
        head.late.read().active.insert(series.id, 20, LateValue::Float(0));
    });
    assert_eq!(head.bounds(), (2500, 3000));
    assert_eq!(head.num_series(), 3, "the series with the late row is there");
}
