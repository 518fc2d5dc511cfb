//! Size and speed of the value encodings on data shaped like real scrapes: eleven classes in the
//! shares that a fleet of `node_exporter` and cAdvisor targets has. Sizes go to standard error, bytes a
//! sample; speeds are Criterion's, in
//! samples, of processor time, because the machines this runs on are shared (Linux only).

use std::fs;
use std::hint::black_box;
use std::time::Duration;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use tsdb::chunk::{self, Encoding, xor};

/// xorshift64*: the same data on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// In `[0, 1)`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    fn below(&mut self, n: f64) -> f64 {
        (self.unit() * n).floor()
    }
}

/// Name, series of a thousand, and how the next value follows from the state.
type Class = (&'static str, usize, fn(&mut Random, &mut f64) -> f64);

fn lognormal(r: &mut Random, median: f64) -> f64 {
    (median.ln() + r.normal()).exp().floor()
}

const CLASSES: [Class; 11] = [
    ("constant", 250, |_, s| *s),
    ("slow counter", 100, |r, s| {
        *s += if r.unit() < 0.02 { r.below(3.0) } else { 0.0 };
        *s
    }),
    ("fast counter", 190, |r, s| {
        *s += if r.unit() < 0.1 { 0.0 } else { lognormal(r, 200.0) };
        if r.unit() < 0.0003 {
            *s = 0.0;
        }
        *s
    }),
    ("cpu seconds .2", 80, |r, s| {
        *s += (15.0 * r.unit() * r.unit() * 100.0).round();
        *s / 100.0
    }),
    ("cpu seconds .9", 50, |r, s| {
        *s += (3.0 * r.unit() * r.unit() * 1e9).round();
        *s / 1e9
    }),
    ("memory 4096", 100, |r, s| {
        *s += if r.unit() < 0.6 { 0.0 } else { (r.normal() * 40.0).round() };
        *s * 4096.0
    }),
    ("small gauge", 70, |r, s| {
        if r.unit() < 0.2 {
            *s = (*s + if r.unit() < 0.5 { 1.0 } else { -1.0 }).clamp(0.0, 40.0);
        }
        *s
    }),
    ("decimal gauge", 50, |r, s| {
        *s += (r.normal() * 30.0).round();
        *s / 100.0
    }),
    ("bucket", 70, |r, s| {
        *s += if r.unit() < 0.5 { 0.0 } else { r.below(12.0) };
        *s
    }),
    ("sum, full precision", 20, |r, s| {
        *s += r.unit() * 3.0;
        *s
    }),
    ("random", 20, |r, _| r.unit()),
];

fn series(class: Class, len: usize, seed: u64) -> Vec<f64> {
    let mut r = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut state = r.below(1e6).floor();
    (0..len).map(|_| class.2(&mut r, &mut state)).collect()
}

/// A hundredth of the fleet's thousand series, at least two of each class.
fn fleet(len: usize) -> Vec<(usize, Vec<f64>)> {
    let mut out = Vec::new();
    for (number, class) in CLASSES.into_iter().enumerate() {
        for seed in 0..class.1 / 10 {
            out.push((number, series(class, len, (seed * 31 + number + 1) as u64)));
        }
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "for print")]
fn sizes() {
    for len in [120, 480, 1920] {
        let (mut bytes, mut samples, mut xor_bytes) = ([0; 11], [0; 11], [0; 11]);
        let mut out = Vec::new();
        for (class, values) in fleet(len) {
            out.clear();
            chunk::encode(&values, &mut out);
            bytes[class] += out.len();
            samples[class] += values.len();
            out.clear();
            xor::encode(&values, &mut out);
            xor_bytes[class] += out.len();
        }
        let per = |bytes: usize, samples: usize| bytes as f64 / samples as f64;
        for (i, class) in CLASSES.iter().enumerate() {
            let (best, xor) = (per(bytes[i], samples[i]), per(xor_bytes[i], samples[i]));
            eprintln!("{len:5} {:20} {best:.3} (xor {xor:.3})", class.0);
        }
        let all: usize = samples.iter().sum();
        let (best, xor) = (per(bytes.iter().sum(), all), per(xor_bytes.iter().sum(), all));
        eprintln!("{len:5} {:20} {best:.3} (xor {xor:.3})", "all");
    }
}

/// Processor time of `iterations` runs of `work`.
fn cpu_time(iterations: u64, mut work: impl FnMut()) -> Duration {
    let now = || {
        let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        let nanos = text.split(' ').next().and_then(|n| n.parse().ok());
        Duration::from_nanos(nanos.expect("first field is a number"))
    };
    let start = now();
    for _ in 0..iterations {
        work();
    }
    now().saturating_sub(start)
}

fn speeds(c: &mut Criterion) {
    sizes();
    let fleet = fleet(480);
    let mut group = c.benchmark_group("chunk");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    // The kernel counts processor time in ticks: few long samples.
    group.sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(300));
    let mut out = Vec::new();
    let mut bench = |name: &str, pick: &dyn Fn(usize) -> bool| {
        let picked: Vec<&Vec<f64>> =
            fleet.iter().filter(|(class, _)| pick(*class)).map(|(_, values)| values).collect();
        let samples = picked.iter().map(|values| values.len() as u64).sum();
        group.throughput(Throughput::Elements(samples));
        group.bench_function(BenchmarkId::new("encode", name), |b| {
            b.iter_custom(|iterations| {
                cpu_time(iterations, || {
                    for values in &picked {
                        out.clear();
                        black_box(chunk::encode(values, &mut out));
                    }
                })
            });
        });
        let encoded: Vec<(Encoding, Vec<u8>, usize)> = picked
            .iter()
            .map(|values| {
                let mut bytes = Vec::new();
                (chunk::encode(values, &mut bytes), bytes, values.len())
            })
            .collect();
        let mut floats = Vec::new();
        group.bench_function(BenchmarkId::new("decode", name), |b| {
            b.iter_custom(|iterations| {
                cpu_time(iterations, || {
                    for (encoding, bytes, len) in &encoded {
                        floats.clear();
                        chunk::decode(*encoding, bytes, *len, 0..*len, &mut floats)
                            .expect("just encoded");
                        black_box(&floats);
                    }
                })
            });
        });
    };
    bench("all", &|_| true);
    for (i, class) in CLASSES.iter().enumerate() {
        bench(class.0, &|of| of == i);
    }
    group.finish();
}

criterion_group!(benches, speeds);
criterion_main!(benches);
