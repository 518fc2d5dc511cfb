//! The fleet: hosts that are scraped every 15 s, with the series and values of real exporters
//! (generated in the shares of [`values`], or recorded).
//!
//! The same source gives the same bytes, for every server and both protocols.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use crate::rng::Rng;

pub mod recording;
pub mod values;

use recording::{Identity, Recording};
use values::{Class, Observations, SERIES_PER_HOST, shapes};

/// Milliseconds between scrapes.
pub const STEP_MS: i64 = 15_000;
/// Most fields of a line; lines then have about eight, as Telegraf's.
const FIELDS_PER_LINE: usize = 9;

/// How samples travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Remote write 1.0.
    RemoteWrite,
    /// Influx line protocol.
    Lines,
}

/// Where values come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// From a generator with this seed.
    Generated {
        /// The seed.
        seed: u64,
    },
    /// From an exporter; every host says the same.
    Recorded(Arc<Recording>),
}

impl Source {
    /// Series of each host.
    pub fn series_per_host(&self) -> usize {
        match self {
            Self::Generated { .. } => SERIES_PER_HOST,
            Self::Recorded(recording) => recording.num_series(),
        }
    }

    fn series(&self, rng: &mut Rng) -> Vec<Series> {
        let recording = match self {
            Self::Generated { .. } => return shapes(rng),
            Self::Recorded(recording) => recording,
        };
        let identities = recording.identities().iter().enumerate();
        let one = |(series, (name, labels)): (usize, &Identity)| {
            let (measurement, field) = name.split_once('_').expect("recordings have no other");
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let class = Class::Recorded { recording: Arc::clone(recording), series };
            Series::new(measurement, field, &labels, class, 0.0)
        };
        identities.map(one).collect()
    }
}

type Labels = Vec<(String, String)>;

#[derive(Debug)]
struct Series {
    name: String,
    /// Labels beside the name and those of the host.
    labels: Labels,
    measurement: String,
    field: String,
    tags: Labels,
    class: Class,
    value: f64,
}

fn owned(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Series {
    fn new(
        measurement: &str,
        field: &str,
        labels: &[(&str, &str)],
        class: Class,
        value: f64,
    ) -> Self {
        Self {
            name: format!("{measurement}_{field}"),
            labels: owned(labels),
            measurement: measurement.to_owned(),
            field: field.to_owned(),
            tags: owned(labels),
            class,
            value,
        }
    }

    fn name_in(&self, protocol: Protocol) -> String {
        match protocol {
            Protocol::RemoteWrite => self.name.clone(),
            Protocol::Lines => format!("{}_{}", self.measurement, self.field),
        }
    }

    /// The series with another field and other tags where it travels as line protocol.
    fn in_lines(mut self, field: &str, tags: &[(&str, &str)]) -> Self {
        field.clone_into(&mut self.field);
        self.tags = owned(tags);
        self
    }
}

/// A line of line protocol without its values.
#[derive(Debug)]
struct Line {
    /// Measurement and tags.
    key: String,
    /// Field names, and the series whose values they have.
    fields: Vec<(String, usize)>,
}

/// One host and the state of its series.
#[derive(Debug)]
struct Host {
    name: String,
    rng: Rng,
    phase_ms: i64,
    series: Vec<Series>,
    /// Label fields of each series as remote write sends them.
    encoded_labels: Vec<Vec<u8>>,
    lines: Vec<Line>,
    observations: Observations,
    t_ms: i64,
}

/// All hosts.
#[derive(Debug)]
pub struct Fleet {
    hosts: Vec<Host>,
    start_ms: i64,
    scrape: usize,
}

impl Fleet {
    /// A fleet of `num_hosts` whose first scrape is at `start_ms`; hosts are numbered from `first`, and the
    /// same number gives the same host in every fleet.
    pub fn new(source: &Source, first: usize, num_hosts: usize, start_ms: i64) -> Self {
        let hosts = (first..first + num_hosts).map(|n| Host::new(source, n)).collect();
        Self { hosts, start_ms, scrape: 0 }
    }

    /// Leaves out every series that is not of these metrics, as remote write names them. Those that
    /// stay take other values than in the whole fleet, because hosts draw them in turn.
    #[must_use]
    pub fn only(mut self, names: &[&str]) -> Self {
        for host in &mut self.hosts {
            host.series.retain(|series| names.contains(&series.name.as_str()));
            host.encode();
        }
        self
    }

    /// Series of all hosts.
    pub fn num_series(&self) -> usize {
        self.hosts.iter().map(|host| host.series.len()).sum()
    }

    /// Moves every series on to its next scrape.
    pub fn scrape(&mut self) {
        let passed_ms = i64::try_from(self.scrape).expect("few scrapes") * STEP_MS;
        for host in &mut self.hosts {
            host.scrape(self.start_ms + passed_ms, self.scrape);
        }
        self.scrape += 1;
    }

    /// The sample of the last scrape: of the `series`-th series of the `host`-th host here.
    pub fn sample(&self, host: usize, series: usize) -> (i64, f64) {
        let host = &self.hosts[host];
        (host.t_ms, host.series[series].value)
    }

    /// The metrics of the first host, as a server names them that got them by `protocol`.
    pub fn names(&self, protocol: Protocol) -> BTreeSet<String> {
        let series = self.hosts.iter().take(1).flat_map(|host| &host.series);
        series.map(|series| series.name_in(protocol)).collect()
    }

    /// A selector of that series alone, as a server names it that got it by `protocol`.
    pub fn selector(&self, host: usize, series: usize, protocol: Protocol) -> String {
        let host = &self.hosts[host];
        let series = &host.series[series];
        let name = series.name_in(protocol);
        let labels = match protocol {
            Protocol::RemoteWrite => &series.labels,
            Protocol::Lines => &series.tags,
        };
        let mut out = format!("{{__name__=\"{name}\"");
        for (name, value) in host.labels().iter().chain(labels) {
            let _ = write!(out, ",{name}=\"{value}\"");
        }
        out.push('}');
        out
    }

    /// The scrape as messages of remote write 1.0 with `samples` samples each, uncompressed.
    pub fn remote_write(&self, samples: usize, mut send: impl FnMut(&[u8], usize)) {
        let (mut body, mut count) = (Vec::with_capacity(samples * 400), 0);
        for host in &self.hosts {
            for (series, labels) in host.series.iter().zip(&host.encoded_labels) {
                let mut sample = vec![0x09];
                sample.extend_from_slice(&series.value.to_le_bytes());
                sample.push(0x10);
                varint(&mut sample, host.t_ms.unsigned_abs());
                let length = labels.len() + 2 + sample.len();
                body.push(0x0a);
                varint(&mut body, length as u64);
                body.extend_from_slice(labels);
                body.push(0x12);
                varint(&mut body, sample.len() as u64);
                body.extend_from_slice(&sample);
                count += 1;
                if count == samples {
                    send(&body, count);
                    body.clear();
                    count = 0;
                }
            }
        }
        if count > 0 {
            send(&body, count);
        }
    }

    /// The scrape as bodies of line protocol with about `samples` values each.
    pub fn lines(&self, samples: usize, mut send: impl FnMut(&str, usize)) {
        let (mut body, mut count) = (String::with_capacity(samples * 100), 0);
        for host in &self.hosts {
            for line in &host.lines {
                body.push_str(&line.key);
                let mut mark = ' ';
                for (field, series) in &line.fields {
                    let _ = write!(body, "{mark}{field}={}", host.series[*series].value);
                    mark = ',';
                }
                let _ = writeln!(body, " {}000000", host.t_ms);
                count += line.fields.len();
                if count >= samples {
                    send(&body, count);
                    body.clear();
                    count = 0;
                }
            }
        }
        if count > 0 {
            send(&body, count);
        }
    }
}

impl Host {
    fn new(source: &Source, number: usize) -> Self {
        let seed = if let Source::Generated { seed } = source { *seed } else { 0 };
        let mut rng = Rng::new(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut host = Self {
            name: format!("host-{number:04}.example.org:9100"),
            // The last scrape of a fleet is before its end even where it is late.
            phase_ms: i64::try_from(rng.below(14_950)).expect("below 14950"),
            series: source.series(&mut rng),
            rng,
            encoded_labels: Vec::new(),
            lines: Vec::new(),
            observations: Observations::default(),
            t_ms: 0,
        };
        host.encode();
        host
    }

    /// Prepares what both protocols repeat with each scrape.
    fn encode(&mut self) {
        let common = self.labels();
        let encoded = self.series.iter().map(|series| {
            let mut labels: Vec<(&str, &str)> = vec![("__name__", &series.name)];
            let rest = common.iter().chain(&series.labels);
            labels.extend(rest.map(|(name, value)| (name.as_str(), value.as_str())));
            labels.sort_unstable();
            encode_labels(&labels)
        });
        self.encoded_labels = encoded.collect();
        self.lines = lines(&common, &self.series);
    }

    fn labels(&self) -> Labels {
        owned(&[
            ("cluster", "production-eu-west-1a"),
            ("datacenter", "dublin-2"),
            ("env", "production"),
            ("instance", &self.name),
            ("job", "integrations/node-exporter"),
            ("region", "eu-west-1"),
            ("team", "platform-infrastructure"),
        ])
    }

    fn scrape(&mut self, t_ms: i64, scrape: usize) {
        // As Prometheus stamps: on its grid while it is nearly on time, else late.
        let late_ms = if self.rng.below(100) < 3 { self.rng.between(3, 26) } else { 0 };
        self.t_ms = t_ms + self.phase_ms + i64::try_from(late_ms).expect("below 26");
        self.observations.go_on(&mut self.rng);
        for series in &mut self.series {
            let next = series.class.next(series.value, &mut self.rng, &self.observations, scrape);
            series.value = next;
        }
    }
}

/// The lines of a host with the tags `common`: series with the same measurement and tags share some.
fn lines(common: &Labels, series: &[Series]) -> Vec<Line> {
    let escape = |text: &str| text.replace(' ', "\\ ").replace(',', "\\,").replace('=', "\\=");
    let mut groups: BTreeMap<String, Vec<(String, usize)>> = BTreeMap::new();
    for (i, series) in series.iter().enumerate() {
        let mut key = series.measurement.clone();
        for (name, value) in common.iter().chain(&series.tags) {
            let _ = write!(key, ",{name}={}", escape(value));
        }
        groups.entry(key).or_default().push((series.field.clone(), i));
    }
    let mut out = Vec::new();
    for (key, fields) in groups {
        let cut = fields.chunks(FIELDS_PER_LINE);
        out.extend(cut.map(|fields| Line { key: key.clone(), fields: fields.to_vec() }));
    }
    out
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("masked") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("below 128"));
}

fn encode_labels(labels: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        let mut label = vec![0x0a];
        varint(&mut label, name.len() as u64);
        label.extend_from_slice(name.as_bytes());
        label.push(0x12);
        varint(&mut label, value.len() as u64);
        label.extend_from_slice(value.as_bytes());
        out.push(0x0a);
        varint(&mut out, label.len() as u64);
        out.extend_from_slice(&label);
    }
    out
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::remote_write::WriteRequest;

    #[test]
    fn both_protocols_carry_the_same_samples_and_the_same_seed_the_same_bytes() {
        let source = Source::Generated { seed: 7 };
        let (mut fleet, mut again) =
            (Fleet::new(&source, 0, 2, 1_000), Fleet::new(&source, 0, 2, 1_000));
        for _ in 0..3 {
            fleet.scrape();
            again.scrape();
        }
        let (mut series, mut first) = (Vec::new(), Vec::new());
        fleet.remote_write(500, |body, count| {
            let message = WriteRequest::decode(body).expect("a message");
            assert_eq!(message.timeseries.len(), count);
            series.extend(message.timeseries);
            first.extend_from_slice(body);
        });
        assert_eq!(series.len(), 2 * SERIES_PER_HOST);
        for one in &series {
            assert!(one.labels.is_sorted_by(|a, b| a.name < b.name), "{one:?}");
        }
        let mut second = Vec::new();
        again.remote_write(500, |body, _| second.extend_from_slice(body));
        assert_eq!(first, second);

        let (mut text, mut total) = (String::new(), 0);
        fleet.lines(500, |body, count| {
            text.push_str(body);
            total += count;
        });
        assert_eq!(total, 2 * SERIES_PER_HOST);
        let fields = |line: &str| -> Vec<u64> {
            let fields = line.split(' ').nth(1).unwrap_or_default().split(',');
            let value = |field: &str| field.split_once('=').and_then(|(_, v)| v.parse().ok());
            fields.map(|field| value(field).map_or(0, f64::to_bits)).collect()
        };
        let mut from_lines: Vec<u64> = text.lines().flat_map(fields).collect();
        let mut from_messages: Vec<u64> =
            series.iter().map(|series| series.samples[0].value.to_bits()).collect();
        from_lines.sort_unstable();
        from_messages.sort_unstable();
        assert_eq!(from_lines, from_messages);
        assert!(text.lines().all(|line| line.split(' ').count() == 3), "{text}");
        // Telegraf's cpu, disk and net have 8.8 fields a line.
        let num_lines = text.lines().count();
        assert!((7..=9).contains(&(total / num_lines)), "{total} fields in {num_lines} lines");
    }

    #[test]
    fn a_host_does_not_depend_on_the_fleet_it_is_in() {
        let source = Source::Generated { seed: 3 };
        let (mut all, mut one) = (Fleet::new(&source, 0, 3, 0), Fleet::new(&source, 2, 1, 0));
        for _ in 0..5 {
            all.scrape();
            one.scrape();
        }
        for series in 0..SERIES_PER_HOST {
            assert_eq!(all.sample(2, series), one.sample(0, series));
            for protocol in [Protocol::RemoteWrite, Protocol::Lines] {
                let selector = one.selector(0, series, protocol);
                assert_eq!(all.selector(2, series, protocol), selector);
            }
        }
    }
}
