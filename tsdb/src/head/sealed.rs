//! A chunk of the head that grows no more.

use std::ops::Range;
use std::sync::Arc;

use model::ColumnId;

use crate::chunk::time_stream::{TimeStream, decode_times};
use crate::chunk::value_stream::decode_values;
use crate::chunk::{self, ChunkError, Encoding, Truncated};

/// Fewest samples of a chunk that is worth to be encoded anew.
const WORTH: u16 = 32;

/// The samples of a chunk that grows no more. It keeps the stream that it was written as until its series'
/// turn comes to have it encoded as blocks have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedChunk {
    /// First time, ms.
    pub mint: i64,
    /// Last time, ms.
    pub maxt: i64,
    /// Number of samples.
    pub count: u16,
    /// Names the column of times.
    pub column: ColumnId,
    /// The encoded times, shared with the series that have the same.
    pub times: Arc<[u8]>,
    /// Bytes of `times` that this chunk answers for.
    pub times_share: u32,
    /// How the values are encoded; `None` is a [`chunk::value_stream`].
    pub encoding: Option<Encoding>,
    /// The encoded values.
    pub values: Box<[u8]>,
}

impl SealedChunk {
    /// A chunk of these samples, as blocks encode it; `None` where there are none.
    pub fn of(times: &[i64], values: &[f64], seed: u64) -> Option<Self> {
        let stream = TimeStream::of(times, seed)?;
        let bytes = stream.to_bytes();
        let mut encoded = Vec::new();
        let encoding = chunk::encode(values, &mut encoded);
        Some(Self {
            mint: stream.mint(),
            maxt: stream.maxt(),
            count: stream.count(),
            column: stream.id(),
            times_share: u32::try_from(bytes.len()).expect("a chunk has few samples"),
            times: bytes,
            encoding: Some(encoding),
            values: encoded.into_boxed_slice(),
        })
    }

    /// Whether it would gain by [`SealedChunk::encoded`].
    pub const fn is_stream(&self) -> bool {
        self.encoding.is_none() && self.count >= WORTH
    }

    /// The same samples as blocks encode them; itself where its bytes are damaged.
    #[must_use]
    pub fn encoded(&self) -> Self {
        let (mut values, mut encoded) = (Vec::new(), Vec::new());
        if decode(self.encoding, &self.values, self.count, 0..self.count.into(), &mut values)
            .is_err()
        {
            return self.clone();
        }
        let encoding = chunk::encode(&values, &mut encoded);
        Self { encoding: Some(encoding), values: encoded.into_boxed_slice(), ..self.clone() }
    }

    /// Its samples.
    ///
    /// # Errors
    /// [`ChunkError`] where its bytes are damaged.
    pub fn decode(&self) -> Result<(Vec<i64>, Vec<f64>), ChunkError> {
        let (mut times, mut values) = (Vec::new(), Vec::new());
        decode_times(&self.times, self.count, &mut times)?;
        decode(self.encoding, &self.values, self.count, 0..times.len(), &mut values)?;
        Ok((times, values))
    }

    /// Bytes of memory, those of the times as far as it answers for them.
    pub const fn heap_bytes(&self) -> usize {
        self.times_share as usize + self.values.len() + size_of::<Self>() + 24
    }
}

impl From<Truncated> for ChunkError {
    fn from(_: Truncated) -> Self {
        Self("chunk ends early")
    }
}

/// Appends values `range` of the `count` of a chunk to `out`; `encoding` is as [`SealedChunk::encoding`].
///
/// # Errors
/// [`ChunkError`] where the bytes are no such chunk; `out` may then have grown.
pub fn decode(
    encoding: Option<Encoding>,
    bytes: &[u8],
    count: u16,
    range: Range<usize>,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    match encoding {
        Some(encoding) => chunk::decode(encoding, bytes, count.into(), range, out),
        None => Ok(decode_values(bytes, count, range.start, range.len(), out)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_keeps_its_samples_however_it_is_encoded() {
        let times: Vec<i64> = (0..200).map(|t| t * 1000 + t % 7).collect();
        let values: Vec<f64> = (0..200).map(|v| f64::from(v * v) / 10.0).collect();
        let chunk = SealedChunk::of(&times, &values, 1).unwrap();
        assert_eq!((chunk.mint, chunk.maxt, chunk.count), (0, times[199], 200));
        assert_eq!(chunk.decode().unwrap(), (times, values));
        assert!(!chunk.is_stream() && chunk.encoded() == chunk);
        assert_eq!(SealedChunk::of(&[], &[], 1), None);
        let cut = SealedChunk { times: chunk.times[..20].into(), ..chunk };
        assert!(cut.decode().is_err());
    }
}
