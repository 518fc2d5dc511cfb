//! The head's index as a source of postings.

use std::borrow::Cow;
use std::convert::Infallible;

use roaring::RoaringBitmap;

use crate::head::index::HeadIndex;
use crate::postings::mem::PostingList;
use crate::postings::{Postings, PostingsSource, VisitValue};

/// A borrowed [`HeadIndex`]; series are slots.
#[derive(Debug, Clone, Copy)]
pub struct HeadPostings<'a>(pub &'a HeadIndex);

impl<'a> From<&'a PostingList> for Postings<'a> {
    fn from(list: &'a PostingList) -> Self {
        match list {
            PostingList::Bitmap(bitmap) => Self::Bitmap(Cow::Borrowed(bitmap)),
            few => Self::List(Cow::Borrowed(few.as_slice())),
        }
    }
}

impl<'a> PostingsSource for HeadPostings<'a> {
    type ValueId = &'a PostingList;
    type Error = Infallible;

    fn all(&self) -> Result<RoaringBitmap, Infallible> {
        Ok(self.0.all().clone())
    }

    fn for_each_name(
        &self,
        visit: &mut dyn FnMut(&str) -> Result<(), Infallible>,
    ) -> Result<(), Infallible> {
        let mut names: Vec<&str> = self.0.names().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names.into_iter().try_for_each(visit)
    }

    fn has_name(&self, name: &str) -> Result<Postings<'_>, Infallible> {
        Ok(self.0.name(name).map_or(Postings::empty(), |n| Postings::Bitmap(Cow::Borrowed(&n.has))))
    }

    fn value_id(&self, name: &str, value: &str) -> Result<Option<Self::ValueId>, Infallible> {
        Ok(self.0.name(name).and_then(|n| n.get(value)))
    }

    fn for_each_value(
        &self,
        name: &str,
        prefix: &str,
        visit: &mut VisitValue<'_, Self::ValueId, Infallible>,
    ) -> Result<(), Infallible> {
        let Some(name) = self.0.name(name) else { return Ok(()) };
        name.values_from(prefix)
            .take_while(|(value, _)| value.starts_with(prefix))
            .try_for_each(|(value, list)| visit(value, list))
    }

    fn postings(&self, id: Self::ValueId) -> Result<Postings<'_>, Infallible> {
        Ok(id.into())
    }
}
