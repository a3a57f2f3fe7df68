//! [`Pause`]: a server that failed is left alone for a while, longer each time.

use std::time::Duration;

/// The longest pause, in seconds.
const LONGEST: u64 = 60;

/// The pause after failures in a row: 1 second, 2, 4, … 60.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pause {
    failures: u32,
    /// In seconds, by a clock that nobody sets.
    until: u64,
}

impl Pause {
    /// How long it still lasts; `None` where it is over.
    pub(super) fn left(self, now: u64) -> Option<Duration> {
        let left = self.until.saturating_sub(now);
        (left > 0).then(|| Duration::from_secs(left))
    }

    /// After one more failure.
    #[must_use]
    pub(super) fn after_failure(self, now: u64) -> Self {
        let seconds = 1_u64.checked_shl(self.failures).map_or(LONGEST, |seconds| seconds.min(LONGEST));
        Self { failures: self.failures.saturating_add(1), until: now.saturating_add(seconds) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_a_minute() {
        let (mut pause, mut seconds) = (Pause::default(), Vec::new());
        assert_eq!(pause.left(100), None);
        for _ in 0..80 {
            pause = pause.after_failure(100);
            seconds.push(pause.left(100).unwrap().as_secs());
        }
        assert_eq!(seconds[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(seconds[79], 60);
        assert_eq!(pause.left(159), Some(Duration::from_secs(1)));
        assert_eq!(pause.left(160), None);
    }
}
