//! From a batch to log record and pending rows: look up, judge, order.

use std::collections::{BTreeMap, BTreeSet};

use model::{HistogramValue, is_stale};
use parking_lot::RwLockUpgradableReadGuard;

use super::{Head, SERIES_CLOSE_AT};
use crate::abort::AbortOnPanic;
use crate::append::{
    AppendBatch, AppendPolicy, AppendReport, DuplicatePolicy, MAX_REFUSALS, Refusal, ResolveLabels,
};
use crate::head::alias::Known;
use crate::head::series::{Logged, Standing};
use crate::head::stripes::{Guards, Pending, PendingRow, STRIPES, stripe_of};
use crate::wal::record::{HistogramRow, Record, SeriesRef};
use std::sync::atomic::Ordering;

/// Most bytes of labels that one batch may bring to the index: its definitions are one log record.
const MAX_NEW_LABEL_BYTES: usize = 32 << 20;

/// A judged batch with the stripes that it locked: log the record, then [`Head::pend`].
#[derive(Debug)]
pub struct Judged<'a> {
    /// What to log; may hold nothing.
    pub record: Record,
    /// What became of the rows.
    pub report: AppendReport,
    /// The stripes that hold rows of the batch.
    pub mask: u16,
    guards: Guards<'a>,
    pending: [Option<Pending>; STRIPES],
}

impl Pending {
    fn new(floats: usize) -> Self {
        Self {
            seq: 0,
            floats: Vec::with_capacity(floats),
            histograms: Vec::new(),
            deletions: Vec::new(),
        }
    }

    /// Whether any row is late.
    pub fn needs_late(&self) -> bool {
        self.floats.iter().any(|r| r.late) || self.histograms.iter().any(|r| r.late)
    }
}

impl AppendReport {
    fn refuse(&mut self, series: u32, why: Refusal) {
        self.refused += 1;
        if let Some(limit) = why.limit() {
            *self.over_limits.entry(limit).or_default() += 1;
        }
        if self.refusals.len() < MAX_REFUSALS {
            self.refusals.push((series, why));
        }
    }
}

/// New series of a request after which the accountant hears of them: one request may bring a hundred thousand.
const SERIES_PER_ACCOUNT: u64 = 64;

/// The series of a batch: found, or refused (their rows are then refused too).
#[derive(Debug, Default)]
struct Targets {
    known: Vec<Option<Known>>,
    /// Why, by place in the batch; few or none.
    refused: BTreeMap<u32, Refusal>,
}

impl Targets {
    fn set(&mut self, i: u32, target: Result<Known, Refusal>) {
        self.known[i as usize] = match target {
            Ok(known) => Some(known),
            Err(why) => {
                self.refused.insert(i, why);
                None
            }
        };
    }
}

impl Head {
    /// Judges `batch`: finds or makes its series, locks their stripes and decides each row. The
    /// stripes stay locked until the result is dropped or handed to [`Head::pend`].
    pub fn judge(
        &self,
        batch: &AppendBatch,
        policy: &AppendPolicy,
        resolve: &mut ResolveLabels<'_>,
    ) -> Judged<'_> {
        let mut report = AppendReport::default();
        let mut targets = self.find_series(batch, resolve, &mut report);
        loop {
            let known = targets.known.iter().flatten();
            let mask = known.fold(0, |m, k| m | 1 << stripe_of(k.slot));
            let guards = self.stripes.lock_mask(mask);
            // Between look-up and lock a series may have left the head; then look again.
            let gone: Vec<u32> = (0..)
                .zip(&targets.known)
                .filter(|(_, known)| known.is_some_and(|k| !is_there(&guards, k)))
                .map(|(i, _)| i)
                .collect();
            if gone.is_empty() {
                return self.judge_rows(batch, policy, &targets, mask, guards, report);
            }
            drop(guards);
            for i in gone {
                targets.set(i, self.make_series(i, batch, resolve, &mut report));
            }
        }
    }

    fn find_series(
        &self,
        batch: &AppendBatch,
        resolve: &mut ResolveLabels<'_>,
        report: &mut AppendReport,
    ) -> Targets {
        let mut targets = Targets::default();
        self.aliases.find_all(&batch.series, &mut targets.known);
        for i in (0..).take(batch.series.len()) {
            if targets.known[i as usize].is_none() {
                targets.set(i, self.make_series(i, batch, resolve, report));
            }
        }
        targets
    }

    fn make_series(
        &self,
        i: u32,
        batch: &AppendBatch,
        resolve: &mut ResolveLabels<'_>,
        report: &mut AppendReport,
    ) -> Result<Known, Refusal> {
        let labels = resolve(i).map_err(Refusal::Labels)?;
        report.new_label_bytes += labels.as_bytes().len();
        if report.new_label_bytes > MAX_NEW_LABEL_BYTES {
            return Err(Refusal::TooManyNewLabels { limit: MAX_NEW_LABEL_BYTES });
        }
        // From here on: labels are parsed without it, and a panic there is answered.
        let _abort = AbortOnPanic::new("a series was made");
        let index = self.index.upgradable_read();
        let known = if let Some((slot, series)) = index.find(&labels) {
            Known { slot, series }
        } else {
            let limit = self.options.max_series;
            if index.num_series() >= limit {
                let setting = self.options.max_series_setting;
                return Err(Refusal::TooManySeries { limit, setting });
            }
            if self.refuses_series() {
                let limit = self.options.memory.limit();
                return Err(Refusal::NoMemory { percent: SERIES_CLOSE_AT, limit });
            }
            // The last to be asked, because what it admits counts.
            self.options.series_gate.admit()?;
            let series = SeriesRef(self.next_ref.fetch_add(1, Ordering::Relaxed));
            let mut index = RwLockUpgradableReadGuard::upgrade(index);
            let slot = index.insert(&labels, series);
            self.note_index(&index);
            drop(index);
            // Nobody can hold the new slot's stripe and wait for the index: the index lock was
            // given back. Whoever finds the slot first through the index waits below.
            self.stripes.lock(stripe_of(slot)).make(slot).id = series;
            report.new_series += 1;
            if report.new_series.is_multiple_of(SERIES_PER_ACCOUNT) {
                self.account();
            }
            Known { slot, series }
        };
        self.aliases.insert(batch.series[i as usize], known);
        Ok(known)
    }

    fn judge_rows<'a>(
        &'a self,
        batch: &AppendBatch,
        policy: &AppendPolicy,
        targets: &Targets,
        mask: u16,
        guards: Guards<'a>,
        report: AppendReport,
    ) -> Judged<'a> {
        let mut record = Record {
            metadata: batch.metadata.clone(),
            databases: batch.databases.clone(),
            ..Record::default()
        };
        let num_rows = batch.times.len();
        record.in_order.refs.reserve_exact(num_rows);
        record.in_order.times.reserve_exact(num_rows);
        record.in_order.values.reserve_exact(num_rows);
        let mut judge = Judge {
            head: self,
            policy,
            boundary: self.boundary(),
            targets,
            rows_per_stripe: num_rows.div_ceil(mask.count_ones().max(1) as usize),
            silent: targets.refused.keys().copied().collect(),
            judged: Judged { record, report, mask, guards, pending: Default::default() },
        };
        let rows = batch.sample_series.iter().zip(&batch.times).zip(&batch.values);
        for ((&i, &t), &v) in rows {
            judge.float(i, t, v);
        }
        for (i, t, value) in &batch.histograms {
            judge.histogram(*i, *t, value);
        }
        judge.finish()
    }

    /// Queues the rows of a logged record in their stripes and unlocks them.
    pub fn pend(&self, judged: Judged<'_>, seq: u64) -> (AppendReport, u16) {
        let Judged { report, mask, mut guards, pending, .. } = judged;
        for (guard, pending) in guards.iter_mut().zip(pending) {
            if let (Some(guard), Some(mut pending)) = (guard, pending) {
                pending.seq = seq;
                guard.pending.push_back(pending);
            }
        }
        (report, mask)
    }
}

/// Decides the rows of a batch one by one, under the locks of their stripes.
struct Judge<'h, 'b> {
    head: &'h Head,
    policy: &'b AppendPolicy,
    boundary: i64,
    targets: &'b Targets,
    /// About as many rows as a stripe gets.
    rows_per_stripe: usize,
    /// Refused series none of whose rows said why so far.
    silent: BTreeSet<u32>,
    judged: Judged<'h>,
}

impl Judge<'_, '_> {
    /// Judges one row and notes it as logged where it is accepted and new: the series, and whether
    /// the row is late.
    fn row(
        &mut self,
        i: u32,
        t: i64,
        same: impl FnOnce(&Logged) -> bool,
        value: impl FnOnce() -> Logged,
    ) -> Option<(Known, bool)> {
        let Judged { record, report, guards, .. } = &mut self.judged;
        let Some(known) = self.targets.known[i as usize] else {
            self.silent.remove(&i);
            let why = self.targets.refused.get(&i).expect("an unknown series was refused");
            report.refuse(i, why.clone());
            return None;
        };
        if let Some(why) = out_of_bounds(t, self.policy) {
            report.refuse(i, why);
            return None;
        }
        let series = guards[stripe_of(known.slot)]
            .as_mut()
            .and_then(|g| g.get_mut(known.slot))
            .expect("the stripe of every found series is locked");
        let late = match series.standing(t, self.boundary, same) {
            Standing::InOrder => false,
            Standing::Late => true,
            Standing::Repeated => {
                report.stored += 1;
                report.repeated += 1;
                return None;
            }
            Standing::Contradicting if self.policy.duplicates == DuplicatePolicy::Overwrite => true,
            Standing::Contradicting => {
                report.refuse(i, contradiction(t, &series.logged, &value()));
                return None;
            }
        };
        // A late row below the boundary may be the newest that the head remembers and yet not the
        // series' newest: that one may be in a block. It must not make later corrections fail.
        if !late || t == series.logged_t {
            series.logged_t = t;
            series.logged = value();
        }
        if late {
            series.late_t = series.late_t.max(t);
        }
        if !series.defined {
            series.defined = true;
            record.series.push((known.series, self.head.index.read().labels(known.slot)));
        }
        report.stored += 1;
        report.late += u64::from(late);
        Some((known, late))
    }

    fn float(&mut self, i: u32, t: i64, v: f64) {
        if is_stale(v)
            && let Some(marker) = self.histogram_marker(i)
        {
            return self.histogram(i, t, &marker);
        }
        let bits = v.to_bits();
        let same = |logged: &Logged| matches!(logged, Logged::Float(b) if *b == bits);
        let Some((known, late)) = self.row(i, t, same, || Logged::Float(bits)) else { return };
        if late {
            self.forget_histogram(known, t);
        }
        let record = &mut self.judged.record;
        let rows = if late { &mut record.late } else { &mut record.in_order };
        rows.refs.push(known.series);
        rows.times.push(t);
        rows.values.push(v);
        self.pending(known).floats.push(PendingRow { slot: known.slot, late, t_ms: t, value: v });
    }

    /// The stale marker of a series whose newest sample is a histogram. Senders end every series
    /// with a float; as a histogram it stays in the chunk of its series, as in Prometheus.
    fn histogram_marker(&self, i: u32) -> Option<HistogramValue> {
        let known = self.targets.known[i as usize]?;
        let series = self.judged.guards[stripe_of(known.slot)].as_ref()?.get(known.slot)?;
        match &series.logged {
            Logged::Histogram(newest) => Some(newest.stale_marker()),
            Logged::Float(_) | Logged::Nothing => None,
        }
    }

    fn histogram(&mut self, i: u32, t: i64, value: &HistogramValue) {
        let same = |logged: &Logged| match logged {
            // A NaN sum differs from itself; two stale markers are the same all the same.
            Logged::Histogram(h) => h == value || h.is_stale() && value.is_stale(),
            _ => false,
        };
        let logged = || Logged::Histogram(value.clone());
        let Some((known, late)) = self.row(i, t, same, logged) else { return };
        let row = HistogramRow { series: known.series, t_ms: t, late, value: value.clone() };
        self.judged.record.histograms.push(row);
        let row = PendingRow { slot: known.slot, late, t_ms: t, value: value.clone() };
        self.pending(known).histograms.push(row);
    }

    /// Takes back a late histogram that this batch had at `t`. A record holds its floats before its
    /// histograms and is applied in that order, but of two rows the one that came last wins.
    fn forget_histogram(&mut self, known: Known, t: i64) {
        if self.judged.record.histograms.is_empty() {
            return;
        }
        let record = &mut self.judged.record.histograms;
        record.retain(|row| !(row.late && row.series == known.series && row.t_ms == t));
        let pending = &mut self.pending(known).histograms;
        pending.retain(|row| !(row.late && row.slot == known.slot && row.t_ms == t));
    }

    fn pending(&mut self, known: Known) -> &mut Pending {
        let rows = self.rows_per_stripe;
        self.judged.pending[stripe_of(known.slot)].get_or_insert_with(|| Pending::new(rows))
    }
}

impl<'h> Judge<'h, '_> {
    /// A refused series without rows still says why it was refused.
    fn finish(mut self) -> Judged<'h> {
        for (i, why) in &self.targets.refused {
            if self.silent.contains(i) {
                self.judged.report.refuse(*i, why.clone());
            }
        }
        self.judged
    }
}

impl Record {
    /// Whether there is nothing to log.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
            && self.in_order.refs.is_empty()
            && self.late.refs.is_empty()
            && self.histograms.is_empty()
            && self.metadata.is_empty()
            && self.databases.is_empty()
            && self.deletions.is_empty()
    }
}

fn is_there(guards: &Guards<'_>, known: Known) -> bool {
    guards[stripe_of(known.slot)]
        .as_ref()
        .and_then(|g| g.get(known.slot))
        .is_some_and(|s| s.id == known.series)
}

fn out_of_bounds(t: i64, policy: &AppendPolicy) -> Option<Refusal> {
    // Bounds are inclusive and a flush boundary is one more than the newest time, so the last
    // millisecond of all cannot be stored.
    if t > policy.max_time_ms || t == i64::MAX {
        Some(Refusal::TooFarInFuture)
    } else if t < policy.min_time_ms {
        Some(Refusal::TooOld)
    } else {
        None
    }
}

fn contradiction(t_ms: i64, existing: &Logged, new: &Logged) -> Refusal {
    let text = |logged: &Logged| match logged {
        Logged::Nothing => String::new(),
        Logged::Float(bits) => format_go(f64::from_bits(*bits)),
        Logged::Histogram(_) => "a histogram".to_owned(),
    };
    Refusal::Duplicate { t_ms, existing: text(existing), new: text(new) }
}

/// A float as Go's `%v` prints it: shortest digits, an exponent below -4 and from 21 on.
fn format_go(v: f64) -> String {
    if v.is_nan() {
        return "NaN".to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{v:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if v == 0.0 || (-4..21).contains(&exponent) {
        format!("{v}")
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::format_go;

    #[test]
    fn floats_print_as_go_prints_them() {
        for (v, want) in [
            (1.0, "1"),
            (-0.5, "-0.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(format_go(v), want);
        }
    }
}
