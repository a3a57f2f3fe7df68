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
        secret::{Digest, Secret},
    },
    outside::Timestamp,
    peer::client_address,
    rates::limit_reached,
    storage::{RegisteredClient, Registering},
    wire::{
        bearer::Bearer,
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
    // first of all: whoever may register nothing learns nothing of what would be wrong with it
    let admission = admission(&app, &headers, now).await?;
    let bytes = json(&headers, body).await?;
    let metadata = ClientMetadata::read(&bytes).ok_or(no_metadata())?;
    let registered = registration::register(&metadata, &app.clients.rules, &*app.outside.rng, now)?;
    let rules = &app.clients.registration;
    let management = rules.is_managed.then(|| Secret::generate(&*app.outside.rng)).transpose();
    let management = management.map_err(|error| internal(&error))?;
    let client = &registered.client;
    let stored = RegisteredClient {
        client: client.clone(),
        management: management.as_ref().map(Secret::digest),
        approved_at: (!rules.needs_approval).then_some(now),
    };
    let token = admission.as_ref().map(|admission| &admission.token);
    match app.storage.insert_client(&stored, rules.room, token).await? {
        Registering::Stored => {}
        Registering::NotAdmitted => return Err(ApiError::registration_token(true)),
        Registering::NoRoom => {
            tracing::warn!(
                "a client was not registered: there are as many as there may be, and all are in use"
            );
            return Err(ApiError::unavailable());
        }
    }
    let mut event = AuditEvent::new(AuditKind::ClientRegistered, now).client(&client.id).address(&address);
    if let Some(admission) = &admission {
        event = event.detail("admitted", &admission.note);
    }
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

/// An initial access token (RFC 7591 §3).
struct Admission {
    token: Digest,
    /// What it was made for.
    note: String,
}

/// The initial access token of a request, where one is needed.
async fn admission(app: &App, headers: &HeaderMap, now: Timestamp) -> Result<Option<Admission>, ApiError> {
    if !app.clients.registration.needs_token {
        return Ok(None);
    }
    let token = match Bearer::read(headers) {
        Bearer::None => return Err(ApiError::registration_token(false)),
        Bearer::Unfit => return Err(ApiError::registration_token(true)),
        Bearer::Token(token) => token.digest(),
    };
    let note = app.storage.initial_access_token(&token, now).await?;
    let note = note.ok_or(ApiError::registration_token(true))?;
    Ok(Some(Admission { token, note }))
}

/// The body, if it says that it is JSON.
async fn json(headers: &HeaderMap, body: Body) -> Result<bytes::Bytes, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(ApiError::new(ErrorCode::InvalidClientMetadata, "expected application/json"));
    }
    Ok(form::bytes(body, MAX_BYTES).await?)
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
