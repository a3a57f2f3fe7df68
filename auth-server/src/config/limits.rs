//! `[limits]`: how much of the server one peer may take.

use std::{ops::RangeInclusive, time::Duration};

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;

use super::raw;

/// The limits.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) rates: RatesPerMinute,
    pub(crate) fetches: Fetches,
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_address: u32,
    pub(crate) body: Duration,
    pub(crate) password_hashes_at_once: usize,
}

/// Requests a minute of one address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RatesPerMinute {
    pub(crate) authorizations: u32,
    pub(crate) pages: u32,
    pub(crate) tokens: u32,
    pub(crate) introspections: u32,
    pub(crate) revocations: u32,
    pub(crate) pushed: u32,
    pub(crate) devices: u32,
    pub(crate) user_info: u32,
    pub(crate) management: u32,
}

/// Documents and keys of clients that are fetched a minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetches {
    pub(crate) per_host: u32,
    pub(crate) in_all: u32,
}

const RATE: RangeInclusive<u32> = 1..=1_000_000_000;
const CONNECTIONS: RangeInclusive<u32> = 1..=1_000_000;

impl Limits {
    pub(super) fn understand(raw: &raw::Limits, report: &mut Report) -> Self {
        let at = KeyPath::root().key("limits");
        let mut number = |key: &str, value: u32, range: RangeInclusive<u32>| {
            if !range.contains(&value) {
                report
                    .unexpected(&at.key(key), format!("a number from {} to {}", range.start(), range.end()));
            }
            value
        };
        let count = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
        Self {
            rates: RatesPerMinute {
                authorizations: number("authorizations_per_minute", raw.authorizations_per_minute, RATE),
                pages: number("pages_per_minute", raw.pages_per_minute, RATE),
                tokens: number("token_requests_per_minute", raw.token_requests_per_minute, RATE),
                introspections: number("introspections_per_minute", raw.introspections_per_minute, RATE),
                revocations: number("revocations_per_minute", raw.revocations_per_minute, RATE),
                pushed: number("pushed_requests_per_minute", raw.pushed_requests_per_minute, RATE),
                devices: number("device_requests_per_minute", raw.device_requests_per_minute, RATE),
                user_info: number("userinfo_requests_per_minute", raw.userinfo_requests_per_minute, RATE),
                management: number(
                    "registration_management_per_minute",
                    raw.registration_management_per_minute,
                    RATE,
                ),
            },
            fetches: Fetches {
                per_host: number("fetches_per_host_per_minute", raw.fetches_per_host_per_minute, RATE),
                in_all: number("fetches_per_minute", raw.fetches_per_minute, RATE),
            },
            max_connections: count(number("max_connections", raw.max_connections, CONNECTIONS)),
            max_connections_per_address: number(
                "max_connections_per_address",
                raw.max_connections_per_address,
                CONNECTIONS,
            ),
            body: Duration::from_secs(
                number("body_timeout_seconds", raw.body_timeout_seconds, 1..=300).into(),
            ),
            password_hashes_at_once: count(number(
                "password_hashes_at_once",
                raw.password_hashes_at_once,
                1..=1024,
            )),
        }
    }
}
