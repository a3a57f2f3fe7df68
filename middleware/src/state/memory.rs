//! [`MemoryState`]: for one instance.

mod used;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Admission, Key, NotNow, Once, Quota, Rates, Space, State, StateError, Take};
use crate::clock::Clock;
use crate::verifier::BoxFuture;
use used::Used;

/// How many values of each kind are kept unless told otherwise; a value is some 150 bytes.
const DEFAULT_CAPACITY: usize = 200_000;

/// Keeps values in memory, so many of each kind. Where there is no room, the session or task that would expire first is
/// forgotten. A used proof never is: whoever holds as much of the room for them as is still free is refused more, so that
/// one account fills half of it at most, two fill two thirds, and there is some left for everybody else.
///
/// It begins empty: proofs that were used before a restart may be used again, while they are fresh, unless they need
/// nonces of a key that has begun with the process as well.
#[derive(Debug)]
pub struct MemoryState {
    clock: Arc<dyn Clock>,
    capacity: usize,
    used: Mutex<Used>,
    sessions: Mutex<Table>,
    tasks: Mutex<Table>,
    /// One for each quota: as many as there are in a configuration.
    rates: Mutex<HashMap<Quota, Arc<Rates>>>,
}

#[derive(Debug, Default)]
struct Table {
    values: HashMap<Key, (Bytes, u64)>,
    /// The same keys in the order in which they expire.
    by_expiry: BTreeSet<(u64, [u8; 32])>,
}

impl Table {
    fn collect_expired(&mut self, now: u64, space: Space) {
        while let Some(&(expires_at, digest)) = self.by_expiry.first() {
            if expires_at > now {
                break;
            }
            self.by_expiry.pop_first();
            self.values.remove(&Key { space, digest });
        }
    }

    fn put(&mut self, key: Key, value: Bytes, expires_at: u64) {
        if let Some((_, earlier)) = self.values.insert(key, (value, expires_at)) {
            self.by_expiry.remove(&(earlier, key.digest));
        }
        self.by_expiry.insert((expires_at, key.digest));
    }
}

impl MemoryState {
    /// An empty store with room for 200,000 values of each kind.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_capacity(clock, DEFAULT_CAPACITY)
    }

    /// An empty store with room for `capacity` values of each kind.
    pub fn with_capacity(clock: Arc<dyn Clock>, capacity: usize) -> Self {
        Self {
            clock,
            capacity,
            used: Mutex::default(),
            sessions: Mutex::default(),
            tasks: Mutex::default(),
            rates: Mutex::default(),
        }
    }

    /// The table of a kind, without what has expired.
    fn table(&self, space: Space) -> MutexGuard<'_, Table> {
        let table = match space {
            Space::Session => &self.sessions,
            // What is used once and what is taken have verbs and rooms of their own.
            Space::Task | Space::Replay | Space::Rate => &self.tasks,
        };
        // Whoever panicked while holding it left whole entries behind: no step in between can panic.
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        table.collect_expired(self.clock.unix_seconds(), space);
        table
    }

    fn insert_now(&self, key: Key, value: Bytes, expires_at: u64) -> bool {
        let mut table = self.table(key.space);
        if table.values.contains_key(&key) {
            return false;
        }
        if table.values.len() >= self.capacity
            && let Some((_, digest)) = table.by_expiry.pop_first()
        {
            table.values.remove(&Key { space: key.space, digest });
        }
        table.put(key, value, expires_at);
        true
    }

    fn use_now(&self, once: &Once) -> Result<bool, StateError> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.first(once, self.clock.unix_seconds(), self.capacity)
    }

    fn take_now(&self, takes: &[Take<'_>]) -> Admission {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let buckets: Vec<_> = takes
            .iter()
            .map(|take| {
                let new = || Arc::new(Rates::new(take.quota, Arc::clone(&self.clock)));
                let rates = rates.entry(take.quota).or_insert_with(new);
                (Arc::clone(rates), rates.bucket(take.bucket), take.count)
            })
            .collect();
        // While this is held nobody else takes: what is there at the look is there after it.
        let missing = buckets.iter().map(|(rates, bucket, count)| rates.look(*bucket, *count));
        let longest = missing
            .enumerate()
            .filter_map(|(which, look)| Some((look.err()?, which)))
            .max_by_key(|(NotNow(retry_after), _)| retry_after.unwrap_or(std::time::Duration::MAX));
        if let Some((NotNow(retry_after), which)) = longest {
            return Admission::Limited { which, retry_after };
        }
        for (which, (rates, bucket, count)) in buckets.iter().enumerate() {
            if let Err(NotNow(retry_after)) = rates.take(*bucket, *count) {
                return Admission::Limited { which, retry_after };
            }
        }
        Admission::Admitted
    }

    fn compare_and_set_now(&self, key: Key, expected: &Bytes, value: Bytes, expires_at: u64) -> bool {
        let mut table = self.table(key.space);
        let holds = table.values.get(&key).is_some_and(|(held, _)| held == expected);
        if holds {
            table.put(key, value, expires_at);
        }
        holds
    }
}

impl State for MemoryState {
    fn insert(&self, key: Key, value: Bytes, expires_at: u64) -> BoxFuture<'_, Result<bool, StateError>> {
        Box::pin(std::future::ready(Ok(self.insert_now(key, value, expires_at))))
    }

    fn get(&self, key: Key) -> BoxFuture<'_, Result<Option<Bytes>, StateError>> {
        let value = self.table(key.space).values.get(&key).map(|(value, _)| value.clone());
        Box::pin(std::future::ready(Ok(value)))
    }

    fn compare_and_set(
        &self,
        key: Key,
        expected: Bytes,
        value: Bytes,
        expires_at: u64,
    ) -> BoxFuture<'_, Result<bool, StateError>> {
        let replaced = self.compare_and_set_now(key, &expected, value, expires_at);
        Box::pin(std::future::ready(Ok(replaced)))
    }

    fn use_once(&self, once: Once) -> BoxFuture<'_, Result<bool, StateError>> {
        Box::pin(std::future::ready(self.use_now(&once)))
    }

    fn take<'a>(&'a self, takes: &'a [Take<'a>]) -> BoxFuture<'a, Result<Admission, StateError>> {
        Box::pin(std::future::ready(Ok(self.take_now(takes))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;

    fn state(capacity: usize) -> (MemoryState, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(100));
        (MemoryState::with_capacity(clock.clone(), capacity), clock)
    }

    #[test]
    fn without_room_a_session_makes_way() {
        let (state, _) = state(2);
        for (name, expires_at) in [("a", 110), ("b", 120), ("c", 130)] {
            assert!(state.insert_now(Key::new(Space::Session, &[name]), Bytes::new(), expires_at));
        }
        assert!(!state.compare_and_set_now(Key::new(Space::Session, &["a"]), &Bytes::new(), "x".into(), 130));
        assert!(state.compare_and_set_now(Key::new(Space::Session, &["b"]), &Bytes::new(), "x".into(), 130));
    }

    #[test]
    fn of_several_buckets_all_are_taken_from_or_none() {
        let (state, clock) = state(2);
        let quota = |burst| Quota::new(1, Duration::from_secs(10), burst).unwrap();
        let (wide, narrow) = (quota(3), quota(1));
        let take = |tool| {
            let buckets = [["user", "alex"], ["tool", tool]];
            let of = |quota, bucket| Take { quota, bucket, count: 1 };
            state.take_now(&[of(wide, &buckets[0]), of(narrow, &buckets[1])])
        };
        let limited =
            |which, seconds| Admission::Limited { which, retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(take("a"), Admission::Admitted);
        for _ in 0..3 {
            assert_eq!(take("a"), limited(1, 10));
        }
        assert_eq!(take("b"), Admission::Admitted, "what was refused took nothing of the other");
        assert_eq!(take("c"), Admission::Admitted);
        assert_eq!(take("d"), limited(0, 10));
        clock.advance(Duration::from_secs(10));
        assert_eq!(take("d"), Admission::Admitted);
        assert_eq!(
            state.take_now(&[Take { quota: narrow, bucket: &["x"], count: 2 }]),
            Admission::Limited { which: 0, retry_after: None }
        );
    }

    #[test]
    fn of_two_claims_one_succeeds() {
        let (state, clock) = state(8);
        let key = Key::new(Space::Session, &["s"]);
        let set = |from: &'static str, to: &'static str| {
            state.compare_and_set_now(key, &from.into(), to.into(), 200)
        };
        assert!(!set("", "alex"), "there is nothing to claim");
        assert!(state.insert_now(key, Bytes::new(), 150));
        assert!(set("", "alex"));
        assert!(!set("", "blake"));
        clock.advance(Duration::from_mins(1));
        assert!(set("alex", "alex"), "the claim has the longer life");
        clock.advance(Duration::from_mins(1));
        assert!(!set("alex", "alex"));
    }

    #[test]
    fn keys_differ_by_kind_and_by_where_parts_end() {
        let key = Key::new(Space::Task, &["ab", "c"]);
        assert_ne!(key, Key::new(Space::Task, &["a", "bc"]));
        assert_ne!(key, Key::new(Space::Session, &["ab", "c"]));
        assert_eq!(key, Key::new(Space::Task, &["ab", "c"]));
    }
}
