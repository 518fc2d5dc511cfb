//! The head's state out to a checkpoint and back.

use parking_lot::Mutex;

use super::replay::Replay;
use super::{Head, signed};
use crate::checkpoint::SeriesFrame;
use crate::head::index::HeadIndex;
use crate::head::open::OpenStore;
use crate::head::series::{Logged, Series};
use crate::head::stripes::{RUN, stripe_of};
use crate::wal::record::{HistogramRow, Record};

impl Series {
    /// Its histograms that are not below `boundary`, as rows of a record.
    pub fn histograms_from(&self, boundary: i64) -> impl Iterator<Item = HistogramRow> + '_ {
        let from = self.histograms.partition_point(|(t, _)| *t < boundary);
        self.histograms[from..].iter().map(|(t_ms, value)| HistogramRow {
            series: self.id,
            t_ms: *t_ms,
            late: false,
            value: value.clone(),
        })
    }
}

impl Head {
    /// Calls `take` with the live series of the `run`-th run of neighbouring slots, under their
    /// stripe's lock and the index's; returns whether there is such a run. Series that are made
    /// meanwhile may be missed, none is freed: maintenance does that, and this is maintenance.
    pub fn export_run(
        &self,
        run: u32,
        take: &mut dyn FnMut(&Series, &OpenStore, u32, &HeadIndex),
    ) -> bool {
        let first = run * RUN;
        let stripe = self.stripes.lock(stripe_of(first));
        let index = self.index.read();
        if first as usize >= index.num_slots() {
            return false;
        }
        for slot in first..first + RUN {
            if let Some(series) = stripe.get(slot).filter(|s| s.id.0 != 0) {
                take(series, stripe.store(), slot, &index);
            }
        }
        drop(index);
        stripe.unlock_fair();
        true
    }

    /// Takes over the series of a checkpoint's frame. Frames may come from several threads.
    pub fn restore(&self, frame: &SeriesFrame<'_>, replay: &Mutex<Replay>) {
        let slots = {
            let mut index = self.index.write();
            let slots = index.insert_frame(frame);
            self.note_index(&index);
            let mut replay = replay.lock();
            for (series, (slot, _)) in frame.series.iter().zip(&slots) {
                replay.name(series.id, *slot);
            }
            slots
        };
        let (mut bytes, mut rows) = (0, 0);
        let (mut mint, mut maxt) = (i64::MAX, i64::MIN);
        let mut locked = None;
        for (state, (slot, is_new)) in frame.series.iter().zip(slots) {
            let stripe = match &mut locked {
                Some((number, stripe)) if *number == stripe_of(slot) => stripe,
                locked => {
                    // Two threads must not wait for each other's stripes.
                    *locked = None;
                    let number = stripe_of(slot);
                    &mut locked.insert((number, self.stripes.lock(number))).1
                }
            };
            stripe.make(slot);
            let (series, store) = stripe.part(slot).expect("its place was made");
            if is_new {
                (series.id, series.defined) = (state.id, true);
            }
            series.late_t = series.late_t.max(state.late_t);
            if state.logged_t >= series.logged_t {
                series.logged_t = state.logged_t;
                series.logged = state.logged.map_or(Logged::Nothing, Logged::Float);
            }
            let before = series.heap_bytes();
            series.sealed = frame.sealed(state);
            if let Some(open) = frame.open(state, store)
                && let Some(replaced) = series.open.replace(open)
            {
                replaced.clear(store);
            }
            bytes += signed(series.heap_bytes()) - signed(before);
            rows += series.num_samples();
            (mint, maxt) = (mint.min(series.first_t()), maxt.max(series.applied_t()));
            self.note_shared(stripe);
        }
        drop(locked);
        self.note_applied(bytes, mint, maxt, rows);
    }

    /// Takes over a record of a checkpoint, behind all of its series: rows that were in order are
    /// histograms of series that may have newer floats.
    pub fn restore_record(&self, record: &mut Record, replay: &Mutex<Replay>) {
        let mut replay = replay.lock();
        for row in record.histograms.extract_if(.., |row| !row.late) {
            let Some(slot) = replay.find(row.series) else { continue };
            let mut stripe = self.stripes.lock(stripe_of(slot));
            let series = stripe.get_mut(slot).expect("restored series have a place");
            if series.histograms.last().is_some_and(|(t, _)| *t >= row.t_ms) {
                continue;
            }
            if row.t_ms == series.logged_t && matches!(series.logged, Logged::Nothing) {
                series.logged = Logged::Histogram(row.value.clone());
            }
            let grown = Self::apply_histogram(series, row.t_ms, row.value);
            self.note_applied(grown, row.t_ms, row.t_ms, 1);
        }
    }
}
