//! The head's state out to a checkpoint and back.

use parking_lot::Mutex;

use super::replay::Replay;
use super::{Head, signed};
use crate::checkpoint::SeriesFrame;
use crate::head::index::HeadIndex;
use crate::head::index::frame::CodedFrame;
use crate::head::open::OpenStore;
use crate::head::series::{Logged, Series};
use crate::head::stripes::{RUN, place_in_run, stripe_of};
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

    /// Makes room for so many series.
    pub fn reserve(&self, num_series: usize) {
        self.index.write().reserve(num_series);
    }

    /// Takes over the series of a checkpoint's frame. Frames may come from several threads.
    pub fn restore(&self, frame: &SeriesFrame<'_>, replay: &Mutex<Replay>) {
        let names = self.index.write().name_frame(frame);
        let coded = CodedFrame::new(frame, names);
        let slots = {
            let mut index = self.index.write();
            let slots = index.insert_frame(coded);
            self.note_index(&index);
            slots
        };
        let ids = frame.series.iter().map(|series| series.id);
        replay.lock().name_all(ids.zip(slots.iter().map(|(slot, _)| *slot)));
        let (mut bytes, mut rows) = (0, 0);
        let (mut mint, mut maxt) = (i64::MAX, i64::MIN);
        let mut states = frame.series.iter();
        for run in slots.chunk_by(|a, b| a.0 / RUN == b.0 / RUN) {
            let mut stripe = self.stripes.lock(stripe_of(run[0].0));
            stripe.make(run[0].0);
            let (page, store) = stripe.run(run[0].0).expect("its place was made");
            for ((slot, is_new), state) in run.iter().zip(&mut states) {
                let series = &mut page[place_in_run(*slot)];
                if *is_new {
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
            }
            self.note_shared(&mut stripe);
        }
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
