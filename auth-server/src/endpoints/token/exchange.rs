//! `grant_type=urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693): a gateway or resource server trades a token
//! that was presented to it for one of another resource, in the name of the same user.

use serde_json::{Value, json};

use super::{Asking, invalid_grant, one, proof, user_of};
use crate::{
    issue::{self, Order, internal, requested_scopes},
    model::{
        audit::{AuditEvent, AuditKind},
        grant::{AccessToken, Grant, GrantKind, Shown},
        presented::AccessTokenName,
        scope::ScopeSet,
        secret::identifier,
    },
    storage::Issued,
    wire::{
        error::{ApiError, ErrorCode},
        token::TokenResponse,
    },
};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// Servers that a request may have passed through. Each one is named in the token, which must not grow without end.
const MAX_ACTORS: usize = 4;

pub(super) async fn exchange(asking: &Asking<'_>) -> Result<TokenResponse, ApiError> {
    let Asking { app, client, now, .. } = *asking;
    let (token, subject) = subject(asking).await?;
    let user = user_of(app, &subject).await?;
    let order = order(asking, &token)?;
    let actor = actor(&client.id, subject.actor.as_deref())?;
    let grant = Grant {
        id: identifier(&*app.outside.rng).map_err(|error| internal(&error))?,
        kind: GrantKind::TokenExchange,
        parent_id: Some(subject.id.clone()),
        user_id: subject.user_id.clone(),
        client_id: client.id.clone(),
        resources: vec![order.resource.clone()],
        scopes: order.scopes.clone(),
        refresh: false,
        key_thumbprint: None,
        actor: Some(actor.to_string()),
        authenticated_at: subject.authenticated_at,
        created_at: now,
        expires_at: now.plus_seconds(order.lifetime),
        revoked_at: None,
    };
    let access = issue::access_token(app, &grant, &order, user.as_ref(), asking.key(&grant)?).await?;
    let issued = Issued { access: access.stored.clone(), refresh: None };
    if !app.storage.insert_grant(&grant, &Shown::new(client, None), &issued, &asking.used()).await? {
        return Err(invalid_grant("the grant of the subject token ended meanwhile"));
    }
    let event = AuditEvent::new(AuditKind::GrantIssued, now).of_grant(&grant).address(&asking.address);
    let event = event.detail("kind", grant.kind.as_str()).detail("from", &subject.id);
    app.record(event.detail("resource", &order.resource).detail("scopes", &grant.scopes)).await;
    Ok(TokenResponse { issued_token_type: Some(ACCESS_TOKEN), ..issue::response(access, None, &order) })
}

const NOT_OURS: &str = "the subject token is no access token of this server";

/// The token that is exchanged: one of ours, still good, for a resource that this client serves.
async fn subject(asking: &Asking<'_>) -> Result<(AccessToken, Grant), ApiError> {
    let Asking { app, client, params, now, .. } = *asking;
    let text = asking.required("subject_token", "subject_token is required")?;
    let kinds = [
        (Some(asking.required("subject_token_type", "subject_token_type is required")?), true),
        (one(params, "requested_token_type")?, false),
    ];
    if kinds.iter().any(|(kind, needed)| kind.map_or(*needed, |kind| kind != ACCESS_TOKEN)) {
        return Err(ApiError::new(
            ErrorCode::InvalidRequest,
            "only access tokens are exchanged for access tokens",
        ));
    }
    if params.has("actor_token") || params.has("audience") {
        return Err(ApiError::new(
            ErrorCode::InvalidRequest,
            "actor_token and audience are not supported: the client is the actor, and resource names the target",
        ));
    }
    let name = AccessTokenName::read(text).ok_or(invalid_grant(NOT_OURS))?;
    let (token, grant) = app.storage.access_token(&name).await?.ok_or(invalid_grant(NOT_OURS))?;
    let good = token.revoked_at.is_none() && grant.revoked_at.is_none() && now < token.expires_at;
    if !good {
        return Err(invalid_grant("the subject token has expired or was revoked"));
    }
    if !client.service.serves.contains(&token.audience) {
        return Err(invalid_grant("the subject token is for a resource that this client does not serve"));
    }
    match (&token.key_thumbprint, asking.proof) {
        (None, _) => {}
        (Some(bound), Some(proof)) if bound == proof.thumbprint() => {}
        (Some(_), _) => {
            return Err(proof::invalid("the subject token is bound to a key: a proof of it is needed"));
        }
    }
    Ok((token, grant))
}

/// What the new token is for: never more than the old one, nor longer.
fn order(asking: &Asking<'_>, token: &AccessToken) -> Result<Order, ApiError> {
    let Asking { app, client, params, now, .. } = *asking;
    let refused =
        ApiError::new(ErrorCode::InvalidTarget, "this client may not exchange tokens for this resource");
    let named = app.resources.named(params.all("resource"), &client.origin).map_err(|_| refused)?;
    let [target] = named.as_slice() else {
        return Err(ApiError::new(ErrorCode::InvalidTarget, "name one resource"));
    };
    if !client.service.exchanges_for.iter().any(|allowed| allowed == target.url()) {
        return Err(refused);
    }
    let catalogue = target.catalogue();
    // what the token is as good as where it was presented, it is as good as here
    let held = app
        .resource(&token.audience)
        .map_or_else(|| token.scopes.clone(), |resource| resource.catalogue().reach(&token.scopes));
    let offered: ScopeSet = catalogue.names().filter(|name| held.contains(name)).collect();
    let requested = requested_scopes(params)?;
    if !requested.is_subset(&offered) {
        return Err(ApiError::new(ErrorCode::InvalidScope, "scope is wider than that of the subject token"));
    }
    let lifetime = target.lifetimes().access.min(token.expires_at.seconds_since(now));
    let scopes = if requested.is_empty() { offered } else { requested };
    if scopes.is_empty() {
        return Err(ApiError::new(ErrorCode::InvalidScope, "no scope of the subject token is offered there"));
    }
    Ok(Order { resource: target.url().to_owned(), scopes, lifetime })
}

/// The chain of those who act (RFC 8693 §4.1), the last one outermost.
fn actor(client_id: &str, earlier: Option<&str>) -> Result<Value, ApiError> {
    let earlier: Option<Value> = match earlier {
        Some(text) => Some(serde_json::from_str(text).map_err(|error| internal(&error))?),
        None => None,
    };
    let depth = std::iter::successors(earlier.as_ref(), |actor| actor.get("act")).count();
    if depth >= MAX_ACTORS {
        return Err(ApiError::new(ErrorCode::InvalidRequest, "the token was exchanged too often"));
    }
    Ok(match earlier {
        Some(earlier) => json!({"sub": format!("client:{client_id}"), "act": earlier}),
        None => json!({"sub": format!("client:{client_id}")}),
    })
}
