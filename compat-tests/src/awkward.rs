//! Series as sloppy exporters make them: gaps, resets, stale markers, special values, histograms
//! with broken buckets, names outside ASCII. The same for each seed.

pub mod native;

use crate::remote_write::{self, TimeSeries};
use crate::rng::Rng;

/// Time of the first sample, ms: fixed, so that a query means the same in every run.
pub const FIRST_MS: i64 = 1_700_000_000_000;
/// Time behind which there is no sample, ms. Below an hour, so that a peer with default settings
/// keeps all of it in its head.
pub const LAST_MS: i64 = FIRST_MS + 50 * 60_000;
/// The NaN that ends a series.
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);
/// Label values that sort in another order as text than as numbers.
const INSTANCES: [&str; 3] = ["1", "2", "10"];
const JOBS: [&str; 2] = ["a", "b"];

/// Labels of a series, as pairs in label order.
pub type Pairs = Vec<(String, String)>;

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels, sorted by name.
    pub labels: Pairs,
    /// Times (ms), ascending, and values.
    pub samples: Vec<(i64, f64)>,
}

/// All series, in label order.
///
/// A server that numbers series as they come then walks them in label order too, which is the order
/// in which ours does.
pub fn fleet(seed: u64) -> Vec<Series> {
    let mut rng = Rng::new(seed);
    let mut fleet = Vec::new();
    for job in JOBS {
        for instance in INSTANCES {
            let target = [("job", job), ("instance", instance)];
            for code in ["200", "500"] {
                let labels = [target[0], target[1], ("code", code)];
                fleet.push(series("c_total", &labels, counter(&mut rng, 40)));
            }
            fleet.push(series("g", &target, gauge(&mut rng)));
            fleet.push(series("flag", &target, few_values(&mut rng)));
            fleet.push(series("gap", &target, gaps(&mut rng)));
            fleet.push(series("utf8.näme/x", &target, gauge(&mut rng)));
            info(&mut rng, &mut fleet, job, instance);
        }
        buckets(&mut rng, &mut fleet, job);
        broken_buckets(&mut rng, &mut fleet, job);
        fleet.push(series("huge", &[("job", job)], huge(&mut rng)));
        fleet.push(series("idle_total", &[("job", job)], constant(&mut rng, 42.0)));
        let dotted = [("job", job), ("label.döts", "ä b\"\n"), ("label.dots", job)];
        fleet.push(series("g", &dotted, gauge(&mut rng)));
    }
    fleet.push(series("once", &[], vec![(FIRST_MS + 600_000, 7.5)]));
    fleet.push(series("offset", &[("of", "a keyword")], few_values(&mut rng)));
    fleet.push(series("unix", &[], constant(&mut rng, 951_782_400.9)));
    fleet.push(series("unix", &[("when", "leap")], constant(&mut rng, 1_709_164_800.0)));
    fleet.push(series("unix", &[("when", "before")], constant(&mut rng, -86_400.5)));
    fleet.push(series("unix", &[("when", "far")], constant(&mut rng, 4e11)));
    fleet.sort_by(|a, b| a.labels.cmp(&b.labels));
    fleet
}

/// Requests that write `fleet`: first all but each seventh sample, then what is left, late.
pub fn requests(fleet: &[Series]) -> Vec<Vec<TimeSeries>> {
    let part = |late: bool| {
        let pick = |series: &Series| {
            let numbered = series.samples.iter().enumerate();
            let picked = numbered.filter(|(i, _)| (i % 7 == 3) == late).map(|(_, &sample)| sample);
            let labels: Vec<(&str, &str)> =
                series.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            remote_write::series(&labels, &picked.collect::<Vec<_>>())
        };
        fleet.iter().map(pick).filter(|series| !series.samples.is_empty()).collect()
    };
    vec![part(false), part(true)]
}

fn series(name: &str, labels: &[(&str, &str)], samples: Vec<(i64, f64)>) -> Series {
    let pair = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    let mut labels: Pairs = labels.iter().map(pair).collect();
    labels.push(("__name__".to_owned(), name.to_owned()));
    labels.sort();
    Series { labels, samples }
}

/// A whole number below `bound` as a float.
#[expect(clippy::cast_precision_loss, reason = "small numbers are exact")]
fn whole(rng: &mut Rng, bound: u64) -> f64 {
    rng.below(bound) as f64
}

/// Scrape times: about every 15 s, exact or off by a few ms, some missing.
fn times(rng: &mut Rng, missing_one_in: u64) -> Vec<i64> {
    let jitter = rng.below(3) * 40;
    let phase = rng.below(15_000);
    let mut times = Vec::new();
    let mut t = FIRST_MS + phase.cast_signed();
    while t < LAST_MS {
        if !rng.one_in(missing_one_in) {
            let late = rng.below(jitter + 1).cast_signed();
            times.push((t + late).min(LAST_MS - 1));
        }
        // Some holes are longer than the lookback of five minutes.
        t += if rng.one_in(150) { 400_000 } else { 15_000 };
    }
    times
}

fn counter(rng: &mut Rng, reset_one_in: u64) -> Vec<(i64, f64)> {
    let mut value = if rng.one_in(2) { 0.0 } else { whole(rng, 1_000_000) };
    let fractional = rng.one_in(3);
    let mut samples = Vec::new();
    for t in times(rng, 20) {
        value += if fractional { rng.unit() * 10.0 } else { whole(rng, 10) };
        if rng.one_in(reset_one_in) {
            value = whole(rng, 3);
        }
        samples.push((t, if rng.one_in(90) { STALE } else { value }));
    }
    samples
}

fn special(rng: &mut Rng) -> f64 {
    // Not a subnormal number: Go takes the logarithms of those for something else on amd64.
    let all = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, STALE, 1e-300, 1e-9];
    all[usize::try_from(rng.below(all.len() as u64)).expect("an index")]
}

fn gauge(rng: &mut Rng) -> Vec<(i64, f64)> {
    let scrapes = times(rng, 15);
    let special_one_in = [15, 60, u64::MAX][usize::try_from(rng.below(3)).expect("an index")];
    let value = |rng: &mut Rng| match rng.below(3) {
        0 => (rng.unit() - 0.5) * 1000.0,
        1 => whole(rng, 100) / 4.0 - 10.0,
        _ => rng.unit(),
    };
    let one = |t: i64| {
        let v = if rng.one_in(special_one_in) { special(rng) } else { value(rng) };
        (t, v)
    };
    scrapes.into_iter().map(one).collect()
}

/// Ties everywhere.
fn few_values(rng: &mut Rng) -> Vec<(i64, f64)> {
    times(rng, 30).into_iter().map(|t| (t, whole(rng, 3) - 1.0)).collect()
}

/// Comes and goes, with and without stale markers.
fn gaps(rng: &mut Rng) -> Vec<(i64, f64)> {
    let mut there = true;
    let mut samples = Vec::new();
    for t in times(rng, 10) {
        if rng.one_in(12) {
            if there && rng.one_in(2) {
                samples.push((t, STALE));
            }
            there = !there;
        } else if there {
            samples.push((t, whole(rng, 1000) / 8.0));
        }
    }
    samples
}

fn huge(rng: &mut Rng) -> Vec<(i64, f64)> {
    let all = [1e308, -1e308, 1.7e308, 1e300, -3.0];
    let pick = |rng: &mut Rng| all[usize::try_from(rng.below(5)).expect("an index")];
    times(rng, 30).into_iter().map(|t| (t, pick(rng))).collect()
}

fn constant(rng: &mut Rng, value: f64) -> Vec<(i64, f64)> {
    times(rng, 30).into_iter().map(|t| (t, value)).collect()
}

/// `target_info` whose version changes half-way.
fn info(rng: &mut Rng, fleet: &mut Vec<Series>, job: &str, instance: &str) {
    let samples = constant(rng, 1.0);
    let (mut old, new) = samples.split_at(samples.len() / 2);
    let end;
    if let Some(&(t, _)) = new.first() {
        // The old one ends where the new one begins, so that there is never a conflict.
        end = [old, &[(t, STALE)]].concat();
        old = &end;
    }
    for (version, samples) in [("1", old), ("2", new)] {
        let labels = [("job", job), ("instance", instance), ("version", version)];
        fleet.push(series("target_info", &labels, samples.to_vec()));
    }
}

/// A classic histogram as it should be.
fn buckets(rng: &mut Rng, fleet: &mut Vec<Series>, job: &str) {
    let bounds = ["0.1", "0.5", "1", "2.5", "10", "+Inf"];
    let mut counts = [0.0; 6];
    let mut samples: Vec<Vec<(i64, f64)>> = vec![Vec::new(); 6];
    for t in times(rng, 20) {
        for _ in 0..rng.below(20) {
            let at = rng.below(6);
            for (i, count) in (0_u64..).zip(&mut counts) {
                *count += if i >= at { 1.0 } else { 0.0 };
            }
        }
        for (samples, count) in samples.iter_mut().zip(counts) {
            samples.push((t, count));
        }
    }
    let total = samples[5].clone();
    for (le, samples) in bounds.iter().zip(samples) {
        fleet.push(series("h_bucket", &[("job", job), ("le", le)], samples));
    }
    let sum = total.iter().map(|&(t, count)| (t, count * 0.7)).collect();
    fleet.push(series("h_sum", &[("job", job)], sum));
    fleet.push(series("h_count", &[("job", job)], total));
}

/// Buckets with each fault there is, but for a bound that is NaN: where Prometheus puts it depends on
/// the order in which its sort compares.
fn broken_buckets(rng: &mut Rng, fleet: &mut Vec<Series>, job: &str) {
    let kinds: [(&str, &[&str]); 6] = [
        // In the order of the text too: 3.5 does not sort buckets for `histogram_fraction`.
        ("inf last", &["0.5", "1", "2", "5", "inf"]),
        ("not monotone", &["-1", "0", "0.5", "1e1", "+Inf"]),
        ("no inf", &["0.1", "1", "2"]),
        ("odd bounds", &["1", "1.0", "abc", "-Inf", "2e0", "+Inf"]),
        ("only inf", &["+Inf"]),
        ("negative", &["-5", "-2", "+Inf"]),
    ];
    for (kind, bounds) in kinds {
        for le in bounds {
            let samples = times(rng, 15).into_iter().map(|t| (t, whole(rng, 50))).collect();
            let labels = [("job", job), ("kind", kind), ("le", *le)];
            fleet.push(series("broken_bucket", &labels, samples));
        }
    }
    let labels = [("job", job), ("kind", "no le")];
    fleet.push(series("broken_bucket", &labels, few_values(rng)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_sorted_and_the_same_for_a_seed() {
        let fleet_of = |seed| format!("{:?}", fleet(seed));
        assert_eq!(fleet_of(1), fleet_of(1));
        assert_ne!(fleet_of(1), fleet_of(2));
        for series in fleet(3) {
            assert!(series.samples.windows(2).all(|w| w[0].0 < w[1].0), "{:?}", series.labels);
            assert!(series.labels.windows(2).all(|w| w[0].0 < w[1].0), "{:?}", series.labels);
        }
    }
}
