//! The fuzz targets on stable: over their seeds and past failures.

#[path = "../fuzz/checks.rs"]
mod checks;

use std::path::Path;

/// Runs `check` over every seed of a target and returns how many there are and how many it took.
fn replay(target: &str, check: impl Fn(&[u8]) -> bool) -> (usize, usize) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let (mut all, mut taken) = (0, 0);
    for entry in std::fs::read_dir(seeds).expect("the seeds are files of this repository") {
        let bytes = std::fs::read(entry.expect("readable").path()).expect("readable");
        all += 1;
        taken += usize::from(check(&bytes));
    }
    (all, taken)
}

#[test]
fn log_records_are_refused_or_mean_what_they_say() {
    let (all, taken) = replay("wal_record", checks::wal_record);
    assert!(all >= 8 && taken >= 4 && taken < all, "{taken} of {all} seeds are records");
}
