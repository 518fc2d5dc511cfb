//! Every decoder of bytes from disk, behind checksums that say nothing: damage to a data directory gives errors or
//! other values, never a panic, and allocates no more than its files explain (reliability contract, R10, G1).
//!
//! `cargo test -p tsdb --features sabotage --test decoders`; `DECODER_RUNS` sets the number of damaged
//! directories (2,000) and `DECODER_SEED` what is done to them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the counts are the test's result")]
#![expect(unsafe_code, reason = "an allocator that counts cannot be written without")]

#[path = "../fuzz/directory.rs"]
mod directory;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Bytes that one allocation may have: far more than any file of the directory, far less than a length that
/// was believed.
const MOST: usize = 64 << 20;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, which notes the largest allocation.
struct Noting;

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `realloc`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

fn number(name: &str, or: u64) -> u64 {
    std::env::var(name).map_or(or, |n| n.parse().unwrap())
}

#[test]
fn damage_behind_the_checksums_never_panics() {
    assert!(directory::check(&[]), "it opens undamaged");
    let (runs, seed) = (number("DECODER_RUNS", 2000), number("DECODER_SEED", 1));
    let (mut opened, mut slowest) = (0, Duration::ZERO);
    for run in 0..runs {
        let mut state = (seed << 32 | run).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()
        };
        // One damage shows more than many: those behind the first are mostly not reached.
        let num_edits = 1 + usize::from(random()[0]) % 3;
        let edits: Vec<u8> = (0..num_edits).flat_map(|_| random()[..6].to_vec()).collect();
        println!("run {run}: {edits:?}");
        let began = Instant::now();
        opened += u64::from(directory::check(&edits));
        slowest = slowest.max(began.elapsed());
        let largest = LARGEST.load(Ordering::Relaxed);
        assert!(largest <= MOST, "an allocation of {largest} bytes");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
    println!("{opened} of {runs} opened, slowest {slowest:?}");
    assert!(opened > runs / 4, "damage to one file leaves the others");
}

#[test]
fn the_seeds_of_the_fuzz_target_do_no_harm() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/directory");
    let mut num_seeds = 0;
    for entry in std::fs::read_dir(seeds).unwrap() {
        directory::check(&std::fs::read(entry.unwrap().path()).unwrap());
        num_seeds += 1;
    }
    assert!(num_seeds > 0);
}
