//! Classic histograms as native ones with custom buckets: `load_with_nhcb` (contract 4.1).

use std::collections::BTreeMap;

use model::{
    BUCKET_LABEL, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Labels, LabelsBuilder,
    NAME_LABEL, Span,
};

use super::series::{Item, SeriesLine};

/// The parts of one histogram at one time.
#[derive(Default)]
struct Parts {
    /// Upper bound and cumulative count.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: Option<f64>,
}

/// The native histograms that the classic series in `lines` spell, by labels and index of the
/// value in its line.
pub(super) fn convert(
    lines: &[SeriesLine],
) -> Result<BTreeMap<(Labels, usize), FloatHistogram>, String> {
    let mut parts: BTreeMap<(Labels, usize), Parts> = BTreeMap::new();
    for line in lines {
        let name = line.labels.metric_name();
        let Some((base, kind)) = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|suffix| Some((name.strip_suffix(suffix)?, *suffix)))
        else {
            continue;
        };
        let le = line.labels.get(BUCKET_LABEL);
        if kind == "_bucket" && le.is_empty() {
            continue;
        }
        let bound: f64 = if kind == "_bucket" {
            le.parse().map_err(|_| format!("{le:?} is no bucket bound"))?
        } else {
            0.0
        };
        let labels =
            LabelsBuilder::new(&line.labels).set(NAME_LABEL, base).del(BUCKET_LABEL).build();
        for (i, value) in line.values.iter().enumerate() {
            let Some(Item::Float(v)) = value else { continue };
            let part = parts.entry((labels.clone(), i)).or_default();
            match kind {
                "_bucket" => part.buckets.push((bound, *v)),
                "_count" => part.count = Some(*v),
                _ => part.sum = Some(*v),
            }
        }
    }
    parts
        .into_iter()
        .filter(|(_, parts)| !parts.buckets.is_empty())
        .map(|(key, parts)| {
            let h = parts.finish().map_err(|e| format!("{}: {e}", key.0))?;
            Ok((key, h))
        })
        .collect()
}

impl Parts {
    fn finish(mut self) -> Result<FloatHistogram, String> {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let last = self.buckets.last().copied().unwrap_or_default();
        let count = self.count.unwrap_or(last.1);
        let mut counts = Vec::with_capacity(self.buckets.len() + 1);
        let mut before = 0.0;
        for (_, cumulative) in &self.buckets {
            if *cumulative < before {
                return Err("the counts are not cumulative".to_owned());
            }
            counts.push(cumulative - before);
            before = *cumulative;
        }
        if last.0 != f64::INFINITY {
            counts.push(count - before);
            before = count;
        }
        if before.to_bits() != count.to_bits() {
            return Err("the count is not that of the buckets".to_owned());
        }
        let length = u32::try_from(counts.len()).map_err(|e| e.to_string())?;
        let bounds = self.buckets.iter().map(|(le, _)| *le).filter(|le| le.is_finite());
        Ok(FloatHistogram {
            hint: CounterResetHint::Unknown,
            schema: CUSTOM_BUCKETS_SCHEMA,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count,
            sum: self.sum.unwrap_or(0.0),
            positive_spans: vec![Span { offset: 0, length }],
            negative_spans: Vec::new(),
            positive_buckets: counts,
            negative_buckets: Vec::new(),
            custom_values: bounds.collect(),
        })
    }
}
