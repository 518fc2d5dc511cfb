//! The series of several sources, each label set once.

use std::collections::HashMap;
use std::sync::Arc;

use model::{
    Estimate, Interrupt, LabelFilter, Labels, ReadError, SeriesBuf, SeriesGroups, SeriesSet, Wanted,
};

use super::coded::Classes;
use super::join::{Joined, join};
use super::merge::{self, Part};
use super::{SharedSource, Source};

/// Series between two polls of the interrupt while labels are looked at.
const SERIES_PER_POLL: usize = 4096;

/// Series of a source that a rough estimate looks at.
const ROUGH_SERIES: usize = 64;

/// A merged answer to a selection.
pub struct MergedSet {
    /// By their bounds.
    sources: Vec<SharedSource>,
    series: Joined,
    mint: i64,
    maxt: i64,
    /// No source has times of another and none has late samples: they are read one after the other.
    apart: bool,
    interrupt: Arc<dyn Interrupt>,
    warnings: Vec<String>,
}

impl MergedSet {
    /// The same set with something to tell whoever reads it.
    #[must_use]
    pub fn with_warnings(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// Joins `sources`, each sorted by labels; `seed` is the process's.
    ///
    /// # Errors
    /// [`ReadError::Interrupted`], or of a damaged index.
    pub fn new(
        mut sources: Vec<SharedSource>,
        (mint, maxt): (i64, i64),
        seed: u64,
        interrupt: Arc<dyn Interrupt>,
    ) -> Result<Self, ReadError> {
        sources.sort_by_key(|s| s.bounds());
        let apart = sources.windows(2).all(|w| w[0].bounds().1 < w[1].bounds().0)
            && !sources.iter().any(|s| s.may_be_late(mint, maxt));
        let series = join(&sources, seed, &*interrupt)?;
        Ok(Self { sources, series, mint, maxt, apart, interrupt, warnings: Vec::new() })
    }

    fn source(&self, n: u32) -> &dyn Source {
        &*self.sources[n as usize]
    }
}

impl SeriesSet for MergedSet {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, i: usize) -> Result<Labels, ReadError> {
        let (source, series) = self.series.first_part(i);
        self.source(source).labels(series as usize)
    }

    fn read(&self, i: usize, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        self.read_parts(i, None, buf)
    }

    fn read_wanted(&self, i: usize, wanted: &Wanted, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        self.read_parts(i, Some(wanted), buf)?;
        if buf.stand_ins().is_empty() || buf.histograms().is_empty() && buf.starts().is_empty() {
            return Ok(());
        }
        // One source has nothing but floats, and another one more.
        self.read_parts(i, None, buf)
    }

    fn groups(&self, filter: &LabelFilter) -> Result<SeriesGroups, ReadError> {
        if let (Some(first), true) = (self.sources.first(), self.series.is_first()) {
            return self.groups_of(&**first, filter);
        }
        let of_sources: Vec<SeriesGroups> =
            self.sources.iter().map(|s| self.groups_of(&**s, filter)).collect::<Result<_, _>>()?;
        let (mut groups, mut seen) = (SeriesGroups::default(), HashMap::new());
        for i in 0..self.len() {
            let (n, series) = self.series.first_part(i);
            groups.push(&mut seen, of_sources[n as usize].labels_of(series as usize).clone());
        }
        Ok(groups)
    }

    fn has_samples(&self, i: usize) -> Result<bool, ReadError> {
        let (mint, maxt) = (self.mint, self.maxt);
        let mut known = true;
        for (n, series) in self.series.parts(i) {
            let (source, series) = (self.source(n), series as usize);
            match source.has_samples(series, mint, maxt)? {
                Some(true) => return Ok(true),
                Some(false) => {}
                None => known = false,
            }
            if !source.late(series, mint, maxt).is_empty() {
                return Ok(true);
            }
        }
        if known {
            return Ok(false);
        }
        let mut buf = SeriesBuf::new();
        self.read(i, &mut buf)?;
        Ok(!buf.times().is_empty() || !buf.histograms().is_empty())
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn estimate(&self) -> Estimate {
        self.estimate_by(usize::MAX)
    }

    fn rough_estimate(&self) -> Estimate {
        self.estimate_by(ROUGH_SERIES)
    }
}

impl MergedSet {
    fn read_parts(
        &self,
        i: usize,
        wanted: Option<&Wanted>,
        buf: &mut SeriesBuf,
    ) -> Result<(), ReadError> {
        let span = (self.mint, self.maxt);
        let part = |(n, series)| Part { source: self.source(n), series: series as usize };
        let parts = self.series.parts(i);
        if !self.apart {
            self.interrupt.check()?;
            let mut parts: Vec<Part<'_>> = parts.map(part).collect();
            return merge::read(&mut parts, span, wanted, buf).map(drop);
        }
        buf.begin();
        for (n, series) in parts {
            // Of most series a source has little, but of one it may have millions of samples.
            let polled = self.interrupt.check().map_err(ReadError::from);
            if let Err(e) = polled.and_then(|()| part((n, series)).read(span, wanted, buf)) {
                buf.begin();
                buf.end();
                return Err(e);
            }
        }
        buf.end();
        Ok(())
    }

    /// The estimate from at most `looks` series of each source, which stand for the others.
    fn estimate_by(&self, looks: usize) -> Estimate {
        let mut sum = Estimate::default();
        for source in &self.sources {
            let (len, step) = (source.len(), source.len().div_ceil(looks).max(1));
            // Damage shows when the samples are read; an estimate leaves it out.
            let Ok(seen) = source.estimate(step, self.mint, self.maxt) else { continue };
            sum = sum.plus(seen.scaled(len as u64, len.div_ceil(step) as u64));
            sum.num_samples = sum.num_samples.saturating_add(source.num_late());
        }
        Estimate { num_series: self.len() as u64, ..sum }
    }

    fn groups_of(
        &self,
        source: &dyn Source,
        filter: &LabelFilter,
    ) -> Result<SeriesGroups, ReadError> {
        let mut classes = Classes::new(filter, source.len());
        for from in (0..source.len()).step_by(SERIES_PER_POLL) {
            self.interrupt.check()?;
            let range = from..source.len().min(from + SERIES_PER_POLL);
            source.coded(range, &mut |coded| classes.add(coded))?;
        }
        Ok(classes.finish())
    }
}
