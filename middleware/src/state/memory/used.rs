//! What was used once, and on whose account.

use std::collections::{BTreeMap, HashMap};

use super::super::{Account, Key, Once, StateError};

/// Uses that are remembered until they expire.
#[derive(Debug, Default)]
pub(super) struct Used {
    /// When each one expires.
    keys: HashMap<Key, u64>,
    /// In the order in which they expire, with the account that each one is on.
    by_expiry: BTreeMap<(u64, [u8; 32]), (Key, Account)>,
    held: HashMap<Account, usize>,
    /// The time of the last use.
    latest: u64,
    /// The longest time from when something was made to when its use expired.
    longest: u64,
    /// What expired no later may have been used, and is forgotten.
    forgotten_until: u64,
}

impl Used {
    /// Whether this is the first use.
    ///
    /// An account may hold as many as there is room left for: so the room is never full, however few or many fill it,
    /// and those who use little of it never notice (dynamic thresholds, as in the buffers of switches).
    pub(super) fn first(&mut self, once: &Once, now: u64, capacity: usize) -> Result<bool, StateError> {
        self.longest = self.longest.max(once.expires_at.saturating_sub(once.made_at));
        if now < self.latest {
            // What has expired since, and is forgotten, is in force again. That nothing which was made by now may be used
            // twice costs the time that it lives: a clock that had been a year ahead must not cost a year.
            let in_force = now.saturating_add(self.longest.saturating_mul(2));
            self.forgotten_until = self.forgotten_until.min(in_force);
        }
        self.latest = now;
        self.collect_expired(now);
        if self.keys.contains_key(&once.key) || once.expires_at <= self.forgotten_until {
            return Ok(false);
        }
        let free = capacity.saturating_sub(self.keys.len());
        let held = self.held.get(&once.account).copied().unwrap_or_default();
        if held >= free {
            return Err(StateError::new(format!(
                "expected an account to hold fewer used proofs than there is room for, {free}, but found {held}"
            )));
        }
        self.keys.insert(once.key, once.expires_at);
        self.by_expiry.insert((once.expires_at, *once.key.digest()), (once.key, once.account));
        self.held.insert(once.account, held + 1);
        Ok(true)
    }

    fn collect_expired(&mut self, now: u64) {
        while let Some(first) = self.by_expiry.first_entry() {
            if first.key().0 > now {
                break;
            }
            let ((expired_at, _), (key, account)) = first.remove_entry();
            self.forgotten_until = self.forgotten_until.max(expired_at);
            self.keys.remove(&key);
            match self.held.get_mut(&account) {
                Some(held) if *held > 1 => *held -= 1,
                _ => drop(self.held.remove(&account)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Space;

    fn once(who: &str, jti: usize, expires_at: u64) -> Once {
        Once {
            key: Key::new(Space::Replay, &[who, &jti.to_string()]),
            account: Account::new(&[who]),
            made_at: 0,
            expires_at,
        }
    }

    #[test]
    fn whoever_fills_the_room_is_refused_and_nobody_else() {
        let mut used = Used::default();
        let accepted = |used: &mut Used, who: &str, now| {
            (0..1_000).filter(|jti| used.first(&once(who, *jti, 200), now, 100).is_ok()).count()
        };
        assert_eq!(accepted(&mut used, "flooder", 100), 50);
        for user in ["alex", "blake", "casey"] {
            for jti in 0..5 {
                assert_eq!(used.first(&once(user, jti, 200), 100, 100), Ok(true), "{user}");
                assert_eq!(used.first(&once(user, jti, 200), 100, 100), Ok(false), "used before");
            }
        }
        assert!(used.first(&once("flooder", 5_000, 200), 100, 100).is_err());
        for jti in 0..50 {
            assert_eq!(used.first(&once("flooder", jti, 200), 100, 100), Ok(false), "none was forgotten");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_new_again() {
        let mut used = Used::default();
        let made = |jti, made_at| Once { made_at, ..once("alex", jti, made_at + 10) };
        assert_eq!(used.first(&made(0, 100), 100, 100), Ok(true));
        // far ahead, and long enough to forget what was used there as well
        assert_eq!(used.first(&made(1, 9_000), 9_000, 100), Ok(true));
        assert_eq!(used.first(&made(2, 9_100), 9_100, 100), Ok(true));
        assert!(used.keys.len() == 1, "both are forgotten");
        for now in [105, 95, 90] {
            assert_eq!(used.first(&made(0, 100), now, 100), Ok(false), "{now}");
        }
        // nor what may have been used there, which is good for as long as this lives and no longer
        assert_eq!(used.first(&made(3, 100), 90, 100), Ok(false));
        assert_eq!(used.first(&made(4, 101), 101, 100), Ok(true));
        assert_eq!(used.first(&made(4, 101), 101, 100), Ok(false));
        assert_eq!(used.first(&made(5, 102), 100, 100), Ok(true));
    }

    #[test]
    fn what_has_expired_makes_room() {
        let mut used = Used::default();
        for jti in 0..2 {
            assert_eq!(used.first(&once("alex", jti, 110), 100, 4), Ok(true));
        }
        assert!(used.first(&once("alex", 2, 120), 109, 4).is_err());
        assert_eq!(used.first(&once("alex", 2, 120), 110, 4), Ok(true));
        assert_eq!((used.keys.len(), used.by_expiry.len(), used.held.len()), (1, 1, 1));
        assert_eq!(used.first(&once("blake", 0, 130), 120, 4), Ok(true));
        assert_eq!((used.keys.len(), used.by_expiry.len(), used.held.len()), (1, 1, 1));
    }
}
