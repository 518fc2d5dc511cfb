//! How many samples the steps of a query looked at and read, as Prometheus counts them: for all steps
//! together, and for each of them where somebody asked (`promql-per-step-stats`).

use model::SeriesBuf;

use super::References;

/// What is counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looked {
    /// Samples that are in the windows of steps: once for each.
    pub(crate) queryable: u64,
    /// The same of each step; empty where nobody asked.
    pub(crate) queryable_at: Vec<u64>,
    /// Samples read, each at the first step that has it in its window; empty where nobody asked.
    pub(crate) read_at: Vec<u64>,
}

impl Looked {
    /// Nothing yet, of each of `steps` where they are given.
    pub(crate) fn new(steps: Option<usize>) -> Self {
        let each = vec![0; steps.unwrap_or(0)];
        Self { queryable: 0, queryable_at: each.clone(), read_at: each }
    }

    /// Nothing yet, of as many steps as here.
    #[must_use]
    pub(crate) fn fresh(&self) -> Self {
        Self::new(self.is_per_step().then_some(self.read_at.len()))
    }

    /// Whether each step counts for itself.
    pub(crate) fn is_per_step(&self) -> bool {
        !self.read_at.is_empty()
    }

    /// Adds what steps looked at, not what was read.
    pub(crate) fn absorb_queryable(&mut self, other: &Self) {
        self.queryable += other.queryable;
        add(&mut self.queryable_at, &other.queryable_at);
    }

    /// Adds what was counted elsewhere.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.absorb_queryable(other);
        add(&mut self.read_at, &other.read_at);
    }

    /// Adds what was looked at once for all of `steps`: each of them has looked at it, the first one has
    /// read it.
    pub(crate) fn absorb_once(&mut self, once: &Self, steps: usize) {
        self.queryable += once.queryable * steps as u64;
        for step in &mut self.queryable_at {
            *step += once.queryable;
        }
        if let Some(first) = self.read_at.first_mut() {
            *first += once.read_at.iter().sum::<u64>();
        }
    }

    /// Adds what step `step` looked at.
    pub(crate) fn look(&mut self, step: usize, samples: u64) {
        self.queryable += samples;
        if let Some(at) = self.queryable_at.get_mut(step) {
            *at += samples;
        }
    }

    /// Adds the samples of `buf` that were read for the steps of `references`. Those that one stands
    /// for are between the same steps.
    pub(crate) fn read(&mut self, buf: &SeriesBuf, references: &References) {
        let (mut stand_ins, mut before) = (buf.stand_ins().iter().peekable(), 0);
        let floats = buf.times().iter().enumerate().map(|(i, t)| match stand_ins.peek() {
            Some(s) if s.at == i => {
                let left_out = s.left_out - std::mem::replace(&mut before, s.left_out);
                stand_ins.next();
                (*t, 1 + left_out)
            }
            _ => (*t, 1),
        });
        self.read_each(floats, references);
        self.read_each(buf.histograms().iter().map(|h| (h.0, 1)), references);
    }

    fn read_each(&mut self, samples: impl Iterator<Item = (i64, u64)>, references: &References) {
        let mut step = 0;
        for (t_ms, num) in samples {
            while step + 1 < self.read_at.len() && references.at(step) < t_ms {
                step += 1;
            }
            self.read_at[step] += num;
        }
    }
}

fn add(to: &mut [u64], from: &[u64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
