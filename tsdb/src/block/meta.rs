//! What a block says about itself: the file `meta`.
//!
//! Two lines of JSON, so that any tool can read it: the object, and the checksum of the first line.
//! A field that this version does not know is ignored; a format version that it does not know is
//! refused.
//!
#![doc = include_str!("../../docs/format/meta.md")]

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::BlockError;
use super::sealed::Seal;
use crate::encoding::crc;
use crate::fs::Fs;

/// Format version of blocks whose chunks are compressed once.
pub const FORMAT: u32 = 3;
/// Format version of cold blocks, whose chunks are compressed twice.
pub const COLD_FORMAT: u32 = 4;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ID_LEN: usize = 26;

/// Names a block, and is the name of its directory: 48 bits of creation time (ms) and 80 random ones in
/// 26 characters of Crockford's base 32, as a ULID. Later blocks sort behind earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(u128);

impl BlockId {
    /// An id; of `random` the low 80 bits are used.
    pub const fn new(created_ms: u64, random: u128) -> Self {
        Self((created_ms as u128 & 0xffff_ffff_ffff) << 80 | random & ((1 << 80) - 1))
    }

    /// When the block was made, ms since the Unix epoch.
    pub fn created_ms(self) -> u64 {
        u64::try_from(self.0 >> 80).expect("48 bits are left")
    }

    /// The id as a number.
    pub const fn number(self) -> u128 {
        self.0
    }

    /// The inverse of [`BlockId::number`].
    pub const fn from_number(number: u128) -> Self {
        Self(number)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for i in (0..ID_LEN).rev() {
            let digit = usize::try_from(self.0 >> (5 * i) & 31).expect("five bits");
            write!(f, "{}", char::from(ALPHABET[digit]))?;
        }
        Ok(())
    }
}

/// The text is no block id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a block id")]
pub struct NotABlockId;

impl FromStr for BlockId {
    type Err = NotABlockId;

    fn from_str(text: &str) -> Result<Self, NotABlockId> {
        // The first character holds three bits: 26 times 5 is two more than 128.
        if text.len() != ID_LEN || text.as_bytes().first().is_none_or(|c| *c > b'7') {
            return Err(NotABlockId);
        }
        text.bytes()
            .try_fold(0_u128, |id, c| {
                let digit = ALPHABET.iter().position(|a| *a == c)?;
                Some(id << 5 | digit as u128)
            })
            .map(Self)
            .ok_or(NotABlockId)
    }
}

impl Serialize for BlockId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where the samples of a block come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockSource {
    /// In-order chunks of the head.
    #[default]
    Flush,
    /// The head's buffer of late samples.
    Late,
    /// Other blocks.
    Compaction,
    /// Files that a tool read.
    Import,
}

/// A deletion that was carried out when the block was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// The matchers, as PromQL writes a selector.
    pub selector: String,
    /// First deleted time, ms.
    pub mint: i64,
    /// Last deleted time, ms, inclusive.
    pub maxt: i64,
    /// Samples that went.
    pub num_samples: u64,
}

/// Length and hash of a file of the block, from its footer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileSeal {
    /// Length in bytes.
    pub len: u64,
    /// The hash of all bytes before the hash, 32 hexadecimal digits.
    pub xxh3_128: String,
}

impl From<Seal> for FileSeal {
    fn from(seal: Seal) -> Self {
        Self { len: seal.len, xxh3_128: format!("{:032x}", seal.xxh3_128) }
    }
}

/// What a block says about itself. A writer is given one with the fields that it cannot know; it
/// fills in format, bounds, counts and files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockMeta {
    /// Its id.
    pub id: BlockId,
    /// Format version of the whole directory.
    pub format: u32,
    /// Distance of downsampled samples in ms; 0 is raw.
    pub resolution_ms: i64,
    /// First time of a sample, ms.
    pub mint: i64,
    /// Last time of a sample, ms, inclusive. Less than `mint` in an empty block.
    pub maxt: i64,
    /// Number of series.
    pub num_series: u64,
    /// Number of float samples.
    pub num_samples: u64,
    /// Number of histogram samples.
    pub num_histograms: u64,
    /// Number of chunks.
    pub num_chunks: u64,
    /// Number of distinct time columns.
    pub num_columns: u64,
    /// Rank of its late samples (ARCHITECTURE.md); 0 for a block of in-order samples.
    pub late_seq: u64,
    /// Log sequence number of the first record in it; 0 where not known.
    pub first_seq: u64,
    /// Log sequence number of the last record in it; 0 where not known.
    pub last_seq: u64,
    /// Tombstones up to this log sequence number were carried out when it was made; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deleted_seq: u64,
    /// How often its samples were compacted.
    pub level: u32,
    /// The blocks that it replaced.
    pub parents: Vec<BlockId>,
    /// Where its samples come from.
    pub source: BlockSource,
    /// Deletions carried out in it.
    pub deleted: Vec<Deleted>,
    /// The file `chunks`.
    pub chunks: FileSeal,
    /// The file `index`.
    pub index: FileSeal,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What is read first: it says whether the rest can be understood.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// The second line.
fn checksum_line(object: &[u8]) -> Vec<u8> {
    format!("{{\"crc32c\":\"{:08x}\"}}\n", crc(object)).into_bytes()
}

impl BlockMeta {
    /// The meta of a block that is yet to be written.
    pub fn new(id: BlockId) -> Self {
        Self {
            id,
            format: FORMAT,
            resolution_ms: 0,
            mint: i64::MAX,
            maxt: i64::MIN,
            num_series: 0,
            num_samples: 0,
            num_histograms: 0,
            num_chunks: 0,
            num_columns: 0,
            late_seq: 0,
            first_seq: 0,
            last_seq: 0,
            deleted_seq: 0,
            level: 0,
            parents: Vec::new(),
            source: BlockSource::default(),
            deleted: Vec::new(),
            chunks: FileSeal::default(),
            index: FileSeal::default(),
        }
    }

    /// Tombstones up to this log sequence number take nothing from it.
    pub const fn settled_seq(&self) -> u64 {
        if self.last_seq > self.deleted_seq { self.last_seq } else { self.deleted_seq }
    }

    /// Whether its chunks are compressed a second time.
    pub const fn is_cold(&self) -> bool {
        self.format == COLD_FORMAT
    }

    /// Whether it may have samples in `[mint, maxt]`.
    pub const fn overlaps(&self, mint: i64, maxt: i64) -> bool {
        self.mint <= maxt && mint <= self.maxt
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = serde_json::to_vec(self).expect("strings and numbers are valid JSON");
        let sum = checksum_line(&out);
        out.push(b'\n');
        out.extend(sum);
        out
    }

    /// Reads the file `path`.
    ///
    /// # Errors
    /// [`BlockError`] where it is damaged, of an unknown version or cannot be read.
    pub fn read(fs: &dyn Fs, path: &Path) -> Result<Self, BlockError> {
        let bytes = fs.read(path).map_err(|e| BlockError::io(path, e))?;
        let bad = |what| BlockError::Corrupt { path: path.to_owned(), offset: 0, what };
        let mut lines = bytes.splitn(2, |b| *b == b'\n');
        let (object, sum) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        if sum != checksum_line(object) {
            return Err(bad("checksum does not match"));
        }
        let version: Version = serde_json::from_slice(object).map_err(|_| bad("not block meta"))?;
        if !matches!(version.format, FORMAT | COLD_FORMAT) {
            let (path, found) = (path.to_owned(), version.format);
            return Err(BlockError::Version { path, found, known: COLD_FORMAT });
        }
        serde_json::from_slice(object).map_err(|_| bad("not block meta"))
    }
}
