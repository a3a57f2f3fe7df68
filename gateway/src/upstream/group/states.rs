//! What can be seen of a group from outside: for metrics and health.

use super::load::Kind;
use super::{Group, Service};

/// A group at one moment. Reading it takes no lock.
#[derive(Debug)]
pub(crate) struct GroupState<'a> {
    /// The path of the route.
    pub(crate) route: &'a str,
    pub(crate) addresses: Vec<AddressState<'a>>,
    /// How many requests hold a slot.
    pub(crate) running: usize,
    /// How many requests wait for one.
    pub(crate) waiting: usize,
}

/// One address at one moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AddressState<'a> {
    /// Its URL.
    pub(crate) name: &'a str,
    /// Whether it is used, with what weight, and for how long it is out.
    pub(crate) service: Service,
    /// Calls under way.
    pub(crate) calls: u32,
    /// Streams that are open.
    pub(crate) streams: u32,
}

impl Group {
    pub(crate) fn state(&self) -> GroupState<'_> {
        let shared = &*self.shared;
        GroupState {
            route: &shared.route,
            addresses: shared
                .addresses
                .iter()
                .map(|address| AddressState {
                    name: &address.name,
                    service: shared.service(address),
                    calls: address.load.of(Kind::Call),
                    streams: address.load.of(Kind::Stream),
                })
                .collect(),
            running: shared.concurrency.running(),
            waiting: shared.concurrency.waiting(),
        }
    }
}
