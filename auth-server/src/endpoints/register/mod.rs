//! `POST /oauth2/register`: dynamic client registration (RFC 7591). Deprecated by MCP, and still the only way for some
//! clients. `manage` is what a client does with its registration afterwards.

pub(crate) mod manage;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use mcp_auth_runtime::serve::PeerAddr;

use super::{form, paths};
use crate::{
    app::App,
    issue::internal,
    model::{
        audit::{AuditEvent, AuditKind},
        client::Client,
        registration::{self, Failure},
        secret::Secret,
    },
    outside::Timestamp,
    peer::client_address,
    rates::limit_reached,
    storage::RegisteredClient,
    wire::{
        error::{ApiError, ErrorCode, no_store},
        registration::{ClientMetadata, Management, Registered},
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
    count(&app, address, now).await?;
    let bytes = json(&headers, body).await?;
    let metadata = ClientMetadata::read(&bytes).ok_or(no_metadata())?;
    let registered = registration::register(&metadata, &app.clients.rules, &*app.outside.rng, now)?;
    let is_managed = app.clients.registration_management;
    let management = is_managed.then(|| Secret::generate(&*app.outside.rng)).transpose();
    let management = management.map_err(|error| internal(&error))?;
    let client = &registered.client;
    let stored = RegisteredClient {
        client: client.clone(),
        management: management.as_ref().map(Secret::digest),
        approved_at: Some(now),
    };
    app.storage.insert_client(&stored, app.clients.max_unused).await?;
    let event = AuditEvent::new(AuditKind::ClientRegistered, now).client(&client.id).address(&address);
    app.record(event.detail("name", &client.name)).await;
    Ok(answer(&app, StatusCode::CREATED, client, registered.secret.as_ref(), management.as_ref()))
}

/// Counts one registration, or a change of one.
async fn count(app: &App, address: IpAddr, now: Timestamp) -> Result<(), ApiError> {
    if let Err(exceeded) = app.registration_limits.admit(address, now) {
        app.record_limit(exceeded, limit_reached("registrations", address, now)).await;
        return Err(ApiError::too_many_requests(exceeded.retry_after_seconds));
    }
    Ok(())
}

/// The body, if it says that it is JSON.
async fn json(headers: &HeaderMap, body: Body) -> Result<bytes::Bytes, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(ApiError::new(ErrorCode::InvalidClientMetadata, "expected application/json"));
    }
    form::bytes(body, MAX_BYTES).await
}

const fn no_metadata() -> ApiError {
    ApiError::new(ErrorCode::InvalidClientMetadata, "expected a JSON object with client metadata")
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refused) => Self::new(refused.code, refused.description),
            Failure::NoRandomness(error) => internal(&error),
        }
    }
}

/// What a client is told of its registration. `token` manages it.
fn answer(
    app: &App,
    status: StatusCode,
    client: &Client,
    secret: Option<&Secret>,
    token: Option<&Secret>,
) -> Response {
    // the id is base64url, which needs no encoding
    let uri = || app.issuer.endpoint(&format!("{}/{}", paths::REGISTER, client.id));
    let management = token.map(|token| Management { uri: uri(), token: token.expose() });
    let mut response = (status, Json(Registered::new(client, secret, management))).into_response();
    no_store(response.headers_mut());
    response
}
