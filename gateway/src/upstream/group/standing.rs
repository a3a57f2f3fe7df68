//! Whether an address is to be used: what its answers, and checks, have shown.
//!
//! An address that fails several times in a row is *out* for a while; the while doubles each time that it fails again
//! when it comes back, up to a minute. One whose checks fail is *down* until they succeed. Whoever comes back starts
//! slowly.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use mcp_auth::random::Random;
use tokio::time::Instant;

/// What it takes to be out: three failures to connect in a row, five failures to answer, or a mixture.
const OUT_AT: u32 = 15;
/// For how long an address is out the first time, at most; then twice that, and so on.
const FIRST_OUT: Duration = Duration::from_secs(4);
/// For how long an address is out at most. One that was in for as long since starts again with the shortest.
const LONGEST_OUT: Duration = Duration::from_mins(1);

/// The weight of an address that is not starting.
pub(super) const FULL_WEIGHT: u32 = 1000;
/// The weight of an address that has just come back.
const FIRST_WEIGHT: u32 = 100;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There was nobody to talk to.
    Connect,
    /// Somebody did not answer, broke off, or said that they cannot serve: 502, 503, 504. This may be one tool's fault, so
    /// that it takes more of them.
    Answer,
}

impl Fault {
    fn weight(self) -> u32 {
        match self {
            Self::Connect => 5,
            Self::Answer => 3,
        }
    }
}

/// Time as the addresses of one group count it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch(Instant);

impl Epoch {
    /// Long ago enough that no time after it is 0.
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds, at least 1.
    pub(super) fn now(self) -> u64 {
        millis(self.0.elapsed()).saturating_add(1)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The standing of one address.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The failures in a row, weighed.
    failures: AtomicU32,
    /// From when on it is in again; 0 where it was never out.
    back_at: AtomicU64,
    /// How often it failed again when it came back.
    relapses: AtomicU32,
    /// Whether its checks fail.
    down: AtomicBool,
}

/// Whether an address may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// It may.
    In {
        /// How much of its share it gets, of 1000.
        weight: u32,
    },
    /// Only where all others are out as well.
    Out {
        /// For how long.
        left: Duration,
    },
    /// It may not: its checks fail.
    Down,
}

impl Standing {
    /// `now` is asked only where it matters.
    pub(super) fn service(&self, now: impl FnOnce() -> u64, slow_start: Duration) -> Service {
        if self.is_down() {
            return Service::Down;
        }
        let back_at = self.back_at.load(Ordering::Relaxed);
        if back_at == 0 {
            return Service::In { weight: FULL_WEIGHT };
        }
        let now = now();
        match now.checked_sub(back_at) {
            None => Service::Out { left: Duration::from_millis(back_at.saturating_sub(now)) },
            Some(since) => Service::In { weight: weight(since, millis(slow_start)) },
        }
    }

    pub(super) fn is_down(&self) -> bool {
        // with the release in `brings_up`
        self.down.load(Ordering::Acquire)
    }

    /// It answered, and did not say that it cannot serve.
    pub(super) fn succeeded(&self) {
        // Only read, in the long run: the line of the cache stays with everybody.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// It failed. Says for how long the address is out where that was the failure to put it out.
    pub(super) fn failed(&self, fault: Fault, now: u64, random: &dyn Random) -> Option<Duration> {
        let back_at = self.back_at.load(Ordering::Relaxed);
        if now < back_at {
            // It is out already; this is a request of before, or one that had nowhere else to go.
            return None;
        }
        let before = self.failures.fetch_add(fault.weight(), Ordering::Relaxed);
        if before.saturating_add(fault.weight()) < OUT_AT {
            return None;
        }
        let in_for = now.saturating_sub(back_at);
        let again = back_at != 0 && in_for < millis(LONGEST_OUT);
        let relapses = if again { self.relapses.load(Ordering::Relaxed).saturating_add(1) } else { 0 };
        let out_for = spread(longest(relapses), random);
        let until = now.saturating_add(millis(out_for));
        // Of those who fail at the same time, one puts it out.
        self.back_at.compare_exchange(back_at, until, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        self.relapses.store(relapses, Ordering::Relaxed);
        // When it comes back, one failure to connect puts it out again.
        self.failures.store(OUT_AT - Fault::Connect.weight(), Ordering::Relaxed);
        Some(out_for)
    }

    /// Its checks fail. Says whether that is new.
    pub(super) fn takes_down(&self) -> bool {
        !self.down.swap(true, Ordering::Relaxed)
    }

    /// Its checks succeed: from `now` on it starts slowly. Says whether that is new.
    pub(super) fn brings_up(&self, now: u64) -> bool {
        if !self.is_down() {
            return false;
        }
        // before it is up, so that nobody sees it up with its full weight
        self.back_at.fetch_max(now, Ordering::Relaxed);
        self.down.swap(false, Ordering::Release)
    }
}

/// How long an address is out at most that failed again so often.
fn longest(relapses: u32) -> Duration {
    2_u32.checked_pow(relapses).map_or(LONGEST_OUT, |times| FIRST_OUT.saturating_mul(times)).min(LONGEST_OUT)
}

/// Between a half and all of it, so that addresses that went out together do not come back together, nor to all gateways
/// at once.
fn spread(longest: Duration, random: &dyn Random) -> Duration {
    let half = longest / 2;
    let mut byte = [0_u8];
    match random.fill(&mut byte) {
        Ok(()) => half + half * u32::from(byte[0]) / 255,
        Err(_) => longest,
    }
}

/// Grows in a straight line over `slow_start`, all in milliseconds.
fn weight(since: u64, slow_start: u64) -> u32 {
    if since >= slow_start {
        return FULL_WEIGHT;
    }
    let grown = u64::from(FULL_WEIGHT - FIRST_WEIGHT).saturating_mul(since) / slow_start;
    u32::try_from(grown).map_or(FULL_WEIGHT, |grown| FIRST_WEIGHT + grown)
}

#[cfg(test)]
mod tests;
