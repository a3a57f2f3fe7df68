//! `introspection` of an issuer.

use mcp_auth::document::KeyPath;
use mcp_auth::verifier::introspection::ClientAuthentication;
use mcp_auth_runtime::config::Report;
use url::Url;

use super::client::ClientKeys;
use super::raw::IntrospectionTable;
use super::{http_url, is_https_or_local, is_local};

/// How the gateway asks an issuer about tokens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct IntrospectionConfig {
    pub(crate) endpoint: Url,
    /// The client, with its secret or key; neither is printed.
    pub(crate) authentication: ClientAuthentication,
    pub(crate) cache_seconds: u64,
    /// Whether JWTs are introspected as well.
    pub(crate) jwts: bool,
    pub(crate) endpoint_is_for_this_resource: bool,
    pub(crate) client_as_subject: bool,
}

impl IntrospectionConfig {
    pub(crate) fn is_on_this_machine(&self) -> bool {
        is_local(&self.endpoint)
    }
}

pub(super) fn understand(
    raw: &IntrospectionTable,
    path: &KeyPath,
    report: &mut Report,
) -> Option<IntrospectionConfig> {
    let endpoint = raw.endpoint.as_deref().and_then(http_url);
    let endpoint = endpoint.filter(|url| is_https_or_local(url) && url.fragment().is_none());
    if endpoint.is_none() {
        report.unexpected(&path.key("endpoint"), "an https URL, or an http one of this machine");
    }
    let client = ClientKeys {
        client_id: raw.client_id.as_deref(),
        auth: &raw.auth,
        client_secret_env: raw.client_secret_env.as_deref(),
        client_secret_file: raw.client_secret_file.as_deref(),
        private_key_file: raw.private_key_file.as_deref(),
        private_key_id: raw.private_key_id.as_deref(),
        assertion_audience: raw.assertion_audience.as_deref(),
    };
    let authentication = client.understand(path, report);
    Some(IntrospectionConfig {
        endpoint: endpoint?,
        authentication: authentication?,
        cache_seconds: raw.cache_seconds.into(),
        jwts: raw.jwts,
        endpoint_is_for_this_resource: raw.endpoint_is_for_this_resource,
        client_as_subject: raw.client_as_subject,
    })
}
