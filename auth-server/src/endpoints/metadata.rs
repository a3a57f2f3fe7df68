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
use crate::{
    app::App,
    model::{grant_type::GrantType, jwks::ALGORITHM_NAMES},
};

#[derive(Serialize)]
struct Metadata<'a> {
    issuer: &'a str,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    revocation_endpoint: String,
    introspection_endpoint: String,
    pushed_authorization_request_endpoint: String,
    device_authorization_endpoint: String,
    userinfo_endpoint: String,
    /// OpenID Connect RP-Initiated Logout §2.1.
    end_session_endpoint: String,
    jwks_uri: String,
    scopes_supported: Vec<String>,
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: Vec<&'static str>,
    code_challenge_methods_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 4],
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 5],
    revocation_endpoint_auth_methods_supported: [&'static str; 4],
    revocation_endpoint_auth_signing_alg_values_supported: [&'static str; 5],
    introspection_endpoint_auth_methods_supported: [&'static str; 3],
    introspection_endpoint_auth_signing_alg_values_supported: [&'static str; 5],
    /// RFC 9449 §5.1.
    dpop_signing_alg_values_supported: [&'static str; 5],
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: Vec<&'static str>,
    /// OpenID Connect Discovery §3.
    claims_supported: [&'static str; 9],
    prompt_values_supported: [&'static str; 4],
    /// OpenID Connect Discovery §3: what is not said is supported.
    request_uri_parameter_supported: bool,
    /// RFC 9207 §3.
    authorization_response_iss_parameter_supported: bool,
    client_id_metadata_document_supported: bool,
    protected_resources: Vec<&'a str>,
}

/// `none` matters: Claude, Codex and opencode look for it before they use a metadata document.
const METHODS: [&str; 4] = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];

const CONFIDENTIAL_METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];

/// `GET /.well-known/oauth-authorization-server` and `GET /.well-known/openid-configuration`: the same document, since
/// clients look in one place or the other for all of it.
pub(crate) async fn metadata(State(app): State<Arc<App>>) -> Response {
    document(&app)
}

/// What some client of this server may use. Those that nobody is configured for are left out: a client that finds one
/// will try it.
fn grant_types(app: &App) -> Vec<&'static str> {
    let is_used = |grant_type: &GrantType| {
        grant_type.is_open_to_strangers()
            || app.clients.registered.values().any(|client| client.may_use(*grant_type))
    };
    GrantType::ALL.into_iter().filter(is_used).map(GrantType::as_str).collect()
}

fn document(app: &App) -> Response {
    let issuer = &app.issuer;
    let metadata = Metadata {
        issuer: issuer.as_str(),
        authorization_endpoint: issuer.endpoint(paths::AUTHORIZE),
        token_endpoint: issuer.endpoint(paths::TOKEN),
        registration_endpoint: app.clients.dynamic_registration.then(|| issuer.endpoint(paths::REGISTER)),
        revocation_endpoint: issuer.endpoint(paths::REVOKE),
        introspection_endpoint: issuer.endpoint(paths::INTROSPECT),
        pushed_authorization_request_endpoint: issuer.endpoint(paths::PAR),
        device_authorization_endpoint: issuer.endpoint(paths::DEVICE),
        userinfo_endpoint: issuer.endpoint(paths::USERINFO),
        end_session_endpoint: issuer.endpoint(paths::LOGOUT),
        jwks_uri: issuer.endpoint(paths::JWKS),
        scopes_supported: app.scopes(),
        response_types_supported: ["code"],
        response_modes_supported: ["query"],
        grant_types_supported: grant_types(app),
        code_challenge_methods_supported: ["S256"],
        token_endpoint_auth_methods_supported: METHODS,
        token_endpoint_auth_signing_alg_values_supported: ALGORITHM_NAMES,
        revocation_endpoint_auth_methods_supported: METHODS,
        revocation_endpoint_auth_signing_alg_values_supported: ALGORITHM_NAMES,
        introspection_endpoint_auth_methods_supported: CONFIDENTIAL_METHODS,
        introspection_endpoint_auth_signing_alg_values_supported: ALGORITHM_NAMES,
        dpop_signing_alg_values_supported: ["ES256", "EdDSA", "Ed25519", "PS256", "RS256"],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: app.keys.algorithms(),
        claims_supported: [
            "sub",
            "iss",
            "aud",
            "exp",
            "iat",
            "auth_time",
            "preferred_username",
            "email",
            "email_verified",
        ],
        prompt_values_supported: ["none", "login", "consent", "select_account"],
        request_uri_parameter_supported: false,
        authorization_response_iss_parameter_supported: true,
        client_id_metadata_document_supported: app.documents.is_some(),
        protected_resources: app.resources.iter().map(|resource| resource.url()).collect(),
    };
    // scopes come from a file that is watched: an edit must be seen soon
    ([(header::CACHE_CONTROL, "public, max-age=60")], Json(metadata)).into_response()
}
