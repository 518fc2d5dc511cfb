//! The head's state out to a checkpoint and back, and the replay of log records.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use model::{HistogramValue, Labels};

use super::{Head, SERIES_BYTES, signed};
use crate::chunk::gorilla::SealedChunk;
use crate::head::late::LateValue;
use crate::head::series::{Logged, sealed_bytes};
use crate::head::stripes::stripe_of;
use crate::wal::record::{Record, Rows, SeriesRef};

/// What a checkpoint keeps of a series.
#[derive(Debug, Clone)]
pub struct SeriesState {
    /// Its name.
    pub id: SeriesRef,
    /// Its labels.
    pub labels: Labels,
    /// Time of the newest logged row.
    pub logged_t: i64,
    /// Newest time of a row that was late when logged.
    pub late_t: i64,
    /// Value of the newest logged row.
    pub logged: Logged,
    /// In-order chunks, the open one sealed as it stands.
    pub chunks: Vec<Arc<SealedChunk>>,
    /// In-order histograms.
    pub histograms: Vec<(i64, HistogramValue)>,
}

/// What a checkpoint says of a defined series.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkState {
    /// Its name.
    pub id: SeriesRef,
    /// Time of the newest logged row.
    pub logged_t: i64,
    /// Newest time of a row that was late when logged.
    pub late_t: i64,
    /// Bits of the newest logged row's value, where it is a float.
    pub logged: Option<u64>,
    /// In-order chunks, oldest first.
    pub chunks: Vec<Arc<SealedChunk>>,
}

/// Where replay has come to: which slot each reference of the log means now, and what it dropped.
#[derive(Debug, Default)]
pub struct Replay {
    slots: HashMap<SeriesRef, u32>,
    /// Late rows of records up to this are in blocks.
    flushed_late_seq: u64,
    /// Rows applied.
    pub rows: u64,
    /// Rows whose series definition was lost.
    pub orphans: u64,
    highest: u64,
}

impl Head {
    /// Calls `visit` with the state of every live series, stripe by stripe; samples below
    /// `boundary` are left out.
    pub fn export(&self, boundary: i64, mut visit: impl FnMut(SeriesState)) {
        for number in 0..super::stripes::STRIPES {
            let mut states = Vec::new();
            {
                let mut stripe = self.stripes.lock(number);
                let index = self.index.read();
                for (slot, s) in stripe.iter_mut(number) {
                    let mut chunks: Vec<_> =
                        s.sealed.iter().filter(|c| c.maxt >= boundary).cloned().collect();
                    if s.open.count() > 0 && s.open.maxt() >= boundary {
                        chunks.push(Arc::new(s.open.seal()));
                    }
                    let from = s.histograms.partition_point(|(t, _)| *t < boundary);
                    states.push(SeriesState {
                        id: s.id,
                        labels: index.labels(slot),
                        logged_t: s.logged_t,
                        late_t: s.late_t,
                        logged: s.logged.clone(),
                        chunks,
                        histograms: s.histograms[from..].to_vec(),
                    });
                }
            }
            states.into_iter().for_each(&mut visit);
        }
    }

    /// Puts the chunks of a series of a checkpoint back; a record defined it before.
    pub fn restore(&self, state: ChunkState, replay: &mut Replay) {
        let Some(slot) = replay.find(state.id) else { return };
        let mut stripe = self.stripes.lock(stripe_of(slot));
        let series = stripe.get_mut(slot).expect("replay_series made it");
        let bytes: usize = state.chunks.iter().map(|c| sealed_bytes(c)).sum();
        let rows = state.chunks.iter().map(|c| u64::from(c.count)).sum::<u64>();
        series.late_t = series.late_t.max(state.late_t);
        // A histogram at this time was replayed from the record before and is no float.
        if state.logged_t > series.logged_t || state.logged.is_some() {
            series.logged_t = state.logged_t;
            series.logged = state.logged.map_or(Logged::Nothing, Logged::Float);
        }
        series.sealed = state.chunks;
        let (mint, maxt) = (series.first_t(), series.applied_t());
        drop(stripe);
        self.note_applied(signed(bytes), mint, maxt, rows);
    }

    fn replay_series(&self, id: SeriesRef, labels: &Labels, replay: &mut Replay) -> u32 {
        replay.highest = replay.highest.max(id.0);
        let found = self.index.read().find(labels);
        let slot = if let Some((slot, _)) = found {
            slot
        } else {
            let slot = self.index.write().insert(labels, id);
            let mut stripe = self.stripes.lock(stripe_of(slot));
            let series = stripe.make(slot, self.options.seed);
            (series.id, series.defined) = (id, true);
            self.series_bytes.fetch_add(SERIES_BYTES, Ordering::Relaxed);
            slot
        };
        replay.slots.insert(id, slot);
        slot
    }

    /// Applies a record of the log as it was judged then. What is in a block or in the checkpoint
    /// already is skipped, so replaying twice changes nothing.
    pub fn replay(&self, seq: u64, record: &Record, replay: &mut Replay) {
        for (id, labels) in &record.series {
            self.replay_series(*id, labels, replay);
        }
        self.replay_in_order(&record.in_order, replay);
        let flushed = seq <= replay.flushed_late_seq;
        self.replay_late(&record.late, flushed, replay);
        let boundary = self.boundary();
        for row in &record.histograms {
            let Some(slot) = replay.find(row.series) else { continue };
            let mut stripe = self.stripes.lock(stripe_of(slot));
            let series = stripe.get_mut(slot).expect("replayed series have a place");
            if row.late {
                series.late_t = series.late_t.max(row.t_ms);
                if !flushed {
                    series.has_late = true;
                    let value = LateValue::Histogram(row.value.clone());
                    self.late.read().active.insert(series.id, row.t_ms, value);
                }
            } else if row.t_ms >= boundary && row.t_ms > series.applied_t() {
                let grown = Self::apply_histogram(series, row.t_ms, row.value.clone());
                self.note_applied(grown, row.t_ms, row.t_ms, 1);
            }
            if row.t_ms > series.logged_t && !row.late || row.t_ms == series.logged_t {
                series.logged_t = row.t_ms;
                series.logged = Logged::Histogram(row.value.clone());
            }
            replay.rows += 1;
        }
    }

    fn replay_in_order(&self, rows: &Rows, replay: &mut Replay) {
        let boundary = self.boundary();
        for ((id, &t), &v) in rows.refs.iter().zip(&rows.times).zip(&rows.values) {
            let Some(slot) = replay.find(*id) else { continue };
            let mut stripe = self.stripes.lock(stripe_of(slot));
            let series = stripe.get_mut(slot).expect("replayed series have a place");
            if t >= boundary && t > series.applied_t() {
                let grown = self.apply_float(series, t, v);
                self.note_applied(grown, t, t, 1);
            }
            if t >= series.logged_t {
                series.logged_t = t;
                series.logged = Logged::Float(v.to_bits());
            }
            replay.rows += 1;
        }
    }

    /// Late rows that are `flushed` still say what their series has logged.
    fn replay_late(&self, rows: &Rows, flushed: bool, replay: &mut Replay) {
        let late = Arc::clone(&self.late.read().active);
        for ((id, &t), &v) in rows.refs.iter().zip(&rows.times).zip(&rows.values) {
            let Some(slot) = replay.find(*id) else { continue };
            let mut stripe = self.stripes.lock(stripe_of(slot));
            let series = stripe.get_mut(slot).expect("replayed series have a place");
            series.late_t = series.late_t.max(t);
            if !flushed {
                series.has_late = true;
                late.insert(series.id, t, LateValue::Float(v.to_bits()));
            }
            if t == series.logged_t {
                series.logged = Logged::Float(v.to_bits());
            }
            replay.rows += 1;
        }
    }

    /// Ends replay: references that were seen are not given out again.
    pub fn end_replay(&self, replay: &Replay) {
        self.next_ref.fetch_max(replay.highest.saturating_add(1), Ordering::Relaxed);
        self.account();
    }
}

impl Replay {
    /// A replay that skips the late rows of records up to `flushed_late_seq`.
    pub fn behind(flushed_late_seq: u64) -> Self {
        Self { flushed_late_seq, ..Self::default() }
    }

    fn find(&mut self, id: SeriesRef) -> Option<u32> {
        // An orphan's reference is not given out again either.
        self.highest = self.highest.max(id.0);
        let slot = self.slots.get(&id).copied();
        self.orphans += u64::from(slot.is_none());
        slot
    }
}
