//! One series' results over all steps: what operators hand to each other.

use std::sync::Arc;

use model::{FloatHistogram, Labels};

/// A set of steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    pub(crate) fn empty(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// Makes this the empty set over `len` steps, keeping the allocation.
    pub(crate) fn reset(&mut self, len: usize) {
        self.words.clear();
        self.words.resize(len.div_ceil(64), 0);
        self.len = len;
    }

    pub(crate) fn fill(&mut self) {
        self.words.fill(u64::MAX);
        let tail = self.len % 64;
        if tail > 0
            && let Some(last) = self.words.last_mut()
        {
            *last = (1 << tail) - 1;
        }
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.words.clone_from(&other.words);
        self.len = other.len;
    }

    /// Number of steps that the set is over.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, i: usize) -> bool {
        self.words[i / 64] >> (i % 64) & 1 == 1
    }

    pub(crate) fn set(&mut self, i: usize) {
        self.words[i / 64] |= 1 << (i % 64);
    }

    pub(crate) fn clear(&mut self, i: usize) {
        self.words[i / 64] &= !(1 << (i % 64));
    }

    pub(crate) fn any(&self) -> bool {
        self.words.iter().any(|w| *w != 0)
    }

    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count() == self.len
    }

    pub(crate) fn intersects(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    pub(crate) fn union(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
    }

    pub(crate) fn intersect(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= b);
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= !b);
    }

    /// The members in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(i, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                Some(i * 64 + bit)
            })
        })
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.words.capacity() * 8
    }
}

/// The value of a row at one step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    Absent,
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

/// One series' results over all steps. A step has a float, a histogram or nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) labels: Labels,
    /// Under delayed name removal: the name must go when the query ends.
    pub(crate) drop_name: bool,
    /// One float a step; meaningful where `present` says so.
    pub(crate) floats: Vec<f64>,
    /// The steps that have a float.
    pub(crate) present: Bits,
    /// Empty where the series has no histogram, else one entry a step.
    pub(crate) histograms: Vec<Option<Arc<FloatHistogram>>>,
}

impl Row {
    pub(crate) fn empty(labels: Labels, drop_name: bool, steps: usize) -> Self {
        Self {
            labels,
            drop_name,
            floats: vec![0.0; steps],
            present: Bits::empty(steps),
            histograms: Vec::new(),
        }
    }

    pub(crate) fn steps(&self) -> usize {
        self.floats.len()
    }

    pub(crate) fn cell(&self, step: usize) -> Cell<'_> {
        if self.present.get(step) {
            Cell::Float(self.floats[step])
        } else if let Some(Some(h)) = self.histograms.get(step) {
            Cell::Histogram(h)
        } else {
            Cell::Absent
        }
    }

    pub(crate) fn set_float(&mut self, step: usize, v: f64) {
        self.floats[step] = v;
        self.present.set(step);
    }

    pub(crate) fn set_histogram(&mut self, step: usize, h: Arc<FloatHistogram>) {
        if self.histograms.is_empty() {
            self.histograms.resize(self.steps(), None);
        }
        self.histograms[step] = Some(h);
    }

    pub(crate) fn clear(&mut self, step: usize) {
        self.present.clear(step);
        if let Some(h) = self.histograms.get_mut(step) {
            *h = None;
        }
    }

    /// Whether the row has only floats, which is what the loops are fast for.
    pub(crate) fn is_float(&self) -> bool {
        self.histograms.is_empty()
    }

    /// Whether any step has a histogram.
    pub(crate) fn has_histograms(&self) -> bool {
        self.histograms.iter().any(Option::is_some)
    }

    /// Whether any step has a value.
    pub(crate) fn any(&self) -> bool {
        self.present.any() || self.has_histograms()
    }

    /// The first step that has a value.
    pub(crate) fn first_step(&self) -> Option<usize> {
        let float = self.present.iter().next();
        let histogram = self.histograms.iter().position(Option::is_some);
        [float, histogram].into_iter().flatten().min()
    }

    /// The steps that have a value of either kind.
    pub(crate) fn occupied(&self) -> Bits {
        let mut bits = self.present.clone();
        for (i, h) in self.histograms.iter().enumerate() {
            if h.is_some() {
                bits.set(i);
            }
        }
        bits
    }

    /// Keeps only the steps in `bits`.
    pub(crate) fn retain(&mut self, bits: &Bits) {
        self.present.intersect(bits);
        for (i, h) in self.histograms.iter_mut().enumerate() {
            if !bits.get(i) {
                *h = None;
            }
        }
    }

    /// Takes over the values of `other`; the caller has seen that no step has two.
    pub(crate) fn absorb(&mut self, other: Self) {
        for step in other.present.iter() {
            self.set_float(step, other.floats[step]);
        }
        for (step, h) in other.histograms.into_iter().enumerate() {
            if let Some(h) = h {
                self.set_histogram(step, h);
            }
        }
    }

    /// What the row counts against the sample limit: a histogram by its size (contract 3.6).
    pub(crate) fn samples(&self) -> u64 {
        self.present.count() as u64
            + self.histograms.iter().flatten().map(|h| histogram_samples(h)).sum::<u64>()
    }

    /// Bytes of memory, histograms included.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let own = size_of::<Self>()
            + self.labels.heap_bytes()
            + self.floats.capacity() * 8
            + self.present.heap_bytes()
            + self.histograms.capacity() * 8;
        own as u64
            + self.histograms.iter().flatten().map(|h| 16 * histogram_samples(h)).sum::<u64>()
    }
}

/// How many samples a histogram counts for (contract 3.6).
pub(crate) fn histogram_samples(h: &FloatHistogram) -> u64 {
    crate::histogram::samples(h) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_set_has_each_step_once() {
        for len in [0, 1, 63, 64, 65, 128, 200] {
            let mut bits = Bits::empty(len);
            bits.fill();
            assert!(bits.is_full());
            assert_eq!(bits.iter().collect::<Vec<_>>(), (0..len).collect::<Vec<_>>());
            if len > 0 {
                bits.clear(len - 1);
                assert!(!bits.is_full() && bits.count() == len - 1);
            }
        }
    }

    #[test]
    fn a_row_keeps_floats_and_histograms_apart() {
        let mut row = Row::empty(Labels::empty(), false, 3);
        row.set_float(1, 2.0);
        let mut other = Row::empty(Labels::empty(), false, 3);
        other.set_float(2, 3.0);
        assert!(!row.occupied().intersects(&other.occupied()));
        row.absorb(other);
        assert!(matches!(row.cell(2), Cell::Float(v) if v > 2.5));
        assert!(matches!(row.cell(0), Cell::Absent));
        assert_eq!(row.samples(), 2);
    }
}
