//! How many connections there are: in all, of one address, of one worker.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

/// The bits of an IPv6 address that its owner has not chosen himself.
const IPV6_NETWORK: u128 = !(u64::MAX as u128);

/// The connections of each address. Touched twice a connection, never by a request.
#[derive(Clone, Debug)]
pub(super) struct PerAddress {
    most: u32,
    counts: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

impl PerAddress {
    pub(super) fn new(most: u32) -> Self {
        Self { most, counts: Arc::default() }
    }

    /// Counts one more, unless there are enough.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Admitted> {
        let key = network(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Admitted { of: self.clone(), key })
    }
}

/// Who takes addresses at will takes them within one network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// One connection that counts for its address until this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    of: PerAddress,
    key: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.of.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The connections of one worker.
#[derive(Clone, Debug, Default)]
pub(super) struct Load(Arc<AtomicUsize>);

impl Load {
    pub(super) fn connections(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// One more, until the token is dropped.
    pub(super) fn add(&self) -> Loaded {
        self.0.fetch_add(1, Ordering::Relaxed);
        Loaded(self.clone())
    }
}

/// A connection that counts for its worker.
#[derive(Debug)]
pub(super) struct Loaded(Load);

impl Drop for Loaded {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection's place in every count, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) _in_all: OwnedSemaphorePermit,
    /// `None` for a listed proxy, which speaks for many.
    pub(super) _of_address: Option<Admitted>,
    pub(super) _of_worker: Loaded,
}

#[cfg(test)]
mod tests {
    use super::PerAddress;

    #[test]
    fn an_address_has_so_many_and_gets_them_back() {
        let counts = PerAddress::new(2);
        let admit = |address: &str| counts.admit(address.parse().unwrap());
        let (first, second) = (admit("192.0.2.1"), admit("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some() && admit("192.0.2.1").is_none());
        let others = (admit("192.0.2.2"), admit("2001:db8::1"), admit("2001:db8::ffff"));
        assert!(others.0.is_some() && others.1.is_some() && others.2.is_some());
        assert!(admit("2001:db8::2").is_none() && admit("2001:db8:0:1::1").is_some());
        drop(first);
        assert!(admit("192.0.2.1").is_some());
        drop((second, others));
        assert!(counts.counts.lock().unwrap().is_empty(), "nothing is kept of who is gone");
    }
}
