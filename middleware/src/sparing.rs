//! [`Sparing`]: what anyone can cause at will must not fill the log, nor take the time that it takes to write it.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many lines of one kind a second has.
const LINES: u64 = 10;
/// The upper half is the second, the lower half how many came in it.
const HALF: u32 = 32;
const LOWER: u64 = 0xffff_ffff;

/// Counts the lines of one kind, and lets ten a second be written.
#[derive(Debug, Default)]
pub(crate) struct Sparing(AtomicU64);

impl Sparing {
    /// Whether a line may be written in this second; if so, how many were not since the one before.
    pub(crate) fn admit(&self, unix_seconds: u64) -> Option<u64> {
        let second = unix_seconds & LOWER;
        let next = |before: u64| {
            let came = if before >> HALF == second { (before & LOWER).saturating_add(1) } else { 1 };
            (second << HALF) | came.min(LOWER)
        };
        // Nothing else is read by it: no order among threads is needed.
        let updated = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| Some(next(before)));
        let (Ok(before) | Err(before)) = updated;
        let came = next(before) & LOWER;
        let unwritten = if came == 1 { (before & LOWER).saturating_sub(LINES) } else { 0 };
        (came <= LINES).then_some(unwritten)
    }
}

#[cfg(test)]
mod tests {
    use super::{LINES, Sparing};

    #[test]
    fn a_second_has_so_many_lines_and_the_next_one_says_how_many_more_there_were() {
        let sparing = Sparing::default();
        let written =
            |second, times: u64| (0..times).filter_map(|_| sparing.admit(second)).collect::<Vec<_>>();
        assert_eq!(written(7, 1000), vec![0; 10]);
        assert_eq!(sparing.admit(8), Some(1000 - LINES));
        assert_eq!(written(8, 3), [0, 0, 0]);
        // few: none was left out
        assert_eq!(sparing.admit(9), Some(0));
        // a clock that is set back is another second
        assert_eq!(sparing.admit(8), Some(0));
    }
}
