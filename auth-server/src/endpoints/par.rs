//! `POST /oauth2/par` (RFC 9126): a client pushes its authorization request here instead of sending it through a browser.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::{client::authenticate_newcomer, form, paths, proof};
use crate::{
    app::App,
    issue::internal,
    model::{grant_type::GrantType, request::AuthorizationRequest, secret::Secret},
    storage::PushedRequest,
    wire::{
        error::{ApiError, ErrorCode, no_store},
        params::Params,
    },
};

/// Seconds between the push and the browser that comes with it.
const LIFETIME_SECONDS: i64 = 90;
/// RFC 9126 §2.2.
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

#[derive(Serialize)]
struct Answer {
    request_uri: String,
    expires_in: i64,
}

/// Handles the request.
pub(crate) async fn par(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    let mut response = match answer(&app, &headers, body).await {
        Ok(pushed) => pushed,
        Err(error) => error.into_response(),
    };
    proof::offer_nonce(&app, response.headers_mut());
    response
}

async fn answer(app: &App, headers: &HeaderMap, body: Body) -> Result<Response, ApiError> {
    let params = form::read_of_client(headers, body).await?;
    let client = authenticate_newcomer(app, headers, &params, paths::PAR).await?;
    let refused = |description| ApiError::new(ErrorCode::InvalidRequest, description);
    if !client.may_use(GrantType::AuthorizationCode) {
        return Err(ApiError::new(ErrorCode::UnauthorizedClient, "this client does not sign users in"));
    }
    if params.has("request_uri") {
        return Err(refused("request_uri is what this endpoint gives"));
    }
    let proof = proof::read(app, headers, "POST", paths::PAR, None).await?;
    // all that the authorization endpoint would refuse is refused here, where the client can see it
    let requested =
        params.one("redirect_uri").map_err(|_| refused("redirect_uri is given more than once"))?;
    let redirect_uri = match requested {
        Some(requested) => client.redirect_uri(requested),
        None => client.sole_redirect_uri().cloned(),
    }
    .ok_or(refused("redirect_uri is not registered"))?;
    let request = AuthorizationRequest::read(&params, redirect_uri, &client, &app.resources)
        .map_err(|refused| ApiError::new(refused.code, refused.description))?;
    let pushed = match (&request.key_thumbprint, &proof) {
        (None | Some(_), None) => params.without_credentials(),
        // RFC 9449 §10.1: the proof says the same as dpop_jkt
        (None, Some(proof)) => params.without_credentials().with("dpop_jkt", proof.thumbprint()),
        (Some(key), Some(proof)) if key == proof.thumbprint() => params.without_credentials(),
        (Some(_), Some(_)) => return Err(proof::invalid("dpop_jkt names another key than the DPoP proof")),
    };
    let secret = Secret::generate(&*app.outside.rng).map_err(|error| internal(&error))?;
    let stored = PushedRequest {
        digest: secret.digest(),
        client_id: client.id,
        content: pushed.encoded(),
        expires_at: app.now().plus_seconds(LIFETIME_SECONDS),
    };
    app.storage.insert_pushed_request(&stored).await?;
    let answer = Answer { request_uri: format!("{PREFIX}{}", secret.expose()), expires_in: LIFETIME_SECONDS };
    let mut response = (StatusCode::CREATED, Json(answer)).into_response();
    no_store(response.headers_mut());
    Ok(response)
}

/// The secret of a `request_uri` of ours; `None` for any other URI.
pub(super) fn secret(request_uri: &str) -> Option<Secret> {
    request_uri.strip_prefix(PREFIX).map(Secret::received)
}

/// The parameters that `client_id` pushed under `request_uri`: once, and only to that client.
pub(super) async fn take(
    app: &App,
    request_uri: &Secret,
    client_id: &str,
) -> Result<Option<Params>, crate::storage::StorageError> {
    let content = app.storage.take_pushed_request(&request_uri.digest(), client_id, app.now()).await?;
    Ok(content.and_then(|content| Params::parse_up_to(&content, usize::MAX, usize::MAX).ok()))
}
