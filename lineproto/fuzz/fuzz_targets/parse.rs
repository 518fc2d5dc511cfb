//! The parser against the slow decoder, over any bytes.
#![no_main]

#[path = "../oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|body: &[u8]| oracle::check(body));
