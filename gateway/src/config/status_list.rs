//! `status_list` of an issuer.

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;

use super::http_url;
use super::raw::StatusListTable;

/// How the status lists of an issuer are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusListConfig {
    pub(crate) required: bool,
    pub(crate) poll_seconds: u64,
    pub(crate) stale_seconds: u64,
    pub(crate) allow_stale: bool,
    pub(crate) hosts: Vec<String>,
}

pub(super) fn understand(raw: &StatusListTable, path: &KeyPath, report: &mut Report) -> StatusListConfig {
    if raw.poll_seconds == 0 {
        report.unexpected(&path.key("poll_seconds"), "at least 1 second");
    }
    if raw.stale_seconds < u32::from(raw.poll_seconds) {
        report
            .unexpected(&path.key("stale_seconds"), format!("at least `poll_seconds`, {}", raw.poll_seconds));
    }
    for (index, host) in raw.hosts.iter().enumerate() {
        if !is_host(host) {
            report.unexpected(
                &path.key("hosts").index(index),
                "a host in lower case and, where there is one, a port, such as `status.example`",
            );
        }
    }
    StatusListConfig {
        required: raw.required,
        poll_seconds: raw.poll_seconds.into(),
        stale_seconds: raw.stale_seconds.into(),
        allow_stale: raw.allow_stale,
        hosts: raw.hosts.clone(),
    }
}

/// Whether it is written as it stands in a URL, with which it is compared.
fn is_host(text: &str) -> bool {
    let without_default_port = text.strip_suffix(":443").unwrap_or(text);
    http_url(&format!("https://{text}/")).is_some_and(|url| {
        let origin = url.origin().ascii_serialization();
        url.path() == "/" && origin.strip_prefix("https://") == Some(without_default_port)
    })
}
