//! `grant_type=client_credentials` (RFC 6749 §4.4): a client that acts for itself, as far as the administrator lets it.

use super::Asking;
use crate::{
    issue::{self, Order, internal, requested_scopes},
    model::{
        audit::{AuditEvent, AuditKind},
        grant::{Grant, GrantKind, Shown},
        scope::ScopeSet,
        secret::identifier,
    },
    storage::Issued,
    wire::{
        error::{ApiError, ErrorCode},
        token::TokenResponse,
    },
};

pub(super) async fn issue(asking: &Asking<'_>) -> Result<TokenResponse, ApiError> {
    let Asking { app, client, params, now, .. } = *asking;
    let targets = app.resources.targets(params.all("resource"), &client.origin)?;
    let [resource] = targets.as_slice() else {
        return Err(ApiError::new(ErrorCode::InvalidTarget, "name one resource"));
    };
    let catalogue = resource.catalogue();
    let offered: ScopeSet = catalogue.names().filter(|name| client.service.scopes.contains(name)).collect();
    let requested = requested_scopes(params)?;
    // there is no user to stay signed in for, nor to tell anything of
    if !requested.is_subset(&catalogue.reach(&offered)) {
        return Err(ApiError::new(ErrorCode::InvalidScope, "scope is not for this client"));
    }
    let scopes = if requested.is_empty() { offered } else { requested };
    if scopes.is_empty() {
        return Err(ApiError::new(ErrorCode::UnauthorizedClient, "this client may not have any scope here"));
    }
    let lifetime = resource.lifetimes().access;
    let order = Order { resource: resource.url().to_owned(), scopes: scopes.clone(), lifetime };
    let grant = Grant {
        id: identifier(&*app.outside.rng).map_err(|error| internal(&error))?,
        kind: GrantKind::ClientCredentials,
        parent_id: None,
        user_id: None,
        client_id: client.id.clone(),
        resources: vec![order.resource.clone()],
        scopes,
        refresh: false,
        key_thumbprint: None,
        actor: None,
        authenticated_at: None,
        created_at: now,
        expires_at: now.plus_seconds(order.lifetime),
        revoked_at: None,
    };
    let access = issue::access_token(app, &grant, &order, None, asking.key(&grant)?).await?;
    let issued = Issued { access: access.stored.clone(), refresh: None };
    app.storage.insert_grant(&grant, &Shown::new(client, None), &issued, &asking.used()).await?;
    let event = AuditEvent::new(AuditKind::GrantIssued, now).of_grant(&grant).address(&asking.address);
    app.record(event.detail("kind", grant.kind.as_str()).detail("scopes", &grant.scopes)).await;
    Ok(issue::response(access, None, &order))
}
