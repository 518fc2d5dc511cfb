//! The fleet: hosts that are scraped every 15 s, with the series and values of real exporters
//! (shares of value classes as in the performance notes, section 1).
//!
//! The same seed gives the same bytes, for every server and both protocols.

use std::fmt::Write as _;

use crate::rng::Rng;

/// Milliseconds between scrapes.
pub const STEP_MS: i64 = 15_000;
/// Series of one host.
pub const SERIES_PER_HOST: usize = 377;
/// Fields of a line of line protocol, where series have the same tags.
const FIELDS_PER_LINE: usize = 10;

const MODES: [&str; 8] = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
const BOUNDS: [&str; 12] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
const HANDLERS: [&str; 4] = ["/api/v1/query", "/api/v1/write", "/login", "/metrics"];

/// How the values of a series go on.
#[derive(Debug, Clone, Copy)]
enum Class {
    Constant,
    SlowCounter,
    FastCounter {
        idle_percent: u64,
        scale: f64,
    },
    /// Seconds with two decimals.
    CpuSeconds {
        rate: f64,
    },
    /// Seconds with nine decimals.
    ContainerSeconds {
        rate: f64,
    },
    /// Multiples of a page.
    Memory,
    SmallGauge,
    /// A gauge with this many decimals.
    DecimalGauge {
        decimals: i32,
    },
    /// A bucket: its handler's observations times this share.
    Bucket {
        handler: usize,
        share: f64,
    },
    Sum,
    Count {
        handler: usize,
    },
    Random,
}

#[derive(Debug)]
struct Series {
    measurement: String,
    field: String,
    /// Labels beside the name and those of the host, sorted.
    labels: Vec<(&'static str, String)>,
    class: Class,
    value: f64,
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
    /// Observations of each handler so far.
    observations: [f64; 4],
    t_ms: i64,
}

/// All hosts.
#[derive(Debug)]
pub struct Fleet {
    hosts: Vec<Host>,
    start_ms: i64,
    scrape: i64,
}

impl Fleet {
    /// A fleet of `num_hosts` whose first scrape is at `start_ms`; hosts are numbered from `first`.
    pub fn new(seed: u64, first: usize, num_hosts: usize, start_ms: i64) -> Self {
        let hosts = (first..first + num_hosts).map(|n| Host::new(seed, n)).collect();
        Self { hosts, start_ms, scrape: 0 }
    }

    /// Active series.
    pub fn num_series(&self) -> usize {
        self.hosts.len() * SERIES_PER_HOST
    }

    /// Moves every series on to its next scrape.
    pub fn scrape(&mut self) {
        for host in &mut self.hosts {
            host.scrape(self.start_ms + self.scrape * STEP_MS);
        }
        self.scrape += 1;
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
            let mut fields = 0;
            for (i, series) in host.series.iter().enumerate() {
                let joins = i > 0 && fields < FIELDS_PER_LINE && {
                    let before = &host.series[i - 1];
                    before.measurement == series.measurement && before.labels == series.labels
                };
                if joins {
                    body.push(',');
                    fields += 1;
                } else {
                    if i > 0 && !body.is_empty() {
                        let _ = writeln!(body, " {}000000", host.t_ms);
                    }
                    if count >= samples {
                        send(&body, count);
                        body.clear();
                        count = 0;
                    }
                    fields = 1;
                    body.push_str(&series.measurement);
                    for (name, value) in host.labels().iter().chain(&series.labels) {
                        let _ = write!(body, ",{name}={value}");
                    }
                    body.push(' ');
                }
                let _ = write!(body, "{}={}", series.field, series.value);
                count += 1;
            }
            let _ = writeln!(body, " {}000000", host.t_ms);
        }
        if count > 0 {
            send(&body, count);
        }
    }
}

impl Host {
    fn new(seed: u64, number: usize) -> Self {
        let mut rng = Rng::new(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut host = Self {
            name: format!("host-{number:04}.example.org:9100"),
            phase_ms: i64::try_from(rng.below(15_000)).expect("below 15000"),
            series: shapes(&mut rng),
            rng,
            encoded_labels: Vec::new(),
            observations: [0.0; 4],
            t_ms: 0,
        };
        assert_eq!(host.series.len(), SERIES_PER_HOST);
        let common = host.labels();
        host.encoded_labels = host
            .series
            .iter()
            .map(|series| {
                let name = format!("{}_{}", series.measurement, series.field);
                let mut labels: Vec<(&str, &str)> = vec![("__name__", &name)];
                let rest = common.iter().chain(&series.labels);
                labels.extend(rest.map(|(name, value)| (*name, value.as_str())));
                labels.sort_unstable();
                encode_labels(&labels)
            })
            .collect();
        host
    }

    fn labels(&self) -> Vec<(&'static str, String)> {
        let of = |text: &str| text.to_owned();
        vec![
            ("cluster", of("production-eu-west-1a")),
            ("datacenter", of("dublin-2")),
            ("env", of("production")),
            ("instance", self.name.clone()),
            ("job", of("integrations/node-exporter")),
            ("region", of("eu-west-1")),
            ("team", of("platform-infrastructure")),
        ]
    }

    fn scrape(&mut self, t_ms: i64) {
        let jitter_ms = i64::try_from(self.rng.below(7)).expect("below 7") - 3;
        self.t_ms = t_ms + self.phase_ms + jitter_ms;
        for observed in &mut self.observations {
            *observed += round(self.rng.unit() * 400.0, 0);
        }
        for series in &mut self.series {
            series.value = next(&series.class, series.value, &mut self.rng, &self.observations);
        }
    }
}

fn shapes(rng: &mut Rng) -> Vec<Series> {
    let mut all = Vec::with_capacity(SERIES_PER_HOST);
    let mut add = |measurement: &str, field: String, labels, class, value| {
        all.push(Series { measurement: measurement.to_owned(), field, labels, class, value });
    };
    for cpu in 0..8 {
        for mode in MODES {
            let labels = vec![("cpu", cpu.to_string()), ("mode", mode.to_owned())];
            let rate = if mode == "idle" { 0.8 } else { 0.2 * rng.unit() };
            let value = round(rng.unit() * 1e6, 2);
            let class = Class::CpuSeconds { rate };
            add("node_cpu", "seconds_total".to_owned(), labels, class, value);
        }
    }
    for (handler, path) in HANDLERS.iter().enumerate() {
        let name = "http_request_duration_seconds";
        for (bound, share) in BOUNDS.iter().zip([1, 3, 8, 20, 40, 65, 80, 90, 95, 98, 99, 100]) {
            let labels = vec![("handler", (*path).to_owned()), ("le", (*bound).to_owned())];
            let class = Class::Bucket { handler, share: f64::from(share) / 100.0 };
            add(name, "bucket".to_owned(), labels, class, 0.0);
        }
        let labels = vec![("handler", (*path).to_owned())];
        add(name, "sum".to_owned(), labels.clone(), Class::Sum, 0.0);
        add(name, "count".to_owned(), labels, Class::Count { handler }, 0.0);
    }
    let mut many = |count: usize,
                    name: &str,
                    rng: &mut Rng,
                    class: &mut dyn FnMut(&mut Rng) -> (Class, f64)| {
        for i in 0..count {
            let (class, value) = class(rng);
            add("node", format!("{name}_{i}"), Vec::new(), class, value);
        }
    };
    many(77, "config_info", rng, &mut |rng| (Class::Constant, round(rng.unit() * 1e4, 0)));
    many(31, "events_total", rng, &mut |rng| (Class::SlowCounter, round(rng.unit() * 1e3, 0)));
    many(59, "network_bytes_total", rng, &mut |rng| {
        let scale = 10_f64.powf(2.0 + 5.0 * rng.unit());
        (Class::FastCounter { idle_percent: rng.below(20), scale }, round(rng.unit() * 1e9, 0))
    });
    many(15, "container_cpu_seconds_total", rng, &mut |rng| {
        (Class::ContainerSeconds { rate: rng.unit() }, round(rng.unit() * 1e5, 9))
    });
    many(31, "memory_bytes", rng, &mut |rng| (Class::Memory, round(rng.unit() * 4e6, 0) * 4096.0));
    many(22, "processes", rng, &mut |rng| (Class::SmallGauge, round(rng.unit() * 50.0, 0)));
    many(16, "load", rng, &mut |rng| {
        let decimals = i32::try_from(1 + rng.below(3)).expect("below 4");
        (Class::DecimalGauge { decimals }, round(rng.unit() * 10.0, decimals))
    });
    many(6, "noise", rng, &mut |rng| (Class::Random, rng.unit()));
    all
}

fn next(class: &Class, value: f64, rng: &mut Rng, observations: &[f64; 4]) -> f64 {
    match *class {
        Class::Constant => value,
        Class::SlowCounter => value + if rng.one_in(20) { 1.0 } else { 0.0 },
        Class::FastCounter { idle_percent, scale } => {
            // A restart of the exporter, now and then.
            if rng.one_in(5_000) {
                return 0.0;
            }
            let idle = rng.below(100) < idle_percent;
            value + if idle { 0.0 } else { round(scale * lognormal(rng), 0) }
        }
        Class::CpuSeconds { rate } => round(value + 15.0 * rate * (0.8 + 0.4 * rng.unit()), 2),
        Class::ContainerSeconds { rate } => round(value + 15.0 * rate * rng.unit(), 9),
        Class::Memory => (value + 4096.0 * round(200.0 * (rng.unit() - 0.5), 0)).max(0.0),
        Class::SmallGauge => {
            let step = if rng.one_in(4) { round(4.0 * rng.unit() - 2.0, 0) } else { 0.0 };
            (value + step).max(0.0)
        }
        Class::DecimalGauge { decimals } => round((value + rng.unit() - 0.5).abs(), decimals),
        Class::Bucket { handler, share } => (observations[handler] * share).floor(),
        Class::Sum => value + 400.0 * rng.unit() * 0.173,
        Class::Count { handler } => observations[handler],
        Class::Random => rng.unit(),
    }
}

/// `exp` of a normal deviate, by the sum of uniform ones.
fn lognormal(rng: &mut Rng) -> f64 {
    let normal: f64 = (0..12).map(|_| rng.unit()).sum::<f64>() - 6.0;
    normal.exp()
}

fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
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
        let (mut fleet, mut again) = (Fleet::new(7, 0, 2, 1_000), Fleet::new(7, 0, 2, 1_000));
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

        let (mut text, mut values) = (String::new(), 0);
        fleet.lines(500, |body, count| {
            text.push_str(body);
            values += count;
        });
        assert_eq!(values, 2 * SERIES_PER_HOST);
        let fields = |line: &str| line.split(' ').nth(1).map_or(0, |f| f.split(',').count());
        assert_eq!(text.lines().map(fields).sum::<usize>(), values);
        assert!(text.lines().all(|line| line.split(' ').count() == 3), "{text}");
    }
}
