//! Any damage to a data directory, with checksums that say nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../directory.rs"]
mod directory;

fuzz_target!(|edits: &[u8]| {
    directory::check(edits);
});
