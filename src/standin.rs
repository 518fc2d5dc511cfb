//! Stand-ins for storage and engine until they land; dropped then.
#![allow(dead_code, clippy::unnecessary_wraps, clippy::unused_self, reason = "dropped soon")]

pub(crate) mod duration;
pub(crate) mod engine;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::{
    Accountant, Estimate, Labels, MetricMetadata, NamesRequest, Queryable, ReadError, Selection,
    SeriesBuf, SeriesSet,
};
use parking_lot::Mutex;
use tsdb::append::{
    AliasHasher, AppendBatch, AppendError, AppendPolicy, AppendReport, DuplicatePolicy,
    MAX_REFUSALS, Refusal, ResolveLabels,
};
use tsdb::fs::{Fs, LockGuard};
use tsdb::wal::WalMode;

#[derive(Debug, Clone)]
pub(crate) struct DbOptions {
    pub(crate) wal_mode: WalMode,
    pub(crate) memory: Accountant,
    pub(crate) max_series: u64,
    pub(crate) block_range_ms: i64,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            wal_mode: WalMode::EveryWrite,
            memory: Accountant::unlimited(),
            max_series: 5_000_000,
            block_range_ms: 7_200_000,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct OpenError(pub(crate) String);

type Samples = BTreeMap<i64, f64>;

#[derive(Debug, Default)]
struct State {
    series: BTreeMap<Labels, Samples>,
    aliases: std::collections::HashMap<u128, Labels>,
    metadata: BTreeMap<String, MetricMetadata>,
    databases: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Db {
    state: Mutex<State>,
    hasher: AliasHasher,
    options: DbOptions,
    _lock: Option<Box<dyn LockGuard>>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct DbStats {
    pub(crate) num_series: u64,
    pub(crate) num_label_pairs: u64,
    pub(crate) num_chunks: u64,
    pub(crate) min_time_ms: i64,
    pub(crate) max_time_ms: i64,
    pub(crate) num_blocks: u64,
    pub(crate) wal_bytes: u64,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Cardinality {
    pub(crate) series_by_metric: Vec<(String, u64)>,
    pub(crate) values_by_label: Vec<(String, u64)>,
    pub(crate) memory_by_label: Vec<(String, u64)>,
    pub(crate) series_by_pair: Vec<(String, u64)>,
}

impl Db {
    pub(crate) fn open(fs: Arc<dyn Fs>, dir: &Path, options: DbOptions) -> Result<Self, OpenError> {
        let fail = |e: std::io::Error| OpenError(format!("{}: {e}", dir.display()));
        for part in dir.ancestors().collect::<Vec<_>>().into_iter().rev() {
            if !part.as_os_str().is_empty() && !fs.exists(part).map_err(fail)? {
                fs.create_dir(part).map_err(fail)?;
            }
        }
        let lock = fs.lock(&dir.join("lock")).map_err(|e| {
            OpenError(format!("{} is in use by another process: {e}", dir.display()))
        })?;
        Ok(Self {
            state: Mutex::default(),
            hasher: AliasHasher::new(7),
            options,
            _lock: Some(lock),
        })
    }

    pub(crate) fn alias_hasher(&self) -> AliasHasher {
        self.hasher
    }

    pub(crate) fn append(
        &self,
        batch: &AppendBatch,
        policy: &AppendPolicy,
        resolve: &mut ResolveLabels<'_>,
    ) -> Result<AppendReport, AppendError> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut report = AppendReport::default();
        let refuse = |report: &mut AppendReport, series, why| {
            report.refused += 1;
            if report.refusals.len() < MAX_REFUSALS {
                report.refusals.push((series, why));
            }
        };
        let mut labels = BTreeMap::new();
        for (i, &series) in batch.sample_series.iter().enumerate() {
            let (t_ms, v) = (batch.times[i], batch.values[i]);
            let found = labels.entry(series).or_insert_with(|| {
                let alias = batch.series[series as usize].0;
                if let Some(known) = state.aliases.get(&alias) {
                    return Ok(known.clone());
                }
                let made = resolve(series)?;
                if state.series.len() as u64 >= self.options.max_series {
                    return Err(String::new());
                }
                state.aliases.insert(alias, made.clone());
                report.new_series += u64::from(!state.series.contains_key(&made));
                state.series.entry(made.clone()).or_default();
                Ok(made)
            });
            let labels = match found {
                Ok(labels) => labels,
                Err(why) if why.is_empty() => {
                    let limit = self.options.max_series;
                    refuse(&mut report, series, Refusal::TooManySeries { limit });
                    continue;
                }
                Err(why) => {
                    refuse(&mut report, series, Refusal::Labels(why.clone()));
                    continue;
                }
            };
            let samples = state.series.get_mut(labels).expect("made above");
            if t_ms > policy.max_time_ms {
                refuse(&mut report, series, Refusal::TooFarInFuture);
            } else if t_ms < policy.min_time_ms {
                refuse(&mut report, series, Refusal::TooOld);
            } else if let Some((&newest, &existing)) = samples.last_key_value()
                && newest == t_ms
                && existing.to_bits() != v.to_bits()
                && policy.duplicates == DuplicatePolicy::Refuse
            {
                let (existing, new) = (existing.to_string(), v.to_string());
                refuse(&mut report, series, Refusal::Duplicate { t_ms, existing, new });
            } else {
                report.stored += 1;
                samples.insert(t_ms, v);
            }
        }
        state.metadata.extend(batch.metadata.iter().cloned());
        for name in &batch.databases {
            if !state.databases.contains(name) {
                state.databases.push(name.clone());
            }
        }
        Ok(report)
    }

    pub(crate) fn metadata(&self) -> Vec<(String, MetricMetadata)> {
        self.state.lock().metadata.clone().into_iter().collect()
    }

    pub(crate) fn databases(&self) -> Vec<String> {
        self.state.lock().databases.clone()
    }

    pub(crate) fn stats(&self) -> DbStats {
        let state = self.state.lock();
        let times = state.series.values().flat_map(BTreeMap::keys).copied();
        DbStats {
            num_series: state.series.len() as u64,
            min_time_ms: times.clone().min().unwrap_or(i64::MAX),
            max_time_ms: times.max().unwrap_or(i64::MIN),
            ..DbStats::default()
        }
    }

    pub(crate) fn cardinality(&self, limit: usize) -> Cardinality {
        let state = self.state.lock();
        let mut counts = BTreeMap::<String, u64>::new();
        for labels in state.series.keys() {
            *counts.entry(labels.metric_name().to_owned()).or_default() += 1;
        }
        let mut list: Vec<_> = counts.into_iter().collect();
        list.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        list.truncate(limit);
        Cardinality { series_by_metric: list, ..Cardinality::default() }
    }

    pub(crate) fn sync_wal(&self) -> Result<(), String> {
        Ok(())
    }

    pub(crate) fn flush_step(&self, _: i64) -> Result<(), String> {
        Ok(())
    }

    pub(crate) fn checkpoint_step(&self) -> Result<(), String> {
        Ok(())
    }

    pub(crate) fn gc_step(&self) -> Result<(), String> {
        Ok(())
    }

    pub(crate) fn compact_step(&self) -> Result<(), String> {
        Ok(())
    }

    pub(crate) fn retention_step(&self, _: i64) -> Result<(), String> {
        Ok(())
    }

    pub(crate) fn close(&self) -> Result<(), String> {
        Ok(())
    }
}

struct Set(Vec<(Labels, Vec<(i64, f64)>)>);

impl SeriesSet for Set {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.0[i].0.clone()
    }

    fn read(&self, i: usize, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        buf.begin();
        buf.push_unshared(self.0[i].1.iter().copied());
        buf.end();
        Ok(())
    }

    fn estimate(&self) -> Estimate {
        Estimate { num_series: self.0.len() as u64, ..Estimate::default() }
    }
}

impl Queryable for Db {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet>, ReadError> {
        let state = self.state.lock();
        let range = selection.mint..=selection.maxt.max(selection.mint);
        let passes =
            |labels: &Labels| selection.matchers.iter().all(|m| m.matches(labels.get(&m.name)));
        let series =
            state.series.iter().filter(|(labels, _)| passes(labels)).filter_map(|(l, s)| {
                let samples: Vec<_> = s.range(range.clone()).map(|(t, v)| (*t, *v)).collect();
                (!samples.is_empty()).then(|| (l.clone(), samples))
            });
        Ok(Box::new(Set(series.collect())))
    }

    fn label_names(&self, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        let set =
            self.select(&Selection::new(request.matchers.clone(), request.mint, request.maxt))?;
        let names = (0..set.len())
            .flat_map(|i| set.labels(i).iter().map(|(n, _)| n.to_owned()).collect::<Vec<_>>());
        Ok(names.collect::<std::collections::BTreeSet<_>>().into_iter().collect())
    }

    fn label_values(&self, name: &str, request: &NamesRequest) -> Result<Vec<String>, ReadError> {
        let set =
            self.select(&Selection::new(request.matchers.clone(), request.mint, request.maxt))?;
        let values = (0..set.len()).map(|i| set.labels(i).get(name).to_owned());
        Ok(values
            .filter(|v| !v.is_empty())
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect())
    }
}
