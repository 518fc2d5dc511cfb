#![doc = include_str!("../docs/format/tombstones.md")]
#![deny(clippy::indexing_slicing)]

use std::fmt;
use std::sync::Arc;

use model::{MatchOp, Matcher};

use crate::encoding::varint::{Reader, put_bytes, put_i64, put_u64};

pub mod mask;

pub use mask::{Mask, Masks};

/// Longest encoding of a deletion.
pub const MAX_DELETION_BYTES: usize = 1 << 20;
/// Most tombstones that are kept, and bytes of them.
pub const MAX_TOMBSTONES: usize = 10_000;
/// See [`MAX_TOMBSTONES`].
pub const MAX_TOMBSTONE_BYTES: usize = 16 << 20;
/// Most selectors of a deletion, and matchers of a selector.
const MAX_PARTS: usize = 1024;

/// What to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// A series goes if it passes all matchers of one of them.
    pub selectors: Vec<Vec<Matcher>>,
    /// First time, ms.
    pub mint: i64,
    /// Last time, ms, inclusive.
    pub maxt: i64,
}

/// A logged deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The number of its record in the log.
    pub seq: u64,
    /// What it takes.
    pub what: Deletion,
}

impl Deletion {
    /// Appends the encoding to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_i64(out, self.mint);
        put_i64(out, self.maxt);
        put_u64(out, self.selectors.len() as u64);
        for matchers in &self.selectors {
            put_u64(out, matchers.len() as u64);
            for matcher in matchers {
                out.push(match matcher.op {
                    MatchOp::Eq => 0,
                    MatchOp::Ne => 1,
                    MatchOp::Re => 2,
                    MatchOp::Nre => 3,
                });
                put_bytes(out, matcher.name.as_bytes());
                put_bytes(out, matcher.value.as_bytes());
            }
        }
    }

    /// Reads what [`Deletion::encode`] wrote; `None` for anything else.
    pub fn decode(r: &mut Reader<'_>) -> Option<Self> {
        let (mint, maxt) = (r.i64()?, r.i64()?);
        let num_selectors = r.len().filter(|n| (1..=MAX_PARTS).contains(n))?;
        let mut selectors = Vec::new();
        for _ in 0..num_selectors {
            let num_matchers = r.len().filter(|n| *n <= MAX_PARTS)?;
            let mut matchers = Vec::new();
            for _ in 0..num_matchers {
                let op = match r.u8()? {
                    0 => MatchOp::Eq,
                    1 => MatchOp::Ne,
                    2 => MatchOp::Re,
                    3 => MatchOp::Nre,
                    _ => return None,
                };
                let (name, value) = (r.str()?, r.str()?);
                matchers.push(Matcher::new(op, name, value).ok()?);
            }
            selectors.push(matchers);
        }
        (mint <= maxt).then_some(Self { selectors, mint, maxt })
    }

    /// Bytes of the encoding.
    pub fn num_bytes(&self) -> usize {
        let mut out = Vec::new();
        self.encode(&mut out);
        out.len()
    }

    /// What is wrong with it, if anything.
    pub fn fault(&self) -> Option<&'static str> {
        let lens = || self.selectors.iter().map(Vec::len);
        if self.selectors.is_empty() {
            Some("no selector")
        } else if self.mint > self.maxt {
            Some("the range ends before it begins")
        } else if self.selectors.len() > MAX_PARTS || lens().any(|n| n > MAX_PARTS) {
            Some("over 1024 selectors or matchers")
        } else if self.num_bytes() > MAX_DELETION_BYTES {
            Some("selectors take over 1 MiB")
        } else {
            None
        }
    }

    /// Whether everything that `other` takes goes with this one, as far as that can be told without
    /// looking at series.
    fn covers(&self, other: &Self) -> bool {
        self.mint <= other.mint && other.maxt <= self.maxt && self.selectors == other.selectors
    }
}

/// The selectors as PromQL writes them, joined by `or`.
impl fmt::Display for Deletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, matchers) in self.selectors.iter().enumerate() {
            f.write_str(if n == 0 { "{" } else { " or {" })?;
            for (m, matcher) in matchers.iter().enumerate() {
                write!(f, "{}{matcher}", if m == 0 { "" } else { "," })?;
            }
            f.write_str("}")?;
        }
        Ok(())
    }
}

/// Adds `new` to `all`, which are ascending, in the place of those that it covers.
pub fn insert(all: &mut Vec<Arc<Tombstone>>, new: Arc<Tombstone>) {
    all.retain(|old| !(old.seq <= new.seq && new.what.covers(&old.what)));
    let at = all.partition_point(|old| old.seq < new.seq);
    all.insert(at, new);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tombstone(seq: u64, name: &str, mint: i64, maxt: i64) -> Arc<Tombstone> {
        let selectors = vec![vec![Matcher::equal("__name__", name)]];
        Arc::new(Tombstone { seq, what: Deletion { selectors, mint, maxt } })
    }

    #[test]
    fn the_bytes_are_frozen() {
        let re = Matcher::new(MatchOp::Nre, "a", "b|c").unwrap();
        let selectors = vec![vec![Matcher::equal("x", "y"), re], vec![]];
        let what = Deletion { selectors, mint: -1, maxt: 3 };
        let mut bytes = Vec::new();
        what.encode(&mut bytes);
        assert_eq!(bytes, b"\x01\x06\x02\x02\x00\x01x\x01y\x03\x01a\x03b|c\x00");
        assert_eq!(what.to_string(), r#"{x="y",a!~"b|c"} or {}"#);
        assert_eq!(Deletion::decode(&mut Reader::new(&bytes)), Some(what));
    }

    #[test]
    fn what_is_no_deletion_is_refused() {
        let bad: [&[u8]; 6] = [
            b"",
            b"\x02\x00\x01\x00",               // ends before it begins
            b"\x00\x00\x00",                   // no selector
            b"\x00\x00\x01\x01\x04\x01a\x00",  // unknown operator
            b"\x00\x00\x01\x01\x02\x01a\x01(", // no expression
            b"\x00\x00\x01\xff\xff\xff\x7f",   // more matchers than bytes
        ];
        for bytes in bad {
            assert_eq!(Deletion::decode(&mut Reader::new(bytes)), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_wider_tombstone_of_the_same_selectors_takes_the_place_of_an_older_one() {
        let mut all = Vec::new();
        for one in [
            tombstone(1, "a", 5, 9),
            tombstone(2, "b", 5, 9),
            tombstone(3, "a", 6, 20),
            tombstone(4, "a", 5, 20),
        ] {
            insert(&mut all, one);
        }
        assert_eq!(all.iter().map(|t| t.seq).collect::<Vec<_>>(), [2, 4]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut r = Reader::new(&bytes);
            if let Some(what) = Deletion::decode(&mut r) {
                let mut again = Vec::new();
                what.encode(&mut again);
                prop_assert_eq!(Deletion::decode(&mut Reader::new(&again)), Some(what));
            }
        }
    }
}
