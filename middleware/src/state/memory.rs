//! [`MemoryState`]: for one instance.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Key, Space, State, StateError};
use crate::clock::Clock;
use crate::verifier::BoxFuture;

/// How many values of each kind are kept unless told otherwise; a value is some 150 bytes.
const DEFAULT_CAPACITY: usize = 200_000;

/// Keeps values in memory, so many of each kind. Where there is no room, the session or task that would expire first is
/// forgotten; a used proof never is, so that new ones are refused then.
#[derive(Debug)]
pub struct MemoryState {
    clock: Arc<dyn Clock>,
    capacity: usize,
    replay: Mutex<Table>,
    sessions: Mutex<Table>,
    tasks: Mutex<Table>,
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
            replay: Mutex::default(),
            sessions: Mutex::default(),
            tasks: Mutex::default(),
        }
    }

    /// The table of a kind, without what has expired.
    fn table(&self, space: Space) -> MutexGuard<'_, Table> {
        let table = match space {
            Space::Replay => &self.replay,
            Space::Session => &self.sessions,
            Space::Task => &self.tasks,
        };
        // Whoever panicked while holding it left whole entries behind: no step in between can panic.
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        table.collect_expired(self.clock.unix_seconds(), space);
        table
    }

    fn insert_now(&self, key: Key, value: Bytes, expires_at: u64) -> Result<bool, StateError> {
        let mut table = self.table(key.space);
        if table.values.contains_key(&key) {
            return Ok(false);
        }
        if table.values.len() >= self.capacity {
            if key.space == Space::Replay {
                return Err(StateError::new(format!(
                    "expected at most {} proofs within their lifetime, but found more",
                    self.capacity
                )));
            }
            if let Some((_, digest)) = table.by_expiry.pop_first() {
                table.values.remove(&Key { space: key.space, digest });
            }
        }
        table.put(key, value, expires_at);
        Ok(true)
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
        Box::pin(std::future::ready(self.insert_now(key, value, expires_at)))
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
    fn without_room_a_proof_is_refused_and_a_session_makes_way() {
        let (state, clock) = state(2);
        for (name, expires_at) in [("a", 110), ("b", 120)] {
            assert_eq!(
                state.insert_now(Key::new(Space::Replay, &[name]), Bytes::new(), expires_at),
                Ok(true)
            );
            assert_eq!(
                state.insert_now(Key::new(Space::Session, &[name]), Bytes::new(), expires_at),
                Ok(true)
            );
        }
        assert!(state.insert_now(Key::new(Space::Replay, &["c"]), Bytes::new(), 130).is_err());
        assert_eq!(state.insert_now(Key::new(Space::Replay, &["a"]), Bytes::new(), 130), Ok(false));
        assert_eq!(state.insert_now(Key::new(Space::Session, &["c"]), Bytes::new(), 130), Ok(true));
        assert!(!state.compare_and_set_now(Key::new(Space::Session, &["a"]), &Bytes::new(), "x".into(), 130));
        clock.advance(Duration::from_secs(10));
        assert_eq!(state.insert_now(Key::new(Space::Replay, &["c"]), Bytes::new(), 130), Ok(true));
        assert_eq!(state.table(Space::Replay).by_expiry.len(), 2);
    }

    #[test]
    fn of_two_claims_one_succeeds() {
        let (state, clock) = state(8);
        let key = Key::new(Space::Session, &["s"]);
        let set = |from: &'static str, to: &'static str| {
            state.compare_and_set_now(key, &from.into(), to.into(), 200)
        };
        assert!(!set("", "alex"), "there is nothing to claim");
        assert_eq!(state.insert_now(key, Bytes::new(), 150), Ok(true));
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
