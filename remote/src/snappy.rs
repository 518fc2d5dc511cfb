//! Snappy's block format, which remote write and remote read use for every body.

/// Why a body could not be decompressed; the output is then empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnappyError {
    /// Not a snappy block, or a damaged one.
    #[error("snappy: corrupt input")]
    Corrupt,
    /// The block declares more than the limit.
    #[error("decoded size exceeds the {limit} bytes limit")]
    TooLarge {
        /// Size that the block declares, bytes.
        declared: u64,
        /// The limit, bytes.
        limit: usize,
    },
}

/// No block is longer than this many times its compressed bytes: the densest element is a copy of
/// 64 bytes in three.
const MAX_RATIO: usize = 22;

/// Decompresses `body` into `out`, whose capacity is reused and whose content is replaced.
///
/// The declared length is checked against `limit`, and against what `body` could hold, before
/// anything is allocated.
///
/// # Errors
/// [`SnappyError`]; `out` is then empty.
pub fn decompress(body: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), SnappyError> {
    let done = fill(body, limit, out);
    if done.is_err() {
        out.clear();
    }
    done
}

fn fill(body: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), SnappyError> {
    let declared = snap::raw::decompress_len(body).map_err(|e| match e {
        snap::Error::TooBig { given, .. } => SnappyError::TooLarge { declared: given, limit },
        _ => SnappyError::Corrupt,
    })?;
    if declared > limit {
        return Err(SnappyError::TooLarge { declared: declared as u64, limit });
    }
    if body.is_empty() || declared > body.len().saturating_mul(MAX_RATIO) {
        return Err(SnappyError::Corrupt);
    }
    // Without a clear before it: only bytes that `out` never had are zeroed.
    out.resize(declared, 0);
    let written = snap::raw::Decoder::new().decompress(body, out);
    if written == Ok(declared) { Ok(()) } else { Err(SnappyError::Corrupt) }
}

/// Compresses `body` into one block.
///
/// # Panics
/// If `body` is 4 GiB or longer, which the format cannot say.
pub fn compress(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).expect("a body is below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    const LIMIT: usize = 32 << 20;

    #[test]
    fn a_declared_length_over_the_limit_is_refused_without_allocation() {
        let four_gib_less_one = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x61];
        let mut out = Vec::new();
        assert_eq!(
            decompress(&four_gib_less_one, LIMIT, &mut out),
            Err(SnappyError::TooLarge { declared: u64::from(u32::MAX), limit: LIMIT })
        );
        assert_eq!(out.capacity(), 0);
        let exactly = compress(&vec![7; 1000]);
        assert_eq!(decompress(&exactly, 1000, &mut out), Ok(()));
        let e = decompress(&exactly, 999, &mut out).unwrap_err();
        assert_eq!(e.to_string(), "decoded size exceeds the 999 bytes limit");
    }

    #[test]
    fn a_length_that_the_body_cannot_hold_is_corrupt_without_allocation() {
        let mut body = Vec::new();
        prost::encoding::encode_varint(LIMIT as u64, &mut body);
        body.extend([0x00, 0x61, 0xfe, 0x01, 0x00]);
        let mut out = Vec::new();
        assert_eq!(decompress(&body, LIMIT, &mut out), Err(SnappyError::Corrupt));
        assert_eq!(out.capacity(), 0);
    }

    #[test]
    fn the_longest_run_of_one_byte_is_below_the_ratio() {
        let mut out = Vec::new();
        for n in [0, 1, 2, 60, 64, 65, 128, 1 << 16, 1 << 24] {
            let text = vec![b'a'; n];
            decompress(&compress(&text), LIMIT, &mut out).unwrap();
            assert_eq!(out, text, "{n} bytes");
        }
    }

    #[test]
    fn what_is_not_a_block_is_corrupt_and_leaves_nothing() {
        let mut out = Vec::new();
        let whole = compress(b"a text that is long enough to hold a copy, a copy, a copy");
        for body in [&b""[..], &[0x80], &[0x05, 0x00], &[0x01, 0x01, 0x00], &[0xff; 12]] {
            out.extend(b"old");
            assert_eq!(decompress(body, LIMIT, &mut out), Err(SnappyError::Corrupt), "{body:x?}");
            assert!(out.is_empty());
        }
        for cut in 0..whole.len() {
            assert_eq!(decompress(&whole[..cut], LIMIT, &mut out), Err(SnappyError::Corrupt));
        }
        let e = decompress(&[], LIMIT, &mut out).unwrap_err();
        assert_eq!(e.to_string(), "snappy: corrupt input");
    }

    proptest! {
        #[test]
        fn decompress_inverts_compress(texts in vec(vec(0..4_u8, 0..2000), 1..4)) {
            let mut out = Vec::new();
            for text in texts {
                decompress(&compress(&text), LIMIT, &mut out).unwrap();
                prop_assert_eq!(&out, &text);
            }
        }

        #[test]
        fn damaged_bytes_are_an_error_or_within_the_limit(
            text in vec(0..4_u8, 0..500),
            flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut body = compress(&text);
            for (at, byte) in flips {
                *at.get_mut(&mut body) = byte;
            }
            let mut out = Vec::new();
            if decompress(&body, 4096, &mut out).is_ok() {
                prop_assert!(out.len() <= 4096);
            }
        }
    }
}
