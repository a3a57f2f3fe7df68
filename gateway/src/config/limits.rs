//! `[server.limits]`

use std::time::Duration;

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;

use super::raw::LimitsTable;

/// What clients may take before anything is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitsConfig {
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_address: u32,
    pub(crate) max_headers: usize,
    pub(crate) max_header_bytes: usize,
    /// For a request's head from its first byte on, and for the first request of a connection.
    pub(crate) header_read: Duration,
    pub(crate) handshake: Duration,
    /// Without a request, or with an answer that is not read.
    pub(crate) idle: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub(crate) max_streams: u32,
    pub(crate) body_read: Duration,
    pub(crate) max_body_bytes: usize,
}

/// The least that the parser of heads needs.
const LEAST_HEADER_BYTES: u32 = 8192;

pub(super) fn understand(raw: &LimitsTable, at: &KeyPath, report: &mut Report) -> LimitsConfig {
    for (key, value) in [
        ("max_connections", raw.max_connections),
        ("max_connections_per_address", raw.max_connections_per_address),
        ("max_headers", raw.max_headers.into()),
        ("max_streams_per_connection", raw.max_streams_per_connection),
        ("max_body_bytes", raw.max_body_bytes),
    ] {
        if value == 0 {
            report.unexpected(&at.key(key), "at least 1");
        }
    }
    for (key, seconds) in [
        ("header_read_seconds", raw.header_read_seconds),
        ("handshake_seconds", raw.handshake_seconds),
        ("idle_seconds", raw.idle_seconds),
        ("body_read_seconds", raw.body_read_seconds),
    ] {
        if seconds == 0 {
            report.unexpected(&at.key(key), "at least 1 second");
        }
    }
    if raw.max_header_bytes < LEAST_HEADER_BYTES {
        report.unexpected(&at.key("max_header_bytes"), "at least 8192 bytes");
    }
    let size = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
    let seconds = |value: u16| Duration::from_secs(value.into());
    LimitsConfig {
        max_connections: size(raw.max_connections),
        max_connections_per_address: raw.max_connections_per_address,
        max_headers: raw.max_headers.into(),
        max_header_bytes: size(raw.max_header_bytes),
        header_read: seconds(raw.header_read_seconds),
        handshake: seconds(raw.handshake_seconds),
        idle: seconds(raw.idle_seconds),
        max_streams: raw.max_streams_per_connection,
        body_read: seconds(raw.body_read_seconds),
        max_body_bytes: size(raw.max_body_bytes),
    }
}
