//! How much of something there may be, and asking for some of it.

use std::time::Duration;

use crate::ConfigError;

/// The most requests that a quota may allow in a second: time is counted in microseconds.
const MOST_PER_SECOND: u64 = 1_000_000;

/// So many requests in so much time, and so many of them at once.
///
/// A bucket with room for `burst` requests that is full at first; each request takes one out of it, and `requests` come
/// back in every `period`, one by one (the generic cell rate algorithm, ITU-T I.371).
///
/// ```
/// use std::time::Duration;
/// use mcp_auth::state::Quota;
///
/// let quota = Quota::new(600, Duration::from_secs(60), 100)?;
/// assert_eq!(quota.interval(), Duration::from_millis(100));
/// # Ok::<(), mcp_auth::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    requests: u32,
    period: Duration,
    burst: u32,
}

impl Quota {
    /// A quota.
    ///
    /// # Errors
    /// - no requests, no time, or no burst
    /// - more than a million requests in a second
    pub fn new(requests: u32, period: Duration, burst: u32) -> Result<Self, ConfigError> {
        if requests == 0 || burst == 0 || period.is_zero() {
            return Err(ConfigError::new(
                "expected a quota of at least one request, in some time, but found none",
            ));
        }
        if u64::from(requests) > period.as_secs().saturating_mul(MOST_PER_SECOND) {
            return Err(ConfigError::new(format!(
                "expected at most a million requests in a second, but found {requests} in {period:?}"
            )));
        }
        Ok(Self { requests, period, burst })
    }

    /// How many requests come back in each [period](Self::period).
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// The time in which [so many requests](Self::requests) come back.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// How many requests there may be at once.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// The time in which one request comes back, in whole microseconds.
    pub fn interval(&self) -> Duration {
        Duration::from_micros(self.interval_micros())
    }

    /// How long an empty bucket takes to fill.
    pub fn depth(&self) -> Duration {
        Duration::from_micros(self.depth_micros())
    }

    /// Rounded up: the quota is a limit.
    pub(super) fn interval_micros(&self) -> u64 {
        u64::try_from(self.period.as_micros()).unwrap_or(u64::MAX).div_ceil(u64::from(self.requests))
    }

    pub(super) fn depth_micros(&self) -> u64 {
        self.interval_micros().saturating_mul(u64::from(self.burst))
    }
}

/// Something that a request takes out of a quota.
#[derive(Debug, Clone, Copy)]
pub struct Take<'a> {
    /// What may be taken in all.
    pub quota: Quota,
    /// Whose bucket it is: which quota this is first of all, then who takes of it. Where one part ends counts.
    pub bucket: &'a [&'a str],
    /// How much is taken.
    pub count: u32,
}

/// Whether there was enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// There was, of everything, and it was taken.
    Admitted,
    /// There was not, and nothing was taken.
    Limited {
        /// The one that there was not enough of, by its place; of several, the one that takes longest to fill.
        which: usize,
        /// When there will be; `None` where it is more than the whole bucket, so that there never will be.
        retry_after: Option<Duration>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_of_nothing_or_of_more_than_can_be_counted_is_refused() {
        let second = Duration::from_secs(1);
        for (requests, period, burst) in [
            (0, second, 1),
            (1, Duration::ZERO, 1),
            (1, second, 0),
            (1_000_001, second, 1),
            (1, second / 2, 1),
        ] {
            assert!(Quota::new(requests, period, burst).is_err(), "{requests} {period:?} {burst}");
        }
        let most = Quota::new(1_000_000, second, 1).unwrap();
        assert_eq!(most.interval(), Duration::from_micros(1));
        let odd = Quota::new(7, second, 2).unwrap();
        assert_eq!(odd.interval(), Duration::from_micros(142_858), "never more than the quota");
        assert_eq!(odd.depth(), odd.interval() * 2);
    }
}
