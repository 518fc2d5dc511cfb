//! A segment file and the frames in it: names, header, framing.

#![deny(clippy::indexing_slicing)]

use std::fmt;

use super::WalMode;
use crate::encoding::varint::Reader;
use crate::encoding::{crc, crc_append};

/// Number of a segment; part of its file name. Never used twice while a log lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SegmentIndex(pub u32);

impl SegmentIndex {
    /// `00000001.wal`
    pub fn file_name(self) -> String {
        format!("{self}.wal")
    }

    /// The inverse of [`SegmentIndex::file_name`]; other names are `None`.
    pub fn from_file_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(".wal")?;
        let index = Self(digits.parse().ok()?);
        (index.file_name() == name).then_some(index)
    }

    /// The segment after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("a segment a second lasts a century"))
    }
}

impl fmt::Display for SegmentIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

/// Version of the whole format: header, frames and payloads.
const VERSION: u16 = 1;
/// First bytes of a segment. The first is no text, the last two notice a transfer as text.
const MAGIC: [u8; 8] = *b"\x8fSBWAL\r\n";
/// Bytes of a segment's header.
pub(super) const HEADER_BYTES: usize = 32;
/// First bytes of a frame; they occur in no UTF-8 text.
pub(super) const FRAME_MAGIC: [u8; 4] = [0xf7, 0x9c, 0xc1, 0xfe];
/// Bytes of a frame's header.
pub(super) const FRAME_BYTES: usize = 36;
/// Longest payload of a frame.
pub const MAX_PAYLOAD_BYTES: usize = 256 << 20;
const FRAME_KIND_RECORD: u8 = 1;

/// First bytes of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The mode of the log when the segment was made.
    pub(super) mode: WalMode,
    pub(super) segment: SegmentIndex,
    /// Names one opening of the log. Nobody outside knows it, so that bytes that a client had
    /// logged cannot pose as a frame.
    pub(super) run: u32,
    /// Everything below was durable in earlier segments when this one was made.
    pub(super) first_seq: u64,
}

/// Why 32 bytes are no header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    Damaged,
    /// Whole, and written by a later version.
    Newer(u16),
}

const fn mode_number(mode: WalMode) -> u8 {
    match mode {
        WalMode::EveryWrite => 0,
        WalMode::Periodic => 1,
        WalMode::OsDefault => 2,
        WalMode::None => 3,
    }
}

const fn mode_from_number(n: u8) -> Option<WalMode> {
    Some(match n {
        0 => WalMode::EveryWrite,
        1 => WalMode::Periodic,
        2 => WalMode::OsDefault,
        3 => WalMode::None,
        _ => return None,
    })
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.push(mode_number(self.mode));
        out.push(0);
        out.extend_from_slice(&self.segment.0.to_le_bytes());
        out.extend_from_slice(&self.run.to_le_bytes());
        out.extend_from_slice(&self.first_seq.to_le_bytes());
        out.extend_from_slice(&crc(&out).to_le_bytes());
        out.try_into().expect("the fields above are 32 bytes")
    }

    /// Magic, version and checksum stay where they are in every version, so that a damaged
    /// header does not look like one of a later version.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or(HeaderError::Damaged)?;
        if body.len() != HEADER_BYTES - 4 || crc(body) != u32::from_le_bytes(*sum) {
            return Err(HeaderError::Damaged);
        }
        let mut rest = Reader::new(body.strip_prefix(&MAGIC).ok_or(HeaderError::Damaged)?);
        let version = rest.take(2).and_then(|v| v.try_into().ok()).map(u16::from_le_bytes);
        match version {
            Some(VERSION) => {}
            Some(version) => return Err(HeaderError::Newer(version)),
            None => return Err(HeaderError::Damaged),
        }
        let fields = (|| {
            Some(Self {
                mode: mode_from_number(rest.u8()?)?,
                segment: rest.u8().and_then(|_zero| rest.u32_le()).map(SegmentIndex)?,
                run: rest.u32_le()?,
                first_seq: rest.u64_le()?,
            })
        })();
        fields.ok_or(HeaderError::Damaged)
    }
}

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) payload_len: u32,
    pub(super) segment: SegmentIndex,
    pub(super) run: u32,
    /// The mode of the log, here too because a header may be lost.
    pub(super) mode: WalMode,
    /// How many of the records before this one were not durable when it was written.
    pub(super) unsynced: u32,
    pub(super) seq: u64,
    /// Of the payload, then of the header before this field.
    crc: u32,
}

impl FrameHeader {
    /// The header of a payload of `payload_len` bytes with checksum `payload_crc`.
    pub(super) fn new(
        (segment, run, mode): (SegmentIndex, u32, WalMode),
        (seq, unsynced): (u64, u32),
        (payload_len, payload_crc): (u32, u32),
    ) -> Self {
        let mut header = Self { payload_len, segment, run, mode, unsynced, seq, crc: 0 };
        header.crc = crc_append(payload_crc, &header.encode()[..FRAME_BYTES - 4]);
        header
    }

    pub(super) fn encode(&self) -> [u8; FRAME_BYTES] {
        let mut out = Vec::with_capacity(FRAME_BYTES);
        out.extend_from_slice(&FRAME_MAGIC);
        out.extend_from_slice(&self.payload_len.to_le_bytes());
        out.extend_from_slice(&[FRAME_KIND_RECORD, mode_number(self.mode), 0, 0]);
        out.extend_from_slice(&self.segment.0.to_le_bytes());
        out.extend_from_slice(&self.run.to_le_bytes());
        out.extend_from_slice(&self.unsynced.to_le_bytes());
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.try_into().expect("the fields above are 36 bytes")
    }

    /// The fields, if the constant ones are right; [`FrameHeader::covers`] is still to be asked.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Reader::new(bytes.strip_prefix(&FRAME_MAGIC)?);
        let payload_len = rest.u32_le()?;
        let [FRAME_KIND_RECORD, mode, 0, 0] = *rest.take(4)? else { return None };
        Some(Self {
            payload_len,
            mode: mode_from_number(mode)?,
            segment: SegmentIndex(rest.u32_le()?),
            run: rest.u32_le()?,
            unsynced: rest.u32_le()?,
            seq: rest.u64_le()?,
            crc: rest.u32_le()?,
        })
    }

    /// Whether the checksum is that of `payload` and this header.
    pub(super) fn covers(&self, payload: &[u8]) -> bool {
        self.crc == crc_append(crc(payload), &self.encode()[..FRAME_BYTES - 4])
    }

    /// The last record that was durable when this one was written.
    pub(super) fn durable_before(&self) -> u64 {
        (self.seq.saturating_sub(1)).saturating_sub(u64::from(self.unsynced))
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn names_invert() {
        for (index, name) in [(1, "00000001.wal"), (123_456_789, "123456789.wal")] {
            assert_eq!(SegmentIndex(index).file_name(), name);
            assert_eq!(SegmentIndex::from_file_name(name), Some(SegmentIndex(index)));
        }
        for name in ["1.wal", "00000001", "000000001.wal", "0000000x.wal", "+0000001.wal", ".wal"] {
            assert_eq!(SegmentIndex::from_file_name(name), None, "{name}");
        }
    }

    fn header() -> SegmentHeader {
        SegmentHeader {
            mode: WalMode::Periodic,
            segment: SegmentIndex(3),
            run: 0x0102_0304,
            first_seq: 77,
        }
    }

    #[test]
    fn a_header_notices_every_flipped_bit_and_every_cut() {
        let bytes = header().encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header()));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Damaged), "bit {bit}");
        }
        for n in 0..bytes.len() {
            assert_eq!(SegmentHeader::decode(&bytes[..n]), Err(HeaderError::Damaged));
        }
    }

    #[test]
    fn a_whole_header_of_a_later_version_is_told_apart() {
        let mut bytes = header().encode();
        bytes[8] = 2;
        let sum = crc(&bytes[..28]).to_le_bytes();
        bytes[28..].copy_from_slice(&sum);
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Newer(2)));
    }

    #[test]
    fn a_frame_notices_every_flipped_bit_of_header_and_payload() {
        let payload = b"payload";
        let frame =
            FrameHeader::new((SegmentIndex(3), 9, WalMode::Periodic), (78, 2), (7, crc(payload)));
        assert_eq!(FrameHeader::decode(&frame.encode()), Some(frame));
        assert!(frame.covers(payload) && frame.durable_before() == 75);
        let whole: Vec<u8> = frame.encode().iter().chain(payload).copied().collect();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (head, payload) = bytes.split_at(FRAME_BYTES);
            assert!(!FrameHeader::decode(head).is_some_and(|f| f.covers(payload)), "bit {bit}");
        }
    }
}
