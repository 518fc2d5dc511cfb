//! A query over a tiny store ends without a panic and gives its memory back.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../tiny_store.rs"]
mod tiny_store;

fuzz_target!(|text: &str| tiny_store::evaluate(text));
