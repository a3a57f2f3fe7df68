//! [`Rates`]: counting what very many take, in memory whose size is fixed.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::quota::Quota;
use crate::clock::Clock;

/// Each bucket has a place in this many rows.
const ROWS: usize = 4;
/// How many parts there are, each with a lock of its own: workers seldom meet in one.
const SHARDS: u64 = 64;

/// Buckets of one quota, for as many takers as there are.
///
/// A table that keeps every taker grows with whoever invents new ones, and one that forgets some sets free those that it
/// forgets. This one does neither: a bucket is four places, one in each row, chosen by a hash that nobody outside can
/// predict, and other takers may have the same place in some rows. What counts is the fullest of the four (a count-min
/// sketch with conservative update). So a taker never has more than the quota. One may have less where in all four rows
/// somebody else has the same place and has taken more: with 8,192 places a row, and 400 takers at their limit at this
/// moment, one in 180,000.
///
/// Time is that of [`Clock::monotonic`]: a clock that is set sets nobody free and locks nobody out.
pub struct Rates {
    quota: Quota,
    /// Of the quota, in microseconds.
    interval: u64,
    depth: u64,
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    /// How many places each row has in a shard.
    width: u64,
    shards: Box<[Mutex<Shard>]>,
}

/// When each bucket will be full again, in microseconds of the clock; row after row.
type Shard = Box<[u64]>;

/// Whose bucket, as one [`Rates`] knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket(u64);

/// There is not enough in a bucket; when there will be, unless it is more than the bucket can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotNow(pub Option<Duration>);

impl Rates {
    /// Rows of 8,192 places: 256 KiB.
    pub fn new(quota: Quota, clock: Arc<dyn Clock>) -> Self {
        Self::with_places(quota, clock, 8192)
    }

    /// Rows of at least so many places. One takes 32 bytes in all rows together.
    pub fn with_places(quota: Quota, clock: Arc<dyn Clock>, places: u32) -> Self {
        let width = u64::from(places).div_ceil(SHARDS).max(1);
        let length = ROWS.saturating_mul(usize::try_from(width).unwrap_or(usize::MAX));
        let shards = (0..SHARDS).map(|_| Mutex::new(vec![0; length].into())).collect();
        let (interval, depth) = (quota.interval_micros(), quota.depth_micros());
        Self { quota, interval, depth, clock, hasher: RandomState::new(), width, shards }
    }

    /// What may be taken from each bucket.
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// The bucket of a taker.
    pub fn bucket(&self, taker: impl std::hash::Hash) -> Bucket {
        Bucket(self.hasher.hash_one(taker))
    }

    /// Whether so much could be taken now; nothing is.
    ///
    /// # Errors
    /// There is not enough.
    pub fn look(&self, bucket: Bucket, count: u32) -> Result<(), NotNow> {
        let now = self.now();
        let shard = self.shard(bucket);
        self.after(full_at(&shard, self.places(bucket)), now, count).map(drop)
    }

    /// Takes so much from a bucket.
    ///
    /// # Errors
    /// There is not enough, and nothing was taken.
    pub fn take(&self, bucket: Bucket, count: u32) -> Result<(), NotNow> {
        let now = self.now();
        let mut shard = self.shard(bucket);
        let places = self.places(bucket);
        let after = self.after(full_at(&shard, places), now, count)?;
        for place in places {
            if let Some(full_at) = shard.get_mut(place) {
                *full_at = after.max(*full_at);
            }
        }
        Ok(())
    }

    /// When the bucket would be full again, if so much were taken from it.
    fn after(&self, full_at: u64, now: u64, count: u32) -> Result<u64, NotNow> {
        if count > self.quota.burst() {
            return Err(NotNow(None));
        }
        let taken = self.interval.saturating_mul(u64::from(count));
        let after = full_at.max(now).saturating_add(taken);
        match after.saturating_sub(now).checked_sub(self.depth) {
            None | Some(0) => Ok(after),
            Some(too_early) => Err(NotNow(Some(Duration::from_micros(too_early)))),
        }
    }

    fn now(&self) -> u64 {
        let time = self.clock.monotonic();
        time.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(time.subsec_micros()))
    }

    fn shard(&self, bucket: Bucket) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(bucket.0 % SHARDS).unwrap_or_default();
        // There are as many as the remainder can be, so that the first one is never meant for another; and whoever
        // panicked while holding one left whole numbers behind.
        #[expect(clippy::indexing_slicing, reason = "a remainder of the length")]
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One place in each row, by bits of the hash that choose nothing else.
    fn places(&self, bucket: Bucket) -> [usize; ROWS] {
        let mut rest = bucket.0 / SHARDS;
        let mut row = 0;
        std::array::from_fn(|_| {
            let place = row + rest % self.width;
            rest /= self.width;
            row += self.width;
            usize::try_from(place).unwrap_or_default()
        })
    }
}

/// The earliest of the places: no other taker has made it earlier than it is.
fn full_at(shard: &Shard, places: [usize; ROWS]) -> u64 {
    places.iter().filter_map(|&place| shard.get(place)).min().copied().unwrap_or_default()
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates").field("quota", &self.quota).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn rates(requests: u32, seconds: u64, burst: u32, places: u32) -> (Rates, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(1_000));
        let quota = Quota::new(requests, Duration::from_secs(seconds), burst).unwrap();
        (Rates::with_places(quota, clock.clone(), places), clock)
    }

    fn wait(seconds: u64) -> Result<(), NotNow> {
        Err(NotNow(Some(Duration::from_secs(seconds))))
    }

    #[test]
    fn a_burst_then_one_by_one() {
        let (rates, clock) = rates(6, 60, 3, 8192);
        let alex = rates.bucket("alex");
        for _ in 0..3 {
            assert_eq!(rates.look(alex, 1), Ok(()));
            assert_eq!(rates.take(alex, 1), Ok(()));
        }
        assert_eq!(rates.take(alex, 1), wait(10));
        assert_eq!(rates.take(alex, 2), wait(20), "and nothing was taken by the refusal");
        assert_eq!(rates.take(rates.bucket("blake"), 3), Ok(()), "another's is another's");
        clock.advance(Duration::from_secs(9));
        assert_eq!(rates.look(alex, 1), wait(1));
        clock.advance(Duration::from_secs(1));
        assert_eq!(rates.take(alex, 1), Ok(()));
        assert_eq!(rates.take(alex, 1), wait(10));
        clock.advance(Duration::from_hours(1));
        assert_eq!(rates.take(alex, 3), Ok(()), "it holds no more than the burst");
        assert_eq!(rates.take(alex, 1), wait(10));
    }

    #[test]
    fn more_than_the_bucket_holds_never_comes() {
        let (rates, _) = rates(6, 60, 3, 8192);
        let alex = rates.bucket("alex");
        assert_eq!(rates.take(alex, 4), Err(NotNow(None)));
        assert_eq!(rates.take(alex, u32::MAX), Err(NotNow(None)));
        assert_eq!(rates.take(alex, 3), Ok(()));
    }

    /// What an attacker with very many names tries: to have their own bucket forgotten.
    #[test]
    fn however_many_come_nobody_is_set_free() {
        let (rates, _) = rates(1, 60, 10, 64);
        let flooder = rates.bucket("flooder");
        assert_eq!(rates.take(flooder, 10), Ok(()));
        for name in 0..100_000 {
            let _ = rates.take(rates.bucket(name), 1);
            assert!(rates.take(flooder, 1).is_err(), "after {name}");
        }
    }

    /// And the other way round: that others find theirs empty.
    #[test]
    fn many_others_cost_nobody_their_share() {
        let (rates, _) = rates(600, 60, 100, 8192);
        for name in 0..400 {
            assert_eq!(rates.take(rates.bucket(("flooder", name)), 100), Ok(()));
        }
        let refused = (0..1_000).filter(|name| rates.take(rates.bucket(("user", name)), 1).is_err()).count();
        assert!(refused <= 1, "{refused} of 1,000");
    }

    #[test]
    fn of_many_at_once_no_more_than_the_burst_get_through() {
        let (rates, _) = rates(1, 3600, 100, 64);
        let bucket = rates.bucket("alex");
        let admitted: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1_000).filter(|_| rates.take(bucket, 1).is_ok()).count()))
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(admitted, 100);
    }
}
