//! [`Backoff`]: a server that does not start is not started again at once.

use std::time::Duration;

use mcp_auth::random::Random;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);
/// After so long without a failure, the next one is the first again.
const FORGOTTEN: Duration = Duration::from_mins(2);

/// The pause after failures: about 1 second, 2, 4, … 60, each up to a quarter longer or shorter by chance.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    failed_at: Option<Instant>,
    pause: Duration,
}

impl Backoff {
    /// How long the pause still lasts.
    pub(super) fn left(&self) -> Option<Duration> {
        let left = self.pause.checked_sub(self.failed_at?.elapsed())?;
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn failed(&mut self, random: &dyn Random) {
        if self.failed_at.is_some_and(|at| at.elapsed() > FORGOTTEN) {
            self.failures = 0;
        }
        let pause = FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LONGEST);
        let mut chance = [128];
        // without chance, it is in the middle
        let _none = random.fill(&mut chance);
        let [chance] = chance;
        self.pause = pause * 3 / 4 + pause * u32::from(chance) / 512;
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
        assert!(pauses.windows(2).all(|two| two[0] != two[1]), "{pauses:?}");
        tokio::time::advance(FORGOTTEN * 2).await;
        backoff.failed(&SystemRandom);
        assert!(backoff.left().unwrap() < Duration::from_secs(2));
    }
}
