//! Where the time comes from, so that a test can turn the clock instead of waiting.

use std::fmt::Debug;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::verifier::BoxFuture;

/// A source of the current time.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use mcp_auth::clock::{Clock, ManualClock};
///
/// let clock = ManualClock::at(1_000);
/// let woken = clock.sleep_until(1_005);
/// clock.advance(std::time::Duration::from_secs(5));
/// woken.await;
/// assert_eq!(clock.unix_seconds(), 1_005);
/// # }
/// ```
pub trait Clock: Debug + Send + Sync + 'static {
    /// Seconds since 1970-01-01T00:00:00Z, the unit of a JWT's `exp` and `nbf` (RFC 7519 §2, `NumericDate`).
    fn unix_seconds(&self) -> u64;

    /// The time since some moment of the clock's own, which no setting of the clock changes: for what is measured, not
    /// dated. By default, [`unix_seconds`](Self::unix_seconds).
    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.unix_seconds())
    }

    /// The same in milliseconds, for records. Default: to the second.
    fn unix_milliseconds(&self) -> u64 {
        self.unix_seconds().saturating_mul(1000)
    }

    /// The same in nanoseconds, for what is compared with the records of others. Default: to the millisecond.
    fn unix_nanoseconds(&self) -> u64 {
        self.unix_milliseconds().saturating_mul(1_000_000)
    }

    /// Waits until [`unix_seconds`](Self::unix_seconds) is at least this; at once where it is already.
    fn sleep_until(&self, unix_seconds: u64) -> BoxFuture<'static, ()>;
}

/// The machine's clock. Waiting needs a tokio runtime with its time driver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The moment that the machine's clock measures from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The longest sleep before the clock is read again: it may have been set, and a machine may have been suspended.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn unix_seconds(&self) -> u64 {
        // A clock set before 1970 reads as 0: every token is then not yet valid or long to live, and `nbf` refuses.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn monotonic(&self) -> Duration {
        START.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn unix_milliseconds(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn unix_nanoseconds(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, unix_seconds: u64) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                let left = unix_seconds.saturating_sub(Self.unix_seconds());
                if left == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(left).min(LONGEST_SLEEP)).await;
            }
        })
    }
}

/// A clock that stands still until it is told to move. For tests.
#[derive(Debug, Default)]
pub struct ManualClock(watch::Sender<u64>);

impl ManualClock {
    /// A clock that shows `unix_seconds`.
    pub fn at(unix_seconds: u64) -> Self {
        Self(watch::Sender::new(unix_seconds))
    }

    /// Moves the clock forward, and wakes who waited for that; parts of a second are dropped.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now += by.as_secs());
    }

    /// Sets the clock, backwards as well: machines' clocks are.
    pub fn set(&self, unix_seconds: u64) {
        self.0.send_modify(|now| *now = unix_seconds);
    }
}

impl Clock for ManualClock {
    fn unix_seconds(&self) -> u64 {
        *self.0.borrow()
    }

    fn sleep_until(&self, unix_seconds: u64) -> BoxFuture<'static, ()> {
        let mut now = self.0.subscribe();
        Box::pin(async move {
            if now.wait_for(|now| *now >= unix_seconds).await.is_err() {
                // The clock is gone, and with it the time that would come.
                std::future::pending::<()>().await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_manual_clock_wakes_when_its_time_has_come() {
        let clock = ManualClock::at(100);
        let mut woken = clock.sleep_until(110);
        assert_eq!((&mut woken).now_or_never(), None);
        clock.advance(Duration::from_secs(9));
        assert_eq!((&mut woken).now_or_never(), None);
        clock.advance(Duration::from_secs(1));
        assert_eq!(woken.now_or_never(), Some(()));
        assert_eq!(clock.sleep_until(110).now_or_never(), Some(()), "it is past");
        let never = clock.sleep_until(111);
        drop(clock);
        assert_eq!(never.now_or_never(), None);
    }

    #[tokio::test]
    async fn the_machines_clock_has_passed_what_is_past() {
        SystemClock.sleep_until(SystemClock.unix_seconds()).await;
        assert_eq!(SystemClock.sleep_until(u64::MAX).now_or_never(), None);
        assert_eq!(ManualClock::at(7).unix_milliseconds(), 7000);
        assert_eq!(SystemClock.unix_milliseconds() / 60_000, SystemClock.unix_seconds() / 60);
    }
}
