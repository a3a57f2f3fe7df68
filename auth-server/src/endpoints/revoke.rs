//! `POST /oauth2/revoke` (RFC 7009).

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};

use super::{client::authenticate, form, paths, token::one};
use crate::{
    app::App,
    model::{
        audit::{AuditEvent, AuditKind},
        presented::Presented,
    },
    storage::Which,
    wire::error::{ApiError, ErrorCode, no_store},
};

/// Handles the request.
///
/// The answer is the same for a token that is unknown, that belongs to another client (which stays untouched), and for
/// one that was revoked (RFC 7009 §2.2).
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let params = form::read_of_client(&headers, body).await?;
    let client = authenticate(&app, &headers, &params, paths::REVOKE).await?;
    let token =
        one(&params, "token")?.ok_or(ApiError::new(ErrorCode::InvalidRequest, "token is required"))?;
    // the hint is only a hint (§2.1): the form of a token says which kind it is
    one(&params, "token_type_hint")?;
    let now = app.now();
    match Presented::read(token) {
        Presented::Access(name) => {
            app.storage.revoke_access_token(&name, &client.id, now).await?;
        }
        Presented::Refresh(secret) => {
            let found = app.storage.refresh_token(&secret.name()).await?;
            if let Some((_, grant)) = found.filter(|(_, grant)| grant.client_id == client.id) {
                // §2.1: with a refresh token goes the grant
                app.storage.revoke_grants(&Which::Grant(grant.id.clone()), now).await?;
                let event = AuditEvent::new(AuditKind::GrantRevoked, now).of_grant(&grant);
                app.record(event.detail("by", "client")).await;
            }
        }
    }
    let mut response = StatusCode::OK.into_response();
    no_store(response.headers_mut());
    Ok(response)
}
