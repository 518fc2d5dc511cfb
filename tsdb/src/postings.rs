//! Postings: which series have a label pair. The head's index in memory and a block's index on disk
//! answer through one trait, [`PostingsSource`], so that matchers mean the same in both.
//!
//! Series are dense `u32` numbers of the source: a block's series in label order, the head's slots.

use std::borrow::Cow;

use roaring::RoaringBitmap;

pub mod mem;
pub mod ops;
pub mod resolve;

/// An ascending set of series numbers, borrowed from an index where that is possible.
#[derive(Debug, Clone)]
pub enum Postings<'a> {
    /// A short list, strictly ascending.
    List(Cow<'a, [u32]>),
    /// Anything longer.
    Bitmap(Cow<'a, RoaringBitmap>),
}

impl Postings<'_> {
    /// No series.
    pub const fn empty() -> Self {
        Self::List(Cow::Borrowed(&[]))
    }

    /// Number of series.
    pub fn len(&self) -> u64 {
        match self {
            Self::List(list) => list.len() as u64,
            Self::Bitmap(bitmap) => bitmap.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::Bitmap(bitmap) => bitmap.is_empty(),
        }
    }

    /// Whether any of these series is in `other`.
    pub fn intersects(&self, other: &RoaringBitmap) -> bool {
        match self {
            Self::List(list) => list.iter().any(|series| other.contains(*series)),
            Self::Bitmap(bitmap) => !bitmap.is_disjoint(other),
        }
    }

    /// The set as a bitmap of its own.
    pub fn into_bitmap(self) -> RoaringBitmap {
        match self {
            Self::List(list) => list.iter().copied().collect(),
            Self::Bitmap(bitmap) => bitmap.into_owned(),
        }
    }
}

/// What [`PostingsSource::for_each_value`] calls with each value and its pair's id.
pub type VisitValue<'v, I, E> = dyn FnMut(&str, I) -> Result<(), E> + 'v;

/// An inverted index.
///
/// A label pair is named by a [`PostingsSource::ValueId`], which is found by value or met while
/// walking the values of a name, so that a regular expression looks at each distinct value once
/// and at the postings only of those that match.
pub trait PostingsSource {
    /// Names a (label name, value) pair that has series.
    type ValueId: Copy;
    /// Why the index could not be read; [`std::convert::Infallible`] for one in memory.
    type Error;

    /// Every series.
    ///
    /// # Errors
    /// The index could not be read.
    fn all(&self) -> Result<RoaringBitmap, Self::Error>;

    /// Calls `visit` with every label name that some series has, ascending.
    ///
    /// # Errors
    /// The index could not be read, or what `visit` returns.
    fn for_each_name(
        &self,
        visit: &mut dyn FnMut(&str) -> Result<(), Self::Error>,
    ) -> Result<(), Self::Error>;

    /// The series that have a label called `name`, whatever its value.
    ///
    /// # Errors
    /// The index could not be read.
    fn has_name(&self, name: &str) -> Result<Postings<'_>, Self::Error>;

    /// The pair (`name`, `value`), `None` where no series has it. `value` is not empty.
    ///
    /// # Errors
    /// The index could not be read.
    fn value_id(&self, name: &str, value: &str) -> Result<Option<Self::ValueId>, Self::Error>;

    /// Calls `visit` with every value of `name` that begins with `prefix`, ascending.
    ///
    /// # Errors
    /// The index could not be read, or what `visit` returns.
    fn for_each_value(
        &self,
        name: &str,
        prefix: &str,
        visit: &mut VisitValue<'_, Self::ValueId, Self::Error>,
    ) -> Result<(), Self::Error>;

    /// The series that have a pair.
    ///
    /// # Errors
    /// The index could not be read.
    fn postings(&self, id: Self::ValueId) -> Result<Postings<'_>, Self::Error>;
}
