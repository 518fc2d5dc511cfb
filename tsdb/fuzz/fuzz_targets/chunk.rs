//! Any bytes as the values, times or histograms of a chunk.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks.rs"]
mod checks;

fuzz_target!(|bytes: &[u8]| {
    checks::chunk(bytes);
});
