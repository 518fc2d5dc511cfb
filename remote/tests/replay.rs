//! Runs the fuzz targets' checks over their corpus and past crashes, and over damaged copies of
//! them, on stable.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../fuzz/checks.rs"]
mod checks;

use std::path::{Path, PathBuf};

/// Every file of a corpus, in the order of names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", dir.display());
    #[expect(clippy::disallowed_methods, reason = "the crate is pure, its corpus is files")]
    files.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// The bytes, cut at every length and with each byte changed in three ways.
fn replay(target: &str, check: fn(&[u8])) {
    for bytes in corpus(target) {
        check(&bytes);
        for cut in 0..bytes.len() {
            check(&bytes[..cut]);
        }
        let mut damaged = bytes.clone();
        for at in 0..bytes.len() {
            for byte in [bytes[at] ^ 0x80, bytes[at].wrapping_add(1), 0xff] {
                damaged[at] = byte;
                check(&damaged);
            }
            damaged[at] = bytes[at];
        }
    }
}

#[test]
fn snappy_corpus() {
    replay("snappy", checks::snappy);
}

#[test]
fn v1_corpus() {
    replay("v1", checks::v1);
}
