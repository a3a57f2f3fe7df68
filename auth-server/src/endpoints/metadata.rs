//! Authorization server metadata (RFC 8414) and the OpenID discovery document.
//!
//! Only what works is listed: clients ask for whatever they see here.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use serde::Serialize;

use super::paths;
use crate::{app::App, model::jwks::ALGORITHM_NAMES};

#[derive(Serialize)]
struct Metadata<'a> {
    issuer: &'a str,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    revocation_endpoint: String,
    jwks_uri: String,
    scopes_supported: Vec<String>,
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 2],
    code_challenge_methods_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 4],
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 5],
    revocation_endpoint_auth_methods_supported: [&'static str; 4],
    revocation_endpoint_auth_signing_alg_values_supported: [&'static str; 5],
    /// RFC 9207 §3.
    authorization_response_iss_parameter_supported: bool,
    client_id_metadata_document_supported: bool,
    protected_resources: Vec<&'a str>,
    #[serde(flatten)]
    open_id: Option<OpenId>,
}

/// What OpenID Connect Discovery §3 requires beyond RFC 8414. This server issues no id tokens, does not list `openid`
/// among its scopes, and names no userinfo endpoint; these two members are here because clients that read this form of
/// the document refuse it without them.
#[derive(Serialize)]
struct OpenId {
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: [&'static str; 1],
}

/// `none` matters: Claude, Codex and opencode look for it before they use a metadata document.
const METHODS: [&str; 4] = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];

/// `GET /.well-known/oauth-authorization-server`
pub(crate) async fn authorization_server(State(app): State<Arc<App>>) -> Response {
    document(&app, None)
}

/// `GET /.well-known/openid-configuration`
pub(crate) async fn open_id(State(app): State<Arc<App>>) -> Response {
    document(
        &app,
        Some(OpenId {
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: ["ES256"],
        }),
    )
}

fn document(app: &App, open_id: Option<OpenId>) -> Response {
    let issuer = &app.issuer;
    let metadata = Metadata {
        issuer: issuer.as_str(),
        authorization_endpoint: issuer.endpoint(paths::AUTHORIZE),
        token_endpoint: issuer.endpoint(paths::TOKEN),
        registration_endpoint: app.clients.dynamic_registration.then(|| issuer.endpoint(paths::REGISTER)),
        revocation_endpoint: issuer.endpoint(paths::REVOKE),
        jwks_uri: issuer.endpoint(paths::JWKS),
        scopes_supported: app.scopes(),
        response_types_supported: ["code"],
        response_modes_supported: ["query"],
        grant_types_supported: ["authorization_code", "refresh_token"],
        code_challenge_methods_supported: ["S256"],
        token_endpoint_auth_methods_supported: METHODS,
        token_endpoint_auth_signing_alg_values_supported: ALGORITHM_NAMES,
        revocation_endpoint_auth_methods_supported: METHODS,
        revocation_endpoint_auth_signing_alg_values_supported: ALGORITHM_NAMES,
        authorization_response_iss_parameter_supported: true,
        client_id_metadata_document_supported: app.documents.is_some(),
        protected_resources: app.resources.iter().map(|resource| resource.url()).collect(),
        open_id,
    };
    // scopes come from a file that is watched: an edit must be seen soon
    ([(header::CACHE_CONTROL, "public, max-age=60")], Json(metadata)).into_response()
}
