//! The protobuf wire format: keys, varints, lengths, and how unknown fields are stepped over.
//!
//! A [`Reader`] of a nested message keeps the slice of the whole body, cut at the end of the
//! message, so that errors name an offset in the body and nothing but a position moves.
#![deny(clippy::indexing_slicing)]

use crate::error::{DecodeError, Malformed};

/// Wire type of integers, booleans and enums.
pub(crate) const VARINT: u32 = 0;
/// Wire type of doubles.
pub(crate) const I64: u32 = 1;
/// Wire type of strings, messages and packed scalars.
pub(crate) const LEN: u32 = 2;
const START_GROUP: u32 = 3;
const END_GROUP: u32 = 4;
const I32: u32 = 5;

/// Deepest nesting of groups that is stepped over: what `prost` allows.
const MAX_GROUPS: u32 = 100;

/// The key of field `number` with wire type `wire`.
pub(crate) const fn key(number: u32, wire: u32) -> u32 {
    number << 3 | wire
}

/// Reads one message.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    /// The body up to the end of this message.
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pos: 0 }
    }

    /// Offset of the next byte in the body.
    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    /// The bytes of this message that are not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.pos..).unwrap_or_default()
    }

    #[cold]
    fn error(&self, what: Malformed) -> DecodeError {
        DecodeError::Malformed { offset: self.pos, what }
    }

    /// The key of the next field, or `None` at the end of the message.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Option<u32>, DecodeError> {
        match self.bytes.get(self.pos) {
            None => Ok(None),
            Some(byte @ 8..0x80) => {
                self.pos += 1;
                Ok(Some(u32::from(*byte)))
            }
            Some(_) => self.long_key().map(Some),
        }
    }

    #[cold]
    fn long_key(&mut self) -> Result<u32, DecodeError> {
        let at = self.clone();
        let raw = self.varint()?;
        // 29 bits of field number and 3 of wire type fill a u32 exactly.
        u32::try_from(raw)
            .ok()
            .filter(|key| key >> 3 != 0)
            .ok_or_else(|| at.error(Malformed::FieldNumber))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        if let Some(byte @ 0..0x80) = self.bytes.get(self.pos) {
            self.pos += 1;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    #[inline]
    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let rest = self.rest();
        let mut value = 0;
        for (i, byte) in rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                // The tenth byte holds the last of 64 bits.
                if i == 9 && *byte > 1 {
                    return Err(self.error(Malformed::Varint));
                }
                self.pos += i + 1;
                return Ok(value);
            }
        }
        let overlong = rest.len() >= 10;
        Err(self.error(if overlong { Malformed::Varint } else { Malformed::Truncated }))
    }

    /// An `int32`, `uint32` or enum: the low half of a varint, as every implementation reads it.
    pub(crate) fn varint32(&mut self) -> Result<u32, DecodeError> {
        #[expect(clippy::cast_possible_truncation, reason = "the format drops the upper half")]
        self.varint().map(|v| v as u32)
    }

    /// A `sint32`, zigzag coded.
    pub(crate) fn sint32(&mut self) -> Result<i32, DecodeError> {
        self.varint32().map(|v| (v >> 1).cast_signed() ^ -(v & 1).cast_signed())
    }

    /// A `sint64`, zigzag coded.
    pub(crate) fn sint64(&mut self) -> Result<i64, DecodeError> {
        self.varint().map(|v| (v >> 1).cast_signed() ^ -(v & 1).cast_signed())
    }

    /// A `double`.
    #[inline]
    pub(crate) fn double(&mut self) -> Result<f64, DecodeError> {
        let Some((bits, _)) = self.rest().split_first_chunk() else {
            return Err(self.error(Malformed::Truncated));
        };
        self.pos += 8;
        Ok(f64::from_bits(u64::from_le_bytes(*bits)))
    }

    fn advance(&mut self, n: u64) -> Result<(), DecodeError> {
        let end = usize::try_from(n)
            .ok()
            .and_then(|n| self.pos.checked_add(n))
            .filter(|end| *end <= self.bytes.len())
            .ok_or_else(|| self.error(Malformed::Truncated))?;
        self.pos = end;
        Ok(())
    }

    /// A nested message or packed scalars: a reader that ends with them.
    #[inline]
    pub(crate) fn message(&mut self) -> Result<Self, DecodeError> {
        let len = self.varint()?;
        let start = self.pos;
        self.advance(len)?;
        Ok(Self { bytes: self.bytes.get(..self.pos).unwrap_or_default(), pos: start })
    }

    /// The bytes of a string or message.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        self.message().map(|m| m.rest())
    }

    /// A string that must be UTF-8.
    pub(crate) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let at = self.clone();
        std::str::from_utf8(self.bytes()?).map_err(|_| at.error(Malformed::Utf8))
    }

    /// Steps over the length-delimited field whose key was just read, and over all that follow it
    /// directly with the same one-byte `key`.
    ///
    /// The labels of a series pass here, ten of them in 20 ns: a loop of one load and one addition
    /// a field, which is the latency of a walk over lengths.
    #[inline]
    pub(crate) fn skip_run(&mut self, key: u8) -> Result<(), DecodeError> {
        let len = self.varint()?;
        self.advance(len)?;
        let mut rest = self.rest();
        while let [first, len @ 0..0x80, after @ ..] = rest
            && *first == key
        {
            let Some(next) = after.get(usize::from(*len)..) else {
                self.pos = self.bytes.len() - rest.len();
                return Err(self.error(Malformed::Truncated));
            };
            rest = next;
        }
        self.pos = self.bytes.len() - rest.len();
        Ok(())
    }

    /// Steps over a field that the caller does not know; `known` are the numbers that it does,
    /// which come here only with a wrong wire type.
    #[cold]
    pub(crate) fn skip(&mut self, key: u32, known: &[u32]) -> Result<(), DecodeError> {
        if known.contains(&(key >> 3)) {
            return Err(self.error(Malformed::WireType));
        }
        self.skip_value(key, 0)
    }

    fn skip_value(&mut self, key: u32, groups: u32) -> Result<(), DecodeError> {
        match key & 7 {
            VARINT => self.varint().map(|_| ()),
            I64 => self.advance(8),
            LEN => self.message().map(|_| ()),
            I32 => self.advance(4),
            START_GROUP if groups == MAX_GROUPS => Err(self.error(Malformed::Group)),
            START_GROUP => loop {
                match self.key()? {
                    None => return Err(self.error(Malformed::Truncated)),
                    Some(end) if end == (key & !7 | END_GROUP) => return Ok(()),
                    Some(inner) => self.skip_value(inner, groups + 1)?,
                }
            },
            END_GROUP => Err(self.error(Malformed::Group)),
            _ => Err(self.error(Malformed::WireType)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(bytes: &[u8]) -> Result<u64, Malformed> {
        Reader::new(bytes).varint().map_err(what)
    }

    fn what(e: DecodeError) -> Malformed {
        match e {
            DecodeError::Malformed { what, .. } => what,
            DecodeError::TooLarge { .. } => panic!("not about the wire: {e}"),
        }
    }

    #[test]
    fn varints_are_at_most_64_bits() {
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        let mut over = max;
        over[9] = 2;
        for (bytes, want) in [
            (&[0x00][..], Ok(0)),
            (&[0x7f], Ok(127)),
            (&[0x80, 0x01], Ok(128)),
            (&[0x81, 0x80, 0x00], Ok(1)),
            (&max, Ok(u64::MAX)),
            (&over, Err(Malformed::Varint)),
            (&[0x80; 11], Err(Malformed::Varint)),
            (&[0x80; 9], Err(Malformed::Truncated)),
            (&[], Err(Malformed::Truncated)),
        ] {
            assert_eq!(varint(bytes), want, "{bytes:x?}");
        }
    }

    #[test]
    fn zigzag_reaches_both_ends() {
        for v in [0, -1, 1, i64::MIN, i64::MAX] {
            let mut coded = Vec::new();
            prost::encoding::encode_varint(((v << 1) ^ (v >> 63)).cast_unsigned(), &mut coded);
            assert_eq!(Reader::new(&coded).sint64(), Ok(v));
        }
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).sint32(), Ok(i32::MIN));
    }

    #[test]
    fn field_numbers_are_1_to_2_pow_29() {
        for (bytes, want) in [
            (&[0x08][..], Ok(Some(8))),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], Ok(Some(u32::MAX))),
            (&[0xff, 0xff, 0xff, 0xff, 0x1f], Err(Malformed::FieldNumber)),
            (&[0x02], Err(Malformed::FieldNumber)),
            (&[0x82, 0x00], Err(Malformed::FieldNumber)),
            (&[0x8a, 0x00], Ok(Some(10))),
            (&[], Ok(None)),
        ] {
            assert_eq!(Reader::new(bytes).key().map_err(what), want, "{bytes:x?}");
        }
    }

    #[test]
    fn unknown_fields_of_every_wire_type_are_stepped_over() {
        let nested: Vec<u8> = [vec![0x2b; 100], vec![0x2c; 100]].concat();
        let deeper: Vec<u8> = [vec![0x2b; 101], vec![0x2c; 101]].concat();
        for (bytes, want) in [
            (&[0x28, 0xff, 0x01][..], Ok(())),
            (&[0x29, 1, 2, 3, 4, 5, 6, 7, 8], Ok(())),
            (&[0x29, 1, 2, 3, 4, 5, 6, 7], Err(Malformed::Truncated)),
            (&[0x2a, 2, 9, 9], Ok(())),
            (&[0x2a, 2, 9], Err(Malformed::Truncated)),
            (
                &[0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                Err(Malformed::Truncated),
            ),
            (&[0x2b, 0x08, 0x01, 0x2c], Ok(())),
            (&[0x2b, 0x08, 0x01], Err(Malformed::Truncated)),
            (&[0x2b, 0x34], Err(Malformed::Group)),
            (&[0x2c], Err(Malformed::Group)),
            (&[0x2d, 1, 2, 3, 4], Ok(())),
            (&[0x2e], Err(Malformed::WireType)),
            (&[0x2f], Err(Malformed::WireType)),
            (&nested, Ok(())),
            (&deeper, Err(Malformed::Group)),
        ] {
            let mut r = Reader::new(bytes);
            let key = r.key().unwrap().unwrap();
            let got = r.skip(key, &[]).map_err(what);
            assert_eq!(got, want, "{bytes:x?}");
            assert!(got.is_err() || r.rest().is_empty(), "{bytes:x?}");
        }
        assert_eq!(Reader::new(&[0]).skip(0x28, &[5]).map_err(what), Err(Malformed::WireType));
    }
}
