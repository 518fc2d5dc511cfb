//! The series of a generated host: value classes in the shares of real scrapes, and how each goes on.
//!
//! Of a thousand series: 250 constant, 100 slow counters, 190 fast counters, 85 CPU seconds with two
//! decimals and 50 with nine, 100 of memory, 66 small gauges, 48 with decimals, 69 buckets of histograms
//! that are hit, 21 sums with all digits, 19 random. The CPU modes and buckets that stand still on
//! real hosts (irq, nice, steal; handlers that nobody calls) are among the constant and slow ones.

use std::sync::Arc;

use super::Series;
use super::recording::Recording;
use crate::rng::Rng;

/// Series of one generated host.
pub const SERIES_PER_HOST: usize = 377;

/// Modes of a CPU, and whether time passes in it: always, now and then, never.
const MODES: [(&str, Pace); 8] = [
    ("idle", Pace::Busy),
    ("iowait", Pace::Slow),
    ("irq", Pace::Still),
    ("nice", Pace::Still),
    ("softirq", Pace::Busy),
    ("steal", Pace::Still),
    ("system", Pace::Busy),
    ("user", Pace::Busy),
];
/// Upper bounds of the buckets, and the percentage of the observations at or below each.
const BOUNDS: [(&str, u32); 12] = [
    ("0.005", 1),
    ("0.01", 3),
    ("0.025", 8),
    ("0.05", 20),
    ("0.1", 40),
    ("0.25", 65),
    ("0.5", 80),
    ("1", 90),
    ("2.5", 95),
    ("5", 98),
    ("10", 99),
    ("+Inf", 100),
];
/// Handlers, and how often they are called.
const HANDLERS: [(&str, Pace); 4] = [
    ("/api/v1/query", Pace::Busy),
    ("/api/v1/write", Pace::Busy),
    ("/login", Pace::Slow),
    ("/-/reload", Pace::Still),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Busy,
    Slow,
    Still,
}

/// Observations of the handlers so far.
#[derive(Debug, Default)]
pub(super) struct Observations([f64; HANDLERS.len()]);

impl Observations {
    pub(super) fn go_on(&mut self, rng: &mut Rng) {
        for (observed, (_, pace)) in self.0.iter_mut().zip(HANDLERS) {
            *observed += match pace {
                Pace::Busy if rng.below(100) < 70 => round(rng.unit() * 40.0, 0),
                Pace::Slow if rng.one_in(20) => 1.0,
                Pace::Busy | Pace::Slow | Pace::Still => 0.0,
            };
        }
    }
}

/// How the values of a series go on.
#[derive(Debug, Clone)]
pub(super) enum Class {
    Constant,
    /// Moves once in twenty scrapes, by one to three of this unit.
    SlowCounter {
        decimals: i32,
    },
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
    /// A bucket or the count: its handler's observations times this share.
    Observed {
        handler: usize,
        share: f64,
    },
    /// The sum of a handler's observations.
    Sum {
        handler: usize,
    },
    /// A counter with all digits.
    FullPrecision,
    Random,
    /// What a real exporter said.
    Recorded {
        recording: Arc<Recording>,
        series: usize,
    },
}

impl Class {
    /// The value behind `value`, at scrape number `scrape`.
    pub(super) fn next(
        &self,
        value: f64,
        rng: &mut Rng,
        observations: &Observations,
        scrape: usize,
    ) -> f64 {
        match *self {
            Self::SlowCounter { decimals } => {
                let step = if rng.one_in(20) { 1.0 + round(rng.unit() * 2.0, 0) } else { 0.0 };
                round(value + step / 10_f64.powi(decimals), decimals)
            }
            Self::FastCounter { idle_percent, scale } => {
                // A restart of the exporter, now and then.
                if rng.one_in(5_000) {
                    return 0.0;
                }
                let idle = rng.below(100) < idle_percent;
                value + if idle { 0.0 } else { round(scale * normal(rng).exp(), 0) }
            }
            Self::CpuSeconds { rate } => round(value + 15.0 * rate * (0.8 + 0.4 * rng.unit()), 2),
            Self::ContainerSeconds { rate } => round(value + 3.0 * rate * rng.unit(), 9),
            Self::Memory => {
                let still = rng.below(100) < 60;
                let pages = if still { 0.0 } else { round(normal(rng) * 40.0, 0) };
                (value + 4096.0 * pages).max(0.0)
            }
            Self::SmallGauge if rng.one_in(5) => {
                (value + if rng.one_in(2) { 1.0 } else { -1.0 }).clamp(0.0, 40.0)
            }
            Self::Constant | Self::SmallGauge => value,
            Self::DecimalGauge { decimals } => round((value + 1.5 * normal(rng)).abs(), decimals),
            Self::Observed { handler, share } => (observations.0[handler] * share).floor(),
            Self::Sum { handler } => {
                let busy = HANDLERS[handler].1 == Pace::Busy;
                value + if busy { 3.0 * rng.unit() } else { 0.0 }
            }
            Self::FullPrecision => value + 3.0 * rng.unit(),
            Self::Random => rng.unit(),
            Self::Recorded { ref recording, series } => recording.value(series, scrape),
        }
    }
}

/// The series of one generated host. Line protocol puts what remote write has in the labels `mode` and
/// `le` into field names, as Telegraf does.
pub(super) fn shapes(rng: &mut Rng) -> Vec<Series> {
    let mut all = Vec::with_capacity(SERIES_PER_HOST);
    cpus(&mut all, rng);
    histograms(&mut all);
    let mut many = |count: usize, name: &str, class: &mut dyn FnMut(&mut Rng) -> (Class, f64)| {
        for i in 0..count {
            let (class, value) = class(rng);
            all.push(Series::new("node", &format!("{name}_{i}"), &[], class, value));
        }
    };
    many(56, "config_info", &mut |rng| (Class::Constant, round(rng.unit() * 1e4, 0)));
    many(16, "events_total", &mut |rng| {
        (Class::SlowCounter { decimals: 0 }, round(rng.unit() * 1e3, 0))
    });
    many(72, "network_bytes_total", &mut |rng| {
        let scale = 10_f64.powf(2.0 + 4.0 * rng.unit());
        (Class::FastCounter { idle_percent: rng.below(20), scale }, round(rng.unit() * 1e9, 0))
    });
    many(19, "container_cpu_seconds_total", &mut |rng| {
        (Class::ContainerSeconds { rate: rng.unit() }, round(rng.unit() * 1e5, 9))
    });
    many(38, "memory_bytes", &mut |rng| (Class::Memory, round(rng.unit() * 4e6, 0) * 4096.0));
    many(25, "processes", &mut |rng| (Class::SmallGauge, round(rng.unit() * 40.0, 0)));
    many(18, "load", &mut |rng| {
        let decimals = i32::try_from(1 + rng.below(3)).expect("below 4");
        (Class::DecimalGauge { decimals }, round(rng.unit() * 100.0, decimals))
    });
    many(6, "rpc_seconds_sum", &mut |rng| (Class::FullPrecision, rng.unit()));
    many(7, "noise", &mut |rng| (Class::Random, rng.unit()));
    assert_eq!(all.len(), SERIES_PER_HOST);
    all
}

fn cpus(all: &mut Vec<Series>, rng: &mut Rng) {
    for cpu in 0..8 {
        let cpu = cpu.to_string();
        for (mode, pace) in MODES {
            let rate = if mode == "idle" { 0.8 } else { 0.2 * rng.unit() };
            let (class, value) = match pace {
                Pace::Busy => (Class::CpuSeconds { rate }, round(rng.unit() * 1e6, 2)),
                Pace::Slow => (Class::SlowCounter { decimals: 2 }, round(rng.unit() * 1e3, 2)),
                Pace::Still => (Class::Constant, 0.0),
            };
            let labels = [("cpu", cpu.as_str()), ("mode", mode)];
            let series = Series::new("node_cpu", "seconds_total", &labels, class, value);
            all.push(series.in_lines(mode, &[("cpu", &cpu)]));
        }
    }
}

fn histograms(all: &mut Vec<Series>) {
    let name = "http_request_duration_seconds";
    for (handler, (path, _)) in HANDLERS.iter().enumerate() {
        let tags = [("handler", *path)];
        for (bound, percent) in BOUNDS {
            let labels = [("handler", *path), ("le", bound)];
            let class = Class::Observed { handler, share: f64::from(percent) / 100.0 };
            let field = format!("bucket_{}", bound.trim_start_matches('+').replace('.', "_"));
            let series = Series::new(name, "bucket", &labels, class, 0.0);
            all.push(series.in_lines(&field, &tags));
        }
        all.push(Series::new(name, "sum", &tags, Class::Sum { handler }, 0.0));
        let count = Class::Observed { handler, share: 1.0 };
        all.push(Series::new(name, "count", &tags, count, 0.0));
    }
}

/// A normal deviate, by the sum of uniform ones.
fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| rng.unit()).sum::<f64>() - 6.0
}

fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}
