//! Numbers about a database.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Db;
use crate::block::BlockMeta;
use crate::compact::Candidate;

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What maintenance did since the start; [`DbStats`] says what each is.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) flushes: Counter,
    pub(super) flushes_failed: Counter,
    pub(super) flush_bytes_written: Counter,
    pub(super) checkpoints: Counter,
    pub(super) checkpoints_failed: Counter,
    pub(super) checkpoint_bytes_written: Counter,
    pub(super) compactions: Counter,
    pub(super) compactions_failed: Counter,
    pub(super) compaction_bytes_read: Counter,
    pub(super) compaction_bytes_written: Counter,
    pub(super) time_retentions: Counter,
    pub(super) size_retentions: Counter,
    pub(super) series_removed: Counter,
    pub(super) deleted_samples: Counter,
}

/// What `/metrics` and `status/tsdb` show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DbStats {
    /// Live series of the head.
    pub num_series: u64,
    /// Chunks of the head.
    pub num_chunks: u64,
    /// Distinct label pairs of the head.
    pub num_label_pairs: u64,
    /// First in-order time of the head, ms; `i64::MAX` when it is empty.
    pub min_time_ms: i64,
    /// Last in-order time of the head, ms; `i64::MIN` when it is empty.
    pub max_time_ms: i64,
    /// Samples that became visible since the start, replay included.
    pub samples_applied: u64,
    /// Late samples in memory.
    pub late_samples: u64,
    /// Bytes of memory of the head, nearly.
    pub head_bytes: u64,
    /// Whether new series are refused for want of memory.
    pub refuses_series: bool,
    /// Bytes of the log.
    pub wal_bytes: u64,
    /// Sequence number of the newest record.
    pub wal_last_seq: u64,
    /// Live blocks.
    pub num_blocks: u64,
    /// Bytes of the live blocks.
    pub block_bytes: u64,
    /// Samples in the live blocks.
    pub block_samples: u64,
    /// In-order samples below this are in blocks, ms.
    pub boundary_ms: i64,
    /// Bytes that the log wrote since the start, what a failed segment wrote included.
    pub wal_bytes_written: u64,
    /// Blocks written from the head since the start.
    pub flushes: u64,
    /// Attempts at that which failed.
    pub flushes_failed: u64,
    /// Bytes of those blocks.
    pub flush_bytes_written: u64,
    /// Checkpoints written since the start.
    pub checkpoints: u64,
    /// Attempts at that which failed.
    pub checkpoints_failed: u64,
    /// Bytes of those checkpoints.
    pub checkpoint_bytes_written: u64,
    /// Compactions since the start.
    pub compactions: u64,
    /// Compactions that failed since the start, those that found a damaged block included.
    pub compactions_failed: u64,
    /// Bytes of the blocks that compactions read since the start.
    pub compaction_bytes_read: u64,
    /// Bytes of the blocks that compactions wrote since the start.
    pub compaction_bytes_written: u64,
    /// How many times blocks were dropped for their age.
    pub time_retentions: u64,
    /// How many times blocks were dropped for the room that they took.
    pub size_retentions: u64,
    /// Series that left the head since the start.
    pub series_removed: u64,
    /// Blocks whose samples are missing from answers.
    pub quarantined_blocks: u64,
    /// Samples deleted since the start.
    pub deleted_samples: u64,
    /// Deletes that wait to be carried out in blocks.
    pub num_tombstones: u64,
}

/// What retention by size weighs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// Bytes of the log.
    pub log_bytes: u64,
    /// The live blocks.
    pub blocks: Vec<Candidate>,
}

/// A name and how much it has.
pub type CountBy = (String, u64);

/// The biggest names of the head, each list descending by number, then ascending by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeadTop {
    /// Series by metric name.
    pub series_by_metric: Vec<CountBy>,
    /// Distinct values by label name.
    pub values_by_label: Vec<CountBy>,
    /// Bytes by label name, as Prometheus counts them: both lengths plus two, times the series.
    pub bytes_by_label: Vec<CountBy>,
    /// Series by `name=value`.
    pub series_by_pair: Vec<CountBy>,
}

impl Db {
    /// Numbers about the database now; walks the series of the head.
    pub fn stats(&self) -> DbStats {
        let (view, counters) = (self.views.load(), &self.counters);
        let (min_time_ms, max_time_ms) = self.head.bounds();
        let num_label_pairs = self.head.index().num_pairs() as u64;
        DbStats {
            num_series: self.head.num_series(),
            num_chunks: self.head.num_chunks(),
            num_label_pairs,
            min_time_ms,
            max_time_ms,
            samples_applied: self.head.samples_applied(),
            late_samples: self.head.late_buffers().iter().map(|b| b.num_rows()).sum(),
            head_bytes: self.head.heap_bytes(),
            refuses_series: self.head.refused_series(),
            wal_bytes: self.wal.size_bytes(),
            wal_last_seq: self.wal.last_seq(),
            num_blocks: view.blocks.len() as u64,
            block_bytes: view.blocks.iter().map(|b| b.disk_bytes()).sum(),
            block_samples: view.blocks.iter().map(|b| b.meta().num_samples).sum(),
            boundary_ms: view.boundary,
            wal_bytes_written: self.wal.bytes_written(),
            flushes: counters.flushes.get(),
            flushes_failed: counters.flushes_failed.get(),
            flush_bytes_written: counters.flush_bytes_written.get(),
            checkpoints: counters.checkpoints.get(),
            checkpoints_failed: counters.checkpoints_failed.get(),
            checkpoint_bytes_written: counters.checkpoint_bytes_written.get(),
            compactions: counters.compactions.get(),
            compactions_failed: counters.compactions_failed.get(),
            compaction_bytes_read: counters.compaction_bytes_read.get(),
            compaction_bytes_written: counters.compaction_bytes_written.get(),
            time_retentions: counters.time_retentions.get(),
            size_retentions: counters.size_retentions.get(),
            series_removed: counters.series_removed.get(),
            quarantined_blocks: view.missing.len() as u64,
            deleted_samples: counters.deleted_samples.get(),
            num_tombstones: view.tombstones.len() as u64,
        }
    }

    /// What the database has on disk.
    pub fn disk_use(&self) -> DiskUse {
        DiskUse { log_bytes: self.wal.size_bytes(), blocks: self.candidates() }
    }

    /// The live blocks, oldest first.
    pub fn blocks(&self) -> Vec<BlockMeta> {
        let view = self.views.load();
        let mut metas: Vec<BlockMeta> = view.blocks.iter().map(|b| b.meta().clone()).collect();
        metas.sort_by_key(|meta| (meta.mint, meta.maxt, meta.id));
        metas
    }

    /// The biggest names of the head, at most `limit` of each kind.
    pub fn head_top(&self, limit: usize) -> HeadTop {
        let index = self.head.index();
        let (mut metrics, mut values) = (Top::new(limit), Top::new(limit));
        let (mut bytes_by_name, mut pairs) = (Top::new(limit), Top::new(limit));
        for (name, entry) in index.names() {
            values.push([name, "", ""], entry.num_values() as u64);
            let mut bytes = 0;
            for (value, list) in entry.lists() {
                let value = &**index.text(value);
                bytes += (name.len() + value.len() + 2) as u64 * list.len();
                pairs.push([name, "=", value], list.len());
                if &**name == model::NAME_LABEL {
                    metrics.push([value, "", ""], list.len());
                }
            }
            bytes_by_name.push([name, "", ""], bytes);
        }
        HeadTop {
            series_by_metric: metrics.finish(),
            values_by_label: values.finish(),
            bytes_by_label: bytes_by_name.finish(),
            series_by_pair: pairs.finish(),
        }
    }
}

/// The biggest of what is pushed: borrowed, so that no text is made for what does not stay.
struct Top<'a> {
    limit: usize,
    heap: BinaryHeap<Reverse<(u64, Reverse<Name<'a>>)>>,
}

/// A text in parts.
#[derive(Debug, Clone, Copy)]
struct Name<'a>([&'a str; 3]);

impl Name<'_> {
    fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.iter().flat_map(|part| part.bytes())
    }
}

impl Ord for Name<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl PartialOrd for Name<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Name<'_> {}

impl<'a> Top<'a> {
    fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    fn push(&mut self, name: [&'a str; 3], number: u64) {
        let candidate = Reverse((number, Reverse(Name(name))));
        if self.heap.len() < self.limit {
            self.heap.push(candidate);
        } else if let Some(mut least) = self.heap.peek_mut()
            && *least > candidate
        {
            *least = candidate;
        }
    }

    fn finish(self) -> Vec<CountBy> {
        let sorted = self.heap.into_sorted_vec();
        sorted.into_iter().map(|Reverse((n, Reverse(name)))| (name.0.concat(), n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_biggest_stay_and_equal_ones_are_sorted_by_their_whole_text() {
        let mut top = Top::new(3);
        for (name, value, n) in
            [("b", "", 1), ("a", "x", 5), ("a.b", "x", 5), ("c", "d", 4), ("d", "", 4)]
        {
            top.push([name, "=", value], n);
        }
        let want = [("a.b=x", 5), ("a=x", 5), ("c=d", 4)];
        assert_eq!(top.finish(), want.map(|(text, n)| (text.to_owned(), n)));
        let mut none = Top::new(0);
        none.push(["a", "", ""], 1);
        assert!(none.finish().is_empty());
    }
}
