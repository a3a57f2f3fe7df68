//! The tables of `[[routes]]` about several addresses and what they can bear.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `health`: how it is found out which of an upstream's addresses can be used.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HealthTable {
    /// A path at each address, with a query or without, that answers `GET` with 2xx while the server is well: `/healthz`.
    /// Default: none.
    pub(crate) path: Option<String>,
    /// Whether the MCP endpoint itself is asked instead, by a `server/discover` without credentials; any answer below 500
    /// is well. Default: false.
    pub(crate) ping: bool,
    /// Seconds from one check to the next. Default: 10; at least 1.
    pub(crate) interval_seconds: u16,
    /// Seconds that a check may take. Default: 2; at least 1 and at most `interval_seconds`.
    pub(crate) timeout_seconds: u16,
    /// How many checks in a row must succeed before an address that was down is used again. Default: 2; at least 1.
    pub(crate) healthy_after: u16,
    /// How many checks in a row must fail before an address is down. Default: 3; at least 1.
    pub(crate) unhealthy_after: u16,
    /// Seconds over which an address that has come back gets more and more of its share; with 0 it gets all of it at once.
    /// Default: 10.
    pub(crate) slow_start_seconds: u16,
}

impl Default for HealthTable {
    fn default() -> Self {
        Self {
            path: None,
            ping: false,
            interval_seconds: 10,
            timeout_seconds: 2,
            healthy_after: 2,
            unhealthy_after: 3,
            slow_start_seconds: 10,
        }
    }
}

/// `concurrency`: how many requests an upstream gets at a time, all its addresses together.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConcurrencyTable {
    /// Requests that are served at a time; an event stream counts until it has begun. Default: 1024; at least 1.
    pub(crate) max_requests: u32,
    /// Requests that may wait for their turn; one more gets 503. Default: 1024; with 0 nobody waits.
    pub(crate) max_queue: u32,
    /// Seconds that a request may wait; then it gets 503. Default: 5; at least 1.
    pub(crate) queue_seconds: u16,
}

impl Default for ConcurrencyTable {
    fn default() -> Self {
        Self { max_requests: 1024, max_queue: 1024, queue_seconds: 5 }
    }
}
