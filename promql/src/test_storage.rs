//! Samples in memory, for tests and for the `.test` language.
//!
//! Appending follows the rules of a head without out-of-order window, and histograms come back
//! with the reset hints that chunks would give them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use model::{
    ColumnId, CounterResetHint, Estimate, FloatHistogram, HistogramValue, Labels, NamesRequest,
    Queryable, ReadError, Selection, SeriesBuf, SeriesSet, UNKNOWN_START,
};

use crate::histogram::compare::detect_reset;

/// A sample was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The series has a newer sample.
    #[error("out of order sample")]
    OutOfOrder,
    /// The series has another value at this time.
    #[error("duplicate sample for timestamp")]
    Duplicate,
}

#[derive(Debug, Default)]
struct Series {
    times: Vec<i64>,
    values: Vec<f64>,
    histograms: Vec<(i64, Arc<FloatHistogram>)>,
    /// When the counting of each float and of each histogram began.
    starts: Vec<i64>,
    histogram_starts: Vec<i64>,
    /// Made when first asked for, so that appending stays cheap.
    column: OnceLock<ColumnId>,
}

/// Series in memory.
#[derive(Debug, Default)]
pub struct TestStorage {
    series: BTreeMap<Labels, Arc<Series>>,
}

impl Series {
    fn newest(&self) -> Option<i64> {
        self.times.last().copied().max(self.histograms.last().map(|(t, _)| *t))
    }

    fn column(&self) -> ColumnId {
        *self.column.get_or_init(|| {
            let mut hash = xxhash_rust::xxh3::Xxh3::new();
            for t in &self.times {
                hash.update(&t.to_le_bytes());
            }
            ColumnId(hash.digest128())
        })
    }

    /// The hint that `h` comes back with: nothing is known of the first sample of a chunk, and a
    /// reset begins one.
    fn hint(&self, h: &FloatHistogram) -> CounterResetHint {
        if h.hint == CounterResetHint::Gauge {
            return h.hint;
        }
        match self.histograms.last() {
            Some((t_ms, before))
                if self.newest() == Some(*t_ms)
                    && before.hint != CounterResetHint::Gauge
                    && !model::is_stale(before.sum)
                    && !detect_reset(h, before) =>
            {
                CounterResetHint::NotReset
            }
            _ => CounterResetHint::Unknown,
        }
    }
}

impl TestStorage {
    /// A storage without series.
    pub fn new() -> Self {
        Self::default()
    }

    fn series(&mut self, labels: &Labels) -> &mut Series {
        let series = self.series.entry(labels.clone()).or_default();
        let series = Arc::get_mut(series).expect("no series set outlives a borrow of the storage");
        series.column = OnceLock::new();
        series
    }

    /// Appends a float.
    ///
    /// # Errors
    /// [`AppendError`]; the same bits at the newest time are no error.
    pub fn append(&mut self, labels: &Labels, t_ms: i64, v: f64) -> Result<(), AppendError> {
        self.append_with_start(labels, (UNKNOWN_START, t_ms), v)
    }

    /// Appends a float whose counting began at `start_ms`.
    ///
    /// # Errors
    /// As [`TestStorage::append`].
    pub fn append_with_start(
        &mut self,
        labels: &Labels,
        (start_ms, t_ms): (i64, i64),
        v: f64,
    ) -> Result<(), AppendError> {
        let series = self.series(labels);
        match series.newest() {
            Some(newest) if newest > t_ms => return Err(AppendError::OutOfOrder),
            Some(newest) if newest == t_ms => {
                let same = series.times.last() == Some(&t_ms)
                    && series.values.last().is_some_and(|old| old.to_bits() == v.to_bits());
                return if same { Ok(()) } else { Err(AppendError::Duplicate) };
            }
            _ => {}
        }
        series.times.push(t_ms);
        series.values.push(v);
        series.starts.push(start_ms);
        Ok(())
    }

    /// Appends a histogram.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append_histogram(
        &mut self,
        labels: &Labels,
        t_ms: i64,
        h: FloatHistogram,
    ) -> Result<(), AppendError> {
        self.append_histogram_with_start(labels, (UNKNOWN_START, t_ms), h)
    }

    /// Appends a histogram whose counting began at `start_ms`.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append_histogram_with_start(
        &mut self,
        labels: &Labels,
        (start_ms, t_ms): (i64, i64),
        h: FloatHistogram,
    ) -> Result<(), AppendError> {
        let series = self.series(labels);
        match series.newest() {
            Some(newest) if newest > t_ms => return Err(AppendError::OutOfOrder),
            Some(newest) if newest == t_ms => return Err(AppendError::Duplicate),
            _ => {}
        }
        let hint = series.hint(&h);
        series.histograms.push((t_ms, Arc::new(FloatHistogram { hint, ..h })));
        series.histogram_starts.push(start_ms);
        Ok(())
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.series.clear();
    }

    fn matching<'a>(
        &'a self,
        matchers: &'a [model::Matcher],
    ) -> impl Iterator<Item = (&'a Labels, &'a Arc<Series>)> {
        self.series
            .iter()
            .filter(|(labels, _)| matchers.iter().all(|m| m.matches(labels.get(&m.name))))
    }
}

struct Set {
    series: Vec<(Labels, Arc<Series>)>,
    mint: i64,
    maxt: i64,
}

impl SeriesSet for Set {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, i: usize) -> Result<Labels, ReadError> {
        Ok(self.series[i].0.clone())
    }

    fn read(&self, i: usize, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        let series = &self.series[i].1;
        buf.begin();
        let runs = buf.times_run(Some(series.column()), |times| {
            let from = series.times.partition_point(|t| *t < self.mint);
            let to = series.times.partition_point(|t| *t <= self.maxt);
            times.extend_from_slice(&series.times[from..to.max(from)]);
            Ok::<_, ReadError>(from)
        })?;
        let kept = runs.skip..runs.skip + runs.len;
        buf.values_mut().extend_from_slice(&series.values[kept.clone()]);
        if series.starts.iter().any(|start| *start != UNKNOWN_START) {
            buf.push_starts(&series.starts[kept]);
        }
        for ((t_ms, h), start_ms) in series.histograms.iter().zip(&series.histogram_starts) {
            if (self.mint..=self.maxt).contains(t_ms) {
                buf.push_histogram(*t_ms, HistogramValue::Float(Arc::clone(h)));
                if *start_ms != UNKNOWN_START {
                    buf.push_histogram_starts(&[*start_ms]);
                }
            }
        }
        buf.end();
        Ok(())
    }

    fn estimate(&self) -> Estimate {
        let samples = |s: &Series| (s.times.len() + s.histograms.len()) as u64;
        Estimate {
            num_series: self.series.len() as u64,
            num_samples: self.series.iter().map(|(_, s)| samples(s)).sum(),
            chunk_bytes: 0,
        }
    }
}

impl Queryable for TestStorage {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet>, ReadError> {
        selection.interrupt.check()?;
        let series = self.matching(&selection.matchers);
        Ok(Box::new(Set {
            series: series.map(|(l, s)| (l.clone(), Arc::clone(s))).collect(),
            mint: selection.mint,
            maxt: selection.maxt,
        }))
    }

    fn label_names(&self, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        let names: BTreeSet<&str> = self
            .matching(&request.matchers)
            .flat_map(|(labels, _)| labels.iter().map(|(name, _)| name))
            .collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn label_values(&self, name: &str, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        let values: BTreeSet<&str> = self
            .matching(&request.matchers)
            .map(|(labels, _)| labels.get(name))
            .filter(|v| !v.is_empty())
            .collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }
}
