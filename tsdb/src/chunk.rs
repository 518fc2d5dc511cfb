//! Encoded values of one chunk. Times are encoded apart from values ([`times`]), because the
//! series of one scrape share them; a chunk of values therefore does not know its own length.
//!
//! Every encoding gives back the bits it was given, whatever they are.
//!
#![doc = include_str!("../docs/format/chunks.md")]

use std::ops::Range;

mod bins;
pub mod decimal;
pub mod histogram;
pub mod integers;
mod pfor;
pub mod time_stream;
pub mod times;
pub mod value_stream;
pub mod xor;

/// Most samples in a chunk. Longer ones compress no better, and reading a little of one costs more.
pub const MAX_SAMPLES: usize = 2048;

/// Bytes a value up to which decimals are taken without trying anything else.
const ENOUGH: usize = 3;

/// How the values of a chunk are encoded. The numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// One value for all: its eight bytes, the most significant first, trailing zero bytes dropped.
    Constant = 1,
    /// [`xor`].
    Xor = 2,
    /// [`decimal`].
    Decimal = 3,
    /// [`histogram`].
    Histogram = 4,
}

impl Encoding {
    /// The encoding with a number.
    pub const fn from_number(n: u8) -> Option<Self> {
        Some(match n {
            1 => Self::Constant,
            2 => Self::Xor,
            3 => Self::Decimal,
            4 => Self::Histogram,
            _ => return None,
        })
    }

    /// The number on disk.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// The bytes are not what the encoder writes; the text says which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ChunkError(pub &'static str);

/// The bytes of an open chunk do not hold as many samples as they should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chunk ends early")]
pub struct Truncated;

/// Appends `values`, which are not empty, in the encoding that is smallest for them.
pub fn encode(values: &[f64], out: &mut Vec<u8>) -> Encoding {
    if let Some(first) = constant(values) {
        put_trimmed(out, first);
        return Encoding::Constant;
    }
    let start = out.len();
    let is_decimal = decimal::encode(values, out);
    // Decimals that take so much are not worth their digits; others may still repeat.
    if is_decimal && out.len() - start <= values.len() * ENOUGH {
        return Encoding::Decimal;
    }
    let mut best = Encoding::Decimal;
    let mut other = Vec::new();
    if is_decimal {
        decimal::encode_bits(values, &mut other);
        if other.len() < out.len() - start {
            out.truncate(start);
            out.append(&mut other);
        }
    } else {
        decimal::encode_bits(values, out);
    }
    other.clear();
    xor::encode(values, &mut other);
    if other.len() < out.len() - start {
        best = Encoding::Xor;
        out.truncate(start);
        out.append(&mut other);
    }
    best
}

/// Appends the values `range` of a chunk of `count` floats.
///
/// # Errors
/// [`ChunkError`] where the bytes are not such a chunk or the range is not inside it; `out` may
/// then have grown.
pub fn decode(
    encoding: Encoding,
    bytes: &[u8],
    count: usize,
    range: Range<usize>,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    if range.start > range.end || range.end > count || count > MAX_SAMPLES {
        return Err(ChunkError("samples outside the chunk"));
    }
    match encoding {
        Encoding::Constant => {
            let v = trimmed(bytes).ok_or(ChunkError("constant of more than eight bytes"))?;
            out.resize(out.len() + range.len(), v);
            Ok(())
        }
        Encoding::Xor => xor::decode(bytes, range, out),
        Encoding::Decimal => decimal::decode(bytes, count, range, out),
        Encoding::Histogram => Err(ChunkError("histograms where floats should be")),
    }
}

/// The value that all have, compared by bits.
fn constant(values: &[f64]) -> Option<f64> {
    let first = *values.first()?;
    values.iter().all(|v| v.to_bits() == first.to_bits()).then_some(first)
}

/// Appends the bytes of `v`, the most significant first, without trailing zero bytes.
pub(crate) fn put_trimmed(out: &mut Vec<u8>, v: f64) -> usize {
    let bytes = v.to_bits().to_be_bytes();
    let len = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    out.extend_from_slice(&bytes[..len]);
    len
}

/// The inverse of [`put_trimmed`].
pub(crate) fn trimmed(bytes: &[u8]) -> Option<f64> {
    let mut whole = [0; 8];
    whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(f64::from_bits(u64::from_be_bytes(whole)))
}

#[cfg(test)]
pub(crate) mod tests;
