//! Eight bytes at a time, in an integer whose lowest byte is the first one.

#![deny(clippy::indexing_slicing)]

/// The eight bytes at `at`, if the body has them.
#[inline]
pub(crate) fn word(body: &[u8], at: usize) -> Option<u64> {
    body.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// A word of eight bytes `b`.
#[inline]
pub(crate) const fn every(b: u8) -> u64 {
    u64::from_le_bytes([b; 8])
}

/// How many of the first bytes are plain: ASCII from `@` up to `~`, letters among them, but no
/// digit, separator, control character or part of a longer character.
#[inline]
pub(crate) fn num_plain(word: u64) -> usize {
    let high = word & every(0x80);
    // Bit 6 is clear below `@`. The shift moves it to bit 7; what else it moves is masked.
    let low = !(word << 1) & every(0x80);
    // Adding 1 to the lower seven bits reaches bit 7 from 0x7f alone.
    let delete = (word & every(0x7f)).wrapping_add(every(1)) & every(0x80);
    (high | low | delete).trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_bytes_are_counted_from_the_first() {
        for at in 0..8 {
            for b in 0..=255_u8 {
                let mut bytes = *b"abcdefgh";
                *bytes.get_mut(at).unwrap() = b;
                let plain = (b'@'..=b'~').contains(&b);
                let want = if plain { 8 } else { at };
                assert_eq!(num_plain(word(&bytes, 0).unwrap()), want, "{bytes:?}");
            }
        }
        assert_eq!(word(b"1234567", 0), None);
        assert_eq!(word(b"12345678", 1), None);
        assert_eq!(word(b"12345678", usize::MAX), None);
    }
}
