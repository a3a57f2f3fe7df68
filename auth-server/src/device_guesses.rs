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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_000_000);

    fn session(number: u32) -> Digest {
        Digest::of(&number.to_be_bytes())
    }

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(number << 8).into()
    }

    /// Another address at each guess does not help a session, nor another session an address; nobody else is stopped.
    #[test]
    fn neither_another_address_nor_another_session_gives_more_guesses() {
        for (of_session, of_address) in [(0, 1), (1, 0)] {
            let guesses = DeviceGuesses::new();
            let who = |guess| (session(of_session * guess), address(of_address * guess));
            for guess in 1..=FORGIVEN {
                let (session, address) = who(guess);
                assert!(guesses.check(&session, address, NOW).is_ok(), "{guess}");
                guesses.count(&session, address, NOW);
            }
            let (session, address) = who(FORGIVEN + 1);
            assert!(guesses.check(&session, address, NOW).is_err(), "{of_session} {of_address}");
            assert!(guesses.check(&session, address, NOW.plus_seconds(2 * WINDOW_SECONDS)).is_ok());
            assert!(guesses.check(&self::session(99), self::address(99), NOW).is_ok());
        }
    }
}
