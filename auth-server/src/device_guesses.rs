//! How many wrong codes of devices are forgiven. There are some 2^34 codes; so few guesses leave no hope.

use std::net::IpAddr;

use mcp_auth_runtime::network::Network;

use crate::{
    model::secret::Digest,
    outside::Timestamp,
    throttle::{Exceeded, Throttle},
};

/// As long as a code lives.
const WINDOW_SECONDS: i64 = 10 * 60;
const FORGIVEN: u32 = 10;

/// Counts wrong codes, by session and by address.
#[derive(Debug)]
pub(crate) struct DeviceGuesses {
    of_session: Throttle,
    of_address: Throttle<Network>,
}

impl DeviceGuesses {
    pub(crate) fn new() -> Self {
        Self {
            of_session: Throttle::new(FORGIVEN, WINDOW_SECONDS),
            of_address: Throttle::new(FORGIVEN, WINDOW_SECONDS),
        }
    }

    /// Whether one more code may be tried.
    pub(crate) fn check(&self, session: &Digest, address: IpAddr, now: Timestamp) -> Result<(), Exceeded> {
        self.of_session.check(session.as_str(), now)?;
        self.of_address.check(&Network::of(address), now)
    }

    /// Counts a wrong one.
    pub(crate) fn count(&self, session: &Digest, address: IpAddr, now: Timestamp) {
        self.of_session.count(session.as_str(), now);
        self.of_address.count(&Network::of(address), now);
    }
}
