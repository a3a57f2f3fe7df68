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

use serde::{Deserialize, Serialize};

pub(crate) use credentials::CredentialsTable;
pub(crate) use group::{ConcurrencyTable, HealthTable};
pub(crate) use issuer::{IntrospectionTable, IssuerTable, RequiredValue, StatusListTable};
pub(crate) use limits::LimitsTable;
pub(crate) use observe::{AdminTable, AuditTable, TelemetryTable};
pub(crate) use openai::OpenAiTable;
pub(crate) use rates::{QuotaTable, Rate, RouteRatesTable, ServerRatesTable};
pub(crate) use route::{Auth, Challenge, Era, Kind, Refusals, RouteTable, ServerMetadata, UpstreamValue};
pub(crate) use server::{LogRequests, ServerTable};
pub(crate) use state::{DpopTable, StateTable};
pub(crate) use stdio::{CommandTable, StdioSessions};
#[cfg(test)]
pub(crate) use tls::CertificateTable;
pub(crate) use tls::{ClientCertificates, TlsTable};

/// The whole file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Raw {
    pub(crate) server: ServerTable,
    pub(crate) issuers: Vec<IssuerTable>,
    pub(crate) routes: Vec<RouteTable>,
    pub(crate) state: StateTable,
    pub(crate) openai: OpenAiTable,
    pub(crate) admin: AdminTable,
    pub(crate) audit: AuditTable,
    pub(crate) telemetry: TelemetryTable,
}
