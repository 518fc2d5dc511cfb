//! From a value to the JSON of the API.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{FloatHistogram, Labels};
use promql::engine::{MatrixSeries, QueryResult, SampleValue, Value, VectorSample};
use promql::explain::{Counts, Explained};
use promql::histogram::buckets;

use crate::http::error::Failure;
use crate::http::json::Json;

/// When a query waited and was done, since the request came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timings {
    pub(super) queued: Duration,
    pub(super) evaluated: Duration,
}

/// What the reader of an answer should know.
#[derive(Debug, Default)]
pub(super) struct Notes {
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Notes {
    /// What storage and the evaluation of `query` had to say.
    pub(super) fn of(query: &str, result: &QueryResult) -> Self {
        let (warnings, infos) = result.annotations.render(query);
        // Every selector of the query says the same about the same block.
        let mut seen = BTreeSet::new();
        let storage = result.storage_warnings.iter().filter(|text| seen.insert(*text)).cloned();
        Self { warnings: storage.chain(warnings).collect(), infos }
    }

    /// Adds a warning of the API.
    pub(super) fn warn(&mut self, text: &str) {
        self.warnings.push(text.to_owned());
    }
}

/// How to write an answer.
pub(super) struct Rendering {
    /// Longest answer (limit L21).
    pub(super) max_bytes: usize,
    /// Statistics, where they are wanted.
    pub(super) stats: Option<Timings>,
    /// What the operators did, where it is wanted.
    pub(super) explained: Option<Explained>,
}

/// Drops series over `limit`, if there is one, and says whether there were any.
pub(super) fn truncate(value: &mut Value, limit: usize) -> bool {
    let len = match value {
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
        Value::Scalar { .. } | Value::String { .. } => 0,
    };
    if limit == 0 || len <= limit {
        return false;
    }
    match value {
        Value::Vector(samples) => samples.truncate(limit),
        Value::Matrix(series) => series.truncate(limit),
        Value::Scalar { .. } | Value::String { .. } => {}
    }
    true
}

impl Rendering {
    /// The whole answer.
    ///
    /// # Errors
    /// [`Failure::OverLimit`] where it would be too long.
    pub(super) fn answer(&self, result: &QueryResult, notes: &Notes) -> Result<Vec<u8>, Failure> {
        let mut json = Json::with_capacity(1024);
        json.raw("{\"status\":\"success\",\"data\":{\"resultType\":");
        match &result.value {
            Value::Scalar { t_ms, v } => {
                json.raw("\"scalar\",\"result\":[").float(seconds(*t_ms));
                json.raw(",\"").raw(&promql::number::format_f(*v)).raw("\"]");
            }
            Value::String { t_ms, text } => {
                json.raw("\"string\",\"result\":[").float(seconds(*t_ms)).raw(",");
                json.string(text).raw("]");
            }
            Value::Vector(samples) => {
                json.raw("\"vector\",\"result\":");
                self.list(&mut json, samples, vector_sample)?;
            }
            Value::Matrix(series) => {
                json.raw("\"matrix\",\"result\":");
                self.list(&mut json, series, matrix_series)?;
            }
        }
        if let Some(timings) = self.stats {
            stats(&mut json, result, timings);
        }
        if let Some(explained) = &self.explained {
            json.raw(",\"explain\":");
            explain(&mut json, explained);
        }
        json.raw("}");
        for (name, texts) in [("warnings", &notes.warnings), ("infos", &notes.infos)] {
            if !texts.is_empty() {
                json.raw(",\"").raw(name).raw("\":").strings(texts);
            }
        }
        json.raw("}");
        Ok(json.into_bytes())
    }

    fn list<T>(
        &self,
        json: &mut Json,
        items: &[T],
        write: fn(&mut Json, &T),
    ) -> Result<(), Failure> {
        json.raw("[");
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                json.raw(",");
            }
            write(json, item);
            if json.len() > self.max_bytes {
                return Err(Failure::OverLimit {
                    message: format!(
                        "answer is over the limit of {} bytes (query-max-response-bytes)",
                        self.max_bytes
                    ),
                    limit: "response_bytes",
                });
            }
        }
        json.raw("]");
        Ok(())
    }
}

/// The operators of a query, as the only data.
pub(super) fn plan(explained: &Explained) -> Vec<u8> {
    let mut json = Json::with_capacity(1024);
    json.raw("{\"status\":\"success\",\"data\":{\"explain\":");
    explain(&mut json, explained);
    json.raw("}}");
    json.into_bytes()
}

/// Each operator before those that feed it, `depth` makes them a tree. What is absent is not known.
fn explain(json: &mut Json, explained: &Explained) {
    json.list(&explained.nodes, |json, node| {
        json.raw("{\"depth\":").int(node.depth).raw(",\"operator\":").string(node.name);
        json.raw(",\"start\":").int(node.pos.start).raw(",\"end\":").int(node.pos.end);
        json.raw(",\"steps\":").int(node.steps);
        if let Some(e) = node.estimate {
            json.raw(",\"estimate\":{\"series\":").int(e.num_series);
            json.raw(",\"samples\":").int(e.num_samples);
            json.raw(",\"bytes\":").int(e.chunk_bytes).raw("}");
        }
        if node.counts != Counts::default() {
            let c = node.counts;
            json.raw(",\"seriesRead\":").int(c.series_read).raw(",\"samplesRead\":");
            json.int(c.samples_read);
            if c.samples_left_out > 0 {
                json.raw(",\"samplesLeftOut\":").int(c.samples_left_out);
            }
            json.raw(",\"rows\":").int(c.rows).raw(",\"samples\":");
            json.int(c.samples).raw(",\"nanoseconds\":").int(c.nanos);
        }
        json.raw("}");
    });
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus divides as floats here too")]
fn seconds(t_ms: i64) -> f64 {
    t_ms as f64 / 1000.0
}

fn metric(json: &mut Json, labels: &Labels) {
    json.raw("{\"metric\":").labels(labels);
}

fn vector_sample(json: &mut Json, sample: &VectorSample) {
    metric(json, &sample.labels);
    match &sample.value {
        SampleValue::Float(v) => {
            json.raw(",\"value\":[").time(sample.t_ms).raw(",").value(*v);
        }
        SampleValue::Histogram(h) => {
            json.raw(",\"histogram\":[").time(sample.t_ms).raw(",");
            histogram(json, h);
        }
    }
    json.raw("]}");
}

fn matrix_series(json: &mut Json, series: &MatrixSeries) {
    metric(json, &series.labels);
    if !series.floats.is_empty() {
        json.raw(",\"values\":").list(&series.floats, |json, (t_ms, v)| {
            json.raw("[").time(*t_ms).raw(",").value(*v).raw("]");
        });
    }
    if !series.histograms.is_empty() {
        json.raw(",\"histograms\":").list(&series.histograms, |json, (t_ms, h)| {
            json.raw("[").time(*t_ms).raw(",");
            histogram(json, h);
            json.raw("]");
        });
    }
    json.raw("}");
}

fn histogram(json: &mut Json, h: &FloatHistogram) {
    json.raw("{\"count\":").value(h.count).raw(",\"sum\":").value(h.sum);
    let filled: Vec<_> = buckets::all(h).into_iter().filter(|bucket| bucket.count != 0.0).collect();
    if !filled.is_empty() {
        json.raw(",\"buckets\":").list(&filled, |json, bucket| {
            json.raw("[").int(bucket.boundary_rule()).raw(",").value(bucket.lower).raw(",");
            json.value(bucket.upper).raw(",").value(bucket.count).raw("]");
        });
    }
    json.raw("}");
}

fn stats(json: &mut Json, result: &QueryResult, timings: Timings) {
    let (queued, total) = (timings.queued.as_secs_f64(), timings.evaluated.as_secs_f64());
    let eval = total - queued;
    json.raw(",\"stats\":{\"timings\":{\"evalTotalTime\":").float(eval);
    json.raw(",\"resultSortTime\":0,\"queryPreparationTime\":0,\"innerEvalTime\":").float(eval);
    json.raw(",\"execQueueTime\":").float(queued).raw(",\"execTotalTime\":").float(total);
    json.raw("},\"samples\":{");
    let each = |json: &mut Json, name: &str, counts: &[(i64, u64)]| {
        json.raw("\"").raw(name).raw("\":").list(counts, |json, (t_ms, n)| {
            json.raw("[").time(*t_ms).raw(",").int(*n).raw("]");
        });
        json.raw(",");
    };
    if let Some(steps) = &result.samples_per_step {
        each(json, "totalQueryableSamplesPerStep", &steps.queryable);
    }
    json.raw("\"totalQueryableSamples\":").int(result.stats.queryable_samples).raw(",");
    if let Some(steps) = &result.samples_per_step {
        each(json, "samplesReadPerStep", &steps.read);
    }
    json.raw("\"samplesRead\":").int(result.stats.samples_read);
    json.raw(",\"peakSamples\":").int(result.stats.peak_samples).raw("}}");
}

#[cfg(test)]
mod tests;
