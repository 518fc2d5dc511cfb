//! The messages as owned structs, for those who write requests, for remote read, and for the tests
//! that hold the scan against a second decoder. Field numbers are those of `prometheus/prompb`.

/// Remote write 1.0.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequest {
    /// The series.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
    /// Metadata of metric families, not tied to the series.
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<MetricMetadata>,
}

/// One series with its samples.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    /// The label set, sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Float samples.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// Exemplars.
    #[prost(message, repeated, tag = "3")]
    pub exemplars: Vec<Exemplar>,
    /// Native histogram samples.
    #[prost(message, repeated, tag = "4")]
    pub histograms: Vec<Histogram>,
}

/// A label.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Label {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A float sample.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Sample {
    /// The value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// An exemplar.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar {
    /// Its own labels, such as a trace id.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// The value.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
}

/// Metadata of a metric family.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct MetricMetadata {
    /// The metric type, see [`model::MetricType::from_number`].
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// Name of the family.
    #[prost(string, tag = "2")]
    pub metric_family_name: String,
    /// Help text.
    #[prost(string, tag = "4")]
    pub help: String,
    /// Unit.
    #[prost(string, tag = "5")]
    pub unit: String,
}

/// A native histogram sample.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// The count, which also says whether the histogram is one of floats.
    #[prost(oneof = "histogram::Count", tags = "1, 2")]
    pub count: Option<histogram::Count>,
    /// Sum of the observations.
    #[prost(double, tag = "3")]
    pub sum: f64,
    /// Bucket schema.
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    /// Width of the zero bucket.
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    #[prost(oneof = "histogram::ZeroCount", tags = "6, 7")]
    pub zero_count: Option<histogram::ZeroCount>,
    /// Layout of the negative buckets.
    #[prost(message, repeated, tag = "8")]
    pub negative_spans: Vec<BucketSpan>,
    /// Negative buckets of an integer histogram, delta-coded.
    #[prost(sint64, repeated, tag = "9")]
    pub negative_deltas: Vec<i64>,
    /// Negative buckets of a float histogram.
    #[prost(double, repeated, tag = "10")]
    pub negative_counts: Vec<f64>,
    /// Layout of the positive buckets.
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<BucketSpan>,
    /// Positive buckets of an integer histogram, delta-coded.
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    /// Positive buckets of a float histogram.
    #[prost(double, repeated, tag = "13")]
    pub positive_counts: Vec<f64>,
    /// Counter reset hint: unknown 0, reset 1, not reset 2, gauge 3.
    #[prost(int32, tag = "14")]
    pub reset_hint: i32,
    /// Milliseconds since the Unix epoch.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
    /// Upper bounds of custom buckets.
    #[prost(double, repeated, tag = "16")]
    pub custom_values: Vec<f64>,
}

/// The alternatives inside a [`Histogram`].
pub mod histogram {
    /// All observations.
    #[derive(Clone, Copy, PartialEq, prost::Oneof)]
    pub enum Count {
        /// Of an integer histogram.
        #[prost(uint64, tag = "1")]
        CountInt(u64),
        /// Of a float histogram.
        #[prost(double, tag = "2")]
        CountFloat(f64),
    }

    /// Observations in the zero bucket.
    #[derive(Clone, Copy, PartialEq, prost::Oneof)]
    pub enum ZeroCount {
        /// Of an integer histogram.
        #[prost(uint64, tag = "6")]
        ZeroCountInt(u64),
        /// Of a float histogram.
        #[prost(double, tag = "7")]
        ZeroCountFloat(f64),
    }
}

/// A run of buckets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct BucketSpan {
    /// Gap to the span before, or the index of the first bucket.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// Number of buckets.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

/// Remote read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadRequest {
    /// The queries, answered in order.
    #[prost(message, repeated, tag = "1")]
    pub queries: Vec<Query>,
    /// Kinds of answer in the order of preference: samples 0, streamed chunks 1.
    #[prost(int32, repeated, tag = "2")]
    pub accepted_response_types: Vec<i32>,
}

/// One query of a [`ReadRequest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Query {
    /// First time, inclusive, ms since the Unix epoch.
    #[prost(int64, tag = "1")]
    pub start_timestamp_ms: i64,
    /// Last time, inclusive.
    #[prost(int64, tag = "2")]
    pub end_timestamp_ms: i64,
    /// Which series.
    #[prost(message, repeated, tag = "3")]
    pub matchers: Vec<LabelMatcher>,
    /// What the answer is for.
    #[prost(message, optional, tag = "4")]
    pub hints: Option<ReadHints>,
}

/// A matcher.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct LabelMatcher {
    /// `=` 0, `!=` 1, `=~` 2, `!~` 3.
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// Label name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Value or expression.
    #[prost(string, tag = "3")]
    pub value: String,
}

/// What the answer to a [`Query`] is for; a server may ignore it.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ReadHints {
    /// Step of the evaluation, ms.
    #[prost(int64, tag = "1")]
    pub step_ms: i64,
    /// The function around the selector.
    #[prost(string, tag = "2")]
    pub func: String,
    /// First time that the evaluation needs, ms.
    #[prost(int64, tag = "3")]
    pub start_ms: i64,
    /// Last time that the evaluation needs, ms.
    #[prost(int64, tag = "4")]
    pub end_ms: i64,
    /// Labels of the aggregation around the selector.
    #[prost(string, repeated, tag = "5")]
    pub grouping: Vec<String>,
    /// Whether they are kept rather than dropped.
    #[prost(bool, tag = "6")]
    pub by: bool,
    /// Range of the selector, ms.
    #[prost(int64, tag = "7")]
    pub range_ms: i64,
}

/// The answer to a [`ReadRequest`] as samples.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadResponse {
    /// One for each query.
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<QueryResult>,
}

/// The answer to one query.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryResult {
    /// The series, sorted by labels.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// One frame of a streamed answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChunkedReadResponse {
    /// Series, possibly continued in the next frame.
    #[prost(message, repeated, tag = "1")]
    pub chunked_series: Vec<ChunkedSeries>,
    /// Which query.
    #[prost(int64, tag = "2")]
    pub query_index: i64,
}

/// A series as chunks.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChunkedSeries {
    /// The label set, sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Chunks in the order of time.
    #[prost(message, repeated, tag = "2")]
    pub chunks: Vec<Chunk>,
}

/// A chunk.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Chunk {
    /// First time, ms.
    #[prost(int64, tag = "1")]
    pub min_time_ms: i64,
    /// Last time, ms.
    #[prost(int64, tag = "2")]
    pub max_time_ms: i64,
    /// XOR 1, histogram 2, float histogram 3.
    #[prost(int32, tag = "3")]
    pub r#type: i32,
    /// The chunk without its encoding byte.
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
}
