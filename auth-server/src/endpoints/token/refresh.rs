//! `grant_type=refresh_token` (RFC 6749 §6), with the rotation of OAuth 2.1 §4.3.1.

use super::{Asking, invalid_grant, user_of};
use crate::{
    issue::{self, Order, internal},
    model::{
        audit::{AuditEvent, AuditKind},
        grant::{Grant, RefreshToken},
        presented::RefreshSecret,
        secret::identifier,
        session::User,
    },
    storage::{Issued, Which},
    wire::{error::ApiError, token::TokenResponse},
};

const UNKNOWN: &str = "no such refresh token";
const ENDED: &str = "its grant ended meanwhile";

pub(super) async fn refresh(asking: &Asking<'_>) -> Result<TokenResponse, ApiError> {
    let Asking { app, client, params, now, .. } = *asking;
    let secret = RefreshSecret::received(asking.required("refresh_token", "refresh_token is required")?);
    let name = secret.name();
    let (token, grant) = app.storage.refresh_token(&name).await?.ok_or(invalid_grant(UNKNOWN))?;
    if grant.client_id != client.id {
        return Err(invalid_grant("the refresh token is another client's"));
    }
    if grant.revoked_at.is_some() {
        return Err(invalid_grant("its grant was revoked"));
    }
    if now >= token.expires_at {
        return Err(invalid_grant("the refresh token has expired"));
    }
    let order = Order::read(app, client, &grant, params)?;
    let key = asking.key(&grant)?;
    let user = user_of(app, &grant).await?;
    let id_token = issue::id_token(app, &grant, &order, user.as_ref(), None)?;

    if token.rotation.is_none() {
        let salt = identifier(&*app.outside.rng).map_err(|error| internal(&error))?;
        let successor = secret.successor(&grant.id, &salt);
        let access = issue::access_token(app, &grant, &order, user.as_ref(), key).await?;
        let issued = Issued {
            access: access.stored.clone(),
            refresh: Some(issue::refresh_token(app, &grant, &successor, now)),
        };
        if app.storage.rotate(&token.digest, &salt, &grant.id, &issued, &asking.used()).await? {
            return Ok(TokenResponse { id_token, ..issue::response(access, Some(&successor), &order) });
        }
    }
    // used before, if only by a request that was faster by a moment
    let (token, grant) = app.storage.refresh_token(&name).await?.ok_or(invalid_grant(UNKNOWN))?;
    let tokens = again(asking, &secret, &token, &grant, &order, user.as_ref()).await?;
    Ok(TokenResponse { id_token, ..tokens })
}

/// A refresh token that was used before.
///
/// For a short while, and as long as its successor is unused, this is a client that lost the answer or refreshed twice
/// at once: it gets the same successor. Otherwise one of two holders is a thief, and the family ends (RFC 9700
/// §4.14.2).
async fn again(
    asking: &Asking<'_>,
    secret: &RefreshSecret,
    token: &RefreshToken,
    grant: &Grant,
    order: &Order,
    user: Option<&User>,
) -> Result<TokenResponse, ApiError> {
    let Asking { app, now, .. } = *asking;
    let rotation = token.rotation.as_ref().filter(|_| grant.revoked_at.is_none());
    let rotation = rotation.ok_or(invalid_grant(ENDED))?;
    let successor = secret.successor(&grant.id, &rotation.salt);
    let unused = app
        .storage
        .refresh_token(&successor.name())
        .await?
        .is_some_and(|(token, _)| token.rotation.is_none() && now < token.expires_at);
    if unused && now.seconds_since(rotation.at) < app.tokens.refresh_retry_window {
        let access = issue::access_token(app, grant, order, user, asking.key(grant)?).await?;
        if !app.storage.insert_access_token(&grant.id, &access.stored).await? {
            return Err(invalid_grant(ENDED));
        }
        return Ok(issue::response(access, Some(&successor), order));
    }
    app.storage.revoke_grants(&Which::Grant(grant.id.clone()), now).await?;
    let event = AuditEvent::new(AuditKind::RefreshReused, now);
    app.record(event.of_grant(grant).address(&asking.address)).await;
    Err(invalid_grant("the refresh token was used before: its grant ends"))
}
