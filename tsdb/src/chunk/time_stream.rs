//! The times of open chunks as a stream: delta-of-delta as in Gorilla (VLDB 2015), in buckets of 6,
//! 14, 20 and 64 bits. The 6-bit one halves the size under the few milliseconds of jitter that scrapes have.
//! Values have a stream of their own ([`super::value_stream`]), because the series of a scrape share their times.

use std::sync::Arc;

use model::ColumnId;

use super::Truncated;
use crate::encoding::bits::{BitReader, BitWriter};

/// Samples in a full chunk of the head: two hours at 15 s, what a column codec wants to see at once.
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

/// Times that increase, encoded as they come.
#[derive(Debug, Clone)]
pub struct TimeStream {
    bits: BitWriter,
    count: u16,
    mint: i64,
    maxt: i64,
    delta: i64,
    hash: ColumnHash,
}

/// A stream of times with what it takes to go on.
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

impl TimeStream {
    /// The stream of one time; `seed` is the process's.
    pub fn new(t: i64, seed: u64) -> Self {
        let mut hash = ColumnHash { low: seed, high: !seed };
        hash.push(t);
        let mut bits = BitWriter::new();
        bits.write(t.cast_unsigned(), 64);
        Self { bits, count: 1, mint: t, maxt: t, delta: 0, hash }
    }

    /// The stream of `times`; `None` where there are none.
    pub fn of(times: &[i64], seed: u64) -> Option<Self> {
        let (first, rest) = times.split_first()?;
        let mut stream = Self::new(*first, seed);
        for t in rest {
            stream.push(*t);
        }
        Some(stream)
    }

    /// Appends a time, which must be newer than [`TimeStream::maxt`].
    pub fn push(&mut self, t: i64) {
        debug_assert!(t > self.maxt, "times increase");
        let delta = t.wrapping_sub(self.maxt);
        write_dod(&mut self.bits, delta.wrapping_sub(self.delta));
        (self.delta, self.maxt) = (delta, t);
        self.count += 1;
        self.hash.push(t);
    }

    /// Number of times.
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// First time.
    pub const fn mint(&self) -> i64 {
        self.mint
    }

    /// Last time.
    pub const fn maxt(&self) -> i64 {
        self.maxt
    }

    /// Names the column so far.
    pub fn id(&self) -> ColumnId {
        self.hash.id()
    }

    /// Bytes of memory outside the struct.
    pub fn heap_bytes(&self) -> usize {
        self.bits.heap_bytes()
    }

    /// The encoded times so far.
    pub fn to_bytes(&self) -> Arc<[u8]> {
        let mut bytes = Vec::new();
        self.bits.copy_to(&mut bytes);
        bytes.into()
    }

    /// The first `count` times.
    pub fn decode(&self, count: u16) -> Vec<i64> {
        let mut times = Vec::new();
        decode_times(&self.to_bytes(), count.min(self.count), &mut times)
            .expect("a stream holds the times that were pushed");
        times
    }

    /// The times so far, with what it takes to go on.
    pub fn save(&self) -> SavedTimes {
        SavedTimes {
            mint: self.mint,
            maxt: self.maxt,
            count: self.count,
            column: self.id(),
            delta: self.delta,
            num_bits: self.bits.num_bits(),
            bytes: self.to_bytes(),
        }
    }

    /// Goes on where [`TimeStream::save`] was; `None` where that cannot be.
    pub fn resume(saved: &SavedTimes) -> Option<Self> {
        let column = saved.column.0;
        let high = u64::try_from(column >> 64).ok()?;
        let low = u64::try_from(column & u128::from(u64::MAX)).ok()?;
        let mut times = Vec::new();
        decode_times(&saved.bytes, saved.count, &mut times).ok()?;
        if times.first() != Some(&saved.mint) || times.last() != Some(&saved.maxt) {
            return None;
        }
        Some(Self {
            bits: BitWriter::resume(&saved.bytes, saved.num_bits)?,
            count: saved.count,
            mint: saved.mint,
            maxt: saved.maxt,
            delta: saved.delta,
            hash: ColumnHash { low, high },
        })
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

/// Appends the first `count` times of a stream to `out`.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_times_have_equal_ids_and_others_do_not() {
        let id = |times: &[i64]| TimeStream::of(times, 1).unwrap().id();
        assert_eq!(id(&[1, 2, 3]), id(&[1, 2, 3]));
        for other in [&[1, 2][..], &[1, 2, 4], &[0, 2, 3], &[1, 2, 3, 4]] {
            assert_ne!(id(&[1, 2, 3]), id(other));
        }
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let bytes = TimeStream::of(&[1, 20, 1 << 40], 1).unwrap().to_bytes();
        for n in 0..bytes.len() {
            assert_eq!(decode_times(&bytes[..n], 3, &mut Vec::new()), Err(Truncated));
        }
    }

    #[test]
    fn what_was_saved_wrongly_does_not_go_on() {
        let saved = TimeStream::of(&[1, 20, 40], 1).unwrap().save();
        assert!(TimeStream::resume(&saved).is_some());
        assert!(TimeStream::resume(&SavedTimes { mint: 2, ..saved.clone() }).is_none());
        assert!(TimeStream::resume(&SavedTimes { count: 2, ..saved.clone() }).is_none());
        assert!(TimeStream::resume(&SavedTimes { num_bits: 1 << 20, ..saved }).is_none());
    }

    proptest! {
        #[test]
        fn decoding_inverts_encoding(
            start in any::<i64>(),
            steps in proptest::collection::vec(
                prop_oneof![Just(15_000_i64), 1..40_000_i64, 1..i64::MAX >> 10], 1..300),
        ) {
            let mut t = start >> 2;
            let times: Vec<i64> = steps.iter().map(|step| { t = t.saturating_add(*step); t }).collect();
            let stream = TimeStream::of(&times, 1).unwrap();
            for n in [1, times.len().div_ceil(2), times.len()] {
                prop_assert_eq!(&stream.decode(u16::try_from(n).unwrap()), &times[..n]);
            }
            // The same in two goes.
            let (first, second) = times.split_at(times.len().div_ceil(2));
            let mut resumed = TimeStream::resume(&TimeStream::of(first, 1).unwrap().save()).unwrap();
            for t in second { resumed.push(*t); }
            prop_assert_eq!(resumed.save(), stream.save());
        }
    }
}
