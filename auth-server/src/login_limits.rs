//! How many wrong passwords are tolerated, and from whom.
//!
//! A user name alone must not be enough to lock its owner out, so the limit on a name does not bind browsers in which
//! that user signed in before; they have one of their own.

use std::net::IpAddr;

use mcp_auth_runtime::network::Network;

use crate::{
    model::secret::Digest,
    outside::Timestamp,
    throttle::{Exceeded, Throttle},
};

const WINDOW_SECONDS: i64 = 10 * 60;
const PER_NAME_AND_ADDRESS: u32 = 8;
const PER_NAME: u32 = 30;
const PER_ADDRESS: u32 = 60;
const PER_KNOWN_BROWSER: u32 = 20;

/// The counters of failed sign-ins.
#[derive(Debug)]
pub(crate) struct LoginLimits {
    name_and_address: Throttle<Pair>,
    name: Throttle,
    address: Throttle<Network>,
    known_browser: Throttle,
}

/// Who tries to sign in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: IpAddr,
    /// The browser, if that user signed in with it before.
    pub(crate) known_browser: Option<&'a Digest>,
}

impl LoginLimits {
    pub(crate) fn new() -> Self {
        Self {
            name_and_address: Throttle::new(PER_NAME_AND_ADDRESS, WINDOW_SECONDS),
            name: Throttle::new(PER_NAME, WINDOW_SECONDS),
            address: Throttle::new(PER_ADDRESS, WINDOW_SECONDS),
            known_browser: Throttle::new(PER_KNOWN_BROWSER, WINDOW_SECONDS),
        }
    }

    /// Counts an attempt as failed until [`LoginLimits::succeeded`] says otherwise, so that guesses sent all at once
    /// are counted too.
    pub(crate) fn admit(&self, attempt: Attempt<'_>, now: Timestamp) -> Result<(), Exceeded> {
        if let Some(browser) = attempt.known_browser {
            return self.known_browser.admit(&browser_key(attempt.name, browser), now);
        }
        self.address.check(&Network::of(attempt.address), now)?;
        self.name.check(attempt.name, now)?;
        self.name_and_address.admit(&pair_key(attempt.name, attempt.address), now)?;
        self.name.count(attempt.name, now);
        self.address.count(&Network::of(attempt.address), now);
        Ok(())
    }

    pub(crate) fn succeeded(&self, attempt: Attempt<'_>) {
        if let Some(browser) = attempt.known_browser {
            self.known_browser.clear(&browser_key(attempt.name, browser));
        } else {
            self.name_and_address.clear(&pair_key(attempt.name, attempt.address));
            self.name.uncount(attempt.name);
            self.address.uncount(&Network::of(attempt.address));
        }
    }
}

/// A name, and who tries it.
type Pair = (String, Network);

fn pair_key(name: &str, address: IpAddr) -> Pair {
    (name.to_owned(), Network::of(address))
}

fn browser_key(name: &str, browser: &Digest) -> String {
    format!("{name} {}", browser.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1000);

    fn attempt(name: &str, last: u8) -> Attempt<'_> {
        Attempt { name, address: IpAddr::from([203, 0, 113, last]), known_browser: None }
    }

    #[test]
    fn guessing_is_limited_per_address_and_over_all_addresses() {
        let limits = LoginLimits::new();
        let admitted = (0..100).filter(|_| limits.admit(attempt("alice", 1), NOW).is_ok()).count();
        assert_eq!(admitted, PER_NAME_AND_ADDRESS as usize);
        let admitted = (2..100).filter(|last| limits.admit(attempt("alice", *last), NOW).is_ok()).count();
        assert_eq!(admitted, (PER_NAME - PER_NAME_AND_ADDRESS) as usize);
    }

    #[test]
    fn one_password_against_many_names_is_limited() {
        let limits = LoginLimits::new();
        let admitted =
            (0..500).filter(|n| limits.admit(attempt(&format!("user{n}"), 1), NOW).is_ok()).count();
        assert_eq!(admitted, PER_ADDRESS as usize);
    }

    #[test]
    fn signing_in_is_not_limited() {
        let limits = LoginLimits::new();
        for _ in 0..500 {
            limits.admit(attempt("alice", 1), NOW).unwrap();
            limits.succeeded(attempt("alice", 1));
        }
    }

    #[test]
    fn a_known_browser_is_not_locked_out_by_strangers() {
        let limits = LoginLimits::new();
        for last in 0..100 {
            let _ = limits.admit(attempt("alice", last), NOW);
        }
        let browser = Digest::of(b"browser");
        let known = Attempt { known_browser: Some(&browser), ..attempt("alice", 1) };
        assert_eq!(limits.admit(known, NOW), Ok(()));
        let admitted = (0..100).filter(|_| limits.admit(known, NOW).is_ok()).count();
        assert_eq!(admitted, PER_KNOWN_BROWSER as usize - 1);
    }
}
