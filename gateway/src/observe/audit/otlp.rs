//! Lines as logs of OpenTelemetry.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth::clock::Clock;
use serde::Serialize;

use crate::observe::otlp::{Resource, Scope, Signal, Text};

/// `SEVERITY_NUMBER_INFO` (OpenTelemetry logs data model).
const INFO: u8 = 9;

/// Makes logs of lines.
pub(super) struct Logs {
    service_name: String,
    clock: Arc<dyn Clock>,
}

impl Logs {
    pub(super) fn new(service_name: &str, clock: &Arc<dyn Clock>) -> Self {
        Self { service_name: service_name.to_owned(), clock: Arc::clone(clock) }
    }
}

impl Signal for Logs {
    const INSISTS: bool = true;
    const PATIENCE: Duration = Duration::from_secs(10);

    fn body(&self, lines: &[&str]) -> Result<Vec<u8>, String> {
        let now = self.clock.unix_milliseconds().to_string() + "000000";
        let records = lines.iter().map(|line| LogRecord {
            observed_time_unix_nano: &now,
            severity_number: INFO,
            body: Text::new(line),
        });
        let request = Request {
            resource_logs: [ResourceLogs {
                resource: Resource::new(&self.service_name),
                scope_logs: [ScopeLogs {
                    scope: Scope { name: "mcp_auth_gateway.audit" },
                    log_records: records.collect(),
                }],
            }],
        };
        serde_json::to_vec(&request).map_err(|error| error.to_string())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_logs: [ResourceLogs<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    resource: Resource<'a>,
    scope_logs: [ScopeLogs<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    scope: Scope<'a>,
    log_records: Vec<LogRecord<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord<'a> {
    observed_time_unix_nano: &'a str,
    severity_number: u8,
    body: Text<'a>,
}
