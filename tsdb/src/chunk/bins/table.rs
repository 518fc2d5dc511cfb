//! Which bins a column has, and their codes.

use std::sync::LazyLock;

use super::{GROUP, LANES, huffman};
use crate::encoding::bits::{BitReader, BitWriter};
use crate::encoding::varint::Reader;

/// Longest code.
pub(super) const MAX_CODE: u32 = 8;
/// Octaves of one sign, which are by the number of bits: a residual with its code is one load of eight bytes.
pub(super) const OCTAVES: usize = 46;
/// Most bits of a residual with its code.
pub(super) const MAX_BITS: u32 = MAX_CODE + 45;
/// Largest logarithm of the number of bins of an octave.
pub(super) const MAX_SPLIT: u32 = 3;
const PARTS: usize = 1 << MAX_SPLIT;
/// Most bins, of which [`MAX_CODE`] bits must tell each.
const MAX_BINS: usize = 256;
/// Fewer residuals are not worth a table.
const MIN_RESIDUALS: usize = 96;

const OCTAVE_BITS: u32 = 6;
const SPLIT_BITS: u32 = 2;
const LENGTH_BITS: u32 = 4;

const NEGATIVE: usize = 0;
const POSITIVE: usize = 1;

/// The numbers of one bin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bin {
    pub(super) least: i64,
    /// Distances to it have this many bits.
    pub(super) width: u32,
}

/// How the octaves of one sign are cut, from the first that is used to the last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cuts {
    pub(super) first: usize,
    /// Logarithms of the numbers of bins.
    pub(super) splits: Vec<u32>,
}

/// The bins of a column and their codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::chunk) struct Table {
    /// Of negative and of positive residuals.
    pub(super) cuts: [Cuts; 2],
    /// Zero, then those of the octaves.
    pub(super) bins: Vec<Bin>,
    /// Lengths of their codes, 0 where there is none.
    pub(super) lengths: Vec<u32>,
    pub(super) codes: Vec<u64>,
}

/// Sign, octave and eighth of it of a residual that is not 0.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "an eighth is less than eight")]
pub(super) const fn place(v: i64) -> (usize, usize, usize) {
    let size = v.unsigned_abs();
    let octave = size.ilog2();
    let part = if octave < MAX_SPLIT {
        size << (MAX_SPLIT - octave)
    } else {
        size >> (octave - MAX_SPLIT)
    };
    ((v > 0) as usize, octave as usize, part as usize % PARTS)
}

/// `n log2 n`, for numbers up to that of the samples of a chunk at hand.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn n_log_n(n: u32) -> f32 {
    static KNOWN: LazyLock<Box<[f32]>> = LazyLock::new(|| (0..=2048).map(compute).collect());
    fn compute(n: u32) -> f32 {
        if n == 0 { 0.0 } else { n as f32 * (n as f32).log2() }
    }
    KNOWN.get(n as usize).copied().unwrap_or_else(|| compute(n))
}

/// How often numbers occur, by sign, octave and eighth.
struct Counts {
    zero: u32,
    octaves: [[[u32; PARTS]; OCTAVES]; 2],
}

impl Counts {
    /// Counts; `None` where a residual has too many bits.
    fn of(residuals: &[i64]) -> Option<Self> {
        let mut counts = Self { zero: 0, octaves: [[[0; PARTS]; OCTAVES]; 2] };
        for v in residuals {
            if *v == 0 {
                counts.zero += 1;
            } else {
                let (sign, octave, part) = place(*v);
                counts.octaves[sign].get_mut(octave)?[part] += 1;
            }
        }
        Some(counts)
    }

    /// How often the bins of an octave occur that is cut into `1 << split`.
    fn bins(&self, sign: usize, octave: usize, split: u32) -> impl Iterator<Item = u32> + '_ {
        let parts = self.octaves[sign][octave].chunks(PARTS >> split);
        parts.map(|parts| parts.iter().sum())
    }

    /// The cheapest cuts of the octaves of one sign.
    fn cuts(&self, sign: usize) -> Cuts {
        let is_used = |octave: &usize| self.octaves[sign][*octave].iter().any(|n| *n > 0);
        let Some(first) = (0..OCTAVES).find(is_used) else { return Cuts::default() };
        let last = (0..OCTAVES).rfind(is_used).unwrap_or(first);
        let split = |octave: usize| {
            let splits = 0..=u32::try_from(octave).map_or(MAX_SPLIT, |n| n.min(MAX_SPLIT));
            let costs = splits.map(|split| (self.cost(sign, octave, split), split));
            costs.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, split)| split)
        };
        Cuts { first, splits: (first..=last).map(split).collect() }
    }

    /// Bits of the residuals of an octave in `1 << split` bins, less what is the same for each cut.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn cost(&self, sign: usize, octave: usize, split: u32) -> f32 {
        let saved = |n: u32| n_log_n(n) + (n * split) as f32;
        (LENGTH_BITS << split) as f32 - self.bins(sign, octave, split).map(saved).sum::<f32>()
    }
}

impl Table {
    /// The table for `residuals`, and about how many bytes they and it take; `None` where they are not
    /// fit for one.
    pub(in crate::chunk) fn of(residuals: &[i64]) -> Option<(Self, usize)> {
        if residuals.len() < MIN_RESIDUALS {
            return None;
        }
        let counts = Counts::of(residuals)?;
        let cuts = [NEGATIVE, POSITIVE].map(|sign| counts.cuts(sign));
        let mut often = vec![counts.zero];
        for (sign, cuts) in cuts.iter().enumerate() {
            for (octave, split) in (cuts.first..).zip(&cuts.splits) {
                often.extend(counts.bins(sign, octave, *split));
            }
        }
        if often.len() > MAX_BINS {
            return None;
        }
        let table = Self::new(cuts, huffman::code_lengths(&often, MAX_CODE))?;
        let residual = |at: usize| (table.lengths[at] + table.bins[at].width) as usize;
        let bits: usize = (0..often.len()).map(|at| often[at] as usize * residual(at)).sum();
        let of_groups = residuals.len().div_ceil(GROUP) * (LANES + 1 + LANES / 2);
        let bytes = table.num_bits().div_ceil(8) + bits.div_ceil(8) + of_groups;
        Some((table, bytes))
    }

    /// The table with these bins; `None` where one alone is used, which needs no code.
    fn new(cuts: [Cuts; 2], lengths: Vec<u32>) -> Option<Self> {
        let mut bins = vec![Bin::default()];
        for (sign, cuts) in cuts.iter().enumerate() {
            for (octave, split) in (cuts.first..).zip(&cuts.splits) {
                let width = octave - *split as usize;
                bins.extend((0..1_i64 << split).map(|part| Bin {
                    least: least(sign, octave, width, part),
                    width: u32::try_from(width).expect("less than 64"),
                }));
            }
        }
        let codes = huffman::codes(&lengths, MAX_CODE)?;
        Some(Self { cuts, bins, lengths, codes })
    }

    fn num_bits(&self) -> usize {
        let splits = self.cuts.iter().map(|cuts| cuts.splits.len()).sum::<usize>();
        4 * OCTAVE_BITS as usize
            + splits * SPLIT_BITS as usize
            + self.bins.len() * LENGTH_BITS as usize
    }

    /// Appends the table.
    pub(in crate::chunk) fn write(&self, out: &mut Vec<u8>) {
        let mut w = BitWriter::new();
        for cuts in &self.cuts {
            w.write(cuts.first as u64, OCTAVE_BITS);
            w.write(cuts.splits.len() as u64, OCTAVE_BITS);
            cuts.splits.iter().for_each(|split| w.write(u64::from(*split), SPLIT_BITS));
        }
        self.lengths.iter().for_each(|len| w.write(u64::from(*len), LENGTH_BITS));
        w.copy_to(out);
    }

    /// Reads what [`Table::write`] wrote, without keeping it: calls `each` with the bins that have a
    /// code, its length and the code. `None` where the codes are not one.
    pub(super) fn read(r: &mut Reader<'_>, mut each: impl FnMut(Bin, u32, usize)) -> Option<()> {
        let mut bits = BitReader::new(r.rest());
        let mut num_bits = 0;
        let mut number = |width: u32| {
            num_bits += width as usize;
            usize::try_from(bits.read(width)).unwrap_or(usize::MAX)
        };
        let mut firsts = [0; 2];
        let mut splits = [[0_u8; OCTAVES]; 2];
        let mut nums = [0; 2];
        let mut num_bins = 1;
        for sign in [NEGATIVE, POSITIVE] {
            (firsts[sign], nums[sign]) = (number(OCTAVE_BITS), number(OCTAVE_BITS));
            if firsts[sign] + nums[sign] > OCTAVES {
                return None;
            }
            for split in splits[sign].iter_mut().take(nums[sign]) {
                *split = u8::try_from(number(SPLIT_BITS)).ok()?;
                num_bins += 1 << *split;
            }
        }
        let mut lengths = [0_u8; MAX_BINS];
        let mut numbers = [0_usize; 1 << LENGTH_BITS];
        let lengths = lengths.get_mut(..num_bins)?;
        for len in &mut *lengths {
            let read = number(LENGTH_BITS);
            *len = u8::try_from(read).ok()?;
            *numbers.get_mut(read)? += 1;
        }
        let mut next = huffman::first_codes(&numbers, MAX_CODE)?;
        let mut lengths = lengths.iter();
        let mut bin = |bin: Bin| {
            let len = usize::from(*lengths.next()?);
            if len > 0 {
                let next = next.get_mut(len)?;
                each(bin, u32::try_from(len).ok()?, *next);
                *next += 1;
            }
            Some(())
        };
        bin(Bin::default())?;
        for sign in [NEGATIVE, POSITIVE] {
            for (octave, split) in (firsts[sign]..).zip(splits[sign]).take(nums[sign]) {
                let width = octave.checked_sub(usize::from(split))?;
                for part in 0..1 << split {
                    let least = least(sign, octave, width, part);
                    bin(Bin { least, width: u32::try_from(width).ok()? })?;
                }
            }
        }
        r.take(num_bits.div_ceil(8)).map(drop)
    }
}

/// The least number of the `part`-th bin of an octave whose bins have this width.
#[inline]
const fn least(sign: usize, octave: usize, width: usize, part: i64) -> i64 {
    let smallest = (1 << octave) + (part << width);
    if sign == NEGATIVE { -(smallest + (1 << width) - 1) } else { smallest }
}
