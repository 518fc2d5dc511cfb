//! Reads over head and blocks together.

pub mod block_source;
pub mod coded;
pub mod head_source;
pub mod join;
pub mod masked_source;
pub mod merge;
pub mod set;

use std::ops::Range;
use std::sync::Arc;

use coded::Coded;
use model::{Estimate, Labels, ReadError, SeriesBuf, Wanted};

/// One place that holds samples: the head, a block. Series are numbered in label order.
#[expect(clippy::len_without_is_empty, reason = "nobody asks, and trait objects stay small")]
pub trait Source: Send + Sync {
    /// Number of series.
    fn len(&self) -> usize;

    /// Labels of series `i`.
    ///
    /// # Errors
    /// [`ReadError`].
    fn labels(&self, i: usize) -> Result<Labels, ReadError>;

    /// Calls `visit` with the coded labels of the series in `range`, in order. It must not ask the
    /// source for anything: locks may be held.
    ///
    /// # Errors
    /// [`ReadError`], also of `visit`.
    fn coded(
        &self,
        range: Range<usize>,
        visit: &mut dyn FnMut(Coded<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError>;

    /// First and last time that any sample of it can have, ms, inclusive.
    fn bounds(&self) -> (i64, i64);

    /// Rank of its samples against those of other sources at the same time: the higher one wins.
    fn late_seq(&self) -> u64;

    /// Appends the samples of series `i` in `[mint, maxt]` to `buf`, as runs, between
    /// [`SeriesBuf::begin`] and [`SeriesBuf::end`].
    ///
    /// # Errors
    /// [`ReadError`].
    fn read(&self, i: usize, mint: i64, maxt: i64, buf: &mut SeriesBuf) -> Result<(), ReadError>;

    /// As [`Source::read`] for a reader that needs no more than `wanted`: some samples may stand for
    /// others.
    ///
    /// # Errors
    /// [`ReadError`].
    fn read_wanted(
        &self,
        i: usize,
        (mint, maxt): (i64, i64),
        wanted: &Wanted,
        buf: &mut SeriesBuf,
    ) -> Result<(), ReadError> {
        let _ = wanted;
        self.read(i, mint, maxt, buf)
    }

    /// Late samples of all series together at most, whatever their time.
    fn num_late(&self) -> u64 {
        0
    }

    /// Whether [`Source::late`] may give anything.
    fn may_be_late(&self, mint: i64, maxt: i64) -> bool {
        let _ = (mint, maxt);
        false
    }

    /// Whether series `i` has a sample in `[mint, maxt]`, late ones apart, as far as that can be told
    /// without decoding any: `None` where it cannot.
    ///
    /// # Errors
    /// [`ReadError`].
    fn has_samples(&self, i: usize, mint: i64, maxt: i64) -> Result<Option<bool>, ReadError>;

    /// Late samples of series `i` in `[mint, maxt]` that beat every source; in time order.
    fn late(&self, i: usize, mint: i64, maxt: i64) -> Vec<(i64, crate::head::late::LateValue)> {
        let _ = (i, mint, maxt);
        Vec::new()
    }

    /// What reading each `step`-th series costs at most.
    ///
    /// # Errors
    /// [`ReadError`].
    fn estimate(&self, step: usize, mint: i64, maxt: i64) -> Result<Estimate, ReadError>;
}

/// What the bounds of chunks say: a chunk that begins or ends in `[mint, maxt]` has a sample there,
/// one that reaches over it may have none.
pub fn any_inside(
    chunks: impl IntoIterator<Item = (i64, i64)>,
    mint: i64,
    maxt: i64,
) -> Option<bool> {
    let mut known = true;
    for (first, last) in chunks {
        if (mint..=maxt).contains(&first) || (mint..=maxt).contains(&last) {
            return Some(true);
        }
        known &= first > maxt || last < mint;
    }
    known.then_some(false)
}

/// A shared source.
pub type SharedSource = Arc<dyn Source>;
