//! `[admin]`, `[audit]`, `[traces]` and `[telemetry]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;
use url::Url;

use super::{hosts, http_url, raw, socket_addresses};

/// The listener for metrics and health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminConfig {
    /// None where there is to be no such listener.
    pub(crate) listen: Vec<SocketAddr>,
    /// In lower case.
    pub(crate) allowed_hosts: Vec<String>,
}

/// Where the audit goes; nowhere where both are `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditConfig {
    pub(crate) file: Option<AuditFile>,
    /// Where lines are posted to.
    pub(crate) otlp: Option<Url>,
    pub(crate) fail_closed: bool,
    pub(crate) service_name: String,
}

impl AuditConfig {
    /// Whether lines go anywhere.
    pub(crate) fn is_on(&self) -> bool {
        self.file.is_some() || self.otlp.is_some()
    }
}

/// Which requests are traced, and where their spans go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TracesConfig {
    /// Where spans are posted to.
    pub(crate) otlp: Url,
    /// From 0 to 1.
    pub(crate) sample_ratio: f64,
    pub(crate) trust_client_sampling: bool,
    pub(crate) service_name: String,
}

/// A file of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuditFile {
    StandardOutput,
    Path {
        path: PathBuf,
        /// `None` is never.
        rotate_bytes: Option<u64>,
        keep_files: u16,
    },
}

pub(super) fn admin(raw: &raw::AdminTable, report: &mut Report) -> AdminConfig {
    let at = KeyPath::from("admin");
    let listen = socket_addresses(&raw.listen, &at.key("listen"), report);
    hosts(&raw.allowed_hosts, &at.key("allowed_hosts"), report);
    let allowed_hosts = raw.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    AdminConfig { listen, allowed_hosts }
}

/// The smallest file that is worth setting aside: a handful of lines.
const LEAST_ROTATION: u64 = 4096;
const MOST_FILES: u16 = 1000;

pub(super) fn audit(raw: &raw::AuditTable, service_name: &str, report: &mut Report) -> AuditConfig {
    let at = KeyPath::from("audit");
    if raw.rotate_bytes != 0 && raw.rotate_bytes < LEAST_ROTATION {
        report
            .unexpected(&at.key("rotate_bytes"), format!("at least {LEAST_ROTATION} bytes, or 0 for never"));
    }
    if raw.keep_files > MOST_FILES {
        report.unexpected(&at.key("keep_files"), format!("at most {MOST_FILES} files"));
    }
    let file = raw.file.as_deref().and_then(|file| match file {
        "" => {
            report.unexpected(&at.key("file"), "the path of a file, or `-` for standard output");
            None
        }
        "-" => Some(AuditFile::StandardOutput),
        file => {
            let path = report.resolve_output(file);
            if path.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
                report.warning(
                    &at.key("file"),
                    "its folder is not there on this machine: `run` does not start without it",
                );
            }
            Some(AuditFile::Path {
                path,
                rotate_bytes: Some(raw.rotate_bytes).filter(|bytes| *bytes != 0),
                keep_files: raw.keep_files,
            })
        }
    });
    if service_name.trim().is_empty() {
        report.unexpected(&KeyPath::from("telemetry").key("service_name"), "a name");
    }
    let otlp = collector(raw.otlp.as_deref(), "v1/logs", &at.key("otlp"), report);
    if raw.fail_closed && raw.file.is_none() && raw.otlp.is_none() {
        report.fault(
            &at.key("fail_closed"),
            "expected `file` or `otlp` beside `fail_closed = true`, but found neither",
        );
    }
    AuditConfig { file, otlp, fail_closed: raw.fail_closed, service_name: service_name.to_owned() }
}

/// `None` where nothing is traced.
pub(super) fn traces(
    raw: &raw::TracesTable,
    service_name: &str,
    report: &mut Report,
) -> Option<TracesConfig> {
    let at = KeyPath::from("traces");
    // not a number is in no range
    if !(0.0..=1.0).contains(&raw.sample_ratio) {
        report.unexpected(&at.key("sample_ratio"), "a number from 0 to 1");
    }
    let otlp = collector(raw.otlp.as_deref(), "v1/traces", &at.key("otlp"), report)?;
    let (sample_ratio, trust_client_sampling) = (raw.sample_ratio, raw.trust_client_sampling);
    Some(TracesConfig { otlp, sample_ratio, trust_client_sampling, service_name: service_name.to_owned() })
}

/// The URL that signals of one kind are posted to (OTLP exporter specification, "Endpoint URLs for OTLP/HTTP").
fn collector(value: Option<&str>, signal: &str, at: &KeyPath, report: &mut Report) -> Option<Url> {
    let text = value?;
    let url = http_url(text).filter(|url| url.query().is_none() && url.fragment().is_none());
    let url = url.map(|mut url| {
        let path = format!("{}/{signal}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    });
    if url.is_none() {
        report.unexpected(
            at,
            "the absolute http or https URL of a collector without query and fragment, such as `http://127.0.0.1:4318`",
        );
    }
    url
}
