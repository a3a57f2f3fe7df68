//! Groups for tests.

use std::time::Duration;

use http::Uri;
use mcp_auth::request::UpstreamEra;

use super::{EndpointConfig, GroupConfig};
use crate::config::{ConcurrencyConfig, EraConfig, HealthConfig};

impl GroupConfig {
    /// A group of these addresses with short times, without checks.
    pub(crate) fn for_tests(addresses: &[&str]) -> Self {
        let second = Duration::from_secs(1);
        let endpoint = |address: &&str| {
            let mut config = EndpointConfig::plain(address.parse::<Uri>().unwrap());
            config.limits.connect = second;
            config.limits.response = second;
            config
        };
        Self {
            route: "/mcp".to_owned(),
            addresses: addresses.iter().map(endpoint).collect(),
            health: HealthConfig {
                check: None,
                interval: second,
                timeout: second,
                healthy_after: 1,
                unhealthy_after: 1,
                slow_start: second,
            },
            concurrency: ConcurrencyConfig { max_requests: 100, max_queue: 100, longest_wait: second },
            era: EraConfig::Known(UpstreamEra::Dual),
        }
    }
}
