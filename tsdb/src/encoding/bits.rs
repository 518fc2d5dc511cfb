//! Bit streams, most significant bit first, over 64-bit words.

/// Writes bits to the end of a byte vector.
#[derive(Debug, Clone, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Bits not in `bytes` yet, in the low `pending` bits.
    word: u64,
    pending: u32,
}

impl BitWriter {
    /// An empty stream.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), word: 0, pending: 0 }
    }

    /// Appends the low `n` bits of `v`; higher bits of `v` must be zero. `n <= 64`.
    #[inline]
    pub fn write(&mut self, v: u64, n: u32) {
        debug_assert!(n == 64 || v >> n == 0, "bits above the width");
        let free = 64 - self.pending;
        if n < free {
            self.word = self.word << n | v;
            self.pending += n;
            return;
        }
        // The word fills up: its bytes move out, what does not fit begins the next word.
        let over = n - free;
        let full = if free == 64 { v >> over } else { self.word << free | v >> over };
        if self.bytes.len() + 8 > self.bytes.capacity() {
            // By a quarter, not by doubling: a million open chunks keep what they reserve.
            self.bytes.reserve_exact((self.bytes.len() / 4).next_multiple_of(8).max(24));
        }
        self.bytes.extend_from_slice(&full.to_be_bytes());
        self.word = if over == 0 { 0 } else { v & (u64::MAX >> (64 - over)) };
        self.pending = over;
    }

    /// As two calls of [`BitWriter::write`], in one where both fit a word.
    #[inline]
    pub fn write_both(&mut self, (a, n): (u64, u32), (b, m): (u64, u32)) {
        if n + m <= 64 && m < 64 {
            self.write(a << m | b, n + m);
        } else {
            self.write(a, n);
            self.write(b, m);
        }
    }

    /// Continues a stream of which [`BitWriter::copy_to`] made `bytes`, after its first `num_bits`
    /// bits; `None` where there are fewer.
    pub fn resume(bytes: &[u8], num_bits: usize) -> Option<Self> {
        let (whole, tail) = bytes.split_at_checked(num_bits / 64 * 8)?;
        let pending = u32::try_from(num_bits % 64).ok()?;
        let mut word = [0; 8];
        let tail = tail.get(..(pending as usize).div_ceil(8))?;
        word[..tail.len()].copy_from_slice(tail);
        let word = u64::from_be_bytes(word).checked_shr(64 - pending).unwrap_or(0);
        Some(Self { bytes: whole.to_vec(), word, pending })
    }

    /// Number of bits written.
    pub fn num_bits(&self) -> usize {
        self.bytes.len() * 8 + self.pending as usize
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The stream so far, the last byte padded with zero bits, appended to `out`.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        if self.pending > 0 {
            let word = self.word << (64 - self.pending);
            out.extend_from_slice(&word.to_be_bytes()[..(self.pending as usize).div_ceil(8)]);
        }
    }

    /// The stream, the last byte padded with zero bits.
    pub fn finish(mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let tail = Self { bytes: Vec::new(), ..self };
        tail.copy_to(&mut bytes);
        bytes
    }
}

/// Reads bits; past the end it yields zeros and remembers that in [`BitReader::overrun`], so that
/// a hot loop checks once at its end.
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// Next bit to read.
    at: usize,
}

impl<'a> BitReader<'a> {
    /// Reads from the first bit of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next 64 bits without moving, zero-filled past the end.
    #[inline]
    fn peek(&self) -> u64 {
        let (byte, bit) = (self.at / 8, self.at % 8);
        match self.bytes.get(byte..byte + 9) {
            Some(b) => {
                let mut word = [0; 8];
                word.copy_from_slice(&b[..8]);
                let word = u64::from_be_bytes(word);
                if bit == 0 { word } else { word << bit | u64::from(b[8]) >> (8 - bit) }
            }
            None => self.peek_tail(byte, bit),
        }
    }

    #[cold]
    fn peek_tail(&self, byte: usize, bit: usize) -> u64 {
        let mut padded = [0_u8; 16];
        let rest = self.bytes.get(byte..).unwrap_or_default();
        let n = rest.len().min(9);
        padded[..n].copy_from_slice(&rest[..n]);
        let wide = u128::from_be_bytes(padded) << bit;
        u64::try_from(wide >> 64).unwrap_or_default()
    }

    /// Bits of [`BitReader::front`] that count.
    pub const FRONT: u32 = 57;

    /// The next [`BitReader::FRONT`] bits, and a few more that do not count, without moving;
    /// zero-filled past the end.
    #[inline]
    pub fn front(&self) -> u64 {
        let (byte, bit) = (self.at / 8, self.at % 8);
        match self.bytes.get(byte..byte + 8).and_then(|b| b.first_chunk()) {
            Some(word) => u64::from_be_bytes(*word) << bit,
            None => self.peek_tail(byte, bit),
        }
    }

    /// Moves on by `n` bits.
    #[inline]
    pub fn pass(&mut self, n: usize) {
        self.at += n;
    }

    /// The next `n <= 64` bits.
    #[inline]
    pub fn read(&mut self, n: u32) -> u64 {
        if n == 0 {
            return 0;
        }
        let v = self.peek() >> (64 - n);
        self.at += n as usize;
        v
    }

    /// The next bit.
    #[inline]
    pub fn bit(&mut self) -> bool {
        self.read(1) == 1
    }

    /// Counts and consumes leading one bits up to `max`, and the zero that ends them when fewer
    /// than `max` were found.
    #[inline]
    pub fn ones(&mut self, max: u32) -> u32 {
        let ones = self.peek().leading_ones().min(max);
        self.at += (if ones < max { ones + 1 } else { ones }) as usize;
        ones
    }

    /// Whether more bits were read than there are.
    pub const fn overrun(&self) -> bool {
        self.at > self.bytes.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reading_past_the_end_gives_zeros_and_is_remembered() {
        let mut r = BitReader::new(&[0xff]);
        assert_eq!((r.read(4), r.read(4), r.overrun()), (15, 15, false));
        assert_eq!((r.read(64), r.overrun()), (0, true));
        assert!(r.read(64) == 0 && r.overrun());
    }

    proptest! {
        #[test]
        fn reading_inverts_writing(parts in proptest::collection::vec((any::<u64>(), 1..=64_u32), 0..200)) {
            let mut w = BitWriter::new();
            for (v, n) in &parts {
                w.write(v >> (64 - n), *n);
            }
            let bits = w.num_bits();
            let mut copy = Vec::new();
            w.copy_to(&mut copy);
            let bytes = w.finish();
            prop_assert_eq!(&bytes, &copy);
            prop_assert_eq!(bytes.len(), bits.div_ceil(8));
            // The same in pairs.
            let mut w = BitWriter::new();
            for pair in parts.chunks(2) {
                let part = |i: usize| (pair[i].0 >> (64 - pair[i].1), pair[i].1);
                if pair.len() == 2 { w.write_both(part(0), part(1)) } else { w.write(part(0).0, part(0).1) }
            }
            prop_assert_eq!(w.finish(), &bytes[..]);
            // The same in two goes.
            let (first, second) = parts.split_at(parts.len() / 2);
            let mut w = BitWriter::new();
            for (v, n) in first {
                w.write(v >> (64 - n), *n);
            }
            let (bits, half) = (w.num_bits(), w.finish());
            prop_assert!(BitWriter::resume(&half, half.len() * 8 + 1).is_none());
            let mut w = BitWriter::resume(&half, bits).unwrap();
            for (v, n) in second {
                w.write(v >> (64 - n), *n);
            }
            prop_assert_eq!(w.finish(), &bytes[..]);
            let mut r = BitReader::new(&bytes);
            for (v, n) in &parts {
                prop_assert_eq!(r.read(*n), v >> (64 - n));
            }
            prop_assert!(!r.overrun());
        }

        #[test]
        fn ones_stop_at_the_limit(ones in 0..20_u32, max in 1..9_u32) {
            let mut w = BitWriter::new();
            for _ in 0..ones { w.write(1, 1); }
            w.write(0, 1);
            w.write(0b101, 3);
            let bytes = w.finish();
            let mut r = BitReader::new(&bytes);
            prop_assert_eq!(r.ones(max), ones.min(max));
            if ones < max { prop_assert_eq!(r.read(3), 0b101); }
        }
    }
}
