//! What must hold for any bytes: shared by the fuzz targets and by `tests/replay.rs`.
#![allow(dead_code, reason = "each fuzz target runs one of the checks")]

use remote::labels::LabelLimits;
use remote::v1::{Limits, WriteBatch, parse_exemplar_labels, parse_labels, scan};
use remote::{histogram, snappy as block};

/// Decompression keeps its limit, and inverts compression.
pub(crate) fn snappy(bytes: &[u8]) {
    const LIMIT: usize = 1 << 20;
    let mut out = Vec::new();
    match block::decompress(bytes, LIMIT, &mut out) {
        Ok(()) => assert!(out.len() <= LIMIT),
        Err(_) => assert!(out.is_empty() && out.capacity() <= LIMIT),
    }
    block::decompress(&block::compress(bytes), bytes.len(), &mut out).expect("our own block");
    assert_eq!(out, bytes);
}

/// A scan keeps its limits, its columns agree, and what it noted can be parsed or refused.
pub(crate) fn v1(bytes: &[u8]) {
    let limits =
        Limits { series: 100, samples: 200, histogram_bytes: 1 << 16, exemplars: 50, metadata: 50 };
    let mut batch = WriteBatch::new();
    if scan(bytes, &limits, &mut batch).is_err() {
        assert!(batch.series.is_empty() && batch.times.is_empty() && batch.histograms.is_empty());
        return;
    }
    assert_eq!(batch.times.len(), batch.values.len());
    assert!(batch.series.len() <= limits.series);
    assert!(batch.times.len() + batch.histograms.len() <= limits.samples);
    assert!(batch.exemplars.len() <= limits.exemplars && batch.metadata.len() <= limits.metadata);

    let label_limits = LabelLimits::default();
    let mut end = 0;
    for row in &batch.series {
        assert_eq!(row.samples().start, end);
        end = row.samples().end;
        if let Ok(labels) = parse_labels(batch.raw_labels(row), &label_limits) {
            assert!(!labels.metric_name().is_empty() && labels.len() <= label_limits.labels);
        }
    }
    assert_eq!(end, batch.times.len());
    for row in &batch.exemplars {
        let _ = parse_exemplar_labels(batch.exemplar_labels(row), &label_limits);
    }
    for row in &batch.histograms {
        if let Ok(stored) = histogram::admit(row.value.clone()) {
            assert_eq!(histogram::validate_histogram(&stored), Ok(()));
        }
    }
}
