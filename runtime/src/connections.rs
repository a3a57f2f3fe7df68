//! How many connections there are of one address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::network::Network;

/// The connections of each address. Touched twice a connection, never by a request.
#[derive(Clone, Debug)]
pub struct PerAddress {
    most: u32,
    counts: Arc<Mutex<HashMap<Network, u32>>>,
}

impl PerAddress {
    /// At most so many of each.
    pub fn new(most: u32) -> Self {
        Self { most, counts: Arc::default() }
    }

    /// Counts one more, unless there are enough.
    pub fn admit(&self, address: IpAddr) -> Option<Admitted> {
        let key = Network::of(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Admitted { of: self.clone(), key })
    }
}

/// One connection that counts for its address until this is dropped.
#[derive(Debug)]
pub struct Admitted {
    of: PerAddress,
    key: Network,
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
