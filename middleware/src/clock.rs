//! Where the time comes from, so that a test can turn the clock instead of waiting.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of the current time.
///
/// ```
/// use mcp_auth::clock::{Clock, ManualClock};
///
/// let clock = ManualClock::at(1_000);
/// clock.advance(std::time::Duration::from_secs(5));
/// assert_eq!(clock.unix_seconds(), 1_005);
/// ```
pub trait Clock: Debug + Send + Sync + 'static {
    /// Seconds since 1970-01-01T00:00:00Z, the unit of a JWT's `exp` and `nbf` (RFC 7519 §2, `NumericDate`).
    fn unix_seconds(&self) -> u64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn unix_seconds(&self) -> u64 {
        // A clock set before 1970 reads as 0: every token is then not yet valid or long to live, and `nbf` refuses.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// A clock that stands still until it is told to move. For tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `unix_seconds`.
    pub const fn at(unix_seconds: u64) -> Self {
        Self(AtomicU64::new(unix_seconds))
    }

    /// Moves the clock forward; parts of a second are dropped.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::Relaxed);
    }

    /// Sets the clock, backwards as well: machines' clocks are.
    pub fn set(&self, unix_seconds: u64) {
        self.0.store(unix_seconds, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn unix_seconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
