//! `/oauth2/register/ID`: a client looks at its registration, changes it, ends it (RFC 7592).

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use mcp_auth_runtime::serve::PeerAddr;

use super::{answer, count, json, no_metadata};
use crate::{
    app::App,
    directory::UNUSED_SECONDS,
    issue::internal,
    model::{
        audit::{AuditEvent, AuditKind},
        registration,
        secret::{Digest, Secret},
    },
    peer::client_address,
    storage::RegisteredClient,
    wire::{
        bearer::Bearer,
        error::{ApiError, ErrorCode, no_store},
        registration::Replacement,
    },
};

/// What is not text is no id.
type Id = Result<Path<String>, PathRejection>;

/// Somebody who may manage a registration.
struct Manager {
    registered: RegisteredClient,
    token: Secret,
    /// Of the token.
    digest: Digest,
}

/// `GET`: the registration as it is. A secret is stored as a digest only, and cannot be told again.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    id: Id,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let manager = admit(&app, id, &headers).await?;
    Ok(answer(&app, StatusCode::OK, &manager.registered.client, None, Some(&manager.token)))
}

/// `PUT`: another registration in the place of this one, with another token to manage it.
pub(crate) async fn replace(
    State(app): State<Arc<App>>,
    Extension(PeerAddr(peer)): Extension<PeerAddr>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let now = app.now();
    let address = client_address(peer, &headers, &app.trusted_proxies);
    count(&app, address, now).await?;
    let manager = admit(&app, id, &headers).await?;
    let before = &manager.registered.client;
    let replacement = Replacement::read(&json(&headers, body).await?).ok_or(no_metadata())?;
    if !replacement.is_for(before) {
        return Err(ApiError::new(
            ErrorCode::InvalidClientMetadata,
            "client_id and client_secret must be the client's own, and what the server assigns must be left out",
        ));
    }
    let after = registration::replace(before, &replacement.metadata, &app.clients.rules, &*app.outside.rng)?;
    let token = Secret::generate(&*app.outside.rng).map_err(|error| internal(&error))?;
    // an administrator approved of what the client was
    let approved = !app.clients.registration.needs_approval || after.client == *before;
    if !app.storage.replace_client(&after.client, &token.digest(), &manager.digest, approved).await? {
        // another request was faster, and has the token that is good now
        return Err(ApiError::registration_token(true));
    }
    let event = AuditEvent::new(AuditKind::ClientChanged, now).client(&after.client.id).address(&address);
    app.record(event.detail("name", &after.client.name)).await;
    Ok(answer(&app, StatusCode::OK, &after.client, after.secret.as_ref(), Some(&token)))
}

/// `DELETE`: the registration ends, and with it all that was granted to the client.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Extension(PeerAddr(peer)): Extension<PeerAddr>,
    id: Id,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let manager = admit(&app, id, &headers).await?;
    let client = &manager.registered.client;
    let now = app.now();
    if !app.storage.delete_client(&client.id, now).await? {
        return Err(ApiError::registration_token(true));
    }
    let address = client_address(peer, &headers, &app.trusted_proxies);
    let event = AuditEvent::new(AuditKind::ClientDeleted, now).client(&client.id).address(&address);
    app.record(event.detail("name", &client.name).detail("by", "client")).await;
    let mut response = StatusCode::NO_CONTENT.into_response();
    no_store(response.headers_mut());
    Ok(response)
}

/// One answer for a client that is not there, for one that is not managed like this, and for a token that is another's.
async fn admit(app: &App, id: Id, headers: &HeaderMap) -> Result<Manager, ApiError> {
    let refused = ApiError::registration_token(true);
    let token = match Bearer::read(headers) {
        Bearer::None => return Err(ApiError::registration_token(false)),
        Bearer::Unfit => return Err(refused),
        Bearer::Token(token) => token,
    };
    let Ok(Path(id)) = id else { return Err(refused) };
    if !is_of_a_registration(&id) {
        return Err(refused);
    }
    // once the administrator has made a client of an id, what registered under it before is nothing any more
    if app.clients.registered.contains_key(&id) {
        return Err(refused);
    }
    let digest = token.digest();
    let found = app.storage.client(&id, app.now().plus_seconds(-UNUSED_SECONDS)).await?;
    let registered = found
        .filter(|found| found.management.as_ref().is_some_and(|management| management.matches(&digest)))
        .ok_or(refused)?;
    Ok(Manager { registered, token, digest })
}

/// Ids that this server gives are base64url. Others are not even looked up: PostgreSQL takes a NUL for a mistake of ours.
fn is_of_a_registration(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
