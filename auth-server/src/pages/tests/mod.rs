//! What people read, as snapshots, and what the stylesheet promises.

mod contrast;
mod read;
mod words;

use super::wait;

#[test]
fn waits_are_rounded_up() {
    for (seconds, words) in [
        (-5, "1 second"),
        (1, "1 second"),
        (2, "2 seconds"),
        (90, "90 seconds"),
        (91, "2 minutes"),
        (600, "10 minutes"),
        (601, "11 minutes"),
        (i64::MAX, "153722867280912930 minutes"),
    ] {
        assert_eq!(wait(seconds), words);
    }
}
