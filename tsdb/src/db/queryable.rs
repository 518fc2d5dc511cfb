//! The database as the engine sees it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use model::{Matcher, NamesRequest, Queryable, ReadError, Selection, SeriesSet};
use roaring::RoaringBitmap;

use super::Db;
use crate::block::{Block, BlockError};
use crate::head::select::HeadPostings;
use crate::postings::resolve;
use crate::quarantine;
use crate::query::SharedSource;
use crate::query::block_source::BlockSource;
use crate::query::head_source::HeadSource;
use crate::query::masked_source::{self, MaskedSource};
use crate::query::set::MergedSet;
use crate::view::View;

impl Db {
    /// What has the series, and what should have and is missing.
    fn sources(
        &self,
        matchers: &[Matcher],
        mint: i64,
        maxt: i64,
    ) -> Result<(Vec<SharedSource>, Vec<String>), ReadError> {
        // The late buffers first: if one is flushed and dropped in between, the view that is
        // loaded after it has the block.
        let late = self.head.late_buffers();
        let view: Arc<View> = self.views.load();
        let warnings = quarantine::warnings(&view.missing, mint, maxt);
        let mut sources: Vec<SharedSource> = Vec::new();
        for block in &view.blocks {
            if !block.meta().overlaps(mint, maxt) {
                continue;
            }
            let block = Arc::clone(block);
            sources.push(match view.mask(block.id()) {
                None => Arc::new(BlockSource::select(block, matchers)?),
                Some(mask) => {
                    let mask = Arc::clone(mask);
                    Arc::new(MaskedSource::select(block, mask, matchers, mint, maxt)?)
                }
            });
        }
        if maxt >= view.boundary || late.iter().any(|b| b.overlaps(mint, maxt)) {
            let boundary = view.boundary;
            let source = HeadSource::select(&self.head, matchers, boundary, late, view);
            sources.push(Arc::new(source));
        }
        Ok((sources, warnings))
    }

    fn names(
        &self,
        request: &NamesRequest,
        mut list: impl FnMut(&Names<'_>) -> Result<Vec<String>, ReadError>,
    ) -> Result<Vec<String>, ReadError> {
        // In this order, as in `sources`.
        let late = self.head.late_buffers();
        let view = self.views.load();
        let mut out = BTreeSet::new();
        for block in &view.blocks {
            request.interrupt.check()?;
            if block.meta().overlaps(request.mint, request.maxt) {
                let hidden = view
                    .mask(block.id())
                    .map(|mask| masked_source::hidden(block, mask, request.mint, request.maxt));
                out.extend(list(&Names::Block(block, hidden))?);
            }
        }
        let (first, last) = self.head.bounds();
        let overlaps = first <= request.maxt && last >= request.mint;
        if overlaps || late.iter().any(|b| b.overlaps(request.mint, request.maxt)) {
            out.extend(list(&Names::Head(&self.head))?);
        }
        Ok(out.into_iter().collect())
    }
}

impl Block {
    /// The series that pass and are not `hidden`; `None` where every series is.
    fn within(
        &self,
        matchers: &[Matcher],
        hidden: Option<&RoaringBitmap>,
    ) -> Result<Option<RoaringBitmap>, BlockError> {
        let hidden = hidden.filter(|hidden| !hidden.is_empty());
        if matchers.is_empty() && hidden.is_none() {
            return Ok(None);
        }
        let mut within = self.select(matchers)?;
        if let Some(hidden) = hidden {
            within -= hidden;
        }
        Ok(Some(within))
    }
}

/// Where names are listed.
enum Names<'a> {
    /// And the series of which everything is deleted.
    Block(&'a Block, Option<RoaringBitmap>),
    Head(&'a crate::head::Head),
}

fn never<T>(result: Result<T, Infallible>) -> T {
    let Ok(value) = result;
    value
}

impl Queryable for Db {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet>, ReadError> {
        let Selection { matchers, mint, maxt, interrupt, .. } = selection;
        let (sources, warnings) = self.sources(matchers, *mint, *maxt)?;
        let (bounds, seed) = ((*mint, *maxt), self.options.seed);
        let set = MergedSet::new(sources, bounds, seed, Arc::clone(interrupt))?;
        Ok(Box::new(set.with_warnings(warnings)))
    }

    fn warnings(&self, mint: i64, maxt: i64) -> Vec<String> {
        quarantine::warnings(&self.views.load().missing, mint, maxt)
    }

    fn label_names(&self, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        self.names(request, |place| match place {
            Names::Head(head) => {
                let index = head.index();
                let index = HeadPostings(&index);
                let within = (!request.matchers.is_empty())
                    .then(|| never(resolve::select(&index, &request.matchers)));
                Ok(never(resolve::label_names(&index, within.as_ref())))
            }
            Names::Block(block, hidden) => {
                let within = block.within(&request.matchers, hidden.as_ref())?;
                Ok(resolve::label_names(*block, within.as_ref())?)
            }
        })
    }

    fn label_values(&self, name: &str, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        self.names(request, |place| match place {
            Names::Head(head) => {
                let index = head.index();
                let index = HeadPostings(&index);
                let within = (!request.matchers.is_empty())
                    .then(|| never(resolve::select(&index, &request.matchers)));
                Ok(never(resolve::label_values(&index, name, within.as_ref())))
            }
            Names::Block(block, hidden) => {
                let within = block.within(&request.matchers, hidden.as_ref())?;
                Ok(resolve::label_values(*block, name, within.as_ref())?)
            }
        })
    }
}
