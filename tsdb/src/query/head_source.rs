//! The head as a source: selected slots in label order.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

use model::{Estimate, Labels, Matcher, ReadError, SeriesBuf};
use roaring::RoaringBitmap;

use parking_lot::Mutex;

use super::Source;
use super::coded::Coded;
use crate::head::Head;
use crate::head::late::{LateBuffer, LateValue};
use crate::head::read::{SeriesSnapshot, read_late};
use crate::head::select::HeadPostings;
use crate::postings::resolve;
use crate::wal::record::SeriesRef;

/// The series of the head that pass some matchers.
pub struct HeadSource {
    head: Arc<Head>,
    series: Vec<(u32, SeriesRef)>,
    /// In-order samples below this are in a block.
    boundary: i64,
    late: Vec<Arc<LateBuffer>>,
    /// Buffers not in use.
    snapshots: Mutex<Vec<SeriesSnapshot>>,
    /// Holds what was selected in place: a slot is not taken again while this lives.
    _view: Arc<dyn Send + Sync>,
}

impl HeadSource {
    /// Selects. `view` must live as long as slots and chunks of the time of the selection must.
    pub fn select(
        head: &Arc<Head>,
        matchers: &[Matcher],
        boundary: i64,
        late: Vec<Arc<LateBuffer>>,
        view: Arc<dyn Send + Sync>,
    ) -> Self {
        let index = head.index();
        let selected: Result<_, Infallible> = resolve::select(&HeadPostings(&index), matchers);
        let Ok(selected) = selected;
        drop(index);
        Self::of(head, &selected, boundary, late, view)
    }

    /// The series in the slots `selected`; otherwise as [`HeadSource::select`].
    pub fn of(
        head: &Arc<Head>,
        selected: &RoaringBitmap,
        boundary: i64,
        late: Vec<Arc<LateBuffer>>,
        view: Arc<dyn Send + Sync>,
    ) -> Self {
        let index = head.index();
        let series = index.in_order(selected).into_iter().map(|s| (s, index.series(s))).collect();
        drop(index);
        let snapshots = Mutex::default();
        Self { head: Arc::clone(head), series, boundary, late, snapshots, _view: view }
    }
}

impl Source for HeadSource {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, i: usize) -> Result<Labels, ReadError> {
        Ok(self.head.index().labels(self.series[i].0))
    }

    fn coded(
        &self,
        range: Range<usize>,
        visit: &mut dyn FnMut(Coded<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.head.index().coded(self.series[range].iter().map(|(slot, _)| *slot), visit)
    }

    fn bounds(&self) -> (i64, i64) {
        (self.boundary, i64::MAX)
    }

    fn late_seq(&self) -> u64 {
        0
    }

    fn read(&self, i: usize, mint: i64, maxt: i64, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        let (slot, series) = self.series[i];
        let mint = mint.max(self.boundary);
        if mint > maxt {
            return Ok(());
        }
        let mut snapshot = self.snapshots.lock().pop().unwrap_or_default();
        self.head.snapshot(slot, series, (mint, maxt), &mut snapshot);
        let read = snapshot.read(mint, maxt, buf);
        self.snapshots.lock().push(snapshot);
        read
    }

    fn may_be_late(&self, mint: i64, maxt: i64) -> bool {
        self.late.iter().any(|b| b.overlaps(mint, maxt))
    }

    fn has_samples(&self, i: usize, mint: i64, maxt: i64) -> Result<Option<bool>, ReadError> {
        let (slot, series) = self.series[i];
        Ok(self.head.has_samples(slot, series, mint.max(self.boundary), maxt))
    }

    fn late(&self, i: usize, mint: i64, maxt: i64) -> Vec<(i64, LateValue)> {
        if !self.may_be_late(mint, maxt) {
            return Vec::new();
        }
        read_late(&self.late, self.series[i].1, mint, maxt)
    }

    fn estimate(&self, step: usize, _: i64, _: i64) -> Result<Estimate, ReadError> {
        let mut estimate = Estimate::default();
        for (slot, _) in self.series.iter().step_by(step) {
            let (num_samples, chunk_bytes) = self.head.weight(*slot);
            estimate = estimate.plus(Estimate { num_series: 1, num_samples, chunk_bytes });
        }
        Ok(estimate)
    }

    fn num_late(&self) -> u64 {
        self.late.iter().map(|b| b.num_rows()).sum()
    }
}
