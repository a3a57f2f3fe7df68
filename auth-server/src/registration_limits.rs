//! How often clients may register: anybody can, and each registration is a row.

use std::net::IpAddr;

use mcp_auth_runtime::network::Network;

use crate::{
    outside::Timestamp,
    peer::AddressBlock,
    throttle::{Exceeded, Throttle},
};

const WINDOW_SECONDS: i64 = 60;

/// What the operator allows, a minute.
#[derive(Clone, Debug)]
pub(crate) struct RegistrationRates {
    pub(crate) per_address: u32,
    pub(crate) in_all: u32,
    pub(crate) egresses: Vec<Egress>,
}

/// Addresses that very many people come from, such as those of a hosted client: they have a budget of their own, so that
/// they neither run out of that for one address nor use up everybody's.
#[derive(Clone, Debug)]
pub(crate) struct Egress {
    pub(crate) addresses: Vec<AddressBlock>,
    pub(crate) per_minute: u32,
}

/// Counts registrations.
#[derive(Debug)]
pub(crate) struct RegistrationLimits {
    per_address: Throttle<Network>,
    in_all: Throttle<()>,
    egresses: Vec<(Vec<AddressBlock>, Throttle<()>)>,
}

impl RegistrationLimits {
    pub(crate) fn new(rates: &RegistrationRates) -> Self {
        Self {
            per_address: Throttle::new(rates.per_address, WINDOW_SECONDS),
            in_all: Throttle::new(rates.in_all, WINDOW_SECONDS),
            egresses: rates
                .egresses
                .iter()
                .map(|egress| (egress.addresses.clone(), Throttle::new(egress.per_minute, WINDOW_SECONDS)))
                .collect(),
        }
    }

    /// Counts one registration unless a limit is reached.
    pub(crate) fn admit(&self, address: IpAddr, now: Timestamp) -> Result<(), Exceeded> {
        let of_egress = |(addresses, _): &&(Vec<AddressBlock>, Throttle<()>)| {
            addresses.iter().any(|block| block.contains(address))
        };
        if let Some((_, budget)) = self.egresses.iter().find(of_egress) {
            return budget.admit(&(), now);
        }
        let address = Network::of(address);
        self.per_address.admit(&address, now)?;
        // whoever is over the own limit does not get here, and so uses up nothing of the common one
        self.in_all.admit(&(), now).inspect_err(|_| self.per_address.uncount(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1000);

    fn limits(per_address: u32, in_all: u32) -> RegistrationLimits {
        let egress = Egress {
            addresses: ["160.79.104.0/21", "2001:db8:9::/48"]
                .map(|text| AddressBlock::parse(text).unwrap())
                .to_vec(),
            per_minute: 4,
        };
        RegistrationLimits::new(&RegistrationRates { per_address, in_all, egresses: vec![egress] })
    }

    #[test]
    fn each_address_and_all_together_are_limited() {
        let limits = limits(2, 5);
        let admitted = |address: &str| limits.admit(address.parse().unwrap(), NOW).is_ok();
        assert!(admitted("203.0.113.1") && admitted("203.0.113.1"));
        for _ in 0..10 {
            assert!(!admitted("203.0.113.1"), "its own limit, which costs the others nothing");
        }
        assert!(admitted("2001:db8::1") && admitted("2001:db8::2"));
        assert!(!admitted("2001:db8::3"), "one subscriber");
        assert!(admitted("203.0.113.2"));
        assert!(!admitted("203.0.113.3"), "all together");
        assert!(limits.admit("203.0.113.3".parse().unwrap(), NOW.plus_seconds(60)).is_ok());
    }

    #[test]
    fn an_egress_has_a_budget_of_its_own() {
        let limits = limits(1, 1);
        let admitted = |address: &str| limits.admit(address.parse().unwrap(), NOW).is_ok();
        assert!(admitted("160.79.104.1") && admitted("160.79.104.1"));
        assert!(admitted("160.79.111.255") && admitted("2001:db8:9:1::1"));
        assert!(!admitted("160.79.105.1"));
        assert!(admitted("160.79.112.0"), "just outside, and the common budget is untouched");
        assert!(!admitted("160.79.103.255"));
    }
}
