//! The times of open chunks. The series of a scrape have the same, so a stripe keeps each column once:
//! a series names its column and how many of its times are its own.
//!
//! A series that is at the end of its column adds a time to it; the others find their time there. One
//! that finds another time splits off into a column with the same beginning, and those that follow it there
//! find that one.

use std::sync::Arc;

use model::ColumnId;

use crate::chunk::time_stream::{SavedTimes, TimeStream};

/// How many times the series of a column are apart as a rule.
const APART: usize = 8;
/// Columns that new series look at for their first time, newest first.
const RECENT: usize = 16;
/// Columns that have split off from one which are remembered.
const SPLITS: usize = 8;

/// Names a column in its stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnRef(u32);

/// The columns of a stripe.
#[derive(Debug)]
pub struct Columns {
    seed: u64,
    /// A place without series is free.
    list: Vec<Option<Box<Column>>>,
    free: Vec<ColumnRef>,
    recent: [ColumnRef; RECENT],
    next_recent: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Column {
    stream: TimeStream,
    /// The series that name it.
    num_series: u32,
    /// The newest times, each at its place modulo the length.
    newest: [i64; APART],
    /// All times, once a series was further behind: one that is filled after another, for example.
    all: Option<Vec<i64>>,
    /// The id before the newest time: while a scrape is under way, some series have not got it yet.
    before: Option<ColumnId>,
    splits: Vec<Split>,
    /// The encoded times, once somebody wanted them.
    shared: Option<Arc<[u8]>>,
}

/// A column that has other times from a place on.
#[derive(Debug, Clone, Copy)]
struct Split {
    at: u16,
    t: i64,
    column: ColumnRef,
}

impl Column {
    fn new(stream: TimeStream) -> Self {
        let mut newest = [0; APART];
        let times = stream.decode(stream.count());
        for (at, t) in times.iter().enumerate() {
            newest[at % APART] = *t;
        }
        let splits = Vec::new();
        Self { stream, num_series: 0, newest, all: None, before: None, splits, shared: None }
    }

    fn push(&mut self, t: i64) {
        self.before = Some(self.stream.id());
        self.newest[usize::from(self.stream.count()) % APART] = t;
        self.stream.push(t);
        self.shared = None;
        if let Some(all) = &mut self.all {
            all.push(t);
        }
    }

    /// Whether its time at the place `at`, if it is one of the newest, is `t`.
    #[inline]
    fn has_lately(&self, at: u16, t: i64) -> bool {
        let behind = usize::from(self.stream.count()).wrapping_sub(at.into());
        (1..=APART).contains(&behind) && self.newest[usize::from(at) % APART] == t
    }

    /// Whether its time at the place `at` is `t`.
    fn has(&mut self, at: u16, t: i64) -> bool {
        let behind = self.stream.count().saturating_sub(at);
        if behind <= u16::try_from(APART).expect("a few") {
            return self.has_lately(at, t);
        }
        let all = self.all.get_or_insert_with(|| self.stream.decode(self.stream.count()));
        all.get(usize::from(at)) == Some(&t)
    }

    fn bytes(&self) -> usize {
        let shared = self.shared.as_ref().map_or(0, |bytes| bytes.len());
        size_of::<Self>()
            + self.stream.heap_bytes()
            + self.splits.capacity() * size_of::<Split>()
            + self.all.as_ref().map_or(0, |all| all.capacity() * size_of::<i64>())
            + shared
    }
}

impl Columns {
    /// No columns; `seed` is the process's.
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            list: Vec::new(),
            free: Vec::new(),
            recent: [ColumnRef(u32::MAX); RECENT],
            next_recent: 0,
            bytes: 0,
        }
    }

    /// Bytes of memory held.
    pub const fn heap_bytes(&self) -> usize {
        self.bytes + self.list.capacity() * size_of::<Option<Box<Column>>>()
    }

    /// The column of a series whose first time is `t`.
    pub fn start(&mut self, t: i64) -> ColumnRef {
        let starts = |column: &Column| column.stream.mint() == t;
        let found = self.recent.iter().copied().find(|c| self.find(*c).is_some_and(starts));
        let column = found.unwrap_or_else(|| self.add(TimeStream::new(t, self.seed)));
        self.get_mut(column).num_series += 1;
        column
    }

    /// The column of a series that has the first `count` times of `column`, after it got `t`.
    #[inline]
    pub fn advance(&mut self, column: ColumnRef, count: u16, t: i64) -> ColumnRef {
        let found = self.get_mut(column);
        if found.has_lately(count, t) {
            return column;
        }
        if found.stream.count() == count {
            self.change(column, |found| found.push(t));
            return column;
        }
        self.advance_far(column, count, t)
    }

    #[cold]
    fn advance_far(&mut self, column: ColumnRef, count: u16, t: i64) -> ColumnRef {
        if self.change(column, |found| found.has(count, t)) {
            return column;
        }
        self.split(column, count, t)
    }

    /// Reads a word of a column.
    pub fn look(&self, column: ColumnRef) -> u64 {
        self.find(column).map_or(0, |found| found.num_series.into())
    }

    /// Changes a column and notes by how much it grew.
    fn change<R>(&mut self, column: ColumnRef, change: impl FnOnce(&mut Column) -> R) -> R {
        let found = self.get_mut(column);
        let before = found.bytes();
        let changed = change(found);
        let after = found.bytes();
        self.bytes = self.bytes + after - before;
        changed
    }

    fn split(&mut self, column: ColumnRef, at: u16, t: i64) -> ColumnRef {
        let mut splits = self.get(column).splits.iter();
        let known = splits.find(|s| s.at == at && s.t == t).map(|s| s.column);
        // Its place may be another column's by now.
        let same = known.filter(|known| {
            self.find(*known).is_some()
                && self.change(*known, |split| split.has(at, t))
                && self.begins_with(*known, column, at)
        });
        let split = same.unwrap_or_else(|| {
            let mut times = self.get(column).stream.decode(at);
            times.push(t);
            let stream = TimeStream::of(&times, self.seed).expect("there is a time");
            let split = self.add(stream);
            self.change(column, |from| {
                if from.splits.len() == SPLITS {
                    from.splits.remove(0);
                }
                from.splits.push(Split { at, t, column: split });
            });
            split
        });
        self.get_mut(split).num_series += 1;
        self.release(column);
        split
    }

    fn begins_with(&self, column: ColumnRef, other: ColumnRef, count: u16) -> bool {
        self.get(column).stream.decode(count) == self.get(other).stream.decode(count)
    }

    /// Takes a series out of its column, which goes with its last one.
    pub fn release(&mut self, column: ColumnRef) {
        let found = self.get_mut(column);
        found.num_series -= 1;
        if found.num_series == 0 {
            self.bytes -= found.bytes();
            self.list[column.0 as usize] = None;
            self.free.push(column);
            if self.free.len() == self.list.len() {
                (self.list, self.free) = (Vec::new(), Vec::new());
            }
        }
    }

    /// The encoded times of `column`, of which a reader takes as many as it knows to be there.
    pub fn bytes(&mut self, column: ColumnRef) -> Arc<[u8]> {
        if let Some(bytes) = &self.get(column).shared {
            return Arc::clone(bytes);
        }
        self.change(column, |found| {
            let bytes = found.stream.to_bytes();
            found.shared = Some(Arc::clone(&bytes));
            bytes
        })
    }

    /// Names the first `count` times of `column`; `None` where that would take decoding.
    pub fn id(&self, column: ColumnRef, count: u16) -> Option<ColumnId> {
        let found = self.get(column);
        match found.stream.count() - count {
            0 => Some(found.stream.id()),
            1 => found.before,
            _ => None,
        }
    }

    /// The first `count` times of `column` for good: the encoded times, their name, and the bytes of
    /// memory that are one series' share of them.
    pub fn seal(&mut self, column: ColumnRef, count: u16) -> (Arc<[u8]>, ColumnId, u32) {
        let found = self.get(column);
        if found.stream.count() == count {
            let (id, num_series) = (found.stream.id(), found.num_series);
            let bytes = self.bytes(column);
            let share = bytes.len().div_ceil(num_series as usize);
            return (bytes, id, u32::try_from(share).expect("a column is short"));
        }
        let times = found.stream.decode(count);
        let stream = TimeStream::of(&times, self.seed).expect("sealed chunks have samples");
        let bytes = stream.to_bytes();
        let share = u32::try_from(bytes.len()).expect("a column is short");
        (bytes, stream.id(), share)
    }

    /// The first `count` times of `column` with what it takes to go on.
    pub fn save(&self, column: ColumnRef, count: u16) -> SavedTimes {
        let found = self.get(column);
        if found.stream.count() == count {
            return found.stream.save();
        }
        let times = found.stream.decode(count);
        TimeStream::of(&times, self.seed).expect("open chunks have samples").save()
    }

    /// The column of a series whose times were saved; `None` where they are not sound.
    pub fn resume(&mut self, saved: &SavedTimes) -> Option<ColumnRef> {
        let same = |c: &Column| c.stream.id() == saved.column && c.stream.count() == saved.count;
        // Series of one scrape come one after another: the newest is the likeliest.
        let newest_first =
            (1..=RECENT).map(|n| self.recent[self.next_recent.wrapping_sub(n) % RECENT]);
        let found = newest_first.into_iter().find(|c| self.find(*c).is_some_and(same));
        let column = match found {
            Some(column) => column,
            None => self.add(TimeStream::resume(saved)?),
        };
        self.get_mut(column).num_series += 1;
        Some(column)
    }

    fn add(&mut self, stream: TimeStream) -> ColumnRef {
        let column = Box::new(Column::new(stream));
        self.bytes += column.bytes();
        let place = self.free.pop().unwrap_or_else(|| {
            self.list.push(None);
            ColumnRef(u32::try_from(self.list.len() - 1).expect("no more columns than series"))
        });
        self.list[place.0 as usize] = Some(column);
        self.recent[self.next_recent % RECENT] = place;
        self.next_recent += 1;
        place
    }

    fn find(&self, column: ColumnRef) -> Option<&Column> {
        self.list.get(column.0 as usize)?.as_deref()
    }

    fn get(&self, column: ColumnRef) -> &Column {
        self.find(column).expect("a series names a column that it keeps")
    }

    fn get_mut(&mut self, column: ColumnRef) -> &mut Column {
        let found = self.list.get_mut(column.0 as usize).and_then(|c| c.as_deref_mut());
        found.expect("a series names a column that it keeps")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::time_stream::decode_times;
    use proptest::prelude::*;

    fn times(columns: &mut Columns, column: ColumnRef, count: u16) -> Vec<i64> {
        let mut out = Vec::new();
        decode_times(&columns.bytes(column), count, &mut out).unwrap();
        out
    }

    #[test]
    fn the_series_of_a_scrape_share_their_column_whoever_is_ahead() {
        let mut columns = Columns::new(1);
        let mut series: Vec<ColumnRef> = (0..100).map(|_| columns.start(1000)).collect();
        for scrape in 1..40_u16 {
            for column in &mut series {
                *column = columns.advance(*column, scrape, 1000 + i64::from(scrape) * 15_000);
            }
        }
        assert!(series.iter().all(|c| *c == series[0]), "one column for all");
        let ids: Vec<_> = (0..100).map(|n| columns.id(series[n], 40)).collect();
        assert!(ids[0].is_some() && ids.iter().all(|id| *id == ids[0]));
        assert!(columns.id(series[0], 39).is_some());
        assert_eq!(columns.id(series[0], 38), None);
        let (bytes, id, share) = columns.seal(series[3], 40);
        assert!(Some(id) == ids[0] && share as usize == bytes.len().div_ceil(100));
        for column in series {
            columns.release(column);
        }
        assert_eq!(columns.heap_bytes(), 0);
    }

    #[test]
    fn series_that_part_ways_find_each_other_again() {
        let mut columns = Columns::new(1);
        let mut series: Vec<ColumnRef> = (0..60).map(|_| columns.start(0)).collect();
        for scrape in 1..30_u16 {
            for (n, column) in series.iter_mut().enumerate() {
                // Three hosts, whose times begin to differ one after the other.
                let host = i64::try_from(n % 3).unwrap();
                let late = if i64::from(scrape) > 5 * host { host } else { 0 };
                *column = columns.advance(*column, scrape, i64::from(scrape) * 100 + late);
            }
        }
        for host in 0..3 {
            assert!(series.iter().skip(host).step_by(3).all(|c| *c == series[host]), "{host}");
        }
        assert!(series[0] != series[1] && series[1] != series[2]);
        assert_eq!(columns.list.len(), 3);
    }

    #[test]
    fn series_that_are_filled_one_after_the_other_share_their_column() {
        let mut columns = Columns::new(1);
        let mut fill = |from: u16, late: i64| {
            let mut column = columns.start(0);
            for n in 1..100 {
                let t = i64::from(n) * 10 + if n >= from { late } else { 0 };
                column = columns.advance(column, n, t);
            }
            column
        };
        let first = fill(0, 0);
        assert!((0..30).all(|_| fill(0, 0) == first));
        let other = fill(50, 1);
        assert!(other != first && (0..30).all(|_| fill(50, 1) == other));
        assert_eq!(columns.list.len(), 2);
        for column in [first, other].into_iter().flat_map(|c| [c; 31]) {
            columns.release(column);
        }
        assert_eq!(columns.heap_bytes(), 0);
    }

    proptest! {
        #[test]
        fn every_series_keeps_its_own_times(
            steps in proptest::collection::vec((0..12_usize, 1..4_i64, 0..20_u8), 1..400),
        ) {
            let mut columns = Columns::new(1);
            let mut series: Vec<Option<(ColumnRef, Vec<i64>)>> = vec![None; 12];
            for (n, step, what) in steps {
                let place = &mut series[n];
                match (place.as_mut(), what) {
                    (Some((column, want)), 0) => {
                        let count = u16::try_from(want.len()).unwrap();
                        let (bytes, _, _) = columns.seal(*column, count);
                        let mut sealed = Vec::new();
                        decode_times(&bytes, count, &mut sealed).unwrap();
                        prop_assert_eq!(&sealed, &*want);
                        columns.release(*column);
                        *place = None;
                    }
                    (Some((column, want)), 1) => {
                        let saved = columns.save(*column, u16::try_from(want.len()).unwrap());
                        columns.release(*column);
                        *column = columns.resume(&saved).unwrap();
                    }
                    (Some((column, want)), _) => {
                        let t = want.last().unwrap() + step;
                        *column = columns.advance(*column, u16::try_from(want.len()).unwrap(), t);
                        want.push(t);
                    }
                    (None, _) => *place = Some((columns.start(step), vec![step])),
                }
            }
            for (column, want) in series.into_iter().flatten() {
                let count = u16::try_from(want.len()).unwrap();
                prop_assert_eq!(times(&mut columns, column, count), want);
                if let Some(id) = columns.id(column, count) {
                    prop_assert_eq!(id, columns.save(column, count).column);
                }
                columns.release(column);
            }
            prop_assert_eq!(columns.heap_bytes(), 0);
        }
    }
}
