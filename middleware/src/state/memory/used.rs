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
}

impl Used {
    /// Whether this is the first use.
    ///
    /// An account may hold as many as there is room left for: so the room is never full, however few or many fill it,
    /// and those who use little of it never notice (dynamic thresholds, as in the buffers of switches).
    pub(super) fn first(&mut self, once: &Once, now: u64, capacity: usize) -> Result<bool, StateError> {
        self.collect_expired(now);
        if self.keys.contains_key(&once.key) {
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
            let (key, account) = first.remove();
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
