//! LEB128 integers, as in protobuf: seven bits a byte, low bits first; signed ones zig-zag.

/// Appends `v`.
pub fn put_u64(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v.to_le_bytes()[0] | 0x80);
        v >>= 7;
    }
    out.push(v.to_le_bytes()[0]);
}

/// Appends `v` zig-zag coded.
pub fn put_i64(out: &mut Vec<u8>, v: i64) {
    put_u64(out, zigzag(v));
}

/// Small magnitudes become small numbers: 0, -1, 1, -2 -> 0, 1, 2, 3.
pub const fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub const fn unzigzag(v: u64) -> i64 {
    (v >> 1).cast_signed() ^ -((v & 1).cast_signed())
}

/// Appends the length of `bytes` and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from a slice; every read checks bounds and returns `None` where the bytes end or make no
/// integer of the wanted width. Nothing is allocated from a length that was read.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything is read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n)?;
        self.rest = tail;
        Some(head)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    /// A little-endian u32.
    pub fn u32_le(&mut self) -> Option<u32> {
        self.take(4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
    }

    /// A little-endian u64.
    pub fn u64_le(&mut self) -> Option<u64> {
        self.take(8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes)
    }

    /// A LEB128 integer of at most ten bytes that fits 64 bits.
    #[inline]
    pub fn u64(&mut self) -> Option<u64> {
        // Most are small.
        match self.rest {
            [a @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                Some(u64::from(*a))
            }
            [a, b @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                Some(u64::from(*a & 0x7f) | u64::from(*b) << 7)
            }
            _ => self.long_u64(),
        }
    }

    fn long_u64(&mut self) -> Option<u64> {
        let mut v = 0_u64;
        for (i, b) in self.rest.iter().take(10).enumerate() {
            if i == 9 && *b > 1 {
                return None;
            }
            v |= u64::from(*b & 0x7f) << (7 * i);
            if *b < 0x80 {
                self.rest = self.rest.get(i + 1..)?;
                return Some(v);
            }
        }
        None
    }

    /// A LEB128 integer that fits `usize`.
    pub fn len(&mut self) -> Option<usize> {
        self.u64().and_then(|v| usize::try_from(v).ok())
    }

    /// A zig-zag LEB128 integer.
    pub fn i64(&mut self) -> Option<i64> {
        self.u64().map(unzigzag)
    }

    /// A length and as many bytes.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = self.len()?;
        self.take(n)
    }

    /// A length and as many bytes of valid UTF-8.
    pub fn str(&mut self) -> Option<&'a str> {
        self.bytes().and_then(|b| std::str::from_utf8(b).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn damaged_integers_are_refused() {
        for bytes in [
            &[0x80][..],
            &[0xff; 10],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2],
            &[],
        ] {
            assert_eq!(Reader::new(bytes).u64(), None, "{bytes:?}");
        }
        assert_eq!(Reader::new(&[5, b'a']).bytes(), None);
    }

    proptest! {
        #[test]
        fn integers_round_trip(u in any::<u64>(), i in any::<i64>(), shift in 0..64_u32) {
            let (u, i) = (u >> shift, i >> shift);
            let mut out = Vec::new();
            put_u64(&mut out, u);
            put_i64(&mut out, i);
            put_bytes(&mut out, &u.to_le_bytes());
            let mut r = Reader::new(&out);
            prop_assert_eq!((r.u64(), r.i64()), (Some(u), Some(i)));
            prop_assert_eq!(r.bytes(), Some(&u.to_le_bytes()[..]));
            prop_assert!(r.is_empty());
        }
    }
}
