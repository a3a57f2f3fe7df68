//! `POST /oauth2/device` (RFC 8628 §3.1): a device that has no browser asks for a code that its user can type elsewhere.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use mcp_auth_runtime::serve::PeerAddr;
use serde::Serialize;

use super::{client::authenticate, form, paths};
use crate::{
    app::App,
    issue::internal,
    model::{
        device::{Device, DeviceRequest, DeviceState, UserCode},
        grant_type::GrantType,
        place::Place,
        request::Asked,
        secret::Secret,
    },
    peer::client_address,
    wire::error::{ApiError, ErrorCode, no_store},
};

/// Seconds that a user has to type the code and decide.
const LIFETIME_SECONDS: i64 = 600;
/// Seconds between two questions of a device.
const POLL_SECONDS: i64 = 5;
/// So many codes are tried before the server gives up; one that is taken is a coincidence already.
const ATTEMPTS: usize = 4;

#[derive(Serialize)]
struct Answer<'a> {
    device_code: &'a str,
    user_code: &'a str,
    verification_uri: &'a str,
    verification_uri_complete: String,
    expires_in: i64,
    interval: i64,
}

/// Handles the request.
pub(crate) async fn device(
    State(app): State<Arc<App>>,
    Extension(PeerAddr(peer)): Extension<PeerAddr>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let params = form::read_of_client(&headers, body).await?;
    let client = authenticate(&app, &headers, &params, paths::DEVICE).await?;
    if !client.may_use(GrantType::DeviceCode) {
        return Err(ApiError::new(ErrorCode::UnauthorizedClient, "this client may not use this grant type"));
    }
    let asked = Asked::read(&params, &client, &app.resources)
        .map_err(|refused| ApiError::new(refused.code, refused.description))?;
    let request = DeviceRequest {
        client: client.clone(),
        asked,
        address: client_address(peer, &headers, &app.trusted_proxies).to_string(),
    };
    let content = serde_json::to_string(&request).map_err(|error| internal(&error))?;
    let secret = Secret::generate(&*app.outside.rng).map_err(|error| internal(&error))?;
    let user_code = store(&app, &secret, content, &client.id).await?;
    tracing::info!(client.id = client.id, "a device waits for its user");
    let verification_uri = app.issuer.endpoint(Place::Device.path());
    let mut response = Json(Answer {
        device_code: secret.expose(),
        user_code: &user_code.shown(),
        verification_uri_complete: format!("{verification_uri}?user_code={}", user_code.shown()),
        verification_uri: &verification_uri,
        expires_in: LIFETIME_SECONDS,
        interval: POLL_SECONDS,
    })
    .into_response();
    no_store(response.headers_mut());
    Ok(response)
}

async fn store(app: &App, secret: &Secret, content: String, client_id: &str) -> Result<UserCode, ApiError> {
    let now = app.now();
    for _ in 0..ATTEMPTS {
        let user_code = UserCode::generate(&*app.outside.rng).map_err(|error| internal(&error))?;
        let device = Device {
            digest: secret.digest(),
            user_code: user_code.digest(),
            client_id: client_id.to_owned(),
            content: content.clone(),
            created_at: now,
            expires_at: now.plus_seconds(LIFETIME_SECONDS),
            poll_seconds: POLL_SECONDS,
            state: DeviceState::Waiting,
        };
        if app.storage.insert_device(&device).await? {
            return Ok(user_code);
        }
    }
    Err(ApiError::unavailable())
}
