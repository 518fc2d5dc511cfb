//! What storage says about itself: all databases together.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use tsdb::db::DbStats;

use super::Text;
use crate::app::{App, Phase};
use crate::telemetry::{COMPACTION_BOUNDS, Steps};

type Pick = fn(&DbStats) -> u64;

const GAUGES: [(&str, &str, Pick); 11] = [
    ("prometheus_tsdb_head_series", "Total number of series in the head block.", |s| s.num_series),
    ("prometheus_tsdb_head_chunks", "Total number of chunks in the head block.", |s| s.num_chunks),
    ("prometheus_tsdb_blocks_loaded", "Number of currently loaded data blocks.", |s| s.num_blocks),
    (
        "prometheus_tsdb_storage_blocks_bytes",
        "The number of bytes that are currently used for local storage by all blocks.",
        |s| s.block_bytes,
    ),
    ("prometheus_tsdb_wal_storage_size_bytes", "Size of the write-ahead log.", |s| s.wal_bytes),
    (
        "silverback_head_refuses_series",
        "Databases that refuse new series because memory is short.",
        |s| u64::from(s.refuses_series),
    ),
    ("silverback_head_bytes", "Memory of the head, nearly.", |s| s.head_bytes),
    ("silverback_late_samples", "Late samples in memory.", |s| s.late_samples),
    ("silverback_block_samples", "Samples in the loaded blocks.", |s| s.block_samples),
    ("silverback_quarantined_blocks", "Blocks whose samples are missing from answers.", |s| {
        s.quarantined_blocks
    }),
    ("silverback_tombstones", "Deletes that wait to be carried out in blocks.", |s| {
        s.num_tombstones
    }),
];

/// In Prometheus writing the head to a block is a compaction too.
const COUNTERS: [(&str, &str, Pick); 11] = [
    (
        "prometheus_tsdb_compactions_total",
        "Total number of compactions that were executed for the partition.",
        |s| s.compactions + s.flushes,
    ),
    (
        "prometheus_tsdb_compactions_failed_total",
        "Total number of compactions that failed for the partition.",
        |s| s.compactions_failed + s.flushes_failed,
    ),
    (
        "prometheus_tsdb_time_retentions_total",
        "The number of times that blocks were deleted because the maximum time limit was exceeded.",
        |s| s.time_retentions,
    ),
    (
        "prometheus_tsdb_size_retentions_total",
        "The number of times that blocks were deleted because the maximum number of bytes was \
         exceeded.",
        |s| s.size_retentions,
    ),
    (
        "prometheus_tsdb_checkpoint_creations_total",
        "Total number of checkpoint creations attempted.",
        |s| s.checkpoints + s.checkpoints_failed,
    ),
    (
        "prometheus_tsdb_checkpoint_creations_failed_total",
        "Total number of checkpoint creations that failed.",
        |s| s.checkpoints_failed,
    ),
    (
        "prometheus_tsdb_head_series_created_total",
        "Total number of series created in the head.",
        |s| s.num_series + s.series_removed,
    ),
    (
        "prometheus_tsdb_head_series_removed_total",
        "Total number of series removed in the head.",
        |s| s.series_removed,
    ),
    ("silverback_samples_deleted_total", "Samples deleted on request.", |s| s.deleted_samples),
    ("silverback_flushes_total", "Blocks written from the head.", |s| s.flushes),
    ("silverback_compaction_read_bytes_total", "Bytes of the blocks that compactions read.", |s| {
        s.compaction_bytes_read
    }),
];

/// Who writes to the disk; all of it over what flushes wrote is the write amplification.
const WRITERS: [(&str, Pick); 4] = [
    ("wal", |s| s.wal_bytes_written),
    ("checkpoint", |s| s.checkpoint_bytes_written),
    ("flush", |s| s.flush_bytes_written),
    ("compaction", |s| s.compaction_bytes_written),
];

pub(super) fn storage(app: &App, out: &mut Text) {
    let ready = app.phase() == Phase::Ready;
    out.one("prometheus_ready", "gauge", "Whether the server is ready to serve.", u8::from(ready));
    limits(app, out);
    out.one(
        "silverback_scrubbed_bytes_total",
        "counter",
        "Bytes of blocks that were read again to find damage.",
        app.metrics.scrubbed_bytes.load(Relaxed),
    );
    out.one(
        "silverback_scrubs_total",
        "counter",
        "Times that all blocks were read again.",
        app.metrics.scrubs.load(Relaxed),
    );
    steps(&app.metrics.steps.lock().clone(), out);
    let Some(tenants) = app.tenants() else { return };
    let stats: Vec<DbStats> = tenants.all().iter().map(|(_, db)| db.stats()).collect();
    let sum = |pick: Pick| stats.iter().map(pick).sum::<u64>();
    for (name, help, pick) in GAUGES {
        out.one(name, "gauge", help, sum(pick));
    }
    for (name, help, pick) in COUNTERS {
        out.one(name, "counter", help, sum(pick));
    }
    let name = "silverback_disk_written_bytes_total";
    out.family(name, "counter", "Bytes written to disk, by who wrote them.");
    for (by, pick) in WRITERS {
        out.sample(name, &format!("by=\"{by}\""), sum(pick));
    }
    out.one(
        "prometheus_tsdb_head_min_time",
        "gauge",
        "Minimum time bound of the head block, ms.",
        stats.iter().map(|s| s.min_time_ms).min().unwrap_or(i64::MAX),
    );
    out.one(
        "prometheus_tsdb_head_max_time",
        "gauge",
        "Maximum time bound of the head block, ms.",
        stats.iter().map(|s| s.max_time_ms).max().unwrap_or(i64::MIN),
    );
    out.one("silverback_tenants", "gauge", "Open databases.", stats.len());
}

fn limits(app: &App, out: &mut Text) {
    let config = app.config();
    out.one(
        "prometheus_tsdb_retention_limit_bytes",
        "gauge",
        "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled.",
        config.retention_size.0,
    );
    out.one(
        "prometheus_tsdb_retention_limit_seconds",
        "gauge",
        "How long to retain samples in storage, 0 means for ever.",
        config.retention.duration().as_secs_f64(),
    );
}

fn steps(all: &BTreeMap<&str, Steps>, out: &mut Text) {
    type Pick = fn(&Steps) -> f64;
    #[expect(clippy::cast_precision_loss, reason = "failures stay far below 2^53")]
    let counters: [(&str, &str, Pick); 3] = [
        ("silverback_maintenance_seconds_total", "Time that steps of maintenance took.", |s| {
            s.cost.elapsed.as_secs_f64()
        }),
        (
            "silverback_maintenance_cpu_seconds_total",
            "Processor time that steps of maintenance took.",
            |s| s.cost.cpu.as_secs_f64(),
        ),
        (
            "silverback_maintenance_failures_total",
            "Steps of maintenance that failed; the next attempt waits a while.",
            |s| s.failures as f64,
        ),
    ];
    for (name, help, pick) in counters {
        out.family(name, "counter", help);
        for (step, of) in all {
            out.sample(name, &format!("step=\"{step}\""), pick(of));
        }
    }
    let name = "prometheus_tsdb_compaction_duration_seconds";
    out.family(name, "histogram", "Duration of compaction runs");
    let runs = || ["flush", "compact"].into_iter().filter_map(|step| all.get(step));
    let mut below = 0;
    for (at, bound) in COMPACTION_BOUNDS.iter().enumerate() {
        below += runs().map(|s| s.buckets[at]).sum::<u64>();
        out.sample(&format!("{name}_bucket"), &format!("le=\"{bound}\""), below);
    }
    let count = runs().map(|s| s.count).sum::<u64>();
    out.sample(&format!("{name}_bucket"), "le=\"+Inf\"", count);
    out.sample(&format!("{name}_sum"), "", runs().map(|s| s.seconds).sum::<f64>());
    out.sample(&format!("{name}_count"), "", count);
}
