//! `POST /oauth2/token` (RFC 6749 §3.2): codes and refresh tokens become tokens.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawQuery, State},
};
use http::HeaderMap;

use super::form;
use crate::{
    app::App,
    directory,
    issue::{self, Order, internal},
    model::{
        client::Client,
        grant::{Grant, MAX_CODE_FAILURES, RefreshToken},
        pkce::CodeVerifier,
        secret::{Secret, identifier},
    },
    wire::{
        client_auth::Presented,
        error::{ApiError, ErrorCode},
        params::Params,
        token::TokenResponse,
    },
};

/// Handles the request.
pub(crate) async fn token(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<TokenResponse, ApiError> {
    if query.is_some_and(|query| !query.is_empty()) {
        // RFC 6749 §2.3.1: what belongs into the body would end up in logs
        return Err(ApiError::new(ErrorCode::InvalidRequest, "parameters belong into the body"));
    }
    let params = form::read(&headers, body).await?;
    let grant_type = one(&params, "grant_type")?
        .ok_or(ApiError::new(ErrorCode::InvalidRequest, "grant_type is required"))?
        .to_owned();
    let handles = matches!(grant_type.as_str(), "authorization_code" | "refresh_token");
    if !handles {
        return Err(ApiError::new(ErrorCode::UnsupportedGrantType, "grant_type is not supported"));
    }
    let client = authenticate(&app, &headers, &params).await?;
    if grant_type == "authorization_code" {
        redeem(&app, &client, &params).await
    } else {
        refresh(&app, &client, &params).await
    }
}

/// The client that a request proves to come from.
pub(super) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    params: &Params,
) -> Result<Client, ApiError> {
    let presented = Presented::read(headers, params)?;
    let client = directory::for_token(app, &presented.client_id).await?;
    presented.check(client)
}

pub(super) fn one<'p>(params: &'p Params, name: &str) -> Result<Option<&'p str>, ApiError> {
    params
        .one(name)
        .map_err(|_| ApiError::new(ErrorCode::InvalidRequest, "a parameter is given more than once"))
}

const fn invalid_grant() -> ApiError {
    ApiError::new(ErrorCode::InvalidGrant, "the code or token is not valid for this client")
}

/// RFC 6749 §4.1.3, OAuth 2.1 §4.1.3.
async fn redeem(app: &App, client: &Client, params: &Params) -> Result<TokenResponse, ApiError> {
    let secret = one(params, "code")?
        .ok_or(ApiError::new(ErrorCode::InvalidRequest, "code is required"))
        .map(Secret::received)?;
    let verifier = one(params, "code_verifier")?
        .ok_or(ApiError::new(ErrorCode::InvalidRequest, "code_verifier is required"))?;
    let now = app.now();
    let (code, grant) = app.storage.code(&secret.digest()).await?.ok_or(invalid_grant())?;

    // Everything is checked before the code is touched: a mistake, or somebody else's attempt with a stolen code, must
    // not cost the client that it belongs to its sign-in.
    if grant.client_id != client.id || now >= code.expires_at && code.redeemed_at.is_none() {
        return Err(invalid_grant());
    }
    if one(params, "redirect_uri")?.is_some_and(|uri| uri != code.redirect_uri.as_str()) {
        return Err(invalid_grant());
    }
    let proven = CodeVerifier::parse(verifier).is_some_and(|verifier| code.challenge.accepts(&verifier));
    if !proven || code.failures >= MAX_CODE_FAILURES {
        app.storage.count_code_failure(&code.digest).await?;
        return Err(invalid_grant());
    }
    if code.redeemed_at.is_some() {
        return Err(replayed(app, &grant).await?);
    }
    let order = Order::read(app, &grant, params)?;
    check_user(app, &grant).await?;

    let refresh = if grant.refresh {
        Some(Secret::generate(&*app.outside.rng).map_err(|error| internal(&error))?)
    } else {
        None
    };
    let (access, stored) = issue::access_token(app, &grant, &order)?;
    let stored_refresh = refresh.as_ref().map(|secret| issue::refresh_token(app, &grant, secret, now));
    if !app.storage.redeem_code(&code.digest, &grant.id, &issue::issued(stored, stored_refresh), now).await? {
        return Err(replayed(app, &grant).await?);
    }
    Ok(issue::response(app, access, refresh.as_ref(), &order))
}

/// A code that comes twice was stolen, before or after it was first used: its tokens end (OAuth 2.1 §4.1.3).
async fn replayed(app: &App, grant: &Grant) -> Result<ApiError, ApiError> {
    tracing::warn!(
        client.id = grant.client_id,
        user.id = grant.user_id,
        "authorization code used twice; grant revoked"
    );
    app.storage.revoke_grant(&grant.id, app.now()).await?;
    Ok(invalid_grant())
}

/// RFC 6749 §6, with the rotation of OAuth 2.1 §4.3.1.
async fn refresh(app: &App, client: &Client, params: &Params) -> Result<TokenResponse, ApiError> {
    let secret = one(params, "refresh_token")?
        .ok_or(ApiError::new(ErrorCode::InvalidRequest, "refresh_token is required"))
        .map(Secret::received)?;
    let now = app.now();
    let (token, grant) = app.storage.refresh_token(&secret.digest()).await?.ok_or(invalid_grant())?;
    if grant.client_id != client.id || grant.revoked_at.is_some() || now >= token.expires_at {
        return Err(invalid_grant());
    }
    let order = Order::read(app, &grant, params)?;
    check_user(app, &grant).await?;

    if token.rotation.is_none() {
        let salt = identifier(&*app.outside.rng).map_err(|error| internal(&error))?;
        let successor = successor(&secret, &salt);
        let (access, stored) = issue::access_token(app, &grant, &order)?;
        let stored = issue::issued(stored, Some(issue::refresh_token(app, &grant, &successor, now)));
        if app.storage.rotate(&token.digest, &salt, &grant.id, &stored, now).await? {
            return Ok(issue::response(app, access, Some(&successor), &order));
        }
    }
    // used before, if only by a request that was faster by a moment
    let (token, grant) = app.storage.refresh_token(&secret.digest()).await?.ok_or(invalid_grant())?;
    again(app, &secret, &token, &grant, &order).await
}

/// A refresh token that was used before.
///
/// For a short while, and as long as its successor is unused, this is a client that lost the answer or refreshed twice
/// at once: it gets the same successor. Otherwise one of two holders is a thief, and the family ends (RFC 9700
/// §4.14.2).
async fn again(
    app: &App,
    secret: &Secret,
    token: &RefreshToken,
    grant: &Grant,
    order: &Order,
) -> Result<TokenResponse, ApiError> {
    let now = app.now();
    let rotation = token.rotation.as_ref().filter(|_| grant.revoked_at.is_none()).ok_or(invalid_grant())?;
    let successor = successor(secret, &rotation.salt);
    let unused = app
        .storage
        .refresh_token(&successor.digest())
        .await?
        .is_some_and(|(token, _)| token.rotation.is_none() && now < token.expires_at);
    if unused && now.seconds_since(rotation.at) < app.tokens.refresh_retry_window {
        let (access, stored) = issue::access_token(app, grant, order)?;
        app.storage.insert_access_token(&grant.id, &stored).await?;
        return Ok(issue::response(app, access, Some(&successor), order));
    }
    tracing::warn!(
        client.id = grant.client_id,
        user.id = grant.user_id,
        "refresh token used twice; grant revoked"
    );
    app.storage.revoke_grant(&grant.id, now).await?;
    Err(invalid_grant())
}

/// The token that follows `secret`: derived, so that it can be given again without being stored. Nobody derives it
/// without the salt, which never leaves the database.
fn successor(secret: &Secret, salt: &str) -> Secret {
    secret.derive(&["refresh", salt])
}

async fn check_user(app: &App, grant: &Grant) -> Result<(), ApiError> {
    match app.storage.user(&grant.user_id).await? {
        Some(_) => Ok(()),
        None => Err(invalid_grant()),
    }
}
