//! Whether the wall clock may be believed.

use std::time::{Duration, Instant};

/// A wall clock that jumps forward must not make retention delete everything at once: after a jump
/// deletions rest, so that an operator can set the clock right (reliability contract R15).
pub(super) struct ClockWatch {
    began: Instant,
    began_ms: i64,
    resting_until: Option<Instant>,
}

/// A step forward that counts as a jump, and how long deletions rest after one.
const JUMP_MS: i64 = 3_600_000;
const REST: Duration = Duration::from_mins(10);

impl ClockWatch {
    /// A server that was down for long cannot be told from a clock that is wrong: both rest.
    pub(super) fn new(now_ms: i64, last_seen_ms: Option<i64>) -> Self {
        let began = Instant::now();
        let away_ms = last_seen_ms.map_or(0, |last| now_ms.saturating_sub(last));
        let rests = away_ms > JUMP_MS;
        if rests {
            tracing::info!(away_ms, "the clock is far ahead of the last write, retention rests");
        }
        Self { began, began_ms: now_ms, resting_until: rests.then(|| began + REST) }
    }

    /// Whether deletions may go by the clock, which shows `now_ms`.
    pub(super) fn is_steady(&mut self, now: Instant, now_ms: i64) -> bool {
        let passed = now.duration_since(self.began).as_millis();
        let expected_ms = self.began_ms.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        if now_ms.saturating_sub(expected_ms) > JUMP_MS {
            tracing::warn!(jump_ms = now_ms - expected_ms, "the clock jumped, retention rests");
            self.resting_until = Some(now + REST);
        }
        // Measured from here on, so that slow drift never adds up to a jump.
        (self.began, self.began_ms) = (now, now_ms);
        self.resting_until.is_none_or(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_rest_after_a_jump_forward() {
        let mut clock = ClockWatch::new(0, None);
        let (begin, second) = (clock.began, Duration::from_secs(1));
        assert!(clock.is_steady(begin + second, 1000));
        assert!(clock.is_steady(begin + 2 * second, -5_000_000), "backwards deletes less");
        assert!(!clock.is_steady(begin + 3 * second, JUMP_MS));
        assert!(!clock.is_steady(begin + 4 * second, JUMP_MS + 1000), "the rest is not over");
        assert!(clock.is_steady(begin + 3 * second + REST, JUMP_MS + 600_000));
    }

    #[test]
    fn deletions_rest_after_a_start_long_after_the_last_write() {
        for (last_seen_ms, steady) in [
            (None, true),
            (Some(10 * JUMP_MS), true),
            (Some(20 * JUMP_MS), true),
            (Some(9 * JUMP_MS - 1), false),
            (Some(i64::MIN), false),
        ] {
            let mut clock = ClockWatch::new(10 * JUMP_MS, last_seen_ms);
            let (begin, second) = (clock.began, Duration::from_secs(1));
            assert_eq!(
                clock.is_steady(begin + second, 10 * JUMP_MS + 1000),
                steady,
                "{last_seen_ms:?}"
            );
            assert!(clock.is_steady(begin + REST, 10 * JUMP_MS + 600_000), "{last_seen_ms:?}");
        }
    }
}
