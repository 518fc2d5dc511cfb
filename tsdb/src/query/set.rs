//! The series of several sources, each label set once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::{Estimate, Interrupt, Labels, ReadError, SeriesBuf, SeriesSet};

use super::merge::{self, Part};
use super::{SharedSource, Source};

/// A merged answer to a selection.
pub struct MergedSet {
    sources: Vec<SharedSource>,
    /// Source and number there, grouped by series.
    parts: Vec<(u32, u32)>,
    /// Where the parts of each series begin, and their end.
    starts: Vec<u32>,
    mint: i64,
    maxt: i64,
    interrupt: std::sync::Arc<dyn Interrupt>,
    warnings: Vec<String>,
}

impl MergedSet {
    /// The same set with something to tell whoever reads it.
    #[must_use]
    pub fn with_warnings(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// Joins `sources`, each sorted by labels.
    ///
    /// # Errors
    /// [`ReadError::Interrupted`].
    pub fn new(
        sources: Vec<SharedSource>,
        mint: i64,
        maxt: i64,
        interrupt: std::sync::Arc<dyn Interrupt>,
    ) -> Result<Self, ReadError> {
        let (parts, starts) = match sources.as_slice() {
            [only] => {
                let n = number(only.len());
                ((0..n).map(|i| (0, i)).collect(), (0..=n).collect())
            }
            _ => join(&sources, &*interrupt)?,
        };
        Ok(Self { sources, parts, starts, mint, maxt, interrupt, warnings: Vec::new() })
    }

    fn parts(&self, i: usize) -> &[(u32, u32)] {
        &self.parts[self.starts[i] as usize..self.starts[i + 1] as usize]
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("fewer than 2^32 series in a selection")
}

type Joined = (Vec<(u32, u32)>, Vec<u32>);

fn join(sources: &[SharedSource], interrupt: &dyn Interrupt) -> Result<Joined, ReadError> {
    let mut heap: BinaryHeap<Reverse<(Labels, u32, u32)>> = (0..)
        .zip(sources)
        .filter(|(_, s)| s.len() > 0)
        .map(|(n, s)| Ok(Reverse((s.labels(0)?, n, 0))))
        .collect::<Result<_, ReadError>>()?;
    let (mut parts, mut starts) = (Vec::new(), Vec::new());
    let mut last: Option<Labels> = None;
    while let Some(Reverse((labels, n, i))) = heap.pop() {
        let next = i as usize + 1;
        let source = &sources[n as usize];
        if next < source.len() {
            heap.push(Reverse((source.labels(next)?, n, i + 1)));
        }
        if last.as_ref() != Some(&labels) {
            starts.push(number(parts.len()));
            if starts.len().is_multiple_of(4096) {
                interrupt.check()?;
            }
            last = Some(labels);
        }
        parts.push((n, i));
    }
    starts.push(number(parts.len()));
    Ok((parts, starts))
}

impl SeriesSet for MergedSet {
    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    fn labels(&self, i: usize) -> Result<Labels, ReadError> {
        let (source, series) = self.parts(i)[0];
        self.sources[source as usize].labels(series as usize)
    }

    fn read(&self, i: usize, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        if i.is_multiple_of(64) {
            self.interrupt.check()?;
        }
        let mut parts: Vec<Part<'_>> = self
            .parts(i)
            .iter()
            .map(|(source, series)| Part {
                source: &*self.sources[*source as usize] as &dyn Source,
                series: *series as usize,
            })
            .collect();
        merge::read(&mut parts, self.mint, self.maxt, buf).map(drop)
    }

    fn has_samples(&self, i: usize) -> Result<bool, ReadError> {
        let (mint, maxt) = (self.mint, self.maxt);
        let mut known = true;
        for (source, series) in self.parts(i) {
            let (source, series) = (&self.sources[*source as usize], *series as usize);
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
        let mut sum = Estimate { num_series: self.len() as u64, ..Estimate::default() };
        // Damage shows when the samples are read; an estimate leaves it out.
        for part in self.sources.iter().filter_map(|s| s.estimate(self.mint, self.maxt).ok()) {
            sum.num_samples += part.num_samples;
            sum.chunk_bytes += part.chunk_bytes;
        }
        sum
    }
}
