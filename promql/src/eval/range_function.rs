//! Functions of a range vector, applied to one series at a time.
//!
//! Three ways to the same bits: a whole row from what its column of times was found to need
//! ([`RowPlan`]), a function over the floats of each window, and the kernel of the general case.

use std::sync::Arc;

use model::{FloatHistogram, Labels};

use super::kept::Kept;
use super::merge::{Equal, Merge};
use super::names::without_name;
use super::per_series::{PerSeries, RowMaker};
use super::range::{RangeSource, RangeVector, Reading, Samples, SeriesView, Source, Stored};
use super::scalar::Scalars;
use super::series::Series;
use super::windows::{Reach, Windows};
use super::{Bits, Operator, Query, References, Row, Rows, State, state};
use crate::annotations::Place;
use crate::engine::QueryError;
use crate::functions::dispatch::RangeKernel;
use crate::functions::rate::{Kind, RowPlan, find_resets};
use crate::functions::window::{Notes, Output, PIECE, Window};
use crate::functions::{notes, over_time};
use crate::sum;

/// A range function, ready to be applied to series.
struct Function {
    kernel: RangeKernel,
    fast: Fast,
    /// The function makes sense for counters alone: `rate` and `increase`.
    of_counter: bool,
    args: Vec<Scalars>,
    /// The place of the range vector, for annotations.
    place: Place,
    references: References,
    range_ms: i64,
    reach: Reach,
    /// The reference time of each step.
    ends_ms: Vec<i64>,
    delayed_name_removal: bool,
    type_and_unit_labels: bool,
}

/// What computes series without histograms.
#[derive(Debug, Clone, Copy)]
enum Fast {
    /// Nothing but the kernel.
    No,
    /// A function of the floats of one window, which is not empty.
    Slice(fn(&[f64]) -> f64),
    /// The number of samples.
    Count,
    /// Rates.
    Row(Kind),
}

/// What one thread needs to apply it.
#[derive(Default)]
struct Work {
    columns: Kept<Column>,
    histograms: Windows,
    resets: Vec<u32>,
    args: Vec<f64>,
    nameless: Nameless,
}

/// What is computed from a column of times alone.
#[derive(Debug, Default)]
struct Column {
    windows: Windows,
    plan: RowPlan,
    /// The steps that the plan answers.
    present: Bits,
}

/// Bytes of a [`Column`] a step.
const COLUMN_BYTES: usize = 64;

/// The last few label sets whose name was taken off: those of a group are shared.
#[derive(Default)]
struct Nameless(Vec<(Labels, Labels)>);

impl Nameless {
    const PLACES: usize = 64;

    fn of(&mut self, labels: &Labels) -> Labels {
        let at = labels.place() / 16 % Self::PLACES;
        if self.0.is_empty() {
            self.0.resize_with(Self::PLACES, Default::default);
        }
        let (named, nameless) = &mut self.0[at];
        // The set is held here, so no other one can come to lie in its place.
        if named.place() != labels.place() {
            (*named, *nameless) = (labels.clone(), without_name(labels));
        }
        nameless.clone()
    }
}

/// The fast way for function `name`.
fn fast(name: &str) -> Fast {
    let slice: fn(&[f64]) -> f64 = match name {
        "rate" => return Fast::Row(Kind::Rate),
        "increase" => return Fast::Row(Kind::Increase),
        "delta" => return Fast::Row(Kind::Delta),
        "sum_over_time" => sum::sum,
        "avg_over_time" => sum::mean,
        "min_over_time" => over_time::min,
        "max_over_time" => over_time::max,
        "stdvar_over_time" => sum::variance,
        "stddev_over_time" => |values| sum::variance(values).sqrt(),
        "count_over_time" => return Fast::Count,
        "last_over_time" => |values| values[values.len() - 1],
        "first_over_time" => |values| values[0],
        "present_over_time" => |_| 1.0,
        _ => return Fast::No,
    };
    Fast::Slice(slice)
}

/// The operator of function `name` over `vector`.
pub(crate) fn build<'q>(
    query: &'q Query<'q>,
    name: &str,
    kernel: RangeKernel,
    vector: RangeVector<'q>,
    args: Vec<Scalars>,
    (place, one_name): (Place, bool),
) -> Rows<'q> {
    let RangeVector { source, references, range_ms, reach, modifier } = vector;
    let function = Function {
        kernel,
        fast: if modifier.is_none() { fast(name) } else { Fast::No },
        of_counter: matches!(name, "rate" | "increase"),
        args,
        place,
        references,
        range_ms,
        reach,
        ends_ms: (0..references.steps.count).map(|step| references.at(step)).collect(),
        delayed_name_removal: query.options.delayed_name_removal,
        type_and_unit_labels: query.options.type_and_unit_labels,
    };
    let rows: Rows<'q> = match source {
        Source::Stored(stored) => {
            let Stored { series, reading, .. } = *stored;
            Box::new(PerSeries::new(OverStored { function, series, reading }))
        }
        Source::Evaluated(source) => {
            Box::new(OverEvaluated { function, source, work: Work::default() })
        }
    };
    if kernel.keeps_name || one_name || query.options.delayed_name_removal {
        rows
    } else {
        Box::new(Merge::new(rows, Equal::Refuse))
    }
}

impl Function {
    fn steps(&self) -> usize {
        self.references.steps.count
    }

    /// Computes a series into `row`.
    fn compute(
        &self,
        series: SeriesView<'_>,
        work: &mut Work,
        row: &mut Row,
        state: &mut State,
    ) -> Result<(), QueryError> {
        let times = series.times;
        let (column, is_new) = work.columns.of(series.column, self.steps() * COLUMN_BYTES);
        if is_new {
            let Column { windows, plan, present } = column;
            let stand_ins = series.stand_ins;
            windows.find(|i| times[i], times.len(), stand_ins, &self.references, self.reach);
            if let Fast::Row(kind) = self.fast {
                let windows = windows.bounds().iter().copied().zip(windows.counts());
                plan.make(kind, times, windows, &self.ends_ms, self.range_ms);
                present.reset(plan.len());
                (0..plan.len()).filter(|step| plan.is_present(*step)).for_each(|s| present.set(s));
            }
        }
        if !series.histograms.is_empty() {
            let h = series.histograms;
            work.histograms.find(|i| h[i].0, h.len(), &[], &self.references, self.reach);
            count_histograms(h, work.histograms.bounds(), state);
        }
        if state.looked.is_per_step() {
            for (step, count) in column.windows.counts().enumerate() {
                state.looked_at(step, count);
            }
        } else {
            state.looked_at(0, column.windows.seen());
        }
        let resets_are_told = self.of_counter && !series.starts.is_empty();
        let fast =
            if series.histograms.is_empty() && !resets_are_told { self.fast } else { Fast::No };
        match fast {
            // The kernels poll inside of giant windows.
            Fast::Slice(_) if series.values.len() > PIECE && column.windows.longest() > PIECE => {
                let windows = (&column.windows, &work.histograms);
                self.compute_each(series, windows, &mut work.args, row, state)?;
            }
            Fast::No => {
                let windows = (&column.windows, &work.histograms);
                self.compute_each(series, windows, &mut work.args, row, state)?;
            }
            Fast::Slice(f) => compute_slices(f, &column.windows, series, row, state)?,
            Fast::Count => {
                for (step, count) in column.windows.counts().enumerate().filter(|c| c.1 > 0) {
                    #[expect(clippy::cast_precision_loss, reason = "Prometheus does the same")]
                    row.set_float(step, count as f64);
                }
            }
            Fast::Row(_) => {
                work.resets.clear();
                if column.plan.is_of_counter() {
                    for part in state::parts(series.values.len()) {
                        state.worked(part.len() as u64)?;
                        find_resets(series.values, part, &mut work.resets);
                    }
                }
                column.plan.run(series.values, &work.resets, &mut row.floats);
                row.present.copy_from(&column.present);
                state.worked(column.plan.len() as u64)?;
            }
        }
        Ok(())
    }

    /// Computes each step by the kernel.
    fn compute_each(
        &self,
        series: SeriesView<'_>,
        (floats, histograms): (&Windows, &Windows),
        numbers: &mut Vec<f64>,
        row: &mut Row,
        state: &mut State,
    ) -> Result<(), QueryError> {
        for step in 0..self.steps() {
            let floats = floats.range(step);
            let histograms = match series.histograms {
                [] => 0..0,
                _ => histograms.range(step),
            };
            if floats.is_empty() && histograms.is_empty() {
                continue;
            }
            state.worked((floats.len() + histograms.len()) as u64)?;
            let starts = series.starts.of(floats.clone(), histograms.clone());
            let end_ms = self.references.at(step);
            let window = Window {
                times: &series.times[floats.clone()],
                values: &series.values[floats],
                histograms: &series.histograms[histograms],
                starts,
                start_ms: end_ms.saturating_sub(self.range_ms),
                end_ms,
                step_ms: self.references.steps.at(step),
            };
            numbers.clear();
            numbers.extend(self.args.iter().map(|a| a.at(step)));
            let metric_name = row.labels.metric_name();
            let mut notes = Notes {
                annotations: &mut state.annotations,
                metric_name,
                place: self.place,
                interrupt: &*state.interrupt,
                interrupted: None,
            };
            let output = (self.kernel.eval)(&window, numbers, &mut notes);
            if let Some(reason) = notes.interrupted {
                return Err(reason.into());
            }
            match output.map_err(QueryError::Execution)? {
                Output::Nothing => {}
                Output::Float(v) => row.set_float(step, v),
                Output::Histogram(h) => row.set_histogram(step, h),
            }
        }
        Ok(())
    }

    /// The row of a series; `None` where it has no value.
    fn row(
        &self,
        (labels, drop_name): (Labels, bool),
        series: SeriesView<'_>,
        (work, share_labels): (&mut Work, bool),
        state: &mut State,
    ) -> Result<Option<Row>, QueryError> {
        let mut row = state.row(labels, drop_name, self.steps());
        self.compute(series, work, &mut row, state)?;
        if !row.any() {
            state.recycle(row);
            return Ok(None);
        }
        self.note_counter(&row, state);
        match (self.kernel.keeps_name, self.delayed_name_removal) {
            (true, _) => {}
            (false, true) => row.drop_name = true,
            (false, false) if share_labels => row.labels = work.nameless.of(&row.labels),
            (false, false) => row.labels = without_name(&row.labels),
        }
        Ok(Some(row))
    }

    /// The info that `rate` and `increase` leave once per series.
    fn note_counter(&self, row: &Row, state: &mut State) {
        if self.of_counter
            && row.present.any()
            && let Some(text) = notes::maybe_not_a_counter(&row.labels, self.type_and_unit_labels)
        {
            state.annotations.info(text, self.place);
        }
    }
}

/// Counts the histograms in the windows of each step by their sizes.
fn count_histograms(
    histograms: &[(i64, Arc<FloatHistogram>)],
    windows: &[(u32, u32)],
    state: &mut State,
) {
    let mut total = 0;
    let mut before = vec![0];
    before.extend(histograms.iter().map(|(_, h)| {
        total += super::row::histogram_samples(h);
        total
    }));
    for (step, (low, high)) in windows.iter().enumerate() {
        state.looked_at(step, before[*high as usize] - before[*low as usize]);
    }
}

fn compute_slices(
    f: fn(&[f64]) -> f64,
    windows: &Windows,
    series: SeriesView<'_>,
    row: &mut Row,
    state: &mut State,
) -> Result<(), QueryError> {
    for (step, &(low, high)) in windows.bounds().iter().enumerate() {
        if low < high {
            row.set_float(step, f(&series.values[low as usize..high as usize]));
            state.worked(u64::from(high - low))?;
        }
    }
    Ok(())
}

/// A function of series of storage.
struct OverStored {
    function: Function,
    series: Series,
    reading: Reading,
}

/// What one thread needs to read series and apply the function.
#[derive(Default)]
struct Lane {
    samples: Samples,
    work: Work,
}

impl RowMaker for OverStored {
    type Lane = Lane;

    fn series(&self) -> &Series {
        &self.series
    }

    fn steps(&self) -> usize {
        self.function.steps()
    }

    fn row(&self, i: usize, lane: &mut Lane, state: &mut State) -> Result<Option<Row>, QueryError> {
        let beside = lane.work.columns.len() * self.steps() * COLUMN_BYTES;
        if !lane.samples.read((&self.series, i), self.reading, beside, state)? {
            return Ok(None);
        }
        let labels = (self.series.labels(i)?, false);
        let work = (&mut lane.work, self.series.share_labels());
        self.function.row(labels, lane.samples.view(self.reading), work, state)
    }

    fn release(&self, lane: &mut Lane, state: &mut State) {
        lane.samples.release(state);
    }
}

/// A function of what another part of the query evaluated.
struct OverEvaluated<'q> {
    function: Function,
    source: Box<dyn RangeSource + 'q>,
    work: Work,
}

impl Operator for OverEvaluated<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        while let Some(labels) = self.source.next(state)? {
            let work = (&mut self.work, false);
            if let Some(row) = self.function.row(labels, self.source.series(), work, state)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}
