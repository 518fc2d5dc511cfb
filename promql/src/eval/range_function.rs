//! Functions of a range vector, applied to one series at a time.
//!
//! Three ways to the same bits: a whole row from what its column of times was found to need
//! ([`RowPlan`]), a function over the floats of each window, and the kernel of the general case.

use super::merge::{Equal, Merge};
use super::range::{RangeVector, SeriesView};
use super::scalar::Scalars;
use super::windows::Windows;
use super::{Bits, Operator, Query, Row, Rows, State};
use crate::ast::Pos;
use crate::engine::QueryError;
use crate::functions::dispatch::RangeKernel;
use crate::functions::rate::{Kind, RowPlan};
use crate::functions::window::{Notes, Output, Window};
use crate::functions::{notes, over_time};
use crate::sum;

/// A range function over its range vector.
pub(crate) struct RangeFunction<'q> {
    query: &'q Query<'q>,
    vector: RangeVector<'q>,
    kernel: RangeKernel,
    fast: Fast,
    /// The function makes sense for counters alone: `rate` and `increase`.
    of_counter: bool,
    args: Vec<Scalars>,
    /// The place of the range vector, for annotations.
    pos: Pos,
    floats: Windows,
    histograms: Windows,
    scratch: Scratch,
}

/// What computes series without histograms.
enum Fast {
    /// Nothing but the kernel.
    No,
    /// A function of the floats of one window, which is not empty.
    Slice(fn(&[f64]) -> f64),
    /// Rates; the plan and the steps it answers hold for the current column of times.
    Row(Kind, Option<(RowPlan, Bits)>),
}

#[derive(Default)]
struct Scratch {
    ends_ms: Vec<i64>,
    resets: Vec<u32>,
    args: Vec<f64>,
}

/// The fast way for function `name`.
fn fast(name: &str) -> Fast {
    let slice: fn(&[f64]) -> f64 = match name {
        "rate" => return Fast::Row(Kind::Rate, None),
        "increase" => return Fast::Row(Kind::Increase, None),
        "delta" => return Fast::Row(Kind::Delta, None),
        "sum_over_time" => sum::sum,
        "avg_over_time" => sum::mean,
        "min_over_time" => over_time::min,
        "max_over_time" => over_time::max,
        "stdvar_over_time" => sum::variance,
        "stddev_over_time" => |values| sum::variance(values).sqrt(),
        #[expect(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
        "count_over_time" => |values| values.len() as f64,
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
    (pos, one_name): (Pos, bool),
) -> Rows<'q> {
    let steps = vector.references.steps.count;
    let vector_is_plain = vector.modifier.is_none();
    let ends_ms = (0..steps).map(|step| vector.references.at(step)).collect();
    let function = Box::new(RangeFunction {
        query,
        vector,
        kernel,
        fast: if vector_is_plain { fast(name) } else { Fast::No },
        of_counter: matches!(name, "rate" | "increase"),
        args,
        pos,
        floats: Windows::default(),
        histograms: Windows::default(),
        scratch: Scratch { ends_ms, ..Scratch::default() },
    });
    if kernel.keeps_name || one_name || query.options.delayed_name_removal {
        function
    } else {
        Box::new(Merge::new(function, Equal::Refuse))
    }
}

impl RangeFunction<'_> {
    /// Computes the current series into `row`.
    fn compute(&mut self, row: &mut Row, state: &mut State) -> Result<(), QueryError> {
        let series = self.vector.source.series();
        let RangeVector { references, range_ms, reach, .. } = &self.vector;
        let times = series.times;
        let anew =
            self.floats.update(|i| times[i], times.len(), series.generation, references, *reach);
        if anew && let Fast::Row(_, plan) = &mut self.fast {
            // Also where this series is computed in another way: the next may have its times.
            *plan = None;
        }
        if !series.histograms.is_empty() {
            let h = series.histograms;
            self.histograms.update(|i| h[i].0, h.len(), None, references, *reach);
            state.stats.queryable_samples += self.histograms.seen();
        }
        state.stats.queryable_samples += self.floats.seen();
        let resets_are_told = self.of_counter && !series.starts.is_empty();
        if !series.histograms.is_empty() || resets_are_told {
            return compute_each(
                self.kernel,
                &self.args,
                (&self.floats, &self.histograms),
                &self.vector,
                &mut self.scratch.args,
                self.pos,
                row,
                state,
            );
        }
        match &mut self.fast {
            Fast::No => {
                return compute_each(
                    self.kernel,
                    &self.args,
                    (&self.floats, &self.histograms),
                    &self.vector,
                    &mut self.scratch.args,
                    self.pos,
                    row,
                    state,
                );
            }
            Fast::Slice(f) => compute_slices(*f, &self.floats, series, row, state)?,
            Fast::Row(kind, plan) => {
                if plan.is_none() {
                    let bounds = self.floats.bounds();
                    let row_plan =
                        RowPlan::new(*kind, times, bounds, &self.scratch.ends_ms, *range_ms);
                    let mut present = Bits::empty(row_plan.len());
                    for step in (0..row_plan.len()).filter(|step| row_plan.is_present(*step)) {
                        present.set(step);
                    }
                    *plan = Some((row_plan, present));
                }
                let (plan, present) = plan.as_ref().expect("made just now");
                plan.run(series.values, &mut self.scratch.resets, &mut row.floats);
                row.present.copy_from(present);
                state.worked((series.values.len() + plan.len()) as u64)?;
            }
        }
        Ok(())
    }

    /// The info that `rate` and `increase` leave once per series.
    fn note_counter(&self, row: &Row, state: &mut State) {
        if self.of_counter
            && row.present.any()
            && let Some(text) =
                notes::maybe_not_a_counter(&row.labels, self.query.options.type_and_unit_labels)
        {
            state.annotations.info(text, self.pos);
        }
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

#[expect(clippy::too_many_arguments, reason = "the parts of one operator, borrowed apart")]
fn compute_each(
    kernel: RangeKernel,
    args: &[Scalars],
    (floats, histograms): (&Windows, &Windows),
    vector: &RangeVector<'_>,
    numbers: &mut Vec<f64>,
    pos: Pos,
    row: &mut Row,
    state: &mut State,
) -> Result<(), QueryError> {
    let series = vector.source.series();
    for step in 0..vector.references.steps.count {
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
        let end_ms = vector.references.at(step);
        let window = Window {
            times: &series.times[floats.clone()],
            values: &series.values[floats],
            histograms: &series.histograms[histograms],
            starts,
            start_ms: end_ms.saturating_sub(vector.range_ms),
            end_ms,
            step_ms: vector.references.steps.at(step),
        };
        numbers.clear();
        numbers.extend(args.iter().map(|a| a.at(step)));
        let metric_name = row.labels.metric_name();
        let mut notes = Notes { annotations: &mut state.annotations, metric_name, pos };
        match (kernel.eval)(&window, numbers, &mut notes).map_err(QueryError::Execution)? {
            Output::Nothing => {}
            Output::Float(v) => row.set_float(step, v),
            Output::Histogram(h) => row.set_histogram(step, h),
        }
    }
    Ok(())
}

impl Operator for RangeFunction<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        while let Some((labels, drop_name)) = self.vector.source.next(state)? {
            let steps = self.vector.references.steps.count;
            let mut row = state.row(labels, drop_name, steps);
            self.compute(&mut row, state)?;
            if row.any() {
                self.note_counter(&row, state);
                if !self.kernel.keeps_name {
                    self.query.drop_name(&mut row);
                }
                return Ok(Some(row));
            }
            state.recycle(row);
        }
        Ok(None)
    }
}
