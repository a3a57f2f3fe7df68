//! `[admin]`, `[audit]`, `[traces]` and `[telemetry]`: what operators see.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[admin]`: metrics and health, on a listener of their own.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AdminTable {
    /// Addresses for `/metrics`, `/livez` and `/readyz`, `IP:PORT`; port 0 is a free one, and `[]` is none. Default:
    /// `["127.0.0.1:9090"]`.
    pub(crate) listen: Vec<String>,
    /// Values of `Host` to accept there besides IP addresses and `localhost`: `gateway.monitoring:9090`. Default: none.
    pub(crate) allowed_hosts: Vec<String>,
}

impl Default for AdminTable {
    fn default() -> Self {
        Self { listen: vec!["127.0.0.1:9090".to_owned()], allowed_hosts: Vec::new() }
    }
}

/// `[audit]`: one JSON line a decision.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuditTable {
    /// The file that lines are appended to, relative to the configuration; `-` is standard output. Default: none.
    pub(crate) file: Option<String>,
    /// Bytes from which on the file is set aside as `FILE.1`, and a new one begun; 0 is never. Default: 104857600.
    pub(crate) rotate_bytes: u64,
    /// How many files that were set aside are kept, `FILE.1` the newest; the oldest is removed. Default: 9.
    pub(crate) keep_files: u16,
    /// An OpenTelemetry collector (OTLP over HTTP) that gets the lines as logs, at `/v1/logs` below this URL:
    /// `http://127.0.0.1:4318`. Default: none.
    pub(crate) otlp: Option<String>,
    /// Whether requests are refused with 503 while a line cannot be written. Default: false; what is lost is counted.
    pub(crate) fail_closed: bool,
}

impl Default for AuditTable {
    fn default() -> Self {
        Self { file: None, rotate_bytes: 100 * 1024 * 1024, keep_files: 9, otlp: None, fail_closed: false }
    }
}

/// `[traces]`: spans of requests, for an OpenTelemetry collector.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TracesTable {
    /// The collector (OTLP over HTTP) that gets the spans, at `/v1/traces` below this URL: `http://127.0.0.1:4318`. Default:
    /// none, and nothing is traced.
    pub(crate) otlp: Option<String>,
    /// What share of the requests is traced, from 0 for none to 1 for all. Default: 0.1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) sample_ratio: f64,
    /// Whether a request that is already part of a trace is traced exactly where its client says that it traces it. Whoever
    /// can send a request can then have all of theirs traced. Default: false.
    pub(crate) trust_client_sampling: bool,
}

impl Default for TracesTable {
    fn default() -> Self {
        Self { otlp: None, sample_ratio: 0.1, trust_client_sampling: false }
    }
}

/// `[telemetry]`: how the gateway names itself to collectors.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TelemetryTable {
    /// The name of this service in audit lines and spans that a collector gets. Default: `mcp-auth-gateway`.
    pub(crate) service_name: String,
}

impl Default for TelemetryTable {
    fn default() -> Self {
        Self { service_name: "mcp-auth-gateway".to_owned() }
    }
}
