//! Every bit of a small data directory is damaged in turn: the check finds it, a start with it
//! shows nothing that was not written, and a repaired directory opens.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the counts are the test's result")]

mod damage;

use std::path::Path;
use std::sync::Arc;

use tsdb::fs::Fs;
use tsdb::verify::{Kind, repair::repair};

use damage::{DIR, Samples, append, check, damage_all, populated, read, try_open};

/// A log that ends earlier, with a whole record, is a log: nothing says what came behind it. There
/// are at most `unnoticed` such places.
fn every_damage(clean: bool, unnoticed: usize) {
    let done = damage_all(clean, true, &mut |_| {}).unwrap();
    println!("{done:?}");
    assert!(
        done.flips > 8 * 1000 && done.cuts > 1000 && done.unnoticed.len() <= unnoticed,
        "{done:?}"
    );
}

#[test]
fn every_flip_and_cut_of_a_directory_after_a_crash_is_found() {
    every_damage(false, 3);
}

#[test]
fn every_flip_and_cut_of_a_directory_after_a_clean_stop_is_found() {
    every_damage(true, 0);
}

#[test]
fn a_repair_moves_damage_aside_and_rebuilds_the_manifest() {
    let (fs, _, there) = populated(false);
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let manifest = Path::new(DIR).join("MANIFEST");
    fs.edit(&manifest, Vec::clear).unwrap();
    assert!(try_open(&fs).is_err(), "a start refuses to guess");
    let (report, done) = repair(&shared, Path::new(DIR)).unwrap();
    assert!(report.is_damaged() && done.len() == 2, "{done:?}");
    assert!(fs.exists(&Path::new(DIR).join("quarantine/MANIFEST.damaged")).unwrap());
    let db = try_open(&fs).unwrap().0;
    let mut found = read(&db).unwrap();
    // The delete was in the log, too.
    assert_eq!(found.len(), there.len());
    found.retain(|key, bits| there.get(key) != Some(bits));
    assert_eq!(found, Samples::new());
    append(&db, &[("a", 800_000, 1.0), ("new", 800_000, 1.0)]);
    db.close().unwrap();
    drop(db);
    assert!(!check(&fs).is_damaged());

    let block =
        fs.read_dir(Path::new(DIR)).unwrap().into_iter().find(|e| e.name.len() == 26).unwrap();
    let dir = Path::new(DIR).join(&block.name);
    fs.edit(&dir.join("chunks"), |bytes| bytes[20] ^= 4).unwrap();
    assert!(check(&fs).is_damaged());
    repair(&shared, Path::new(DIR)).unwrap();
    assert!(fs.exists(&Path::new(DIR).join("quarantine").join(&block.name).join("meta")).unwrap());
    assert_eq!(check(&fs).findings, []);
    assert!(read(&try_open(&fs).unwrap().0).unwrap().len() < there.len() + 2);
}

#[test]
fn what_an_interrupted_step_leaves_is_no_damage() {
    let (fs, _, _) = populated(true);
    let dir = Path::new(DIR);
    fs.create_dir(&dir.join("01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp")).unwrap();
    fs.create_dir(&dir.join("snapshots")).unwrap();
    let found = check(&fs).findings;
    assert_eq!(found.iter().map(|f| f.kind).collect::<Vec<_>>(), [Kind::Leftover]);
}

#[test]
fn a_directory_that_is_open_is_not_repaired() {
    let (fs, ..) = populated(true);
    let _db = try_open(&fs).unwrap();
    let shared: Arc<dyn Fs> = Arc::new(fs);
    assert!(repair(&shared, Path::new(DIR)).is_err());
}
