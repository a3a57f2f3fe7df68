//! Lines as logs to an OpenTelemetry collector (OTLP over HTTP, in its JSON form).
//!
//! The exporters of the SDK drop what they cannot send. This one says what was not taken, so that it is kept and sent
//! again, as lines for a file are.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mcp_auth::clock::Clock;
use serde::Serialize;
use url::Url;

use super::writer::{Sink, Unwritten};

/// How many lines go in one request.
const MOST_LINES: usize = 1024;
/// How long the collector may take for one.
const PATIENCE: Duration = Duration::from_secs(10);
/// `SEVERITY_NUMBER_INFO` (OpenTelemetry logs data model).
const INFO: u8 = 9;

/// A collector, and a client of its own.
pub(super) struct Collector {
    url: Url,
    service_name: String,
    clock: Arc<dyn Clock>,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Collector {
    /// # Errors
    ///
    /// If TLS or the client's threads cannot be set up.
    pub(super) fn new(url: Url, service_name: &str, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let builder = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
        // plain HTTP needs no trust roots, and must work where the system has none
        let builder = if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        Ok(Self {
            url,
            service_name: service_name.to_owned(),
            clock: Arc::clone(clock),
            client: builder.build()?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("there can be no runtime")?,
        })
    }

    fn post(&self, lines: &[&str]) -> Result<(), String> {
        let now = self.clock.unix_milliseconds().to_string() + "000000";
        let text = |text| Value { string_value: text };
        let records = lines.iter().map(|line| LogRecord {
            observed_time_unix_nano: &now,
            severity_number: INFO,
            body: text(line),
        });
        let service = Attribute { key: "service.name", value: text(&self.service_name) };
        let logs = Logs {
            resource_logs: [ResourceLogs {
                resource: Resource { attributes: [service] },
                scope_logs: [ScopeLogs {
                    scope: Scope { name: "mcp_auth_gateway.audit" },
                    log_records: records.collect(),
                }],
            }],
        };
        let body = serde_json::to_vec(&logs).map_err(|error| error.to_string())?;
        self.runtime.block_on(async {
            let request =
                self.client.post(self.url.clone()).header("content-type", "application/json").body(body);
            let response = request.send().await.map_err(|error| error.without_url().to_string())?;
            match response.status() {
                status if status.is_success() => Ok(()),
                status => Err(format!("the collector answers {status}")),
            }
        })
    }
}

impl Sink for Collector {
    fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        let mut written = 0;
        // lines are JSON, and JSON is UTF-8
        let text = std::str::from_utf8(lines)
            .map_err(|error| Unwritten { written: 0, reason: error.to_string() })?;
        let all: Vec<&str> = text.split_inclusive('\n').collect();
        for some in all.chunks(MOST_LINES) {
            let trimmed: Vec<&str> = some.iter().map(|line| line.trim_end()).collect();
            self.post(&trimmed).map_err(|reason| Unwritten { written, reason })?;
            written += some.iter().map(|line| line.len()).sum::<usize>();
        }
        Ok(())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Logs<'a> {
    resource_logs: [ResourceLogs<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    resource: Resource<'a>,
    scope_logs: [ScopeLogs<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: [Attribute<'a>; 1],
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'a str,
    value: Value<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    scope: Scope<'a>,
    log_records: Vec<LogRecord<'a>>,
}

#[derive(Serialize)]
struct Scope<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord<'a> {
    observed_time_unix_nano: &'a str,
    severity_number: u8,
    body: Value<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Value<'a> {
    string_value: &'a str,
}
