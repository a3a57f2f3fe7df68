//! `POST /oauth2/register`: dynamic client registration (RFC 7591). Deprecated by MCP, and still the only way for some
//! clients.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use mcp_auth_runtime::serve::PeerAddr;

use super::form;
use crate::{
    app::App,
    issue::internal,
    model::{
        audit::{AuditEvent, AuditKind},
        registration::{self, Failure},
    },
    peer::client_address,
    rates::limit_reached,
    storage::RegisteredClient,
    wire::{
        error::{ApiError, ErrorCode, no_store},
        registration::{ClientMetadata, Registered},
    },
};

/// Many times what any client sends.
const MAX_BYTES: usize = 32 * 1024;

/// Handles the request.
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    Extension(PeerAddr(peer)): Extension<PeerAddr>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let now = app.now();
    let address = client_address(peer, &headers, &app.trusted_proxies);
    if let Err(exceeded) = app.registration_limits.admit(address, now) {
        app.record_limit(exceeded, limit_reached("registrations", address, now)).await;
        return Err(ApiError::too_many_requests(exceeded.retry_after_seconds));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(ApiError::new(ErrorCode::InvalidClientMetadata, "expected application/json"));
    }
    let bytes = form::bytes(body, MAX_BYTES).await?;
    let metadata = ClientMetadata::read(&bytes).ok_or(ApiError::new(
        ErrorCode::InvalidClientMetadata,
        "expected a JSON object with client metadata",
    ))?;
    let registered =
        registration::register(&metadata, &app.clients.rules, &*app.outside.rng, now).map_err(|failure| {
            match failure {
                Failure::Refused(refused) => ApiError::new(refused.code, refused.description),
                Failure::NoRandomness(error) => internal(&error),
            }
        })?;
    let client = &registered.client;
    let stored = RegisteredClient { client: client.clone(), management: None, approved_at: Some(now) };
    app.storage.insert_client(&stored, app.clients.max_unused).await?;
    let event = AuditEvent::new(AuditKind::ClientRegistered, now).client(&client.id).address(&address);
    app.record(event.detail("name", &client.name)).await;
    let answer = Registered::new(client, registered.secret.as_ref());
    let mut response = (StatusCode::CREATED, Json(answer)).into_response();
    no_store(response.headers_mut());
    Ok(response)
}
