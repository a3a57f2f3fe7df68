//! Counting how often something happens for a key within a window, in bounded memory.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::outside::Timestamp;

/// Keys held at once. Beyond it, finished windows go, then all: an attacker with this many keys gets new windows, but
/// cannot make the server hold more.
const MAX_KEYS: usize = 100_000;

/// A limit of so many events in a fixed window.
#[derive(Debug)]
pub(crate) struct Throttle {
    limit: u32,
    window_seconds: i64,
    windows: Mutex<HashMap<String, Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    started: Timestamp,
    count: u32,
}

/// The limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) retry_after_seconds: i64,
}

impl Throttle {
    pub(crate) fn new(limit: u32, window_seconds: i64) -> Self {
        Self { limit, window_seconds, windows: Mutex::default() }
    }

    /// Whether one more event would exceed the limit, without counting one.
    pub(crate) fn check(&self, key: &str, now: Timestamp) -> Result<(), Exceeded> {
        self.room(&self.windows.lock().unwrap_or_else(PoisonError::into_inner), key, now)
    }

    /// Counts one event.
    pub(crate) fn count(&self, key: &str, now: Timestamp) {
        self.add(&mut self.windows.lock().unwrap_or_else(PoisonError::into_inner), key, now);
    }

    /// Counts one event unless the limit is reached; of events at once, no more than there is room for.
    pub(crate) fn admit(&self, key: &str, now: Timestamp) -> Result<(), Exceeded> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        self.room(&windows, key, now)?;
        self.add(&mut windows, key, now);
        Ok(())
    }

    fn room(&self, windows: &HashMap<String, Window>, key: &str, now: Timestamp) -> Result<(), Exceeded> {
        match windows.get(key) {
            Some(window) if self.is_open(*window, now) && window.count >= self.limit => Err(Exceeded {
                retry_after_seconds: self
                    .window_seconds
                    .saturating_sub(now.seconds_since(window.started))
                    .max(1),
            }),
            _ => Ok(()),
        }
    }

    fn add(&self, windows: &mut HashMap<String, Window>, key: &str, now: Timestamp) {
        if windows.len() >= MAX_KEYS && !windows.contains_key(key) {
            windows.retain(|_, window| self.is_open(*window, now));
            if windows.len() >= MAX_KEYS {
                windows.clear();
            }
        }
        let window = windows.entry(key.to_owned()).or_insert(Window { started: now, count: 0 });
        if !self.is_open(*window, now) {
            *window = Window { started: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
    }

    /// Takes back one event that turned out not to count.
    pub(crate) fn uncount(&self, key: &str) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get_mut(key) {
            window.count = window.count.saturating_sub(1);
        }
    }

    /// Forgets what was counted for a key.
    pub(crate) fn clear(&self, key: &str) {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
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
        let throttle = Throttle::new(2, 60);
        assert_eq!(throttle.admit("a", START), Ok(()));
        assert_eq!(throttle.admit("a", START), Ok(()));
        let later = START.plus_seconds(20);
        assert_eq!(throttle.admit("a", later), Err(Exceeded { retry_after_seconds: 40 }));
        assert_eq!(throttle.admit("b", later), Ok(()));
        assert_eq!(throttle.admit("a", START.plus_seconds(60)), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::new(1, 60);
        for key in 0..MAX_KEYS + 10 {
            throttle.count(&key.to_string(), START);
        }
        assert!(throttle.windows.lock().unwrap().len() <= MAX_KEYS);
    }
}
