//! The buffer that the samples of one series are read into.
//!
//! Series of one scrape share their times. The buffer keeps the times of the series before, so that
//! one which names the same columns brings its values alone; and because the series of many scrapes
//! come in turn, it keeps those of a few hundred scrapes ([`SeriesBuf::slot`]).

use std::convert::Infallible;
use std::ops::Range;

use crate::histogram::HistogramValue;
use crate::need::StandIn;

/// Names a column of timestamps: equal ids mean equal times, within one process and one
/// [`Selection`](crate::Selection). Storage makes them from the content or from the place of the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnId(pub u128);

/// The start time of a sample whose start is not known (remote write 2.0).
pub const UNKNOWN_START: i64 = 0;

/// Where the kept times of a run lie: `skip` times of the column came before the selection, `len`
/// are inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runs {
    /// Leading values of the run to drop.
    pub skip: usize,
    /// Values of the run to keep after those.
    pub len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    id: Option<ColumnId>,
    /// Times of the column before the first one that is kept.
    skip: usize,
    /// First time in `times`.
    start: usize,
    len: usize,
}

/// The columns of a series, one behind the other.
#[derive(Debug, Default)]
struct Layout {
    columns: Vec<Column>,
    times: Vec<i64>,
    stand_ins: Vec<StandIn>,
    generation: u64,
}

impl Layout {
    fn clear(&mut self) {
        self.columns.clear();
        self.times.clear();
        self.stand_ins.clear();
    }

    /// Whether the columns begin with the first `num` of `other`.
    fn begins_with(&self, other: &Self, num: usize) -> bool {
        let same = |at: usize| self.id(at).is_some() && self.id(at) == other.id(at);
        (0..num).all(same)
    }

    fn id(&self, at: usize) -> Option<ColumnId> {
        self.columns.get(at).and_then(|c| c.id)
    }
}

/// Layouts are kept in sets by their first column, some ways each: a series is compared with a few.
const SETS: usize = 64;
const WAYS: usize = 4;
/// Times that are kept: 4 MiB.
const MAX_KEPT: usize = 1 << 19;

/// The samples of one series, in buffers that are reused from series to series.
///
/// Storage fills it: [`SeriesBuf::begin`], then per run [`SeriesBuf::times_run`] and
/// [`SeriesBuf::values_mut`], then [`SeriesBuf::end`]. Use one buffer per selection and thread.
#[derive(Debug, Default)]
pub struct SeriesBuf {
    /// Empty, or [`SeriesBuf::SLOTS`].
    layouts: Vec<Layout>,
    /// The layout of a series that no other can share.
    own: Layout,
    /// What a new layout is made in.
    spare: Layout,
    /// The slot of the current layout; `None`: `own`.
    slot: Option<usize>,
    /// Columns of the current series so far.
    num_columns: usize,
    /// The current layout was made for this series and grows with it.
    fresh: bool,
    /// Times in `layouts`.
    kept: usize,
    values: Vec<f64>,
    histograms: Vec<(i64, HistogramValue)>,
    /// Empty, or a start time for each value.
    starts: Vec<i64>,
    /// Empty, or a start time for each histogram.
    histogram_starts: Vec<i64>,
    generation: u64,
}

impl SeriesBuf {
    /// All of [`SeriesBuf::slot`] are below this.
    pub const SLOTS: usize = SETS * WAYS;

    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts the next series. Times of the series before are kept for reuse.
    pub fn begin(&mut self) {
        if self.fresh {
            // The series before was not ended: what there is of it is no layout.
            self.current_mut().clear();
            self.fresh = false;
        }
        self.num_columns = 0;
        self.values.clear();
        self.histograms.clear();
        self.starts.clear();
        self.histogram_starts.clear();
    }

    /// The times of the next run. `fill` appends the column's times inside the selection to the
    /// vector and returns how many earlier ones it skipped; it is not called where the buffer
    /// still holds this column at this place. `None` as id never matches.
    ///
    /// # Errors
    /// Whatever `fill` returns; call [`SeriesBuf::begin`] before the buffer is used again.
    pub fn times_run<E>(
        &mut self,
        id: Option<ColumnId>,
        fill: impl FnOnce(&mut Vec<i64>) -> Result<usize, E>,
    ) -> Result<Runs, E> {
        let at = self.num_columns;
        if let Some(id) = id
            && !self.fresh
            && self.follow(id)
        {
            self.num_columns += 1;
            let column = self.current().columns[at];
            return Ok(Runs { skip: column.skip, len: column.len });
        }
        self.diverge(id);
        let layout = self.current_mut();
        let start = layout.times.len();
        let skip = fill(&mut layout.times)?;
        let len = layout.times.len() - start;
        layout.columns.push(Column { id, skip, start, len });
        self.num_columns += 1;
        Ok(Runs { skip, len })
    }

    /// Finds a layout that goes on with column `id`.
    fn follow(&mut self, id: ColumnId) -> bool {
        let at = self.num_columns;
        if self.slot.is_some() && self.current().id(at) == Some(id) {
            return true;
        }
        if at > 0 && self.slot.is_none() || self.layouts.is_empty() {
            return false;
        }
        let first = if at == 0 { id } else { self.current().id(0).unwrap_or(id) };
        let current = self.current();
        let fits = |l: &Layout| l.id(at) == Some(id) && (at == 0 || l.begins_with(current, at));
        let set = set_of(first);
        let found = self.layouts[set.clone()].iter().position(fits);
        if let Some(way) = found {
            self.slot = Some(set.start + way);
        }
        found.is_some()
    }

    /// Makes the current layout one that may grow: a copy of what the series has of it so far.
    fn diverge(&mut self, id: Option<ColumnId>) {
        if self.fresh {
            return;
        }
        let num = self.num_columns;
        self.spare.clear();
        let from = match self.slot {
            Some(slot) => &self.layouts[slot],
            None => &self.own,
        };
        let prefix = &from.columns[..num];
        self.spare.columns.extend_from_slice(prefix);
        let num_times = prefix.last().map_or(0, |c| c.start + c.len);
        self.spare.times.extend_from_slice(&from.times[..num_times]);
        let num_stand_ins = from.stand_ins.partition_point(|s| s.at < num_times);
        self.spare.stand_ins.extend_from_slice(&from.stand_ins[..num_stand_ins]);
        self.generation += 1;
        self.spare.generation = self.generation;
        self.fresh = true;
        let first = if num == 0 { id } else { self.spare.id(0) };
        let (Some(first), true) = (first, id.is_some()) else {
            std::mem::swap(&mut self.own, &mut self.spare);
            self.slot = None;
            return;
        };
        if self.layouts.is_empty() {
            self.layouts.resize_with(Self::SLOTS, Layout::default);
        }
        if self.kept > MAX_KEPT {
            self.layouts.iter_mut().for_each(|layout| *layout = Layout::default());
            self.kept = 0;
        }
        let set = set_of(first);
        let free = self.layouts[set.clone()].iter().position(|l| l.columns.is_empty());
        // Not the oldest: where scrapes come in turn, that is the next to be needed.
        let way = usize::try_from(self.generation).unwrap_or(0) % WAYS;
        let slot = set.start + free.unwrap_or(way);
        std::mem::swap(&mut self.layouts[slot], &mut self.spare);
        self.kept -= self.spare.times.len();
        self.slot = Some(slot);
    }

    fn current(&self) -> &Layout {
        self.slot.map_or(&self.own, |slot| &self.layouts[slot])
    }

    fn current_mut(&mut self) -> &mut Layout {
        match self.slot {
            Some(slot) => &mut self.layouts[slot],
            None => &mut self.own,
        }
    }

    /// The float values so far; append one for each time of the run.
    pub fn values_mut(&mut self) -> &mut Vec<f64> {
        &mut self.values
    }

    /// Appends a histogram; times increase strictly.
    pub fn push_histogram(&mut self, t_ms: i64, value: HistogramValue) {
        self.histograms.push((t_ms, value));
    }

    /// The start times of the floats appended last, ms, one each; [`UNKNOWN_START`] where there is
    /// none. What is never told is unknown, and costs nothing.
    pub fn push_starts(&mut self, starts: &[i64]) {
        push_tail(&mut self.starts, starts, self.values.len());
    }

    /// The same of the histograms appended last.
    pub fn push_histogram_starts(&mut self, starts: &[i64]) {
        push_tail(&mut self.histogram_starts, starts, self.histograms.len());
    }

    /// Appends floats with times that are shared with no other series.
    pub fn push_unshared(&mut self, samples: impl IntoIterator<Item = (i64, f64)>) {
        self.diverge(None);
        let layout = match self.slot {
            Some(slot) => &mut self.layouts[slot],
            None => &mut self.own,
        };
        let start = layout.times.len();
        for (t, v) in samples {
            layout.times.push(t);
            self.values.push(v);
        }
        let len = layout.times.len() - start;
        layout.columns.push(Column { id: None, skip: 0, start, len });
        self.num_columns += 1;
    }

    /// Appends floats that stand for a run of which they are some: the last one for `left_out` more
    /// ([`StandIn`]). The same `id` means the same times and as many left out.
    pub fn push_standing(&mut self, id: ColumnId, samples: &[(i64, f64)], left_out: u64) {
        let mut is_new = false;
        let Ok(_) = self.times_run(Some(id), |times| {
            is_new = true;
            times.extend(samples.iter().map(|(t, _)| *t));
            Ok::<_, Infallible>(0)
        });
        if is_new && left_out > 0 {
            let Layout { times, stand_ins, .. } = self.current_mut();
            let before = stand_ins.last().map_or(0, |s| s.left_out);
            stand_ins.push(StandIn { at: times.len() - 1, left_out: before + left_out });
        }
        self.values.extend(samples.iter().map(|(_, v)| *v));
    }

    /// Ends the series.
    pub fn end(&mut self) {
        if self.num_columns == 0 || self.num_columns < self.current().columns.len() {
            self.shorten();
        }
        if self.fresh {
            self.fresh = false;
            if self.slot.is_some() {
                self.kept += self.current().times.len();
            }
        }
        debug_assert_eq!(self.times().len(), self.values.len(), "one value per time");
        push_tail(&mut self.starts, &[], self.values.len());
        push_tail(&mut self.histogram_starts, &[], self.histograms.len());
    }

    /// The series has fewer columns than the layout that it followed: finds or makes its own.
    fn shorten(&mut self) {
        let num = self.num_columns;
        if num > 0
            && let (Some(_), Some(first)) = (self.slot, self.current().id(0))
        {
            let set = set_of(first);
            let current = self.current();
            let fits = |l: &Layout| l.columns.len() == num && l.begins_with(current, num);
            if let Some(way) = self.layouts[set.clone()].iter().position(fits) {
                self.slot = Some(set.start + way);
                return;
            }
            return self.diverge(Some(first));
        }
        self.diverge(None);
    }

    /// Times of the float samples, ms, strictly increasing.
    pub fn times(&self) -> &[i64] {
        &self.current().times
    }

    /// Which of the float samples stand for others, in order.
    pub fn stand_ins(&self) -> &[StandIn] {
        &self.current().stand_ins
    }

    /// Float samples, those that others stand for included.
    pub fn num_floats(&self) -> u64 {
        self.values.len() as u64 + self.stand_ins().last().map_or(0, |s| s.left_out)
    }

    /// Values of the float samples, as many as [`SeriesBuf::times`].
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The histogram samples, strictly increasing by time.
    pub fn histograms(&self) -> &[(i64, HistogramValue)] {
        &self.histograms
    }

    /// When the counting of each float sample began, ms: as many as [`SeriesBuf::values`], or none
    /// where no start is known. An unknown one among known ones is [`UNKNOWN_START`].
    pub fn starts(&self) -> &[i64] {
        &self.starts
    }

    /// The same of [`SeriesBuf::histograms`].
    pub fn histogram_starts(&self) -> &[i64] {
        &self.histogram_starts
    }

    /// Names [`SeriesBuf::times`]: the same number means the same times, and stand-ins.
    pub fn generation(&self) -> u64 {
        self.current().generation
    }

    /// Where the buffer keeps [`SeriesBuf::times`], below [`SeriesBuf::SLOTS`]: a series that comes
    /// back to a slot mostly finds the generation that it left there. `None` where nobody comes back.
    pub fn slot(&self) -> Option<usize> {
        self.slot
    }

    /// Where each run lies in [`SeriesBuf::times`].
    pub fn run_ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.current().columns.iter().map(|c| c.start..c.start + c.len)
    }

    /// Bytes that the buffers hold.
    pub fn heap_bytes(&self) -> usize {
        (self.kept + self.own.times.capacity() + self.spare.times.capacity()) * 8
            + self.layouts.capacity() * size_of::<Layout>()
            + self.values.capacity() * 8
            + self.histograms.capacity() * size_of::<(i64, HistogramValue)>()
            + (self.starts.capacity() + self.histogram_starts.capacity()) * 8
    }
}

/// The slots of layouts that begin with this column.
fn set_of(first: ColumnId) -> Range<usize> {
    let folded = first.0 ^ first.0 >> 64;
    // Multiplied, because the ids of a block are neighbours and those of the head are hashes.
    let mixed = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let set = usize::try_from(mixed % SETS as u128).unwrap_or(0);
    set * WAYS..(set + 1) * WAYS
}

/// Makes `tail` the last of `len` start times, those before it that were not told unknown. A list
/// of nothing stays one.
fn push_tail(starts: &mut Vec<i64>, tail: &[i64], len: usize) {
    if !starts.is_empty() || !tail.is_empty() {
        debug_assert!(starts.len() + tail.len() <= len, "a start time for each sample at most");
        starts.resize(len.saturating_sub(tail.len()), UNKNOWN_START);
        starts.extend_from_slice(tail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn run(buf: &mut SeriesBuf, id: u128, times: &[i64], filled: &mut usize) -> Runs {
        let runs = buf
            .times_run(Some(ColumnId(id)), |out| {
                *filled += 1;
                out.extend_from_slice(times);
                Ok::<_, ()>(1)
            })
            .unwrap();
        let n = runs.len;
        buf.values_mut().extend((0..n).map(|i| f64::from(u32::try_from(i).unwrap())));
        runs
    }

    #[test]
    fn shared_columns_are_filled_once_and_keep_the_generation() {
        let (mut buf, mut filled) = (SeriesBuf::new(), 0);
        buf.begin();
        run(&mut buf, 1, &[1, 2], &mut filled);
        run(&mut buf, 2, &[3], &mut filled);
        buf.end();
        let generation = buf.generation();
        buf.begin();
        assert_eq!(run(&mut buf, 1, &[1, 2], &mut filled), Runs { skip: 1, len: 2 });
        run(&mut buf, 2, &[3], &mut filled);
        buf.end();
        assert_eq!((filled, buf.generation(), buf.times()), (2, generation, &[1, 2, 3][..]));

        buf.begin();
        run(&mut buf, 1, &[1, 2], &mut filled);
        buf.end();
        assert_ne!(buf.generation(), generation, "a shorter series has other times");
        assert_eq!(buf.times(), [1, 2]);

        buf.begin();
        buf.push_unshared([(7, 1.0)]);
        buf.end();
        assert_eq!((buf.times(), buf.values()), (&[7][..], &[1.0][..]));
    }

    #[test]
    fn columns_of_many_scrapes_in_turn_are_filled_once_each() {
        let (mut buf, mut filled) = (SeriesBuf::new(), 0);
        for turn in 0..5 {
            for host in 0..100_i64 {
                buf.begin();
                run(
                    &mut buf,
                    (1 << 64) + u128::from(host.unsigned_abs()),
                    &[host, host + 200],
                    &mut filled,
                );
                buf.end();
                assert_eq!(buf.times(), [host, host + 200], "turn {turn}");
            }
        }
        assert!(filled < 130, "{filled} fills of 100 columns");
    }

    #[test]
    fn a_series_that_was_broken_off_leaves_nothing_behind() {
        let (mut buf, mut filled) = (SeriesBuf::new(), 0);
        buf.begin();
        run(&mut buf, 1, &[1], &mut filled);
        buf.times_run(Some(ColumnId(2)), |out| {
            out.push(99);
            Err(())
        })
        .unwrap_err();
        buf.begin();
        run(&mut buf, 1, &[1], &mut filled);
        run(&mut buf, 2, &[2], &mut filled);
        buf.end();
        assert_eq!(buf.times(), [1, 2]);
    }

    #[test]
    fn start_times_stand_beside_their_samples_or_are_absent() {
        let mut buf = SeriesBuf::new();
        buf.begin();
        buf.push_unshared([(10, 1.0), (20, 2.0)]);
        buf.push_unshared([(30, 3.0)]);
        buf.push_starts(&[25]);
        buf.push_unshared([(40, 4.0)]);
        buf.end();
        assert_eq!(buf.starts(), [UNKNOWN_START, UNKNOWN_START, 25, UNKNOWN_START]);
        assert!(buf.histogram_starts().is_empty());

        buf.begin();
        buf.push_unshared([(10, 1.0)]);
        buf.end();
        assert!(buf.starts().is_empty(), "those of the series before are gone");
    }

    proptest! {
        /// Series of runs: a shared column (by id), one that stands for more, or an own one. Times and
        /// stand-ins are those of the runs, whatever came before, and equal generations mean equal ones.
        #[test]
        fn times_are_those_of_the_runs(
            series in proptest::collection::vec(proptest::collection::vec((0..6_u128, 0..3_u8), 0..4), 1..80),
        ) {
            let mut buf = SeriesBuf::new();
            let mut known: HashMap<u64, (Vec<i64>, Vec<StandIn>)> = HashMap::new();
            for (n, runs) in series.into_iter().enumerate() {
                let (mut want, mut stand_ins, mut left_out) = (Vec::new(), Vec::new(), 0);
                buf.begin();
                for (place, (id, kind)) in runs.into_iter().enumerate() {
                    let base = i64::try_from(place).unwrap() * 1000;
                    if kind == 2 {
                        let num = u64::try_from(id).unwrap();
                        let id = id + 100 * place as u128 + 50;
                        let times = [base + i64::try_from(id).unwrap(), base + 900];
                        want.extend(times);
                        left_out += num;
                        if num > 0 {
                            stand_ins.push(StandIn { at: want.len() - 1, left_out });
                        }
                        buf.push_standing(ColumnId(id), &times.map(|t| (t, 0.5)), num);
                    } else if kind == 1 {
                        let id = id + 100 * place as u128;
                        let times = [base + i64::try_from(id).unwrap(), base + 900];
                        want.extend(times);
                        run(&mut buf, id, &times, &mut 0);
                    } else {
                        let t = base + i64::try_from(n).unwrap();
                        want.push(t);
                        buf.push_unshared([(t, 0.0)]);
                    }
                }
                buf.end();
                prop_assert_eq!(buf.times(), want.as_slice());
                prop_assert_eq!(buf.stand_ins(), stand_ins.as_slice());
                prop_assert_eq!(buf.num_floats(), want.len() as u64 + left_out);
                prop_assert_eq!(buf.values().len(), want.len());
                prop_assert_eq!(buf.run_ranges().map(|r| r.len()).sum::<usize>(), want.len());
                let want = (want, stand_ins);
                prop_assert_eq!(known.entry(buf.generation()).or_insert_with(|| want.clone()), &want);
            }
        }
    }
}
