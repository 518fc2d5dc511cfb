//! How many samples and how many new series may come in a second (reliability contract, limits L13 and
//! L14). Both are off unless they are set.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tsdb::append::{Refusal, SeriesGate};

use crate::config::Config;

/// A rate, and how much may come at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    per_second: u64,
    burst: u64,
}

/// Seconds of a rate that may come at once where nothing else is said.
const BURST_SECONDS: u64 = 10;

impl Rate {
    /// A rate, or `None` where it is 0; a burst of 0 is ten seconds' worth.
    fn new(per_second: u64, burst: u64) -> Option<Self> {
        let burst = if burst == 0 { per_second.saturating_mul(BURST_SECONDS) } else { burst };
        (per_second > 0).then_some(Self { per_second, burst })
    }

    /// Of the samples of a tenant.
    pub(crate) fn of_samples(config: &Config) -> Option<Self> {
        Self::new(config.sample_rate, config.sample_burst)
    }

    /// Of new series.
    fn of_new_series(config: &Config) -> Option<Self> {
        Self::new(config.new_series_rate, config.new_series_burst)
    }
}

/// Fills at a rate up to a burst. Taking may leave less than nothing: so a request of any size gets
/// through, and what comes behind it waits until that is made up for.
#[derive(Debug, Default)]
pub(crate) struct Bucket(Mutex<Option<Level>>);

#[derive(Debug, Clone, Copy)]
struct Level {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// Takes `n` at `now`.
    ///
    /// # Errors
    /// The time until something can be taken; nothing is taken then.
    fn take(&self, n: u64, rate: Rate, now: Instant) -> Result<(), Duration> {
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let (n, per_second, burst) = (n as f64, rate.per_second as f64, rate.burst as f64);
        let mut level = self.0.lock();
        let before = level.unwrap_or(Level { tokens: burst, at: now });
        let passed = now.saturating_duration_since(before.at).as_secs_f64();
        let tokens = (before.tokens + passed * per_second).min(burst);
        let taken = tokens >= 1.0;
        *level = Some(Level { tokens: if taken { tokens - n } else { tokens }, at: now });
        // The rate is one at least, and no request is long enough for this to overflow.
        if taken { Ok(()) } else { Err(Duration::from_secs_f64((1.0 - tokens) / per_second)) }
    }
}

/// Why the samples of a request have to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("over {per_second} samples per second (sample-rate)")]
pub(crate) struct TooFast {
    /// The limit.
    per_second: u64,
    /// Until the same request can be taken.
    pub(crate) wait: Duration,
}

/// The samples of one tenant.
#[derive(Debug, Default)]
pub(crate) struct SampleRate(Bucket);

impl SampleRate {
    /// Admits the `n` samples of a request.
    ///
    /// # Errors
    /// [`TooFast`].
    pub(crate) fn admit(&self, n: u64, rate: Rate) -> Result<(), TooFast> {
        let taken = self.0.take(n, rate, Instant::now());
        taken.map_err(|wait| TooFast { per_second: rate.per_second, wait })
    }
}

/// What all databases of the process together may have of series: how many in all (limit L12), and how
/// many new ones in a second (limit L13).
#[derive(Debug)]
pub(crate) struct NewSeries {
    live: AtomicI64,
    max: u64,
    rate: RwLock<Option<Rate>>,
    bucket: Bucket,
}

impl NewSeries {
    /// As `config` says.
    pub(crate) fn new(config: &Config) -> Self {
        let (live, bucket) = (AtomicI64::new(0), Bucket::default());
        let rate = RwLock::new(Rate::of_new_series(config));
        Self { live, max: config.max_series, rate, bucket }
    }

    /// Takes over the rate of `config`.
    pub(crate) fn reload(&self, config: &Config) {
        *self.rate.write() = Rate::of_new_series(config);
    }
}

impl SeriesGate for NewSeries {
    fn admit(&self) -> Result<(), Refusal> {
        let live = u64::try_from(self.live.load(Ordering::Relaxed)).unwrap_or(0);
        if live >= self.max {
            return Err(Refusal::TooManySeries { limit: self.max, setting: "max-series" });
        }
        let Some(rate) = *self.rate.read() else { return Ok(()) };
        let taken = self.bucket.take(1, rate, Instant::now());
        taken.map_err(|_| Refusal::TooManyNewSeries { per_second: rate.per_second })
    }

    fn note(&self, more: i64) {
        self.live.fetch_add(more, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_keeps_its_rate_and_takes_requests_of_any_size() {
        let rate = Rate::new(10, 0).unwrap();
        let (bucket, begin) = (Bucket::default(), Instant::now());
        let take = |n, at_ms| bucket.take(n, rate, begin + Duration::from_millis(at_ms));
        // A hundred at once, and then none.
        assert_eq!(take(99, 0), Ok(()));
        assert_eq!(take(1, 0), Ok(()));
        assert!(take(1, 0).is_err());
        // One each tenth of a second.
        for n in 1..=20 {
            assert_eq!(take(1, 100 * n + 1), Ok(()), "{n}");
            assert!(take(1, 100 * n + 2).is_err(), "{n}");
        }
        // One that is larger than the burst gets through, and is made up for.
        assert_eq!(take(1000, 3000), Ok(()));
        let wait = take(1, 3000).unwrap_err().as_millis();
        assert!((99_000..=99_200).contains(&wait), "{wait}");
        assert!(take(1, 3000 + 98_000).is_err());
        assert_eq!(take(1, 3000 + 99_500), Ok(()));
        // A pause is worth a burst and no more.
        assert_eq!(take(100, 1_000_000), Ok(()));
        assert!(take(1, 1_000_000).is_err());
    }

    #[test]
    fn a_rate_of_nothing_is_none() {
        assert_eq!(Rate::new(0, 5), None);
        assert_eq!(Rate::new(7, 0), Some(Rate { per_second: 7, burst: 70 }));
        assert_eq!(Rate::new(7, 1), Some(Rate { per_second: 7, burst: 1 }));
    }
}
