//! The protected resource metadata document (RFC 9728 §2).

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use serde::Serialize;

use super::ResourceUri;
use crate::possession::prove::Possession;

/// The document that a client reads to learn which authorization server to sign in at.
///
/// ```
/// use mcp_auth::resource::ResourceMetadata;
///
/// let resource = "https://tools.example/mcp".parse()?;
/// let servers = ["https://login.example".to_owned()];
/// let document = ResourceMetadata::new(&resource, &servers, ["profile:read"], None);
/// assert!(document.to_json().contains(r#""resource":"https://tools.example/mcp""#));
/// # Ok::<(), mcp_auth::resource::InvalidResourceUri>(())
/// ```
#[derive(Debug, Serialize)]
pub struct ResourceMetadata<'a> {
    resource: &'a str,
    authorization_servers: &'a [String],
    // The minimal set for basic use, not the catalogue: clients without better advice ask for all of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<&'a str>,
    bearer_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dpop_signing_alg_values_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dpop_bound_access_tokens_required: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_client_certificate_bound_access_tokens: bool,
}

impl<'a> ResourceMetadata<'a> {
    /// `authorization_servers` are issuer identifiers, byte for byte as their own metadata spells them; the first one
    /// is the one that most clients use.
    pub fn new(
        resource: &'a ResourceUri,
        authorization_servers: &'a [String],
        baseline_scopes: impl IntoIterator<Item = &'a str>,
        resource_name: Option<&'a str>,
    ) -> Self {
        Self {
            resource: resource.as_str(),
            authorization_servers,
            scopes_supported: baseline_scopes.into_iter().collect(),
            // A token in a query ends up in logs and referrers; the layer refuses it (OAuth 2.1 §5.1.1).
            bearer_methods_supported: ["header"],
            resource_name,
            dpop_signing_alg_values_supported: Vec::new(),
            dpop_bound_access_tokens_required: false,
            tls_client_certificate_bound_access_tokens: false,
        }
    }

    /// What tokens may or must be bound to, where that is configured.
    pub(crate) fn possession(self, possession: &Possession) -> Self {
        let algorithms = possession.offers_dpop().then(|| possession.dpop_algorithms());
        Self {
            dpop_signing_alg_values_supported: algorithms.unwrap_or_default(),
            dpop_bound_access_tokens_required: possession.requires_dpop(),
            tls_client_certificate_bound_access_tokens: possession.offers_certificates,
            ..self
        }
    }

    /// The document as JSON text.
    pub fn to_json(&self) -> String {
        // Strings and lists of strings: there is nothing in it that could fail to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Serves the document: anonymously, to any origin, without redirects.
pub(crate) fn respond(method: &Method, document: &str) -> Response<Bytes> {
    let (status, body) = match *method {
        Method::GET => (StatusCode::OK, Bytes::copy_from_slice(document.as_bytes())),
        Method::HEAD => (StatusCode::OK, Bytes::new()),
        Method::OPTIONS => (StatusCode::NO_CONTENT, Bytes::new()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("access-control-allow-headers", HeaderValue::from_static("MCP-Protocol-Version"));
    if status == StatusCode::OK {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // The baseline scopes follow the policy, which may be edited at any time.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
    } else {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    }
    response
}
