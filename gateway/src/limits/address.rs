//! Limits before authentication: requests of an address, and its tokens that turn out to be invalid.

use std::net::IpAddr;
use std::sync::Arc;

use mcp_auth::clock::Clock;
use mcp_auth::state::{NotNow, Rates};

use super::Network;
use super::limited::{Limited, LimitedBy};
use crate::config::{AddressQuota, AddressRatesConfig};
use crate::server::ClientAddr;

/// How many places there are for addresses: anybody can have many of them.
const PLACES: u32 = 32 * 1024;

/// What each address may send. Counted by this process alone: to ask a store that is shared about strangers would make it
/// theirs to load.
#[derive(Debug)]
pub(crate) struct AddressRates {
    requests: Option<PerAddress>,
    failed_tokens: Option<PerAddress>,
}

#[derive(Debug)]
struct PerAddress {
    by: LimitedBy,
    counts_this_machine: bool,
    rates: Rates,
}

impl AddressRates {
    pub(crate) fn new(config: &AddressRatesConfig, clock: &Arc<dyn Clock>) -> Self {
        let of = |by, quota: Option<AddressQuota>| {
            quota.map(|AddressQuota { quota, counts_this_machine }| PerAddress {
                by,
                counts_this_machine,
                rates: Rates::with_places(quota, Arc::clone(clock), PLACES),
            })
        };
        Self {
            requests: of(LimitedBy::Address, config.requests),
            failed_tokens: of(LimitedBy::FailedTokens, config.failed_tokens),
        }
    }

    /// Counts a request, whatever it asks for.
    ///
    /// # Errors
    ///
    /// There were too many.
    pub(crate) fn admit(&self, address: ClientAddr) -> Result<(), Limited> {
        match &self.requests {
            Some(limit) => limit.check(address.0, |rates, network| rates.take(rates.bucket(network), 1)),
            None => Ok(()),
        }
    }

    /// Whether a token that nobody has verified lately may be looked at.
    ///
    /// # Errors
    ///
    /// Too many of this address were invalid.
    pub(crate) fn admit_new_token(&self, address: ClientAddr) -> Result<(), Limited> {
        match &self.failed_tokens {
            Some(limit) => limit.check(address.0, |rates, network| rates.look(rates.bucket(network), 1)),
            None => Ok(()),
        }
    }

    /// Counts a token that was invalid.
    pub(crate) fn note_failed_token(&self, address: ClientAddr) {
        if let Some(limit) = &self.failed_tokens {
            // what there is no room for is refused from here on
            let _ = limit.check(address.0, |rates, network| rates.take(rates.bucket(network), 1));
        }
    }
}

impl PerAddress {
    fn check(
        &self,
        address: IpAddr,
        check: impl FnOnce(&Rates, Network) -> Result<(), NotNow>,
    ) -> Result<(), Limited> {
        if address.is_loopback() && !self.counts_this_machine {
            return Ok(());
        }
        check(&self.rates, Network::of(address)).map_err(|NotNow(retry_after)| Limited {
            by: self.by,
            quota: self.rates.quota(),
            retry_after,
            tool: None,
        })
    }
}
