//! How long to leave a server alone after a failed login. Pure.

use std::time::{Duration, Instant};

use crate::base::limits::{SERVER_LOGIN_RETRY_MAX, SERVER_LOGIN_RETRY_MIN};

/// The pause between logins that fail: doubles with each failure up to a bound.
#[derive(Debug)]
pub(super) struct Backoff<E> {
    first: Duration,
    failing: Option<Failing<E>>,
}

#[derive(Debug)]
struct Failing<E> {
    error: E,
    failures: u32,
    until: Instant,
}

impl<E> Backoff<E> {
    /// No failure yet; the first one will pause for `first`.
    pub(super) fn new(first: Duration) -> Self {
        Self {
            first: first.max(SERVER_LOGIN_RETRY_MIN),
            failing: None,
        }
    }

    /// The error to answer with while the pause lasts.
    pub(super) fn in_force(&self, now: Instant) -> Option<&E> {
        self.failing
            .as_ref()
            .filter(|failing| now < failing.until)
            .map(|failing| &failing.error)
    }

    /// Whether the last login failed, paused or not: then one probe is enough.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// A login worked.
    pub(super) fn succeeded(&mut self) {
        self.failing = None;
    }

    /// A login failed. `jitter` in 0..1 spreads the pauses of many pools over a quarter of their length.
    pub(super) fn failed(&mut self, now: Instant, jitter: f64, error: E) {
        let failures = match &mut self.failing {
            // Logins that ran side by side fail together: that is one failure.
            Some(failing) if now < failing.until => {
                failing.error = error;
                return;
            }
            Some(failing) => failing.failures.saturating_add(1),
            None => 1,
        };
        let longest = self.first.max(SERVER_LOGIN_RETRY_MAX);
        let doubled = self
            .first
            .saturating_mul(1 << (failures - 1).min(16))
            .min(longest);
        // Subtracted, as multiplying by one may round past the largest duration.
        let pause = doubled.saturating_sub(doubled.mul_f64(jitter.clamp(0.0, 1.0) / 4.0));
        // A pause too long for the clock, which no sane configuration has, is the longest usual one.
        let until = now
            .checked_add(pause)
            .unwrap_or_else(|| now + SERVER_LOGIN_RETRY_MAX);
        self.failing = Some(Failing {
            error,
            failures,
            until,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses of `count` failures in a row.
    fn pauses(first: Duration, count: usize, jitter: f64) -> Vec<Duration> {
        let mut backoff = Backoff::new(first);
        let mut now = Instant::now();
        (0..count)
            .map(|_| {
                backoff.failed(now, jitter, ());
                let until = backoff.failing.as_ref().unwrap().until;
                let pause = until - now;
                now = until;
                pause
            })
            .collect()
    }

    #[test]
    fn pauses_double_up_to_the_bound() {
        let seconds = |list: [u64; 5]| list.map(Duration::from_secs).to_vec();
        assert_eq!(pauses(Duration::from_secs(1), 5, 0.0), seconds([1, 2, 4, 5, 5]));
        assert_eq!(pauses(Duration::from_secs(20), 5, 0.0), seconds([20; 5]));
        assert_eq!(pauses(Duration::ZERO, 1, 0.0), [SERVER_LOGIN_RETRY_MIN]);
        assert_eq!(pauses(Duration::from_secs(4), 1, 1.0), [Duration::from_secs(3)]);
        assert_eq!(pauses(Duration::from_secs(1), 100, 0.5).len(), 100);
    }

    #[test]
    fn failures_side_by_side_count_once_and_success_forgets() {
        let now = Instant::now();
        let mut backoff = Backoff::new(Duration::from_secs(1));
        backoff.failed(now, 0.0, 'a');
        backoff.failed(now, 0.0, 'b');
        assert_eq!(backoff.in_force(now), Some(&'b'));
        assert_eq!(backoff.in_force(now + Duration::from_secs(1)), None);
        assert!(backoff.is_failing());
        backoff.succeeded();
        assert!(!backoff.is_failing() && backoff.in_force(now).is_none());
    }
}
