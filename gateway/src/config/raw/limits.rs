//! `[server.limits]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[server.limits]`: what one client, and all of them together, may take before anything is known of them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsTable {
    /// Connections at once; further ones wait in the listener's backlog. Default: 8192.
    pub(crate) max_connections: u32,
    /// Connections at once of one address (of IPv6, one network of 64 bits); further ones are closed. Does not count
    /// for `trusted_proxies`. Default: 1024.
    pub(crate) max_connections_per_address: u32,
    /// Headers of a request; with more, it gets 431. Default: 100.
    pub(crate) max_headers: u16,
    /// Bytes of a request's head in all; with more, it gets 431. At least 8192. Default: 65536.
    pub(crate) max_header_bytes: u32,
    /// Seconds for a request's head from its first byte on, and for the first request of a connection. Default: 10.
    pub(crate) header_read_seconds: u16,
    /// Seconds for a TLS handshake. Default: 10.
    pub(crate) handshake_seconds: u16,
    /// Seconds that a connection without a request is kept, and that a client may leave an answer unread. Shorter than
    /// what clients keep their connections for, it would close some just as they are used again. Default: 75.
    pub(crate) idle_seconds: u16,
    /// Requests at once on one HTTP/2 connection. Default: 200.
    pub(crate) max_streams_per_connection: u32,
    /// Seconds for a request's body. Default: 30.
    pub(crate) body_read_seconds: u16,
    /// Bytes of a request's body; with more, it gets 413. Default: 4194304.
    pub(crate) max_body_bytes: u32,
}

impl Default for LimitsTable {
    fn default() -> Self {
        Self {
            max_connections: 8192,
            max_connections_per_address: 1024,
            max_headers: 100,
            max_header_bytes: 64 * 1024,
            header_read_seconds: 10,
            handshake_seconds: 10,
            idle_seconds: 75,
            max_streams_per_connection: 200,
            body_read_seconds: 30,
            max_body_bytes: 4 * 1024 * 1024,
        }
    }
}
