//! `[metrics]`: where operators ask.

use std::net::SocketAddr;

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;

use super::raw;

/// The listener for operators.
#[derive(Clone, Debug)]
pub(crate) struct MetricsListener {
    pub(crate) address: SocketAddr,
    /// In lower case.
    pub(crate) allowed_hosts: Vec<String>,
}

impl MetricsListener {
    /// None where there is to be none.
    pub(super) fn understand(raw: &raw::Metrics, public: &[SocketAddr], report: &mut Report) -> Option<Self> {
        let at = KeyPath::root().key("metrics").key("listen");
        if raw.listen.is_empty() {
            return None;
        }
        let Ok(address) = raw.listen.parse::<SocketAddr>() else {
            report.unexpected(&at, "an IP address with a port, such as `127.0.0.1:9401`, or nothing");
            return None;
        };
        if address.port() != 0 && public.contains(&address) {
            report.fault(
                &at,
                format!("expected an address that `server.listen` does not have, but found `{address}`"),
            );
        }
        let allowed_hosts = raw.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Some(Self { address, allowed_hosts })
    }
}
