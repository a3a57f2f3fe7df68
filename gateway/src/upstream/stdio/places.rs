//! [`Places`]: who holds the sessions of a bridge, so many in all and fewer of those whom nobody knows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::Network;

/// Who has a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Somebody who signed in.
    User,
    /// Whoever is at this address; `None` for those of this machine, where a limit of addresses is nobody's to set but by name.
    Stranger(Option<Network>),
}

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) all: usize,
    pub(super) strangers: usize,
    pub(super) of_address: usize,
}

/// Which share is taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    All,
    Strangers,
    Address(Network),
}

#[derive(Debug)]
pub(super) struct Places {
    shares: Shares,
    held: Mutex<HashMap<u64, Holder>>,
}

/// The place of one session, held until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    places: Arc<Places>,
}

impl Places {
    pub(super) fn new(shares: Shares) -> Arc<Self> {
        Arc::new(Self { shares, held: Mutex::default() })
    }

    /// Room for one more.
    ///
    /// # Errors
    ///
    /// The share that is taken up.
    pub(super) fn take(self: &Arc<Self>, holder: Holder) -> Result<Place, Full> {
        static LAST: AtomicU64 = AtomicU64::new(super::NOBODY + 1);
        let mut held = self.held();
        if let Holder::Stranger(network) = holder {
            let strangers = || held.values().filter(|other| **other != Holder::User);
            if let Some(network) = network
                && strangers().filter(|other| **other == holder).count() >= self.shares.of_address
            {
                return Err(Full::Address(network));
            }
            if strangers().count() >= self.shares.strangers {
                return Err(Full::Strangers);
            }
        }
        if held.len() >= self.shares.all {
            return Err(Full::All);
        }
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        held.insert(number, holder);
        Ok(Place { number, places: Arc::clone(self) })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<u64, Holder>> {
        // nothing in here panics half-way through a change
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Tells its session from all others.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Who has it; nobody once it was given up.
    pub(super) fn holder(&self) -> Option<Holder> {
        self.places.held().get(&self.number).copied()
    }

    /// It is a user's from now on, and no longer of the strangers' share.
    pub(super) fn is_a_users(&self) {
        if let Some(holder) = self.places.held().get_mut(&self.number) {
            *holder = Holder::User;
        }
    }

    /// Another one may have it, although its session may not be over to the last byte.
    pub(super) fn give_up(&self) {
        self.places.held().remove(&self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_have_a_share_and_addresses_a_part_of_it() {
        let places = Places::new(Shares { all: 5, strangers: 3, of_address: 2 });
        let at = |address: &str| Holder::Stranger(Some(Network::of(address.parse().unwrap())));
        let (one, other) = (at("192.0.2.1"), at("192.0.2.2"));
        let mut held = vec![places.take(one).unwrap(), places.take(one).unwrap()];
        let full = |holder| places.take(holder).unwrap_err();
        assert_eq!(full(one), Full::Address(Network::of("192.0.2.1".parse().unwrap())));
        held.push(places.take(other).unwrap());
        assert_eq!(full(other), Full::Strangers);
        assert_eq!(full(Holder::Stranger(None)), Full::Strangers);
        // who signs in leaves the share to others
        held[0].is_a_users();
        held.push(places.take(Holder::Stranger(None)).unwrap());
        held.push(places.take(Holder::User).unwrap());
        assert_eq!(full(Holder::User), Full::All);
        held[1].give_up();
        assert_eq!(held[1].holder(), None);
        let last = places.take(one).unwrap();
        // given up once, not twice
        drop(held.remove(1));
        assert_eq!(full(Holder::User), Full::All);
        drop(last);
        assert!(places.take(Holder::User).is_ok());
    }
}
