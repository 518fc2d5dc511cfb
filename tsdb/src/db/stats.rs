//! Numbers about a database.

use std::sync::atomic::Ordering;

use super::Db;
use crate::block::BlockMeta;

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
    /// Compactions since the start.
    pub compactions: u64,
    /// Compactions that failed since the start.
    pub compactions_failed: u64,
    /// Bytes of the blocks that compactions wrote since the start.
    pub compaction_bytes_written: u64,
    /// Blocks that were found damaged and moved to quarantine since the start.
    pub quarantined_blocks: u64,
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
        let view = self.views.load();
        let (min_time_ms, max_time_ms) = self.head.bounds();
        let num_label_pairs = {
            let index = self.head.index();
            index.names().map(|(_, n)| n.values.len() as u64).sum()
        };
        DbStats {
            num_series: self.head.num_series(),
            num_chunks: self.head.num_chunks(),
            num_label_pairs,
            min_time_ms,
            max_time_ms,
            samples_applied: self.head.samples_applied(),
            late_samples: self.head.late_buffers().iter().map(|b| b.num_rows()).sum(),
            head_bytes: self.head.heap_bytes(),
            wal_bytes: self.wal.size_bytes(),
            wal_last_seq: self.wal.last_seq(),
            num_blocks: view.blocks.len() as u64,
            block_bytes: view.blocks.iter().map(|b| b.disk_bytes()).sum(),
            block_samples: view.blocks.iter().map(|b| b.meta().num_samples).sum(),
            boundary_ms: view.boundary,
            compactions: self.compaction.done.load(Ordering::Relaxed),
            compactions_failed: self.compaction.failed.load(Ordering::Relaxed),
            compaction_bytes_written: self.compaction.bytes_written.load(Ordering::Relaxed),
            quarantined_blocks: self.quarantined_blocks().len() as u64,
        }
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
        let mut top = HeadTop::default();
        for (name, entry) in index.names() {
            top.values_by_label.push((name.to_string(), entry.values.len() as u64));
            let mut bytes = 0;
            for (value, list) in &entry.values {
                bytes += (name.len() + value.len() + 2) as u64 * list.len();
                top.series_by_pair.push((format!("{name}={value}"), list.len()));
                if &**name == model::NAME_LABEL {
                    top.series_by_metric.push((value.to_string(), list.len()));
                }
            }
            top.bytes_by_label.push((name.to_string(), bytes));
        }
        drop(index);
        for list in [
            &mut top.series_by_metric,
            &mut top.values_by_label,
            &mut top.bytes_by_label,
            &mut top.series_by_pair,
        ] {
            list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            list.truncate(limit);
        }
        top
    }
}
