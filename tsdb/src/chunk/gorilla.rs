//! The open chunk of the head: Gorilla (VLDB 2015), times and values in streams of their own.
//!
//! Two streams instead of one, because the series of a scrape share their times: a reader that
//! holds the times already decodes only the values. Times are delta-of-delta with buckets of 6,
//! 14, 20 and 64 bits: the 6-bit one halves the size under the few milliseconds of jitter that
//! scrapes have. Values are the XOR with the value before, in a window of meaningful bits that is
//! reused while it fits.

use std::sync::Arc;

use model::ColumnId;

use crate::encoding::bits::{BitReader, BitWriter};

/// Samples in a full chunk: two hours at 15 s, what a column codec wants to see at once.
pub const MAX_SAMPLES: u16 = 480;

/// A column of times as it grows: the running hash names it without decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct ColumnHash {
    low: u64,
    high: u64,
}

impl ColumnHash {
    /// Mixes in a time. Two multiplications with the high half folded in, in lanes that differ in
    /// their constants; the process seed keeps equal ids from being prepared.
    #[inline]
    fn push(&mut self, t: i64) {
        const LOW: u64 = 0x9e37_79b9_7f4a_7c15;
        const HIGH: u64 = 0xd6e8_feb8_6659_fd93;
        self.low = fold(self.low ^ t.cast_unsigned(), LOW).rotate_left(23);
        self.high = fold(self.high.wrapping_add(t.cast_unsigned()), HIGH) ^ self.low;
    }

    fn id(self) -> ColumnId {
        ColumnId(u128::from(self.high) << 64 | u128::from(self.low))
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
    let halves = (wide as u64, (wide >> 64) as u64);
    halves.0 ^ halves.1 ^ a.rotate_left(32)
}

/// Appends samples in time order.
#[derive(Debug, Clone)]
pub struct GorillaChunk {
    times: BitWriter,
    values: BitWriter,
    count: u16,
    leading: u8,
    significant: u8,
    mint: i64,
    maxt: i64,
    delta: i64,
    last: u64,
    hash: ColumnHash,
}

/// The samples of a chunk that grows no more.
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
    /// The encoded times; chunks that were restored together share them.
    pub times: Arc<[u8]>,
    /// The encoded values.
    pub values: Box<[u8]>,
}

/// A column of times that may grow on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedTimes {
    /// First time, ms.
    pub mint: i64,
    /// Last time, ms.
    pub maxt: i64,
    /// Number of times.
    pub count: u16,
    /// Names the column so far.
    pub column: ColumnId,
    /// The last step, ms.
    pub delta: i64,
    /// Bits of `bytes` that are in use.
    pub num_bits: usize,
    /// The encoded times.
    pub bytes: Arc<[u8]>,
}

/// Where a column of values goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedValues {
    /// Bits in use.
    pub num_bits: usize,
    /// Zero bits above the window; 255 before the first.
    pub leading: u8,
    /// Bits of the window.
    pub significant: u8,
    /// Bits of the last value.
    pub last: u64,
}

/// The bytes of a chunk do not hold as many samples as they should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chunk ends early")]
pub struct Truncated;

impl GorillaChunk {
    /// An empty chunk; `seed` is the process's.
    pub const fn new(seed: u64) -> Self {
        Self {
            times: BitWriter::new(),
            values: BitWriter::new(),
            count: 0,
            leading: u8::MAX,
            significant: 0,
            mint: i64::MAX,
            maxt: i64::MIN,
            delta: 0,
            last: 0,
            hash: ColumnHash { low: seed, high: !seed },
        }
    }

    /// Number of samples.
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// First time; `i64::MAX` while empty.
    pub const fn mint(&self) -> i64 {
        self.mint
    }

    /// Last time; `i64::MIN` while empty.
    pub const fn maxt(&self) -> i64 {
        self.maxt
    }

    /// Bytes of memory outside the struct.
    pub fn heap_bytes(&self) -> usize {
        self.times.heap_bytes() + self.values.heap_bytes()
    }

    /// Appends a sample; `t` must be newer than [`GorillaChunk::maxt`].
    pub fn append(&mut self, t: i64, v: f64) {
        debug_assert!(self.count == 0 || t > self.maxt, "times increase");
        let bits = v.to_bits();
        if self.count == 0 {
            self.times.write(t.cast_unsigned(), 64);
            self.values.write(bits, 64);
            self.mint = t;
        } else {
            let delta = t.wrapping_sub(self.maxt);
            write_dod(&mut self.times, delta.wrapping_sub(self.delta));
            self.delta = delta;
            self.write_xor(bits ^ self.last);
        }
        self.last = bits;
        self.maxt = t;
        self.count += 1;
        self.hash.push(t);
    }

    fn write_xor(&mut self, xor: u64) {
        if xor == 0 {
            self.values.write(0, 1);
            return;
        }
        let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        let (window, width) = (u32::from(self.leading), u32::from(self.significant));
        let significant = 64 - leading - trailing;
        // Reuse the window unless a new one saves more than its eleven bits of header.
        if self.leading != u8::MAX
            && leading >= window
            && trailing >= 64 - window - width
            && width < significant + 11
        {
            self.values.write_both((0b10, 2), (xor >> (64 - window - width), width));
            return;
        }
        let header = 0b11 << 11 | u64::from(leading) << 6 | u64::from(significant & 63);
        self.values.write_both((header, 13), (xor >> trailing, significant));
        self.leading = leading.to_le_bytes()[0];
        self.significant = significant.to_le_bytes()[0];
    }

    /// Appends the encoded times and values.
    pub fn copy_to(&self, times: &mut Vec<u8>, values: &mut Vec<u8>) {
        self.times.copy_to(times);
        self.values.copy_to(values);
    }

    /// The chunk as it stands, for good.
    pub fn seal(&self) -> SealedChunk {
        let (mut times, mut values) = (Vec::new(), Vec::new());
        self.copy_to(&mut times, &mut values);
        SealedChunk {
            mint: self.mint,
            maxt: self.maxt,
            count: self.count,
            column: self.hash.id(),
            times: times.into(),
            values: values.into_boxed_slice(),
        }
    }

    /// The times so far, with what it takes to go on.
    pub fn save_times(&self) -> SavedTimes {
        let mut bytes = Vec::new();
        self.times.copy_to(&mut bytes);
        SavedTimes {
            mint: self.mint,
            maxt: self.maxt,
            count: self.count,
            column: self.column(),
            delta: self.delta,
            num_bits: self.times.num_bits(),
            bytes: bytes.into(),
        }
    }

    /// The values so far, with what it takes to go on; their bytes go to `out`.
    pub fn save_values(&self, out: &mut Vec<u8>) -> SavedValues {
        self.values.copy_to(out);
        SavedValues {
            num_bits: self.values.num_bits(),
            leading: self.leading,
            significant: self.significant,
            last: self.last,
        }
    }

    /// Goes on where [`GorillaChunk::save_times`] and [`GorillaChunk::save_values`] were; `None` where
    /// that cannot be.
    pub fn resume(times: &SavedTimes, saved: SavedValues, values: &[u8]) -> Option<Self> {
        let SavedValues { leading, significant, .. } = saved;
        let window = leading == u8::MAX || u32::from(leading) + u32::from(significant) <= 64;
        let column = times.column.0;
        let halves = (u64::try_from(column >> 64), u64::try_from(column & u128::from(u64::MAX)));
        let (Ok(high), Ok(low)) = halves else { return None };
        (window && times.count > 0).then_some(())?;
        Some(Self {
            times: BitWriter::resume(&times.bytes, times.num_bits)?,
            values: BitWriter::resume(values, saved.num_bits)?,
            count: times.count,
            leading,
            significant,
            mint: times.mint,
            maxt: times.maxt,
            delta: times.delta,
            last: saved.last,
            hash: ColumnHash { low, high },
        })
    }

    /// Bits of the newest value.
    pub const fn last_bits(&self) -> u64 {
        self.last
    }

    /// Names the column of times so far.
    pub fn column(&self) -> ColumnId {
        self.hash.id()
    }
}

fn write_dod(out: &mut BitWriter, dod: i64) {
    let fits = |bits: u32| (-(1 << (bits - 1)) + 1..=1 << (bits - 1)).contains(&dod);
    let low = |bits: u32| dod.cast_unsigned() & (u64::MAX >> (64 - bits));
    if dod == 0 {
        out.write(0, 1);
    } else if fits(6) {
        out.write(0b10 << 6 | low(6), 8);
    } else if fits(14) {
        out.write(0b110 << 14 | low(14), 17);
    } else if fits(20) {
        out.write(0b1110 << 20 | low(20), 24);
    } else {
        out.write(0b1111, 4);
        out.write(dod.cast_unsigned(), 64);
    }
}

fn read_dod(bits: &mut BitReader<'_>) -> i64 {
    let width = match bits.ones(4) {
        0 => return 0,
        1 => 6,
        2 => 14,
        3 => 20,
        _ => return bits.read(64).cast_signed(),
    };
    let v = bits.read(width).cast_signed();
    if v > 1 << (width - 1) { v - (1 << width) } else { v }
}

/// Appends the `count` times of a column to `out`.
///
/// # Errors
/// [`Truncated`] where the bytes end early; `out` may then hold some times.
pub fn decode_times(bytes: &[u8], count: u16, out: &mut Vec<i64>) -> Result<(), Truncated> {
    let mut bits = BitReader::new(bytes);
    if count == 0 {
        return Ok(());
    }
    let (mut t, mut delta) = (bits.read(64).cast_signed(), 0_i64);
    out.reserve(usize::from(count));
    out.push(t);
    for _ in 1..count {
        delta = delta.wrapping_add(read_dod(&mut bits));
        t = t.wrapping_add(delta);
        out.push(t);
    }
    if bits.overrun() { Err(Truncated) } else { Ok(()) }
}

/// Appends values `skip..skip + take` of the `count` values of a column to `out`.
///
/// # Errors
/// [`Truncated`] where the bytes end early; `out` may then hold some values.
pub fn decode_values(
    bytes: &[u8],
    count: u16,
    skip: usize,
    take: usize,
    out: &mut Vec<f64>,
) -> Result<(), Truncated> {
    let end = (skip + take).min(usize::from(count));
    if end == 0 {
        return Ok(());
    }
    let mut bits = BitReader::new(bytes);
    let mut v = bits.read(64);
    let (mut window, mut width) = (0, 0);
    let start = out.len();
    out.reserve(end);
    out.push(f64::from_bits(v));
    let mut left = end - 1;
    while left > 0 {
        // One look for marker, header and mostly the bits too.
        let word = bits.front();
        let repeats = word.leading_zeros().min(BitReader::FRONT);
        if repeats > 0 {
            let run = left.min(repeats as usize);
            out.extend(std::iter::repeat_n(f64::from_bits(v), run));
            bits.pass(run);
            left -= run;
            continue;
        }
        let mut header = 2;
        if word >> 62 == 0b11 {
            header = 13;
            window = (word << 2 >> 59).to_le_bytes()[0].into();
            width = match (word << 7 >> 58).to_le_bytes()[0] {
                0 => 64,
                n => u32::from(n),
            };
        }
        let trailing = 64_u32.checked_sub(window + width).ok_or(Truncated)?;
        let xor = if width > 0 && header + width <= BitReader::FRONT {
            bits.pass((header + width) as usize);
            word << header >> (64 - width)
        } else {
            bits.pass(header as usize);
            bits.read(width)
        };
        v ^= xor << (trailing & 63);
        out.push(f64::from_bits(v));
        left -= 1;
    }
    out.drain(start..start + skip.min(end));
    if bits.overrun() { Err(Truncated) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(chunk: &SealedChunk) -> Vec<(i64, u64)> {
        let (mut times, mut values) = (Vec::new(), Vec::new());
        decode_times(&chunk.times, chunk.count, &mut times).unwrap();
        decode_values(&chunk.values, chunk.count, 0, times.len(), &mut values).unwrap();
        times.into_iter().zip(values.iter().map(|v| v.to_bits())).collect()
    }

    fn chunk(samples: &[(i64, f64)]) -> GorillaChunk {
        let mut c = GorillaChunk::new(1);
        for (t, v) in samples {
            c.append(*t, *v);
        }
        c
    }

    #[test]
    fn equal_times_have_equal_column_ids_and_others_do_not() {
        let id =
            |times: &[i64]| chunk(&times.iter().map(|t| (*t, 0.0)).collect::<Vec<_>>()).column();
        assert_eq!(id(&[1, 2, 3]), id(&[1, 2, 3]));
        for other in [&[1, 2][..], &[1, 2, 4], &[0, 2, 3], &[1, 2, 3, 4]] {
            assert_ne!(id(&[1, 2, 3]), id(other));
        }
    }

    #[test]
    fn a_cut_chunk_is_an_error() {
        let c = chunk(&[(1, 1.5), (20, 2.25), (1 << 40, f64::NAN)]).seal();
        for n in 0..c.values.len() {
            assert_eq!(
                decode_values(&c.values[..n], c.count, 0, 3, &mut Vec::new()),
                Err(Truncated)
            );
        }
        for n in 0..c.times.len() {
            assert_eq!(decode_times(&c.times[..n], c.count, &mut Vec::new()), Err(Truncated));
        }
    }

    proptest! {
        #[test]
        fn decoding_inverts_encoding(
            start in any::<i64>(),
            steps in proptest::collection::vec((prop_oneof![Just(15_000_i64), 1..40_000_i64, 1..i64::MAX >> 10],
                prop_oneof![any::<u64>(), (0..1000_u64).prop_map(|v| f64::from(u32::try_from(v).unwrap()).to_bits()),
                    Just(model::STALE_NAN), Just(1.25_f64.to_bits())]), 1..300),
            skip in 0..300_usize,
        ) {
            let mut t = start >> 2;
            let samples: Vec<(i64, u64)> = steps.iter().map(|(d, v)| { t = t.saturating_add(*d); (t, *v) }).collect();
            let samples: Vec<_> = samples.windows(2).filter(|w| w[0].0 < w[1].0).map(|w| w[0]).collect();
            prop_assume!(!samples.is_empty());
            let c = chunk(&samples.iter().map(|(t, v)| (*t, f64::from_bits(*v))).collect::<Vec<_>>()).seal();
            prop_assert_eq!(decode(&c), samples.clone());
            // The same in two goes.
            let at = samples.len().div_ceil(2);
            let (first, second) = samples.split_at(at);
            let first = chunk(&first.iter().map(|(t, v)| (*t, f64::from_bits(*v))).collect::<Vec<_>>());
            let (times, mut values) = (first.save_times(), Vec::new());
            let saved = first.save_values(&mut values);
            let mut again = GorillaChunk::resume(&times, saved, &values).unwrap();
            for (t, v) in second {
                again.append(*t, f64::from_bits(*v));
            }
            prop_assert_eq!(again.seal(), c.clone());
            let mut tail = Vec::new();
            decode_values(&c.values, c.count, skip, 7, &mut tail).unwrap();
            let want: Vec<u64> = samples.iter().skip(skip).take(7).map(|(_, v)| *v).collect();
            prop_assert_eq!(tail.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), want);
        }
    }
}
