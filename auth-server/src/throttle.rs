//! Counting how often something happens for a key within a window, in bounded memory.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::outside::Timestamp;

/// Keys held at once. Beyond it, finished windows go, then all: an attacker with this many keys gets new windows, but
/// cannot make the server hold more.
const MAX_KEYS: usize = 100_000;

/// A limit of so many events in a fixed window, for each key.
#[derive(Debug)]
pub(crate) struct Throttle<K = String> {
    limit: u32,
    window_seconds: i64,
    windows: Mutex<HashMap<K, Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    started: Timestamp,
    count: u32,
    /// Whether somebody was refused in it.
    refused: bool,
}

/// The limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) retry_after_seconds: i64,
    /// The first refusal for this key in this window, which is the one to keep a record of.
    pub(crate) is_first: bool,
}

impl<K: Eq + Hash> Throttle<K> {
    pub(crate) fn new(limit: u32, window_seconds: i64) -> Self {
        Self { limit, window_seconds, windows: Mutex::default() }
    }

    /// Whether one more event would exceed the limit, without counting one.
    pub(crate) fn check<Q>(&self, key: &Q, now: Timestamp) -> Result<(), Exceeded>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.room(&mut self.lock(), key, now)
    }

    /// Counts one event.
    pub(crate) fn count<Q>(&self, key: &Q, now: Timestamp)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        self.add(&mut self.lock(), key, now);
    }

    /// Counts one event unless the limit is reached; of events at once, no more than there is room for.
    pub(crate) fn admit<Q>(&self, key: &Q, now: Timestamp) -> Result<(), Exceeded>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let mut windows = self.lock();
        self.room(&mut windows, key, now)?;
        self.add(&mut windows, key, now);
        Ok(())
    }

    fn room<Q>(&self, windows: &mut HashMap<K, Window>, key: &Q, now: Timestamp) -> Result<(), Exceeded>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        match windows.get_mut(key) {
            Some(window) if self.is_open(*window, now) && window.count >= self.limit => {
                let left = self.window_seconds.saturating_sub(now.seconds_since(window.started));
                let is_first = !std::mem::replace(&mut window.refused, true);
                Err(Exceeded { retry_after_seconds: left.max(1), is_first })
            }
            _ => Ok(()),
        }
    }

    fn add<Q>(&self, windows: &mut HashMap<K, Window>, key: &Q, now: Timestamp)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        if windows.len() >= MAX_KEYS && !windows.contains_key(key) {
            windows.retain(|_, window| self.is_open(*window, now));
            if windows.len() >= MAX_KEYS {
                windows.clear();
            }
        }
        let fresh = Window { started: now, count: 0, refused: false };
        let window = windows.entry(key.to_owned()).or_insert(fresh);
        if !self.is_open(*window, now) {
            *window = fresh;
        }
        window.count = window.count.saturating_add(1);
    }

    /// Takes back one event that turned out not to count.
    pub(crate) fn uncount<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(window) = self.lock().get_mut(key) {
            window.count = window.count.saturating_sub(1);
        }
    }

    /// Forgets what was counted for a key.
    pub(crate) fn clear<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn is_open(&self, window: Window, now: Timestamp) -> bool {
        now.seconds_since(window.started) < self.window_seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_unix_seconds(1000);

    #[test]
    fn the_limit_holds_for_a_window_and_for_one_key() {
        let throttle: Throttle = Throttle::new(2, 60);
        assert_eq!(throttle.admit("a", START), Ok(()));
        assert_eq!(throttle.admit("a", START), Ok(()));
        let later = START.plus_seconds(20);
        let exceeded = |is_first| Err(Exceeded { retry_after_seconds: 40, is_first });
        assert_eq!(throttle.admit("a", later), exceeded(true));
        assert_eq!(throttle.admit("a", later), exceeded(false));
        assert_eq!(throttle.check("a", later), exceeded(false));
        assert_eq!(throttle.admit("b", later), Ok(()));
        assert_eq!(throttle.admit("a", START.plus_seconds(60)), Ok(()));
        throttle.count("a", START.plus_seconds(60));
        let again = throttle.admit("a", START.plus_seconds(60)).unwrap_err();
        assert!(again.is_first, "in the next window, it is news again");
    }

    #[test]
    fn memory_is_bounded() {
        let throttle: Throttle = Throttle::new(1, 60);
        for key in 0..MAX_KEYS + 10 {
            throttle.count(&key.to_string(), START);
        }
        assert!(throttle.windows.lock().unwrap().len() <= MAX_KEYS);
    }
}
