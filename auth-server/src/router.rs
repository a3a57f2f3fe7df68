//! The table of contents: every path that this server answers.

use std::sync::Arc;

use axum::{
    Router,
    response::IntoResponse,
    routing::{get, post},
};
use http::{HeaderName, Method, StatusCode, header};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use crate::{
    app::App,
    endpoints::{authorize, consent, jwks, login, metadata, paths, register, revoke, token},
    pages,
    wire::error::{ApiError, ErrorCode},
};

const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
const OPEN_ID: &str = "/.well-known/openid-configuration";

/// All routes of the server.
pub(crate) fn router(app: Arc<App>) -> Router {
    let below = app.issuer.path().to_owned();
    let at = |path: &str| format!("{below}{path}");

    // for any program, browser apps included
    let mut api = Router::new()
        // RFC 8414 §3.1: the well-known part comes before the issuer's path
        .route(&format!("{AUTHORIZATION_SERVER}{below}"), get(metadata::authorization_server))
        .route(&format!("{OPEN_ID}{below}"), get(metadata::open_id))
        .route(&at(paths::JWKS), get(jwks::jwks))
        .route(&at(paths::TOKEN), post(token::token))
        .route(&at(paths::REVOKE), post(revoke::revoke));
    if !below.is_empty() {
        // OpenID Connect Discovery §4: it comes after
        api = api.route(&at(OPEN_ID), get(metadata::open_id));
    }
    if app.clients.dynamic_registration {
        api = api.route(&at(paths::REGISTER), post(register::register));
    }
    let api = api.layer(cors());

    // for users; no other origin may read any of it (OAuth 2.1 §3.1)
    let pages = Router::new()
        .route(&at(paths::AUTHORIZE), get(authorize::authorize))
        .route(&at(paths::LOGIN), get(login::show).post(login::submit))
        .route(&at(paths::CONSENT), get(consent::show).post(consent::submit))
        .route(&at(pages::STYLE_PATH), get(pages::style));

    api.merge(pages).fallback(not_found).with_state(app)
}

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            header::WWW_AUTHENTICATE,
            header::RETRY_AFTER,
            HeaderName::from_static("dpop-nonce"),
        ])
}

/// Clients probe many paths, and some stumble over anything but JSON.
async fn not_found() -> impl IntoResponse {
    ApiError::new(ErrorCode::NotFound, "there is nothing at this path").with_status(StatusCode::NOT_FOUND)
}
