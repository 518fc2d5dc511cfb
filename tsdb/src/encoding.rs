//! The primitives of every disk format: bit streams, variable-length integers, checksums.

pub mod bits;
pub mod varint;

use crate::sabotage::{self, Sabotage};

/// CRC-32C (Castagnoli) of `bytes`, the checksum of every record, chunk and page.
pub fn crc(bytes: &[u8]) -> u32 {
    if sabotage::is(Sabotage::CrcIgnored) {
        return 0;
    }
    crc32c::crc32c(bytes)
}

/// CRC-32C of the bytes whose checksum is `before`, followed by `bytes`.
pub fn crc_append(before: u32, bytes: &[u8]) -> u32 {
    if sabotage::is(Sabotage::CrcIgnored) {
        return 0;
    }
    crc32c::crc32c_append(before, bytes)
}
