//! Functions of histograms, native ones in a value each and classic ones in a series a bucket.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{BUCKET_LABEL, FloatHistogram, Labels, LabelsBuilder};

use super::call::Call;
use super::element::nameless;
use super::scalar::Scalars;
use super::state::Held;
use super::{Cell, Operator, Query, Row, Rows, State, Steps};
use crate::annotations::Place;
use crate::engine::QueryError;
use crate::functions::histogram::{
    ClassicBucket, bad_bucket_label, classic_fraction, classic_quantile, forced_monotonicity,
    mixed_classic_native, nan_in_fraction, nan_observations, native_kernel, parse_bound,
};
use crate::functions::notes;
use crate::histogram::quantile;
use crate::number;

/// The operator of the histogram function `name`.
pub(crate) fn build<'q>(
    call: &Call<'q>,
    name: &'static str,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    if let Some(f) = native_kernel(name) {
        return nameless(call.query, call.args[0], call.steps, state, move |row, _| {
            let histograms = std::mem::take(&mut row.histograms);
            row.present.reset(row.floats.len());
            for (step, h) in histograms.iter().enumerate() {
                if let Some(h) = h {
                    row.set_float(step, f(h));
                }
            }
            Ok(())
        });
    }
    let (ask, vector) = asked(call, name, state)?;
    let source = call.rows(vector, state)?;
    Ok(assemble(call, ask, source, call.place(vector)))
}

fn assemble<'q>(
    call: &Call<'q>,
    ask: Vec<Ask<'q>>,
    source: Rows<'q>,
    vector_place: Place,
) -> Rows<'q> {
    let rows = Box::new(OfBuckets {
        query: call.query,
        source: Some(source),
        steps: call.steps,
        ask,
        vector_place,
        ready: VecDeque::new(),
        held: Held::default(),
    });
    if call.query.options.delayed_name_removal {
        rows
    } else {
        Box::new(super::merge::Merge::new(rows, super::merge::Equal::Join))
    }
}

/// What the function asks, and which argument is the vector.
fn asked<'q>(
    call: &Call<'q>,
    name: &str,
    state: &mut State,
) -> Result<(Vec<Ask<'q>>, usize), QueryError> {
    Ok(match name {
        "histogram_quantile" => {
            let q = call.scalar(0, state)?;
            warn_of_bad_quantiles(&q, call.steps, call.place(0), state);
            (vec![Ask::Quantile { q, label: None }], 1)
        }
        "histogram_quantiles" => {
            let label = call.text(1);
            let mut asks = Vec::new();
            for i in 2..call.args.len() {
                let q = call.scalar(i, state)?;
                warn_of_bad_quantiles(&q, call.steps, call.place(i), state);
                asks.push(Ask::Quantile { q, label: Some(label) });
            }
            (asks, 0)
        }
        "histogram_fraction" => {
            let (lower, upper) = (call.scalar(0, state)?, call.scalar(1, state)?);
            (vec![Ask::Fraction { lower, upper }], 2)
        }
        _ => return Err(QueryError::Execution(format!("unknown function with name {name:?}"))),
    })
}

fn warn_of_bad_quantiles(q: &Scalars, steps: Steps, place: Place, state: &mut State) {
    for q in (0..steps.count).map(|step| q.at(step)).filter(|q| !(0.0..=1.0).contains(q)) {
        state.annotations.warn(notes::invalid_quantile(q), place);
    }
}

/// What is asked of a histogram.
enum Ask<'q> {
    /// A quantile; `histogram_quantiles` names it in a label.
    Quantile {
        q: Scalars,
        label: Option<&'q str>,
    },
    Fraction {
        lower: Scalars,
        upper: Scalars,
    },
}

/// Series that are one histogram.
#[derive(Default)]
struct Histogram {
    /// Classic: upper bound and counts.
    buckets: Vec<(f64, Row)>,
    /// Native.
    native: Option<Row>,
}

/// The histograms in the order in which they were met.
#[derive(Default)]
struct Histograms {
    places: HashMap<Labels, usize>,
    list: Vec<(Labels, Histogram)>,
}

impl Histograms {
    /// The histogram with these labels.
    fn of(&mut self, labels: Labels) -> &mut Histogram {
        let at = *self.places.entry(labels.clone()).or_insert_with(|| {
            self.list.push((labels, Histogram::default()));
            self.list.len() - 1
        });
        &mut self.list[at].1
    }
}

/// The operator of the functions that take both kinds. All series are read first, because the
/// buckets of a classic histogram come in any order.
struct OfBuckets<'q> {
    query: &'q Query<'q>,
    source: Option<Rows<'q>>,
    steps: Steps,
    ask: Vec<Ask<'q>>,
    /// The place of the vector, for annotations.
    vector_place: Place,
    ready: VecDeque<Row>,
    held: Held,
}

impl OfBuckets<'_> {
    fn read(&mut self, state: &mut State) -> Result<Histograms, QueryError> {
        let mut read = Histograms::default();
        let Some(mut source) = self.source.take() else { return Ok(read) };
        while let Some(row) = source.next(state)? {
            state.hold_row(&mut self.held, &row)?;
            self.add(row, &mut read, state);
        }
        Ok(read)
    }

    /// Puts a series where it belongs: its histograms to the native ones, its floats to the
    /// buckets of a classic one.
    fn add(&self, mut row: Row, read: &mut Histograms, state: &mut State) {
        if !row.is_float() {
            let mut native = Row::empty(row.labels.clone(), row.drop_name, row.steps());
            native.histograms = std::mem::take(&mut row.histograms);
            read.of(row.labels.clone()).native = Some(native);
        }
        if !row.present.any() {
            return;
        }
        let le = row.labels.get(BUCKET_LABEL);
        if let Some(bound) = parse_bound(le) {
            let labels = row.labels.filtered(|name| name != BUCKET_LABEL);
            read.of(labels).buckets.push((bound, row));
        } else {
            let text = bad_bucket_label(le, self.query.known_name(&row.labels));
            state.annotations.warn(text, self.vector_place);
        }
    }

    /// Puts the rows of one histogram into the answer.
    fn answer(
        &mut self,
        labels: &Labels,
        histogram: &Histogram,
        state: &mut State,
    ) -> Result<(), QueryError> {
        let mut rows: Vec<(Labels, Row)> = Vec::new();
        let mut buckets = Vec::new();
        for step in 0..self.steps.count {
            buckets.clear();
            buckets.extend(histogram.buckets.iter().filter_map(|(bound, row)| {
                let count = row.present.get(step).then(|| row.floats[step])?;
                Some(ClassicBucket { bound: *bound, count })
            }));
            state.worked(buckets.len() as u64 + 1)?;
            let native = histogram.native.as_ref().map_or(Cell::Absent, |row| row.cell(step));
            let native = match native {
                Cell::Histogram(h) => Some(h),
                _ => None,
            };
            if native.is_some() && !buckets.is_empty() {
                let text = mixed_classic_native(self.query.known_name(labels));
                state.annotations.warn(text, self.vector_place);
                continue;
            }
            if native.is_none() && buckets.is_empty() {
                continue;
            }
            for ask in &self.ask {
                let scratch = &mut buckets.clone();
                let v = self.value(ask, step, native, scratch, labels, state);
                let labels = ask.labels(labels, step);
                if let Some((_, row)) = rows.iter_mut().find(|(l, _)| *l == labels) {
                    row.set_float(step, v);
                    continue;
                }
                let (name, drop_name) = self.query.nameless(labels.clone());
                let mut row = state.row(name, drop_name, self.steps.count);
                row.set_float(step, v);
                rows.push((labels, row));
            }
        }
        self.ready.extend(rows.into_iter().map(|(_, row)| row));
        Ok(())
    }

    fn value(
        &self,
        ask: &Ask<'_>,
        step: usize,
        native: Option<&Arc<FloatHistogram>>,
        buckets: &mut Vec<ClassicBucket>,
        labels: &Labels,
        state: &mut State,
    ) -> f64 {
        let name = self.query.known_name(labels);
        match (ask, native) {
            (Ask::Quantile { q, .. }, Some(h)) => {
                let (v, nan) = quantile::quantile(q.at(step), h);
                if let Some(nan) = nan {
                    state.annotations.info(nan_observations(nan, name), self.vector_place);
                }
                v
            }
            (Ask::Quantile { q, .. }, None) => {
                let (v, repair) = classic_quantile(q.at(step), buckets);
                if let Some(repair) = repair {
                    let numbers = repair.at(self.steps.at(step));
                    let text = forced_monotonicity(name);
                    state.annotations.monotonicity(text, self.vector_place, numbers);
                }
                v
            }
            (Ask::Fraction { lower, upper }, Some(h)) => {
                let (v, nan) = quantile::fraction(lower.at(step), upper.at(step), h);
                if nan {
                    state.annotations.info(nan_in_fraction(name), self.vector_place);
                }
                v
            }
            (Ask::Fraction { lower, upper }, None) => {
                classic_fraction(lower.at(step), upper.at(step), buckets)
            }
        }
    }
}

impl Ask<'_> {
    /// The labels of the answer at a step.
    fn labels(&self, labels: &Labels, step: usize) -> Labels {
        match self {
            Self::Quantile { q, label: Some(label) } => {
                let text = number::format_openmetrics(q.at(step));
                LabelsBuilder::new(labels).set(label, &text).build()
            }
            _ => labels.clone(),
        }
    }
}

impl Query<'_> {
    /// The metric name for an annotation: it is known only where names are dropped late.
    fn known_name<'a>(&self, labels: &'a Labels) -> &'a str {
        if self.options.delayed_name_removal { labels.metric_name() } else { "" }
    }
}

impl Operator for OfBuckets<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        if self.source.is_some() {
            for (labels, histogram) in self.read(state)?.list {
                self.answer(&labels, &histogram, state)?;
            }
        }
        let row = self.ready.pop_front();
        if row.is_none() {
            state.release(&mut self.held);
        }
        Ok(row)
    }
}
