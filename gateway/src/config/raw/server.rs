//! `[server]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LimitsTable, ServerRatesTable, TlsTable};

/// `[server]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerTable {
    /// Addresses to listen on, `IP:PORT`; port 0 is a free one. Default: `["127.0.0.1:3000"]`.
    pub(crate) listen: Vec<String>,
    /// Where clients reach the gateway: scheme, host and port, no path. Required. Everything published derives from it.
    pub(crate) public_url: Option<String>,
    /// Browser origins that may call, exact: `https://app.example`. Default: none. On a loopback listener, loopback
    /// origins are allowed as well.
    pub(crate) allowed_origins: Vec<String>,
    /// Values of `Host` to accept besides the one of `public_url`: `gateway.internal:3000`. Default: none. On a
    /// loopback listener, the names of this machine are accepted as well.
    pub(crate) allowed_hosts: Vec<String>,
    /// Seconds between the signal to end and the end of accepting connections, in which `/readyz` says 503, so that a
    /// load balancer can turn away. Default: 0.
    pub(crate) shutdown_delay_seconds: u16,
    /// Seconds that requests under way then have to finish. Default: 10.
    pub(crate) shutdown_grace_seconds: u16,
    /// Seconds of those after which streams that have no end of their own are ended, with a hint when to come back, and
    /// HTTP/1 connections without a request are closed. Default: 2.
    pub(crate) shutdown_streams_seconds: u16,
    /// Bytes that tokens which were verified may take in memory, for all routes together; with 0, each request's token is
    /// verified anew. Default: 16777216.
    pub(crate) verified_tokens_bytes: u64,
    /// Whether logs are JSON, one object a line, rather than text. Default: true.
    pub(crate) log_json: bool,
    /// Threads that serve connections; with 0, one per core. A connection stays with its thread, and with one thread,
    /// everything does. Default: 0.
    pub(crate) workers: u16,
    /// Networks (`10.0.0.0/8`) or addresses of proxies whose `X-Forwarded-For` or `Forwarded` is believed. Default: none.
    pub(crate) trusted_proxies: Vec<String>,
    /// Where the public keys of the gateway's own assertions are, below `public_url`; served where a route has
    /// `credentials` of the kind `assertion`. Default: `/.well-known/jwks.json`.
    pub(crate) jwks_path: String,
    /// Whether `Via` says, to upstreams and clients, that a message came through the gateway. Default: false.
    pub(crate) via: bool,
    /// https instead of http. Default: http.
    pub(crate) tls: Option<TlsTable>,
    /// What clients may take. Default: those of the table.
    pub(crate) limits: LimitsTable,
    /// How often clients may come before they are known. Default: those of the table.
    pub(crate) rates: ServerRatesTable,
    /// Which requests the log names: those that were `refused` or failed, ten a second of each route, decision and status,
    /// and the number of the others; `all`; or `none`. Default: `refused`.
    pub(crate) log_requests: LogRequests,
}

/// Which requests the log names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogRequests {
    #[default]
    Refused,
    All,
    None,
}

impl Default for ServerTable {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:3000".to_owned()],
            public_url: None,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            shutdown_delay_seconds: 0,
            shutdown_grace_seconds: 10,
            shutdown_streams_seconds: 2,
            verified_tokens_bytes: 16 * 1024 * 1024,
            log_json: true,
            workers: 0,
            trusted_proxies: Vec::new(),
            jwks_path: "/.well-known/jwks.json".to_owned(),
            via: false,
            tls: None,
            limits: LimitsTable::default(),
            rates: ServerRatesTable::default(),
            log_requests: LogRequests::default(),
        }
    }
}
