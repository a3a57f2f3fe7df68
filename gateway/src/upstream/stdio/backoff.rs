//! [`Pauses`]: a server that does not start is not started again at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mcp_auth::random::Random;
use tokio::time::Instant;

use super::places::Holder;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);
/// After so long without a failure, the next one is the first again.
const FORGOTTEN: Duration = Duration::from_mins(2);

/// For whom a server is started.
#[derive(Clone, Copy, Debug)]
pub(super) enum StartedFor {
    /// Nobody: the bridge asks in its own words.
    Bridge,
    /// A client, whose `initialize` the server may not have survived.
    Client(Holder),
}

/// The pauses of one route. A stranger who makes the server fail pauses strangers: it keeps no user out.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    everyone: Mutex<Backoff>,
    strangers: Mutex<Backoff>,
}

impl Pauses {
    /// How long the pause of such a start still lasts.
    pub(super) fn left(&self, started_for: StartedFor) -> Option<Duration> {
        let left = |backoff: &Mutex<Backoff>| backoff.lock().unwrap_or_else(PoisonError::into_inner).left();
        match started_for {
            StartedFor::Client(Holder::Stranger(_)) => left(&self.everyone).max(left(&self.strangers)),
            StartedFor::Client(Holder::User) | StartedFor::Bridge => left(&self.everyone),
        }
    }

    /// What was started did not answer its first message; for one that could not even be run, no client is to blame.
    pub(super) fn failed(&self, started_for: StartedFor, random: &dyn Random) {
        let whose = match started_for {
            StartedFor::Client(Holder::Stranger(_)) => &self.strangers,
            StartedFor::Client(Holder::User) | StartedFor::Bridge => &self.everyone,
        };
        whose.lock().unwrap_or_else(PoisonError::into_inner).failed(random);
    }
}

/// The pause after failures: about 1 second, 2, 4, … 60, each up to a quarter longer or shorter by chance.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
    failed_at: Option<Instant>,
    pause: Duration,
}

impl Backoff {
    /// How long the pause still lasts.
    fn left(&self) -> Option<Duration> {
        let left = self.pause.checked_sub(self.failed_at?.elapsed())?;
        (!left.is_zero()).then_some(left)
    }

    fn failed(&mut self, random: &dyn Random) {
        if self.failed_at.is_some_and(|at| at.elapsed() > FORGOTTEN) {
            self.failures = 0;
        }
        let pause = FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LONGEST);
        let mut chance = [128, 0];
        // without chance, it is in the middle
        let _none = random.fill(&mut chance);
        self.pause = pause * 3 / 4 + pause * u32::from(u16::from_be_bytes(chance)) / (2 << 16);
        self.failures = self.failures.saturating_add(1).min(16);
        self.failed_at = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use mcp_auth::random::SystemRandom;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_pause_grows_to_a_minute_and_is_never_the_same() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.left(), None);
        let mut pauses = Vec::new();
        for middle in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            backoff.failed(&SystemRandom);
            let (left, middle) = (backoff.left().unwrap(), Duration::from_secs(middle));
            assert!(left >= middle * 3 / 4 && left <= middle * 5 / 4, "{left:?}");
            pauses.push(left);
            tokio::time::advance(left).await;
            assert_eq!(backoff.left(), None);
        }
        // by chance, two of three are the same once in 20,000 times, and all once in 4 billion
        assert!(pauses[6] != pauses[7] || pauses[7] != pauses[8], "{pauses:?}");
        tokio::time::advance(FORGOTTEN * 2).await;
        backoff.failed(&SystemRandom);
        assert!(backoff.left().unwrap() < Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_stranger_did_pauses_strangers() {
        let (bridge, user) = (StartedFor::Bridge, StartedFor::Client(Holder::User));
        let stranger = StartedFor::Client(Holder::Stranger(None));
        for (failed, paused) in
            [(stranger, [false, false, true]), (user, [true, true, true]), (bridge, [true, true, true])]
        {
            let pauses = Pauses::default();
            pauses.failed(failed, &SystemRandom);
            assert_eq!(
                [bridge, user, stranger].map(|whose| pauses.left(whose).is_some()),
                paused,
                "{failed:?}"
            );
        }
    }
}
