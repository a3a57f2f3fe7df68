//! The configuration as it is written: every key, with its default. What the values mean is checked in the parent.

mod credentials;
mod group;
mod issuer;
mod limits;
mod observe;
mod openai;
mod rates;
mod route;
mod server;
mod state;
mod stdio;
mod tls;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use credentials::CredentialsTable;
pub(crate) use group::{ConcurrencyTable, HealthTable};
pub(crate) use issuer::{IntrospectionTable, IssuerTable, RequiredValue, StatusListTable};
pub(crate) use limits::LimitsTable;
pub(crate) use observe::{AdminTable, AuditTable, TelemetryTable, TracesTable};
pub(crate) use openai::OpenAiTable;
pub(crate) use rates::{QuotaTable, Rate, RouteRatesTable, ServerRatesTable};
pub(crate) use route::{Auth, Challenge, Era, Kind, Refusals, RouteTable, ServerMetadata, UpstreamValue};
pub(crate) use server::{LogRequests, ServerTable};
pub(crate) use state::{DpopTable, StateTable};
pub(crate) use stdio::{CommandTable, StdioSessions};
#[cfg(test)]
pub(crate) use tls::CertificateTable;
pub(crate) use tls::{ClientCertificates, TlsTable};

/// The configuration of mcp-auth-gateway, as `gateway.toml`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Gateway")]
pub(crate) struct Raw {
    /// Where the gateway listens, and what holds for all routes.
    pub(crate) server: ServerTable,
    /// Authorization servers whose access tokens are accepted.
    pub(crate) issuers: Vec<IssuerTable>,
    /// MCP servers behind the gateway, and plain HTTP beside them. At least one.
    pub(crate) routes: Vec<RouteTable>,
    /// What is remembered from one request to the next, and what replicas share.
    pub(crate) state: StateTable,
    /// What OpenAI wants to find at a host whose apps it lists.
    pub(crate) openai: OpenAiTable,
    /// Metrics and health, on a listener of their own.
    pub(crate) admin: AdminTable,
    /// One JSON line a decision.
    pub(crate) audit: AuditTable,
    /// Spans of requests.
    pub(crate) traces: TracesTable,
    /// What collectors are told.
    pub(crate) telemetry: TelemetryTable,
}
