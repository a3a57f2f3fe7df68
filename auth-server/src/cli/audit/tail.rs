//! Which events were told already.

use std::collections::{BTreeSet, VecDeque};

/// How many looks later an event may still come up behind others. PostgreSQL numbers events before it makes them durable,
/// so that one with a lower number can be seen after one with a higher.
const LATE: usize = 10;

/// The events that were told, as far as one with a lower number may still come.
#[derive(Debug)]
pub(super) struct Tail {
    /// Nothing up to here is told any more.
    settled: i64,
    told: BTreeSet<i64>,
    /// The highest number at each of the last looks, the oldest first.
    highest: VecDeque<i64>,
}

impl Tail {
    /// Begins after an event.
    pub(super) fn new(after: i64) -> Self {
        Self { settled: after, told: BTreeSet::new(), highest: VecDeque::new() }
    }

    pub(super) const fn read_after(&self) -> i64 {
        self.settled
    }

    /// Whether an event was not told before; from now on it is.
    pub(super) fn is_new(&mut self, sequence: i64) -> bool {
        sequence > self.settled && self.told.insert(sequence)
    }

    /// That everything after [`Tail::read_after`] was looked at.
    pub(super) fn looked(&mut self) {
        self.highest.push_back(self.told.last().copied().unwrap_or(self.settled));
        if self.highest.len() > LATE
            && let Some(settled) = self.highest.pop_front()
        {
            self.settled = settled;
            self.told = self.told.split_off(&settled.saturating_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(tail: &mut Tail, there: &[i64]) -> Vec<i64> {
        let after = tail.read_after();
        let told = there.iter().copied().filter(|n| *n > after).filter(|n| tail.is_new(*n)).collect();
        tail.looked();
        told
    }

    #[test]
    fn an_event_that_comes_late_is_told_and_none_twice() {
        let mut tail = Tail::new(2);
        assert_eq!(look(&mut tail, &[1, 2, 3, 5]), [3, 5]);
        assert_eq!(look(&mut tail, &[1, 2, 3, 4, 5]), [4]);
        for _ in 0..LATE * 2 {
            assert!(look(&mut tail, &[1, 2, 3, 4, 5]).is_empty());
        }
        assert_eq!((tail.read_after(), tail.told.len()), (5, 0), "nothing is kept of what is settled");
        assert_eq!(look(&mut tail, &[5, 6]), [6]);
    }
}
